"""One real Kafka broker (KRaft, broker and controller in one process).

Listeners: PLAINTEXT, SASL_SSL (SCRAM-SHA-512, and Kerberos where there is a KDC) and the controller's own. Data, settings and
certificates lie under the cluster's directory. Ready means that it answers a metadata request and completes a verified TLS handshake.
"""

import base64
import socket
import ssl
import struct
import uuid

import artifacts
import kdc_server
from process import checked

USER = "wasmill"
PASSWORD = "wasmill-secret"
MECHANISM = "SCRAM-SHA-512"
STORE_PASSWORD = "changeit"
# How long a connection with a ticket lasts without another one.
REAUTHENTICATION_MS = 15_000

# Small caches and partition counts: this is a test machine's only broker. What differs from the defaults in meaning:
# no topics by accident, no waiting for a second member, records with old timestamps are not deleted, and a member that
# was killed is missed after `session.timeout` instead of 45 s.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:{controller}
listeners=PLAINTEXT://localhost:{plaintext},SASL_SSL://localhost:{sasl_ssl},CONTROLLER://localhost:{controller}
advertised.listeners=PLAINTEXT://localhost:{plaintext},SASL_SSL://localhost:{sasl_ssl}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.ssl.keystore.type=PKCS12
listener.name.sasl_ssl.ssl.keystore.location={dir}/server.p12
listener.name.sasl_ssl.ssl.keystore.password={store_password}
listener.name.sasl_ssl.ssl.key.password={store_password}
log.dirs={dir}/data
num.partitions=1
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.retention.ms=-1
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
group.initial.rebalance.delay.ms=0
group.coordinator.rebalance.protocols=classic,consumer
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms={heartbeat_ms}
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms={session_ms}
"""

# With a KDC the same listener takes tickets, too.
KERBEROS = """\
sasl.enabled.mechanisms=SCRAM-SHA-512,GSSAPI
sasl.kerberos.service.name=kafka
listener.name.sasl_ssl.gssapi.connections.max.reauth.ms={reauth_ms}
listener.name.sasl_ssl.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true \
  keyTab="{keytab}" principal="kafka/localhost@{realm}";
"""

LOGGING = """\
status = error
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


def class_path():
    return f"{artifacts.jars('kafka')}/*"


def java(main_class, *arguments, heap="256m", options=()):
    """The command that runs a class from Kafka's jars."""
    return ["java", f"-Xmx{heap}", *options, "-cp", class_path(), main_class, *map(str, arguments)]


def server_command(directory, heap, kerberos=None):
    """The command that runs the broker whose files are in `directory`; `kerberos`: the KDC's directory."""
    logging = f"-Dlog4j2.configurationFile={directory}/log4j2.properties"
    options = [logging, "-Djava.net.preferIPv4Stack=true", "-XX:+ExitOnOutOfMemoryError"]
    options += [f"-Djava.security.krb5.conf={kerberos}/krb5.conf"] if kerberos else []
    return java("kafka.Kafka", f"{directory}/server.properties", heap=heap, options=options)


def certificates(directory):
    """An authority, a key for `localhost` that it signed (server.p12), and the authority's certificate (ca.pem)."""
    store = ["-keystore", f"{directory}/server.p12", "-storetype", "PKCS12", "-storepass", STORE_PASSWORD]
    key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]
    names = "san=dns:localhost,ip:127.0.0.1"
    for command in (
        [*key, "-alias", "ca", "-dname", "CN=wasmill test authority", "-ext", "bc:critical=ca:true"],
        [*key, "-alias", "server", "-dname", "CN=localhost", "-ext", names, "-signer", "ca"],
        ["-exportcert", "-alias", "ca", "-rfc", "-file", f"{directory}/ca.pem"],
        # Else the broker might present the authority's own key.
        ["-delete", "-alias", "ca"],
    ):
        checked(["keytool", *command, *store])


def prepare(directory, ports, heartbeat_ms, kerberos=None):
    """Writes settings and certificates and formats the log directory; `kerberos`: the KDC's directory."""
    directory.mkdir(parents=True)
    certificates(directory)
    text = PROPERTIES.format(
        dir=directory,
        store_password=STORE_PASSWORD,
        heartbeat_ms=heartbeat_ms,
        session_ms=max(6 * heartbeat_ms, 6000),
        **ports,
    )
    if kerberos:
        keytab = kdc_server.keytab(kerberos, "kafka")
        text += KERBEROS.format(keytab=keytab, realm=kdc_server.REALM, reauth_ms=REAUTHENTICATION_MS)
    (directory / "server.properties").write_text(text)
    (directory / "log4j2.properties").write_text(LOGGING)
    # An id as the tool would make it, without another second of Java. It may not begin with a dash.
    cluster_id = "w" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    scram = f"{MECHANISM}=[name={USER},password={PASSWORD}]"
    properties = directory / "server.properties"
    checked(java("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", properties, "--add-scram", scram))


def ready(ports, directory):
    """True when clients of both listeners would be served."""
    try:
        with socket.create_connection(("localhost", ports["plaintext"]), timeout=2) as connection:
            if metadata_brokers(connection) < 1:
                return False
        trust = ssl.create_default_context(cafile=f"{directory}/ca.pem")
        with socket.create_connection(("localhost", ports["sasl_ssl"]), timeout=2) as connection:
            with trust.wrap_socket(connection, server_hostname="localhost"):
                return True
    except (OSError, struct.error):
        return False


def metadata_brokers(connection):
    """How many brokers a Metadata request (version 0, no topic) names."""
    client = b"wasmill-tests"
    body = struct.pack(">hhih", 3, 0, 1, len(client)) + client + struct.pack(">i", 0)
    connection.sendall(struct.pack(">i", len(body)) + body)
    answer = b""
    while len(answer) < 12:
        piece = connection.recv(4096)
        if not piece:
            return 0
        answer += piece
    _length, _correlation, brokers = struct.unpack(">iii", answer[:12])
    return brokers

"""One real Kafka Connect worker, which keeps its connectors in topics of the test's broker.

It is what wasmill's own API for Connect's clients is held against. Ready means that it lists its connectors.
"""

import urllib.request

import artifacts

PROPERTIES = """\
bootstrap.servers=localhost:{kafka}
listeners=http://localhost:{http}
group.id=connect-oracle
config.storage.topic=connect-oracle-configs
offset.storage.topic=connect-oracle-offsets
status.storage.topic=connect-oracle-statuses
config.storage.replication.factor=1
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.replication.factor=1
status.storage.partitions=1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
plugin.discovery=service_load
"""

LOGGING = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


def prepare(directory, http, kafka):
    """Writes the worker's settings. `kafka`: the broker's plain port."""
    directory.mkdir(parents=True)
    (directory / "worker.properties").write_text(PROPERTIES.format(http=http, kafka=kafka))
    (directory / "log4j2.properties").write_text(LOGGING)


def server_command(directory, heap):
    """The command that runs the worker whose files are in `directory`."""
    options = [f"-Xmx{heap}", f"-Dlog4j2.configurationFile={directory}/log4j2.properties"]
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    return ["java", *options, "-cp", f"{artifacts.jars('connect')}/*", main, f"{directory}/worker.properties"]


def url(port):
    """As its clients want it."""
    return f"http://localhost:{port}"


def ready(port):
    """True when it would serve a client now."""
    try:
        with urllib.request.urlopen(f"{url(port)}/connectors", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False

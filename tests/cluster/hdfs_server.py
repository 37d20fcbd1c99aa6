"""A real HDFS: one NameNode and some DataNodes, each a process.

Data and settings lie under the cluster's directory; every server has a configuration directory of its own. Ready means:
the NameNode is out of safe mode and a DataNode reports to it.
"""

import json
import shutil
import urllib.request
from pathlib import Path

import artifacts
import kdc_server
from process import checked

# DataNodes are missed after 2 * recheck + 10 * heartbeat = 20 s (not ten minutes); tests may write tiny blocks.
SITE = {
    "dfs.replication": "1",
    "dfs.namenode.safemode.extension": "0",
    "dfs.namenode.heartbeat.recheck-interval": "5000",
    "dfs.heartbeat.interval": "1",
    "dfs.namenode.fs-limits.min-block-size": "1024",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.namenode.acls.enabled": "true",
}

# With a KDC: who talks to the NameNode has a ticket, what goes to and from DataNodes is encrypted with keys that the NameNode gives
# out. The ports are not root's, which a secured DataNode wants unless it is told that this is a test.
KERBEROS = {
    "hadoop.security.authentication": "kerberos",
    "hadoop.security.authorization": "true",
    "hadoop.rpc.protection": "privacy",
    "dfs.block.access.token.enable": "true",
    "dfs.data.transfer.protection": "privacy",
    "ignore.secure.ports.for.testing": "true",
    "dfs.namenode.kerberos.principal": f"hdfs/localhost@{kdc_server.REALM}",
    "dfs.datanode.kerberos.principal": f"hdfs/localhost@{kdc_server.REALM}",
    "dfs.web.authentication.kerberos.principal": f"HTTP/localhost@{kdc_server.REALM}",
}

LOGGING = """\
log4j.rootLogger=INFO,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
"""

WEB_XML = '<web-app xmlns="http://java.sun.com/xml/ns/javaee" version="2.5"></web-app>\n'
# Never by way of a proxy from the environment.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
OPTIONS = [
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Djava.net.preferIPv4Stack=true",
    "-XX:+ExitOnOutOfMemoryError",
]


def java(conf, main_class, *arguments, heap="256m"):
    """The command that runs a class from Hadoop's jars with the settings in `conf`."""
    options = OPTIONS
    if (krb5 := Path(conf) / "krb5.conf").exists():
        options = [*OPTIONS, f"-Djava.security.krb5.conf={krb5}"]
    class_path = f"{conf}:{artifacts.jars('hdfs')}/*"
    return ["java", f"-Xmx{heap}", *options, "-cp", class_path, main_class, *map(str, arguments)]


def namenode_command(conf, heap, *arguments):
    return java(conf, "org.apache.hadoop.hdfs.server.namenode.NameNode", *arguments, heap=heap)


def datanode_command(conf, heap):
    return java(conf, "org.apache.hadoop.hdfs.server.datanode.DataNode", heap=heap)


def site_xml(settings):
    properties = "".join(f"  <property><name>{k}</name><value>{v}</value></property>\n" for k, v in settings.items())
    return f"<configuration>\n{properties}</configuration>\n"


def kerberos_settings(kerberos):
    """What servers and clients are set to where there is a KDC, whose directory is `kerberos`."""
    hdfs, http = kdc_server.keytab(kerberos, "hdfs"), kdc_server.keytab(kerberos, "http")
    files = {"dfs.namenode.keytab.file": hdfs, "dfs.datanode.keytab.file": hdfs}
    return {**KERBEROS, **files, "dfs.web.authentication.kerberos.keytab": http}


def write_conf(conf, uri, settings, kerberos=None):
    """A configuration directory that goes first on a server's class path."""
    for web_application in ("hdfs", "datanode"):
        # The jars lack these two, and the servers stop without them.
        place = conf / "webapps" / web_application / "WEB-INF"
        place.mkdir(parents=True)
        (place / "web.xml").write_text(WEB_XML)
    core = {"fs.defaultFS": uri, "hadoop.tmp.dir": conf.parent / "tmp"}
    if kerberos:
        shutil.copy(kerberos / "krb5.conf", conf)
        secured = kerberos_settings(kerberos)
        core |= {name: value for name, value in secured.items() if name.startswith("hadoop.")}
        settings = {**settings, **{name: value for name, value in secured.items() if name not in core}}
    (conf / "core-site.xml").write_text(site_xml(core))
    (conf / "hdfs-site.xml").write_text(site_xml({**SITE, **settings}))
    (conf / "log4j.properties").write_text(LOGGING)


def prepare_namenode(directory, ports, replication, kerberos=None):
    """Writes the settings of the NameNode (clients may use them too) and formats its directory."""
    settings = {
        "dfs.replication": replication,
        "dfs.namenode.rpc-address": f"localhost:{ports['rpc']}",
        "dfs.namenode.http-address": f"localhost:{ports['http']}",
        "dfs.namenode.name.dir": f"file://{directory}/name",
    }
    uri = f"hdfs://localhost:{ports['rpc']}"
    # Formatting needs nobody's ticket unless it is set to, and no KDC runs yet.
    write_conf(directory / "format", uri, settings)
    checked(namenode_command(directory / "format", "256m", "-format", "-force"))
    write_conf(directory / "conf", uri, settings, kerberos)


def prepare_datanode(directory, ports, uri, replication, kerberos=None):
    """Writes the settings of one DataNode."""
    settings = {
        "dfs.replication": replication,
        "dfs.datanode.data.dir": f"file://{directory}/data",
        "dfs.datanode.hostname": "localhost",
        "dfs.datanode.address": f"127.0.0.1:{ports['data']}",
        "dfs.datanode.http.address": f"127.0.0.1:{ports['http']}",
        "dfs.datanode.ipc.address": f"127.0.0.1:{ports['ipc']}",
    }
    write_conf(directory / "conf", uri, settings, kerberos)


def bean(port, query):
    """One management bean of a server, as a dictionary; empty when the server does not answer (yet)."""
    try:
        with DIRECT.open(f"http://localhost:{port}/jmx?qry={query}", timeout=2) as answer:
            beans = json.load(answer)["beans"]
    except (OSError, ValueError, KeyError):
        return {}
    return beans[0] if beans else {}


def namenode_ready(ports):
    """True when the NameNode is out of safe mode."""
    info = bean(ports["http"], "Hadoop:service=NameNode,name=NameNodeInfo")
    return info.get("Safemode") == ""


def live_datanodes(ports):
    """The data ports of the DataNodes that the NameNode counts as live."""
    info = bean(ports["http"], "Hadoop:service=NameNode,name=NameNodeInfo")
    nodes = json.loads(info.get("LiveNodes") or "{}")
    return {int(node["xferaddr"].rpartition(":")[2]) for node in nodes.values()}


def datanode_ready(ports, namenode_ports):
    """True when the DataNode reports to the NameNode, and the NameNode says so too."""
    info = bean(ports["http"], "Hadoop:service=DataNode,name=DataNodeInfo")
    actors = json.loads(info.get("BPServiceActorInfo") or "[]")
    running = bool(actors) and all(actor["ActorState"] == "RUNNING" for actor in actors)
    return running and ports["data"] in live_datanodes(namenode_ports)

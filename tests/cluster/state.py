"""A cluster: a directory, a `cluster.json` in it, and the servers that it names.

Purpose: bring up, look at, signal and take down. The JSON file is the only memory, written whole and by rename, so that
every verb is a process of its own. Guarantee: only processes that the file names by pid and start time are touched.
"""

import contextlib
import fcntl
import getpass
import json
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import artifacts
import connect_server
import hdfs_server
import kafka_server
import kdc_server
import process
import registry_server

MARKER = "wasmill-cluster"


class ClusterError(Exception):
    """Something that a person has to put right; the text says what."""


def default_directory():
    """Where `up`, `down` and the others work unless told."""
    return Path(tempfile.gettempdir()) / f"{MARKER}-{getpass.getuser()}"


def free_ports(names, given):
    """A port for each name: the given one, else one that is free now and outside the kernel's own range.

    (A port from the kernel's range could be lent to somebody's outgoing connection while a server is down.)
    """
    found = dict(given)
    taken = set(found.values())
    for name in names:
        while name not in found:
            port = random.randrange(20000, 32000)
            with socket.socket() as probe:
                if port not in taken and probe.connect_ex(("127.0.0.1", port)) != 0:
                    try:
                        probe.close()
                        with socket.socket() as listener:
                            listener.bind(("127.0.0.1", port))
                    except OSError:
                        continue
                    found[name] = port
                    taken.add(port)
    return found


class Cluster:
    """The servers under one directory."""

    def __init__(self, directory):
        self.directory = Path(directory).resolve()
        self.file = self.directory / "cluster.json"
        self.state = {}
        self.kdc_directory = self.directory / "kdc"
        # Only `run` sets this: its servers must not outlive it.
        self.die_with_parent = False

    # -- the file ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self):
        """Loads the file, and lets nobody else change the cluster meanwhile."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.load()
            yield

    def load(self):
        self.state = json.loads(self.file.read_text()) if self.file.exists() else {}

    def save(self):
        beside = self.file.with_suffix(".tmp")
        beside.write_text(json.dumps(self.state, indent=2) + "\n")
        beside.replace(self.file)

    def servers(self):
        return self.state.get("servers", {})

    def server(self, name):
        if name not in self.servers():
            known = ", ".join(self.servers()) or "none"
            raise ClusterError(f"there is no server {name!r} in {self.directory} (there: {known})")
        return self.servers()[name]

    def running(self, name):
        server = self.servers()[name]
        return process.alive(server["pid"], server["start_ticks"])

    # -- bringing up ------------------------------------------------------------------------------------------------

    def up(self, options):
        """Makes the cluster, or starts again what an earlier `up` made here, and waits until it is ready."""
        if not self.state:
            self.create(options)
        deadline = time.monotonic() + options.timeout
        names = [name for name in self.servers() if not self.running(name)]
        if "kdc" in names:
            # The others want its tickets while they start.
            self.spawn(names.pop(names.index("kdc")))
            self.wait_ready("kdc", deadline)
        for name in names:
            self.spawn(name)
        for name in names:
            self.wait_ready(name, deadline)

    def create(self, options):
        """Writes all settings and formats what has to be formatted. Nothing runs after it."""
        kafka = options.kafka or not options.hdfs
        hdfs = options.hdfs or not options.kafka
        datanodes = [f"datanode-{n}" for n in range(1, options.datanodes + 1)]
        names = ["kafka.plaintext", "kafka.sasl_ssl", "kafka.controller"] if kafka else []
        if hdfs:
            names += ["namenode.rpc", "namenode.http"]
            names += [f"{node}.{part}" for node in datanodes for part in ("data", "http", "ipc")]
        if options.registry:
            names.append("registry.http")
        if options.connect:
            if not kafka:
                raise ClusterError("a Connect worker keeps its connectors in Kafka: --connect wants --kafka")
            names.append("connect.http")
        if options.kerberos:
            names.append("kdc.tickets")
        if strangers := set(options.ports) - set(names):
            raise ClusterError(f"no port is named {', '.join(sorted(strangers))}; there are: {', '.join(names)}")
        ports = free_ports(names, options.ports)
        state = {"version": 1, "directory": str(self.directory), "created_at": time.time(), "servers": {}}
        if options.kerberos:
            self.create_kdc(state, part_of(ports, "kdc"), options)
        if kafka:
            self.create_kafka(state, part_of(ports, "kafka"), options)
        if hdfs:
            self.create_hdfs(state, ports, datanodes, options)
        if options.registry:
            self.create_registry(state, part_of(ports, "registry"))
        if options.connect:
            self.create_connect(state, part_of(ports, "connect"), part_of(ports, "kafka"))
        self.state = state
        self.save()

    def create_kdc(self, state, ports, options):
        directory = self.kdc_directory
        kdc_server.prepare(directory, ports["tickets"], options.ticket_seconds)
        state["kerberos"] = {"realm": kdc_server.REALM, "directory": str(directory), "ticket_seconds": options.ticket_seconds}
        add_server(state, "kdc", directory, ports, kdc_server.server_command(directory))

    def create_kafka(self, state, ports, options):
        directory = self.directory / "kafka"
        kerberos = self.kdc_directory if options.kerberos else None
        kafka_server.prepare(directory, ports, options.heartbeat_ms, kerberos)
        state["kafka"] = {
            "bootstrap": f"localhost:{ports['plaintext']}",
            "sasl_ssl": f"localhost:{ports['sasl_ssl']}",
            "mechanism": kafka_server.MECHANISM,
            "user": kafka_server.USER,
            "password": kafka_server.PASSWORD,
            "ca": f"{directory}/ca.pem",
        }
        add_server(state, "kafka", directory, ports, kafka_server.server_command(directory, options.kafka_heap, kerberos))

    def create_hdfs(self, state, ports, datanodes, options):
        own = part_of(ports, "namenode")
        directory = self.directory / "namenode"
        uri = f"hdfs://localhost:{own['rpc']}"
        kerberos = self.kdc_directory if options.kerberos else None
        hdfs_server.prepare_namenode(directory, own, options.replication, kerberos)
        command = hdfs_server.namenode_command(directory / "conf", options.namenode_heap)
        state["hdfs"] = {
            "uri": uri,
            "http": f"http://localhost:{own['http']}",
            "conf": f"{directory}/conf",
            "replication": options.replication,
        }
        add_server(state, "namenode", directory, own, command)
        for node in datanodes:
            directory = self.directory / node
            hdfs_server.prepare_datanode(directory, part_of(ports, node), uri, options.replication, kerberos)
            command = hdfs_server.datanode_command(directory / "conf", options.datanode_heap)
            add_server(state, node, directory, part_of(ports, node), command)

    def create_registry(self, state, ports):
        directory = self.directory / "registry"
        directory.mkdir()
        state["registry"] = {"url": registry_server.url(ports["http"])}
        add_server(state, "registry", directory, ports, registry_server.server_command(ports["http"], "256m"))

    def create_connect(self, state, ports, kafka):
        directory = self.directory / "connect"
        connect_server.prepare(directory, ports["http"], kafka["plaintext"])
        state["connect"] = {"url": connect_server.url(ports["http"])}
        add_server(state, "connect", directory, ports, connect_server.server_command(directory, "256m"))

    def spawn(self, name):
        """Starts a server's process and notes it. Does not wait."""
        server = self.server(name)
        pid, ticks = process.spawn(server["command"], server["log"], server["directory"], self.die_with_parent)
        server["pid"], server["start_ticks"] = pid, ticks
        self.save()

    def wait_ready(self, name, deadline):
        """Returns once the server serves; an error says why it does not."""
        while not self.ready(name):
            trouble = None if self.running(name) else "stopped while starting"
            if time.monotonic() > deadline:
                trouble = "is not ready in time"
            if trouble:
                log = self.server(name)["log"]
                raise ClusterError(f"{name} {trouble}. The end of {log}:\n{self.log_tail(name)}")
            time.sleep(0.1)

    def ready(self, name):
        """True when the server would serve a client now."""
        if not self.running(name):
            return False
        server = self.server(name)
        if name == "kafka":
            return kafka_server.ready(server["ports"], server["directory"])
        if name == "kdc":
            return kdc_server.ready(Path(server["directory"]))
        if name == "registry":
            return registry_server.ready(server["ports"]["http"])
        if name == "connect":
            return connect_server.ready(server["ports"]["http"])
        namenode = self.server("namenode")["ports"]
        if name == "namenode":
            return hdfs_server.namenode_ready(namenode)
        return hdfs_server.datanode_ready(server["ports"], namenode)

    def log_tail(self, name):
        try:
            lines = Path(self.server(name)["log"]).read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-25:])

    # -- single servers ---------------------------------------------------------------------------------------------

    def signal(self, name, number):
        """SIGKILL, SIGSTOP or SIGCONT to one server; after SIGKILL it is gone when this returns."""
        server = self.server(name)
        if not process.send(server["pid"], server["start_ticks"], number):
            raise ClusterError(f"{name} is not running")
        if number == signal.SIGKILL and not process.wait_gone(server["pid"], server["start_ticks"], 30):
            raise ClusterError(f"{name} (pid {server['pid']}) does not die")

    def start(self, name, wait, timeout):
        """Starts a server that was killed, with the data it had."""
        self.server(name)
        if self.running(name):
            raise ClusterError(f"{name} is running")
        self.spawn(name)
        if wait:
            self.wait_ready(name, time.monotonic() + timeout)

    # -- taking down ------------------------------------------------------------------------------------------------

    def down(self, keep):
        """Ends all servers; removes the directory unless `keep` (then they end in good order, and `up` goes on)."""
        number = signal.SIGTERM if keep else signal.SIGKILL
        # DataNodes first, as they talk to the NameNode.
        servers = list(reversed(self.servers().values()))
        for server in servers:
            if process.send(server["pid"], server["start_ticks"], number):
                process.send(server["pid"], server["start_ticks"], signal.SIGCONT)
        for server in servers:
            if not process.wait_gone(server["pid"], server["start_ticks"], 20):
                process.send(server["pid"], server["start_ticks"], signal.SIGKILL)
                process.wait_gone(server["pid"], server["start_ticks"], 20)
        if not keep:
            self.remove()

    def remove(self):
        """Removes what `create` made, and the directory if nothing else is in it."""
        for name in ("kdc", "kafka", "registry", "connect", "namenode", *(f"datanode-{n}" for n in range(1, 100))):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for name in ("cluster.json", "cluster.tmp", "lock"):
            (self.directory / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def environment(self):
        """What a command under test gets to know."""
        found = {"WASMILL_TEST_CLUSTER": str(self.file)}
        if kafka := self.state.get("kafka"):
            found["WASMILL_TEST_KAFKA"] = kafka["bootstrap"]
            found["WASMILL_TEST_KAFKA_SASL_SSL"] = kafka["sasl_ssl"]
            found["WASMILL_TEST_KAFKA_CA"] = kafka["ca"]
            found["WASMILL_TEST_KAFKA_USER"] = kafka["user"]
            found["WASMILL_TEST_KAFKA_PASSWORD"] = kafka["password"]
        if hdfs := self.state.get("hdfs"):
            found["WASMILL_TEST_HDFS"] = hdfs["uri"]
        if kerberos := self.state.get("kerberos"):
            found |= kdc_server.environment(kerberos["directory"])
            found["WASMILL_TEST_KERBEROS"] = kerberos["directory"]
            found["WASMILL_TEST_KERBEROS_REALM"] = kerberos["realm"]
            if hdfs := self.state.get("hdfs"):
                # Without it the client does not know that it needs a ticket.
                found["HADOOP_CONF_DIR"] = hdfs["conf"]
        if registry := self.state.get("registry"):
            found["WASMILL_TEST_REGISTRY"] = registry["url"]
        if connect := self.state.get("connect"):
            found["WASMILL_TEST_CONNECT"] = connect["url"]
        if python := artifacts.venv_python(create=False):
            found["WASMILL_TEST_PYTHON"] = str(python)
        return found


def part_of(ports, server):
    """The ports `SERVER.PART` of one server, by part."""
    return {name.partition(".")[2]: port for name, port in ports.items() if name.partition(".")[0] == server}


def add_server(state, name, directory, ports, command):
    """Enters a server that does not run yet."""
    state["servers"][name] = {
        "pid": 0,
        "start_ticks": 0,
        "ports": ports,
        "directory": str(directory),
        "log": f"{directory}/{name}.log",
        "command": [str(word) for word in command],
    }


def abandoned():
    """Directories of `run` whose launcher is gone (it was killed with SIGKILL)."""
    found = []
    for directory in Path(tempfile.gettempdir()).glob(f"{MARKER}-run-*"):
        pid, _, ticks = directory.name.removeprefix(f"{MARKER}-run-").partition("-")
        if pid.isdigit() and not process.alive(int(pid), int(ticks.partition("-")[0] or 0)):
            found.append(directory)
    return found


def run_directory():
    """A new directory for `run`, whose name tells its launcher."""
    prefix = f"{MARKER}-run-{os.getpid()}-{process.start_ticks(os.getpid())}-"
    return Path(tempfile.mkdtemp(prefix=prefix))

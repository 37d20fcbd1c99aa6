"""What can go wrong on purpose, one function each. A fault begins, lasts a while, and is put right before it returns.

Each returns when its harm was over (seconds since 1970), or None for a fault that nobody puts right: a killed host does not
come back by itself, the others must take over. `SINCE` says from where recovery is counted: an outage cannot end before
it ends, so there it is from the end; where the pipeline should go on regardless, it is from the beginning.
"""

import signal
import subprocess
import time

import hosts as processes
import kafka_server
import process
import watch

MOST_TOPIC_PARTITIONS = 8
MOST_HOSTS = 3
READY_SECONDS = 120
SILENCE_SECONDS = 45


class Ground:
    """What faults work on: the cluster, the hosts, the producer, and a source of randomness that a seed fixes."""

    def __init__(self, cluster, hdfs, job, producer, chance):
        self.cluster, self.hdfs, self.job = cluster, hdfs, job
        self.producer, self.chance = producer, chance
        self.hosts = []
        self.started = 0
        self.deployment = "first"
        self.topic_partitions = job.topic_partitions
        self.notes = []
        # Of the fault that goes on; its verdict comes once it is got over.
        self.watch = None

    def start_host(self, **options):
        self.started += 1
        host = processes.Host(f"host-{self.started}", self.deployment, self.job, **options)
        self.hosts.append(host)
        return host

    def finish_host(self, host):
        """SIGTERM; an end that was not clean is noted, and is no fault of its own: nothing may be lost by it."""
        self.hosts.remove(host)
        code = host.finish()
        if code != 0:
            what = "did not end and was killed" if code is None else f"ended with {code}"
            self.notes.append(f"{host.name} {what} after SIGTERM: {host.log_tail(3)}")

    def ended_by_themselves(self):
        """Hosts that nobody told to end, with the end of their logs; removed from the list."""
        gone = [host for host in self.hosts if not host.alive()]
        for host in gone:
            self.hosts.remove(host)
        return [f"{host.name} ended by itself with {host.child.returncode}:\n{host.log_tail()}" for host in gone]

    def look(self):
        """To be called all the while that a fault is got over."""
        if self.watch is not None:
            self.watch.look()

    def verdict(self):
        """What the hosts must not have done while they were watched."""
        if self.watch is None:
            return []
        (failures, notes), self.watch = self.watch.verdict(), None
        self.notes += notes
        return failures

    def pause(self, least, most):
        time.sleep(self.chance.uniform(least, most))

    def restart(self, server, number):
        """Ends a server by a signal, lets it lie for a while, and starts it again; returns once it serves."""
        with self.cluster.locked():
            there = self.cluster.server(server)
            process.send(there["pid"], there["start_ticks"], number)
            if not process.wait_gone(there["pid"], there["start_ticks"], 40):
                self.cluster.signal(server, signal.SIGKILL)
        self.pause(0.5, 4)
        with self.cluster.locked():
            self.cluster.start(server, wait=True, timeout=READY_SECONDS)
        return time.time()


def kill_host(ground):
    """kill -9; another host starts a little later."""
    host = ground.chance.choice(ground.hosts)
    ground.hosts.remove(host)
    host.kill()
    if ground.chance.random() < 0.5 or len(ground.hosts) < 2:
        ground.pause(0, 3)
        ground.start_host()


def stop_host(ground):
    """SIGSTOP until well after the session has expired, then SIGCONT: a zombie that believes it still owns everything."""
    host = ground.chance.choice(ground.hosts)
    host.signal(signal.SIGSTOP)
    try:
        ground.pause(ground.job.session_seconds + 2, ground.job.session_seconds + 7)
    finally:
        host.signal(signal.SIGCONT)


def restart_broker(ground):
    """The only broker, killed or in good order."""
    return ground.restart("kafka", ground.chance.choice([signal.SIGKILL, signal.SIGTERM]))


def restart_namenode(ground):
    """The only NameNode, killed or in good order."""
    return ground.restart("namenode", ground.chance.choice([signal.SIGKILL, signal.SIGTERM]))


def silence_namenode(ground):
    """SIGSTOP for long: connections stay open, and nothing is answered. Hosts must keep within their memory, stay in the group, and
    go on by themselves."""
    ground.watch = watch.Watch(ground.hosts)
    with ground.cluster.locked():
        there = ground.cluster.server("namenode")
    process.send(there["pid"], there["start_ticks"], signal.SIGSTOP)
    try:
        ground.watch.go_on(SILENCE_SECONDS)
    finally:
        process.send(there["pid"], there["start_ticks"], signal.SIGCONT)
    return time.time()


def kill_datanode(ground):
    """One of two DataNodes goes, and comes back before or after the NameNode has missed it."""
    ground.restart(ground.chance.choice(["datanode-1", "datanode-2"]), signal.SIGKILL)


def start_host(ground):
    """One host more takes its share; or one leaves in good order, if there are many."""
    if len(ground.hosts) < MOST_HOSTS:
        ground.start_host()
    else:
        ground.finish_host(ground.chance.choice(ground.hosts))


def fill_storage(ground):
    """The table's directory has no byte left: a quota below what it holds already."""
    ground.hdfs.set_space_quota(f"{ground.job.base}/table", 1)
    try:
        ground.pause(3, 8)
    finally:
        ground.hdfs.set_space_quota(f"{ground.job.base}/table", None)
    return time.time()


def add_topic_partitions(ground):
    """Two more; the producer is started again, because it counts them only then."""
    if ground.topic_partitions >= MOST_TOPIC_PARTITIONS:
        return start_host(ground)
    ground.topic_partitions += 2
    words = ["--bootstrap-server", ground.job.brokers, "--alter", "--topic", ground.job.topic]
    words += ["--partitions", str(ground.topic_partitions)]
    command = kafka_server.java("org.apache.kafka.tools.TopicCommand", *words)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=READY_SECONDS)
    ground.producer.restart()
    return time.time()


def change_deployment(ground):
    """Other transforms, other settings, one more column or less: the hosts are replaced one by one."""
    ground.deployment = "second" if ground.deployment == "first" else "first"
    for host in list(ground.hosts):
        ground.finish_host(host)
        ground.start_host()
    return time.time()


BEGIN, END = "its beginning", "its end"
# Name: what is done, from where recovery is counted.
FAULTS = {
    "kill -9 a host": (kill_host, BEGIN),
    "stop a host past its session, go on": (stop_host, BEGIN),
    "restart the broker": (restart_broker, END),
    "restart the NameNode": (restart_namenode, END),
    "stop the NameNode for long, go on": (silence_namenode, END),
    "kill a DataNode, start it again": (kill_datanode, BEGIN),
    "start or end a host": (start_host, BEGIN),
    "no space for the table": (fill_storage, END),
    "add topic partitions": (add_topic_partitions, END),
    "change the deployment": (change_deployment, END),
}
# What takes too long for a short run, and comes alone: what is asserted of it could be another one's doing.
LONG = {"stop the NameNode for long, go on"}

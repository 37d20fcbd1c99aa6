#!/usr/bin/env python3
"""Real servers for the tests: a Kafka broker, an HDFS, a schema registry and a KDC, fetched from Maven Central and started here.

    cluster.py fetch                      fetch the jars (once; `up` and `run` do it too)
    cluster.py up --dir D                 start Kafka and HDFS (--registry: that, too), wait until they serve, print cluster.json
    cluster.py run -- cargo test          start, run a command with WASMILL_TEST_* set, stop: whatever happens
    cluster.py topic create NAME --partitions 4
    cluster.py kill datanode-1            (kill, stop, cont, start: one server, for tests of faults)
    cluster.py run --kerberos -- COMMAND  the same, with a KDC whose tickets Kafka and HDFS ask for
    cluster.py down                       end all, remove the data (--keep: keep it, `up` goes on from there)

Python's standard library and a JDK 17 with Maven are all it needs. Without --dir a verb works on the directory
of $WASMILL_TEST_CLUSTER, else on one fixed place under the temporary directory.
`run` kills its servers even when it is itself killed with SIGKILL; what a fault test had started again by then
stays, and `down --abandoned` ends it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import artifacts
import hdfs_server
import kafka_server
import process
import runner
import state

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}


def port_list(text):
    """`kafka.plaintext=9092,namenode.rpc=9000` as a dictionary."""
    try:
        return {name: int(port) for name, port in (item.split("=") for item in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError("write NAME=PORT,NAME=PORT, such as kafka.plaintext=9092,namenode.rpc=9000")


def add_server_options(parser):
    parser.add_argument("--kafka", action="store_true", help="only Kafka (with --hdfs: both, as without either)")
    parser.add_argument("--hdfs", action="store_true", help="only HDFS")
    parser.add_argument("--registry", action="store_true", help="a schema registry, too")
    parser.add_argument("--connect", action="store_true", help="a Kafka Connect worker, too; it needs Kafka")
    parser.add_argument("--kerberos", action="store_true", help="a KDC, whose tickets Kafka (its SASL_SSL listener) and HDFS ask for")
    parser.add_argument("--ticket-seconds", type=int, default=3600, help="how long a ticket of `wasmill` lives (default 3600)")
    parser.add_argument("--datanodes", type=int, default=1, help="how many DataNodes (default 1)")
    parser.add_argument("--replication", type=int, default=1, help="replicas of an HDFS block (default 1)")
    parser.add_argument("--ports", type=port_list, default={}, help="NAME=PORT,...: the others are chosen")
    parser.add_argument("--heartbeat-ms", type=int, default=1000, help="of the new consumer group protocol")
    parser.add_argument("--kafka-heap", default="512m")
    parser.add_argument("--namenode-heap", default="256m")
    parser.add_argument("--datanode-heap", default="256m")
    parser.add_argument("--timeout", type=float, default=180, help="seconds until all must be ready (default 180)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, text):
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument("--dir", type=Path, help="the cluster's directory")
        return made

    verbs.add_parser("fetch", help="fetch the jars and the Python packages")
    verbs.add_parser("venv", help="make the Python environment of the independent checks, print its interpreter")
    add_server_options(verb("up", "start the servers in the background and wait until they serve"))
    down = verb("down", "end the servers and remove their data")
    down.add_argument("--keep", action="store_true", help="keep the data: `up` goes on from there")
    down.add_argument("--abandoned", action="store_true", help="clean up after every `run` that was killed")
    verb("status", "print each server's state; exit code 1 unless all are ready")
    run = verb("run", "start, run a command, stop")
    add_server_options(run)
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    for name, text in (("kill", "SIGKILL"), ("stop", "SIGSTOP"), ("cont", "SIGCONT")):
        verb(name, f"send one server {text}").add_argument("server")
    start = verb("start", "start one server that was killed, with its data")
    start.add_argument("server")
    start.add_argument("--no-wait", action="store_true", help="do not wait until it serves")
    start.add_argument("--timeout", type=float, default=180)
    topic = verb("topic", "create, list, describe or delete topics")
    topic.add_argument("action", choices=["create", "list", "describe", "delete"])
    topic.add_argument("name", nargs="?")
    topic.add_argument("--partitions", type=int, default=1)
    topic.add_argument("--config", action="append", default=[], metavar="K=V")
    fs = verb("fs", "Hadoop's FsShell on this HDFS, such as: fs -ls -R /")
    fs.set_defaults(words=[])
    tool = verb("kafka-tool", "a class from Kafka's jars, such as: kafka-tool org.apache.kafka.tools.GetOffsetShell ...")
    tool.set_defaults(words=[])
    options, rest = parser.parse_known_args()
    # argparse would take the first word that begins with a dash for an option of its own.
    if hasattr(options, "words"):
        options.words += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def chosen_directory(options):
    """--dir, else the running test's cluster, else the fixed place."""
    if options.dir:
        return options.dir
    if told := os.environ.get("WASMILL_TEST_CLUSTER"):
        return Path(told).parent
    return state.default_directory()


def up(cluster, options):
    existing = cluster.file.exists()
    for number in runner.ENDING:
        signal.signal(number, runner.interrupt)
    with cluster.locked():
        try:
            cluster.up(options)
        except BaseException:
            # Half a cluster helps nobody. What an earlier `up` left here stays, of course.
            cluster.down(keep=existing)
            raise
    print(json.dumps(cluster.state, indent=2))


def down(cluster, options):
    targets = [state.Cluster(place) for place in state.abandoned()] if options.abandoned else [cluster]
    for target in targets:
        if not target.file.exists() and not options.abandoned:
            raise state.ClusterError(f"there is no cluster in {target.directory}")
        with target.locked():
            target.down(options.keep)


def status(cluster):
    cluster.load()
    if not cluster.state:
        raise state.ClusterError(f"there is no cluster in {cluster.directory}")
    words = {}
    for name, server in cluster.servers().items():
        fields = process.stat_fields(server["pid"]) or ["?"]
        stopped = cluster.running(name) and fields[0] == "T"
        if not cluster.running(name):
            words[name] = "dead"
        elif stopped:
            words[name] = "stopped"
        else:
            words[name] = "ready" if cluster.ready(name) else "starting"
        print(f"{name:12} {words[name]:9} pid {server['pid']:<8} {server['ports']}")
    return 0 if set(words.values()) == {"ready"} else 1


def topic(cluster, options):
    cluster.load()
    if "kafka" not in cluster.state:
        raise state.ClusterError(f"there is no Kafka in {cluster.directory}")
    words = ["--bootstrap-server", cluster.state["kafka"]["bootstrap"], f"--{options.action}"]
    if options.action == "create":
        words += ["--partitions", str(options.partitions)]
        words += [word for setting in options.config for word in ("--config", setting)]
    if options.name:
        words += ["--topic", options.name]
    return subprocess.call(kafka_server.java("org.apache.kafka.tools.TopicCommand", *words))


def plain_words(words):
    return words[1:] if words[:1] == ["--"] else words


def fs(cluster, options):
    cluster.load()
    if "hdfs" not in cluster.state:
        raise state.ClusterError(f"there is no HDFS in {cluster.directory}")
    conf = cluster.state["hdfs"]["conf"]
    return subprocess.call(hdfs_server.java(conf, "org.apache.hadoop.fs.FsShell", *plain_words(options.words)))


def dispatch(options):
    """Does the verb; returns the exit code."""
    if options.verb == "fetch":
        for name in artifacts.JAR_SETS:
            artifacts.jars(name)
        artifacts.registry()
        artifacts.venv_python()
        return 0
    if options.verb == "venv":
        print(artifacts.venv_python())
        return 0
    if options.verb == "run":
        return runner.run(options, plain_words(options.command))
    if options.verb == "kafka-tool":
        return subprocess.call(kafka_server.java(*plain_words(options.words)))
    cluster = state.Cluster(chosen_directory(options))
    if options.verb in SIGNALS:
        with cluster.locked():
            cluster.signal(options.server, SIGNALS[options.verb])
        return 0
    if options.verb == "start":
        with cluster.locked():
            cluster.start(options.server, not options.no_wait, options.timeout)
        return 0
    if options.verb == "status":
        return status(cluster)
    if options.verb == "topic":
        return topic(cluster, options)
    if options.verb == "fs":
        return fs(cluster, options)
    return {"up": up, "down": down}[options.verb](cluster, options) or 0


def main():
    try:
        return dispatch(arguments())
    except (artifacts.FetchError, state.ClusterError, RuntimeError) as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 1
    except runner.Interrupted as interrupted:
        print(f"cluster.py: ended by {interrupted}", file=sys.stderr)
        return 128 + interrupted.number


if __name__ == "__main__":
    sys.exit(main())

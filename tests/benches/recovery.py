#!/usr/bin/env python3
"""How long it takes until messages flow: after a start, after a planned hand-over, after kill -9.

    tests/cluster/cluster.py run -- tests/benches/recovery.py --wasmill target/release/wasmill

Runs on the servers that WASMILL_TEST_* name, with the shipped pipeline. Times are differences between log lines of hosts, and
the moment at which a process was started or killed; each counts until the last topic partition has its first messages.
The table is made old by table_age.py. Goals: a start 300 ms on local disk and 1.5 s on HDFS whatever the
table's age, a hand-over by the group protocol `consumer` 2 s on HDFS, a take-over the session timeout plus 2 s. Prints a table, and writes it with all figures into
tests/benches/results; exits with 1 when a goal is missed (--no-goals: only reports it).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import watched
from watched import HERE, TOPIC_PARTITIONS, Job, kafka_tool, say

import hdfs_server  # found since watched has added its path
import table_age
import webhdfs

AGES = [10, 1_000, 10_000, 100_000]
SESSION_SECONDS = 6
GOALS = {"start on local disk": 0.3, "start on HDFS": 1.5, "hand-over": 2.0, "take-over": SESSION_SECONDS + 2.0}


def arguments():
    parser = watched.parser(__doc__)
    parser.add_argument("--ages", type=lambda text: [int(word) for word in text.split(",")], default=AGES)
    parser.add_argument("--only", action="append", choices=["start", "hand-over", "take-over"])
    options = watched.parse(parser)
    options.only = options.only or ["start", "hand-over", "take-over"]
    return options


def cluster():
    return json.loads(Path(os.environ["WASMILL_TEST_CLUSTER"]).read_text())


def upload(local, remote):
    command = hdfs_server.java(cluster()["hdfs"]["conf"], str(HERE / "jobs" / "Upload.java"), str(local), remote, heap="512m")
    subprocess.run(command, check=True, timeout=1200)


def make_old(job, files, on_hdfs):
    """The pipeline has committed a first range; afterwards its table has so many files."""
    table, checkpoints = job.environment["WASMILL_TABLE"], job.environment["WASMILL_CHECKPOINTS"]
    if not on_hdfs:
        table_age.age(Path(checkpoints), Path(table), table, job.topic, files)
        return
    hdfs, root = webhdfs.WebHdfs(cluster()["hdfs"]["http"]), os.environ["WASMILL_TEST_HDFS"]
    local = job.scratch / "aged"
    path = checkpoints.removeprefix(root)
    hdfs.fetch(path, local / "checkpoints")
    table_age.age(local / "checkpoints", local / "table", table.removeprefix(root), job.topic, files)
    hdfs.call("DELETE", path, "DELETE", recursive="true")
    upload(local / "checkpoints", checkpoints)
    upload(local / "table", table)
    shutil.rmtree(local)


def measure_start(options, scratch, on_hdfs, files):
    """Seconds from the start of the process until all topic partitions have messages; the steps on the way beside them."""
    where = "hdfs" if on_hdfs else "local"
    topic = f"start-{where}-{files}"
    base = f"{os.environ['WASMILL_TEST_HDFS']}/recovery/{topic}" if on_hdfs else f"{scratch}/{topic}-data"
    job = Job(options.wasmill, topic, base, scratch / topic, {})
    job.produce(max(files, 4_000) * 2).wait()
    job.catch_up()
    make_old(job, files, on_hdfs)
    runs = []
    for _ in range(options.runs):
        job.produce(400).wait()
        host = job.host()
        first = host.wait_for("first messages", TOPIC_PARTITIONS)
        assigned, begun = host.wait_for("topic partitions assigned", 1), host.wait_for("begins", TOPIC_PARTITIONS)
        steps = {"assigned": assigned[0], "begun": begun[-1], "first": first[0], "all": first[-1]}
        runs.append({step: at - host.started for step, at in steps.items()})
        host.finish()
    figures = {step: statistics.median(run[step] for run in runs) for step in runs[0]}
    figures["worst"] = max(run["all"] for run in runs)
    say(f"start, {where}, {files:,} files: {json.dumps({step: round(at, 3) for step, at in figures.items()})}")
    return {"where": where, "files": files, **figures, "runs": runs}


def group_settings(protocol, heartbeat_ms, group):
    """Options of the pipeline; for the new protocol the broker holds the intervals, by group."""
    if protocol == "classic":
        return {"session.timeout.ms": SESSION_SECONDS * 1000, "heartbeat.interval.ms": heartbeat_ms}
    settings = f"consumer.heartbeat.interval.ms={heartbeat_ms},consumer.session.timeout.ms={SESSION_SECONDS * 1000}"
    kafka_tool("ConfigCommand", "--alter", "--entity-type", "groups", "--entity-name", group, "--add-config", settings)
    return {"group.protocol": "consumer"}


def measure_change(options, scratch, kind, protocol, heartbeat_ms):
    """Seconds of hand-overs to a host that joins (`hand-over`), or of take-overs from one that was killed (`take-over`)."""
    topic = f"{kind}-{protocol}-{heartbeat_ms}"
    base = f"{os.environ['WASMILL_TEST_HDFS']}/recovery/{topic}"
    job = Job(options.wasmill, topic, base, scratch / topic, group_settings(protocol, heartbeat_ms, topic))
    producer = job.produce(10_000_000, rate=1_000)
    runs = []
    try:
        first = job.host()
        first.wait_for("first messages", TOPIC_PARTITIONS)
        for _ in range(options.runs):
            joined = time.time()
            second = job.host()
            moved = second.wait_for("first messages", TOPIC_PARTITIONS // 2)
            revoked = first.lines("topic partitions revoked", joined)[0][0]
            if kind == "hand-over":
                runs.append(moved[-1] - revoked)
                second.finish()
                first.wait_for("first messages", TOPIC_PARTITIONS // 2, revoked)
            else:
                killed = first.kill()
                runs.append(second.wait_for("first messages", TOPIC_PARTITIONS // 2, killed)[-1] - killed)
                first = second
            time.sleep(3)
        first.kill()
    finally:
        producer.kill()
        producer.wait()
    figures = {"median": statistics.median(runs), "worst": max(runs)}
    say(f"{kind}, {protocol}, heartbeat {heartbeat_ms} ms: {json.dumps(figures)}")
    return {"kind": kind, "protocol": protocol, "heartbeat_ms": heartbeat_ms, **figures, "runs": runs}


def rows_of(result):
    """(what, median, worst, goal) of each figure; a goal is None where a figure is only reported."""
    for one in result["starts"]:
        where = "HDFS" if one["where"] == "hdfs" else "local disk"
        yield f"start on {where}, {one['files']:,} files", one["all"], one["worst"], GOALS[f"start on {where}"]
    for one in result["changes"]:
        what = f"{one['kind']}, group protocol `{one['protocol']}`, heartbeat {one['heartbeat_ms']} ms"
        goal = GOALS[one["kind"]]
        # The goal of a hand-over is the new protocol's, told of every change within half a second.
        if one["kind"] == "hand-over" and (one["protocol"], one["heartbeat_ms"]) != ("consumer", 500):
            goal = None
        yield what, one["median"], one["worst"], goal


def markdown(result):
    lines = [
        f"Seconds until the last of {TOPIC_PARTITIONS} topic partitions has its first messages; {result['runs']} runs each; "
        f"broker, HDFS and hosts on {os.cpu_count()} cores, load {result['load'][0]:.1f} before and {result['load'][1]:.1f} "
        f"after; {result['date']}, commit {result['commit']}.",
        "A start counts from the process's own; a hand-over from the revoke callback of the host that gives; a take-over from",
        f"kill -9, with a session of {SESSION_SECONDS} s.",
        "",
        "| what | median s | worst s | goal s | |",
        "|---|---|---|---|---|",
    ]
    for what, median, worst, goal in rows_of(result):
        met = "" if goal is None else ("met" if median <= goal else "**missed**")
        lines.append(f"| {what} | {median:.2f} | {worst:.2f} | {'' if goal is None else goal} | {met} |")
    return "\n".join(lines) + "\n"


def main():
    options = arguments()
    scratch = Path(tempfile.mkdtemp(prefix="wasmill-recovery-"))
    load = os.getloadavg()[1]
    result = {**watched.measured_now(), "runs": options.runs, "starts": [], "changes": []}
    try:
        if "start" in options.only:
            for on_hdfs in (False, True):
                for files in options.ages:
                    result["starts"].append(measure_start(options, scratch, on_hdfs, files))
        for kind, cases in (
            ("hand-over", [("consumer", 500), ("consumer", 5000), ("classic", 500), ("classic", 3000)]),
            ("take-over", [("consumer", 500), ("classic", 500)]),
        ):
            for protocol, heartbeat_ms in cases if kind in options.only else []:
                result["changes"].append(measure_change(options, scratch, kind, protocol, heartbeat_ms))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result["load"] = [load, os.getloadavg()[1]]
    watched.report(options, "recovery", result, markdown(result))
    missed = [what for what, median, _, goal in rows_of(result) if goal is not None and median > goal]
    for what in missed:
        say(f"goal missed: {what}")
    return 1 if missed and not options.no_goals else 0


if __name__ == "__main__":
    sys.exit(main())

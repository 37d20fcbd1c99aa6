#!/usr/bin/env python3
"""The benchmark: the main job in wasmill and in its peers, on the same broker, topic and HDFS, one after another.

    tests/cluster/cluster.py run --kafka-heap 1g -- tests/benches/bench.py --wasmill target/release/wasmill

Runs on the servers that WASMILL_TEST_* name. Makes the topic with `wasmill eventsim`, then lets each system read it from
beginning to end: keep who is logged in and listens for 30 s or more, drop what is not valid, write Parquet by year,
month, day and hour to HDFS. Measures user and system CPU time of the system's process (not of broker and HDFS), wall
time and peak resident memory; a JVM's start-up is left out, wasmill's is counted. Beside them stands what decoding and
encoding alone cost in memory, and the three Wasm transforms. Checks that all wrote the same number of rows. Prints a table, and writes it with all figures into tests/benches/results.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster"))

import flink  # noqa: E402 (needs the path above)
import job_process  # noqa: E402
import spark  # noqa: E402
import wasmill  # noqa: E402

CLUSTER = HERE.parent / "cluster" / "cluster.py"
TOPIC = "listen_events"
TOPIC_PARTITIONS = 4
# Held in memory as JSON and as columns at once: more would not make the figure better.
LIMIT_EVENTS = 500_000
SYSTEMS = {"wasmill": wasmill, "spark": spark, "flink": flink}


@dataclass
class Job:
    """What one system is asked to do."""

    wasmill: Path
    brokers: str
    topic: str
    output: str
    compression: str
    cores: int
    scratch: Path
    timeout_seconds: int


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasmill", type=Path, required=True, help="the release binary")
    parser.add_argument("--quick", action="store_true", help="a million events, wasmill alone")
    parser.add_argument("--events", type=int, help="default 4,000,000, quick 1,000,000")
    parser.add_argument("--only", choices=SYSTEMS, action="append", help="this system; again for more")
    parser.add_argument("--runs", type=int, default=1, help="of each; the median by CPU counts (default 1)")
    parser.add_argument("--compression", default="snappy", choices=["snappy", "zstd"])
    parser.add_argument("--timeout", type=int, default=1200, help="seconds for one run (default 1200)")
    options = parser.parse_args()
    options.events = options.events or (1_000_000 if options.quick else 4_000_000)
    options.only = options.only or (["wasmill"] if options.quick else list(SYSTEMS))
    for name in ("WASMILL_TEST_KAFKA", "WASMILL_TEST_HDFS", "WASMILL_TEST_CLUSTER", "WASMILL_TEST_PYTHON"):
        if name not in os.environ:
            parser.error(f"{name} is not set: run this by `make bench`, or under tests/cluster/cluster.py run")
    return options


def cluster(*words):
    """A verb of cluster.py on the cluster that we run on."""
    subprocess.run([sys.executable, str(CLUSTER), *words], check=True, stdout=subprocess.DEVNULL)


def say(text):
    print(text, file=sys.stderr, flush=True)


def produce(options, brokers):
    """Fills the topic; returns the command and what the simulator says of it."""
    say(f"producing {options.events:,} events")
    command = [str(options.wasmill), "eventsim", "--brokers", brokers, "--topic", TOPIC]
    # Half a day between two sessions of a user: four million events then span about a day and a half of event time.
    command += ["--topic-partitions", str(TOPIC_PARTITIONS), "--events", str(options.events), "--beta", "12h", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"command": " ".join(command[1:]), **json.loads(done.stdout)}


def server_cpu():
    """CPU seconds that broker and HDFS have used until now."""
    servers = json.loads(Path(os.environ["WASMILL_TEST_CLUSTER"]).read_text())["servers"]
    return {name: job_process.cpu_seconds(server["pid"]) for name, server in servers.items()}


def measure(name, options, job):
    """One run of one system, checked and cleaned up."""
    say(f"{SYSTEMS[name].NAME} ...")
    before = server_cpu()
    figures = SYSTEMS[name].run(job)
    after = server_cpu()
    figures["server_cpu_seconds"] = {server: round(after[server] - before[server], 2) for server in after}
    local = job.scratch / "table"
    path = job.output.removeprefix(os.environ["WASMILL_TEST_HDFS"])
    cluster("fs", "-get", path, str(local))
    counted = subprocess.run(
        [os.environ["WASMILL_TEST_PYTHON"], str(HERE / "jobs" / "count_rows.py"), str(local)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    figures["table"] = json.loads(counted.stdout)
    shutil.rmtree(local)
    cluster("fs", "-rm", "-r", "-f", "-skipTrash", f"{path}*")
    figures["cpu_us_per_event"] = figures["cpu_seconds"] / options.events * 1e6
    figures["events_per_second"] = options.events / figures["wall_seconds"]
    say(f"    {figures['cpu_us_per_event']:.2f} us, {figures['events_per_second']:,.0f} events/s")
    return figures


def median_run(runs):
    """The run in the middle, by CPU."""
    middle = statistics.median_low(run["cpu_seconds"] for run in runs)
    return next(run for run in runs if run["cpu_seconds"] == middle)


def machine():
    """Where it was measured."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "cores": os.cpu_count(), "memory_bytes": memory, "system": platform.platform()}


def version(command):
    """The first line that a program says of its version."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def table(result):
    """The figures as Markdown."""
    base = result["systems"].get("wasmill")
    lines = [
        "| | CPU us per event | events/s | peak memory | rows | files | bytes | CPU, times wasmill's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in result["systems"].items():
        run, ratio = median_run(runs), ""
        if base:
            ratio = f"{run['cpu_us_per_event'] / median_run(base)['cpu_us_per_event']:.1f}"
        wrote = run["table"]
        lines.append(
            f"| {SYSTEMS[name].NAME} | {run['cpu_us_per_event']:.2f} | {run['events_per_second']:,.0f} "
            f"| {run['peak_bytes'] / 1e6:,.0f} MB | {wrote['rows']:,} | {wrote['files']:,} | {wrote['bytes']:,} | {ratio} |"
        )
    limit, ratio, share = result["limit"], "", ""
    wasm = limit["transform_us"] - limit["native_transform_us"]
    if base:
        share = f"{wasm / median_run(base)['cpu_us_per_event']:.1%} of wasmill's is Wasm"
        ratio = f"{limit['cpu_us_per_event'] / median_run(base)['cpu_us_per_event']:.1f}"
    lines.append(
        f"| decode {limit['decode_us']:.2f} + encode {limit['encode_us']:.2f}, in memory, every row "
        f"| {limit['cpu_us_per_event']:.2f} | | | | | | {ratio} |"
    )
    lines.append(
        f"| the three transforms alone: as modules {limit['transform_us']:.3f}, compiled natively "
        f"{limit['native_transform_us']:.3f} | {wasm:.3f} more | | | | | | {share} |"
    )
    return "\n".join(lines)


def report(result, name):
    """Prints the table and writes both files."""
    where = result["machine"]
    text = (
        f"{result['events']:,} events, {TOPIC_PARTITIONS} topic partitions, {result['compression']}, to HDFS; "
        f"{where['cores']} cores shared with broker and HDFS ({where['cpu']}); {result['date']}, commit {result['commit']}.\n"
        "CPU is user and system time of the system's own process, a JVM's start-up left out.\n\n"
        f"{table(result)}\n\n`{result['command']}`\n"
    )
    print(text)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    (results / f"{name}.md").write_text(text)
    say(f"written: {results}/{name}.json, {name}.md")


def main():
    options = arguments()
    for name in options.only:
        if name != "wasmill":
            SYSTEMS[name].fetch()
    brokers, hdfs = os.environ["WASMILL_TEST_KAFKA"], os.environ["WASMILL_TEST_HDFS"]
    scratch = Path(tempfile.mkdtemp(prefix="wasmill-bench-"))
    try:
        result = {
            "date": time.strftime("%Y-%m-%d"),
            "commit": version(["git", "-C", str(HERE), "describe", "--always", "--dirty"]),
            "command": " ".join(["tests/benches/bench.py", *sys.argv[1:]]),
            "machine": machine(),
            "versions": {"wasmill": version([str(options.wasmill), "--version"]), "java": version(["java", "-version"])},
            "events": options.events,
            "compression": options.compression,
            "limit": wasmill.limit(options.wasmill, scratch, options.compression, LIMIT_EVENTS),
            "produced": produce(options, brokers),
            "systems": {},
        }
        for name in options.only:
            runs = []
            for number in range(options.runs):
                output = f"{hdfs}/bench/{name}-{number}"
                job = Job(
                    options.wasmill, brokers, TOPIC, output, options.compression, os.cpu_count(), scratch, options.timeout
                )
                runs.append(measure(name, options, job))
            result["systems"][name] = runs
        report(result, "quick" if options.quick else "full")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rows = {run["table"]["rows"] for runs in result["systems"].values() for run in runs}
    if len(rows) > 1:
        say(f"the systems did not write the same rows: {sorted(rows)}")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (job_process.JobFailed, subprocess.CalledProcessError) as error:
        sys.exit(f"bench.py: {error}")

#!/usr/bin/env python3
"""What swapping a deployment costs: the pause of a topic partition at full load, and how long from upload to live on two hosts.

    tests/cluster/cluster.py run -- tests/benches/swap.py --wasmill target/release/wasmill

Runs on the servers that WASMILL_TEST_* name, with the shipped pipeline and its transforms uploaded. First one host reads a
full topic as fast as it can while one deployment after the other is made: a pause is the time for which a topic partition
read nothing between the last batch of the one and the first batch of the next, as the host's log says. Then two hosts read
events as they come, and a module is pushed and deployed: live is when the last topic partition has made rows with it. `verify` must find each
message once. Goals: a pause 50 ms, nothing lost or doubled. Prints a table, and writes it into tests/benches/results; exits with 1 when a goal is missed (--no-goals: only reports it).
"""

import argparse
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
from watched import HERE, TOPIC_PARTITIONS, Job

MODULES = ["keep_plays", "validate_events", "enrich_geo"]
CHAIN = ["keep-plays", "validate-events", "enrich-geo"]
PAUSE_GOAL_MS = 50


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasmill", type=Path, required=True, help="the release binary")
    parser.add_argument("--events", type=int, default=3_000_000, help="read while deployments change (default 3,000,000)")
    parser.add_argument("--runs", type=int, default=5, help="from upload to live (default 5)")
    parser.add_argument("--no-goals", action="store_true", help="exit with 0 also when a goal is missed")
    options = parser.parse_args()
    options.wasmill = options.wasmill.resolve()
    for name in ("WASMILL_TEST_KAFKA", "WASMILL_TEST_HDFS"):
        if name not in os.environ:
            parser.error(f"{name} is not set: run this by `make bench`, or under tests/cluster/cluster.py run")
    return options


def new_job(options, scratch, name, interval):
    base = f"{os.environ['WASMILL_TEST_HDFS']}/swap/{name}"
    job = Job(options.wasmill, name, base, scratch / name, {}, is_deployed=True, interval=interval)
    for module in MODULES:
        job.command("push", str(watched.hosts.ROOT / "target" / "transforms" / f"{module}.wasm"))
    deploy(job, 30)
    return job


def deploy(job, min_seconds):
    job.command("deploy", *CHAIN, "--set", f"keep-plays.min_seconds={min_seconds}", "--sample", "0")


def verified(job, messages):
    """Findings of `verify`, and by how many messages the records differ from what was produced."""
    report = json.loads(job.command("verify", "--json"))
    return len(report["findings"]), messages - report["total"]["rows"]["messages"]


def pauses(options, scratch):
    """Milliseconds for which topic partitions read nothing at a swap, while a host reads as fast as it can."""
    job = new_job(options, scratch, "swap-full-load", "20s")
    say(f"producing {options.events:,} events")
    job.produce(options.events).wait()
    host = job.host("--until", "caught-up")
    host.wait_for("first messages", TOPIC_PARTITIONS)
    deployments = 0
    while host.child.poll() is None:
        deployments += 1
        deploy(job, 30 + deployments % 2)
        # Each is live before the next is made.
        time.sleep(3)
    seconds = time.time() - host.started
    found = [fields["pause_ms"] for _, fields in host.lines("swapped") if fields.get("pause_ms") is not None]
    if not found:
        raise SystemExit(f"the host swapped nothing:\n{host.log.read_text(errors='replace')[-3000:]}")
    findings, unaccounted = verified(job, options.events)
    figures = {"deployments": deployments, "swaps": len(found), "median_ms": statistics.median(found), "worst_ms": max(found)}
    figures |= {"findings": findings, "unaccounted": unaccounted, "events_per_second": options.events / seconds}
    say(f"pauses: {json.dumps(figures)}")
    return figures


def upload_to_live(options, scratch):
    """Seconds from the start of `push` until the last topic partition of two hosts has read with the new deployment."""
    job = new_job(options, scratch, "swap-two-hosts", "2s")
    producer = job.produce(10_000_000, rate=2_000)
    runs = []
    try:
        running = [job.host(), job.host()]
        for host in running:
            host.wait_for("first messages", TOPIC_PARTITIONS // 2)
        time.sleep(5)
        for run in range(options.runs):
            begun = time.time()
            # The module that it was, under a version of its own: looked at, stored and compiled anew.
            module = watched.hosts.ROOT / "target" / "transforms" / "keep_plays.wasm"
            job.command("push", str(module), "--version", f"9.{run}.0")
            deploy(job, 40 + run)
            live = [host.wait_for("swapped", TOPIC_PARTITIONS // 2, after=begun)[-1] for host in running]
            runs.append(max(live) - begun)
            time.sleep(3)
        for host in running:
            host.finish()
    finally:
        producer.kill()
        producer.wait()
    figures = {"median": statistics.median(runs), "worst": max(runs), "runs": runs}
    say(f"upload to live: {json.dumps(figures)}")
    return figures


def markdown(result):
    full, live = result["pauses"], result["live"]
    met = "met" if full["worst_ms"] <= PAUSE_GOAL_MS else "**missed**"
    return "\n".join(
        [
            f"Swaps of a deployment of three transforms, {TOPIC_PARTITIONS} topic partitions; broker, HDFS and hosts on "
            f"{os.cpu_count()} cores; {result['date']}, commit {result['commit']}.",
            "",
            "| what | median | worst | goal | |",
            "|---|---|---|---|---|",
            f"| pause of a topic partition, one host at full load ({full['swaps']} swaps by {full['deployments']} deployments, "
            f"{full['events_per_second']:,.0f} events/s) | {full['median_ms']:.0f} ms | {full['worst_ms']:.0f} ms "
            f"| {PAUSE_GOAL_MS} ms | {met} |",
            f"| messages lost or doubled by the records, findings of `verify` | {full['unaccounted']} | {full['findings']} | 0 | |",
            f"| from `push` to rows on two hosts ({len(live['runs'])} times) | {live['median']:.1f} s | {live['worst']:.1f} s | | |",
            "",
        ]
    )


def main():
    options = arguments()
    scratch = Path(tempfile.mkdtemp(prefix="wasmill-swap-"))
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        result = {"date": time.strftime("%Y-%m-%d"), "commit": commit}
        result |= {"pauses": pauses(options, scratch), "live": upload_to_live(options, scratch)}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text = markdown(result)
    print(text)
    results = HERE / "results"
    (results / "swap.json").write_text(json.dumps(result, indent=2) + "\n")
    (results / "swap.md").write_text(text)
    full = result["pauses"]
    missed = full["worst_ms"] > PAUSE_GOAL_MS or full["findings"] or full["unaccounted"]
    if missed:
        say("a goal was missed")
    return 1 if missed and not options.no_goals else 0


if __name__ == "__main__":
    sys.exit(main())

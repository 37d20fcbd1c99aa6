#!/usr/bin/env python3
"""What swapping a deployment costs: the pause at full load, and how long from upload to live on two hosts.

    tests/cluster/cluster.py run -- tests/benches/swap.py --wasmill target/release/wasmill

Runs on the servers that WASMILL_TEST_* name, with the shipped pipeline and its transforms uploaded. First one host reads a
full topic as fast as it can while one deployment after the other is made: a pause is the longest time for which a worker
asked for no messages until the first batch of the new deployment, as the host's log says. What it spent in the queue for a
core is left out of it, since broker, HDFS and the command that deploys share the cores with it; the time by the clock, and
the longest pauses of the seconds before, without a swap, stand beside it. Then two hosts read events as they come,
and a module is pushed and deployed: live is when the last topic partition begins to read with it. Goals: no
pause longer than 50 ms; `verify` finds each message once, or this ends at once. Prints a table, and writes it with all figures into
tests/benches/results; exits with 1 when a goal is missed (--no-goals: only reports it).
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import watched
from watched import TOPIC_PARTITIONS, Job, say

import hosts  # found since watched has added its path

CHAIN = ["keep-plays", "validate-events", "enrich-geo"]
PAUSE_GOAL_MS = 50
# As the host's log has them, and what they are in the table.
PAUSES = {
    "pause_ms": "longest pause of a worker at a swap, waits for a core left out",
    "before_ms": "the same in the seconds before, without a swap",
    "pause_wall_ms": "longest pause at a swap by the clock",
    "before_wall_ms": "the same in the seconds before",
}


def arguments():
    parser = watched.parser(__doc__)
    parser.add_argument("--events", type=int, default=3_000_000, help="read while deployments change (default 3,000,000)")
    return watched.parse(parser)


def module(name):
    return str(hosts.ROOT / "target" / "transforms" / f"{name.replace('-', '_')}.wasm")


def new_job(options, scratch, name, interval):
    base = f"{os.environ['WASMILL_TEST_HDFS']}/swap/{name}"
    job = Job(options.wasmill, name, base, scratch / name, {}, is_deployed=True, interval=interval)
    for transform in CHAIN:
        job.command("push", module(transform))
    deploy(job, 30)
    return job


def deploy(job, min_seconds):
    job.command("deploy", *CHAIN, "--set", f"keep-plays.min_seconds={min_seconds}", "--sample", "0")


def unaccounted(job, messages):
    """By how many messages the records differ from what was produced. A finding of `verify` ends the program."""
    return messages - json.loads(job.command("verify", "--json"))["total"]["rows"]["messages"]


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
    found = [fields for _, fields in host.lines("swapped")]
    if not found:
        raise SystemExit(f"the host swapped nothing:\n{host.log.read_text(errors='replace')[-3000:]}")
    figures = {"deployments": deployments, "swaps": len(found)}
    for name in PAUSES:
        all_ms = [fields[name] for fields in found]
        figures[name] = {"median": statistics.median(all_ms), "worst": max(all_ms)}
    figures |= {"unaccounted": unaccounted(job, options.events), "events_per_second": options.events / seconds}
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
            job.command("push", module("keep-plays"), "--version", f"9.{run}.0")
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


def is_met(full):
    return full["pause_ms"]["worst"] <= PAUSE_GOAL_MS and not full["unaccounted"]


def markdown(result):
    full, live = result["pauses"], result["live"]
    lines = [
        f"Swaps of a deployment of three transforms, {TOPIC_PARTITIONS} topic partitions; broker, HDFS and hosts on "
        f"{os.cpu_count()} cores; {result['date']}, commit {result['commit']}. One host at full load: {full['swaps']} swaps by "
        f"{full['deployments']} deployments, {full['events_per_second']:,.0f} events/s.",
        "",
        "| what | median | worst | goal | |",
        "|---|---|---|---|---|",
    ]
    for name, what in PAUSES.items():
        goal = f"{PAUSE_GOAL_MS} ms" if name == "pause_ms" else ""
        met = ("met" if full[name]["worst"] <= PAUSE_GOAL_MS else "**missed**") if goal else ""
        lines.append(f"| {what} | {full[name]['median']:.0f} ms | {full[name]['worst']:.0f} ms | {goal} | {met} |")
    lines.append(f"| messages lost or doubled by the records | {full['unaccounted']} | | 0 | |")
    lines.append(
        f"| from `push` to the last topic partition of two hosts ({len(live['runs'])} times) "
        f"| {live['median']:.1f} s | {live['worst']:.1f} s | | |"
    )
    return "\n".join(lines) + "\n"


def main():
    options = arguments()
    scratch = Path(tempfile.mkdtemp(prefix="wasmill-swap-"))
    try:
        measured = {"pauses": pauses(options, scratch), "live": upload_to_live(options, scratch)}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result = {**watched.measured_now(), **measured}
    watched.report(options, "swap", result, markdown(result))
    met = is_met(result["pauses"])
    if not met:
        say("a goal was missed")
    return 0 if met or options.no_goals else 1


if __name__ == "__main__":
    sys.exit(main())

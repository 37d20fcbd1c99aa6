"""The report of a chaos run: which faults, how often, how long until every topic partition had committed again, what was found.

Text for people (Markdown) and all figures (JSON). Knows nothing of how faults are made.
"""

import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import faults
import hosts

RESULTS = hosts.ROOT / "tests" / "benches" / "results"


def commit_id():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=hosts.ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() or "unknown"


def by_fault(happened):
    """For each fault alone, and for all pairs together: how often, the median and the worst recovery."""
    groups = {}
    for one in happened:
        name = one["faults"][0] if len(one["faults"]) == 1 else "two at once"
        groups.setdefault(name, []).append(one)
    rows = []
    for name in [*faults.FAULTS, "two at once"]:
        if not (found := groups.get(name)):
            continue
        times = [one["recovered_after_seconds"] for one in found if one["recovered_after_seconds"] is not None]
        rows.append({
            "fault": name, "times": len(found), "counted_from": faults.FAULTS.get(name, (None, faults.END))[1],
            "median_seconds": statistics.median(times) if times else None, "worst_seconds": max(times, default=None),
            "not_recovered": len(found) - len(times),
        })  # fmt: skip
    return rows


def seconds(value):
    return "-" if value is None else f"{value:.1f}"


def markdown(figures):
    lines = [
        f"{figures['minutes']:g} minutes of faults, seed {figures['seed']}, {figures['rate']:,} events/s in transactions "
        f"(one in five aborted), group protocol `{figures['group_protocol']}`, session {figures['session_seconds']} s, a "
        f"checkpoint every {figures['interval']}; one broker, one NameNode, two DataNodes and all hosts on "
        f"{os.cpu_count()} cores (load {figures['load']:.1f}); {figures['date']}, commit {figures['commit']}.",
        "Recovery: until every topic partition has committed again, its wait for the next checkpoint included.",
        "",
        "| fault | times | median s | worst s | counted from |",
        "|---|---|---|---|---|",
    ]
    for row in figures["faults"]:
        median, worst = seconds(row["median_seconds"]), seconds(row["worst_seconds"])
        lines.append(f"| {row['fault']} | {row['times']} | {median} | {worst} | {row['counted_from']} |")
    times = [one["recovered_after_seconds"] for one in figures["happened"] if one["recovered_after_seconds"] is not None]
    if times:
        lines.append(f"| all | {len(figures['happened'])} | {statistics.median(times):.1f} | {max(times):.1f} | |")
    if (found := figures["found"]) is not None:
        lines += [
            "",
            f"Kafka against table: {found['messages']:,} committed messages in {found['topic_partitions']} topic partitions; "
            f"{found.get('table', 0):,} rows, {found.get('filtered', 0):,} filtered, {found.get('dead_letters', 0):,} dead "
            f"letters in {found['ranges']:,} ranges of {found['take_overs']} take-overs: "
            f"**lost {found['lost']}, doubled {found['doubled']}, unaccounted {found['unaccounted']}**, other problems "
            f"{found['problems']}.",
        ]
    for title in ("failures", "notes"):
        lines += [f"\n{title}:"] + [f"* {text}" for text in figures[title]] if figures[title] else []
    return "\n".join(lines) + "\n"


def write(run, found, options):
    """Makes the report of a run; writes it where results lie, if that was asked for. Returns the text."""
    figures = {
        "date": time.strftime("%Y-%m-%d"), "commit": commit_id(), "load": os.getloadavg()[2], "minutes": options.minutes,
        "seed": options.seed, "rate": options.rate, "interval": options.interval,
        "group_protocol": run.job.group_protocol, "session_seconds": run.job.session_seconds,
        "hosts_started": run.ground.started, "producer_starts": run.producer.starts, "commits": run.commits.count(),
        "faults": by_fault(run.happened), "found": found, "happened": run.happened, "failures": run.failures,
        "notes": run.ground.notes,
    }  # fmt: skip
    text = markdown(figures)
    if options.results:
        RESULTS.mkdir(parents=True, exist_ok=True)
        Path(RESULTS / "chaos.json").write_text(json.dumps(figures, indent=2) + "\n")
        Path(RESULTS / "chaos.md").write_text(text)
    return text

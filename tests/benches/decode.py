#!/usr/bin/env python3
"""What decoding costs: the host's decoders beside arrow-json's reader and Spark's `from_json`, on the same events.

    tests/benches/decode.py --program target/release/examples/decode

Needs no servers. The program makes the events and measures the host and arrow-json in turns, in one process; Spark reads
the same events afterwards, as text from Parquet files in /dev/shm, and what reading them costs is taken off. Goals: JSON in
no case slower than arrow-json by more than 5 %, and Avro and Protobuf no slower than arrow-json with the same events in JSON.
Of arrow-json the faster of two ways counts. Prints a table, and writes it with all figures into tests/benches/results.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster"))

import artifacts  # noqa: E402 (needs the path above)
import bench  # noqa: E402
import job_process  # noqa: E402
import spark  # noqa: E402
import watched  # noqa: E402

# A reader of JSON may take so many times what arrow-json takes; one of Avro or Protobuf.
JSON_GOAL = 1.05
FRAMED_GOAL = 1.0
GOALS = {"json": JSON_GOAL, "avro": FRAMED_GOAL, "protobuf": FRAMED_GOAL}
ARROW = "arrow-json"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, help="the example `decode`, built for release")
    parser.add_argument("--rounds", type=int, default=15, help="of each reader (default 15)")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--no-spark", action="store_true", help="without Spark")
    parser.add_argument("--no-goals", action="store_true", help="exit with 0 also when a goal is missed")
    parser.add_argument("--no-results", action="store_true", help="only print")
    return parser.parse_args()


def measure(options, scratch):
    """The program's figures."""
    command = [str(options.program), "--rounds", str(options.rounds), "--only", options.only]
    if not options.no_spark:
        command += ["--write", str(scratch)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def add_spark(cases, scratch):
    """Adds what Spark takes to each case: microseconds per event, one figure for each of its runs."""
    python = artifacts.venv_python(requirements=HERE / "peers.txt")
    jobs = scratch / "jobs.json"
    jobs.write_text(json.dumps([{"file": case.pop("file"), "schema": case.pop("spark_schema")} for case in cases]))
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_SUBMIT_ARGS": "--master local[1] --driver-memory 2g pyspark-shell",
        "SPARK_LOCAL_DIRS": str(scratch / "spark-local"),
    }
    with open(scratch / "spark.log", "wb") as log:
        command = [str(python), str(HERE / "jobs" / "spark_decode.py"), str(jobs)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    if done.returncode:
        raise job_process.JobFailed(f"Spark failed. The end of its log:\n{job_process.tail(scratch / 'spark.log')}")
    for case, seconds in zip(cases, json.loads(done.stdout.strip().splitlines()[-1]), strict=True):
        reading = statistics.median(seconds["reading"])
        cpu_us = [(decoding - reading) / case["events"] * 1e6 for decoding in seconds["decoding"]]
        case["readers"].append({"name": "spark", "cpu_us": cpu_us})


def reader(case, name):
    return next((found for found in case["readers"] if found["name"] == name), None)


def quartiles(figures):
    """The middle, and between what the middle half lies."""
    low, middle, high = statistics.quantiles(figures, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def compare(case):
    """Adds medians, and how many times each reader takes what the faster arrow-json takes in the same round."""
    for found in case["readers"]:
        found["us"] = quartiles(found["cpu_us"]) if len(found["cpu_us"]) > 1 else {"median": found["cpu_us"][0]}
    ways = [found for found in case["readers"] if found["name"].startswith(ARROW)]
    base = min(ways, key=lambda way: way["us"]["median"])
    case["base"] = base["name"]
    for found in case["readers"]:
        if found["name"] in GOALS or found["name"] == "json-schema":
            ratios = [ours / theirs for ours, theirs in zip(found["cpu_us"], base["cpu_us"], strict=True)]
            found["times_arrow_json"] = quartiles(ratios)


def misses(cases):
    """Each reader of each case that is slower than its goal."""
    missed = []
    for case in cases:
        for found in case["readers"]:
            goal, times = GOALS.get(found["name"]), found.get("times_arrow_json")
            if goal and times["median"] > goal:
                missed.append(f"{case['name']}: {found['name']} takes {times['median']:.2f} times arrow-json's time")
    return missed


def cell(found):
    us = found["us"]
    spread = f" ({us['low']:.2f}-{us['high']:.2f})" if "low" in us else ""
    return f"{us['median']:.2f}{spread}"


def json_table(cases):
    """JSON alone, all cases."""
    lines = [
        "| JSON | columns | bytes | wasmill | arrow-json | wasmill / arrow-json | Spark | Spark / wasmill |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        ours, theirs, peer = reader(case, "json"), reader(case, case["base"]), reader(case, "spark")
        times = ours["times_arrow_json"]
        of_spark = "| |"
        if peer:
            of_spark = f"| {peer['us']['median']:.1f} | {peer['us']['median'] / ours['us']['median']:.0f} |"
        lines.append(
            f"| {case['name']} | {case['columns']} | {ours['bytes_per_event']:,.0f} | {cell(ours)} | {cell(theirs)} "
            f"| {times['median']:.2f} ({times['low']:.2f}-{times['high']:.2f}) {of_spark}"
        )
    return lines


def framed_table(cases):
    """The formats with schemas, beside arrow-json with the same events in JSON."""
    lines = ["| format | events | bytes | wasmill | arrow-json, of JSON | wasmill / arrow-json |", "|---|---|---|---|---|---|"]
    for case in cases:
        for name in ("avro", "protobuf", "json-schema"):
            found = reader(case, name)
            if found:
                times, theirs = found["times_arrow_json"], reader(case, case["base"])
                lines.append(
                    f"| {name} | {case['name']} | {found['bytes_per_event']:,.0f} | {cell(found)} | {cell(theirs)} "
                    f"| {times['median']:.2f} ({times['low']:.2f}-{times['high']:.2f}) |"
                )
    return lines


def markdown(result):
    machine, cases = result["machine"], result["cases"]
    head = (
        f"Decoding alone, batches of {result['batch']:,} messages, one thread; {machine['cores']} cores "
        f"({machine['cpu']}); {result['date']}, commit {result['commit']}.\n"
        f"CPU time in microseconds per event: median of {result['rounds']} rounds (quartiles). arrow-json "
        f"{result['versions']['arrow-json']} makes the same rows, which is checked; of its two ways, message by message and "
        "a batch as one text, the faster one stands here."
    )
    if "spark" in result["versions"]:
        head += f" {result['versions']['spark']}: `from_json` in a warm JVM of one core, reading taken off."
    return "\n".join([head, "", *json_table(cases), "", *framed_table(cases), "", f"`{result['command']}`"]) + "\n"


def versions(options):
    lock = (HERE.parent.parent / "Cargo.lock").read_text().split("[[package]]")
    package = next(part for part in lock if '\nname = "arrow-json"\n' in part)
    found = {"arrow-json": package.split('version = "')[1].split('"')[0], "rustc": bench.version(["rustc", "--version"])}
    return found if options.no_spark else {**found, "spark": spark.NAME}


def main():
    options = arguments()
    # In memory, if there is room: Spark's files are read again and again.
    scratch = Path(tempfile.mkdtemp(prefix="wasmill-decode-", dir="/dev/shm"))
    try:
        measured = measure(options, scratch)
        if not options.no_spark:
            add_spark(measured["cases"], scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for case in measured["cases"]:
        compare(case)
    result = {
        **watched.measured_now(),
        "command": " ".join(["tests/benches/decode.py", *sys.argv[1:]]),
        "machine": bench.machine(),
        "versions": versions(options),
        **measured,
    }
    watched.report(options, "decode", result, markdown(result))
    missed = misses(result["cases"])
    for miss in missed:
        watched.say(f"missed: {miss}")
    return 1 if missed and not options.no_goals else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (job_process.JobFailed, subprocess.CalledProcessError) as error:
        sys.exit(f"decode.py: {error}")

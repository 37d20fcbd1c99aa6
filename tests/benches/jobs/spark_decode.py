"""Spark's `from_json` on files of events: what each takes, and what reading the file alone takes.

Argument: a JSON file with a list of {"file": PARQUET, "schema": DDL}; each file has a column `value` of text. Prints, as the last
line, a list of {"reading": [...], "decoding": [...]}: CPU seconds of the JVM for each run, the first runs left out.
"""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from job_process import cpu_seconds  # noqa: E402 (needs the path above)

# What a JVM runs for the first times it interprets, and compiles on other threads, whose time counts too.
WARM_UP = 4
RUNS = 5


def timed(pid, frame):
    """CPU seconds for all rows of a frame, made and thrown away."""
    seconds = []
    for _ in range(WARM_UP + RUNS):
        begin = cpu_seconds(pid)
        frame.write.format("noop").mode("overwrite").save()
        seconds.append(cpu_seconds(pid) - begin)
    return seconds[WARM_UP:]


def main(jobs):
    spark = SparkSession.builder.appName("decode").config("spark.ui.enabled", "false").getOrCreate()
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    figures = []
    for job in json.loads(Path(jobs).read_text()):
        values = spark.read.parquet(job["file"])
        events = values.select(f.from_json("value", job["schema"]).alias("event"))
        figures.append({"reading": timed(pid, values), "decoding": timed(pid, events)})
    spark.stop()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])

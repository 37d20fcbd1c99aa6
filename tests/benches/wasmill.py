"""wasmill itself, measured like its peers: host/pipelines/listen-events.toml as it is shipped, with three transforms.

The whole process counts, from its start to its end: opening the modules, the first connection, the last publish.
"""

import json
import os
import statistics
from pathlib import Path

import job_process

NAME = "wasmill"
ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = ROOT / "host" / "pipelines" / "listen-events.toml"
LIMIT_RUNS = 5


def pipeline_text(compression):
    """The shipped file, with modules that are found from elsewhere and the compression that all are measured with."""
    text = SHIPPED.read_text()
    changed = text.replace('"../../target/', f'"{ROOT}/target/')
    changed = changed.replace('compression = "zstd"', f'compression = "{compression}"')
    if "../../" in changed or f'compression = "{compression}"' not in changed:
        raise job_process.JobFailed(f"{SHIPPED} has changed: adjust {__file__}")
    return changed


def limit(binary, scratch, compression, events):
    """What decoding and encoding alone cost, in memory on one thread: the figures of the example `in_memory_limit`.

    Of each the median of several runs: the transforms alone take a tenth of a second, which others on the machine disturb.
    """
    pipeline = scratch / "limit.toml"
    pipeline.write_text(pipeline_text(compression))
    command = [str(binary.parent / "examples" / "in_memory_limit"), str(pipeline), str(events)]
    runs = []
    for _ in range(LIMIT_RUNS):
        _, output = job_process.run_whole(command, dict(os.environ), scratch / "limit.log", timeout_seconds=300)
        runs.append(json.loads(output))
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def run(job):
    """Reads the whole topic once into `job.output`; returns the figures, and what wasmill says of itself."""
    pipeline = job.scratch / "bench.toml"
    pipeline.write_text(pipeline_text(job.compression))
    environment = {
        **os.environ,
        "WASMILL_BROKERS": job.brokers,
        "WASMILL_TABLE": job.output,
        "WASMILL_DEAD_LETTERS": job.output + "_dead_letters",
        "WASMILL_CHECKPOINTS": job.output + "_checkpoints",
    }
    command = [str(job.wasmill), "run", str(pipeline), "--until", "caught-up", "--json"]
    figures, output = job_process.run_whole(command, environment, job.scratch / "wasmill.log", job.timeout_seconds)
    return {**figures, "summary": json.loads(output)}

"""Apache Flink as a peer: how it is fetched and started. The job itself is jobs/FlinkJob.java."""

import os
import shutil
import sys
import zipfile
from pathlib import Path

import artifacts
import job_process

NAME = "Flink 2.3.0"
HERE = Path(__file__).resolve().parent
DISTRIBUTION = "apache-flink-libraries==2.3.0"
CONNECTORS = [
    "org.apache.flink:flink-sql-connector-kafka:4.0.1-2.0",
    "org.apache.flink:flink-sql-parquet:2.3.0",
    "org.apache.hadoop:hadoop-common:3.5.0",
    "org.apache.hadoop:hadoop-hdfs-client:3.5.0",
    "org.apache.hadoop:hadoop-mapreduce-client-core:3.5.0",
]
OPENED = ["lang", "lang.reflect", "util", "util.concurrent", "util.concurrent.atomic", "net", "io", "nio", "time"]


def distribution():
    """The directory with Flink's own jars, from its package on PyPI (Maven has them only one by one)."""
    place = artifacts.CACHE / "flink-2.3.0"
    if place.is_dir():
        return place
    with artifacts.locked("flink"):
        if place.is_dir():
            return place
        artifacts.say("fetching Flink from PyPI")
        beside = place.with_name(place.name + ".part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(beside), DISTRIBUTION]
        artifacts.retried("Flink", pip)
        (package,) = beside.glob("apache_flink_libraries*.whl")
        with zipfile.ZipFile(package) as archive:
            for name in archive.namelist():
                if name.startswith("pyflink/lib/") and name.endswith(".jar"):
                    (beside / Path(name).name).write_bytes(archive.read(name))
        package.unlink()
        beside.rename(place)
    return place


def fetch():
    """The class path of the job."""
    return f"{distribution()}/*:{artifacts.jars('bench-flink', CONNECTORS)}/*"


def run(job):
    """Reads the whole topic once into `job.output`; returns the figures."""
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENED]
    source = HERE / "jobs" / "FlinkJob.java"
    command = ["java", "-Xmx2g", *opened, "-cp", fetch(), str(source), job.brokers, job.topic, job.output]
    command += [job.compression, str(job.cores), str(job.scratch / "flink-checkpoints")]
    return job_process.run_marked(command, dict(os.environ), job.scratch / "flink.log", job.timeout_seconds)

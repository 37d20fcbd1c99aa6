"""Apache Spark as a peer: how it is fetched and started. The job itself is jobs/spark_job.py."""

import os
from pathlib import Path

import artifacts
import job_process

NAME = "Spark 4.2.0"
HERE = Path(__file__).resolve().parent
CONNECTOR = ["org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"]


def fetch():
    """The connector's jars that pyspark lacks, and a Python with pyspark."""
    # pyspark carries Hadoop, Scala and the rest: a second copy would clash.
    connector = artifacts.jars("bench-spark", CONNECTOR, exclude_groups=["org.apache.hadoop"])
    jars = [jar for jar in sorted(connector.glob("*.jar")) if "kafka" in jar.name or "commons-pool" in jar.name]
    return jars, artifacts.venv_python(requirements=HERE / "peers.txt")


def run(job):
    """Reads the whole topic once into `job.output`; returns the figures."""
    jars, python = fetch()
    class_path = ":".join(str(jar) for jar in jars)
    submit = ["--master", f"local[{job.cores}]", "--driver-memory", "2g", "--driver-class-path", class_path]
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_SUBMIT_ARGS": " ".join([*submit, "pyspark-shell"]),
        "SPARK_LOCAL_DIRS": str(job.scratch / "spark-local"),
    }
    command = [str(python), str(HERE / "jobs" / "spark_job.py"), job.brokers, job.topic, job.output, job.compression]
    return job_process.run_marked(command, environment, job.scratch / "spark.log", job.timeout_seconds)

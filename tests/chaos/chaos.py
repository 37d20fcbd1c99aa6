#!/usr/bin/env python3
"""Chaos: real hosts, a real Kafka and a real HDFS, everything that can be broken from outside, and an independent count.

    tests/cluster/cluster.py run --datanodes 2 --replication 2 -- tests/chaos/chaos.py --minutes 10

Two to three `wasmill run` processes share a topic that `wasmill eventsim` fills at a fixed rate by transactions, some of
them aborted. One fault after another (faults.py), at random from a printed seed; some come two at once. After each, every topic
partition must commit again within a bounded time. In the end everything is drained, and checker.py compares Kafka
and the table record by record: lost 0, doubled 0, unaccounted 0. Exit code 1 when it is not so, when a topic partition does not
recover, or when a host ends or stops a topic partition by itself. Prints a report; `--results` also writes it.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster"))

import commits  # noqa: E402 (the path above)
import faults  # noqa: E402
import hosts  # noqa: E402
import kafka_server  # noqa: E402
import report  # noqa: E402
import state  # noqa: E402
import webhdfs  # noqa: E402

TOPIC_PARTITIONS = 4
SESSION_SECONDS = 6
# How long after a fault every topic partition may take until it has committed again.
PATIENCE_SECONDS = 90
DRAIN_SECONDS = 240
SHARE_OF_PAIRS = 0.2
# From so many minutes on a run is long enough for faults that are.
LONG_MINUTES = 5


@dataclass
class Job:
    """What all processes of a run share."""

    wasmill: Path
    brokers: str
    topic: str
    base: str
    scratch: Path
    environment: dict
    group_protocol: str
    interval: str
    topic_partitions: int = TOPIC_PARTITIONS
    session_seconds: int = SESSION_SECONDS


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasmill", type=Path, default=hosts.ROOT / "target" / "release" / "wasmill")
    parser.add_argument("--minutes", type=float, default=10, help="how long faults go on (default 10)")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--rate", type=int, default=1000, help="events a second (default 1000)")
    parser.add_argument("--interval", default="2s", help="between two checkpoints (default 2s)")
    parser.add_argument("--only", action="append", choices=faults.FAULTS, help="this fault; again for more")
    parser.add_argument("--results", action="store_true", help="write the report to tests/benches/results")
    parser.add_argument("--keep", type=Path, help="keep logs and what was fetched in this directory")
    options = parser.parse_args()
    options.wasmill = options.wasmill.resolve()
    if options.seed is None:
        options.seed = secrets.randbelow(1 << 31)
    for name in ("WASMILL_TEST_KAFKA", "WASMILL_TEST_HDFS", "WASMILL_TEST_CLUSTER", "WASMILL_TEST_PYTHON"):
        if name not in os.environ:
            parser.error(f"{name} is not set: run this by `make chaos`, or under tests/cluster/cluster.py run")
    return options


def make_topic(job):
    words = ["--bootstrap-server", job.brokers, "--create", "--topic", job.topic, "--partitions", str(TOPIC_PARTITIONS)]
    command = kafka_server.java("org.apache.kafka.tools.TopicCommand", *words)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)


class Run:
    """One chaos run: what was done and what was seen."""

    def __init__(self, options, scratch):
        self.options = options
        self.chance = random.Random(options.seed)
        cluster = state.Cluster(Path(os.environ["WASMILL_TEST_CLUSTER"]).parent)
        cluster.load()
        self.hdfs = webhdfs.WebHdfs(cluster.state["hdfs"]["http"])
        topic, brokers = f"chaos-{options.seed}", os.environ["WASMILL_TEST_KAFKA"]
        base = f"/chaos/{topic}"
        self.job = Job(
            options.wasmill, brokers, topic, base, scratch,
            hosts.environment(os.environ["WASMILL_TEST_HDFS"], base, brokers),
            self.chance.choice(["classic", "consumer"]), options.interval,
        )  # fmt: skip
        self.producer = hosts.Producer(self.job, options.seed % 100_000, options.rate)
        self.ground = faults.Ground(cluster, self.hdfs, self.job, self.producer, self.chance)
        self.commits = commits.Commits(self.hdfs, f"{base}/checkpoints/{topic}")
        self.happened = []
        self.failures = []

    def begin(self):
        """Everything up, and each topic partition has committed once."""
        make_topic(self.job)
        self.hdfs.make_directory(f"{self.job.base}/table")
        began = time.time()
        for _ in range(2):
            self.ground.start_host()
        self.producer.start()
        self.commits.start()
        if self.wait_for_commits(began) is None:
            raise RuntimeError(f"nothing is committed even without faults:\n{self.ground.hosts[0].log_tail()}")

    def wait_for_commits(self, since):
        """When every topic partition had committed after `since`; None when one has not in time."""
        deadline = time.time() + PATIENCE_SECONDS
        while time.time() < deadline:
            if (when := self.commits.all_after(since, self.ground.topic_partitions)) is not None:
                return when
            self.ground.look()
            time.sleep(0.1)
        return None

    def next_faults(self):
        """Each of the faults once, in random order, then again; now and then two at once."""
        long = self.options.minutes >= LONG_MINUTES
        names = self.options.only or [name for name in faults.FAULTS if long or name not in faults.LONG]
        seconds = [name for name in names if name not in faults.LONG]
        while True:
            for name in self.chance.sample(names, len(names)):
                is_pair = self.chance.random() < SHARE_OF_PAIRS and name not in faults.LONG
                yield [name, self.chance.choice(seconds)] if is_pair else [name]

    def one(self, names):
        """One fault (or two, the second while the first is still felt), and the recovery from it."""
        say(f"{' + '.join(names)} ({len(self.ground.hosts)} hosts, {self.ground.topic_partitions} topic partitions)")
        began = time.time()
        since = began
        for name in names:
            act, counted_from = faults.FAULTS[name]
            ended = act(self.ground)
            # Of two, the second begins while the first is still felt: from then on both must be got over.
            if counted_from == faults.END or len(names) > 1:
                since = ended or time.time()
        recovered = self.wait_for_commits(since)
        self.failures += self.ground.verdict() + self.ground.ended_by_themselves()
        while len(self.ground.hosts) < 2:
            self.ground.start_host()
        lasted = time.time() - began
        self.happened.append({
            "faults": names, "at": began, "lasted_seconds": since - began,
            "recovered_after_seconds": None if recovered is None else recovered - since,
        })  # fmt: skip
        if recovered is None:
            missing = [n for n, t in self.commits.first_after(since).items() if t is None]
            self.failures.append(f"{' + '.join(names)}: no commit within {PATIENCE_SECONDS} s of topic partitions {missing}")
        else:
            say(f"    recovered after {recovered - since:.1f} s ({lasted:.1f} s in all)")

    def torment(self):
        deadline = time.time() + self.options.minutes * 60
        for names in self.next_faults():
            if time.time() > deadline:
                return
            self.one(names)
            self.ground.pause(0, 2)

    def drain(self):
        """No more events; hosts end in good order; a last one reads what is left."""
        say("draining")
        self.producer.stop()
        for host in list(self.ground.hosts):
            self.ground.finish_host(host)
        last = self.ground.start_host(until_caught_up=True)
        try:
            code = last.child.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
            last.kill()
        self.ground.hosts.clear()
        self.commits.stop()
        if code != 0:
            self.failures.append(f"draining ended with {code}:\n{last.log_tail()}")
        for log in self.job.scratch.glob("host-*.log"):
            for line in log.read_text(errors="replace").splitlines():
                if "an operator is needed" in line or "panicked" in line:
                    self.failures.append(f"{log.stem}: {line}")

    def check(self):
        """What the independent checker says; a run without an answer from it has failed."""
        say("fetching the table")
        local = self.job.scratch / "fetched"
        files = self.hdfs.fetch(self.job.base, local)
        say(f"comparing {files:,} files with Kafka")
        command = [os.environ["WASMILL_TEST_PYTHON"], str(HERE / "checker.py"), "--brokers", self.job.brokers]
        command += ["--topic", self.job.topic, "--fetched", str(local), "--min-seconds", json.dumps(hosts.MIN_SECONDS)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=1200)
        if done.returncode != 0:
            self.failures.append(f"the checker found differences (exit code {done.returncode})")
        return json.loads(done.stdout) if done.stdout else None

    def close(self):
        """Whatever happens: nothing goes on."""
        self.producer.stop()
        for host in self.ground.hosts:
            host.kill()


def main():
    options = arguments()
    scratch = options.keep or Path(tempfile.mkdtemp(prefix="wasmill-chaos-"))
    scratch.mkdir(parents=True, exist_ok=True)
    say(f"seed {options.seed}; again: make chaos MINUTES={options.minutes:g} SEED={options.seed}")
    run = Run(options, scratch)
    try:
        run.begin()
        run.torment()
        run.drain()
        found = run.check()
        text = report.write(run, found, options)
    finally:
        run.close()
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    print(text)
    for failure in run.failures:
        say(f"FAILED: {failure}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())

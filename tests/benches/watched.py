"""One topic, one pipeline, and hosts of it whose log lines are read while they run; and what the programs that do so share."""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
for sibling in ("cluster", "chaos"):
    sys.path.insert(0, str(HERE.parent / sibling))

import hosts  # noqa: E402 (the path above)
import kafka_server  # noqa: E402

TOPIC_PARTITIONS = 4
PATIENCE_SECONDS = 60


def say(text):
    print(text, file=sys.stderr, flush=True)


def parser(description):
    """Of a benchmark with goals that runs on the servers of a cluster."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--wasmill", type=Path, required=True, help="the release binary")
    made.add_argument("--runs", type=int, default=5, help="of each figure (default 5)")
    made.add_argument("--no-goals", action="store_true", help="exit with 0 also when a goal is missed")
    made.add_argument("--no-results", action="store_true", help="only print")
    return made


def parse(made):
    options = made.parse_args()
    options.wasmill = options.wasmill.resolve()
    for name in ("WASMILL_TEST_KAFKA", "WASMILL_TEST_HDFS", "WASMILL_TEST_CLUSTER"):
        if name not in os.environ:
            made.error(f"{name} is not set: run this by `make bench`, or under tests/cluster/cluster.py run")
    return options


def measured_now():
    """When and of which commit."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit}


def report(options, name, result, text):
    """Prints the table, and writes it and all figures into tests/benches/results."""
    print(text)
    if not options.no_results:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        (results / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        (results / f"{name}.md").write_text(text)


@dataclass
class Job:
    """One topic, one pipeline, one place."""

    wasmill: Path
    topic: str
    base: str
    scratch: Path
    options: dict
    # Its transforms come from deployments.
    is_deployed: bool = False
    # How often ranges end.
    interval: str = "2s"
    brokers: str = field(default_factory=lambda: os.environ["WASMILL_TEST_KAFKA"])
    hosts: int = 0

    def __post_init__(self):
        self.scratch.mkdir(parents=True)
        kafka_tool("TopicCommand", "--create", "--topic", self.topic, "--partitions", str(TOPIC_PARTITIONS))
        self.pipeline = self.scratch / "pipeline.toml"
        text = hosts.SHIPPED.read_text()
        text = hosts.replaced(text, '"../../target/', f'"{hosts.ROOT}/target/')
        text = hosts.replaced(text, 'topics = ["listen_events"]', f'topics = ["{self.topic}"]')
        text = hosts.replaced(text, 'group = "wasmill-listen-events"', f'group = "{self.topic}"')
        text = hosts.replaced(text, 'interval = "60s"', f'interval = "{self.interval}"')
        if self.is_deployed:
            before, _, rest = text.partition("[[transforms]]")
            text = before + rest[rest.index("[table]") :]
            text = hosts.replaced(text, "[pipeline]\n", '[pipeline]\ntransforms = "deployed"\n')
        lines = "".join(f'"{key}" = "{value}"\n' for key, value in self.options.items())
        self.pipeline.write_text(hosts.replaced(text, '"client.id" = "wasmill"\n', f'"client.id" = "wasmill"\n{lines}'))
        self.environment = hosts.environment("", self.base, self.brokers)

    def produce(self, events, rate="max"):
        command = [str(self.wasmill), "eventsim", "--brokers", self.brokers, "--topic", "listen_events"]
        command += ["--as-topic", self.topic, "--events", str(events), "--rate", str(rate)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=hosts.die_with_parent)

    def command(self, verb, *words):
        """`wasmill VERB PIPELINE WORDS...`, which must succeed; what it printed."""
        command = [str(self.wasmill), verb, str(self.pipeline), *words]
        done = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def catch_up(self):
        self.command("run", "--until", "caught-up")

    def host(self, *words):
        self.hosts += 1
        return Host(self, self.scratch / f"host-{self.hosts}.log", words)


class Host:
    """One `wasmill run` whose log lines are read while it runs."""

    def __init__(self, job, log, words):
        self.log = log
        command = [str(job.wasmill), "run", str(job.pipeline), "--log-format", "json", *words]
        with open(log, "wb") as output:
            self.started = time.time()
            self.child = subprocess.Popen(
                command, env=job.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                preexec_fn=hosts.die_with_parent,
            )  # fmt: skip

    def lines(self, message, after=0.0):
        """(time, fields) of all log lines with that message."""
        found = []
        for text in self.log.read_text(errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            at = datetime.datetime.fromisoformat(line["timestamp"]).timestamp()
            if line["fields"].get("message") == message and at > after:
                found.append((at, line["fields"]))
        return found

    def wait_for(self, message, count, after=0.0):
        """The times of the first `count` lines with that message, of different topic partitions."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            times = {}
            for at, fields in self.lines(message, after):
                times.setdefault(fields.get("topic_partition", at), at)
            if len(times) >= count:
                return sorted(times.values())[:count]
            if self.child.poll() is not None:
                break
            time.sleep(0.02)
        raise SystemExit(f"no {count} lines `{message}`:\n{self.log.read_text(errors='replace')[-3000:]}")

    def finish(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(60)

    def kill(self):
        at = time.time()
        self.child.kill()
        self.child.wait()
        return at


def kafka_tool(name, *words):
    main_class = {"TopicCommand": "org.apache.kafka.tools.TopicCommand", "ConfigCommand": "kafka.admin.ConfigCommand"}[name]
    command = kafka_server.java(main_class, "--bootstrap-server", os.environ["WASMILL_TEST_KAFKA"], *words)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)

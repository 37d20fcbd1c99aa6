"""One topic, one pipeline, and hosts of it whose log lines are read while they run."""

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
        command = [str(self.wasmill), *verb.split(), str(self.pipeline), *words]
        done = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}:\n{done.stderr[-3000:]}")
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

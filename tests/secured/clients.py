"""What the tests of secured clusters use: the binary with an environment of its own, tickets, the servers, the independent checker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WASMILL = Path(os.environ.get("WASMILL") or ROOT / "target/release/wasmill").resolve()
TRANSFORMS = Path(os.environ.get("WASMILL_TRANSFORMS") or ROOT / "target/transforms").resolve()
CHECKER = ROOT / "tests/python/listen_events.py"


def server(name):
    """What `cluster.py run --kerberos` tells; without its servers there is nothing to test, and that is a failure."""
    value = os.environ.get(name)
    assert value, f"{name} is not set: run it by tests/cluster/cluster.py run --kerberos --ticket-seconds 20 -- ..."
    return value


def keytab(name):
    return Path(server("WASMILL_TEST_KERBEROS")) / f"{name}.keytab"


def run(*command, env=None, wanted=0, timeout=180):
    """Standard output of a command that ends with `wanted`; one that ends otherwise fails the test with all that it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=env, stdin=subprocess.DEVNULL)
    assert done.returncode == wanted, f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def wait_until(what, condition, seconds=150):
    """The first true answer of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"after {seconds} s: not {what}")


def cluster(*words, env=None):
    return run(ROOT / "tests/cluster/cluster.py", *words, env=env)


def environment(cache, client_keytab=None, **changed):
    """The environment of one client: its own ticket cache, perhaps a keytab to fill it from. `None` takes a variable away."""
    variables = {**os.environ, "KRB5CCNAME": f"FILE:{cache}", **changed}
    if client_keytab:
        variables["KRB5_CLIENT_KTNAME"] = f"FILE:{client_keytab}"
    return {name: str(value) for name, value in variables.items() if value is not None}


def ticket(cache):
    """The line of `klist` about the ticket that all others are got with: from when, until when. `None` without one."""
    done = subprocess.run(["klist", "-c", f"FILE:{cache}"], capture_output=True, text=True)
    return next((line for line in done.stdout.splitlines() if "krbtgt/" in line), None)


def is_good(cache):
    """Whether there is a ticket that has not expired."""
    return subprocess.run(["klist", "-s", "-c", f"FILE:{cache}"]).returncode == 0


class Superuser:
    """HDFS as its superuser, by Hadoop's own shell."""

    def __init__(self, directory):
        self.env = environment(directory / "superuser.cache")

    def __call__(self, *words):
        run("kinit", "-k", "-t", keytab("hdfs"), "hdfs/localhost", env=self.env)
        return cluster("fs", *words, env=self.env)


class Job:
    """One topic, one table, and the shipped pipeline between them."""

    def __init__(self, name, directory, options):
        self.topic, self.directory, self.events = name, directory, 0
        self.base = f"/user/wasmill/{name}"
        self.pipeline = directory / f"{name}.toml"
        cluster("topic", "create", name, "--partitions", "4")
        text = (ROOT / "host/pipelines/listen-events.toml").read_text()
        lines = "".join(f'"{key}" = "{value}"\n' for key, value in options.items())
        for shipped, here in [
            ('topics = ["listen_events"]', f'topics = ["{name}"]'),
            ('group = "wasmill-listen-events"', f'group = "{name}"'),
            ("[source.kafka.options]\n", f"[source.kafka.options]\n{lines}"),
            ("../../target/transforms", str(TRANSFORMS)),
            ('interval = "60s"', 'interval = "1s"'),
        ]:
            assert shipped in text, shipped
            text = text.replace(shipped, here)
        self.pipeline.write_text(text)
        hdfs = server("WASMILL_TEST_HDFS")
        self.places = {
            "WASMILL_BROKERS": server("WASMILL_TEST_KAFKA_SASL_SSL"),
            "WASMILL_TABLE": f"{hdfs}{self.base}/bronze",
            "WASMILL_DEAD_LETTERS": f"{hdfs}{self.base}/dead_letters",
            "WASMILL_CHECKPOINTS": f"{hdfs}{self.base}/checkpoints",
        }

    def wasmill(self, *words, env, wanted=0):
        return run(WASMILL, *words, self.pipeline, env={**env, **self.places}, wanted=wanted)

    def produce(self, events):
        """So many more messages, by a client that needs no ticket."""
        first, self.events = self.events, self.events + events
        words = ["--topic", self.topic, "--first-id", first, "--events", events]
        run(sys.executable, CHECKER, "produce", "--brokers", server("WASMILL_TEST_KAFKA"), *words)

    def check(self, superuser):
        """Compares table and dead letters with what the topic holds, record by record; what was counted."""
        fetched = self.directory / f"{self.topic}.fetched"
        superuser("-get", self.base, str(fetched))
        words = ["--table", fetched / "bronze", "--dead-letters", fetched / "dead_letters"]
        brokers = ["--brokers", server("WASMILL_TEST_KAFKA"), "--topic", self.topic]
        return json.loads(run(sys.executable, CHECKER, "check", *brokers, *words).splitlines()[0])


class Host:
    """`wasmill run` in the background. Told to end by SIGTERM, it has to end well."""

    def __init__(self, job, env, name):
        self.log = job.directory / f"{name}.log"
        with open(self.log, "wb") as log:
            command = [WASMILL, "run", job.pipeline]
            self.process = subprocess.Popen(command, env={**env, **job.places}, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def is_running(self):
        assert self.process.poll() is None, f"the host ended with {self.process.returncode}\n{self.told()}"
        return True

    def told(self):
        return self.log.read_text(errors="replace")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=90)
        assert code == 0, f"the host ended with {code}\n{self.told()}"

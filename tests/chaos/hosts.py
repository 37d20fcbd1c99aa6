"""The processes under test: `wasmill run` hosts of one group, and `wasmill eventsim` as their producer.

All are started to die with this program, so that nothing is left when it is killed. Each has a log of its own.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = ROOT / "host" / "pipelines" / "listen-events.toml"
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 45
# For all open files of a host together.
MEMORY_BUDGET_MB = 64

EXTRA_TRANSFORM = f"""
[[transforms]]
name = "enrich-user-agent"
module = "{ROOT}/target/transforms/enrich_user_agent.wasm"
"""
# What tells the two deployments apart in the data: the second keeps only longer plays, and adds three columns.
MIN_SECONDS = {"first": 30, "second": 120}


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def replaced(text, old, new):
    """`text` with `old` replaced; an error when it is not there, because then the shipped file has changed."""
    if old not in text:
        raise RuntimeError(f"{SHIPPED} has changed: {old!r} is not in it; adjust {__file__}")
    return text.replace(old, new)


def pipeline_text(deployment, job):
    """The shipped pipeline file with the addresses, times and the deployment of this run."""
    text = SHIPPED.read_text()
    text = replaced(text, '"../../target/', f'"{ROOT}/target/')
    text = replaced(text, 'topics = ["listen_events"]', f'topics = ["{job.topic}"]')
    text = replaced(text, 'group = "wasmill-listen-events"', f'group = "{job.topic}"')
    text = replaced(text, 'interval = "60s"', f'interval = "{job.interval}"')
    text = replaced(text, "min_seconds = 30", f"min_seconds = {MIN_SECONDS[deployment]}")
    options = '"client.id" = "wasmill"\n"topic.metadata.refresh.interval.ms" = "2000"\n'
    if job.group_protocol == "consumer":
        options += '"group.protocol" = "consumer"\n'
    else:
        options += f'"session.timeout.ms" = "{job.session_seconds * 1000}"\n"heartbeat.interval.ms" = "1000"\n'
    text = replaced(text, '"client.id" = "wasmill"\n', options)
    text = replaced(text, 'memory_budget = "256MB"', f'memory_budget = "{MEMORY_BUDGET_MB}MB"\nworkers = 2')
    if deployment == "second":
        text = replaced(text, "\n[table]", f"{EXTRA_TRANSFORM}\n[table]")
    return text


class Host:
    """One `wasmill run`."""

    def __init__(self, name, deployment, job, until_caught_up=False):
        self.name = name
        self.deployment = deployment
        self.job = job
        self.stopped = False
        self.log = job.scratch / f"{name}.log"
        pipeline = job.scratch / f"{deployment}.toml"
        if not pipeline.exists():
            pipeline.write_text(pipeline_text(deployment, job))
        command = [str(job.wasmill), "run", str(pipeline)]
        if until_caught_up:
            command += ["--until", "caught-up"]
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                command, env=job.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        self.child.kill()
        self.child.wait()

    def finish(self):
        """SIGTERM, then the exit code; killed when it does not end."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            return self.child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def log_tail(self, lines=12):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Producer:
    """`wasmill eventsim` with transactions, some aborted; started again whenever it ends, until it is stopped."""

    def __init__(self, job, seed, rate):
        self.job, self.seed, self.rate = job, seed, rate
        self.starts = 0
        self.over = False
        self.child = None
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def start(self):
        self.spawn()
        self.thread.start()

    def spawn(self):
        # The same transactional id: the transaction that an earlier one left open is aborted, and holds nobody up.
        command = [str(self.job.wasmill), "eventsim", "--brokers", self.job.brokers, "--topic", "listen_events"]
        command += ["--as-topic", self.job.topic, "--rate", str(self.rate), "--seed", str(self.seed)]
        command += ["--skip", str(self.starts * 100_000), "--faults", "0.03"]
        command += ["--transaction-events", "100", "--abort-share", "0.2"]
        command += ["--option", "transaction.timeout.ms=20000", "--option", "message.timeout.ms=15000"]
        self.starts += 1
        with open(self.job.scratch / f"eventsim-{self.starts}.log", "wb") as log:
            # It dies with us by being in our session: a thread may not be the parent whose death kills it.
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def watch(self):
        while not self.over:
            time.sleep(0.2)
            with self.lock:
                if not self.over and self.child.poll() is not None:
                    self.spawn()

    def restart(self):
        """In good order; the new one sees topic partitions that were added."""
        with self.lock:
            self.finish()
            self.spawn()

    def finish(self):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def stop(self):
        self.over = True
        with self.lock:
            if self.child:
                self.finish()


def environment(hdfs, base, brokers):
    """The places of a run, as the shipped pipeline file wants them."""
    return {
        **os.environ,
        "WASMILL_BROKERS": brokers,
        "WASMILL_TABLE": f"{hdfs}{base}/table",
        "WASMILL_DEAD_LETTERS": f"{hdfs}{base}/dead_letters",
        "WASMILL_CHECKPOINTS": f"{hdfs}{base}/checkpoints",
    }

"""A real Kafka Connect worker and a wasmill server, asked the same things."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WASMILL = Path(os.environ.get("WASMILL") or ROOT / "target/release/wasmill").resolve()

PATIENCE = 60


def environment(name):
    """What `cluster.py run --connect` sets; a test without its servers fails."""
    if value := os.environ.get(name):
        return value
    raise AssertionError(f"{name} is not set: run this by `make test`, or by tests/cluster/cluster.py run --kafka --connect")


def ask(url, method="GET", path="", body=None, raw=None, user=None, headers=None):
    """Status, headers, and the body: as JSON where it is some, else as text. `user`: `name:password`."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    request = urllib.request.Request(url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, found, text = answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, found, text = error.code, error.headers, error.read().decode()
    with contextlib.suppress(ValueError):
        return status, found, json.loads(text)
    return status, found, text


def until(what, holds, seconds=PATIENCE):
    """The first true answer of `holds`."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            last = holds()
            if last:
                return last
        time.sleep(0.2)
    raise AssertionError(f"after {seconds} s: not {what}")


def pipeline(directory, topic, **more):
    """The configuration of a connector of wasmill below `directory`."""
    return {
        "connector.class": "wasmill",
        "tasks.max": "1",
        "topics": topic,
        "schema": "n:long!, auth:string",
        "table.location": f"{directory}/table",
        "table.event_time.column": "n",
        "table.event_time.unit": "ms",
        "table.partition_by": "day",
        "dead_letters.location": f"{directory}/dead_letters",
        "checkpoint.location": f"{directory}/checkpoints",
        "checkpoint.interval": "1s",
        "source.kafka.options.session.timeout.ms": "6000",
        **more,
    }


class Server:
    """A `wasmill serve` of its own directory, or of another server's storage."""

    def __init__(self, directory, *options, storage=None):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.storage = storage or self.directory / "storage"
        self.log = self.directory / "serve.log"
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        command = [WASMILL, "serve", "--storage", self.storage, "--brokers", environment("WASMILL_TEST_KAFKA")]
        command += ["--connect", "127.0.0.1:0", *options]
        with open(self.log, "wb") as log:
            variables = {**os.environ, "TMPDIR": str(temporary)}
            self.process = subprocess.Popen([str(word) for word in command], stderr=log, env=variables)
        self.url = until("the address in the log", self._address)

    def _address(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
        found = re.search(r"Kafka Connect's API listens on (https?://\S+)", self.log.read_text())
        return found and found.group(1)

    def cli(self, *words):
        """What `wasmill pipeline ...` prints, as JSON."""
        done = subprocess.run(
            [WASMILL, "pipeline", *words, "--storage", self.storage, "--json"], capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise AssertionError(f"pipeline {words} ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE)
        if code != 0:
            raise AssertionError(f"the server ended with {code}:\n{self.log.read_text()}")


class Sides:
    """The same requests to both."""

    def __init__(self, worker, server, configs):
        self.worker, self.server, self.configs = worker, server, configs

    def config(self, side, **more):
        return {**self.configs[side], **more}

    def both(self, method, path, body=None, raw=None, wasmill=None):
        """Asks both, compares status and shape, returns (the worker's, wasmill's) answer.

        `body`: what is sent, or a function of the side ("worker", "wasmill"). `wasmill`: its status where it differs
        by intent.
        """
        answers = {}
        for side, url in (("worker", self.worker), ("wasmill", self.server)):
            sent = body(side) if callable(body) else body
            answers[side] = ask(url, method, path.replace("CLASS", self.configs[side]["connector.class"]), sent, raw)
        (status, headers, worker), (ours, own_headers, found) = answers["worker"], answers["wasmill"]
        told = f"{method} {path}: the worker says {status} {repr(worker)[:1000]}, wasmill {ours} {repr(found)[:1000]}"
        if ours != (wasmill or status):
            raise AssertionError(told)
        if ("Location" in headers) != ("Location" in own_headers):
            raise AssertionError(f"{told}\n{headers}\n{own_headers}")
        key = path.rpartition("/")[2] if method == "GET" and path.startswith("/connectors/") else None
        if difference := unlike(shape(worker, key), shape(found, key)):
            raise AssertionError(f"{told}\nat {difference}")
        return worker, found


# What is below these keys is named by users.
MAPS = {"config"}


def shape(value, key=None):
    """A JSON value without what it says: types, and keys that are not users' own."""
    if isinstance(value, dict):
        if key in MAPS:
            return {"*": "text" if all(isinstance(item, str) for item in value.values()) else "other"}
        return {name: shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def unlike(one, other, path="$"):
    """Where two shapes differ; None where they do not. A null may be anything, lists may be of any length."""
    if "NoneType" in (one, other):
        return None
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{path}: {sorted(one)} and {sorted(other)}"
        return next((found for key in one if (found := unlike(one[key], other[key], f"{path}.{key}"))), None)
    if isinstance(one, list) and isinstance(other, list):
        pairs = ((left, right) for left in one for right in other)
        return next((found for left, right in pairs if (found := unlike(left, right, f"{path}[]"))), None)
    return None if one == other else f"{path}: {one} and {other}"

"""A running host with its admin API, and a real Prometheus that scrapes it as prometheus.yml says."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import place
import yaml


def get(url, token=None, timeout=5):
    """Status and body."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_until(what, condition, seconds=20):
    """The first true answer of `condition`, which may fail to connect until then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if answer := condition():
                return answer
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s: not {what}")


@contextlib.contextmanager
def process(*command, **options):
    """A process that ends with the block. It is told by SIGTERM, as by systemd, Docker and Kubernetes."""
    child = subprocess.Popen([str(word) for word in command], **options)
    try:
        yield child
    finally:
        if child.stdin:
            child.stdin.close()
        child.terminate()
        try:
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            child.kill()
            raise


def make_tokens(directory):
    """Does what the service `tokens` of compose.yaml does, in `directory`; the token that Prometheus gets."""
    tokens = yaml.safe_load((place.DEPLOY / "compose.yaml").read_text())["services"]["tokens"]
    (directory / "tokens").mkdir(exist_ok=True)
    path = f"{place.WASMILL.parent}:{os.environ['PATH']}"
    place.run(*tokens["entrypoint"], *tokens["command"], cwd=directory, env={**os.environ, "PATH": path})
    return (directory / "tokens" / "prometheus").read_text().strip()


class Host:
    """`wasmill run` of a small pipeline: standard input through one transform into a table on the local disk."""

    def __init__(self, address, token, directory):
        self.address, self.token, self.directory = address, token, directory

    def get(self, path, token=None):
        return get(f"http://{self.address}{path}", token)

    def metrics(self):
        status, text = self.get("/metrics", self.token)
        assert status == 200, text
        return text


@contextlib.contextmanager
def host(directory):
    token = make_tokens(directory)
    shipped = (place.DEPLOY / "listen-events.toml").read_text()
    address = f"127.0.0.1:{place.free_port()}"
    pipeline = directory / "small.toml"
    pipeline.write_text(
        f"""
[pipeline]
name = "small"
[source.file]
path = "-"
{shipped[shipped.index("[schema]") : shipped.index("[[transforms]]")]}
[[transforms]]
name = "keep-plays"
module = "{place.TRANSFORMS}/keep_plays.wasm"
settings = {{ min_seconds = 30 }}
[table]
location = "table"
event_time = {{ column = "ts", unit = "ms" }}
[dead_letters]
location = "dead_letters"
[checkpoint]
location = "checkpoints"
interval = "1s"
[admin]
listen = "{address}"
tokens = "tokens/tokens.toml"
"""
    )
    events = directory / "events.jsonl"
    place.run(place.WASMILL, "eventsim", "--events", 1000, "--faults", 0.05, "--output", events)
    with open(directory / "log", "wb") as log:
        command = [place.WASMILL, "run", pipeline]
        with process(*command, cwd=directory, stdin=subprocess.PIPE, stdout=log, stderr=log) as child:
            # The pipe stays open, so the host waits for more and does not end.
            child.stdin.write(events.read_bytes())
            child.stdin.flush()
            running = Host(address, token, directory)
            committed = lambda: "\nwasmill_commits_total 0\n" not in running.metrics()
            try:
                wait_until("committed", committed)
            except AssertionError:
                raise AssertionError((directory / "log").read_text())
            yield running


class Prometheus:
    def __init__(self, address):
        self.address = address

    def ask(self, path, **parameters):
        status, text = get(f"http://{self.address}{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(text)
        assert status == 200 and answer["status"] == "success", f"{parameters}: {text}"
        return answer["data"]

    def query(self, expression):
        return self.ask("/api/v1/query", query=expression)["result"]


@contextlib.contextmanager
def prometheus(of, directory):
    """Prometheus as prometheus.yml has it, but of this host, and in a hurry."""
    config = yaml.safe_load((place.MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(place.MONITORING / name) for name in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    token = scrape["authorization"]["credentials_file"].rsplit("/", 1)[1]
    scrape["authorization"]["credentials_file"] = str(of.directory / "tokens" / token)
    scrape["static_configs"][0]["targets"] = [of.address]
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    place.run(place.tool("promtool"), "check", "config", file)
    address = f"127.0.0.1:{place.free_port()}"
    data = ["--storage.tsdb.path", directory / "prometheus", "--web.listen-address", address, "--log.level=warn"]
    with open(directory / "prometheus.log", "wb") as log:
        with process(place.tool("prometheus"), "--config.file", file, *data, stdout=log, stderr=log):
            started = Prometheus(address)
            # Rates need two scrapes, rules one evaluation after them.
            scraped = lambda: started.query('count_over_time(up{job="wasmill"}[1m]) > 3')
            try:
                wait_until("scraped", scraped)
            except AssertionError:
                raise AssertionError((directory / "prometheus.log").read_text())
            yield started

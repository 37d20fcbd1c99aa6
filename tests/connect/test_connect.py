"""wasmill's API for clients of Kafka Connect, held against a real Connect worker and used by a client library.

    tests/cluster/cluster.py run --kafka --connect -- sh -c 'PYTHON -m unittest discover -s tests/connect'
"""

import json
import re
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import pyarrow.dataset
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_connect import KafkaConnect
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sides import WASMILL, Server, Sides, ask, environment, pipeline, until


def topic(name, partitions=2):
    """A new topic."""
    name = f"{name}-{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": environment("WASMILL_TEST_KAFKA")})
    for made in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        made.result(30)
    return name


def produce(topic, count):
    producer = Producer({"bootstrap.servers": environment("WASMILL_TEST_KAFKA")})
    for n in range(count):
        producer.produce(topic, json.dumps({"n": n, "auth": "Logged In"}).encode(), partition=n % 2)
    if producer.flush(60):
        raise AssertionError("not all messages were taken")


def rows(directory):
    table = Path(directory) / "table"
    return pyarrow.dataset.dataset(table, format="parquet").count_rows() if list(table.rglob("*.parquet")) else 0


class Case(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.directory = Path(self.place.name)

    def serve(self, name, *options, storage=None):
        server = Server(self.directory / name, *options, storage=storage)
        self.addCleanup(server.process.kill)
        return server


class BesideAWorker(Case):
    """Status codes and shapes of answers, errors included."""

    def setUp(self):
        super().setUp()
        self.server = self.serve("one")
        self.topic = topic("connect")
        worker = {"connector.class": "FileStreamSink", "tasks.max": "1", "topics": self.topic}
        worker["file"] = str(self.directory / "worker.txt")
        configs = {"worker": worker, "wasmill": pipeline(self.directory / "a", self.topic)}
        # Both would have it be `connect-a`, and share the topic between them.
        configs["wasmill"]["source.kafka.group"] = f"wasmill-{self.topic}"
        self.sides = Sides(environment("WASMILL_TEST_CONNECT"), self.server.url, configs)
        self.both = self.sides.both
        self.addCleanup(self.forget)

    def forget(self):
        for name in ask(self.sides.worker, path="/connectors")[2]:
            ask(self.sides.worker, "DELETE", f"/connectors/{name}")

    def config(self, **more):
        return lambda side: self.sides.config(side, **more)

    def create(self, name="a", **more):
        return lambda side: {"name": name, "config": self.sides.config(side), **more}

    def states(self, name, connector, *tasks):
        """Waits until both say so."""

        def holds(url):
            status, _, found = ask(url, path=f"/connectors/{name}/status")
            states = [task["state"] for task in found.get("tasks", [])] if status == 200 else None
            return status == 200 and (found["connector"]["state"], states) == (connector, list(tasks))

        for url in (self.sides.worker, self.sides.server):
            until(f"{url}: {connector} {tasks}: {ask(url, path=f'/connectors/{name}/status')}", lambda url=url: holds(url))

    def test_what_is_there_before_any_connector(self):
        _, found = self.both("GET", "/")
        self.assertEqual(len(found["kafka_cluster_id"]), 22)
        worker, found = self.both("GET", "/health")
        self.assertEqual(worker["status"], found["status"])
        self.both("GET", "/connectors")
        self.both("GET", "/nothing")
        self.both("POST", "/")
        self.both("PUT", "/connectors")
        self.both("GET", "/connector-plugins")
        _, keys = self.both("GET", "/connector-plugins/CLASS/config")
        names = [key["name"] for key in keys]
        self.assertEqual(len(names), len(set(names)))
        self.assertTrue({"name", "topics", "schema", "table.location", "checkpoint.interval"} <= set(names))
        self.both("GET", "/connector-plugins/Nope/config")
        for path in ("", "/config", "/status", "/tasks", "/tasks/0/status", "/offsets", "/topics"):
            self.both("GET", f"/connectors/none{path}")
        for verb in ("pause", "resume", "stop", "topics/reset"):
            self.both("PUT", f"/connectors/none/{verb}")
        self.both("POST", "/connectors/none/restart")
        self.both("POST", "/connectors/none/tasks/0/restart")
        self.both("DELETE", "/connectors/none")
        self.both("DELETE", "/connectors/none/offsets")
        self.both("PATCH", "/connectors/none/config", {"tasks.max": "1"})
        self.both("GET", "/connectors/no%20name")
        # No name that leads elsewhere is a connector's.
        self.assertEqual(ask(self.server.url, path="/connectors/..%2F..%2Fetc")[0], 404)

    def test_validation(self):
        worker, found = self.both("PUT", "/connector-plugins/CLASS/config/validate", self.config(name="a"))
        self.assertEqual(worker["error_count"], 0)
        self.assertEqual([one["value"] for one in found["configs"] if one["value"]["errors"]], [])
        worker, found = self.both("PUT", "/connector-plugins/CLASS/config/validate", self.config(topics=""))
        self.assertGreater(min(worker["error_count"], found["error_count"]), 0)
        sent = {"connector.class": "wasmill", "checkpoint.intervall": "1s", "limits.workers": "many"}
        status, _, found = ask(self.server.url, "PUT", "/connector-plugins/wasmill/config/validate", sent)
        errors = {one["value"]["name"]: one["value"]["errors"] for one in found["configs"] if one["value"]["errors"]}
        self.assertEqual(status, 200)
        self.assertEqual(found["error_count"], len(errors))
        self.assertEqual(errors["name"], ['Missing required configuration "name" which has no default value.'])
        self.assertIn("did you mean checkpoint.interval?", errors["checkpoint.intervall"][0])
        self.assertIn("whole number", errors["limits.workers"][0])
        # A worker takes these for its own mistakes.
        self.both("PUT", "/connector-plugins/CLASS/config/validate", {}, wasmill=400)
        self.both("PUT", "/connector-plugins/CLASS/config/validate", raw=b"{nope", wasmill=400)

    def test_what_is_refused(self):
        self.both("POST", "/connectors", {"name": "a", "config": {}})
        self.both("POST", "/connectors", lambda side: {"config": self.sides.config(side)})
        self.both("POST", "/connectors", lambda side: {"name": "a", "config": self.sides.config(side, name="b")})
        _, found = self.both("POST", "/connectors", lambda side: {"name": "a", "config": self.sides.config(side, topics="")})
        self.assertIn("contains the following 1 error(s):\ntopics: Missing required", found["message"])
        self.both("POST", "/connectors", raw=b"{nope", wasmill=400)
        self.both("POST", "/connectors", self.create(bogus=1), wasmill=400)
        self.both("POST", "/connectors", self.create(initial_state="bad"), wasmill=400)
        self.both("PUT", "/connectors/a/config", self.config(name="zz"))
        self.both("PUT", "/connectors/a/config", {"tasks.max": "2"})
        self.both("GET", "/connectors")
        secret = pipeline(self.directory / "a", self.topic, **{"source.kafka.options.sasl.password": "hunter2"})
        status, _, found = ask(self.server.url, "PUT", "/connectors/a/config", secret)
        self.assertEqual(status, 400)
        self.assertIn("source.kafka.options.sasl.password: ", found["message"])
        self.assertNotIn("hunter2", found["message"])

    def test_the_life_of_a_connector(self):
        produce(self.topic, 100)
        self.both("POST", "/connectors", self.create())
        self.both("POST", "/connectors", self.create())
        self.states("a", "RUNNING", "RUNNING")
        until("100 rows", lambda: rows(self.directory / "a") == 100)
        for path in ("", "/config", "/status", "/tasks", "/tasks/0/status", "/tasks/7/status", "/tasks/x/status", "/topics"):
            self.both("GET", f"/connectors/a{path}")
        for expand in ("status", "info", "wrong"):
            self.both("GET", f"/connectors?expand={expand}")
        self.both("GET", "/connectors?expand=info&expand=status")
        # A worker commits once a minute; where wasmill is, it says by its data.
        _, _, found = ask(self.server.url, path="/connectors/a/offsets")
        self.assertEqual(sum(one["offset"]["kafka_offset"] for one in found["offsets"]), 100)
        self.assertEqual({one["partition"]["kafka_topic"] for one in found["offsets"]}, {self.topic})
        self.both("PATCH", "/connectors/a/offsets", {"offsets": []})
        _, found = self.both("DELETE", "/connectors/a/offsets")
        self.assertIn("wasmill offsets set", found["message"])

        self.both("PUT", "/connectors/a/config", self.config(**{"tasks.max": "2"}))
        worker, found = self.both("PATCH", "/connectors/a/config", {"tasks.max": "1"})
        self.assertEqual(worker["config"]["tasks.max"], found["config"]["tasks.max"])
        self.both("PUT", "/connectors/c/config", self.config(topics=self.topic, **{"source.kafka.group": "c"}))
        self.both("GET", "/connectors")
        self.both("DELETE", "/connectors/c")
        self.both("GET", "/connectors/c")

        self.states("a", "RUNNING", "RUNNING")
        self.both("PUT", "/connectors/a/pause")
        self.states("a", "PAUSED", "PAUSED")
        until("no process", lambda: not self.server.cli("list")["servers"][0]["pipelines"])
        self.both("GET", "/connectors/a/status")
        produce(self.topic, 10)
        self.both("PUT", "/connectors/a/resume")
        self.states("a", "RUNNING", "RUNNING")
        until("110 rows", lambda: rows(self.directory / "a") == 110)
        self.both("PUT", "/connectors/a/stop")
        self.states("a", "STOPPED")
        self.both("GET", "/connectors/a/tasks")
        self.both("GET", "/connectors/a")
        self.both("PUT", "/connectors/a/resume")
        self.states("a", "RUNNING", "RUNNING")
        self.both("DELETE", "/connectors/a")
        self.both("GET", "/connectors")
        self.both("POST", "/connectors", self.create("p", initial_state="PAUSED"))
        until("it is paused", lambda: ask(self.server.url, path="/connectors/p/status")[2]["connector"]["state"] == "PAUSED")
        self.both("DELETE", "/connectors/p")

    def test_restarts(self):
        self.both("POST", "/connectors", self.create())
        self.states("a", "RUNNING", "RUNNING")
        pid = self.pid(self.server)
        self.both("POST", "/connectors/a/restart")
        self.states("a", "RUNNING", "RUNNING")
        pid = until("another process", lambda: self.pid(self.server, but=pid))
        self.both("POST", "/connectors/a/restart?includeTasks=true")
        self.states("a", "RUNNING", "RUNNING")
        pid = until("another process", lambda: self.pid(self.server, but=pid))
        self.both("POST", "/connectors/a/restart?includeTasks=true&onlyFailed=true")
        self.both("POST", "/connectors/a/restart?onlyFailed=true")
        self.both("POST", "/connectors/a/tasks/0/restart")
        until("another process", lambda: self.pid(self.server, but=pid))
        self.states("a", "RUNNING", "RUNNING")
        self.both("POST", "/connectors/a/tasks/9/restart")

    def pid(self, server, but=None):
        """Of the process that runs `a`, once it runs by the newest entry."""
        found = server.cli("list")
        mine = [one for one in found["servers"] if one.get("connect") in server.url]
        state = mine[0]["pipelines"].get("a") if mine else None
        runs = state and state["state"] == "running" and state["number"] == found["pipelines"][0]["number"]
        return state["pid"] if runs and state["pid"] != but else None

    def test_a_task_is_restarted_where_it_is(self):
        second = self.serve("two", storage=self.server.storage)
        self.both("POST", "/connectors", self.create())
        servers = (self.server, second)
        pids = [until("it runs", lambda server=server: self.pid(server)) for server in servers]
        status = ask(second.url, path="/connectors/a/status")[2]
        self.assertEqual([task["state"] for task in status["tasks"]], ["RUNNING", "RUNNING"])
        workers = [task["worker_id"] for task in status["tasks"]]
        self.assertEqual(ask(second.url, "POST", "/connectors/a/tasks/1/restart")[0], 204)
        mine = next(at for at, server in enumerate(servers) if workers[1] in server.url)
        until("another process", lambda: self.pid(servers[mine], but=pids[mine]))
        self.assertEqual(until("the other one", lambda: self.pid(servers[1 - mine])), pids[1 - mine])
        second.end()

    def test_each_pipeline_is_a_target_of_prometheus(self):
        produce(self.topic, 20)
        self.assertEqual(ask(self.server.url, path="/targets")[2], [])
        self.assertEqual(ask(self.server.url, path="/metrics/a")[0], 404)
        self.both("POST", "/connectors", self.create())
        self.states("a", "RUNNING", "RUNNING")
        (target,) = until("a target", lambda: ask(self.server.url, path="/targets")[2])
        self.assertEqual(target["labels"]["pipeline"], "a")
        path, (address,) = target["labels"]["__metrics_path__"], target["targets"]

        def written():
            status, _, text = ask(f"http://{address}", path=path)
            families = text_string_to_metric_families(text) if status == 200 else []
            samples = [sample for family in families for sample in family.samples]
            return [sample.value for sample in samples if sample.name == "wasmill_rows_written_total"] == [20]

        until("20 rows in the numbers", written)

    def test_what_fails_is_told_and_restarted(self):
        broken = pipeline(self.directory / "b", "no-such-topic")
        self.assertEqual(ask(self.server.url, "PUT", "/connectors/broken/config", broken)[0], 201)

        def failed():
            found = ask(self.server.url, path="/connectors/broken/status")[2]
            return [task for task in found["tasks"] if task["state"] == "FAILED"]

        (task,) = until("it failed", failed)
        self.assertIn("no-such-topic", task["trace"])
        before = self.server.cli("list")["pipelines"][0]["number"]
        path = "/connectors/broken/restart?includeTasks=true&onlyFailed=true"
        status, _, found = until("it is failed", lambda: failed() and ask(self.server.url, "POST", path))
        self.assertEqual((status, found["tasks"][0]["state"]), (202, "RESTARTING"))
        self.assertEqual(self.server.cli("list")["pipelines"][0]["number"], before + 1)

    def test_loggers(self):
        worker, found = self.both("GET", "/admin/loggers/root")
        self.assertEqual(worker["level"], found["level"])
        self.both("GET", "/admin/loggers/nope")
        self.both("PUT", "/admin/loggers/root", {"level": "BAD"})
        self.both("PUT", "/admin/loggers/root", {})
        self.both("PUT", "/admin/loggers/root", {"level": "WARN"})
        _, found = self.both("GET", "/admin/loggers/root")
        self.assertIsInstance(found["last_modified"], int)
        self.assertIn("wasmill", ask(self.server.url, path="/admin/loggers")[2])
        self.assertEqual(ask(self.server.url, "PUT", "/admin/loggers/root?scope=cluster", {"level": "WARN"})[0], 400)
        # It counts for the server's pipelines: for those that are started later, and for those that run.
        self.assertEqual(ask(self.server.url, "PUT", "/admin/loggers/wasmill", {"level": "ERROR"})[2], ["wasmill"])
        before = len(self.server.log.read_text())
        self.both("POST", "/connectors", self.create())
        self.states("a", "RUNNING", "RUNNING")
        until("it tells numbers", lambda: ask(self.server.url, path="/metrics/a")[0] == 200)
        self.assertNotIn("INFO", self.server.log.read_text()[before:])
        ask(self.server.url, "PUT", "/admin/loggers/wasmill", {"level": "INFO"})
        until("it tells how far it is", lambda: re.search("a: .*INFO.*running", self.server.log.read_text()[before:]))


class ByAClient(Case):
    """What a client library does, with a token that not everybody has."""

    def test_the_library_manages_pipelines(self):
        tokens = self.directory / "tokens.toml"
        secrets = {}
        for name, options in {
            "ann": ["--role", "deployer"],
            "root": ["--role", "admin"],
            "eve": ["--role", "viewer"],
            "bob": ["--role", "deployer", "--pipeline", "other"],
        }.items():
            command = [WASMILL, "token", name, *options, "--into", str(tokens)]
            secrets[name] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        server = self.serve("one", "--tokens", str(tokens))
        self.assertEqual(ask(server.url, path="/connectors")[0], 401)
        self.assertEqual(ask(server.url, path="/connectors", user="ann:wrong")[0], 401)

        read = topic("client")
        produce(read, 50)
        config = pipeline(self.directory / "plays", read, name="plays")
        ann = KafkaConnect(server.url, auth=f"ann:{secrets['ann']}")
        errors = ann.validate_connector_config("wasmill", config)["error_count"]
        self.assertEqual(errors, 0)
        created = ann.create_connector({"name": "plays", "config": config})
        self.assertEqual(created["config"], config)
        until("it runs", lambda: ann.get_connector_status("plays")["tasks"])
        until("50 rows", lambda: rows(self.directory / "plays") == 50)
        self.assertEqual(ann.list_connectors(pattern="pl.*", state="running"), ["plays"])
        self.assertEqual(ann.list_connector_topics("plays"), {"plays": {"topics": [read]}})
        ann.update_connector("plays", {**config, "checkpoint.interval": "2s"})
        self.assertEqual(ann.get_connector_config("plays")["checkpoint.interval"], "2s")
        ann.pause_all_connectors()
        until("it is paused", lambda: ann.get_connector_status("plays")["connector"]["state"] == "PAUSED")
        ann.resume_connector("plays")
        until("it runs", lambda: [one["state"] for one in ann.get_connector_status("plays")["tasks"]] == ["RUNNING"])
        ann.restart_connector("plays", include_tasks=True)
        produce(read, 50)
        until("100 rows", lambda: rows(self.directory / "plays") == 100)
        entry = server.cli("list")["pipelines"][0]
        self.assertEqual(entry["by"], "token ann")

        # Who may not.
        validate = "/connector-plugins/wasmill/config/validate"
        self.assertEqual(ask(server.url, "PUT", validate, config, user=f"eve:{secrets['eve']}")[0], 403)
        written = {**config, "webhook.url": "http://localhost:1/", "webhook.token": "hunter2"}
        status, _, told = ask(server.url, "PUT", "/connectors/plays/config", written, user=f"ann:{secrets['ann']}")
        self.assertEqual(status, 400)
        self.assertIn("webhook.token: ", told["message"])
        self.assertNotIn("hunter2", told["message"])
        for who, status in (("eve", 403), ("bob", 403)):
            user = f"{who}:{secrets[who]}"
            self.assertEqual(ask(server.url, "DELETE", "/connectors/plays", user=user)[0], status, who)
            self.assertEqual(ask(server.url, "PUT", "/connectors/plays/pause", user=user)[0], status, who)
        self.assertEqual(ask(server.url, path="/connectors", user=f"eve:{secrets['eve']}")[2], ["plays"])
        self.assertEqual(ask(server.url, path="/connectors", user=f"bob:{secrets['bob']}")[2], [])
        self.assertEqual(ask(server.url, path="/connectors/plays", user=f"bob:{secrets['bob']}")[0], 403)
        self.assertEqual(ask(server.url, "PUT", "/admin/loggers/root", {"level": "INFO"}, user=f"ann:{secrets['ann']}")[0], 403)
        # A value of the server's own files goes to brokers that the token's holder names.
        outside = {**config, "source.kafka.options.client.id": "${file:/etc/hostname}"}
        self.assertEqual(ask(server.url, "PUT", "/connectors/plays/config", outside, user=f"ann:{secrets['ann']}")[0], 403)
        self.assertEqual(ask(server.url, "PUT", "/connectors/plays/config", outside, user=f"root:{secrets['root']}")[0], 200)

        ann.delete_connector("plays")
        self.assertEqual(ann.list_connectors(), [])
        until("nothing runs", lambda: not server.cli("list")["servers"][0]["pipelines"])
        server.end()

    def test_other_machines_need_tokens(self):
        command = [WASMILL, "serve", "--storage", str(self.directory), "--connect", "0.0.0.0:0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--tokens", done.stderr)

    def test_a_page_of_another_origin_is_not_answered(self):
        server = self.serve("one")
        self.assertEqual(ask(server.url, path="/connectors", headers={"Origin": "http://evil.example"})[0], 403)
        self.assertEqual(ask(server.url, path="/connectors", headers={"Host": "evil.example"})[0], 403)


if __name__ == "__main__":
    unittest.main()

"""Compose file, image, Kubernetes manifests and systemd unit: read by their own tools, and of one mind with each other."""

import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import place
import yaml

COMPOSE = place.DEPLOY / "compose.yaml"
PIPELINE = place.DEPLOY / "listen-events.toml"
UNIT = place.DEPLOY / "systemd" / "wasmill@.service"
SCALED = place.DEPLOY / "kubernetes" / "scaled-object.yaml"


def unit(key):
    """The value of one key of the systemd unit that stands there once."""
    (value,) = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return value


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.services = yaml.safe_load(place.run(place.tool("docker-compose"), "-f", COMPOSE, "config"))["services"]

    def test_all_servers_are_there_on_their_ports(self):
        ports = {name: list(map(self.port, service.get("ports", []))) for name, service in self.services.items()}
        wanted = {"kafka": 9092, "namenode": 9870, "registry": 8081, "wasmill": 8780, "prometheus": 9090, "grafana": 3000}
        self.assertEqual({name: found for name, found in ports.items() if found}, {name: [port] for name, port in wanted.items()})
        self.assertLessEqual({"datanode", "eventsim"}, set(ports))

    def port(self, mapping):
        """The port of the machine, which others must not reach. A text or a mapping, as the version of compose has it."""
        if isinstance(mapping, str):
            address, published, _ = mapping.rsplit(":", 2)
        else:
            address, published = mapping["host_ip"], mapping["published"]
        self.assertEqual(address, "127.0.0.1", mapping)
        return int(published)

    def test_images_have_versions(self):
        for name, service in self.services.items():
            if service["image"] != "wasmill":
                self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+", name)

    def test_files_that_are_mounted_exist(self):
        named = yaml.safe_load(COMPOSE.read_text())["services"].values()
        mounted = [one.split(":")[0] for service in named for one in service.get("volumes", []) if one.startswith(".")]
        self.assertGreater(len(mounted), 4)
        for path in mounted:
            self.assertTrue((COMPOSE.parent / path).exists(), path)

    def test_prometheus_scrapes_the_host_and_finds_rules_and_token(self):
        config = yaml.safe_load((place.MONITORING / "prometheus.yml").read_text())
        (scrape,) = config["scrape_configs"]
        self.assertEqual(scrape["static_configs"][0]["targets"], ["wasmill:8780"])
        volumes = yaml.safe_load(COMPOSE.read_text())["services"]["prometheus"]["volumes"]
        inside = {one.split(":")[1] for one in volumes}
        self.assertIn(str(Path(scrape["authorization"]["credentials_file"]).parent), inside)
        self.assertLessEqual({f"/etc/prometheus/{name}" for name in config["rule_files"]}, inside)


class Image(unittest.TestCase):
    def test_hadolint_has_nothing_against_it(self):
        place.run(place.tool("hadolint"), place.DEPLOY / "Dockerfile")

    def test_it_runs_as_a_user_without_rights_that_all_agree_on(self):
        text = (place.DEPLOY / "Dockerfile").read_text()
        (user,) = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
        pod = yaml.safe_load((place.DEPLOY / "kubernetes" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
        self.assertEqual(user, (str(pod["securityContext"]["runAsUser"]), str(pod["securityContext"]["runAsGroup"])))
        self.assertIn(f"--uid {user[0]} ", text)
        self.assertIn(f"uid={user[0]},gid={user[1]}", COMPOSE.read_text())

    def test_it_builds_with_the_toolchain_of_the_checkout(self):
        (channel,) = re.findall(r'^channel = "(.*)"$', (place.ROOT / "rust-toolchain.toml").read_text(), re.MULTILINE)
        self.assertIn(f"FROM rust:{channel}-", (place.DEPLOY / "Dockerfile").read_text())


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = place.run(place.tool("kubectl"), "kustomize", place.DEPLOY)
        cls.objects = {one["kind"]: one for one in yaml.safe_load_all(cls.text)}

    def test_the_api_knows_all_that_they_say(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(self.text)
            file.flush()
            told = place.run(place.tool("kubernetes-validate"), "--strict", file.name)
        self.assertEqual(set(self.objects), {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget"})
        self.assertEqual(told.count(" passed for resource "), len(self.objects), told)

    def test_they_mean_each_other(self):
        deployment = self.objects["Deployment"]
        pod = deployment["spec"]["template"]
        labels = pod["metadata"]["labels"].items()
        for selector in (
            deployment["spec"]["selector"]["matchLabels"],
            self.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            self.objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        ):
            self.assertLessEqual(selector.items(), labels)
        (container,) = pod["spec"]["containers"]
        self.assertIn("admin", [port["name"] for port in container["ports"]])
        self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, {one["name"] for one in pod["spec"]["volumes"]})
        (pipeline,) = [one["configMap"]["name"] for one in pod["spec"]["volumes"] if "configMap" in one]
        self.assertEqual(pipeline, self.objects["ConfigMap"]["metadata"]["name"])
        self.assertEqual(self.objects["ConfigMap"]["data"][PIPELINE.name], PIPELINE.read_text())
        scaled = yaml.safe_load(SCALED.read_text())
        self.assertEqual(scaled["spec"]["scaleTargetRef"]["name"], deployment["metadata"]["name"])
        self.assertEqual(scaled["metadata"]["namespace"], deployment["metadata"]["namespace"])
        partitions = re.search(r"--topic-partitions=(\d+)", COMPOSE.read_text()).group(1)
        self.assertEqual(scaled["spec"]["maxReplicaCount"], int(partitions))

    def test_prometheus_of_the_cluster_finds_the_pods(self):
        config = yaml.safe_load((place.MONITORING / "prometheus-kubernetes.yml").read_text())
        (scrape,) = config["scrape_configs"]
        self.assertEqual(scrape["kubernetes_sd_configs"], [{"role": "pod"}])
        self.assertEqual(scrape["relabel_configs"][0]["regex"], "wasmill;admin")
        # Debian's promtool is built without Kubernetes: it sees the rest.
        del scrape["kubernetes_sd_configs"]
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "prometheus.yml"
            file.write_text(yaml.safe_dump(config))
            place.run(place.tool("promtool"), "check", "config", "--syntax-only", file)


class Pipeline(unittest.TestCase):
    def test_the_file_is_read_and_its_transforms_are_taken(self):
        """Its servers do not exist here, and that is all that `check` may have against it."""
        compose = yaml.safe_load(COMPOSE.read_text())["services"]["wasmill"]["environment"]
        pod = yaml.safe_load((place.DEPLOY / "kubernetes" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
        variables = {one["name"] for one in pod["containers"][0]["env"]}
        self.assertEqual(variables, set(compose))
        self.assertLessEqual(set(re.findall(r'env = "(\w+)"', PIPELINE.read_text())), variables)
        with tempfile.TemporaryDirectory() as directory:
            directory = Path(directory)
            text = PIPELINE.read_text().replace("/usr/share/wasmill/transforms", str(place.TRANSFORMS))
            (directory / "tokens.toml").touch()
            text = text.replace("/var/lib/wasmill/tokens/", "")
            (directory / PIPELINE.name).write_text(text)
            here = {name: str(directory / name.lower()) for name in variables}
            here |= {"WASMILL_BROKERS": f"127.0.0.1:{place.free_port()}"}
            command = [place.WASMILL, "check", "--json", directory / PIPELINE.name]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **here}, timeout=60)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        steps = json.loads(done.stdout)["steps"]
        self.assertEqual([step["step"] for step in steps if step["ok"] is False], ["source"], done.stdout)


class OfOneMind(unittest.TestCase):
    def setUp(self):
        self.wasmill = yaml.safe_load(COMPOSE.read_text())["services"]["wasmill"]
        self.pod = yaml.safe_load((place.DEPLOY / "kubernetes" / "deployment.yaml").read_text())["spec"]["template"]["spec"]

    def test_a_host_has_one_gibibyte_and_the_alert_knows(self):
        self.assertEqual(self.wasmill["mem_limit"], "1g")
        self.assertEqual(self.pod["containers"][0]["resources"]["limits"]["memory"], "1Gi")
        self.assertEqual(unit("MemoryMax"), "1G")
        self.assertIn("expr: wasmill_resident_memory_bytes > 0.9 * 2^30\n", (place.MONITORING / "rules.yml").read_text())

    def test_who_stops_a_host_waits_longer_than_it_takes(self):
        (shutdown,) = re.findall(r'^shutdown = "(\d+)s"', PIPELINE.read_text(), re.MULTILINE)
        waits = [self.wasmill["stop_grace_period"], unit("TimeoutStopSec"), f"{self.pod['terminationGracePeriodSeconds']}s"]
        for wait in waits:
            self.assertGreater(int(wait.removesuffix("s")), int(shutdown))


if __name__ == "__main__":
    unittest.main()

"""Rules and dashboard: valid, tested, and of metrics that a host really has."""

import contextlib
import json
import re
import tempfile
import unittest
from pathlib import Path

import place
import running
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.openmetrics.parser import text_string_to_metric_families

RULES = yaml.safe_load((place.MONITORING / "rules.yml").read_text())
ALL_RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}


def dashboard_expressions(dashboard):
    """All that the dashboard asks Prometheus for, with its variables filled in."""
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expressions += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for name, value in (("$pipeline", ".*"), ("$instance", ".*"), ("$__rate_interval", "1m")):
        expressions = [expression.replace(name, value) for expression in expressions]
    return expressions


def scaling_expressions():
    scaled = yaml.safe_load((place.DEPLOY / "kubernetes" / "scaled-object.yaml").read_text())
    return [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]


def names(expression):
    """The metrics of wasmill and the recorded rules that an expression names."""
    return set(re.findall(r"\b(?:[a-z_]+:)?wasmill_\w+(?::\w+)?", expression))


class Rules(unittest.TestCase):
    def test_they_are_valid_and_their_own_tests_pass(self):
        place.run(place.tool("promtool"), "check", "rules", place.MONITORING / "rules.yml")
        place.run(place.tool("promtool"), "test", "rules", place.MONITORING / "rules.test.yml")

    def test_each_alert_is_seen_to_fire(self):
        """That none fires without a reason, the first of the rules' own tests asks."""
        tests = yaml.safe_load((place.MONITORING / "rules.test.yml").read_text())["tests"]
        first = [case["expr"] for case in tests[0]["promql_expr_test"] if case["exp_samples"] == []]
        self.assertIn("ALERTS", first)
        cases = [case for test in tests for case in test["promql_expr_test"] if 'alertstate="firing"' in case["expr"]]
        fired = {name for case in cases for sample in case["exp_samples"] for name in re.findall(r"Wasmill\w+", sample["labels"])}
        self.assertEqual(fired, set(ALERTS))

    def test_each_alert_says_what_to_do(self):
        for name, rule in ALERTS.items():
            self.assertEqual(set(rule["annotations"]), {"summary", "description"}, name)
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)

    def test_the_document_lists_the_alerts(self):
        document = (place.ROOT / "host" / "docs" / "monitoring.md").read_text()
        listed = re.findall(r"^\| `(Wasmill\w+)` \| (\w+) \|", document, re.MULTILINE)
        self.assertEqual(listed, [(name, rule["labels"]["severity"]) for name, rule in ALERTS.items()])


class OfARunningHost(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cls.host = stack.enter_context(running.host(directory))
        cls.prometheus = stack.enter_context(running.prometheus(cls.host, directory))
        cls.dashboard = json.loads(place.DASHBOARD.read_text())
        # Families without samples at the moment are there all the same, with their kind. A name's samples may be none.
        cls.samples = {}
        for family in text_string_to_metric_families(cls.host.metrics()):
            name = family.name + ("_total" if family.type == "counter" else "")
            cls.samples[name] = [sample for sample in family.samples if sample.name == name]

    def expressions(self):
        rules = [rule["expr"] for rule in ALL_RULES]
        return rules + dashboard_expressions(self.dashboard) + scaling_expressions()

    def test_every_name_exists(self):
        named = set().union(*map(names, self.expressions()))
        # Beside the metrics the document names the prefix, transforms' own metrics, and the SDK.
        document = (place.ROOT / "host" / "docs" / "monitoring.md").read_text()
        named |= names(document) - {"wasmill_", "wasmill_guest_NAME", "wasmill_sdk"}
        self.assertGreater(len(named), 30)
        self.assertLessEqual(named - RECORDED, set(self.samples))

    def test_the_dashboard_shows_what_there_is(self):
        for expression in dashboard_expressions(self.dashboard):
            answer = self.prometheus.query(expression)
            # There is nothing to mark where nothing was deployed.
            if all(self.samples[name] for name in names(expression)) and " offset " not in expression:
                self.assertTrue(answer, f"nothing for {expression}")

    def test_prometheus_takes_the_rules_and_is_not_alarmed(self):
        groups = running.wait_until(
            "evaluated",
            lambda: (found := self.prometheus.ask("/api/v1/rules")["groups"])
            and all(rule["health"] == "ok" for group in found for rule in group["rules"])
            and found,
        )
        self.assertEqual(sum(len(group["rules"]) for group in groups), len(ALL_RULES))
        self.assertEqual(self.prometheus.query("ALERTS"), [])

    def test_who_has_no_token_gets_no_metrics(self):
        self.assertEqual(self.host.get("/metrics")[0], 401)
        self.assertEqual(self.host.get("/metrics", "wasmill_of_somebody_else")[0], 401)

    def test_the_token_of_compose_is_made_once(self):
        self.assertEqual(running.make_tokens(self.host.directory), self.host.token)
        self.assertEqual((self.host.directory / "tokens" / "tokens.toml").read_text().count("[[tokens]]"), 1)

    def test_the_probes_are_answered(self):
        deployment = yaml.safe_load((place.DEPLOY / "kubernetes" / "deployment.yaml").read_text())
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(self.host.get(container[probe]["httpGet"]["path"])[0], 200, probe)
        compose = yaml.safe_load((place.DEPLOY / "compose.yaml").read_text())
        kind, *command = compose["services"]["wasmill"]["healthcheck"]["test"]
        self.assertEqual(kind, "CMD")
        port = self.host.address.rsplit(":", 1)[1]
        place.run(*[word.replace("/8780", f"/{port}") for word in command])


class DashboardFile(unittest.TestCase):
    def setUp(self):
        self.dashboard = json.loads(place.DASHBOARD.read_text())

    def test_grafana_knows_all_that_it_says(self):
        """Read into Grafana's own models and written again, nothing is missing: a key that they do not know would be."""
        register_default_plugins()
        again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(self.dashboard)))
        self.assertEqual(missing({**self.dashboard, "annotations": {}}, again), [])

    def test_panels_lie_beside_each_other(self):
        panels = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            taken |= cells

    def test_it_is_provisioned_for_the_data_source_that_is(self):
        provisioning = place.MONITORING / "grafana" / "provisioning"
        (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
        (variable,) = [one for one in self.dashboard["templating"]["list"] if one["type"] == "datasource"]
        self.assertEqual(variable["query"], source["type"])
        shown = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]
        for panel in shown:
            self.assertEqual(panel["datasource"], {"type": source["type"], "uid": "${datasource}"}, panel["title"])
            self.assertTrue(panel["description"], panel["title"])


def missing(wanted, found, path=""):
    """Paths of what is in `wanted` and not, or otherwise, in `found`."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        lacking = [f"{path}.{key}" for key in wanted if key not in found]
        both = ((wanted[key], found[key], f"{path}.{key}") for key in wanted if key in found)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        lacking = []
        both = ((one, other, f"{path}[{number}]") for number, (one, other) in enumerate(zip(wanted, found)))
    else:
        return [] if wanted == found else [path]
    return lacking + [one for pair in both for one in missing(*pair)]


if __name__ == "__main__":
    unittest.main()

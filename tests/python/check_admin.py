"""Asks a host's admin API as its users do, with nothing of wasmill's own.

    check_admin.py URL FACTS.json

FACTS holds the secrets of the tokens by role, `other` (a token of another pipeline), `topic_partitions`, `module` (the path of keep-plays), `planted` (what no answer may hold), and `ca` when the
API speaks TLS. Prints what is not as it must be and exits with 1.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

URL = sys.argv[1]
FACTS = json.load(open(sys.argv[2]))
CONTEXT = ssl.create_default_context(cafile=FACTS["ca"]) if FACTS.get("ca") else None


def ask(path, token=None, body=None, method=None, headers=None):
    """Status, content type and text."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None
    if isinstance(body, bytes):
        headers["Content-Type"] = "application/octet-stream"
        data = body
    elif body is not None:
        headers["Content-Type"] = "application/json"
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, headers=headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=30, context=CONTEXT)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read().decode()
        must(FACTS["planted"] not in text, "a secret is answered", path)
        return answer.status, answer.headers.get("Content-Type", ""), text


def must(holds, *told):
    if not holds:
        raise SystemExit(f"not as it must be: {told}")


def token(role):
    return FACTS["tokens"][role]


def refused(status, *arguments, **named):
    answer = ask(*arguments, **named)
    must(answer[0] == status and json.loads(answer[2])["error"], f"{status} is wanted", arguments, named, answer)


def opened(path, role, **named):
    answer = ask(path, token(role), **named)
    must(answer[0] == 200, path, role, answer)
    return answer[2]


def who_may_what():
    for path in ["/healthz", "/readyz", "/openapi.json"]:
        must(ask(path)[0] == 200, path, ask(path))
    needs = {
        "/metrics": "viewer",
        "/v1/host": "viewer",
        "/v1/hosts": "viewer",
        "/v1/deployments": "viewer",
        "/v1/deployments/1/difference?from=1": "viewer",
        "/v1/transforms": "viewer",
        "/v1/logs": "payloads",
        "/v1/dead-letters": "viewer",
        "/v1/dead-letters/message?topic=t&topic_partition=0&offset=0": "payloads",
        "/v1/table/hive-partitions": "viewer",
        "/v1/table/usage": "viewer",
        "/v1/table/schema": "viewer",
        "/v1/table/rows": "payloads",
        "/v1/topics": "viewer",
        "/v1/consumer-groups": "viewer",
        "/v1/schemas": "viewer",
        "/v1/audit": "admin",
    }
    for path, role in needs.items():
        refused(401, path)
        refused(401, path, "wasmill_wrong")
        refused(401, path, FACTS["other"])
        refused(401, path, headers={"Authorization": f"Basic {token('admin')}"})
        opened(path, role)
        opened(path, "admin")
        for other in ["viewer", "payloads", "deployer"]:
            if role not in ("viewer", other):
                refused(403, path, token(other))
    for role in ["viewer", "payloads"]:
        refused(403, "/v1/pause", token(role), body={})
    refused(404, "/v1/nothing", token("admin"))
    refused(404, "/v1/deployments/4711", token("viewer"))
    refused(400, "/v1/deployments/x", token("viewer"))
    refused(404, "/v1/deployments/1/difference?from=4711", token("viewer"))
    refused(404, "/v1/deployments/4711/difference?from=1", token("viewer"))
    for query in ["", "?from=x", "?from=1&to=2"]:
        refused(400, f"/v1/deployments/1/difference{query}", token("viewer"))
    refused(400, "/v1/logs?level=loud", token("payloads"))
    refused(400, "/v1/table/usage?below=..", token("viewer"))
    refused(409, "/v1/schemas/s", token("viewer"))
    refused(405, "/v1/pause", token("deployer"))
    refused(400, "/v1/pause", token("deployer"), body="{")
    refused(400, "/v1/pause", token("deployer"), body={"note": "x" * 5_000})
    must(ask("/v1/pause", token("deployer"), body={"note": "x" * 100_000})[0] == 413, "a body that is too long")


def numbers():
    families = {family.name: family for family in text_string_to_metric_families(opened("/metrics", "viewer"))}
    host = json.loads(opened("/v1/host", "viewer"))
    must(len(host["topic_partitions"]) == FACTS["topic_partitions"], host)
    read = [sample.value for sample in families["wasmill_messages_read"].samples if sample.name.endswith("_total")]
    must(read and 0 < read[0] <= json.loads(opened("/v1/host", "viewer"))["totals"]["read"], read, host)
    must("wasmill_transform_events" in families and "wasmill_lag_messages" in families, sorted(families))
    must(all(family.documentation for family in families.values()), "a help text for each")


def events(path, role, name, count=1):
    """The first events of a stream, which must be called so."""
    headers = {"Authorization": f"Bearer {token(role)}"}
    request = urllib.request.Request(URL + path, headers=headers)
    found = []
    with urllib.request.urlopen(request, timeout=30, context=CONTEXT) as answer:
        must(answer.headers["Content-Type"].startswith("text/event-stream"), answer.headers)
        for line in answer:
            line = line.decode().rstrip("\n")
            if line.startswith("event:"):
                must(line == f"event: {name}", line)
            if line.startswith("data:"):
                found.append(json.loads(line[5:]))
            if len(found) == count:
                return found
    raise SystemExit(f"{path} ended")


def changes():
    hosts = lambda: json.loads(opened("/v1/hosts", "viewer"))
    paused = json.loads(opened("/v1/pause", "deployer", body={"note": "by the test"}))
    must(paused["paused"] and paused["by"] == "token deployer" and paused["note"] == "by the test", paused)
    begun = time.time()
    while not all(host["paused"] for host in hosts()):
        must(time.time() - begun < 60, "hosts do not follow", hosts())
        time.sleep(1)
    resumed = json.loads(opened("/v1/resume", "admin", body={}))
    must(not resumed["paused"] and resumed["number"] == paused["number"] + 1, resumed)
    audit = json.loads(opened("/v1/audit", "admin"))
    told = [(one["by"], one["what"], one["note"], one["outcome"]) for one in audit]
    wanted = [
        ("token deployer", "pause", "by the test", f"entry {paused['number']}"),
        ("token admin", "resume", "", f"entry {resumed['number']}"),
    ]
    must(told[-2:] == wanted, told)
    must(all(one["from"].startswith("127.0.0.1:") for one in audit), audit)


def look(query, module):
    """What is said of a module, as soon as the host looks at another one: those of a minute are limited."""
    begun = time.time()
    while True:
        status, _, text = ask(f"/v1/vet{query}", token("deployer"), body=module)
        if status != 429 or time.time() - begun > 120:
            return status, json.loads(text)
        time.sleep(1)


def modules():
    """A module is looked at, and nothing is stored."""
    module = open(FACTS["module"], "rb").read()
    before = opened("/v1/transforms", "viewer")
    status, found = look("", module)
    must(status == 200 and found["name"] == "keep-plays" and found["is_there"] and found["would_be_refused"] is None, found)
    must(found["module"]["size"] == len(module) and found["module"]["kind"] == "core-module", found)
    _, new = look("?name=other&version=7.0.0", module)
    must((new["name"], new["version"], new["is_there"]) == ("other", "7.0.0", False), new)
    # The same version with other bytes, of the same meaning: a custom section more.
    _, other = look("", module + b"\x00\x02\x01x")
    must("other bytes" in other["would_be_refused"]["error"] and other["would_be_refused"]["hint"], other)
    must(look("?name=..", module)[1]["would_be_refused"], "that is no name")
    status, told = look("", b"hello")
    must(status == 409 and "not a WebAssembly module" in told["error"] and told["hint"], told)
    refused(400, "/v1/vet?version=new", token("deployer"), body=module)
    refused(400, "/v1/vet?signature=x", token("deployer"), body=module)
    refused(403, "/v1/vet", token("payloads"), body=module)
    must(opened("/v1/transforms", "viewer") == before, "nothing was stored")


def deployments():
    entries = lambda: json.loads(opened("/v1/deployments", "viewer"))
    chain = {"transforms": ["keep-plays"], "set": ["keep-plays.min_seconds=45"], "note": "longer"}
    before = entries()
    tried = json.loads(opened("/v1/deployments", "deployer", body={**chain, "dry_run": True, "sample": 100}))
    must(tried["accepted"] is None and tried["proposal"]["rehearsal"]["events"] > 0, tried)
    rehearsal = tried["proposal"]["rehearsal"]
    must(rehearsal["changed"] is None and rehearsal["sampled"] == [], "values of events need the role payloads", tried)
    must(rehearsal["new"]["transforms"][0]["name"] == "keep-plays", rehearsal)
    seen = json.loads(opened("/v1/deployments", "admin", body={**chain, "dry_run": True, "sample": 100}))["proposal"]["rehearsal"]
    must(seen["changed"] and seen["sampled"] and all(one["event"]["auth"] == "Logged In" for one in seen["sampled"]), seen)
    must(entries() == before, "only tried")
    deployed = json.loads(opened("/v1/deployments", "deployer", body=chain))["accepted"]
    must(deployed["by"] == "token deployer" and deployed["note"] == "longer", deployed)
    must(deployed["deployment"]["transforms"][0]["settings"] == {"min_seconds": "45"}, deployed)
    difference = json.loads(opened(f"/v1/deployments/{deployed['number']}/difference?from={before[-1]['deployment']['number']}", "viewer"))
    change = difference["transforms"][0]
    must((change["what"], change["to"]) == ("setting min_seconds", "45") and difference["columns"] == [], difference)
    again = json.loads(opened("/v1/deployments", "deployer", body=chain))
    must(again["accepted"] is None, "nothing changes", again)
    back = json.loads(opened("/v1/rollback", "deployer", body={}))["accepted"]
    must(back["deployment"]["transforms"] == before[-1]["deployment"]["transforms"], back)
    for status, role, body in [
        (403, "viewer", chain),
        (403, "deployer", {**chain, "set": ["keep-plays.min_seconds=env:HOME"]}),
        (400, "deployer", {**chain, "dryrun": True}),
        (400, "deployer", {"transforms": ["a b"]}),
        (400, "deployer", {"transforms": []}),
        (409, "deployer", {"transforms": ["never-pushed"]}),
        (409, "deployer", {**chain, "set": ["keep-plays.no_such=1"]}),
        (409, "deployer", {**chain, "set": ["other.min_seconds=1"]}),
    ]:
        refused(status, "/v1/deployments", token(role), body=body)
    refused(409, "/v1/rollback", token("deployer"), body={"to": 4711})
    refused(409, "/v1/promote", token("deployer"), body={})
    told = [(one["what"], one["outcome"]) for one in json.loads(opened("/v1/audit", "admin"))]
    must(("deploy keep-plays", f"entry {deployed['number']}") in told and ("rollback", f"entry {back['number']}") in told, told)


def main():
    who_may_what()
    numbers()
    must(len(events("/v1/hosts/events", "viewer", "hosts", 2)[1]) == 1, "one host")
    changes()
    modules()
    deployments()
    # One address that guesses is told to wait; whoever has a token is let in all the same.
    statuses = [ask("/v1/host", f"wasmill_{guess}")[0] for guess in range(250)]
    must(set(statuses) == {401, 429} or set(statuses) == {429}, statuses)
    opened("/v1/host", "viewer")


if __name__ == "__main__":
    main()

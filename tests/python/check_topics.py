"""Asks a host for topics, messages, consumer groups and schemas, with clients that are none of wasmill's.

    check_topics.py json URL FACTS.json       a pipeline of JSON: offsets, pages, searches, roles, groups, a tail
    check_topics.py framed URL FACTS.json     a pipeline whose messages name schemas, and its registry

FACTS holds `tokens` by role (absent: none are needed), `brokers`, `topic`, and of framed ones `registry` and `format`. Prints what
is not as it must be and exits with 1.
"""

import base64
import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

URL = sys.argv[2]
FACTS = json.load(open(sys.argv[3]))
TOPIC = FACTS["topic"]
PATH = f"/v1/topics/{TOPIC}"
EVENTS = 3_000
BEGUN_MS = 1_780_000_000_000
PATIENCE = 60


def must(holds, *told):
    if not holds:
        raise SystemExit(f"not as it must be: {told}")


def request(path, role="admin", **query):
    tokens = FACTS.get("tokens")
    headers = {"Authorization": f"Bearer {tokens[role]}"} if tokens else {}
    query = {name: str(value).lower() if value is True else value for name, value in query.items()}
    return urllib.request.Request(f"{URL}{path}?{urllib.parse.urlencode(query)}", headers=headers)


def ask(path, role="admin", **query):
    with urllib.request.urlopen(request(path, role, **query), timeout=60) as answer:
        return json.load(answer)


def refused(status, path, role="admin", **query):
    try:
        answer = ask(path, role, **query)
    except urllib.error.HTTPError as error:
        must(error.code == status and json.load(error)["error"], path, query, error.code, status)
        return
    must(False, f"{status} is wanted", path, query, answer)


def until(what, look):
    begun = time.time()
    while not (found := look()):
        must(time.time() - begun < PATIENCE, "not in time", what)
        time.sleep(0.3)
    return found


def flush(producer):
    must(producer.flush(60) == 0, "messages were not delivered")


def produce():
    """Events in turn over four topic partitions, and at the end of the first what is none."""
    producer = Producer({"bootstrap.servers": FACTS["brokers"]})
    for n in range(EVENTS):
        event = {"n": n, "name": f"name {n} \u00e9"}
        producer.produce(TOPIC, json.dumps(event, ensure_ascii=False), key=f"key-{n}", partition=n % 4,
                         timestamp=BEGUN_MS + n * 1000, headers=[("trace", b"t%d" % n), ("raw", b"\xff\x00"), ("none", None)])  # fmt: skip
    late = BEGUN_MS + EVENTS * 1000
    for n, payload in enumerate([b"no event", b"\x80\x01\x02", None, json.dumps({"n": -1, "name": "x" * 50_000}).encode()]):
        producer.produce(TOPIC, payload, partition=0, timestamp=late + n * 1000)
    flush(producer)


def overview():
    other = f"{TOPIC}-other"
    admin = AdminClient({"bootstrap.servers": FACTS["brokers"]})
    admin.create_topics([NewTopic(other, 1, 1, config={"retention.ms": "86400000"})])[other].result(30)
    until("the other topic", lambda: any(one["name"] == other for one in ask("/v1/topics", "viewer")["topics"]))
    told = ask("/v1/topics", "viewer")
    must(told["brokers"] == FACTS["brokers"], told)
    must(told["topics"][0] == {"name": TOPIC, "topic_partitions": 4, "replicas": 1, "internal": False, "of_pipeline": True}, told["topics"][0])
    must([one["of_pipeline"] for one in told["topics"][1:]] == [False] * (len(told["topics"]) - 1), told)
    must(told["topics"] == sorted(told["topics"], key=lambda one: (not one["of_pipeline"], one["internal"], one["name"])), told)

    def is_caught_up():
        one = ask(PATH, "viewer")
        parts = one["topic_partitions"]
        return one if all(part["pipeline"] and part["pipeline"]["lag"] == 0 for part in parts) else None

    # Statuses are written every ten seconds.
    one = until("the pipeline is at the end", is_caught_up)
    share = EVENTS // 4
    highs = [share + 4, share, share, share]
    for number, (part, high) in enumerate(zip(one["topic_partitions"], highs)):
        must((part["topic_partition"], part["low"], part["high"]) == (number, 0, high), part)
        must(part["leader"] in part["replicas"] and part["in_sync"] == part["replicas"], part)
        must(part["pipeline"]["state"] == "running" and part["pipeline"]["committed"] == high, part)
        must("@" in part["pipeline"]["machine"] and part["pipeline"]["host"], part)
    foreign = ask(f"/v1/topics/{other}", "viewer")
    must(not foreign["of_pipeline"] and foreign["topic_partitions"][0]["pipeline"] is None, foreign)
    must(foreign["settings"][0] == {"name": "retention.ms", "value": "86400000", "own": True}, foreign["settings"][:2])
    must(len(foreign["settings"]) > 10 and not foreign["settings"][1]["own"], foreign["settings"])
    for wrong in [f"{TOPIC}-none", "a%20b", "x" * 300]:
        refused(404, f"/v1/topics/{wrong}", "viewer")
        refused(404, f"/v1/topics/{wrong}/messages")
    # What others' topics hold is not the business of a token for this pipeline.
    refused(403, f"/v1/topics/{other}/messages", "payloads")
    refused(403, f"/v1/topics/{other}/messages/events", "payloads")
    must(ask(f"/v1/topics/{other}/messages") == {"messages": [], "scanned": 0, "from": [{"topic_partition": 0, "offset": 0}],
                                                 "next": [{"topic_partition": 0, "offset": 0}], "ended": "end"}, other)  # fmt: skip
    for role in ["viewer", "deployer"]:
        refused(403, f"{PATH}/messages", role)
        refused(403, f"{PATH}/messages/events", role)


def pages():
    messages = lambda **query: ask(f"{PATH}/messages", "payloads", **query)
    # All of it, page by page, each message once and none left out.
    page = messages(limit=400, **{"from": "0:0,1:0,2:0,3:0"})
    must(page["ended"] == "limit" and len(page["messages"]) == 400, page["ended"], len(page["messages"]))
    seen = list(page["messages"])
    while page["ended"] != "end":
        must(len(seen) < 5_000, "it does not end")
        page = messages(limit=400, **{"from": ",".join(f"{one['topic_partition']}:{one['offset']}" for one in page["next"])})
        seen += page["messages"]
    offsets = {(one["topic_partition"], one["offset"]) for one in seen}
    must(len(seen) == len(offsets) == EVENTS + 4, len(seen), len(offsets))
    events = {json.loads(one["payload"]["text"])["n"]: one for one in seen if one["key"]}
    must(set(events) == set(range(EVENTS)), len(events))
    one = events[1_234]
    wanted = {
        "topic_partition": 1_234 % 4, "offset": 1_234 // 4, "timestamp_ms": BEGUN_MS + 1_234_000, "key": {"text": "key-1234"},
        "headers": [{"name": "trace", "value": {"text": "t1234"}}, {"name": "raw", "value": {"hex": "ff00"}}, {"name": "none", "value": None}],
        "payload": {"text": '{"n": 1234, "name": "name 1234 \u00e9"}'}, "payload_bytes": len('{"n": 1234, "name": "name 1234 \u00e9"}'.encode()),
        "schema": None, "decoded": None, "problem": None, "cut": False,
    }  # fmt: skip
    must(one == wanted, one, wanted)

    # The latest: shares of all topic partitions, by time.
    latest = messages(limit=40)["messages"]
    must([one["offset"] for one in latest if one["topic_partition"] == 1] == list(range(740, 750)), latest)
    must([one["timestamp_ms"] for one in latest] == sorted(one["timestamp_ms"] for one in latest), latest)
    bad = {one["offset"]: one for one in latest if one["topic_partition"] == 0 and one["offset"] >= 750}
    must(bad[750]["problem"]["reason"] == "not-json" and bad[750]["payload"] == {"text": "no event"}, bad[750])
    must(bad[751]["payload"] == {"hex": "800102"} and bad[751]["problem"]["reason"] in ("not-json", "invalid-utf8"), bad[751])
    must(bad[752]["payload"] is None and bad[752]["problem"]["reason"] == "null-payload", bad[752])
    must(bad[753]["cut"] and len(bad[753]["payload"]["text"]) == 4096 and bad[753]["payload_bytes"] > 50_000, bad[753]["payload_bytes"])
    whole = messages(topic_partition=0, offset=753, limit=1, whole=True)["messages"]
    must(len(whole) == 1 and not whole[0]["cut"] and json.loads(whole[0]["payload"]["text"])["n"] == -1, whole)

    # By offset, within what there is; by time.
    at = lambda **query: [one["offset"] for one in messages(topic_partition=2, limit=3, **query)["messages"]]
    must(at(offset=100) == [100, 101, 102] and at(offset=-5) == [0, 1, 2] and at(offset=10_000) == [], at(offset=100))
    must(at(time_ms=BEGUN_MS + 402_000) == [100, 101, 102], at(time_ms=BEGUN_MS + 402_000))
    must(at(time_ms=BEGUN_MS * 2) == [] and at(time_ms=-1) == [0, 1, 2], at(time_ms=-1))

    # A search says how much it looked through, and goes on where it ended.
    found = messages(contains="name 1234 ", scan=10_000)
    must([one["key"]["text"] for one in found["messages"]] == ["key-1234"], found)
    must(found["ended"] == "end" and found["scanned"] == EVENTS + 4, found["scanned"])
    found = messages(contains="key-7", scan=400, **{"from": "0:0,1:0,2:0,3:0"})
    must(found["scanned"] == 400 and found["ended"] == "scanned" and len(found["messages"]) == 11, found["scanned"], len(found["messages"]))
    must([one["offset"] for one in found["next"]] == [100] * 4, found["next"])
    must(messages(contains="t2999")["messages"][0]["key"] == {"text": "key-2999"}, "headers are looked at")
    must(messages(contains="no such text")["messages"] == [], "nothing is nothing")
    for wrong in [{"limit": 0}, {"limit": 1_001}, {"offset": 1}, {"offset": 1, "time_ms": 1, "topic_partition": 0}, {"from": "x"},
                  {"contains": "x" * 2_000}, {"whole": True}, {"scan": 1_000_000}]:  # fmt: skip
        refused(400, f"{PATH}/messages", **wrong)
    refused(404, f"{PATH}/messages", topic_partition=99)


def follow(**query):
    """The messages of a tail until there are some, and what was produced meanwhile."""
    producer = Producer({"bootstrap.servers": FACTS["brokers"]})
    found, stop = [], threading.Event()

    def send():
        n = 0
        while not stop.wait(0.2):
            n += 1
            producer.produce(TOPIC, json.dumps({"n": 10_000 + n}), key=["even", "odd"][n % 2], partition=n % 4)
            producer.poll(0)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        with urllib.request.urlopen(request(f"{PATH}/messages/events", "payloads", **query), timeout=60) as answer:
            must(answer.headers["Content-Type"].startswith("text/event-stream"), answer.headers)
            for line in answer:
                line = line.decode().rstrip("\n")
                must(not line.startswith("event:") or line == "event: messages", line)
                if line.startswith("data:"):
                    tick = json.loads(line[5:])
                    must(tick["passed_over"] == 0, tick)
                    found += tick["messages"]
                if len(found) >= 10:
                    return found
    finally:
        stop.set()
        sending.join()
        flush(producer)
    raise SystemExit("the tail ended")


def tails():
    every = [json.loads(one["payload"]["text"])["n"] for one in follow()]
    must(min(every) > 10_000 and len(set(every)) == len(every), every)
    must(max(every) - min(every) < len(every) + 3, "a tail leaves nothing out", every)
    must({one["key"]["text"] for one in follow(contains="odd")} == {"odd"}, "a tail is searched")
    must({one["topic_partition"] for one in follow(topic_partition=3)} == {3}, "a tail of one topic partition")
    refused(404, f"{PATH}/messages/events", topic_partition=99)


def flood():
    """More than can be shown is passed over, and the tail stays at the end."""
    producer = Producer({"bootstrap.servers": FACTS["brokers"], "queue.buffering.max.messages": 200_000})
    with urllib.request.urlopen(request(f"{PATH}/messages/events", "payloads"), timeout=60) as answer:
        for n in range(100_000):
            producer.produce(TOPIC, b'{"n": 1}', partition=n % 4)
        flush(producer)
        producer.produce(TOPIC, b'{"n": 2}', key="last", partition=0)
        flush(producer)
        shown, scanned, passed_over = [], 0, 0
        for line in answer:
            if line.startswith(b"data:"):
                tick = json.loads(line[5:])
                must(len(tick["messages"]) <= 200 and tick["scanned"] <= 5_000, len(tick["messages"]), tick["scanned"])
                shown += tick["messages"]
                scanned, passed_over = scanned + tick["scanned"], passed_over + tick["passed_over"]
                if shown and shown[-1]["key"] == {"text": "last"} or any(one["key"] == {"text": "last"} for one in tick["messages"]):
                    break
        must(passed_over > 50_000 and scanned + passed_over >= 100_001, passed_over, scanned)


def groups():
    told = ask("/v1/consumer-groups", "viewer")
    must(told["of_pipeline"] == TOPIC, told)
    mine = lambda: next(one for one in ask("/v1/consumer-groups", "viewer")["groups"] if one["group"] == TOPIC)
    must((mine()["state"], mine()["members"]) == ("Stable", 1), mine())
    for protocol in ["classic", "consumer"]:
        name = f"{TOPIC}-{protocol}"
        consumer = Consumer({"bootstrap.servers": FACTS["brokers"], "group.id": name, "group.protocol": protocol,
                             "enable.auto.commit": False, "auto.offset.reset": "earliest"})  # fmt: skip
        consumer.subscribe([TOPIC])
        until("an assignment", lambda: consumer.poll(1) and len(consumer.assignment()) == 4)
        consumer.commit(offsets=[TopicPartition(TOPIC, 1, 700), TopicPartition(TOPIC, 2, 750)], asynchronous=False)
        one = next(one for one in ask("/v1/consumer-groups", "viewer")["groups"] if one["group"] == name)
        # Of a group that the broker assigns, it tells this kind of question nothing but the name.
        must((one["state"], one["members"]) == (("Stable", 1) if protocol == "classic" else (None, None)), one)
        told = ask(f"/v1/consumer-groups/{name}", "viewer")
        high = [part["high"] for part in ask(PATH, "viewer")["topic_partitions"]]
        wanted = [{"topic": TOPIC, "topic_partition": 1, "committed": 700, "high": high[1], "lag": high[1] - 700},
                  {"topic": TOPIC, "topic_partition": 2, "committed": 750, "high": high[2], "lag": high[2] - 750}]  # fmt: skip
        must(told == {"group": name, "topic_partitions": wanted}, told, wanted)
        consumer.close()
    must(ask("/v1/consumer-groups/no-such-group", "viewer")["topic_partitions"] == [], "nothing was committed")
    refused(400, "/v1/consumer-groups/" + "x" * 2_000, "viewer")
    must(mine()["members"] == 1, "who looks joins no group", mine())


def framed():
    messages = lambda **query: ask(f"{PATH}/messages", **query)
    page = messages(limit=1_000, **{"from": "0:0,1:0"})
    must(len(page["messages"]) == FACTS["good"] + FACTS["bad"], len(page["messages"]))
    reasons = {}
    for one in page["messages"]:
        reason = one["problem"]["reason"] if one["problem"] else None
        reasons[reason] = reasons.get(reason, 0) + 1
        must(("hex" in one["payload"]) == (one["schema"] is not None), one)
        if reason is None:
            n = int(one["key"]["text"])
            must(one["decoded"]["n"] == n and one["decoded"]["place"]["lon"] == n / 8, one)
        elif reason in ("unknown-schema", "not-framed"):
            must(one["decoded"] is None and one["problem"]["detail"], one)
    must(reasons.pop(None) == FACTS["good"] and set(reasons) >= {"unknown-schema", "not-framed"}, reasons)
    found = messages(contains="city 123\"", **{"from": "0:0,1:0"})["messages"]
    must([one["key"]["text"] for one in found] == ["123"], "what is decoded is looked at", found)

    told = ask("/v1/schemas")
    subject = f"{TOPIC}-value"
    # Avro's messages are of two versions of the topic's subject, Protobuf's of two subjects, by the names of their types.
    is_avro = FACTS["format"] == "avro"
    places = [(subject, 1), (subject, 2)] if is_avro else [(f"{TOPIC}-{age}.Event", 1) for age in ("older", "newer")]
    must(told["registry"] == FACTS["registry"] and {name for name, _ in places} <= set(told["subjects"]), told)
    must({"subject": subject, "what": "messages", "version": None} in told["uses"], told["uses"])
    must(told["subjects"] == sorted(told["subjects"]), told)
    for name, _ in places:
        listed = ask(f"/v1/schemas/{name}")
        must(listed == {"subject": name, "versions": [1, 2] if is_avro else [1]}, listed)
    both = [ask(f"/v1/schemas/{name}/versions/{version}") for name, version in places]
    must([one["version"] for one in both] == [version for _, version in places], both)
    # Confluent's serializer registers Protobuf's files as they are compiled, in base64.
    texts = [one["schema"].encode() if is_avro else base64.b64decode(one["schema"]) for one in both]
    must(b"more" not in texts[0] and b"more" in texts[1], both)
    must({one["id"] for one in both} == {one["schema"] for one in page["messages"] if one["decoded"] and one["problem"] is None}, both)
    must([one["kind"].lower() for one in both] == [FACTS["format"]] * 2, both)
    # Of Protobuf the first type of the file is looked at, which is another one here.
    must((both[0]["unfit"] is None) == (FACTS["format"] == "avro"), both[0]["unfit"])
    for path in ["/v1/schemas/no-such-subject", f"/v1/schemas/{places[0][0]}/versions/9", "/v1/schemas/%2E%2E", "/v1/schemas/.."]:
        refused(404, path)
    refused(400, f"/v1/schemas/{places[0][0]}/versions/latest")


if sys.argv[1] == "json":
    produce()
    overview()
    pages()
    tails()
    groups()
    flood()
else:
    framed()

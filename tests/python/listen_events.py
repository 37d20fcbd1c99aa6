#!/usr/bin/env python3
"""Produces listening events to Kafka, and checks a table against what Kafka holds. Shares no code with wasmill.

    listen_events.py produce --brokers B --topic T --events N [--first-id I] [--rate R] [--no-transactions]
    listen_events.py check --brokers B --topic T --table DIR --dead-letters DIR

Each message says by a header what must become of it (`table`, `filtered`, or `dead` and the reason). `registration` is the
message's own number, so every row can be told from every other. `check` reads all committed messages with a client of its
own, the table and the dead letters with pyarrow (and counts the table again with DuckDB), and compares record by record.
Prints one line of JSON; exits with 1 when anything is lost, doubled, changed or unaccounted.
"""

import argparse
import collections
import datetime
import json
import random
import sys
import time

COLUMNS = [
    "artist", "song", "duration", "ts", "sessionId", "auth", "level", "itemInSession", "city", "zip", "state", "userAgent",
    "lon", "lat", "userId", "lastName", "firstName", "gender", "registration",
]
HOURS = 6
START_MS = 1_717_200_000_000


def event(number, chance):
    """An event that belongs into the table."""
    return {
        "artist": chance.choice(["Ünïcode \"Quoted\"", "The Plain", "Back\\slash", "東京", "a,b;c"]),
        "song": f"Song {number % 97}" if number % 11 else None,
        "duration": round(chance.uniform(30, 400), 5),
        "ts": START_MS + chance.randrange(HOURS * 3_600_000),
        "sessionId": number % 1000,
        "auth": "Logged In",
        "level": chance.choice(["free", "paid"]),
        "itemInSession": number % 50,
        "city": "Springfield",
        "zip": "01101",
        "state": chance.choice(["CA", "NY", "TX", "ZZ"]),
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) " + "x" * (number % 60),
        "lon": round(chance.uniform(-179, 179), 6),
        "lat": round(chance.uniform(-89, 89), 6),
        "userId": number % 5000,
        "lastName": "Doe",
        "firstName": "Jo",
        "gender": "F",
        "registration": number,
    }


def bad(kind, good):
    """A message of one kind of bad, and the reason that it must become a dead letter for."""
    text = json.dumps(good)
    changed = lambda **keys: json.dumps({**good, **keys}).encode()
    without = lambda key: json.dumps({name: value for name, value in good.items() if name != key}).encode()
    future = int(time.time() * 1000) + 40 * 86_400_000
    return {
        "null-payload": lambda: None,
        "not-json": lambda: text[:-20].encode(),
        "trailing-data": lambda: (text + text).encode(),
        "not-an-object": lambda: b"[1, 2]",
        "invalid-utf8": lambda: text.encode().replace(b"Springfield", b"Spr\xffngfield"),
        "wrong-type": lambda: changed(userId="7"),
        "out-of-range": lambda: changed(sessionId=3_000_000_000),
        "missing-field": lambda: without("ts"),
        "null-input": lambda: without("auth"),
        "latitude-out-of-range": lambda: changed(lat=123.5),
        "no-user": lambda: without("userId"),
        "event-time-out-of-range": lambda: changed(ts=future),
    }[kind]()


BAD = [
    "null-payload", "not-json", "trailing-data", "not-an-object", "invalid-utf8", "wrong-type", "out-of-range", "missing-field",
    "null-input", "latitude-out-of-range", "no-user", "event-time-out-of-range",
]


def message(number, chance):
    """The payload of message `number`, and what must become of it."""
    good = event(number, chance)
    draw = number % 40
    if draw < 4:
        good["auth" if draw % 2 else "duration"] = "Logged Out" if draw % 2 else 29.5
        return json.dumps(good).encode(), b"filtered"
    if draw == 7:
        kind = BAD[number // 40 % len(BAD)]
        return bad(kind, good), b"dead:" + kind.encode()
    style = {0: {"separators": (",", ":")}, 1: {"indent": 1}, 2: {"ensure_ascii": False}}[number % 3]
    return json.dumps(good, **style).encode(), b"table"


def produce(options):
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": options.brokers, "linger.ms": 5, "queue.buffering.max.messages": 200_000}
    if not options.no_transactions:
        settings["transactional.id"] = f"{options.topic}-{random.randrange(1 << 40)}"
    producer = Producer(settings)
    if not options.no_transactions:
        producer.init_transactions(30)
    chance = random.Random(options.first_id)
    begun = time.monotonic()
    in_transaction = 500
    for begin in range(options.first_id, options.first_id + options.events, in_transaction):
        end = min(begin + in_transaction, options.first_id + options.events)
        if not options.no_transactions:
            producer.begin_transaction()
            if chance.random() < 0.2:
                for number in range(begin, end, 7):
                    aborted = json.dumps({**event(number, chance), "artist": "ABORTED"})
                    producer.produce(options.topic, aborted.encode(), headers={"expect": b"never"}, partition=number % 4)
                producer.flush(30)
                producer.abort_transaction(30)
                producer.begin_transaction()
        for number in range(begin, end):
            payload, expect = message(number, chance)
            producer.produce(options.topic, payload, key=str(number), headers={"expect": expect}, partition=number % 4)
            producer.poll(0)
        if options.no_transactions:
            producer.flush(30)
        else:
            producer.commit_transaction(30)
        if options.rate:
            ahead = (end - options.first_id) / options.rate - (time.monotonic() - begun)
            time.sleep(max(0, ahead))
    producer.flush(30)


def committed_messages(brokers, topic):
    """All messages of the topic that were not aborted."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": f"check-{random.randrange(1 << 40)}", "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "isolation.level": "read_committed", "enable.partition.eof": True,
    })
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    ended = set()
    found = []
    while len(ended) < len(partitions):
        record = consumer.poll(30)
        if record is None:
            raise SystemExit("the broker sent nothing for 30 s")
        if record.error():
            if record.error().code() != KafkaError._PARTITION_EOF:
                raise SystemExit(str(record.error()))
            ended.add(record.partition())
            continue
        found.append(record)
    consumer.close()
    return found


def read_table(directory):
    """The rows of a Hive-partitioned directory, as pyarrow reads it."""
    import pyarrow.dataset

    return pyarrow.dataset.dataset(directory, format="parquet", partitioning="hive").to_table().to_pylist()


def count_with_duckdb(directory):
    import duckdb

    query = "select count(*), count(distinct (year, month, day, hour)) from read_parquet(?, hive_partitioning = true)"
    return duckdb.execute(query, [f"{directory}/**/*.parquet"]).fetchone()


def check(options):
    problems = []
    expected, dead = {}, {}
    filtered = 0
    for record in committed_messages(options.brokers, options.topic):
        expect = dict(record.headers())["expect"].decode()
        if expect == "table":
            row = json.loads(record.value())
            expected[row["registration"]] = row
        elif expect == "filtered":
            filtered += 1
        elif expect == "never":
            problems.append(f"the checker read an aborted message at {record.partition()}@{record.offset()}")
        else:
            dead[(record.partition(), record.offset())] = (expect.partition(":")[2], record)

    rows = read_table(options.table)
    counted = collections.Counter(row["registration"] for row in rows)
    lost = [number for number in expected if number not in counted]
    doubled = [number for number, count in counted.items() if count > 1]
    unaccounted = [number for number in counted if number not in expected]
    for row in rows:
        wanted = expected.get(row["registration"])
        if wanted is None:
            continue
        for name in COLUMNS:
            if row[name] != wanted.get(name):
                problems.append(f"{name} of {row['registration']} is {row[name]!r}, produced was {wanted.get(name)!r}")
        at = datetime.datetime.fromtimestamp(wanted["ts"] / 1000, datetime.timezone.utc)
        if (row["year"], row["month"], row["day"], row["hour"]) != (at.year, at.month, at.day, at.hour):
            problems.append(f"{row['registration']} lies in the wrong hive partition")
        if (row["region"] is None) != (wanted["state"] == "ZZ"):
            problems.append(f"{row['registration']} has region {row['region']!r} for {wanted['state']}")
    if count_with_duckdb(options.table)[0] != len(rows):
        problems.append("DuckDB and pyarrow count differently")

    letters = read_table(options.dead_letters) if dead or options.dead_letters else []
    found = collections.Counter((letter["topic_partition"], letter["offset"]) for letter in letters)
    lost += [f"dead letter {place}" for place in dead if place not in found]
    doubled += [f"dead letter {place}" for place, count in found.items() if count > 1]
    unaccounted += [f"dead letter {place}" for place in found if place not in dead]
    for letter in letters:
        reason, record = dead.get((letter["topic_partition"], letter["offset"]), (None, None))
        if record is None:
            continue
        if letter["reason"] != reason:
            problems.append(f"{record.partition()}@{record.offset()}: reason {letter['reason']!r}, wanted {reason!r}")
        if letter["payload"] != record.value() or letter["key"] != record.key() or letter["topic"] != options.topic:
            problems.append(f"{record.partition()}@{record.offset()}: not the message that was received")
    report = {
        "table": len(rows), "filtered": filtered, "dead_letters": len(letters), "reasons": sorted({r for r, _ in dead.values()}),
        "lost": len(lost), "doubled": len(doubled), "unaccounted": len(unaccounted), "problems": len(problems),
    }
    print(json.dumps(report))
    for name, examples in [("lost", lost), ("doubled", doubled), ("unaccounted", unaccounted), ("problem", problems)]:
        for example in examples[:5]:
            print(f"{name}: {example}", file=sys.stderr)
    return 1 if lost or doubled or unaccounted or problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    producing, checking = verbs.add_parser("produce"), verbs.add_parser("check")
    for verb in (producing, checking):
        verb.add_argument("--brokers", required=True)
        verb.add_argument("--topic", required=True)
    producing.add_argument("--events", type=int, required=True)
    producing.add_argument("--first-id", type=int, default=0)
    producing.add_argument("--rate", type=float, help="messages per second; default: as fast as possible")
    producing.add_argument("--no-transactions", action="store_true")
    checking.add_argument("--table", required=True)
    checking.add_argument("--dead-letters", required=True)
    options = parser.parse_args()
    sys.exit(produce(options) if options.verb == "produce" else check(options))


if __name__ == "__main__":
    main()

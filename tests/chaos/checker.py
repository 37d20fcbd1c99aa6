#!/usr/bin/env python3
"""Compares what Kafka holds with what a fetched table, its dead letters and its chains hold, record by record.

Shares no code with wasmill: Kafka is read by confluent-kafka, Parquet by pyarrow (and counted by DuckDB), and what must become
of a message is decided anew in expected.py. Every committed message must be one row of the table, or filtered, or one
dead letter with the right reason; the counts in each record of each chain must say the same; nothing else may be there.

Prints one line of JSON; exits with 1 when anything is lost, doubled, unaccounted or otherwise wrong, and names examples.
"""

import argparse
import bisect
import collections
import json
import random
import re
import sys
from pathlib import Path

import expected

FILE_NAME = re.compile(r"part-(?P<topic>.+)-(?P<topic_partition>\d+)-(?P<start>\d+)-\d+\.parquet")
HIVE_NAMES = ["year", "month", "day", "hour"]
EXTRA_COLUMNS = {"device", "os", "browser"}
SILENCE_SECONDS = 60


class Chain:
    """The records of one topic partition that count, in order; found from the newest down, by predecessor."""

    def __init__(self, directory, problems):
        records = {}
        for path in directory.glob("archive/*.jsonl"):
            for line in path.read_text().splitlines():
                record = json.loads(line)
                records[record["sequence"]] = record
        for path in directory.glob("*.json"):
            records[int(path.stem)] = json.loads(path.read_text())
        self.records = []
        wanted = None
        for sequence in range(max(records), -1, -1):
            record = records.get(sequence)
            if record is None or (wanted is not None and record["id"] != wanted):
                problems.append(f"{directory.name}: record {sequence} is missing in the chain")
                break
            self.records.append(record)
            wanted = record["predecessor"]
        self.records.reverse()
        for before, after in zip(self.records, self.records[1:]):
            if before["next"] != after["start"]:
                problems.append(f"{directory.name}: record {after['sequence']} starts at {after['start']}, not {before['next']}")
        # Fences are empty: the range that holds an offset is the last one that starts at or before it.
        self.ranges = [record for record in self.records if record["start"] < record["next"]]
        self.starts = [record["start"] for record in self.ranges]

    def range_of(self, offset):
        index = bisect.bisect_right(self.starts, offset) - 1
        return self.ranges[index] if index >= 0 and offset < self.ranges[index]["next"] else None


def is_second(record):
    """Which of the two deployments made the rows of a record."""
    return any(transform["name"] == "enrich-user-agent" for transform in record["deployment"]["transforms"])


def committed_messages(brokers, topic):
    """Yields (topic partition, offset, payload) of all messages that were not aborted."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": f"check-{random.randrange(1 << 40)}", "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "isolation.level": "read_committed", "enable.partition.eof": True,
    })  # fmt: skip
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    ended = set()
    while len(ended) < len(partitions):
        batch = consumer.consume(5000, SILENCE_SECONDS)
        if not batch:
            raise SystemExit(f"the broker sent nothing for {SILENCE_SECONDS} s")
        for message in batch:
            if not message.error():
                yield message.partition(), message.offset(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise SystemExit(str(message.error()))
    consumer.close()


class Check:
    """The comparison: what is expected is filled from Kafka, then what is found is held against it."""

    def __init__(self, topic, fetched, min_seconds):
        self.topic, self.fetched, self.min_seconds = topic, fetched, min_seconds
        self.problems, self.lost, self.doubled, self.unaccounted = [], [], [], []
        directory = fetched / "checkpoints" / topic
        self.chains = {int(place.name): Chain(place, self.problems) for place in directory.iterdir()}
        # Rows of the table that are still to be found, and one place of each for messages about it.
        self.rows = collections.Counter()
        self.places = {}
        self.dead = {}
        self.counts = collections.defaultdict(collections.Counter)
        self.totals = collections.Counter()

    def expect(self, topic_partition, offset, payload):
        """Notes what must become of one message."""
        self.totals["messages"] += 1
        chain = self.chains.get(topic_partition)
        record = chain and chain.range_of(offset)
        if not record:
            self.lost.append(f"{topic_partition}@{offset} is in no range of the chain")
            return
        second = is_second(record)
        fate, detail = expected.fate(payload, self.min_seconds["second" if second else "first"])
        count = self.counts[topic_partition, record["sequence"]]
        count["messages"] += 1
        count[fate] += 1
        self.totals[fate] += 1
        if fate == "written":
            key = expected.digest(topic_partition, second, detail)
            self.rows[key] += 1
            self.places[key] = f"{topic_partition}@{offset}"
        elif fate == "dead_lettered":
            self.dead[topic_partition, offset] = (detail, payload)

    def compare_records(self):
        """Each record's own counts: so filtered messages are accounted for as well."""
        for number, chain in self.chains.items():
            for record in chain.ranges:
                ours = self.counts[number, record["sequence"]]
                for name, said in record["rows"].items():
                    if said != ours[name]:
                        self.problems.append(
                            f"{number}: record {record['sequence']} ({record['start']}..{record['next']}) counts {said} {name}, "
                            f"Kafka says {ours[name]}"
                        )

    def compare_table(self):
        import pyarrow.parquet

        for path in parquet_files(self.fetched / "table"):
            named = FILE_NAME.fullmatch(path.name)
            columns = pyarrow.parquet.ParquetFile(path).read().to_pydict()
            second = EXTRA_COLUMNS <= columns.keys()
            if not second and EXTRA_COLUMNS & columns.keys():
                self.problems.append(f"{path} has the columns of two deployments")
            hive = tuple(int(part.partition("=")[2]) for part in path.parts[-5:-1])
            fields = [columns[name] for name in expected.COLUMNS]
            for index, row in enumerate(zip(*fields)):
                self.totals["table"] += 1
                key = expected.digest(int(named["topic_partition"]), second, row)
                left = self.rows.get(key)
                if left is None:
                    self.unaccounted.append(f"{path}: row {index}: {row}")
                    continue
                self.rows[key] = left - 1
                if left == 0:
                    self.doubled.append(f"{path}: row {index}, the message at {self.places[key]}")
                self.compare_derived(path, hive, columns, index)
        self.lost += [f"the row of {self.places[key]}" for key, left in self.rows.items() if left > 0]

    def compare_derived(self, path, hive, columns, index):
        """What is in no message: the hive partition, and what a transform has added."""
        ts, state = columns["ts"][index], columns["state"][index]
        if expected.hive_partition(ts) != hive:
            self.problems.append(f"{path}: row {index} with ts {ts} lies in the wrong hive partition")
        place = tuple(columns[name][index] for name in ("region", "timeZone", "localHour"))
        if not expected.is_place(state, ts, place):
            self.problems.append(f"{path}: row {index}: {place} for {state} at {ts}")

    def compare_dead_letters(self):
        import pyarrow.parquet

        found = collections.Counter()
        names = ["topic", "topic_partition", "offset", "reason", "payload"]
        for path in parquet_files(self.fetched / "dead_letters"):
            for letter in pyarrow.parquet.ParquetFile(path).read(columns=names).to_pylist():
                place = letter["topic_partition"], letter["offset"]
                self.totals["dead_letters"] += 1
                found[place] += 1
                if place not in self.dead:
                    self.unaccounted.append(f"dead letter {place}: {letter}")
                    continue
                reasons, payload = self.dead[place]
                if letter["reason"] not in reasons:
                    self.problems.append(f"dead letter {place} has reason {letter['reason']!r}, wanted one of {reasons}")
                if letter["payload"] != payload or letter["topic"] != self.topic:
                    self.problems.append(f"dead letter {place} is not the message that was received")
        self.lost += [f"dead letter {place}" for place in self.dead if place not in found]
        self.doubled += [f"dead letter {place}" for place, count in found.items() if count > 1]

    def count_again(self):
        """A plain reader that lists the directory must find as many rows."""
        import duckdb

        query = "select count(*) from read_parquet(?, hive_partitioning = true, union_by_name = true)"
        counted = duckdb.execute(query, [f"{self.fetched / 'table'}/**/*.parquet"]).fetchone()[0]
        if counted != self.totals["table"]:
            self.problems.append(f"DuckDB counts {counted} rows, pyarrow {self.totals['table']}")

    def report(self):
        staged = [path for path in self.fetched.glob("*/_staging/**/*") if path.is_file()]
        ranges = sum(len(chain.ranges) for chain in self.chains.values())
        return {
            **self.totals, "topic_partitions": len(self.chains), "ranges": ranges, "staged_files_left": len(staged),
            "take_overs": sum(len({r["take_over"] for r in chain.records}) for chain in self.chains.values()),
            "deployments": sorted({is_second(r) for c in self.chains.values() for r in c.ranges}).__len__(),
            "lost": len(self.lost), "doubled": len(self.doubled), "unaccounted": len(self.unaccounted),
            "problems": len(self.problems),
        }  # fmt: skip


def parquet_files(directory):
    """What a reader of the plain directory sees."""
    hidden = lambda path: any(part[0] in "._" for part in path.relative_to(directory).parts)  # noqa: E731
    return sorted(path for path in directory.rglob("*.parquet") if not hidden(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--fetched", type=Path, required=True, help="a directory with table, dead_letters, checkpoints")
    parser.add_argument("--min-seconds", type=json.loads, required=True, help="shortest play of each deployment, as JSON")
    options = parser.parse_args()
    check = Check(options.topic, options.fetched, options.min_seconds)
    for topic_partition, offset, payload in committed_messages(options.brokers, options.topic):
        check.expect(topic_partition, offset, payload)
    check.compare_records()
    check.compare_table()
    check.compare_dead_letters()
    check.count_again()
    print(json.dumps(check.report()))
    wrong = False
    for name in ("lost", "doubled", "unaccounted", "problems"):
        found = getattr(check, name)
        wrong |= bool(found)
        for example in found[:5]:
            print(f"{name}: {example}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Events in Avro, written by Confluent's own serializer through a real registry; and whether a table holds them.

    avro_events.py produce --brokers B --registry URL --topic T [--added | --newer | --bad] --count N --from N
    avro_events.py check --table DIR --older N --newer N

`produce --added` writes with a later schema: a field more; `--newer` with one that has become wider, too. `--bad` writes what cannot be decoded.
`check` shares no code with wasmill: fastavro made the bytes, pyarrow reads the table.
"""

import argparse
import datetime
import decimal
import json
import sys
import uuid

import pyarrow
import pyarrow.dataset
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

UTC = datetime.timezone.utc
OLDER = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "count", "type": "int"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["free", "paid"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "long"}},
        {
            "name": "place",
            "type": {"type": "record", "name": "Place", "fields": [
                {"name": "lon", "type": "double"}, {"name": "city", "type": ["null", "string"]}]},
        },
    ],
}  # fmt: skip
ADDED = {**OLDER, "fields": [*OLDER["fields"], {"name": "more", "type": ["null", "string"], "default": None}]}
NEWER = {**ADDED, "fields": [{"name": "count", "type": "long"} if one["name"] == "count" else one for one in ADDED["fields"]]}


def event(n, newer):
    made = {
        "n": n,
        "count": n % 1000 - 500,
        "name": None if n % 7 == 0 else f"Ann {n} \u00e9",
        "price": decimal.Decimal(n * 37 % 1_000_000 - 500_000).scaleb(-2),
        "day": datetime.date(1970, 1, 1) + datetime.timedelta(days=n % 30_000),
        "at": datetime.datetime(2026, 1, 1, tzinfo=UTC) + datetime.timedelta(milliseconds=n * 977),
        "id": str(uuid.UUID(int=n * 0x1234_5678_9ABC_DEF1)),
        "level": ["free", "paid"][n % 2],
        "tags": [f"t{i}" for i in range(n % 4)],
        "counts": {f"k{i}": n * i for i in range(n % 3)},
        "place": {"lon": n / 8, "city": None if n % 5 == 0 else f"city {n}"},
    }
    return {**made, "more": f"more {n}"} if newer else made


def produce(options):
    registry = SchemaRegistryClient({"url": options.registry})
    schema = json.dumps(NEWER if options.newer else ADDED if options.added else OLDER)
    serialize = AvroSerializer(registry, schema)
    context = SerializationContext(options.topic, MessageField.VALUE)
    producer = Producer({"bootstrap.servers": options.brokers})
    for n in range(options.first, options.first + options.count):
        payload = serialize(event(n, options.newer or options.added), context)
        if options.bad:
            # Cut short, an id that nobody has, and no frame at all: by turns.
            payload = [payload[:-2], payload[:1] + (2_000_000_000).to_bytes(4, "big") + payload[5:], b"{}"][n % 3]
        producer.produce(options.topic, payload, key=str(n))
    if left := producer.flush(60):
        sys.exit(f"{left} messages were not delivered")


def plain(value):
    """A row as both sides have it: maps as pairs in order, decimals and times as they are."""
    if isinstance(value, dict):
        return {name: plain(field) for name, field in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def check(options, event):
    files = pyarrow.dataset.dataset(options.table, partitioning="hive")
    # Columns that were added later are in later files only.
    schema = pyarrow.unify_schemas([files.schema, *(file.physical_schema for file in files.get_fragments())])
    table = files.replace_schema(schema).to_table()
    found = {row["n"]: row for row in table.to_pylist()}
    if len(found) != table.num_rows:
        sys.exit(f"{table.num_rows} rows, {len(found)} different")
    wanted = {}
    for n in range(options.older + options.newer):
        newer = n >= options.older
        row = event(n, newer)
        row["counts"] = sorted(row["counts"].items())
        wanted[n] = {"more": None, **row}
    if missing := set(wanted) ^ set(found):
        sys.exit(f"on one side only: {sorted(missing)[:10]}, {len(missing)} in all")
    for n, row in wanted.items():
        other = {name: found[n][name] for name in row}
        other["counts"] = sorted(other["counts"])
        if plain(other) != plain(row):
            sys.exit(f"event {n} is\n{other}\nand was\n{row}")
    print(json.dumps({"rows": len(found)}))


def main(description, produce, event):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    made = verbs.add_parser("produce")
    for name in ("brokers", "registry", "topic"):
        made.add_argument(f"--{name}", required=True)
    made.add_argument("--newer", action="store_true")
    made.add_argument("--added", action="store_true")
    made.add_argument("--bad", action="store_true")
    made.add_argument("--count", type=int, required=True)
    made.add_argument("--from", dest="first", type=int, required=True)
    checked = verbs.add_parser("check")
    checked.add_argument("--table", required=True)
    checked.add_argument("--older", type=int, required=True)
    checked.add_argument("--newer", type=int, required=True)
    options = parser.parse_args()
    if options.verb == "produce":
        produce(options)
    else:
        check(options, event)


if __name__ == "__main__":
    main(__doc__, produce, event)

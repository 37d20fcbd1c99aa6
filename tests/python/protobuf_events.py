"""Events in Protobuf, written by Confluent's own serializer through a real registry; and whether a table holds them.

    protobuf_events.py produce --brokers B --registry URL --topic T [--newer | --bad] --count N --from N
    protobuf_events.py check --table DIR --older N --newer N

As avro_events.py, whose events these are, but for the day. Google's own library made the bytes.
"""

import avro_events
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.confluent.types import decimal_pb2  # noqa: F401 (its file is imported by name below)
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2  # noqa: F401

TYPES = descriptor_pb2.FieldDescriptorProto


def field(name, number, kind, type_name=None, repeated=False, **more):
    label = TYPES.LABEL_REPEATED if repeated else TYPES.LABEL_OPTIONAL
    return TYPES(name=name, number=number, type=kind, type_name=type_name, label=label, **more)


def event_class(newer):
    """The class of a message type that is made here. It is no first one of its file, and its fields are in no order."""
    package = "newer" if newer else "older"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "confluent/type/decimal.proto"])
    level = file.enum_type.add(name="Level")
    level.value.add(name="free", number=0)
    level.value.add(name="paid", number=1)
    place = file.message_type.add(name="Place")
    place.field.extend([field("lon", 1, TYPES.TYPE_DOUBLE), field("city", 2, TYPES.TYPE_STRING, oneof_index=0, proto3_optional=True)])
    place.oneof_decl.add(name="_city")
    event = file.message_type.add(name="Event")
    entry = event.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    entry.field.extend([field("key", 1, TYPES.TYPE_STRING), field("value", 2, TYPES.TYPE_INT64)])
    event.field.extend([
        field("place", 40, TYPES.TYPE_MESSAGE, f".{package}.Place"),
        field("n", 3, TYPES.TYPE_INT64),
        field("count", 4, TYPES.TYPE_SINT64 if newer else TYPES.TYPE_SINT32),
        field("name", 5, TYPES.TYPE_STRING, oneof_index=0, proto3_optional=True),
        field("price", 6, TYPES.TYPE_MESSAGE, ".confluent.type.Decimal"),
        field("at", 7, TYPES.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
        field("id", 8, TYPES.TYPE_STRING),
        field("level", 9, TYPES.TYPE_ENUM, f".{package}.Level"),
        field("tags", 1, TYPES.TYPE_STRING, repeated=True),
        field("counts", 300, TYPES.TYPE_MESSAGE, f".{package}.Event.CountsEntry", repeated=True),
    ])  # fmt: skip
    event.oneof_decl.add(name="_name")
    if newer:
        event.field.append(field("more", 11, TYPES.TYPE_STRING, oneof_index=1, proto3_optional=True))
        event.oneof_decl.add(name="_more")
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Event"))


def event(n, newer):
    """What is in the table of it."""
    made = avro_events.event(n, newer)
    del made["day"]
    return made


def message(kind, n, newer):
    made = event(n, newer)
    unscaled = int(made["price"].scaleb(2))
    price = {"value": unscaled.to_bytes(8, "big", signed=True), "precision": 9, "scale": 2}
    at = timestamp_pb2.Timestamp()
    at.FromDatetime(made["at"])
    place = {name: value for name, value in made["place"].items() if value is not None}
    there = {name: value for name, value in made.items() if value is not None}
    return kind(**{**there, "price": price, "at": at, "place": place})


def produce(options):
    kind = event_class(options.newer)
    registry = SchemaRegistryClient({"url": options.registry})
    # Two types that know nothing of each other: a subject each.
    serialize = ProtobufSerializer(kind, registry, {"use.deprecated.format": False, "subject.name.strategy": subject})
    context = SerializationContext(options.topic, MessageField.VALUE)
    producer = Producer({"bootstrap.servers": options.brokers})
    for n in range(options.first, options.first + options.count):
        payload = serialize(message(kind, n, options.newer), context)
        if options.bad:
            # Cut short, an id that nobody has, no frame at all, and a type that is not there: by turns.
            unknown = payload[:1] + (2_000_000_000).to_bytes(4, "big") + payload[5:]
            payload = [payload[:-2], unknown, b"{}", payload[:5] + b"\x02\x64" + payload[7:]][n % 4]
        producer.produce(options.topic, payload, key=str(n))
    if left := producer.flush(60):
        raise SystemExit(f"{left} messages were not delivered")


def subject(context, record_name):
    return f"{context.topic}-{record_name}"


if __name__ == "__main__":
    avro_events.main(__doc__, produce, event)

"""What must become of a message: the shipped pipeline's rules, decided anew in Python from its documentation.

Pure functions; knows nothing of files or Kafka. `fate` is the whole of it: decode strictly, keep real plays, reject what
cannot be true.
"""

import datetime
import functools
import hashlib
import json
import zoneinfo

# Name and type, in the order of the pipeline file; `ts` alone is required.
SCHEMA = {
    "artist": str, "song": str, "duration": float, "ts": 64, "sessionId": 32, "auth": str, "level": str, "itemInSession": 32,
    "city": str, "zip": str, "state": str, "userAgent": str, "lon": float, "lat": float, "userId": 32, "lastName": str,
    "firstName": str, "gender": str, "registration": 64,
}  # fmt: skip
COLUMNS = list(SCHEMA)
FLOATS = [index for index, name in enumerate(COLUMNS) if SCHEMA[name] is float]
NOT_ONE_OBJECT = {"not-json", "not-an-object", "trailing-data"}
YEAR_2000_MS, YEAR_2100_MS = 946_684_800_000, 4_102_444_800_000
LONGEST_SECONDS = 14_400


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def decode(payload):
    """(event, None), or (None, the reasons of which the dead letter must have one)."""
    if payload is None:
        return None, {"null-payload"}
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return None, {"invalid-utf8"}
    try:
        event = json.loads(text, parse_constant=refuse_constant)
    except ValueError:
        return None, NOT_ONE_OBJECT
    if not isinstance(event, dict):
        return None, NOT_ONE_OBJECT
    reasons = {reason for name, kind in SCHEMA.items() if (reason := fault(event.get(name), kind))}
    if event.get("ts") is None:
        reasons.add("missing-field")
    return (None, reasons) if reasons else (event, None)


def fault(value, kind):
    """Why a value cannot stand in a column of that type; None when it can."""
    if value is None:
        return None
    if kind is str:
        return None if isinstance(value, str) else "wrong-type"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "wrong-type"
    if kind is float:
        return None
    if not isinstance(value, int):
        return "wrong-type"
    return None if -(1 << (kind - 1)) <= value < 1 << (kind - 1) else "out-of-range"


def rejection(event):
    """The first reason for which an event cannot be true."""
    ts, duration, lat, lon = (event.get(name) for name in ("ts", "duration", "lat", "lon"))
    if not YEAR_2000_MS <= ts < YEAR_2100_MS:
        return "time-out-of-range"
    if event.get("userId") is None:
        return "no-user"
    if not 0 < duration <= LONGEST_SECONDS:
        return "duration-out-of-range"
    if lat is not None and not -90 <= lat <= 90:
        return "latitude-out-of-range"
    if lon is not None and not -180 <= lon <= 180:
        return "longitude-out-of-range"
    return "half-position" if (lat is None) != (lon is None) else None


def fate(payload, min_seconds):
    """("written", row), ("filtered", None) or ("dead_lettered", reasons)."""
    event, reasons = decode(payload)
    if event is None:
        return "dead_lettered", reasons
    if event.get("auth") is None:
        return "dead_lettered", {"null-input"}
    duration = event.get("duration")
    if event["auth"] != "Logged In" or duration is None or duration < min_seconds:
        return "filtered", None
    if reason := rejection(event):
        return "dead_lettered", {reason}
    return "written", tuple(event.get(name) for name in COLUMNS)


def digest(topic_partition, second_deployment, row):
    """Sixteen bytes that stand for a row; a number without a point is the same number in a column of doubles."""
    row = list(row)
    for index in FLOATS:
        if row[index] is not None:
            row[index] = float(row[index])
    text = repr((topic_partition, second_deployment, row))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@functools.lru_cache(maxsize=4096)
def hive_partition_of_hour(hours):
    at = datetime.datetime.fromtimestamp(hours * 3600, datetime.timezone.utc)
    return at.year, at.month, at.day, at.hour


def hive_partition(ts):
    """(year, month, day, hour) of an event time in milliseconds, in UTC."""
    return hive_partition_of_hour(ts // 3_600_000)


@functools.lru_cache(maxsize=65536)
def local_hour(zone, quarter_hours):
    at = datetime.datetime.fromtimestamp(quarter_hours * 900, zoneinfo.ZoneInfo(zone))
    return at.hour


# Where each state lies, as found first: a state must not move.
places = {}


def is_place(state, ts, place):
    """Whether (region, time zone, hour there) can be what the transform adds for a state."""
    region, zone, hour = place
    if state is None or zone is None:
        return place == (None, None, None)
    if places.setdefault(state, (region, zone)) != (region, zone) or region is None:
        return False
    return hour == local_hour(zone, ts // 900_000)

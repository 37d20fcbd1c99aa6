"""Keeps the rows with auth == "Logged In" and duration >= min_seconds (30 unless set). A row without `auth` fails.

The contract's `err` is `raise Err(text)`; any other exception is a trap. WIT's `list<u8>` is `bytes`, other lists are
Python lists.
"""

import math

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import Descriptor, Output, Rejects, Selection_Mask

LOGGED_IN = b"Logged In"
# Set by `start`. An attribute of Transform that `start` sets is not there in `process` (componentize-py 0.25.1).
started = {"min_seconds": 30.0}
READS = {"auth": ("u", "string"), "duration": ("g", "double")}


def min_seconds(settings):
    seconds = 30.0
    for name, value in settings:
        if name != "min_seconds":
            raise Err(f"unknown setting `{name}`; known: `min_seconds` (a number, default 30)")
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            raise Err(f"setting `min_seconds`: wanted a number, found `{value}`")
    return seconds


def is_null(column, row):
    return column.validity is not None and not column.validity[row >> 3] >> (row & 7) & 1


class Transform(exports.Transform):
    def describe(self, settings, input):
        min_seconds(settings)
        found = {field.name: field.format for field in input}
        for name, (form, kind) in READS.items():
            if name not in found:
                raise Err(f"column `{name}` is missing: wanted {kind}")
            if found[name] != form:
                raise Err(f"column `{name}`: wanted {kind} (format {form}), found format {found[name]}")
        return Descriptor(list(READS), [], [], [])

    def start(self, settings, reads):
        started["min_seconds"] = min_seconds(settings)

    def process(self, batch):
        auth, duration = batch.columns
        text, seconds = auth.values.value, duration.values.value
        shortest = started["min_seconds"]
        mask = bytearray((batch.rows + 7) // 8)
        for row in range(batch.rows):
            if is_null(auth, row):
                raise Err(f"row {row} has no `auth`")
            if is_null(duration, row) or not seconds[row] >= shortest:
                continue
            if text.bytes[text.offsets[row] : text.offsets[row + 1]] == LOGGED_IN:
                mask[row >> 3] |= 1 << (row & 7)
        return Output(Selection_Mask(bytes(mask)), [], Rejects([], [], None))

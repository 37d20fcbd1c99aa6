"""The checker finds what it is for: a small table as it should be passes, and each deliberate damage to it is named."""

import datetime
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import checker
import expected
import pyarrow
import pyarrow.parquet

TOPIC = "t"
MIN_SECONDS = {"first": 30, "second": 120}
HOUR_MS = 1_735_689_600_000


def event(number, **changes):
    good = {name: "x" for name, kind in expected.SCHEMA.items() if kind is str}
    good |= {name: number for name, kind in expected.SCHEMA.items() if kind is not str}
    good |= {"auth": "Logged In", "duration": 100.5, "ts": HOUR_MS + number, "lat": 1.5, "lon": 2, "state": None}
    return json.dumps({**good, **changes}).encode()


# Offsets 0 to 9 were read by the first deployment, 10 to 19 by the second, which keeps only longer plays. 7 is a gap.
MESSAGES = {offset: event(offset) for offset in range(20) if offset != 7}
MESSAGES |= {3: None, 4: event(4, auth="Guest"), 5: event(5, lat=91), 12: event(12, duration=121)}


def record(sequence, predecessor, start, end, transforms):
    minimum = MIN_SECONDS["second" if transforms else "first"]
    fates = [expected.fate(MESSAGES[offset], minimum)[0] for offset in range(start, end) if offset in MESSAGES]
    rows = {name: fates.count(name) for name in ("written", "filtered", "dead_lettered")}
    return {
        "sequence": sequence, "id": f"id{sequence}", "predecessor": predecessor, "take_over": "a", "start": start, "next": end,
        "rows": {"messages": len(fates), **rows}, "deployment": {"transforms": [{"name": name} for name in transforms]},
    }  # fmt: skip


def write_table(directory, start, end, second):
    rows = []
    for offset in range(start, end):
        fate, row = expected.fate(MESSAGES.get(offset, b"{}"), MIN_SECONDS["second" if second else "first"])
        if fate == "written":
            place = {"region": None, "timeZone": None, "localHour": None}
            extra = dict.fromkeys(checker.EXTRA_COLUMNS) if second else {}
            rows.append({**dict(zip(expected.COLUMNS, row)), **place, **extra})
    hour = directory / "table" / "year=2025" / "month=01" / "day=01" / "hour=00"
    hour.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), hour / f"part-{TOPIC}-0-{start}-0.parquet")


def write_dead_letters(directory):
    letters = []
    for offset, reason in ((3, "null-payload"), (5, "latitude-out-of-range")):
        place = {"topic": TOPIC, "topic_partition": 0, "offset": offset}
        letters.append({**place, "reason": reason, "payload": MESSAGES[offset]})
    schema = pyarrow.schema([
        ("topic", pyarrow.string()), ("topic_partition", pyarrow.int32()), ("offset", pyarrow.int64()),
        ("reason", pyarrow.string()), ("payload", pyarrow.binary()),
    ])  # fmt: skip
    day = directory / "dead_letters" / f"day={datetime.date.today()}"
    day.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(letters, schema), day / "part.parquet")


class Checks(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="wasmill-checker-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.chain = self.directory / "checkpoints" / TOPIC / "0"
        (self.chain / "archive").mkdir(parents=True)
        fence = {**record(0, None, 0, 0, []), "start": 0, "next": 0}
        (self.chain / "archive" / "0-0.jsonl").write_text(json.dumps(fence) + "\n")
        for made in (record(1, "id0", 0, 10, []), record(2, "id1", 10, 20, ["enrich-user-agent"])):
            self.save(made)
        write_table(self.directory, 0, 10, second=False)
        write_table(self.directory, 10, 20, second=True)
        write_dead_letters(self.directory)
        self.first = next(self.directory.glob("table/**/*-0-0-0.parquet"))

    def save(self, made):
        (self.chain / f"{made['sequence']:020}.json").write_text(json.dumps(made))

    def check(self):
        check = checker.Check(TOPIC, self.directory, MIN_SECONDS)
        for offset, payload in sorted(MESSAGES.items()):
            check.expect(0, offset, payload)
        check.compare_records()
        check.compare_table()
        check.compare_dead_letters()
        check.count_again()
        report = check.report()
        return {name: report[name] for name in ("lost", "doubled", "unaccounted", "problems")}

    def found(self, **wanted):
        found = self.check()
        for name, count in wanted.items():
            self.assertEqual(found[name], count, (name, found))

    def test_a_good_table_passes(self):
        self.found(lost=0, doubled=0, unaccounted=0, problems=0)

    def test_a_lost_file_is_found(self):
        self.first.unlink()
        self.found(lost=6, doubled=0, unaccounted=0)

    def test_a_doubled_file_is_found(self):
        shutil.copy(self.first, self.first.with_name(f"part-{TOPIC}-0-0-1.parquet"))
        self.found(lost=0, doubled=6, unaccounted=0)

    def test_a_foreign_row_is_found(self):
        table = pyarrow.parquet.read_table(self.first, partitioning=None)
        changed = table.set_column(table.column_names.index("artist"), "artist", [["y"] * len(table)])
        pyarrow.parquet.write_table(changed, self.first)
        self.found(lost=6, unaccounted=6)

    def test_a_row_of_the_wrong_deployment_is_found(self):
        self.save({**record(2, "id1", 10, 20, []), "rows": record(2, "id1", 10, 20, [])["rows"]})
        self.found(lost=10, unaccounted=1)

    def test_a_wrong_hour_is_found(self):
        elsewhere = self.first.parent.with_name("hour=01")
        elsewhere.mkdir()
        self.first.rename(elsewhere / self.first.name)
        self.found(lost=0, problems=6)

    def test_lost_and_doubled_dead_letters_are_found(self):
        (part,) = self.directory.glob("dead_letters/*/part.parquet")
        shutil.copy(part, part.with_name("again.parquet"))
        self.found(doubled=2)
        for place in part.parent.iterdir():
            place.unlink()
        self.found(lost=2, doubled=0)

    def test_wrong_counts_of_a_record_are_found(self):
        wrong = record(1, "id0", 0, 10, [])
        wrong["rows"]["filtered"] += 1
        self.save(wrong)
        self.found(lost=0, problems=1)

    def test_unread_messages_are_lost(self):
        self.save({**record(2, "id1", 10, 15, ["enrich-user-agent"])})
        self.found(lost=5)

    def test_a_gap_in_the_chain_is_found(self):
        self.save({**record(2, "id1", 11, 20, ["enrich-user-agent"])})
        self.assertGreater(self.check()["problems"], 0)
        self.save({**record(2, "another", 10, 20, ["enrich-user-agent"])})
        self.assertGreater(self.check()["problems"], 0)


if __name__ == "__main__":
    unittest.main()

"""Makes a young pipeline look old: many files in the table, many records in its chains, most of them in archives.

Takes the newest record of each topic partition as a pattern and puts as many records before it as the age wants, one
offset and one file each; what wasmill keeps as records of their own (up to 1,009) stays so, the rest becomes archive files of
1,000. The table's files are empty: no start reads one. Works on a local directory.
"""

import json
import secrets
import shutil

KEPT = 10
FOLDED = 1000
HOURS = 24 * 365


def name(sequence):
    return f"{sequence:020}.json"


def mark(record):
    return f"{record['sequence']:020}.{record['id']}.published"


def pattern_of(directory):
    """The newest record of a chain that is no fence."""
    records = [json.loads(path.read_text()) for path in directory.glob("*.json")]
    ranges = [record for record in records if record["start"] < record["next"]]
    newest = max(ranges, key=lambda record: record["sequence"])
    # A record without a checksum is one of an earlier program, and read all the same.
    newest.pop("checksum", None)
    return newest


def aged_records(pattern, table, count):
    """`count` records, the last of which ends where the pattern ends."""
    found, predecessor = [], None
    for sequence in range(count):
        start = pattern["next"] - count + sequence
        hour = sequence % HOURS
        target = (
            f"{table}/year=2024/month={hour // 720 % 12 + 1:02}/day={hour // 24 % 30 + 1:02}/hour={hour % 24:02}/"
            f"part-{pattern['topic']}-{pattern['topic_partition']}-{start}-0.parquet"
        )
        file = {**pattern["files"][0], "target": target, "rows": 1, "bytes": 0}
        record = {
            **pattern, "sequence": sequence, "id": secrets.token_hex(16), "predecessor": predecessor, "start": start,
            "next": start + 1, "files": [file], "dead_letter_files": [],
            "rows": {"messages": 1, "written": 1, "filtered": 0, "dead_lettered": 0},
        }  # fmt: skip
        predecessor = record["id"]
        found.append(record)
    return found


def age(checkpoints, table_directory, table, topic, files):
    """Replaces the chains below `checkpoints`, and fills `table_directory` (whose name for wasmill is `table`)."""
    directories = sorted((checkpoints / topic).iterdir())
    for directory in directories:
        pattern = pattern_of(directory)
        records = aged_records(pattern, table, files // len(directories))
        shutil.rmtree(directory)
        (directory / "archive").mkdir(parents=True)
        live = min(len(records), KEPT + FOLDED - 1)
        old, young = records[:-live], records[-live:]
        for begin in range(0, len(old), FOLDED):
            chunk = old[begin : begin + FOLDED]
            lines = "".join(json.dumps(record) + "\n" for record in chunk)
            place = f"{chunk[0]['sequence']:020}-{chunk[-1]['sequence']:020}.jsonl"
            (directory / "archive" / place).write_text(lines)
        for record in young:
            (directory / name(record["sequence"])).write_text(json.dumps(record, indent=2) + "\n")
            (directory / mark(record)).touch()
        for record in records:
            place = table_directory / record["files"][0]["target"].removeprefix(table).lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()

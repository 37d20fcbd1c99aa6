//! Deliberate corruptions of a table, each found under its code.

use std::fs;
use std::path::{Path, PathBuf};

use wasmill::audit::Code;

use super::{codes, copy, files, look, writer};

/// A table that is in order, to be broken.
struct Broken {
    directory: PathBuf,
}

impl Broken {
    fn below(&self, part: &str) -> Vec<PathBuf> {
        let is_visible = |path: &PathBuf| !path.to_string_lossy().contains("/_staging/");
        files(&self.directory.join(part)).into_iter().filter(is_visible).collect()
    }

    /// A file of the table.
    fn file(&self) -> PathBuf {
        self.below("table")[3].clone()
    }

    /// A file of the dead letters.
    fn letters(&self) -> PathBuf {
        self.below("dead_letters")[2].clone()
    }

    fn in_chain(&self, ending: &str) -> Vec<PathBuf> {
        let found = self.below("checkpoints/events/0");
        found.into_iter().filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    }

    /// A record that is not the newest.
    fn record(&self) -> PathBuf {
        let records = self.in_chain(".json");
        records[records.len() - 2].clone()
    }

    fn newest(&self) -> PathBuf {
        self.in_chain(".json").last().expect("a record").clone()
    }

    fn archive(&self) -> PathBuf {
        self.in_chain(".jsonl")[0].clone()
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("text");
    assert!(text.contains(from), "{}: {text}", path.display());
    fs::write(path, text.replacen(from, to, 1)).expect("it can be written");
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).expect("bytes");
    fs::write(path, &bytes[..bytes.len() / 2]).expect("it can be written");
}

fn named(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

/// The same bytes but for one: a length that is right says nothing then.
fn flip_the_footer(path: &Path) {
    let mut bytes = fs::read(path).expect("bytes");
    let text = b"wasmill.start";
    let at = bytes.windows(text.len()).position(|window| window == text).expect("the key");
    bytes[at + text.len() - 1] = b'T';
    fs::write(path, bytes).expect("it can be written");
}

/// What is done, what must be found, and at least which path it must name (part of it).
type Corruption = (&'static str, fn(&Broken) -> PathBuf, &'static [Code]);

const CORRUPTIONS: &[Corruption] = &[
    ("delete a file", |t| remove(t.file()), &[Code::FileMissing]),
    ("copy a file under another name", |t| copied(&t.file(), "part-copy.parquet"), &[Code::FileDoubled]),
    (
        "copy a file into another hive partition",
        |t| copied(&t.file(), "../day=2026-01-01/x.parquet"),
        &[Code::FileDoubled],
    ),
    ("truncate a file", |t| changed(t.file(), truncate), &[Code::FileWrongLength]),
    (
        "append to a file",
        |t| changed(t.file(), |path| edit_bytes(path, |bytes| bytes.push(0))),
        &[Code::FileWrongLength],
    ),
    ("empty a file", |t| changed(t.file(), |path| edit_bytes(path, Vec::clear)), &[Code::FileWrongLength]),
    ("rename a file", |t| moved(&t.file(), "part-renamed.parquet"), &[Code::FileMoved]),
    (
        "move a file into another hive partition",
        |t| moved(&t.file(), "../day=2026-01-01/x.parquet"),
        &[Code::FileMoved],
    ),
    (
        "overwrite a file in its length",
        |t| changed(t.file(), |path| edit_bytes(path, |bytes| bytes.fill(7))),
        &[Code::FileUnreadable],
    ),
    ("change what a footer says", |t| changed(t.file(), flip_the_footer), &[Code::FooterContradicts]),
    (
        "put a file of something else in its place",
        |t| changed(t.file(), |path| fs::write(path, b"x").unwrap()),
        &[Code::FileWrongLength],
    ),
    ("put two files in each other's place", |t| swapped(&t.below("table")), &[Code::FooterContradicts]),
    (
        "put another program's file into the table",
        |t| written(t, "table/day=1/foreign.parquet"),
        &[Code::FileUnreadable],
    ),
    ("delete dead letters", |t| remove(t.letters()), &[Code::FileMissing]),
    ("copy dead letters", |t| copied(&t.letters(), "part-copy.parquet"), &[Code::FileDoubled]),
    ("copy dead letters into the table", |t| copied(&t.letters(), "../../table/x.parquet"), &[Code::FileUnknown]),
    ("truncate dead letters", |t| changed(t.letters(), truncate), &[Code::FileWrongLength]),
    ("rename dead letters", |t| moved(&t.letters(), "part-renamed.parquet"), &[Code::FileMoved]),
    ("delete a record", |t| remove(t.record()), &[Code::RecordMissing]),
    ("delete the newest record", |t| remove(t.newest()), &[Code::RecordMissing]),
    (
        "edit a record's range",
        |t| changed(t.record(), |path| edit(path, "\"next\": ", "\"next\": 1")),
        &[Code::RecordDamaged],
    ),
    (
        "edit a record's counts",
        |t| changed(t.record(), |path| edit(path, "\"filtered\": 2", "\"filtered\": 3")),
        &[Code::RecordDamaged],
    ),
    (
        "edit who made a record's rows",
        |t| changed(t.newest(), |path| edit(path, "00ff", "00fe")),
        &[Code::RecordDamaged],
    ),
    ("truncate a record", |t| changed(t.record(), truncate), &[Code::RecordDamaged]),
    ("copy a record to a lower number", |t| copied(&t.record(), "00000000000000000001.json"), &[Code::RecordDamaged]),
    ("copy a record to a higher number", |t| copied(&t.record(), "00000000000000000099.json"), &[Code::RecordDamaged]),
    (
        "put the record of another topic partition in its place",
        |t| {
            let record = t.newest();
            let other = PathBuf::from(record.to_string_lossy().replace("/events/0/", "/events/1/"));
            fs::copy(other, &record).unwrap();
            record
        },
        &[Code::RecordForeign],
    ),
    ("delete an archive file", |t| remove(t.archive()), &[Code::RecordMissing]),
    (
        "edit an archive file",
        |t| changed(t.archive(), |path| edit(path, "\"rows\":3", "\"rows\":4")),
        &[Code::ArchiveDamaged],
    ),
    (
        "delete a line of an archive file",
        |t| {
            changed(t.archive(), |path| {
                let text = fs::read_to_string(path).unwrap();
                let lines: Vec<&str> =
                    text.lines().enumerate().filter(|(i, _)| *i != 1).map(|(_, line)| line).collect();
                fs::write(path, lines.join("\n")).unwrap();
            })
        },
        &[Code::ArchiveDamaged, Code::RecordMissing],
    ),
    (
        "delete all checkpoints of a topic partition",
        |t| {
            fs::remove_dir_all(t.directory.join("checkpoints/events/0")).unwrap();
            PathBuf::new()
        },
        &[Code::CheckpointTooOld, Code::FileUnknown],
    ),
    (
        "bring an older copy of the checkpoints back",
        |t| {
            fs::remove_dir_all(t.directory.join("checkpoints")).unwrap();
            copy(&t.directory.join("older"), &t.directory.join("checkpoints"));
            t.directory.join("checkpoints/events/0")
        },
        &[Code::CheckpointTooOld, Code::FileUnknown],
    ),
];

fn remove(path: PathBuf) -> PathBuf {
    fs::remove_file(&path).expect("it can be removed");
    path
}

fn changed(path: PathBuf, change: impl FnOnce(&Path)) -> PathBuf {
    change(&path);
    path
}

fn edit_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("bytes");
    change(&mut bytes);
    fs::write(path, bytes).expect("it can be written");
}

fn destination(path: &Path, name: &str) -> PathBuf {
    let mut target = path.parent().expect("a directory").to_owned();
    for part in name.split('/') {
        if part == ".." {
            target.pop();
        } else {
            target.push(part);
        }
    }
    fs::create_dir_all(target.parent().expect("a directory")).expect("a directory");
    target
}

fn copied(path: &Path, name: &str) -> PathBuf {
    let target = destination(path, name);
    fs::copy(path, &target).expect("it can be copied");
    target
}

fn moved(path: &Path, name: &str) -> PathBuf {
    let target = destination(path, name);
    fs::rename(path, &target).expect("it can be renamed");
    target
}

/// Two files of one length change their places.
fn swapped(all: &[PathBuf]) -> PathBuf {
    let length = |path: &PathBuf| fs::metadata(path).expect("a file").len();
    let first = &all[0];
    let second = all[1..].iter().find(|other| length(other) == length(first)).expect("another file of that length");
    let aside = named(first, "aside");
    fs::rename(first, &aside).expect("it can be renamed");
    fs::rename(second, first).expect("it can be renamed");
    fs::rename(&aside, second).expect("it can be renamed");
    first.clone()
}

fn written(table: &Broken, name: &str) -> PathBuf {
    let path = table.directory.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(&path, b"PAR1 and nothing that follows PAR1").expect("it can be written");
    path
}

#[test]
fn every_corruption_is_found_and_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let (original, broken) = (directory.path().join("original"), directory.path().join("table"));
    let subject = writer::subject(&broken);
    super::block_on(async {
        let older = async {
            writer::table(&subject).await;
            copy(&broken.join("checkpoints"), &broken.join("older"));
        };
        older.await;
        for partition in 0..2 {
            let mut taken = writer::take_over(&writer::chain(&subject, partition)).await;
            writer::write(&mut taken).await;
            writer::write(&mut taken).await;
        }
    });
    copy(&broken, &original);
    let report = look(&subject);
    assert!(report.clean && report.notes.is_empty(), "{:#?}{:#?}", report.findings, report.notes);
    assert_eq!(report.total.rows.messages, 2 * 11 * 10, "eleven ranges of ten messages");
    assert_eq!(report.total.rows.written, 2 * 11 * 6);
    assert_eq!((report.total.files, report.topic_partitions[0].archived > 0), (2 * 11 * 3, true));
    for (name, corrupt, wanted) in CORRUPTIONS {
        let path = corrupt(&Broken { directory: broken.clone() });
        let report = look(&subject);
        let found = codes(&report);
        assert!(!report.clean, "{name}: nothing was found");
        for code in *wanted {
            assert!(found.contains(code), "{name}: {} is not among {:#?}", code.name(), report.findings);
        }
        let path = path.to_string_lossy();
        let is_named = report.findings.iter().any(|finding| {
            path.starts_with(&finding.path) || finding.path.starts_with(&*path) || finding.message.contains(&*path)
        });
        assert!(is_named, "{name}: {path} is not named by {:#?}", report.findings);
        fs::remove_dir_all(&broken).expect("it can be removed");
        copy(&original, &broken);
    }
    assert!(look(&subject).clean, "as it was");
}

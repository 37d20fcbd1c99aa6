//! The ledger after a run: from the records and the archive alone, every offset is accounted for exactly once, counts
//! close, and every published file is named once.

use std::collections::{BTreeMap, BTreeSet};

use wasmill::checkpoint::{ChainName, Id, Record, RecordKind, RowCounts, newest, parse_name};

use super::books::{Books, Kind, Violation};
use super::disk::Disk;

/// All records of one topic partition.
struct Records {
    /// In the directory and in the archive.
    by_id: BTreeMap<Id, Record>,
    archived: BTreeSet<Id>,
    newest: Record,
}

/// Checks the chain of each topic partition.
pub(super) fn check(disk: &Disk, books: &Books, topic_partitions: i32) -> Result<(), Violation> {
    let (mut named, mut replayed) = (BTreeSet::new(), BTreeSet::new());
    for partition in 0..topic_partitions {
        let wrong = |what: String| Violation::new(Kind::Ledger, format!("events/{partition}: {what}"));
        let records = read(disk, partition).map_err(wrong)?;
        let chain = chain(&records).map_err(wrong)?;
        if let Some(stray) = records.archived.iter().find(|id| !chain.iter().any(|record| record.id == **id)) {
            let sequence = records.by_id[stray].sequence;
            return Err(wrong(format!("the archive holds record {sequence} ({stray}), which is void")));
        }
        for record in chain.iter().rev() {
            check_counts(record, books, &mut replayed).map_err(wrong)?;
            for file in record.files.iter().chain(&record.dead_letter_files) {
                if !named.insert(file.target.clone()) {
                    return Err(wrong(format!("two records name {}", file.target)));
                }
            }
        }
        let (end, next) = (books.end(partition), records.newest.next);
        if next < end {
            return Err(wrong(format!("the chain ends at {next}, the messages at {end}")));
        }
    }
    let published = books.published();
    if let Some(path) = published.symmetric_difference(&named).next() {
        let text = format!("{path} is published or named by a record that counts, but not both");
        return Err(Violation::new(Kind::Ledger, text));
    }
    check_letters(&named, &replayed, books).map_err(|what| Violation::new(Kind::Ledger, what))
}

/// A dead letter is known by its file and its number in it.
type Letter = (String, u64);

/// What the records leave of the dead letters must be what readers saw last as such, each once.
fn check_letters(named: &BTreeSet<String>, replayed: &BTreeSet<Letter>, books: &Books) -> Result<(), String> {
    let mut left = BTreeSet::new();
    for path in named {
        for (row, message) in (0..).zip(books.letters(path)) {
            if !replayed.contains(&(path.clone(), row)) && !left.insert(message) {
                return Err(format!("two dead letters of {message:?} are left"));
            }
        }
    }
    match left.symmetric_difference(&books.dead()).next() {
        Some(message) => Err(format!("{message:?} is a dead letter by the records or by what was seen, but not both")),
        None => Ok(()),
    }
}

/// A replay: its letters exist, none was replayed before, and the counts are those of what they turn into.
fn check_replay(record: &Record, books: &Books, replayed: &mut BTreeSet<Letter>) -> Result<(), String> {
    let mut messages = Vec::new();
    for letters in &record.replayed {
        let held = books.letters(&letters.file);
        for row in letters.rows.iter().flat_map(|(first, end)| *first..*end) {
            let message = held.get(row as usize);
            messages.push(*message.ok_or(format!("{} has no dead letter {row}", letters.file))?);
            if !replayed.insert((letters.file.clone(), row)) {
                return Err(format!(
                    "record {}: dead letter {row} of {} is replayed twice",
                    record.sequence, letters.file
                ));
            }
        }
    }
    let (rows, dead_letters, filtered) = books.outcomes_of_replay(&messages);
    compare(record, (messages.len() as u64, rows, filtered, dead_letters))
}

fn compare(record: &Record, wanted: (u64, u64, u64, u64)) -> Result<(), String> {
    let counted = record.rows;
    let found = (counted.messages, counted.written, counted.filtered, counted.dead_lettered);
    if found == wanted {
        return Ok(());
    }
    Err(format!("record {} counts {found:?}, its messages {wanted:?}", record.sequence))
}

fn read(disk: &Disk, partition: i32) -> Result<Records, String> {
    let directory = format!("/checkpoints/events/{partition}/");
    let contents = disk.contents.lock().unwrap();
    let (mut by_id, mut archived) = (BTreeMap::new(), BTreeSet::new());
    let mut names = Vec::new();
    for (path, file) in contents.files.range(directory.clone()..) {
        let Some(name) = path.strip_prefix(&directory) else { break };
        if name.starts_with("archive/") {
            for line in file.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let record: Record = serde_json::from_slice(line).map_err(|error| format!("{path}: {error}"))?;
                archived.insert(record.id);
                by_id.insert(record.id, record);
            }
        } else if let Some(ChainName::Record(sequence)) = parse_name(name) {
            let record = Record::from_bytes(sequence, &file.bytes).map_err(|error| format!("{path}: {error}"))?;
            names.push(name);
            by_id.insert(record.id, record);
        }
    }
    let newest = newest(names.iter().copied()).ok_or("there is no record")?;
    let is_newest = |record: &&Record| record.sequence == newest && !archived.contains(&record.id);
    let newest = by_id.values().find(is_newest).cloned().ok_or("the newest record is in the archive")?;
    Ok(Records { by_id, archived, newest })
}

/// The records that count, from the newest to the first.
fn chain(records: &Records) -> Result<Vec<Record>, String> {
    let mut chain = vec![records.newest.clone()];
    let mut record = &records.newest;
    while let Some(predecessor) = record.predecessor {
        let before = records.by_id.get(&predecessor);
        let before = before.ok_or(format!("record {} is gone ({predecessor})", record.sequence.wrapping_sub(1)))?;
        if before.next != record.start || before.sequence + 1 != record.sequence {
            return Err(format!(
                "record {} ends at {}, but record {} starts at {}",
                before.sequence, before.next, record.sequence, record.start
            ));
        }
        chain.push(before.clone());
        record = before;
    }
    if record.start == 0 { Ok(chain) } else { Err(format!("the first record starts at {}", record.start)) }
}

fn check_counts(record: &Record, books: &Books, replayed: &mut BTreeSet<Letter>) -> Result<(), String> {
    let (partition, start, next) = (record.topic_partition, record.start, record.next);
    if record.kind == RecordKind::Replayed {
        return check_replay(record, books, replayed);
    }
    if record.kind == RecordKind::Gap && record.rows == RowCounts::default() {
        return books.check_gap(partition, start, next);
    }
    if let Some(lost) = books.lost(partition, start, next) {
        return Err(format!("record {} accounts for {lost:?}, which nobody saw", record.sequence));
    }
    let (rows, dead_letters, filtered) = books.outcomes(partition, start, next);
    compare(record, (rows + dead_letters + filtered, rows, filtered, dead_letters))
}

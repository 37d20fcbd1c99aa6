//! Files against records: missing, moved, doubled, unknown, of wrong length, contradicting. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::facts::{Facts, FileFact, Footer, Origin, Part};
use super::findings::{Code, Finding};
use super::judge::accepted;
use super::view::ChainView;
use crate::checkpoint::{FileRecord, Record, RecordKind};
use crate::source::TopicPartition;
use crate::table::dead_letters::expiry::is_expired;

/// A file as its record tells of it.
#[derive(Clone, Copy)]
struct Named<'a> {
    topic_partition: &'a TopicPartition,
    record: &'a Record,
    file: &'a FileRecord,
    /// Its number among the record's files of its part.
    number: usize,
    part: Part,
}

/// What the footer of a file and a record have in common, and no other file has.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    part: Part,
    take_over: String,
    start: String,
    topic: String,
    topic_partition: String,
    file: String,
    /// Of a replay only: a take-over may write several from the same offset.
    replay: String,
    bytes: u64,
}

/// Files of one topic partition that are there.
#[derive(Debug, Default)]
pub(super) struct FileCounts {
    pub(super) files: u64,
    pub(super) dead_letter_files: u64,
    pub(super) bytes: u64,
}

/// Judges all files.
pub(super) struct FileJudge<'a> {
    facts: &'a Facts,
    views: &'a BTreeMap<&'a TopicPartition, ChainView<'a>>,
    by_path: HashMap<(Part, &'a str), Named<'a>>,
    by_identity: HashMap<Identity, Named<'a>>,
    /// Targets that are there, or whose absence was told already.
    seen: HashSet<(Part, &'a str)>,
    pub(super) counts: BTreeMap<TopicPartition, FileCounts>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> FileJudge<'a> {
    pub(super) fn new(facts: &'a Facts, views: &'a BTreeMap<&'a TopicPartition, ChainView<'a>>) -> Self {
        let mut judge = Self {
            facts,
            views,
            by_path: HashMap::new(),
            by_identity: HashMap::new(),
            seen: HashSet::new(),
            counts: BTreeMap::new(),
            findings: Vec::new(),
        };
        for (topic_partition, view) in views {
            for record in view.counting.values() {
                for part in [Part::Table, Part::DeadLetters] {
                    for (number, file) in part.files(record).iter().enumerate() {
                        let named = Named { topic_partition, record, file, number, part };
                        judge.by_path.insert((part, &file.target), named);
                        judge.by_identity.insert(named.identity(), named);
                    }
                }
            }
        }
        judge
    }

    pub(super) fn judge(&mut self) {
        let facts = self.facts;
        let mut strangers = Vec::new();
        for file in facts.files.iter().filter(|file| file.footer != Footer::Gone) {
            match self.by_path.get(&(file.part, file.path.as_str())).copied() {
                Some(named) => {
                    self.seen.insert((file.part, &file.path));
                    self.known(file, named);
                }
                None => strangers.push(file),
            }
        }
        let mut too_old: BTreeMap<TopicPartition, (u64, i64)> = BTreeMap::new();
        for file in strangers {
            self.stranger(file, &mut too_old);
        }
        for (topic_partition, (files, next)) in too_old {
            self.too_old(topic_partition, files, next);
        }
        self.missing();
    }

    fn find(&mut self, code: Code, topic_partition: Option<&TopicPartition>, path: &str, message: String) {
        let topic_partition = topic_partition.map(ToString::to_string).unwrap_or_default();
        self.findings.push(Finding { code, topic_partition, path: path.to_owned(), message });
    }

    /// A file that a record names.
    fn known(&mut self, file: &FileFact, named: Named<'_>) {
        let counts = self.counts.entry(named.topic_partition.clone()).or_default();
        match file.part {
            Part::Table => counts.files += 1,
            Part::DeadLetters => counts.dead_letter_files += 1,
        }
        counts.bytes += file.bytes;
        let (of, sequence) = (Some(named.topic_partition), named.record.sequence);
        if file.bytes != named.file.bytes {
            let message = format!("it has {} bytes, record {sequence} says {}", file.bytes, named.file.bytes);
            self.find(Code::FileWrongLength, of, &file.path, message);
            return;
        }
        match &file.footer {
            Footer::Ours(origin) => {
                for message in contradictions(origin, named) {
                    self.find(Code::FooterContradicts, of, &file.path, message);
                }
            }
            Footer::Foreign => {
                let message = format!("it was not written by wasmill, and record {sequence} names it");
                self.find(Code::FooterContradicts, of, &file.path, message);
            }
            Footer::Damaged(why) => self.find(Code::FileUnreadable, of, &file.path, why.clone()),
            Footer::Gone => {}
        }
        if let Some(message) = wrong_rows(file, named) {
            self.find(Code::LettersContradict, of, &file.path, message);
        }
    }

    /// A file that no record names.
    fn stranger(&mut self, file: &'a FileFact, too_old: &mut BTreeMap<TopicPartition, (u64, i64)>) {
        let origin = match &file.footer {
            Footer::Ours(origin) => origin,
            Footer::Foreign => {
                if !self.facts.foreign_files {
                    self.find(Code::FileForeign, None, &file.path, "it was not written by wasmill".to_owned());
                }
                return;
            }
            Footer::Damaged(why) => {
                let message = format!("no record names it, and it cannot be read: {why}");
                self.find(Code::FileUnreadable, None, &file.path, message);
                return;
            }
            Footer::Gone => return,
        };
        if origin.get("pipeline") != self.facts.pipeline {
            if !self.facts.foreign_files {
                let message = format!("it was written by pipeline `{}`", origin.get("pipeline"));
                self.find(Code::FileForeign, None, &file.path, message);
            }
            return;
        }
        let of = origin.topic_partition();
        if let Some(named) = self.by_identity.get(&identity_of(file, origin)).copied() {
            let (code, message) = self.moved_or_doubled(named);
            self.find(code, of.as_ref(), &file.path, message);
            return;
        }
        let view = of.as_ref().and_then(|of| self.views.get(of));
        let (Some(of), Some(next)) = (of, origin.next()) else {
            let message = "its footer does not say which offsets it holds".to_owned();
            self.find(Code::FileUnknown, None, &file.path, message);
            return;
        };
        if view.is_none_or(|view| view.next().is_none_or(|reached| next > reached)) {
            let (files, furthest) = too_old.entry(of.clone()).or_insert((0, next));
            *files += 1;
            *furthest = (*furthest).max(next);
        }
        // A record that cannot be read may name it.
        if view.is_some_and(|view| view.unreadable) {
            return;
        }
        let void = view.and_then(|view| {
            let names = |record: &&&Record| file.part.files(record).iter().any(|named| named.target == file.path);
            view.void.iter().find(names).map(|record| record.sequence)
        });
        let by = match void {
            Some(sequence) => format!("only record {sequence} names it, which never counted"),
            None => "no record that counts names it".to_owned(),
        };
        let message = format!("{by}; it holds {} rows of offsets {}..{next}", origin.rows, origin.get("start"));
        self.find(Code::FileUnknown, Some(&of), &file.path, message);
    }

    fn moved_or_doubled(&mut self, named: Named<'a>) -> (Code, String) {
        let target = named.file.target.as_str();
        // Whether its target is there was settled when the known files were gone through.
        if self.seen.insert((named.part, target)) {
            (Code::FileMoved, format!("it is the file of record {} that belongs to {target}", named.record.sequence))
        } else {
            (Code::FileDoubled, format!("its {} rows are in {target}, too", named.file.rows))
        }
    }

    fn too_old(&mut self, of: TopicPartition, files: u64, furthest: i64) {
        let view = self.views.get(&of);
        let directory = self.facts.chains.get(&of).map_or("", |chain| chain.directory.as_str());
        if view.is_some_and(|view| view.unreadable) {
            return;
        }
        let reached = match view.and_then(ChainView::next) {
            Some(next) => format!("the newest record ends before offset {next}"),
            None => "there is no record".to_owned(),
        };
        let message = format!("{reached}, and {files} files that no record names reach up to offset {furthest}");
        self.find(Code::CheckpointTooOld, Some(&of), directory, message);
    }

    /// Whether a file of dead letters is old enough to have been removed.
    fn has_expired(&self, part: Part, file: &FileRecord) -> bool {
        let day = file.target.rsplit('/').nth(1).unwrap_or_default();
        part == Part::DeadLetters && self.facts.first_kept.as_ref().is_some_and(|kept| is_expired(day, kept))
    }

    /// Files that were published for certain and are not there.
    fn missing(&mut self) {
        let mut missing: Vec<Named<'a>> = Vec::new();
        for (topic_partition, view) in self.views {
            let accepted: BTreeSet<&str> = accepted(view);
            let chain = &self.facts.chains[*topic_partition];
            for record in view.counting.values().filter(|record| view.was_settled(chain, record)) {
                for part in [Part::Table, Part::DeadLetters] {
                    for (number, file) in part.files(record).iter().enumerate() {
                        let is_there = self.seen.contains(&(part, file.target.as_str()));
                        let may_be_gone = accepted.contains(file.target.as_str()) || self.has_expired(part, file);
                        if !is_there && !may_be_gone {
                            missing.push(Named { topic_partition, record, file, number, part });
                        }
                    }
                }
            }
        }
        for Named { topic_partition, record, file, .. } in missing {
            let message = format!(
                "record {} (offsets {}..{}) names it with {} rows",
                record.sequence, record.start, record.next, file.rows
            );
            self.find(Code::FileMissing, Some(topic_partition), &file.target, message);
        }
    }
}

impl Named<'_> {
    fn identity(&self) -> Identity {
        Identity {
            part: self.part,
            take_over: self.record.take_over.to_string(),
            start: self.record.start.to_string(),
            topic: self.record.topic.clone(),
            topic_partition: self.record.topic_partition.to_string(),
            file: self.number.to_string(),
            replay: replay_of(self.record),
            bytes: self.file.bytes,
        }
    }
}

/// What the footers of a record's files say of a replay: its number, or nothing.
fn replay_of(record: &Record) -> String {
    if record.kind == RecordKind::Replayed { record.sequence.to_string() } else { String::new() }
}

fn identity_of(file: &FileFact, origin: &Origin) -> Identity {
    let own = |key: &str| origin.get(key).to_owned();
    Identity {
        part: file.part,
        take_over: own("take_over"),
        start: own("start"),
        topic: own("topic"),
        topic_partition: own("topic_partition"),
        file: own("file"),
        replay: own("replay"),
        bytes: file.bytes,
    }
}

/// What the footer says otherwise than the record.
fn contradictions(origin: &Origin, named: Named<'_>) -> Vec<String> {
    let record = named.record;
    let transforms: Vec<String> = record
        .deployment
        .transforms
        .iter()
        .map(|transform| format!("{}@{}", transform.name, transform.version))
        .collect();
    let wanted = [
        ("pipeline", record.pipeline.clone()),
        ("topic", record.topic.clone()),
        ("topic_partition", record.topic_partition.to_string()),
        ("start", record.start.to_string()),
        ("next", record.next.to_string()),
        ("file", named.number.to_string()),
        ("files", named.part.files(record).len().to_string()),
        ("deployment", record.deployment.number.to_string()),
        ("transforms", transforms.join(",")),
        ("take_over", record.take_over.to_string()),
        ("replay", replay_of(record)),
    ];
    let mut found: Vec<String> = wanted
        .iter()
        .filter(|(key, value)| origin.get(key) != value)
        .map(|(key, value)| format!("{key} is `{}`, record {} says `{value}`", origin.get(key), record.sequence))
        .collect();
    if origin.rows != named.file.rows {
        found.push(format!("it holds {} rows, record {} says {}", origin.rows, record.sequence, named.file.rows));
    }
    found
}

/// What its rows say otherwise than its record.
fn wrong_rows(file: &FileFact, named: Named<'_>) -> Option<String> {
    let rows = file.rows.as_ref()?;
    if let Some(why) = &rows.damaged {
        return Some(format!("its rows cannot be read: {why}"));
    }
    if rows.count != named.file.rows {
        return Some(format!("{} rows were read, its record says {}", rows.count, named.file.rows));
    }
    let record = named.record;
    if record.kind == RecordKind::Replayed {
        // It holds any offsets that were dead letters.
        let foreign = rows.offsets.keys().find(|of| *of != named.topic_partition)?;
        return Some(format!("it holds offsets of {foreign}, its record is of {}", named.topic_partition));
    }
    rows.offsets.iter().find_map(|(of, (least, most))| {
        let fits = of == named.topic_partition && *least >= record.start && *most < record.next;
        let range = format!("{}..{} of {}", record.start, record.next, named.topic_partition);
        (!fits).then(|| format!("it holds offsets {least} to {most} of {of}, its record is of {range}"))
    })
}

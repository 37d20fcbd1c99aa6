//! One chain as it stands: which of its records count, which are void, what is missing. Pure.
//!
//! Records count from the newest backwards, each naming its predecessor by id. What lies under the same number with another
//! id never counted.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::ChainFacts;
use super::findings::{Code, Finding};
use crate::checkpoint::{BadRecord, ChainName, Id, Record, mark_name, newest, parse_name, record_name};
use crate::source::TopicPartition;

/// A chain, judged by itself.
#[derive(Debug, Default)]
pub struct ChainView<'a> {
    /// The records that count, by number.
    pub counting: BTreeMap<u64, &'a Record>,
    /// Records that never counted.
    pub void: Vec<&'a Record>,
    /// Offsets of records that are missing or unreadable, as far as their neighbours tell.
    pub unknown: Vec<(i64, i64)>,
    /// Records that cannot be read: what they name is not known.
    pub unreadable: bool,
    /// How many of the counting ones were read from the archive.
    pub archived: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A record, and whether the archive holds it.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    record: &'a Record,
    archived: bool,
}

impl<'a> ChainView<'a> {
    /// Judges a chain.
    pub fn new(pipeline: &str, topic_partition: &TopicPartition, facts: &'a ChainFacts) -> Self {
        let mut view = Self::default();
        let mut judging = Judging { topic_partition, facts, view: &mut view };
        let candidates = judging.candidates();
        judging.follow(&candidates);
        judging.orphaned_marks();
        judging.owners(pipeline);
        view
    }

    /// The newest record that counts.
    pub fn newest(&self) -> Option<&'a Record> {
        self.counting.last_key_value().map(|(_, record)| *record)
    }

    /// The next offset to read.
    pub fn next(&self) -> Option<i64> {
        self.newest().map(|record| record.next)
    }

    /// The fence and id of the take-over that wrote the newest record at the first look; files below its fence are of no
    /// use any more. `None`: its fence is not known for certain.
    pub fn fence(&self, facts: &ChainFacts) -> Option<(u64, Id)> {
        let first = newest(facts.names[0].iter().map(String::as_str))?;
        let take_over = self.counting.range(..=first).next_back()?.1.take_over;
        let (sequence, fence) = self.counting.iter().find(|(_, record)| record.take_over == take_over)?;
        fence.is_fence().then_some((*sequence, take_over))
    }

    /// Whether all files of a record were published for certain at the first look.
    pub fn was_settled(&self, facts: &ChainFacts, record: &Record) -> bool {
        let names = &facts.names[0];
        let first = newest(names.iter().map(String::as_str));
        first.is_some_and(|first| first > record.sequence) || names.contains(&mark_name(record.sequence, record.id))
    }
}

struct Judging<'a, 'b> {
    topic_partition: &'b TopicPartition,
    facts: &'a ChainFacts,
    view: &'b mut ChainView<'a>,
}

impl<'a> Judging<'a, '_> {
    fn find(&mut self, code: Code, name: &str, message: String) {
        let path =
            if name.is_empty() { self.facts.directory.clone() } else { format!("{}/{name}", self.facts.directory) };
        let topic_partition = self.topic_partition.to_string();
        self.view.findings.push(Finding { code, topic_partition, path, message });
    }

    /// All records by number, those of the archive first; says which cannot be read.
    fn candidates(&mut self) -> BTreeMap<u64, Vec<Candidate<'a>>> {
        let mut found: BTreeMap<u64, Vec<Candidate<'a>>> = BTreeMap::new();
        let facts = self.facts;
        for (name, lines) in &facts.archives {
            for (line, record) in lines.iter().enumerate() {
                match record {
                    Ok(record) => add(&mut found, Candidate { record, archived: true }),
                    Err(bad) => {
                        self.view.unreadable = true;
                        let name = format!("archive/{name}");
                        self.find(Code::ArchiveDamaged, &name, format!("line {}: {bad}", line + 1));
                    }
                }
            }
            self.check_archive(name, lines.iter().filter_map(|record| record.as_ref().ok()));
        }
        for (sequence, record) in &facts.records {
            match record {
                Ok(record) => add(&mut found, Candidate { record, archived: false }),
                Err(bad) => {
                    self.view.unreadable = true;
                    let code = match bad {
                        BadRecord::UnknownFormat(_) => Code::RecordUnknownFormat,
                        _ => Code::RecordDamaged,
                    };
                    self.find(code, &record_name(*sequence), bad.to_string());
                }
            }
        }
        found
    }

    /// An archive file holds what its name says, without a hole.
    fn check_archive(&mut self, name: &str, records: impl Iterator<Item = &'a Record>) {
        let held: BTreeSet<u64> = records.map(|record| record.sequence).collect();
        let numbers = name.strip_suffix(".jsonl").and_then(|name| name.split_once('-'));
        let range = numbers.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
        let named = |(first, last): (u64, u64)| {
            held.first() == Some(&first) && held.last() == Some(&last) && held.len() as u64 == last - first + 1
        };
        let damaged = self.view.findings.iter().any(|finding| finding.path.ends_with(name));
        if !damaged && !range.is_some_and(named) {
            let message = format!("it holds {} records, and its name says others", held.len());
            self.find(Code::ArchiveDamaged, &format!("archive/{name}"), message);
        }
    }

    /// Follows the predecessors from the newest record down to record 0.
    fn follow(&mut self, candidates: &BTreeMap<u64, Vec<Candidate<'a>>>) {
        let mut above: Option<&'a Record> = None;
        for (sequence, found) in candidates.iter().rev() {
            let expected = match above {
                Some(record) if record.sequence == sequence + 1 => record.predecessor,
                _ => None,
            };
            let fitting = found.iter().find(|candidate| expected == Some(candidate.record.id));
            let Some(picked) = fitting.or(found.first()) else { continue };
            if let Some(above) = above {
                if expected.is_none() {
                    self.hole(*sequence + 1, above.sequence, (picked.record.next, above.start));
                } else {
                    self.check_fit(picked.record, above, fitting.is_some());
                }
            }
            let others = found.iter().filter(|other| other.record.id != picked.record.id);
            self.view.void.extend(others.map(|other| other.record));
            if picked.archived {
                self.view.archived += 1;
            }
            self.view.counting.insert(*sequence, picked.record);
            above = Some(picked.record);
        }
        if let Some(lowest) = above.filter(|record| record.sequence > 0) {
            self.hole(0, lowest.sequence, (lowest.start, lowest.start));
        }
    }

    /// Records `from..to` are not there. Those that lie there unreadable were told already.
    fn hole(&mut self, from: u64, to: u64, offsets: (i64, i64)) {
        self.view.unknown.push(offsets);
        let told = self.facts.records.range(from..to).count() as u64;
        if told == to - from {
            return;
        }
        let which = if to - from == 1 { format!("record {from}") } else { format!("records {from} to {}", to - 1) };
        let lost = match offsets {
            (start, next) if start < next => format!(": offsets {start}..{next} are accounted for nowhere else"),
            _ => String::new(),
        };
        let name = if to - from == 1 { record_name(from) } else { String::new() };
        self.find(Code::RecordMissing, &name, format!("{which} is in neither the chain nor its archive{lost}"));
    }

    fn check_fit(&mut self, record: &Record, above: &Record, names_it: bool) {
        let name = record_name(above.sequence);
        if !names_it {
            let message = format!("it names another record {} as its predecessor than the one there", record.sequence);
            self.find(Code::ChainBroken, &name, message);
        } else if record.next != above.start {
            let message =
                format!("it starts at {}, and record {} ends before {}", above.start, record.sequence, record.next);
            self.find(Code::ChainBroken, &name, message);
        }
    }

    /// A mark of a higher number than any record: the newest record was deleted.
    fn orphaned_marks(&mut self) {
        let facts = self.facts;
        let highest = |names: &[String]| newest(names.iter().map(String::as_str));
        let highest = highest(&facts.names[0]).max(highest(&facts.names[1]));
        let highest = highest.max(self.view.counting.last_key_value().map(|(sequence, _)| *sequence));
        for name in &facts.names[0] {
            if let Some(ChainName::Mark(sequence, id)) = parse_name(name)
                && highest.is_none_or(|highest| sequence > highest)
            {
                let message = format!("its mark {name} is there, and the record (id {id}) is not");
                self.find(Code::RecordMissing, &record_name(sequence), message);
            }
        }
    }

    /// All records are of this pipeline, this topic partition, and one topic.
    fn owners(&mut self, pipeline: &str) {
        let identity = self.view.newest().map(|record| record.topic_identity.clone());
        let foreign: Vec<(u64, String)> = self
            .view
            .counting
            .values()
            .filter_map(|record| {
                let is_here = *record.topic == *self.topic_partition.topic
                    && record.topic_partition == self.topic_partition.partition;
                let why = if record.pipeline != pipeline {
                    format!("it is of pipeline `{}`", record.pipeline)
                } else if !is_here {
                    format!("it is of {}/{}", record.topic, record.topic_partition)
                } else if Some(&record.topic_identity) != identity.as_ref() {
                    format!("it was made of another topic of that name (`{}`)", record.topic_identity)
                } else {
                    return None;
                };
                Some((record.sequence, why))
            })
            .collect();
        for (sequence, why) in foreign {
            self.find(Code::RecordForeign, &record_name(sequence), why);
        }
    }
}

/// A record that is archived and not deleted yet comes twice.
fn add<'a>(found: &mut BTreeMap<u64, Vec<Candidate<'a>>>, candidate: Candidate<'a>) {
    let there = found.entry(candidate.record.sequence).or_default();
    if there.iter().all(|other| other.record.id != candidate.record.id) {
        there.push(candidate);
    }
}

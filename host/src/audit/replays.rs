//! The dead letters of one chain, and which of them were replayed. Pure.
//!
//! A letter is known by its file's target and its number in that file. Each target is named by one record that counts, so
//! that is exact, and as records never change it stays so, also in the archive.

use std::collections::BTreeMap;

use super::view::ChainView;
use crate::checkpoint::{FileRecord, Record, RecordKind};

/// What the records that count say of dead letters.
#[derive(Debug, Default)]
pub struct Replays<'a> {
    /// Files of dead letters, by their targets.
    pub files: BTreeMap<&'a str, Set<'a>>,
    /// Replays that claim what they cannot: the record, and why.
    pub contradictions: Vec<(&'a Record, String)>,
}

/// The dead letters of one file.
#[derive(Debug)]
pub struct Set<'a> {
    /// The record that set them aside.
    pub record: &'a Record,
    /// Their file.
    pub file: &'a FileRecord,
    /// Which rows were replayed since, as ranges in order, apart from each other.
    pub replayed: Vec<(u64, u64)>,
}

impl<'a> Replays<'a> {
    /// Goes through the records that count, from the first to the last.
    pub fn new(view: &ChainView<'a>) -> Self {
        let mut replays = Self::default();
        for record in view.counting.values() {
            if record.kind == RecordKind::Replayed {
                // Where records are missing, one of them may have named the file.
                replays.claim(record, view.unreadable || !view.unknown.is_empty());
            }
            for file in &record.dead_letter_files {
                replays.files.insert(&file.target, Set { record, file, replayed: Vec::new() });
            }
        }
        replays
    }

    fn claim(&mut self, record: &'a Record, has_holes: bool) {
        for letters in &record.replayed {
            let path = letters.file.as_str();
            let Some(set) = self.files.get_mut(path) else {
                if !has_holes {
                    let why = format!("it replays dead letters of {path}, which no earlier record names");
                    self.contradictions.push((record, why));
                }
                continue;
            };
            for &(first, end) in &letters.rows {
                if end > set.file.rows {
                    let why = format!("it replays rows {first}..{end} of {path}, which has {}", set.file.rows);
                    self.contradictions.push((record, why));
                }
                if let Some((from, to)) = set.overlap(first, end) {
                    let why = format!("it replays rows {from}..{to} of {path}, which were replayed before");
                    self.contradictions.push((record, why));
                }
                set.add(first, end);
            }
        }
    }

    /// How many were replayed.
    pub fn replayed(&self) -> u64 {
        self.files.values().flat_map(|set| &set.replayed).map(|(first, end)| end - first).sum()
    }
}

impl Set<'_> {
    /// Whether this row was replayed.
    pub fn is_replayed(&self, row: u64) -> bool {
        holds(&self.replayed, row)
    }

    /// How many rows were not.
    pub fn left(&self) -> u64 {
        let replayed: u64 = self.replayed.iter().map(|(first, end)| end - first).sum();
        self.file.rows.saturating_sub(replayed)
    }

    /// Whether each of these letters is all that became of its message. Where a message may have led to several rows, some of
    /// them may be in the table, and would be there twice if the message was sent once more.
    pub fn is_whole(&self) -> bool {
        let rows = self.record.rows;
        rows.messages == rows.written + rows.filtered + rows.dead_lettered
    }

    fn overlap(&self, first: u64, end: u64) -> Option<(u64, u64)> {
        let known = self.replayed.iter().find(|(from, to)| *from < end && first < *to)?;
        Some((known.0.max(first), known.1.min(end)))
    }

    fn add(&mut self, first: u64, end: u64) {
        self.replayed.push((first, end));
        self.replayed.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.replayed.len());
        for &(first, end) in &self.replayed {
            match joined.last_mut() {
                Some((_, last)) if first <= *last => *last = end.max(*last),
                _ => joined.push((first, end)),
            }
        }
        self.replayed = joined;
    }
}

/// Whether one of the ranges, which are in order, holds the row.
pub fn holds(ranges: &[(u64, u64)], row: u64) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= row);
    after.checked_sub(1).is_some_and(|at| row < ranges[at].1)
}

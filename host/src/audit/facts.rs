//! What an audit looked at, before anything is concluded from it.

use std::collections::BTreeMap;

use crate::checkpoint::{BadRecord, FileRecord, Id, Record};
use crate::source::{KnownOffsets, TopicPartition};

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The pipeline's name, as its file says.
    pub pipeline: String,
    /// Chains by topic partition.
    pub chains: BTreeMap<TopicPartition, ChainFacts>,
    /// Files that lie in the table and the dead letters.
    pub files: Vec<FileFact>,
    /// What the source knows, where it was asked.
    pub source: BTreeMap<TopicPartition, KnownOffsets>,
    /// Whether offsets were read row by row.
    pub deep: bool,
    /// Whether files of other writers are in order.
    pub foreign_files: bool,
    /// The first hive partition of the dead letters that has not expired; `None`: none expires.
    pub first_kept: Option<String>,
}

/// Which of the two tables a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The table.
    Table,
    /// The dead letters.
    DeadLetters,
}

/// One chain, looked at twice: before the files and after them.
#[derive(Debug, Clone, Default)]
pub struct ChainFacts {
    /// Its directory.
    pub directory: String,
    /// Names in the directory at the first and the second look.
    pub names: [Vec<String>; 2],
    /// Every record that was read, by its number; a record never changes, so each is read once.
    pub records: BTreeMap<u64, Result<Record, BadRecord>>,
    /// Every archive file that was read, by its name.
    pub archives: BTreeMap<String, Vec<Result<Record, BadRecord>>>,
    /// Staging directories of its take-overs.
    pub staging: Vec<StagingFact>,
    /// Files of the record that was the newest at the first look, if it had no mark then.
    pub pending: Vec<PendingFact>,
}

/// A take-over's staging directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagingFact {
    /// Its path.
    pub path: String,
    /// Sequence of the take-over's fence.
    pub fence: u64,
    /// The take-over.
    pub take_over: Id,
    /// Paths of the files in it.
    pub files: Vec<String>,
    /// Their bytes together.
    pub bytes: u64,
}

/// Where a file is that was perhaps not published yet: lengths at both places, the staged one looked at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingFact {
    /// The file.
    pub file: FileRecord,
    /// Length of the staged file, if there is one.
    pub staged: Option<u64>,
    /// Length of the published file, if there is one.
    pub target: Option<u64>,
}

/// A file that lies in a table.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFact {
    /// Of which table.
    pub part: Part,
    /// Its absolute path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// What its footer says.
    pub footer: Footer,
    /// What its rows say, where they carry coordinates of messages and were read.
    pub rows: Option<Rows>,
}

/// What a footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Footer {
    /// It was written by wasmill.
    Ours(Origin),
    /// It is a Parquet file of some other program.
    Foreign,
    /// It is no readable Parquet file, and why.
    Damaged(String),
    /// The file vanished between two looks.
    Gone,
}

/// Where the rows of a file come from, as its footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The key-values that wasmill writes, without their prefix.
    pub values: BTreeMap<String, String>,
    /// Rows.
    pub rows: u64,
}

impl Origin {
    /// The value of `key`, empty when it is not there.
    pub fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    /// The topic partition.
    pub fn topic_partition(&self) -> Option<TopicPartition> {
        let partition = self.get("topic_partition").parse().ok()?;
        Some(TopicPartition::new(self.get("topic"), partition))
    }

    /// The end of its range, exclusive.
    pub fn next(&self) -> Option<i64> {
        self.get("next").parse().ok()
    }
}

/// Coordinates of messages in the rows of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many rows were read.
    pub count: u64,
    /// Smallest and largest offset by topic partition.
    pub offsets: BTreeMap<TopicPartition, (i64, i64)>,
    /// Why not all rows were read.
    pub damaged: Option<String>,
}

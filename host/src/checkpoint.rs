//! Records, ranges, names and rules of the checkpoint chain: pure data, no I/O.
//!
//! | word | meaning |
//! |---|---|
//! | record | one file of the chain; creating it is the only commit there is |
//! | range | offsets `start..next` of one topic partition; `next` is the next to read, exclusive: no `+ 1` anywhere |
//! | fence | the first record of a take-over: `start == next`, no files |
//! | newest | the record with the highest sequence in the directory |
//!
//! `start` of a record equals `next` of its predecessor. Offsets have gaps (transactions, compaction), so nothing here
//! ever tests for "last + 1".

mod occasion;
mod protocol;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize, Serializer as _};
use sha2::{Digest, Sha256};

pub use self::occasion::{Occasion, ReplayedLetters};
pub use self::protocol::Protocol;
use crate::source::TopicPartition;

/// The newest format that this program knows. It reads all up to this one, because it writes each record in the lowest format
/// that can express it ([`Record::lowest_format`]), so that hosts of two versions can share a group.
///
/// | format | what it added |
/// |---|---|
/// | 1 | ranges and fences |
/// | 2 | [`RecordKind`]s other than messages, [`Note`]s, and passes after the first |
/// | 3 | [`RecordKind::Replayed`] |
pub const FORMAT: u32 = 3;

/// A random identifier, written as 32 hexadecimal digits. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u128);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let valid = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        let id = valid.then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        id.map(Id).ok_or_else(|| serde::de::Error::custom("expected 32 hexadecimal digits"))
    }
}

/// One record of a chain: `<sequence, 20 digits>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`] of the program that wrote it.
    pub format: u32,
    /// Its number in the chain, also its file name.
    pub sequence: u64,
    /// Its own random id.
    pub id: Id,
    /// The id of record `sequence - 1`; none for record 0.
    pub predecessor: Option<Id>,
    /// The take-over that wrote it.
    pub take_over: Id,
    /// The pipeline that the chain belongs to.
    pub pipeline: String,
    /// The topic.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// What the topic is, beyond its name (Kafka's topic id).
    pub topic_identity: String,
    /// First offset of the range.
    pub start: i64,
    /// The next offset to read (exclusive end of the range).
    pub next: i64,
    /// What became of the rows of the range.
    pub rows: RowCounts,
    /// Files of the table.
    pub files: Vec<FileRecord>,
    /// Files of the dead letters.
    pub dead_letter_files: Vec<FileRecord>,
    /// Which transforms made these rows.
    pub deployment: DeploymentRecord,
    /// Largest event time so far, in microseconds since 1970.
    pub watermark_us: Option<i64>,
    /// When it was written, in milliseconds since 1970. For people only: no rule reads it.
    pub written_at_ms: i64,
    /// What `start..next` stands for.
    #[serde(default, skip_serializing_if = "RecordKind::is_messages")]
    pub kind: RecordKind,
    /// Who wanted it so, where that was an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// How often an operator has moved the position backwards so far. It is a part of later files' names, so that rows which
    /// are read again never meet the names of the first time.
    #[serde(default, skip_serializing_if = "is_first")]
    pub pass: u32,
    /// Which dead letters became the rows of a [`RecordKind::Replayed`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<ReplayedLetters>,
}

fn is_first(pass: &u32) -> bool {
    *pass == 0
}

/// What the range of a record stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// Messages `start..next` are in the record's files or were filtered; a fence where `start == next`.
    #[default]
    Messages,
    /// Messages `start..next` had expired in the source before they were read: lost, and recorded as such.
    Gap,
    /// An operator moved the position from `start` to `next`, forwards (rows left out) or backwards (rows read again).
    Moved,
    /// An operator accepts that published files are gone; `start == next`, the paths stand in the note.
    Accepted,
    /// Dead letters were sent through a deployment once more; `start == next`, and no letter stands in two such records.
    Replayed,
}

impl RecordKind {
    fn is_messages(&self) -> bool {
        *self == Self::Messages
    }
}

/// What an operator said when a record was written on their behalf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// User and machine.
    pub who: String,
    /// In their words.
    pub why: String,
    /// Published files that may be missing from now on: absolute paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

/// What became of the messages of a range. `messages = filtered + rejected + those that led to the written rows`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Messages read.
    pub messages: u64,
    /// Rows in the table's files.
    pub written: u64,
    /// Rows that a transform dropped.
    pub filtered: u64,
    /// Rows in the dead letters' files.
    pub dead_lettered: u64,
}

impl RowCounts {
    /// Adds `other` to these counts.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.written += other.written;
        self.filtered += other.filtered;
        self.dead_lettered += other.dead_lettered;
    }
}

/// One file of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where it was staged: absolute path on the storage.
    pub staged: String,
    /// Its final name: absolute path on the storage.
    pub target: String,
    /// Rows.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Smallest event time in microseconds since 1970, where there is one.
    pub min_event_time_us: Option<i64>,
    /// Largest event time in microseconds since 1970, where there is one.
    pub max_event_time_us: Option<i64>,
}

/// What a range turned into when all its files were staged.
#[derive(Debug, Clone)]
pub struct StagedRange {
    /// First offset.
    pub start: i64,
    /// Next offset to read.
    pub next: i64,
    /// What became of its messages.
    pub rows: RowCounts,
    /// Files of the table.
    pub files: Vec<FileRecord>,
    /// Files of the dead letters.
    pub dead_letter_files: Vec<FileRecord>,
    /// Which transforms made them.
    pub deployment: DeploymentRecord,
    /// Largest event time in the range, in microseconds since 1970.
    pub max_event_time_us: Option<i64>,
}

/// Which transforms, which versions, which settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// 0: the chain that the pipeline file fixes.
    pub number: u64,
    /// In order.
    pub transforms: Vec<TransformRecord>,
}

/// One transform of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformRecord {
    /// Its name in the pipeline.
    pub name: String,
    /// Its version, as its module says.
    pub version: String,
    /// sha256 of its module, hexadecimal.
    pub sha256: String,
    /// Digest of its settings.
    pub settings_digest: String,
}

/// How much of a chain is kept as records of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Newest records that stay, at least 1.
    pub keep: usize,
    /// Older ones are folded into one archive file as soon as there are this many.
    pub fold: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: 10, fold: 1_000 }
    }
}

/// File name of record `sequence`.
pub fn record_name(sequence: u64) -> String {
    format!("{sequence:020}.json")
}

/// File name of the temporary file of one attempt to create record `sequence`.
pub fn temporary_name(sequence: u64, attempt: Id) -> String {
    format!("{sequence:020}-{attempt}.tmp")
}

/// File name of the mark that all files of record `id` are published.
pub fn mark_name(sequence: u64, id: Id) -> String {
    format!("{sequence:020}.{id}.published")
}

/// Name of the staging directory of a take-over.
pub fn staging_name(fence: u64, take_over: Id) -> String {
    format!("{fence:020}-{take_over}")
}

/// The directory of a topic partition below a checkpoint or staging directory.
pub fn topic_partition_directory(topic_partition: &TopicPartition) -> String {
    format!("{}/{}", topic_partition.topic, topic_partition.partition)
}

/// File name of file `number` of a record whose range starts at `start`.
pub fn target_name(topic_partition: &TopicPartition, start: i64, number: usize, occasion: Occasion) -> String {
    let TopicPartition { topic, partition } = topic_partition;
    match occasion {
        Occasion::Pass(0) => format!("part-{topic}-{partition}-{start}-{number}.parquet"),
        Occasion::Pass(pass) => format!("part-{topic}-{partition}-{start}-{number}-pass{pass}.parquet"),
        Occasion::Replay(record) => format!("part-{topic}-{partition}-{start}-{number}-replay{record}.parquet"),
    }
}

/// The topic partition of a file of this name; `None`: it is not one of ours.
pub fn topic_partition_of(name: &str) -> Option<TopicPartition> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    // A topic may have any of these signs in its name, so what stands behind it is read from the end.
    let stem = match stem.rsplit_once('-') {
        Some((rest, last)) if !is_number(last) => {
            let occasion = last.strip_prefix("pass").or_else(|| last.strip_prefix("replay"))?;
            is_number(occasion).then_some(rest)?
        }
        _ => stem,
    };
    let mut parts = stem.rsplitn(4, '-');
    let (number, start, partition, topic) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let partition = partition.parse().ok().filter(|_| is_number(partition))?;
    (is_number(number) && is_number(start) && !topic.is_empty()).then(|| TopicPartition::new(topic, partition))
}

/// What a name in a chain's directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainName {
    /// Record of this sequence.
    Record(u64),
    /// Temporary file of an attempt to create this sequence.
    Temporary(u64),
    /// Mark of this sequence and record id.
    Mark(u64, Id),
}

/// Reads a name of a chain's directory; `None` for names that are not ours, which are ignored.
pub fn parse_name(name: &str) -> Option<ChainName> {
    let (digits, rest) = (name.get(..20)?, name.get(20..)?);
    let sequence = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    if rest == ".json" {
        return Some(ChainName::Record(sequence));
    }
    if let Some(id) = rest.strip_prefix('.').and_then(|rest| rest.strip_suffix(".published")) {
        return parse_id(id).map(|id| ChainName::Mark(sequence, id));
    }
    let attempt = rest.strip_prefix('-').and_then(|rest| rest.strip_suffix(".tmp"))?;
    parse_id(attempt).map(|_| ChainName::Temporary(sequence))
}

/// The fence sequence of a staging directory's name.
pub fn parse_staging_name(name: &str) -> Option<(u64, Id)> {
    let (digits, id) = (name.get(..20)?, name.get(20..)?.strip_prefix('-')?);
    let fence = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    Some((fence, parse_id(id)?))
}

fn parse_id(text: &str) -> Option<Id> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

/// The newest record's sequence among the names of a chain's directory.
pub fn newest<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<u64> {
    let sequence = |name| match parse_name(name) {
        Some(ChainName::Record(sequence)) => Some(sequence),
        _ => None,
    };
    names.into_iter().filter_map(sequence).max()
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Not JSON, or not a record.
    #[error("it is not a readable record ({0})")]
    Unreadable(String),
    /// Written by a later program.
    #[error("it has format {0}, and this program reads formats up to {FORMAT}")]
    UnknownFormat(u64),
    /// Its content contradicts its name or itself.
    #[error("it contradicts itself: {0}")]
    Contradiction(String),
}

/// A record with the checksum of all its other fields, so that an edited one is told from one that was written so.
#[derive(Serialize)]
struct Sealed<'a> {
    #[serde(flatten)]
    record: &'a Record,
    checksum: String,
}

/// Of all fields in the order of their names, those of later programs included.
fn checksum(fields: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut sorted: Vec<(&String, &serde_json::Value)> =
        fields.iter().filter(|(name, _)| *name != "checksum").collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut bytes = Vec::with_capacity(4 << 10);
    // Numbers, texts and lists of them: there is nothing that could not be written.
    let _ = serde_json::Serializer::new(&mut bytes).collect_map(sorted);
    Sha256::digest(&bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Record {
    /// The record as the bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(&self.sealed()).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The record as a line of an archive file.
    pub fn to_line(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&self.sealed()).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    fn sealed(&self) -> Sealed<'_> {
        let checksum = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => checksum(&fields),
            _ => String::new(),
        };
        Sealed { record: self, checksum }
    }

    /// Reads the bytes of file `<sequence>.json` and checks what can be checked without I/O.
    pub fn from_bytes(sequence: u64, bytes: &[u8]) -> Result<Self, BadRecord> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let unreadable = |error: serde_json::Error| BadRecord::Unreadable(error.to_string());
        // Parsed once, with the fields of later programs, which count for the checksum.
        let fields: serde_json::Map<_, _> = serde_json::from_slice(bytes).map_err(unreadable)?;
        let Format { format } = Format::deserialize(&fields).map_err(unreadable)?;
        if !(1..=u64::from(FORMAT)).contains(&format) {
            return Err(BadRecord::UnknownFormat(format));
        }
        check_seal(&fields).map_err(BadRecord::Contradiction)?;
        let record = Self::deserialize(fields).map_err(unreadable)?;
        record.check(sequence).map_err(BadRecord::Contradiction)?;
        Ok(record)
    }

    /// Reads a line of an archive file, as [`Record::from_bytes`] reads a file.
    pub fn from_line(line: &[u8]) -> Result<Self, BadRecord> {
        #[derive(Deserialize)]
        struct Numbered {
            sequence: u64,
        }
        let numbered: Result<Numbered, _> = serde_json::from_slice(line);
        Self::from_bytes(numbered.map_or(0, |numbered| numbered.sequence), line)
    }

    fn check(&self, sequence: u64) -> Result<(), String> {
        if self.sequence != sequence {
            return Err(format!("its name says record {sequence}, its content record {}", self.sequence));
        }
        if (sequence == 0) != self.predecessor.is_none() {
            return Err("only record 0 has no predecessor".to_owned());
        }
        if self.next < self.start && self.kind != RecordKind::Moved {
            return Err(format!("its range {}..{} ends before it starts", self.start, self.next));
        }
        if self.format < self.lowest_format() {
            return Err(format!("format {} cannot express a record of kind {:?}", self.format, self.kind));
        }
        let files = || self.files.iter().chain(&self.dead_letter_files);
        let is_replay = self.kind == RecordKind::Replayed;
        let may_have_files = is_replay || (self.kind.is_messages() && !self.is_fence());
        if !may_have_files && files().next().is_some() {
            return Err("only a range of messages or a replay has files".to_owned());
        }
        if is_replay == self.replayed.is_empty() {
            return Err("a replay names dead letters, and nothing else does".to_owned());
        }
        if is_replay {
            self.check_replay()?;
        }
        let (written, dead) = (total_rows(&self.files), total_rows(&self.dead_letter_files));
        if written != self.rows.written || dead != self.rows.dead_lettered {
            return Err(format!(
                "it counts {} rows written and {} dead letters, its files {written} and {dead}",
                self.rows.written, self.rows.dead_lettered
            ));
        }
        Ok(())
    }

    fn check_replay(&self) -> Result<(), String> {
        if self.start != self.next {
            return Err(format!("a replay moves no position, and its own is {}..{}", self.start, self.next));
        }
        self.replayed.iter().try_for_each(ReplayedLetters::check)?;
        let letters: u64 = self.replayed.iter().map(ReplayedLetters::count).sum();
        match self.rows.messages {
            messages if messages == letters => Ok(()),
            messages => Err(format!("it replayed {messages} messages, and names {letters} dead letters")),
        }
    }

    /// Whether it is a fence: an empty range.
    pub fn is_fence(&self) -> bool {
        self.kind.is_messages() && self.start == self.next
    }

    /// The lowest format that can express the record.
    pub fn lowest_format(&self) -> u32 {
        match self.kind {
            RecordKind::Replayed => 3,
            RecordKind::Messages if self.note.is_none() && self.pass == 0 => 1,
            _ => 2,
        }
    }
}

/// Records of earlier programs have no checksum.
fn check_seal(fields: &serde_json::Map<String, serde_json::Value>) -> Result<(), String> {
    match fields.get("checksum") {
        Some(sealed) if *sealed != checksum(fields) => {
            Err("its checksum does not fit the rest: it was changed after it was written".to_owned())
        }
        _ => Ok(()),
    }
}

fn total_rows(files: &[FileRecord]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;

//! What an audit concluded: plain data that serialises to JSON. Fields are only ever added.

use serde::Serialize;

use super::findings::{Code, Finding, Severity};
use crate::checkpoint::{RowCounts, TransformRecord};
use crate::source::KnownOffsets;

/// The whole audit.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The pipeline's name.
    pub pipeline: String,
    /// Nothing is wrong.
    pub clean: bool,
    /// Whether offsets were read row by row and compared with the source's.
    pub deep: bool,
    /// Each topic partition that has a chain.
    pub topic_partitions: Vec<TopicPartitionReport>,
    /// Which transforms made which rows.
    pub deployments: Vec<DeploymentReport>,
    /// Everything of all topic partitions together.
    pub total: Totals,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is worth knowing and in order.
    pub notes: Vec<Finding>,
}

/// Sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Messages read, and what became of them; of those that were replayed, what became of them then.
    pub rows: RowCounts,
    /// Dead letters that were replayed.
    pub replayed: u64,
    /// Files that records name and that are there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that count.
    pub records: u64,
}

/// One topic partition.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TopicPartitionReport {
    /// The topic.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// What the topic is beyond its name.
    pub topic_identity: String,
    /// Offsets that records cover with messages, joined where they touch.
    pub covered: Vec<OffsetRange>,
    /// Offsets between covered ranges that no record covers.
    pub gaps: Vec<OffsetRange>,
    /// Offsets that more than one record covers.
    pub overlaps: Vec<OffsetRange>,
    /// The next offset to read.
    pub next: Option<i64>,
    /// Number of the newest record.
    pub newest: Option<u64>,
    /// When it was written, as RFC 3339.
    pub written_at: Option<String>,
    /// Records that count, those of the archive included.
    pub records: u64,
    /// Of these, read from the archive.
    pub archived: u64,
    /// Messages read, and what became of them; of those that were replayed, what became of them then.
    pub rows: RowCounts,
    /// Dead letters that were replayed.
    pub replayed: u64,
    /// Files of the table that records name and that are there.
    pub files: u64,
    /// The same of the dead letters.
    pub dead_letter_files: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Files of the newest record that are staged and not published yet.
    pub in_flight: u64,
    /// Files that fenced take-overs left staged.
    pub leftovers: u64,
    /// What the source knows, where it was asked.
    pub source: Option<KnownOffsets>,
}

/// Offsets `start..next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OffsetRange {
    /// The first.
    pub start: i64,
    /// The one after the last.
    pub next: i64,
}

/// The rows of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentReport {
    /// Its number; 0 is the chain that the pipeline file fixes.
    pub deployment: u64,
    /// Its transforms, in order.
    pub transforms: Vec<TransformRecord>,
    /// Messages that it read, those that were replayed through it included, and what became of them.
    pub rows: RowCounts,
    /// Where it was at work.
    pub ranges: Vec<DeploymentRange>,
}

/// Offsets of one topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentRange {
    /// `listen_events/3`
    pub topic_partition: String,
    /// The first offset.
    pub start: i64,
    /// The one after the last.
    pub next: i64,
}

impl Report {
    /// Sorts findings in, by topic partition, code and path.
    pub(super) fn conclude(&mut self, mut findings: Vec<Finding>) {
        findings.sort_by(|a, b| {
            let key = |finding: &Finding| (finding.topic_partition.clone(), finding.code, finding.path.clone());
            key(a).cmp(&key(b))
        });
        findings.dedup();
        let (wrong, notes) = findings.into_iter().partition(|finding| finding.code.severity() == Severity::Wrong);
        self.findings = wrong;
        self.notes = notes;
        self.clean = self.findings.is_empty();
        for topic_partition in &self.topic_partitions {
            self.total.rows.add(&topic_partition.rows);
            self.total.replayed += topic_partition.replayed;
            self.total.files += topic_partition.files + topic_partition.dead_letter_files;
            self.total.bytes += topic_partition.bytes;
            self.total.records += topic_partition.records;
        }
    }

    /// Findings of one code, notes included.
    pub fn of(&self, code: Code) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(&self.notes).filter(move |finding| finding.code == code)
    }
}

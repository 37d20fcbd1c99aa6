//! What a replay did, or would do: plain data that serialises. Fields are only ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::RowCounts;

/// What became of the dead letters that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// The pipeline's name.
    pub pipeline: String,
    /// Whether it was done. `false`: nothing was written, and the numbers say what would be.
    pub done: bool,
    /// The number of the deployment that they went through; 0 is the chain that the pipeline file fixes.
    pub deployment: u64,
    /// Of each topic partition that has any.
    pub topic_partitions: Vec<Part>,
    /// All together.
    pub total: Counts,
}

/// One topic partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Part {
    /// The topic.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// What became of its dead letters.
    #[serde(flatten)]
    pub counts: Counts,
    /// The records that say so.
    pub records: Vec<u64>,
    /// Why it was not gone on with. What was done before stands in the counts.
    pub problem: Option<String>,
}

/// Dead letters, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// Sent through the deployment once more.
    pub replayed: u64,
    /// Rows of the table that came of them.
    pub written: u64,
    /// Rows that a transform dropped.
    pub filtered: u64,
    /// Dead letters again, as new ones.
    pub dead_lettered: u64,
    /// Those that were sent, by the reason for which they had been set aside.
    pub by_reason: BTreeMap<String, u64>,
    /// Those that became dead letters again, by their new reason.
    pub again: BTreeMap<String, u64>,
    /// Those that match and were left alone.
    pub left_alone: LeftAlone,
}

/// Dead letters that match and cannot be replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeftAlone {
    /// They have no payload: tombstones, and payloads that were redacted.
    pub no_payload: u64,
    /// Messages of their range led to several rows, so some of these may be in the table: sent again, they would be there
    /// twice.
    pub several_rows: u64,
    /// Their file is gone: removed, expired or rewritten by another job. Not looked at, so perhaps not all match.
    pub file_gone: u64,
}

impl LeftAlone {
    /// How many.
    pub fn count(&self) -> u64 {
        self.no_payload + self.several_rows + self.file_gone
    }
}

impl Counts {
    /// Adds what one batch or record turned into.
    pub(super) fn add_rows(&mut self, rows: &RowCounts) {
        self.replayed += rows.messages;
        self.written += rows.written;
        self.filtered += rows.filtered;
        self.dead_lettered += rows.dead_lettered;
    }

    /// Adds other counts.
    pub(super) fn add(&mut self, other: &Self) {
        self.replayed += other.replayed;
        self.written += other.written;
        self.filtered += other.filtered;
        self.dead_lettered += other.dead_lettered;
        add_all(&mut self.by_reason, &other.by_reason);
        add_all(&mut self.again, &other.again);
        self.left_alone.no_payload += other.left_alone.no_payload;
        self.left_alone.several_rows += other.left_alone.several_rows;
        self.left_alone.file_gone += other.left_alone.file_gone;
    }
}

/// Adds counts to counts of the same names.
pub(super) fn add_all(to: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        *to.entry(name.clone()).or_default() += count;
    }
}

impl Answer {
    /// Adds a topic partition, unless there was nothing in it.
    pub(super) fn add(&mut self, part: Part) {
        let is_empty = part.counts == Counts::default() && part.problem.is_none();
        if !is_empty {
            self.total.add(&part.counts);
            self.topic_partitions.push(part);
        }
    }

    /// Whether every topic partition was gone through.
    pub fn is_whole(&self) -> bool {
        self.topic_partitions.iter().all(|part| part.problem.is_none())
    }
}

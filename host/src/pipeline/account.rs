//! The account of a run: what was committed, what stopped. Filled by the membership, read once at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::lane::Committed;
use crate::checkpoint::RowCounts;
use crate::error::Error;
use crate::report::{DeadLetterCause, StoppedTopicPartition};
use crate::source::TopicPartition;

/// What a run has done so far.
#[derive(Debug, Default)]
pub struct Account {
    /// Topic partitions that were ever assigned.
    pub topic_partitions: u64,
    /// What became of the messages of committed ranges.
    pub rows: RowCounts,
    /// Dead letters by cause.
    pub dead_letters: BTreeMap<DeadLetterCause, u64>,
    /// Files published in the table.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ranges committed.
    pub checkpoints: u64,
    /// Hive partitions that files were published in, until somebody takes them from here.
    pub hive_partitions: BTreeSet<String>,
    /// Topic partitions that stopped with an error.
    pub stopped: Vec<StoppedTopicPartition>,
}

impl Account {
    pub(super) fn owned(&mut self) {
        self.topic_partitions += 1;
    }

    pub(super) fn committed(&mut self, committed: Committed) {
        self.rows.add(&committed.rows);
        self.files += committed.files;
        self.bytes += committed.bytes;
        self.checkpoints += 1;
        self.hive_partitions.extend(committed.hive_partitions);
        for (cause, count) in committed.causes {
            *self.dead_letters.entry(cause).or_default() += count;
        }
    }

    /// Why a topic partition stopped, the last time that it did.
    pub(super) fn error_of(&self, topic_partition: &TopicPartition) -> Option<String> {
        let is_this = |stopped: &&StoppedTopicPartition| {
            stopped.topic_partition == topic_partition.partition && *stopped.topic == *topic_partition.topic
        };
        self.stopped.iter().rev().find(is_this).map(|stopped| stopped.error.clone())
    }

    /// Notes the error; returns it with its causes in one line.
    pub(super) fn stopped(&mut self, topic_partition: &TopicPartition, error: &Error) -> String {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        if let Some(hint) = error.what_to_do() {
            text.push_str(&format!(". {hint}"));
        }
        self.stopped.push(StoppedTopicPartition {
            topic: topic_partition.topic.to_string(),
            topic_partition: topic_partition.partition,
            error: text.clone(),
        });
        text
    }
}

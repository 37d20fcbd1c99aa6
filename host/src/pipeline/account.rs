//! The account of a run: what was committed, what stopped. Filled by the membership, read once at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::lane::{Committed, Steps};
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
    /// What others hear of, until it is taken from here.
    pub news: News,
    /// Topic partitions that stopped with an error.
    pub stopped: Vec<StoppedTopicPartition>,
}

/// What has happened since others heard last.
#[derive(Debug, Default)]
pub struct News {
    /// Hive partitions that files were published in.
    pub hive_partitions: BTreeSet<String>,
    /// Checkpoints that were acknowledged.
    pub checkpoints: Vec<Checkpoint>,
}

/// One range, from its end to its acknowledgement.
#[derive(Debug)]
pub struct Checkpoint {
    /// Whose range it was.
    pub topic_partition: TopicPartition,
    /// Its offsets, without the end.
    pub offsets: Range<i64>,
    /// The number of the deployment that made its rows.
    pub deployment: u64,
    /// What became of its messages.
    pub rows: RowCounts,
    /// Files published in the table.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When its steps ended.
    pub steps: Steps,
}

impl Account {
    pub(super) fn owned(&mut self) {
        self.topic_partitions += 1;
    }

    pub(super) fn committed(&mut self, topic_partition: TopicPartition, committed: Committed) {
        self.rows.add(&committed.rows);
        self.files += committed.files;
        self.bytes += committed.bytes;
        self.checkpoints += 1;
        self.news.hive_partitions.extend(committed.hive_partitions);
        let Committed { start, next, deployment, rows, files, bytes, steps, .. } = committed;
        let offsets = start..next;
        self.news.checkpoints.push(Checkpoint { topic_partition, offsets, deployment, rows, files, bytes, steps });
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

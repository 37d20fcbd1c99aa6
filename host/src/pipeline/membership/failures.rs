//! What becomes of a topic partition that failed: stopped, or tried again after a pause that grows.

use std::time::Duration;

use super::{Membership, State};
use crate::chain::ChainError;
use crate::error::{Error, ErrorKind, Result};
use crate::source::TopicPartition;

/// Shortest and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

impl Membership {
    /// Where to go on; an error where the topic is another one now, or the user wants to decide.
    pub(super) fn after_loss(&mut self, topic_partition: &TopicPartition, position: i64) -> Result<i64> {
        let first = self.source.after_loss(topic_partition, position);
        let identity = self.source.identity(topic_partition)?;
        match self.members.get(topic_partition) {
            Some(member) => member.chain.check_identity(&identity).and(first),
            None => first,
        }
    }

    pub(super) fn chain_failed(&mut self, topic_partition: &TopicPartition, error: ChainError) {
        match error {
            ChainError::Lost(why) => {
                tracing::warn!(%topic_partition, why, "another take-over owns the chain");
                self.wait(topic_partition);
            }
            ChainError::Storage(error) => {
                tracing::warn!(%topic_partition, %error, "storage does not answer; trying again");
                self.wait(topic_partition);
            }
            ChainError::Source(error) | ChainError::Stopped(error) => self.failed(topic_partition, error),
        }
    }

    pub(super) fn failed(&mut self, topic_partition: &TopicPartition, error: Error) {
        if error.kind() == ErrorKind::Transient {
            tracing::warn!(%topic_partition, %error, "trying again");
            self.wait(topic_partition);
            return;
        }
        let text = self.account.stopped(topic_partition, &error);
        tracing::error!(%topic_partition, error = text, "stopped: an operator is needed");
        self.set(topic_partition, State::Done);
    }

    /// A pause that grows and is never the same: two hosts that fence each other must not go on in step.
    pub(super) fn wait(&mut self, topic_partition: &TopicPartition) {
        let Some(member) = self.members.get_mut(topic_partition) else { return };
        if member.revoked || self.stopping {
            member.state = State::Done;
            return;
        }
        let longest = PAUSES.0.saturating_mul(2_u32.saturating_pow(member.failures.min(16))).min(PAUSES.1);
        member.failures += 1;
        let share = (self.runtime.random() % 1_000) as u32;
        let pause = longest / 2 + (longest / 2) * share / 1_000;
        let protocol = member.chain.protocol;
        member.state = if protocol.take_over_again {
            State::Waiting { until: self.runtime.elapsed() + pause }
        } else {
            State::Done
        };
    }

    /// Takes over again after the pause, if the group still gives the topic partition to us.
    pub(super) fn retry(&mut self) -> bool {
        if self.paused {
            return false;
        }
        let now = self.runtime.elapsed();
        let due = |member: &super::Member| matches!(member.state, State::Waiting { until } if until <= now);
        let due: Vec<_> = self.members.iter().filter(|(_, m)| due(m)).map(|(tp, m)| (tp.clone(), m.next)).collect();
        for (topic_partition, next) in &due {
            match self.source.still_assigned(topic_partition, *next) {
                Some(true) => self.set(topic_partition, State::Queued),
                // The revoke event comes, or this process is cut off: either way, nothing is taken over without an answer.
                Some(false) | None => self.wait(topic_partition),
            }
        }
        !due.is_empty()
    }
}

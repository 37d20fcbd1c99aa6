//! Another deployment, a pause or a resumption, while a pipeline runs; and what it does, for those who ask.

use std::sync::Arc;

use super::{Member, Membership, State};
use crate::checkpoint::DeploymentRecord;
use crate::pipeline::worker::{Command, Targets, WorkerDeployment};
use crate::sink::part_file::PartFileOptions;
use crate::source::{Reach, TopicPartition};
use crate::status::{TopicPartitionState, TopicPartitionStatus};

/// The log of deployments says something new.
pub struct Change {
    /// For each worker, the deployments that it does not have yet.
    pub prepared: Vec<Vec<WorkerDeployment>>,
    /// What makes which ranges from now on.
    pub targets: Targets,
    /// What the deployment that runs everywhere is, and how its files are encoded.
    pub deployment: (DeploymentRecord, PartFileOptions),
    /// Whether the pipeline is paused from now on.
    pub paused: bool,
}

impl Membership {
    /// Follows what the log says.
    pub(super) fn change(&mut self, Change { prepared, targets, deployment, paused }: Change) {
        (self.places.deployment, self.places.options) = deployment;
        for (worker, deployments) in prepared.into_iter().enumerate() {
            for deployment in deployments {
                self.command(worker, Command::Prepare(Box::new(deployment)));
            }
        }
        let targets = Arc::new(targets);
        for worker in 0..self.workers.len() {
            self.command(worker, Command::Target(Arc::clone(&targets)));
        }
        if std::mem::replace(&mut self.paused, paused) == paused {
            return;
        }
        tracing::info!(paused, "the pipeline is paused or resumed");
        let running = |member: &Member| matches!(member.state, State::Running { .. });
        let running: Vec<_> =
            self.members.iter().filter(|(_, member)| running(member)).map(|(tp, _)| tp.clone()).collect();
        for topic_partition in running.iter().filter(|_| paused) {
            self.finish(topic_partition, true);
        }
    }

    /// Whether the source's servers can be reached.
    pub fn reach(&self) -> Option<Reach> {
        self.source.reach()
    }

    /// What is done with each topic partition that is ours.
    pub fn statuses(&self) -> Vec<TopicPartitionStatus> {
        let of = |(topic_partition, member): (&TopicPartition, &Member)| {
            let error = self.account.error_of(topic_partition);
            let state = match &member.state {
                State::Queued | State::TakingOver | State::Ready(_) if self.paused => TopicPartitionState::Paused,
                State::Queued | State::TakingOver | State::Ready(_) => TopicPartitionState::Starting,
                State::Running { .. } => TopicPartitionState::Running,
                State::Ending { .. } => TopicPartitionState::Ending,
                State::Waiting { .. } => TopicPartitionState::Retrying,
                State::Done if error.is_some() => TopicPartitionState::Stopped,
                State::Done => TopicPartitionState::Done,
            };
            TopicPartitionStatus {
                topic_partition: topic_partition.clone(),
                state,
                committed: (member.next > 0).then_some(member.next),
                lag: self.source.lag(topic_partition),
                deployment: member.deployment,
                committed_at_ms: member.committed_at_ms,
                error,
            }
        };
        self.members.iter().map(of).collect()
    }
}

//! What has one safe answer: publishing what the newest record left unpublished, and sweeping what fenced take-overs left.
//! And, on an operator's word, recording that published files were removed on purpose. Published data is never removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::facts::{ChainFacts, Facts};
use super::findings::Code;
use super::report::Report;
use super::view::ChainView;
use super::{Subject, judge};
use crate::checkpoint::{Id, Note, mark_name, newest};
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::source::TopicPartition;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Publish the files of the newest record that are staged, and mark it.
    Publish {
        /// `listen_events/3`
        topic_partition: String,
        /// The record.
        record: u64,
        /// Files that are staged.
        files: u64,
    },
    /// Delete what take-overs below a fence left staged.
    Sweep {
        /// `listen_events/3`
        topic_partition: String,
        /// The fence of the take-over that owns the chain.
        below: u64,
        /// Files to delete.
        files: u64,
    },
    /// Record that files were removed on purpose.
    Accept {
        /// `listen_events/3`
        topic_partition: String,
        /// Their paths.
        files: Vec<String>,
    },
}

/// What is to be done, and what was.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// The pipeline's name.
    pub pipeline: String,
    /// What is to be done, in order.
    pub actions: Vec<Action>,
    /// Whether it was done.
    pub done: bool,
}

struct Target {
    topic_partition: TopicPartition,
    identity: String,
    /// Fence and id of the take-over that owns the chain.
    owner: Option<(u64, Id)>,
}

/// A plan, and what is needed to carry it out.
pub struct Plan<'a> {
    subject: &'a Subject,
    repair: Repair,
    targets: Vec<Target>,
}

impl<'a> Plan<'a> {
    /// Finishes publishing, and sweeps.
    pub fn safe(subject: &'a Subject, facts: &Facts) -> Self {
        let mut plan = Self::empty(subject);
        let report = judge(facts);
        for (topic_partition, chain) in &facts.chains {
            let view = ChainView::new(&facts.pipeline, topic_partition, chain);
            let Some(newest) = view.newest() else { continue };
            let mut add = |action: Action| {
                plan.repair.actions.push(action);
                let (identity, owner) = (newest.topic_identity.clone(), view.fence(chain));
                plan.targets.push(Target { topic_partition: topic_partition.clone(), identity, owner });
            };
            let name = topic_partition.to_string();
            let of = |of: &&super::TopicPartitionReport| {
                *of.topic == *topic_partition.topic && of.topic_partition == topic_partition.partition
            };
            let Some(of) = report.topic_partitions.iter().find(of) else { continue };
            if is_unpublished(chain, &view) && report.of(Code::FileLost).all(|lost| lost.topic_partition != name) {
                add(Action::Publish { topic_partition: name.clone(), record: newest.sequence, files: of.in_flight });
            }
            if let Some((below, _)) = view.fence(chain)
                && of.leftovers > 0
            {
                add(Action::Sweep { topic_partition: name, below, files: of.leftovers });
            }
        }
        plan
    }

    /// Accepts files as removed: those given, or all that are missing.
    ///
    /// # Errors
    /// A path that is not among the missing ones.
    pub fn accept(subject: &'a Subject, facts: &Facts, paths: &[String]) -> Result<Self> {
        let mut plan = Self::empty(subject);
        let missing = missing(&judge(facts));
        if let Some(path) = paths.iter().find(|path| !missing.contains_key(path.as_str())) {
            let message = format!("{path} is not a file that is missing");
            return Err(
                Error::config(message).hint("`wasmill verify` lists what is missing, with paths as they are wanted")
            );
        }
        let mut by_topic_partition: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (path, topic_partition) in &missing {
            if paths.is_empty() || paths.contains(path) {
                by_topic_partition.entry(topic_partition).or_default().push(path.clone());
            }
        }
        for (topic_partition, chain) in &facts.chains {
            let name = topic_partition.to_string();
            let Some(files) = by_topic_partition.remove(name.as_str()) else { continue };
            let view = ChainView::new(&facts.pipeline, topic_partition, chain);
            let Some(newest) = view.newest() else { continue };
            plan.repair.actions.push(Action::Accept { topic_partition: name, files });
            let (identity, owner) = (newest.topic_identity.clone(), None);
            plan.targets.push(Target { topic_partition: topic_partition.clone(), identity, owner });
        }
        Ok(plan)
    }

    fn empty(subject: &'a Subject) -> Self {
        let repair = Repair { pipeline: subject.pipeline.clone(), actions: Vec::new(), done: false };
        Self { subject, repair, targets: Vec::new() }
    }

    /// What it would do.
    pub fn show(&self) -> &Repair {
        &self.repair
    }

    /// Does it. `who` and `why` stand in records that it writes.
    ///
    /// # Errors
    /// The first that fails; what was done before stays, and the same command goes on with the rest.
    pub async fn carry_out(mut self, runtime: &Arc<dyn Runtime>, who: &str, why: &str) -> Result<Repair> {
        for (action, target) in self.repair.actions.iter_mut().zip(&self.targets) {
            let chain = self.subject.chain(&target.topic_partition, &target.identity, Arc::clone(runtime));
            match action {
                Action::Publish { .. } => {
                    chain.finish_publishing().await.map_err(crate::chain::ChainError::into_error)?;
                }
                Action::Sweep { files, .. } => {
                    let Some((fence, take_over)) = target.owner else { continue };
                    let swept = chain.sweep_below(fence, take_over).await;
                    *files = swept.map_err(crate::chain::ChainError::into_error)?;
                }
                Action::Accept { files, .. } => {
                    let note = Note { who: who.to_owned(), why: why.to_owned(), accepted: files.clone() };
                    chain.accept_removed(note).await.map_err(crate::chain::ChainError::into_error)?;
                }
            }
        }
        self.repair.done = true;
        Ok(self.repair)
    }
}

/// Whether the newest record counts and its mark is not there.
fn is_unpublished(chain: &ChainFacts, view: &ChainView<'_>) -> bool {
    let names = &chain.names[1];
    view.newest().is_some_and(|record| {
        newest(names.iter().map(String::as_str)) == Some(record.sequence)
            && !record.is_fence()
            && !names.contains(&mark_name(record.sequence, record.id))
    })
}

/// Paths that are missing, and whose.
fn missing(report: &Report) -> BTreeMap<String, String> {
    let findings = report.of(Code::FileMissing).chain(report.of(Code::FileLost));
    findings.map(|finding| (finding.path.clone(), finding.topic_partition.clone())).collect()
}

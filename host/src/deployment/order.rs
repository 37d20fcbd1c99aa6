//! An operator's order, from what is asked for to the entry in the log: the same on the command line and over HTTP.

use std::collections::BTreeSet;

use super::judge::Bounds;
use super::{Action, Deployed, Draft, Entry, Log, Proposal, Request, contract};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::source::{SourceBatch, TopicPartition};
use crate::transform::TransformEngine;

/// What is to run, and when that is accepted.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is to run.
    pub wish: Wish,
    /// Also if readers of the table would lose a column, or see another type.
    pub allow_schema_change: bool,
    /// Only tell what it would mean.
    pub dry_run: bool,
    /// Why; it is recorded.
    pub note: String,
}

/// What is to run.
#[derive(Debug, Clone)]
pub enum Wish {
    /// These transforms.
    Deploy(Request),
    /// These transforms, on some topic partitions, on trial.
    Try {
        /// Which transforms.
        request: Request,
        /// Where.
        topic_partitions: BTreeSet<TopicPartition>,
        /// How much worse they may do.
        bounds: Bounds,
    },
    /// What ran before: this deployment, or the one before the present one. A trial ends.
    Rollback(Option<u64>),
}

/// What became of an order.
#[derive(Debug)]
pub enum Outcome {
    /// It was looked at.
    Proposed {
        /// What it means.
        proposal: Box<Proposal>,
        /// The entry that says so; `None`: nothing changes, it was only tried, or it is refused.
        accepted: Option<Box<Entry>>,
        /// Why it is, or would be, refused.
        refused: Option<Error>,
    },
    /// What was on trial runs nowhere any more.
    TrialEnded(Box<Entry>),
}

/// Where orders are carried out.
pub struct Place<'p> {
    /// The pipeline.
    pub config: &'p Config,
    /// Its modules.
    pub registry: &'p Registry,
    /// Its deployments.
    pub log: &'p Log,
    /// What compiles and links them. It takes its time on the calling thread.
    pub engine: &'p TransformEngine,
    /// Recent events to try them on.
    pub sample: &'p [SourceBatch],
}

impl Order {
    /// Carries it out. `by`: who ordered it.
    ///
    /// # Errors
    /// The transforms do not fit; there is no such deployment or module; others were faster; the storage does not answer.
    pub async fn carry_out(self, place: &Place<'_>, by: &str) -> Result<Outcome> {
        let present = place.log.newest().await?;
        let running = present.as_ref().map(|entry| &entry.deployment);
        let is_new = !matches!(self.wish, Wish::Rollback(_));
        let (transforms, action, trial) = match self.wish {
            Wish::Deploy(request) => (request.transforms(place.registry, running).await?, Action::Deploy, None),
            Wish::Try { request, topic_partitions, bounds } => {
                let transforms = request.transforms(place.registry, running).await?;
                (transforms, Action::Canary, Some((topic_partitions, bounds)))
            }
            Wish::Rollback(to) => match (to, &present) {
                // What is on trial is what an operator wants to be rid of.
                (None, Some(present @ Entry { canary: Some(_), .. })) => {
                    let draft = Draft { canary: None, ..Draft::after(present, Action::Abort) };
                    let entry = place.log.append(Some(present), draft, by, &self.note).await?;
                    return Ok(Outcome::TrialEnded(Box::new(entry)));
                }
                (to, _) => {
                    let to = match to {
                        Some(to) => to,
                        None => place.log.before(present.as_ref()).await?,
                    };
                    (place.log.deployment(to).await?.transforms, Action::Rollback { to }, None)
                }
            },
        };
        let proposal = propose(place, present, transforms).await?;
        let refused = match &trial {
            Some(_) => proposal.may_be_canary().err(),
            None if self.allow_schema_change => None,
            None => proposal.keeps_schema().err(),
        };
        let refused = match refused {
            // Whoever goes back has trouble enough.
            None if is_new => contract::breaks(place, &proposal.deployment.transforms).await?,
            refused => refused,
        };
        let accepted = match self.dry_run || refused.is_some() || proposal.changes_nothing() {
            true => None,
            false => Some(Box::new(proposal.accept(place.log, action, trial, by, &self.note).await?)),
        };
        Ok(Outcome::Proposed { proposal: Box::new(proposal), accepted, refused })
    }
}

async fn propose(place: &Place<'_>, present: Option<Entry>, transforms: Vec<Deployed>) -> Result<Proposal> {
    Proposal::new(place.engine, place.config, place.registry, present, transforms, place.sample).await
}

/// The first 1/`nth` of the topic partitions, at least one: where a canary runs.
pub fn share_of(all: Vec<TopicPartition>, nth: u32) -> BTreeSet<TopicPartition> {
    let count = (all.len() / nth.max(1) as usize).max(1);
    all.into_iter().take(count).collect()
}

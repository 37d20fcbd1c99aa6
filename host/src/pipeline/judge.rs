//! Takes deployments out of use that do badly: a canary that does worse than what runs beside it, and one that keeps failing.
//!
//! A judgement is an entry in the log like an operator's, so that all hosts follow it and nobody must be elected: of several
//! that judge at once, one writes the entry and the others find it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ready::Ready;
use crate::config::{BreakerConfig, Config, Then};
use crate::deployment::breaker::Breaker;
use crate::deployment::judge::judge;
use crate::deployment::{Action, Draft, Entry, Log};
use crate::error::{ErrorKind, Result};
use crate::registry::Registry;
use crate::status::{self, Board, Post};

/// How an entry that a host appended by itself names who did it.
const BY: &str = "host ";

/// Why a host made this entry; `None`: an operator did.
pub(super) fn verdict(entry: &Entry) -> Option<&str> {
    entry.by.starts_with(BY).then_some(&*entry.note)
}

/// What one host has seen of its deployments.
pub(super) struct Judge {
    registry: Registry,
    /// Where the statuses of all hosts stand.
    post: Post,
    limit: BreakerConfig,
    /// Failures of each deployment that runs.
    breakers: BTreeMap<u64, Breaker>,
    /// When a canary was compared last.
    compared: Option<Duration>,
}

/// What is to be done, and why.
struct Verdict {
    draft: Draft,
    why: String,
}

impl Judge {
    /// Nothing was seen yet.
    pub(super) fn new(config: &Config, registry: &Registry) -> Self {
        let post = Post::new(registry.location().clone(), &config.name);
        let (registry, limit) = (registry.clone(), config.breaker.clone());
        Self { registry, post, limit, breakers: BTreeMap::new(), compared: None }
    }

    /// Looks at what runs under `followed`, the newest entry of `log`, and appends what follows from it, if anything does.
    ///
    /// # Errors
    /// The storage does not answer.
    pub(super) async fn sit(
        &mut self,
        log: &Log,
        followed: &Entry,
        ready: &BTreeMap<u64, Ready>,
        board: &Board,
    ) -> Result<()> {
        let verdict = match self.failing(log, followed, ready, board).await? {
            Some(verdict) => Some(verdict),
            None => self.compare(followed).await?,
        };
        let Some(Verdict { draft, why }) = verdict else { return Ok(()) };
        let now_ms = self.registry.runtime().now_ms();
        let by = format!("{BY}{}", board.status(now_ms).machine);
        tracing::warn!(action = ?draft.action, why, "a deployment is taken out of use");
        match log.append(Some(followed), draft, &by, &why).await {
            // Another host was as quick, or an operator was: what counts is in the log.
            Err(error) if error.kind() != ErrorKind::Transient => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// A deployment whose transforms failed too often lately.
    async fn failing(
        &mut self,
        log: &Log,
        followed: &Entry,
        ready: &BTreeMap<u64, Ready>,
        board: &Board,
    ) -> Result<Option<Verdict>> {
        self.breakers.retain(|number, _| ready.contains_key(number));
        let now = self.registry.runtime().elapsed();
        let mut tripped = None;
        for (number, ready) in ready {
            let breaker = self.breakers.entry(*number).or_default();
            let failed = breaker.look(now, &ready.chain.counts(), &self.limit);
            failed.iter().for_each(|_| board.breaker_tripped());
            tripped = tripped.or(failed.map(|failed| (*number, failed)));
        }
        let Some((number, tripped)) = tripped.filter(|_| self.limit.then != Then::GoOn && !followed.paused) else {
            return Ok(None);
        };
        let draft = if number == followed.deployment.number {
            self.instead(log, followed).await?
        } else {
            Draft { canary: None, ..Draft::after(followed, Action::Abort) }
        };
        Ok(Some(Verdict { draft, why: format!("deployment {number} keeps failing: {tripped}") }))
    }

    /// What follows when the deployment that runs everywhere keeps failing.
    async fn instead(&self, log: &Log, followed: &Entry) -> Result<Draft> {
        let pause = Draft { paused: true, ..Draft::after(followed, Action::Pause) };
        if self.limit.then != Then::FallBack {
            return Ok(pause);
        }
        // Only once: two that fail would take turns.
        let brought = log.entry(followed.deployment.number).await?;
        if brought.is_some_and(|entry| matches!(entry.action, Action::FallBack { .. })) {
            return Ok(pause);
        }
        let to = match log.before(Some(followed)).await {
            Ok(to) => to,
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error),
            Err(_) => return Ok(pause),
        };
        let (action, deployment) = (Action::FallBack { to }, log.deployment(to).await?);
        Ok(Draft { action, deployment, canary: None, paused: false })
    }

    /// A canary that does worse than its bounds allow, by the statuses of all hosts.
    async fn compare(&mut self, followed: &Entry) -> Result<Option<Verdict>> {
        let now = self.registry.runtime().elapsed();
        let due = self.compared.is_none_or(|compared| now.saturating_sub(compared) >= status::EVERY);
        let Some(canary) = followed.canary.as_ref().filter(|_| due) else { return Ok(None) };
        self.compared = Some(now);
        let hosts = self.post.read(self.registry.runtime().now_ms()).await?;
        let (present, trial) = (followed.deployment.number, canary.deployment.number);
        Ok(judge(&hosts, present, trial, &canary.bounds).map(|wanting| Verdict {
            draft: Draft { canary: None, ..Draft::after(followed, Action::Abort) },
            why: format!("deployment {trial} is found wanting: {wanting}"),
        }))
    }
}

//! The log of a pipeline's deployments on its storage.

use super::{Action, Canary, Deployment, Entry, FORMAT};
use crate::checkpoint::Id;
use crate::error::{Error, Result};
use crate::registry::{self, Registry};
use crate::storage::{StorageErrorKind, create_once};

/// What is to be appended; the log gives it its number.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What is done.
    pub action: Action,
    /// What runs from here on.
    pub deployment: Deployment,
    /// What runs beside it on some topic partitions.
    pub canary: Option<Canary>,
    /// Whether nothing is read until it is resumed.
    pub paused: bool,
}

impl Draft {
    /// What `entry` says, with `action` done to it.
    pub fn after(entry: &Entry, action: Action) -> Self {
        let Entry { deployment, canary, paused, .. } = entry.clone();
        Self { action, deployment, canary, paused }
    }
}

/// `<registry>/deployments/<pipeline>/<number, 20 digits>.json`.
#[derive(Clone)]
pub struct Log {
    registry: Registry,
    pipeline: String,
}

impl Log {
    /// The log of `pipeline`, which need not exist yet.
    pub fn new(registry: Registry, pipeline: &str) -> Self {
        Self { registry, pipeline: pipeline.to_owned() }
    }

    /// The newest entry.
    ///
    /// # Errors
    /// The storage does not answer, or the entry cannot be read.
    pub async fn newest(&self) -> Result<Option<Entry>> {
        match self.numbers().await?.last() {
            Some(number) => self.entry(*number).await,
            None => Ok(None),
        }
    }

    /// The newest entry after `number`. Asks for one name only when there is none: hosts look every few seconds.
    ///
    /// # Errors
    /// As [`Log::newest`].
    pub async fn after(&self, number: u64) -> Result<Option<Entry>> {
        let storage = self.registry.location().storage.as_ref();
        match storage.stat(&self.path(number + 1)).await.map_err(|error| self.registry.unanswered(error))? {
            Some(_) => self.newest().await,
            None => Ok(None),
        }
    }

    /// Entry `number`.
    ///
    /// # Errors
    /// As [`Log::newest`].
    pub async fn entry(&self, number: u64) -> Result<Option<Entry>> {
        let path = self.path(number);
        let bytes = match self.registry.location().storage.read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StorageErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.registry.unanswered(error)),
        };
        #[derive(serde::Deserialize)]
        struct Header {
            format: u64,
        }
        let Header { format } = registry::parse(&path, &bytes)?;
        if format > FORMAT {
            return Err(Error::fatal(format!("deployment {number} was written by a newer wasmill (format {format})"))
                .hint("use that version of wasmill"));
        }
        let entry: Entry = registry::parse(&path, &bytes)?;
        if entry.number != number {
            return Err(Error::fatal(format!("{path} says that it is number {}", entry.number))
                .hint("it was copied or renamed by hand; nothing here is ever edited"));
        }
        Ok(Some(entry))
    }

    /// The deployment of that number: the one that its entry brought.
    ///
    /// # Errors
    /// There is none; and as [`Log::newest`].
    pub async fn deployment(&self, number: u64) -> Result<Deployment> {
        let of = |entry: Entry| {
            let canary = entry.canary.map(|canary| canary.deployment);
            [Some(entry.deployment), canary].into_iter().flatten().find(|deployment| deployment.number == number)
        };
        self.entry(number).await?.and_then(of).ok_or_else(|| {
            Error::config(format!("pipeline {} has no deployment {number}", self.pipeline))
                .hint("`wasmill deployments PIPELINE` lists them")
        })
    }

    /// The number of the deployment that ran before the present one.
    ///
    /// # Errors
    /// There was none; and as [`Log::newest`].
    pub async fn before(&self, present: Option<&Entry>) -> Result<u64> {
        let none = || {
            Error::config(format!("nothing ran before in pipeline {}", self.pipeline))
                .hint("`wasmill deployments PIPELINE` lists what was deployed")
        };
        let brought = present.map(|entry| entry.deployment.number).ok_or_else(none)?;
        let earlier = brought.checked_sub(1).filter(|number| *number > 0).ok_or_else(none)?;
        Ok(self.entry(earlier).await?.ok_or_else(none)?.deployment.number)
    }

    /// Pauses the pipeline, or goes on; the newest entry then says so. Nothing is appended when it says so already.
    ///
    /// # Errors
    /// Nothing is deployed, or others were faster; and as [`Log::newest`].
    pub async fn switch(&self, paused: bool, by: &str, note: &str) -> Result<Entry> {
        let Some(present) = self.newest().await? else {
            return Err(Error::config("nothing is deployed yet").hint("wasmill deploy PIPELINE TRANSFORM..."));
        };
        if present.paused == paused {
            return Ok(present);
        }
        let action = if paused { Action::Pause } else { Action::Resume };
        let draft = Draft { paused, ..Draft::after(&present, action) };
        self.append(Some(&present), draft, by, note).await
    }

    /// Lets what is on trial run everywhere.
    ///
    /// # Errors
    /// Nothing is on trial, or others were faster; and as [`Log::newest`].
    pub async fn promote(&self, by: &str, note: &str) -> Result<Entry> {
        let present = self.newest().await?;
        let Some((present, canary)) = present.and_then(|entry| entry.canary.clone().map(|canary| (entry, canary)))
        else {
            return Err(Error::config("nothing is on trial").hint("wasmill deploy ... --canary 1/8 begins a trial"));
        };
        let deployment = canary.deployment;
        let draft = Draft { deployment, canary: None, ..Draft::after(&present, Action::Promote) };
        self.append(Some(&present), draft, by, note).await
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    /// As [`Log::newest`].
    pub async fn all(&self) -> Result<Vec<Entry>> {
        let mut all = Vec::new();
        for number in self.numbers().await? {
            all.extend(self.entry(number).await?);
        }
        Ok(all)
    }

    /// Appends an entry behind `present`, the newest one that the caller has seen.
    ///
    /// # Errors
    /// Somebody else was faster; and as [`Log::newest`].
    pub async fn append(&self, present: Option<&Entry>, draft: Draft, by: &str, note: &str) -> Result<Entry> {
        let number = present.map_or(0, |entry| entry.number) + 1;
        let Draft { action, mut deployment, mut canary, paused } = draft;
        match (action, &mut canary) {
            (Action::Deploy | Action::Rollback { .. } | Action::FallBack { .. }, _) => deployment.number = number,
            (Action::Canary, Some(canary)) => canary.deployment.number = number,
            _ => {}
        }
        let runtime = self.registry.runtime();
        let entry = Entry {
            format: FORMAT,
            number,
            id: Id(runtime.random()),
            action,
            deployment,
            canary,
            paused,
            at_ms: runtime.now_ms(),
            by: by.to_owned(),
            note: note.to_owned(),
        };
        let storage = self.registry.location().storage.as_ref();
        let path = self.path(number);
        let written = create_once(storage, &path, registry::to_json(&entry), runtime.random()).await;
        let Some(other) = written.map_err(|error| self.registry.unanswered(error))? else { return Ok(entry) };
        let Entry { by, at_ms, note, .. } = registry::parse(&path, &other)?;
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        Err(Error::fatal(format!("deployment {number} was made meanwhile by {by} at {}{note}", registry::time(at_ms)))
            .hint("nothing of yours was done; look at it with `wasmill deployments PIPELINE`, then try again"))
    }

    async fn numbers(&self) -> Result<Vec<u64>> {
        let location = self.registry.location();
        let entries =
            location.storage.list(&self.directory()).await.map_err(|error| self.registry.unanswered(error))?;
        let number = |name: &str| name.strip_suffix(".json").filter(|digits| digits.len() == 20)?.parse::<u64>().ok();
        let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number(&entry.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn directory(&self) -> String {
        self.registry.location().join(&format!("deployments/{}", self.pipeline))
    }

    fn path(&self, number: u64) -> String {
        format!("{}/{number:020}.json", self.directory())
    }
}

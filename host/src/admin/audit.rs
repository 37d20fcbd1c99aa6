//! Who changed what over the API, and from where: `<registry>/audit/<pipeline>/<ms>-<id>-asked.json`, and `-ended.json`.
//!
//! Written before a change is made, and again when it was made or refused; nothing is ever written over or deleted. What was
//! asked for and has no end was cut off, and may have been done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Id;
use crate::error::{Error, Result};
use crate::registry::{parse, to_json};
use crate::runtime::Runtime;
use crate::storage::{Location, StorageError, create_once};

/// As many are shown at most, the newest.
const SHOWN: usize = 1_000;

/// One change that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// Its id.
    #[schema(value_type = String)]
    pub id: Id,
    /// When it was asked for, in milliseconds since 1970.
    pub at_ms: i64,
    /// `token NAME`.
    pub by: String,
    /// From which address.
    #[schema(value_type = String)]
    pub from: SocketAddr,
    /// What was asked for: `pause`.
    pub what: String,
    /// Why, as they said.
    pub note: String,
    /// What became of it; `None`: it was cut off, and may have been done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// The log of one pipeline.
pub struct Audit {
    location: Location,
    pipeline: String,
    runtime: Arc<dyn Runtime>,
}

impl Audit {
    /// The audit of `pipeline` in the registry at `location`.
    pub fn new(location: Location, pipeline: &str, runtime: Arc<dyn Runtime>) -> Self {
        Self { location, pipeline: pipeline.to_owned(), runtime }
    }

    /// Notes what is about to be done. Without that it may not be done.
    ///
    /// # Errors
    /// The storage does not answer.
    pub async fn asked(&self, by: &str, from: SocketAddr, what: &str, note: &str) -> Result<Change> {
        let change = Change {
            id: Id(self.runtime.random()),
            at_ms: self.runtime.now_ms(),
            by: by.to_owned(),
            from,
            what: what.to_owned(),
            note: note.to_owned(),
            outcome: None,
        };
        self.write(&change, "asked").await?;
        Ok(change)
    }

    /// Notes what became of it. The change was made or not, whatever becomes of the note.
    pub async fn ended(&self, change: Change, outcome: String) {
        let change = Change { outcome: Some(outcome), ..change };
        if let Err(error) = self.write(&change, "ended").await {
            tracing::warn!(%error, change = %change.id, "the audit does not say what became of a change");
        }
    }

    /// The newest changes, oldest of them first.
    ///
    /// # Errors
    /// The storage does not answer, or a file cannot be read.
    pub async fn newest(&self) -> Result<Vec<Change>> {
        let storage = self.location.storage.as_ref();
        let entries = storage.list(&self.directory()).await.map_err(|error| self.unanswered(error))?;
        let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        // The end sorts behind what was asked.
        names.sort();
        let names = names.split_off(names.len().saturating_sub(2 * SHOWN));
        let mut found = BTreeMap::new();
        for name in names.iter().filter(|name| name.ends_with(".json")) {
            let path = format!("{}/{name}", self.directory());
            let bytes = storage.read(&path).await.map_err(|error| self.unanswered(error))?;
            let change: Change = parse(&path, &bytes)?;
            let place = found.entry((change.at_ms, change.id)).or_insert_with(|| change.clone());
            if change.outcome.is_some() {
                *place = change;
            }
        }
        let skipped = found.len().saturating_sub(SHOWN);
        Ok(found.into_values().skip(skipped).collect())
    }

    fn directory(&self) -> String {
        self.location.join(&format!("audit/{}", self.pipeline))
    }

    async fn write(&self, change: &Change, state: &str) -> Result<()> {
        let path = format!("{}/{:013}-{}-{state}.json", self.directory(), change.at_ms.max(0), change.id);
        let written = create_once(self.location.storage.as_ref(), &path, to_json(change), self.runtime.random()).await;
        written.map(drop).map_err(|error| self.unanswered(error))
    }

    fn unanswered(&self, error: StorageError) -> Error {
        Error::transient(format!("the audit in {} cannot be read or written, so nothing is changed", self.location.url))
            .because(error)
            .hint("does the server answer, and may this user write there?")
    }
}

//! Statuses in the pipeline's storage: `<registry>/hosts/<pipeline>/<host>-<number>.json`.
//!
//! A file is written once; the next one has the next number, and then the last one is deleted. So readers may see two of a
//! host, and take the newer.

use std::collections::BTreeMap;

use super::{HostStatus, LIVING};
use crate::error::{Error, Result};
use crate::registry::{parse, to_json};
use crate::storage::{Location, StorageError, StorageErrorKind, create_once};

/// Where the hosts of one pipeline write their statuses.
#[derive(Clone)]
pub struct Post {
    location: Location,
    pipeline: String,
    /// The number of the file that stands there.
    written: u64,
}

impl Post {
    /// The post of `pipeline` in the registry at `location`.
    pub fn new(location: Location, pipeline: &str) -> Self {
        Self { location, pipeline: pipeline.to_owned(), written: 0 }
    }

    /// Writes a host's status in place of its last one.
    ///
    /// # Errors
    /// The storage does not answer.
    pub async fn write(&mut self, status: &HostStatus) -> Result<()> {
        let storage = self.location.storage.as_ref();
        let (last, next) = (self.path(&status.host, self.written), self.path(&status.host, self.written + 1));
        let written = create_once(storage, &next, to_json(status), u128::from(self.written)).await;
        written.map_err(|error| self.unanswered(error))?;
        if self.written > 0 {
            storage.delete(&last).await.map_err(|error| self.unanswered(error))?;
        }
        self.written += 1;
        Ok(())
    }

    /// Takes a host's status away: it ends.
    ///
    /// # Errors
    /// The storage does not answer.
    pub async fn remove(&self, host: &str) -> Result<()> {
        let deleted = self.location.storage.delete(&self.path(host, self.written)).await;
        deleted.map(drop).map_err(|error| self.unanswered(error))
    }

    /// The statuses of all hosts that live, by host. Files of hosts that died long ago are swept on the way.
    ///
    /// # Errors
    /// The storage does not answer, or a status cannot be read.
    pub async fn read(&self, now_ms: i64) -> Result<Vec<HostStatus>> {
        let storage = self.location.storage.as_ref();
        let entries = storage.list(&self.directory()).await.map_err(|error| self.unanswered(error))?;
        let living = LIVING.as_millis() as i64;
        let mut newest: BTreeMap<String, HostStatus> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.name.ends_with(".json")) {
            let path = format!("{}/{}", self.directory(), entry.name);
            if now_ms - entry.modified_ms > 20 * living {
                // Best effort: it only takes room.
                let _ = storage.delete(&path).await;
                continue;
            }
            let bytes = match storage.read(&path).await {
                Ok(bytes) => bytes,
                // Its host has just written the next one.
                Err(error) if error.kind == StorageErrorKind::NotFound => continue,
                Err(error) => return Err(self.unanswered(error)),
            };
            let status: HostStatus = parse(&path, &bytes)?;
            if now_ms - status.at_ms > living {
                continue;
            }
            let known = newest.get(&status.host).map_or(i64::MIN, |known| known.at_ms);
            if status.at_ms > known {
                newest.insert(status.host.clone(), status);
            }
        }
        Ok(newest.into_values().collect())
    }

    fn directory(&self) -> String {
        self.location.join(&format!("hosts/{}", self.pipeline))
    }

    fn path(&self, host: &str, number: u64) -> String {
        format!("{}/{host}-{number}.json", self.directory())
    }

    fn unanswered(&self, error: StorageError) -> Error {
        Error::transient(format!("the hosts' statuses in {} cannot be read or written", self.location.url))
            .because(error)
            .hint("does the server answer, and may this user write there?")
    }
}

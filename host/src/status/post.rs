//! Statuses in a storage, one file for each host: `<registry>/hosts/<pipeline>/<host>-<number>.json`.
//!
//! A file is written once; the next one has the next number, and then the last one is deleted. So readers may see two of a
//! host, and take the newer.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{HostStatus, LIVING};
use crate::error::{Error, Result};
use crate::registry::{parse, to_json};
use crate::storage::{Location, StorageError, StorageErrorKind, create_once};

/// What hosts tell of themselves again and again.
pub trait Posted: Serialize + DeserializeOwned {
    /// The host's id.
    fn host(&self) -> &str;
    /// When it was written, in milliseconds since 1970.
    fn at_ms(&self) -> i64;
}

impl Posted for HostStatus {
    fn host(&self) -> &str {
        &self.host
    }

    fn at_ms(&self) -> i64 {
        self.at_ms
    }
}

/// Where hosts write their statuses.
#[derive(Clone)]
pub struct Post<S = HostStatus> {
    location: Location,
    /// Below the location.
    directory: String,
    /// The number of the file that stands there.
    written: u64,
    of: PhantomData<fn() -> S>,
}

impl Post {
    /// The post of `pipeline` in the registry at `location`.
    pub fn new(location: Location, pipeline: &str) -> Self {
        Self::in_directory(location, &format!("hosts/{pipeline}"))
    }
}

impl<S: Posted> Post<S> {
    /// The post in a directory of `location`.
    pub fn in_directory(location: Location, directory: &str) -> Self {
        Self { location, directory: directory.to_owned(), written: 0, of: PhantomData }
    }

    /// Writes a host's status in place of its last one.
    ///
    /// # Errors
    /// The storage does not answer.
    pub async fn write(&mut self, status: &S) -> Result<()> {
        let storage = self.location.storage.as_ref();
        let (last, next) = (self.path(status.host(), self.written), self.path(status.host(), self.written + 1));
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
    pub async fn read(&self, now_ms: i64) -> Result<Vec<S>> {
        let storage = self.location.storage.as_ref();
        let entries = storage.list(&self.directory()).await.map_err(|error| self.unanswered(error))?;
        let living = LIVING.as_millis() as i64;
        let mut newest: BTreeMap<String, S> = BTreeMap::new();
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
            let status: S = parse(&path, &bytes)?;
            if now_ms - status.at_ms() > living {
                continue;
            }
            let known = newest.get(status.host()).map_or(i64::MIN, Posted::at_ms);
            if status.at_ms() > known {
                newest.insert(status.host().to_owned(), status);
            }
        }
        Ok(newest.into_values().collect())
    }

    fn directory(&self) -> String {
        self.location.join(&self.directory)
    }

    fn path(&self, host: &str, number: u64) -> String {
        format!("{}/{host}-{number}.json", self.directory())
    }

    fn unanswered(&self, error: StorageError) -> Error {
        Error::transient(format!("the statuses of hosts in {} cannot be read or written", self.location.url))
            .because(error)
            .hint("does the server answer, and may this user write there?")
    }
}

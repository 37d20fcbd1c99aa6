//! Whether a storage answers: remembered on the way of every operation, asked by nobody else.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Entry, FileWriter, Location, Storage, StorageErrorKind, StorageResult};

/// When a server answered last, and when and why it failed last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Health {
    /// When it did last what it was asked for, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at_ms: Option<i64>,
    /// When it did not last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at_ms: Option<i64>,
    /// What it said then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was asked for so far.
    pub operations: u64,
    /// Of these, those that failed.
    pub failures: u64,
}

impl Health {
    /// Whether the last that is known of it is that it did not answer.
    pub fn is_failing(&self) -> bool {
        self.failed_at_ms.is_some_and(|failed| self.answered_at_ms.is_none_or(|answered| answered <= failed))
    }
}

/// Remembers how the operations on a storage ended.
#[derive(Debug, Default)]
pub struct Monitor {
    answered_at_ms: AtomicI64,
    rest: Mutex<Health>,
}

impl Monitor {
    /// What is known now.
    pub fn health(&self) -> Health {
        let answered = self.answered_at_ms.load(Relaxed);
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Health { answered_at_ms: (answered > 0).then_some(answered), ..rest }
    }

    /// An operation ended. What is missing or there already is an answer too.
    fn note<T>(&self, outcome: StorageResult<T>) -> StorageResult<T> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.operations += 1;
        match &outcome {
            Err(error) if !matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::AlreadyExists) => {
                let because = error.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
                rest.failures += 1;
                rest.failed_at_ms = Some(now_ms());
                rest.error = Some(format!("{error}{because}"));
            }
            _ => self.answered_at_ms.store(now_ms(), Relaxed),
        }
        outcome
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The same location, with what becomes of its operations.
pub fn monitored(location: Location) -> (Location, Arc<Monitor>) {
    let monitor = Arc::new(Monitor::default());
    let storage = Arc::new(Monitored { storage: location.storage, monitor: Arc::clone(&monitor) });
    (Location { storage, ..location }, monitor)
}

#[derive(Debug)]
struct Monitored {
    storage: Arc<dyn Storage>,
    monitor: Arc<Monitor>,
}

#[async_trait]
impl Storage for Monitored {
    async fn create(&self, path: &str) -> StorageResult<Box<dyn FileWriter>> {
        let writer = self.monitor.note(self.storage.create(path).await)?;
        Ok(Box::new(MonitoredWriter { writer, monitor: Arc::clone(&self.monitor) }))
    }

    async fn read(&self, path: &str) -> StorageResult<Bytes> {
        self.monitor.note(self.storage.read(path).await)
    }

    async fn read_range(&self, path: &str, range: Range<u64>) -> StorageResult<Bytes> {
        self.monitor.note(self.storage.read_range(path, range).await)
    }

    async fn stat(&self, path: &str) -> StorageResult<Option<Entry>> {
        self.monitor.note(self.storage.stat(path).await)
    }

    async fn list(&self, path: &str) -> StorageResult<Vec<Entry>> {
        self.monitor.note(self.storage.list(path).await)
    }

    async fn rename(&self, from: &str, to: &str) -> StorageResult<()> {
        self.monitor.note(self.storage.rename(from, to).await)
    }

    async fn create_directory(&self, path: &str) -> StorageResult<()> {
        self.monitor.note(self.storage.create_directory(path).await)
    }

    async fn delete(&self, path: &str) -> StorageResult<bool> {
        self.monitor.note(self.storage.delete(path).await)
    }
}

struct MonitoredWriter {
    writer: Box<dyn FileWriter>,
    monitor: Arc<Monitor>,
}

#[async_trait]
impl FileWriter for MonitoredWriter {
    async fn write(&mut self, bytes: Bytes) -> StorageResult<()> {
        self.monitor.note(self.writer.write(bytes).await)
    }

    async fn sync(&mut self) -> StorageResult<()> {
        self.monitor.note(self.writer.sync().await)
    }

    async fn close(&mut self) -> StorageResult<()> {
        self.monitor.note(self.writer.close().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{StorageOptions, open};

    #[tokio::test]
    async fn what_is_missing_is_an_answer_and_what_is_refused_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let location = open(directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap();
        let (location, monitor) = monitored(location);
        assert_eq!(monitor.health(), Health::default());
        assert!(location.storage.read(&location.join("none")).await.is_err());
        let health = monitor.health();
        assert!(health.answered_at_ms.is_some() && !health.is_failing() && health.failures == 0, "{health:?}");
        // A file where a directory is needed.
        std::fs::write(directory.path().join("file"), "").unwrap();
        assert!(location.storage.create(&location.join("file/below")).await.is_err());
        let health = monitor.health();
        assert_eq!((health.failures, health.operations), (1, 2), "{health:?}");
        assert!(health.is_failing() || health.answered_at_ms > health.failed_at_ms, "{health:?}");
        assert!(health.error.is_some_and(|error| error.contains("file/below")));
    }
}

//! Where files live: HDFS or a local disk, behind the few operations that the protocol needs.
//!
//! Guarantees asked of every implementation: a rename never overwrites and is atomic; `list`, `stat` and `read` show
//! every operation that was answered before they were asked. Nothing is promised about an operation that failed with
//! [`StorageErrorKind::Unknown`]: it may have been applied, or may be applied later. No implementation tries a mutation
//! again by itself unless it cannot avoid it (HDFS's client can), so callers look before they decide.

mod create_once;
pub mod hdfs;
pub mod local;
mod monitor;
mod open;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::create_once::create_once;
pub use self::monitor::{Health, Monitor, monitored};
pub use self::open::{StorageOptions, open};

/// What went wrong, by what the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// There is no such file (or, for a rename, no such source or target directory).
    NotFound,
    /// The target exists.
    AlreadyExists,
    /// Not allowed; trying again does not help.
    Denied,
    /// The disk or quota is full.
    NoSpace,
    /// Anything else: an I/O error or a time-out. Says nothing about whether the operation was, or will be, applied.
    Unknown,
}

/// An operation on storage failed.
#[derive(Debug)]
pub struct StorageError {
    /// By what the caller can do.
    pub kind: StorageErrorKind,
    /// The operation, as in the trait: `rename`.
    pub operation: &'static str,
    /// The path it was asked for.
    pub path: String,
    /// The cause.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// An error of `kind` from `operation` on `path`.
    pub fn new(kind: StorageErrorKind, operation: &'static str, path: &str) -> Self {
        Self { kind, operation, path: path.to_owned(), source: None }
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StorageErrorKind::NotFound => "not found",
            StorageErrorKind::AlreadyExists => "exists already",
            StorageErrorKind::Denied => "permission denied",
            StorageErrorKind::NoSpace => "no space left",
            StorageErrorKind::Unknown => "failed, outcome unknown",
        };
        write!(f, "storage: {} {}: {what}", self.operation, self.path)
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

/// The result of an operation on storage.
pub type StorageResult<T> = Result<T, StorageError>;

/// A file or directory, as `stat` and `list` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// Bytes; 0 for a directory.
    pub length: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Milliseconds since 1970 of the last change.
    pub modified_ms: i64,
}

/// A file being written. Dropping it without `close` abandons the file where it is.
#[async_trait]
pub trait FileWriter: Send {
    /// Appends `bytes`.
    async fn write(&mut self, bytes: Bytes) -> StorageResult<()>;
    /// Makes what was written so far survive a power loss.
    async fn sync(&mut self) -> StorageResult<()>;
    /// Finishes the file. Called once: after a failure the file is abandoned, not closed again.
    async fn close(&mut self) -> StorageResult<()>;
}

/// A storage. Paths are absolute, `/`-separated, without scheme: `/user/events/bronze`.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates a file that must not exist, with its parent directories.
    async fn create(&self, path: &str) -> StorageResult<Box<dyn FileWriter>>;
    /// The whole file.
    async fn read(&self, path: &str) -> StorageResult<Bytes>;
    /// The bytes of `range`, which must lie within the file.
    async fn read_range(&self, path: &str, range: Range<u64>) -> StorageResult<Bytes>;
    /// The entry at `path`, or `None` when there is none.
    async fn stat(&self, path: &str) -> StorageResult<Option<Entry>>;
    /// The direct children of a directory, in no order; empty when there is no such directory.
    async fn list(&self, path: &str) -> StorageResult<Vec<Entry>>;
    /// Moves a file, atomically, never onto an existing one, creating no directory.
    async fn rename(&self, from: &str, to: &str) -> StorageResult<()>;
    /// Creates a directory and its parents; fine when it is there.
    async fn create_directory(&self, path: &str) -> StorageResult<()>;
    /// Deletes one file, or one empty directory. `false`: there was none.
    async fn delete(&self, path: &str) -> StorageResult<bool>;
}

/// A storage and a directory in it: what a `location = "..."` of the pipeline file stands for.
#[derive(Debug, Clone)]
pub struct Location {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    /// The directory's absolute path, without a trailing slash.
    pub path: String,
    /// As the user wrote it, for messages.
    pub url: String,
}

impl Location {
    /// The path of `relative` below this directory.
    pub fn join(&self, relative: &str) -> String {
        format!("{}/{relative}", self.path)
    }
}

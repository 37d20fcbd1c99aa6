//! Publishing: renaming staged files to their final names, by the table of cases below. Used after a commit and by
//! recovery alike; fine to do again at any time.
//!
//! | staged | target | do |
//! |---|---|---|
//! | yes, right length | no | rename |
//! | no | yes, right length | done: go on with the next file |
//! | yes | yes, right length | delete the staged one |
//! | no | no | [`PublishError::Missing`]: the caller knows whether that is a loss |
//! | wrong length | any, or the reverse | [`PublishError::WrongLength`] |

use std::fmt;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::checkpoint::{FileRecord, Protocol};
use crate::runtime::Runtime;
use crate::storage::{Entry, Storage, StorageError, StorageErrorKind, StorageResult};

/// Files of one record that are published side by side.
const SIDE_BY_SIDE: usize = 16;

/// How often one file is looked at again after an unclear answer.
const TRIES: u32 = 5;

/// Why a file could not be published.
#[derive(Debug)]
pub enum PublishError {
    /// The storage did not answer clearly.
    Storage(StorageError),
    /// Neither the staged file nor the target exists.
    Missing {
        /// Where it was staged.
        staged: String,
        /// Where it belongs.
        target: String,
    },
    /// A file has another length than its record says.
    WrongLength {
        /// The file.
        path: String,
        /// Its length in bytes.
        found: u64,
        /// The length in the record.
        wanted: u64,
    },
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Missing { staged, target } => write!(f, "neither {staged} nor {target} exists"),
            Self::WrongLength { path, found, wanted } => {
                write!(f, "{path} has {found} bytes, its record says {wanted}")
            }
        }
    }
}

impl From<StorageError> for PublishError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Publishes all files of a record.
pub async fn publish_files(
    storage: &dyn Storage,
    runtime: &dyn Runtime,
    protocol: Protocol,
    files: &[FileRecord],
) -> Result<(), PublishError> {
    if !protocol.publish_every_file {
        for file in files {
            if storage.stat(&file.target).await?.is_some() {
                return Ok(());
            }
            publish_file(storage, runtime, protocol, file).await?;
        }
        return Ok(());
    }
    let each: Vec<_> = files.iter().map(|file| publish_file(storage, runtime, protocol, file)).collect();
    stream::iter(each).buffer_unordered(SIDE_BY_SIDE).try_collect().await
}

async fn publish_file(
    storage: &dyn Storage,
    runtime: &dyn Runtime,
    protocol: Protocol,
    file: &FileRecord,
) -> Result<(), PublishError> {
    let mut tries = 0;
    loop {
        match try_publish(storage, protocol, file).await {
            Err(PublishError::Storage(error)) if error.kind != StorageErrorKind::Denied && tries < TRIES => {
                tracing::debug!(%error, "looking again after an unclear answer");
                runtime.sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
                tries += 1;
            }
            other => return other,
        }
    }
}

async fn try_publish(storage: &dyn Storage, protocol: Protocol, file: &FileRecord) -> Result<(), PublishError> {
    // The staged file first: another take-over may publish it between the two looks, and then the second one sees the
    // target. In the other order both looks could come back empty.
    let (staged, target) = if protocol.staged_before_target {
        let staged = look(storage, &file.staged, file).await?;
        (staged, look(storage, &file.target, file).await?)
    } else {
        let target = look(storage, &file.target, file).await?;
        (look(storage, &file.staged, file).await?, target)
    };
    match (staged, target) {
        (true, false) => {
            if let Some((parent, _)) = file.target.rsplit_once('/') {
                storage.create_directory(parent).await?;
            }
            Ok(storage.rename(&file.staged, &file.target).await?)
        }
        (true, true) => {
            storage.delete(&file.staged).await?;
            Ok(())
        }
        (false, true) => Ok(()),
        (false, false) => Err(PublishError::Missing { staged: file.staged.clone(), target: file.target.clone() }),
    }
}

/// Whether the file is there, in the right length.
async fn look(storage: &dyn Storage, path: &str, file: &FileRecord) -> Result<bool, PublishError> {
    match answered(storage.stat(path).await)? {
        None => Ok(false),
        Some(entry) if entry.length == file.bytes => Ok(true),
        Some(entry) => {
            Err(PublishError::WrongLength { path: path.to_owned(), found: entry.length, wanted: file.bytes })
        }
    }
}

fn answered(stat: StorageResult<Option<Entry>>) -> Result<Option<Entry>, PublishError> {
    stat.map_err(PublishError::Storage)
}

//! Whose a table is: one pipeline with one checkpoint location.
//!
//! Two pipelines on one table, or one pipeline that begins anew with empty checkpoints, would write the same events twice,
//! under the same names. So the first run leaves a note in the table, which readers of plain directories skip, and a run
//! that finds another's note is refused before it reads anything.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::storage::{Location, StorageError, StorageErrorKind, create_once};

/// Name of the note below the table's location.
const NOTE: &str = "_owner.json";

/// Who writes a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// `[pipeline] name`.
    pub pipeline: String,
    /// The path of `[checkpoint] location` on its storage.
    pub checkpoints: String,
}

/// Makes the table ours, or finds that it is. `attempt`: a number that is never used again.
///
/// # Errors
/// Another pipeline's note stands there, the note cannot be read, or the storage does not answer.
pub async fn claim(table: &Location, owner: &Owner, attempt: u128) -> Result<()> {
    if look(table, owner).await? {
        return Ok(());
    }
    let mut bytes = serde_json::to_vec_pretty(owner).unwrap_or_default();
    bytes.push(b'\n');
    let written = create_once(table.storage.as_ref(), &table.join(NOTE), Bytes::from(bytes), attempt).await;
    match written.map_err(|error| unanswered(table, error))? {
        None => Ok(()),
        Some(others) => judge(table, owner, &others),
    }
}

/// Whether the table is ours already; `false`: nobody's yet.
///
/// # Errors
/// As [`claim`].
pub async fn look(table: &Location, owner: &Owner) -> Result<bool> {
    let bytes = match table.storage.read(&table.join(NOTE)).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StorageErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unanswered(table, error)),
    };
    judge(table, owner, &bytes).map(|()| true)
}

/// The note that stands there must be ours.
fn judge(table: &Location, owner: &Owner, bytes: &[u8]) -> Result<()> {
    let path = table.join(NOTE);
    let found: Owner = serde_json::from_slice(bytes).map_err(|error| {
        Error::config(format!("cannot read {path}, which says whose the table is"))
            .because(error)
            .hint("if only this pipeline ever wrote the table, remove the file: it is written anew")
    })?;
    if found == *owner {
        return Ok(());
    }
    let what = format!(
        "{} belongs to pipeline `{}` with checkpoints in {}, not to `{}` with checkpoints in {}",
        table.url, found.pipeline, found.checkpoints, owner.pipeline, owner.checkpoints
    );
    let hint = format!(
        "two writers would put the same events into it twice. Give this pipeline a table of its own, or its old name and \
         [checkpoint] location back. If the old pipeline has ended for good and this one goes on behind it, remove {path}"
    );
    Err(Error::config(what).hint(hint))
}

fn unanswered(table: &Location, error: StorageError) -> Error {
    Error::transient(format!("cannot find out whose the table {} is", table.url))
        .because(error)
        .hint("is the address right, does the server answer, and may the user that runs wasmill write there?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::{self, StorageOptions};

    fn owner(pipeline: &str, checkpoints: &str) -> Owner {
        Owner { pipeline: pipeline.to_owned(), checkpoints: checkpoints.to_owned() }
    }

    #[tokio::test]
    async fn the_first_owner_stays_and_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let table = storage::open(directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap();
        let first = owner("plays", "/checkpoints/plays");
        assert!(!look(&table, &first).await.unwrap());
        claim(&table, &first, 1).await.unwrap();
        claim(&table, &first, 2).await.unwrap();
        for other in [owner("songs", "/checkpoints/plays"), owner("plays", "/checkpoints/anew")] {
            let error = claim(&table, &other, 3).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("belongs to pipeline `plays`"), "{error}");
        }
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [NOTE], "no temporary file stays");
    }

    #[tokio::test]
    async fn a_note_that_cannot_be_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let table = storage::open(directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap();
        std::fs::write(directory.path().join(NOTE), b"{").unwrap();
        let error = claim(&table, &owner("plays", "/c"), 1).await.unwrap_err();
        assert!(error.what_to_do().unwrap().contains("written anew"));
    }

    #[tokio::test]
    async fn of_many_that_claim_at_once_one_owns() {
        let directory = tempfile::tempdir().unwrap();
        let table = storage::open(directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap();
        let names: Vec<Owner> = (0..8).map(|number| owner(&format!("pipeline-{number}"), "/c")).collect();
        let claims = names.iter().zip(0..).map(|(owner, attempt)| claim(&table, owner, attempt));
        let won = futures::future::join_all(claims).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1);
    }
}

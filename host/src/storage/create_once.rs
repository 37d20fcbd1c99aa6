//! A file that is written whole and never changed: of all who try, one creates it, and the others learn what it holds.
//!
//! Readers see nothing or all of it. What a crash leaves behind is a temporary file beside it whose name begins with `_` and
//! ends with `.tmp`; it means nothing to anybody.

use bytes::Bytes;

use super::{Storage, StorageErrorKind, StorageResult};

/// Creates `path` with `bytes`. `attempt`: a number that is never used again. `None`: these bytes stand there now, by us or by
/// somebody who wrote the same. `Some`: others do.
///
/// # Errors
/// The storage does not answer. With [`StorageErrorKind::Unknown`] the file may be there, or appear later.
pub async fn create_once(
    storage: &dyn Storage,
    path: &str,
    bytes: Bytes,
    attempt: u128,
) -> StorageResult<Option<Bytes>> {
    if let Some(found) = look(storage, path).await? {
        return Ok(other_than(&bytes, found));
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let temporary = format!("{directory}/_{name}-{attempt:032x}.tmp");
    let Err(error) = write_and_rename(storage, &temporary, path, &bytes).await else { return Ok(None) };
    // Best effort; once it is gone, a rename whose outcome is unknown cannot land any more.
    let _ = storage.delete(&temporary).await;
    // Somebody was faster, or it was our own rename and its answer was lost: what stands there tells.
    match look(storage, path).await? {
        Some(found) => Ok(other_than(&bytes, found)),
        None => Err(error),
    }
}

fn other_than(ours: &Bytes, found: Bytes) -> Option<Bytes> {
    (found != *ours).then_some(found)
}

async fn look(storage: &dyn Storage, path: &str) -> StorageResult<Option<Bytes>> {
    match storage.read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write_and_rename(storage: &dyn Storage, temporary: &str, path: &str, bytes: &Bytes) -> StorageResult<()> {
    let mut writer = storage.create(temporary).await?;
    writer.write(bytes.clone()).await?;
    writer.sync().await?;
    writer.close().await?;
    storage.rename(temporary, path).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{StorageOptions, open};

    #[tokio::test]
    async fn of_many_one_creates_and_all_know_what_stands_there() {
        let directory = tempfile::tempdir().unwrap();
        let location = open(directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap();
        let path = location.join("deep/file.json");
        let storage = location.storage.as_ref();
        let attempts = (0..8_u8).map(|n| create_once(storage, &path, Bytes::from(vec![n]), u128::from(n)));
        let outcomes = futures::future::join_all(attempts).await;
        let stands = std::fs::read(directory.path().join("deep/file.json")).unwrap();
        for (n, outcome) in (0..8_u8).zip(outcomes) {
            let wanted = (stands != [n]).then(|| Bytes::from(stands.clone()));
            assert_eq!(outcome.unwrap(), wanted);
        }
        assert_eq!(std::fs::read_dir(directory.path().join("deep")).unwrap().count(), 1, "no temporary file stays");
        assert_eq!(create_once(storage, &path, Bytes::from(stands), 9).await.unwrap(), None);
    }
}

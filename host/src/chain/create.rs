//! Creating a record: the only commit there is.

use bytes::Bytes;

use super::{Chain, ChainError, ChainResult, TRIES};
use crate::checkpoint::{Id, Record, newest, record_name, temporary_name};
use crate::storage::{StorageError, StorageErrorKind, StorageResult};

/// Creates `record` and confirms that it counts. Returns the names in the chain's directory, listed after that.
///
/// Before this has returned, nothing of the record may be published, acknowledged or swept: a record that was created
/// with a stale number (others had used and pruned it) is void, and only the listing shows it.
pub(super) async fn create(chain: &Chain, record: &Record, confirm: bool) -> ChainResult<Vec<String>> {
    let attempt = if chain.protocol.unique_temporary_names { chain.runtime.random() } else { 0 };
    let temporary = chain.path(&temporary_name(record.sequence, Id(attempt)));
    write_temporary(chain, &temporary, record).await?;
    rename(chain, &temporary, record).await?;
    if !confirm {
        return Ok(vec![record_name(record.sequence)]);
    }
    let names = chain.list().await?;
    match newest(names.iter().map(String::as_str)) {
        Some(newest) if newest > record.sequence => {
            if !chain.protocol.keep_void_records {
                chain.checkpoints.storage.delete(&chain.path(&record_name(record.sequence))).await?;
            }
            Err(ChainError::Lost(format!("record {newest} exists, so our record {} is void", record.sequence)))
        }
        _ => Ok(names),
    }
}

/// Nothing refers to a temporary file before its rename was asked for, so a failure here needs no care.
async fn write_temporary(chain: &Chain, path: &str, record: &Record) -> StorageResult<()> {
    let mut writer = chain.checkpoints.storage.create(path).await?;
    writer.write(Bytes::from(record.to_bytes())).await?;
    writer.sync().await?;
    writer.close().await
}

/// Renames the temporary file to the record's name; after anything but a clean success looks who is there.
async fn rename(chain: &Chain, temporary: &str, record: &Record) -> ChainResult<()> {
    let target = chain.path(&record_name(record.sequence));
    let mut tries = 0;
    loop {
        let Err(error) = chain.checkpoints.storage.rename(temporary, &target).await else { return Ok(()) };
        match who_is_there(chain, record).await? {
            Holder::Us => return Ok(()),
            Holder::Another => {
                // Best effort: a sweep of a later take-over finds it otherwise.
                let _ = chain.checkpoints.storage.delete(temporary).await;
                return Err(ChainError::Lost(format!("another take-over created record {}", record.sequence)));
            }
            Holder::Nobody if tries < TRIES => {
                chain.pause(tries).await;
                tries += 1;
            }
            Holder::Nobody => {
                tracing::warn!(%error, "giving the creation of a record up");
                return cancel(chain, temporary, record).await;
            }
        }
    }
}

/// Gives a create up: the rename may still land late, unless its source is gone, and that must be seen.
async fn cancel(chain: &Chain, temporary: &str, record: &Record) -> ChainResult<()> {
    if chain.protocol.confirm_cancel {
        let storage = &chain.checkpoints.storage;
        storage.delete(temporary).await?;
        if chain.until_answered(|| storage.stat(temporary)).await?.is_some() {
            // Whether the rename lands is open, so this is no `Lost`: that would delete files which the record names.
            let unclear = StorageError::new(StorageErrorKind::Unknown, "delete", temporary);
            return Err(unclear.because("it is still there after it was deleted").into());
        }
        if matches!(who_is_there(chain, record).await?, Holder::Us) {
            return Ok(());
        }
    }
    Err(ChainError::Lost(format!("record {} could not be created and was given up", record.sequence)))
}

enum Holder {
    Us,
    Another,
    Nobody,
}

async fn who_is_there(chain: &Chain, record: &Record) -> StorageResult<Holder> {
    #[derive(serde::Deserialize)]
    struct Owner {
        id: Id,
        take_over: Id,
    }
    let Some(bytes) = chain.look(record.sequence).await? else { return Ok(Holder::Nobody) };
    // What cannot be read is not ours: our bytes were complete before the rename was asked for.
    let ours = serde_json::from_slice::<Owner>(&bytes).is_ok_and(|owner| {
        if chain.protocol.fresh_take_over_ids { owner.id == record.id } else { owner.take_over == record.take_over }
    });
    Ok(if ours { Holder::Us } else { Holder::Another })
}

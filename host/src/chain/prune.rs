//! Folding old records into archive files, so that a start reads a short directory however old the table is.
//!
//! The newest records stay. Older ones are first written, `fold` at a time, into one immutable archive file (JSON lines,
//! whole records), then deleted one by one. A void record (one whose successor names another predecessor) lies below the
//! newest, means nothing, and is never touched.
//!
//! It may run at any time, beside any writer and beside another of its kind: what it deletes is below a record that counts
//! and is in the archive already, and no writer asks for it. Two of them may put a record into two archive files; whoever
//! reads archives goes by the records' ids.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Chain;
use crate::checkpoint::{ChainName, Id, Record, mark_name, parse_name, record_name, temporary_name};
use crate::storage::{StorageErrorKind, StorageResult};

/// Folds if there is enough to fold. `names` is a listing of the chain's directory. A failure only delays it.
pub(super) async fn prune(chain: &Chain, names: &[String]) {
    if let Err(error) = try_prune(chain, names).await {
        tracing::warn!(topic_partition = %chain.topic_partition, %error, "folding old records failed; the next checkpoint tries again");
    }
}

async fn try_prune(chain: &Chain, names: &[String]) -> StorageResult<()> {
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| record_sequence(name)).collect();
    sequences.sort_unstable();
    let keep = chain.retention.keep.max(1);
    if sequences.len() < keep + chain.retention.fold.max(1) {
        return Ok(());
    }
    // Read from the newest of those that go down to the oldest, following predecessors: what does not fit is void.
    let successor = sequences[sequences.len() - keep];
    let Some(mut expected) = predecessor_of(chain, successor).await? else { return Ok(()) };
    let mut records = BTreeMap::new();
    for &sequence in sequences[..sequences.len() - keep].iter().rev() {
        let Some(record) = read(chain, sequence).await? else { return Ok(()) };
        if record.id != expected && chain.protocol.fold_by_predecessor {
            break;
        }
        let predecessor = record.predecessor;
        records.insert(sequence, record);
        match predecessor {
            Some(predecessor) => expected = predecessor,
            None => break,
        }
    }
    // Records that an interrupted prune archived but did not delete go without being archived again.
    let archived = archived_up_to(chain).await?;
    let is_fresh =
        |record: &&Record| !chain.protocol.fold_by_predecessor || archived.is_none_or(|last| record.sequence > last);
    let fresh: Vec<&Record> = records.values().filter(is_fresh).collect();
    let before = chain.protocol.archive_before_delete;
    if before && !fresh.is_empty() {
        archive(chain, &fresh).await?;
    }
    for record in records.values() {
        chain.checkpoints.storage.delete(&chain.path(&mark_name(record.sequence, record.id))).await?;
        chain.checkpoints.storage.delete(&chain.path(&record_name(record.sequence))).await?;
    }
    if !before && !fresh.is_empty() {
        archive(chain, &fresh).await?;
    }
    Ok(())
}

fn record_sequence(name: &str) -> Option<u64> {
    match parse_name(name) {
        Some(ChainName::Record(sequence)) => Some(sequence),
        _ => None,
    }
}

/// `None`: another prune was faster, or the record cannot be read (a start says so; pruning only leaves it).
async fn read(chain: &Chain, sequence: u64) -> StorageResult<Option<Record>> {
    Ok(chain.look(sequence).await?.and_then(|bytes| Record::from_bytes(sequence, &bytes).ok()))
}

async fn predecessor_of(chain: &Chain, sequence: u64) -> StorageResult<Option<Id>> {
    Ok(read(chain, sequence).await?.and_then(|record| record.predecessor))
}

/// The last sequence in the archive, by the names of its files: `<first>-<last>.jsonl`.
async fn archived_up_to(chain: &Chain) -> StorageResult<Option<u64>> {
    let directory = chain.path("archive");
    let entries = chain.until_answered(|| chain.checkpoints.storage.list(&directory)).await?;
    let last = |name: &str| name.strip_suffix(".jsonl")?.split_once('-')?.1.parse::<u64>().ok();
    Ok(entries.iter().filter_map(|entry| last(&entry.name)).max())
}

async fn archive(chain: &Chain, records: &[&Record]) -> StorageResult<()> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
    let name = format!("{:020}-{:020}", first.sequence, last.sequence);
    let bytes: Vec<u8> = records.iter().flat_map(|record| record.to_line()).collect();
    let storage = &chain.checkpoints.storage;
    // Named like a record's temporary file, so that the sweep of a later take-over finds what a crash leaves.
    let temporary = chain.path(&temporary_name(last.sequence, Id(chain.runtime.random())));
    let mut writer = storage.create(&temporary).await?;
    writer.write(Bytes::from(bytes)).await?;
    writer.sync().await?;
    writer.close().await?;
    storage.create_directory(&chain.path("archive")).await?;
    match storage.rename(&temporary, &chain.path(&format!("archive/{name}.jsonl"))).await {
        // Records never change, so an archive of the same range has the same content.
        Err(error) if error.kind == StorageErrorKind::AlreadyExists => {
            storage.delete(&temporary).await?;
            Ok(())
        }
        other => other,
    }
}

//! Sweeping what fenced take-overs left behind: staged files and temporary files that no record can name any more.

use super::{Chain, TakeOver};
use crate::checkpoint::{ChainName, Id, parse_name, parse_staging_name};
use crate::storage::{Location, StorageResult};

/// Deletes the staged files of lower fences, and temporary files of records up to our fence. `names` is the chain's
/// directory as listed after our fence was confirmed.
///
/// Files of a lower fence are of no use any more: what the newest record named was published before our fence, and a
/// record that its writer creates from now on is void. Files of a higher fence are a successor's: never touched.
/// A failure only delays it: the next take-over sweeps again.
pub(super) async fn sweep(chain: &Chain, taken: &TakeOver, names: &[String]) {
    if let Err(error) = try_sweep(chain, (taken.fence, taken.id), names).await {
        tracing::warn!(topic_partition = %chain.topic_partition, %error, "sweeping old staged files failed; the next take-over tries again");
    }
}

/// The same for any take-over whose fence counts, given by the fence's sequence and the take-over's id. Returns how many
/// files were deleted.
pub(super) async fn try_sweep(chain: &Chain, taken: (u64, Id), names: &[String]) -> StorageResult<u64> {
    let mut deleted = 0;
    for name in names {
        if matches!(parse_name(name), Some(ChainName::Temporary(sequence)) if sequence <= taken.0) {
            deleted += u64::from(chain.checkpoints.storage.delete(&chain.path(name)).await?);
        }
    }
    for location in [&chain.table, &chain.dead_letters] {
        deleted += sweep_staging(chain, taken, location).await?;
    }
    Ok(deleted)
}

async fn sweep_staging(chain: &Chain, taken: (u64, Id), location: &Location) -> StorageResult<u64> {
    let storage = &location.storage;
    let root = chain.staging_root(location);
    let mut deleted = 0;
    for entry in chain.until_answered(|| storage.list(&root)).await? {
        let Some((fence, take_over)) = parse_staging_name(&entry.name) else { continue };
        let theirs = if chain.protocol.sweep_lower_fences_only { fence < taken.0 } else { take_over != taken.1 };
        if !theirs {
            continue;
        }
        let directory = format!("{root}/{}", entry.name);
        for file in chain.until_answered(|| storage.list(&directory)).await? {
            deleted += u64::from(storage.delete(&format!("{directory}/{}", file.name)).await?);
        }
        // Its writer may be staging still, so that it is not empty; a later sweep removes it then.
        if let Err(error) = storage.delete(&directory).await {
            tracing::debug!(directory, %error, "staging directory of a fenced take-over stays for now");
        }
    }
    Ok(deleted)
}

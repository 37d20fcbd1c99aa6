//! Sweeping what fenced take-overs left behind: staged files and temporary files that no record can name any more.

use super::{Chain, TakeOver};
use crate::checkpoint::{ChainName, parse_name, parse_staging_name};
use crate::storage::{Location, StorageResult};

/// Deletes the staged files of lower fences, and temporary files of records up to our fence. `names` is the chain's
/// directory as listed after our fence was confirmed.
///
/// Files of a lower fence are of no use any more: what the newest record named was published before our fence, and a
/// record that its writer creates from now on is void. Files of a higher fence are a successor's: never touched.
/// A failure only delays it: the next take-over sweeps again.
pub(super) async fn sweep(chain: &Chain, taken: &TakeOver, names: &[String]) {
    if let Err(error) = try_sweep(chain, taken, names).await {
        tracing::warn!(topic_partition = %chain.topic_partition, %error, "sweeping old staged files failed; the next take-over tries again");
    }
}

async fn try_sweep(chain: &Chain, taken: &TakeOver, names: &[String]) -> StorageResult<()> {
    for name in names {
        if matches!(parse_name(name), Some(ChainName::Temporary(sequence)) if sequence <= taken.fence) {
            chain.checkpoints.storage.delete(&chain.path(name)).await?;
        }
    }
    for location in [&chain.table, &chain.dead_letters] {
        sweep_staging(chain, taken, location).await?;
    }
    Ok(())
}

async fn sweep_staging(chain: &Chain, taken: &TakeOver, location: &Location) -> StorageResult<()> {
    let storage = &location.storage;
    let root = chain.staging_root(location);
    for entry in chain.until_answered(|| storage.list(&root)).await? {
        let Some((fence, take_over)) = parse_staging_name(&entry.name) else { continue };
        let theirs = if chain.protocol.sweep_lower_fences_only { fence < taken.fence } else { take_over != taken.id };
        if !theirs {
            continue;
        }
        let directory = format!("{root}/{}", entry.name);
        for file in chain.until_answered(|| storage.list(&directory)).await? {
            storage.delete(&format!("{directory}/{}", file.name)).await?;
        }
        // Its writer may be staging still, so that it is not empty; a later sweep removes it then.
        if let Err(error) = storage.delete(&directory).await {
            tracing::debug!(directory, %error, "staging directory of a fenced take-over stays for now");
        }
    }
    Ok(())
}

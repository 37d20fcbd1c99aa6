//! Removes dead letters that have expired, now and then, while the pipeline runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::herald::until;
use crate::config::Config;
use crate::error::Result;
use crate::runtime::Runtime;
use crate::status::{Board, TopicPartitionState};
use crate::storage;
use crate::table::dead_letters::expiry;

/// How soon after a topic partition is read; a run of a second sweeps nothing.
const FIRST: Duration = Duration::from_secs(3);

/// Days expire once a day; who restarts hosts often is not swept twice as much.
const EVERY: Duration = Duration::from_secs(3_600);

/// Sweeps until `over`, where `config` says how long dead letters stay.
///
/// # Errors
/// A location that is none.
pub(super) fn spawn(
    config: &Config,
    tokio: &tokio::runtime::Handle,
    over: Arc<AtomicBool>,
    board: Arc<Board>,
    runtime: Arc<dyn Runtime>,
) -> Result<()> {
    let Some(retention) = config.dead_letters.retention else { return Ok(()) };
    let _inside = tokio.enter();
    let location = storage::open(&config.dead_letters.location, &config.storage)?;
    tokio.spawn(async move {
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = until(&over) => return,
            }
            let now_ms = runtime.now_ms();
            let status = board.status(now_ms);
            // Only of those that are read is it certain that their chains were recovered.
            let is_read = |state: TopicPartitionState| state == TopicPartitionState::Running;
            let read = status.topic_partitions.into_iter().filter(|one| is_read(one.state));
            let own: BTreeSet<_> = read.map(|one| one.topic_partition).collect();
            if own.is_empty() {
                continue;
            }
            let first_kept = expiry::first_kept(retention, now_ms);
            match expiry::remove(&location, &own, &first_kept).await {
                Ok(0) => {}
                Ok(files) => tracing::info!(files, %first_kept, "expired dead letters were removed"),
                Err(error) => {
                    tracing::warn!(%error, "expired dead letters could not be removed; tried again in an hour")
                }
            }
            wait = EVERY;
        }
    });
    Ok(())
}

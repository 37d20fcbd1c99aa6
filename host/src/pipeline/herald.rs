//! Tells the other hosts, and whoever asks, what this one does and what its guests log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::runtime::{Runtime as _, TokioRuntime};
use crate::status::lines::{LineWriter, Lines};
use crate::status::{self, Board, Post};
use crate::storage;

/// How long it takes at most to see that the run is over.
const NAP: Duration = Duration::from_millis(100);

/// How soon after the start a status is written: a run of a second leaves no trace.
const FIRST: Duration = Duration::from_secs(3);

/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Writes the board's status every few seconds on a thread of its own until `over`, then takes it away.
pub(super) fn spawn(
    config: &Config,
    tokio: tokio::runtime::Handle,
    over: Arc<AtomicBool>,
    board: Arc<Board>,
) -> Result<JoinHandle<()>> {
    let location = {
        let _inside = tokio.enter();
        let (location, monitor) = storage::monitored(storage::open(&config.registry.location, &config.storage)?);
        board.storage("registry", monitor);
        location
    };
    let mut lines = LineWriter::new(Lines::new(location.clone(), &config.name), &board.host());
    let mut post = Post::new(location, &config.name);
    let runtime = TokioRuntime::new(tokio.clone());
    let body = move || {
        let mut wait = FIRST;
        let mut written = false;
        while !over.load(Ordering::Acquire) {
            let write = async {
                tokio::time::sleep(wait).await;
                let now_ms = runtime.now_ms();
                let status = post.write(&board.status(now_ms)).await;
                if let Err(error) = lines.write(board.take_lines(), now_ms).await {
                    tracing::debug!(%error, "the lines of the guests wait");
                }
                status
            };
            let outcome = tokio.block_on(async {
                tokio::select! {
                    outcome = write => Some(outcome),
                    () = until(&over) => None,
                }
            });
            match outcome {
                Some(Ok(())) => written = true,
                Some(Err(error)) => tracing::debug!(%error, "the other hosts do not hear of this one"),
                None => {}
            }
            wait = status::EVERY;
        }
        let last = async {
            if let Err(error) = lines.write(board.take_lines(), runtime.now_ms()).await {
                tracing::debug!(%error, "the last lines of the guests are not written");
            }
            if written {
                // Whoever reads it later takes this host for dead all the same.
                let _ = post.remove(&board.host()).await;
            }
        };
        let _ = tokio.block_on(async { tokio::time::timeout(LAST_WORD, last).await });
    };
    let thread = std::thread::Builder::new().name("herald".to_owned()).spawn(body);
    thread.map_err(|error| Error::fatal("cannot start the thread that tells the other hosts").because(error))
}

/// Completes soon after `over` was set.
pub(super) async fn until(over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        tokio::time::sleep(NAP).await;
    }
}

//! Ctrl-C and SIGTERM: the first asks to finish, a second Ctrl-C ends at once.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use wasmill::error::{Error, Result};

/// How often it is looked whether the end was asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A flag that is set when the user wants the program to finish.
pub(crate) fn flag() -> Result<Arc<AtomicBool>> {
    let cannot = |error: std::io::Error| Error::fatal("cannot listen for signals").because(error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
    let (mut interrupts, mut terminations) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(cannot)?, signal(SignalKind::terminate()).map_err(cannot)?)
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let listen = move || {
        runtime.block_on(async {
            loop {
                let is_interrupt = tokio::select! {
                    _ = interrupts.recv() => true,
                    _ = terminations.recv() => false,
                };
                let was_asked = flag.swap(true, Ordering::AcqRel);
                if was_asked && is_interrupt {
                    let _ = writeln!(
                        std::io::stderr(),
                        "ended without finishing; the open range is read again at the next start"
                    );
                    std::process::exit(1);
                }
                if !was_asked {
                    tracing::info!("finishing; Ctrl-C once more ends at once");
                }
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(cannot)?;
    Ok(stop)
}

/// Ends the process when it is still there `limit` after the flag was set: a client library may wait for a server that does
/// not answer for longer than anybody wants to wait for an end.
pub(crate) fn within(stop: Arc<AtomicBool>, limit: Duration) -> Result<()> {
    let watch = move || {
        while !stop.load(Ordering::Acquire) {
            std::thread::sleep(LOOK_EVERY);
        }
        std::thread::sleep(limit);
        let _ = writeln!(
            std::io::stderr(),
            "error: not finished {limit:?} after it was asked to; ended. What was open is read again at the next start"
        );
        std::process::exit(1);
    };
    let thread = std::thread::Builder::new().name("end".to_owned()).spawn(watch);
    thread.map(drop).map_err(|error| Error::fatal("cannot watch how long an end takes").because(error))
}

/// Sets the flag when standard input ends. Lines there that begin with `log ` say what to log from then on.
pub(crate) fn with_stdin(stop: Arc<AtomicBool>) -> Result<()> {
    let wait = move || {
        for line in std::io::stdin().lock().split(b'\n').map_while(std::result::Result::ok) {
            let levels = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix("log "));
            if let Some(Err(error)) = levels.map(super::logging::set) {
                tracing::warn!(%error, "what is logged stays");
            }
        }
        stop.store(true, Ordering::Release);
    };
    let thread = std::thread::Builder::new().name("standard input".to_owned()).spawn(wait);
    thread.map(drop).map_err(|error| Error::fatal("cannot watch standard input").because(error))
}

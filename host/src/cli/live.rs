//! What a run shows while it goes on: one live line on a terminal, else a log line every ten seconds.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use wasmill::report::{Progress, grouped};

use super::logging;

/// How often the live line changes.
const GLANCE: Duration = Duration::from_millis(250);
/// How often a log line is written where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Shows a run's progress from a thread of its own until it is dropped.
pub(crate) struct Live {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    pub(crate) fn start(progress: Arc<Progress>) -> std::io::Result<Self> {
        let (over, told) = channel::<()>();
        let is_terminal = std::io::stderr().is_terminal();
        let show = move || {
            let line = is_terminal.then(live_line);
            let every = if is_terminal { GLANCE } else { LOG_EVERY };
            let mut speed = Speed::new();
            // Both an answer and a hang-up mean the end; only the time-out goes on.
            while told.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let read = progress.read.load(Relaxed);
                let rate = speed.per_second(read);
                match &line {
                    Some(line) => line.set_message(text(&progress, rate)),
                    None => log(&progress, rate),
                }
            }
            if let Some(line) = line {
                line.finish_and_clear();
            }
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(show)?;
        Ok(Self { over: Some(over), thread: Some(thread) })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn live_line() -> ProgressBar {
    let line = logging::live().add(ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}") {
        line.set_style(style);
    }
    line.enable_steady_tick(GLANCE);
    line
}

/// Events a second since the last look, smoothed over a few.
struct Speed {
    at: Instant,
    read: u64,
    rate: Option<f64>,
}

impl Speed {
    fn new() -> Self {
        Self { at: Instant::now(), read: 0, rate: None }
    }

    fn per_second(&mut self, read: u64) -> u64 {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        let now = read.saturating_sub(self.read) as f64 / seconds;
        let rate = self.rate.map_or(now, |before| before * 0.7 + now * 0.3);
        *self = Self { at: Instant::now(), read, rate: Some(rate) };
        rate as u64
    }
}

fn text(progress: &Progress, rate: u64) -> String {
    let lag = match u64::try_from(progress.lag.load(Relaxed)) {
        Ok(lag) => grouped(lag),
        Err(_) => "unknown".to_owned(),
    };
    format!(
        "{} read, {} events/s, lag {lag}, {} open files, {} dead letters",
        grouped(progress.read.load(Relaxed)),
        grouped(rate),
        grouped(progress.open_files.load(Relaxed)),
        grouped(progress.dead_lettered.load(Relaxed)),
    )
}

fn log(progress: &Progress, rate: u64) {
    tracing::info!(
        read = progress.read.load(Relaxed),
        written = progress.written.load(Relaxed),
        filtered = progress.filtered.load(Relaxed),
        dead_letters = progress.dead_lettered.load(Relaxed),
        events_per_second = rate,
        lag = progress.lag.load(Relaxed),
        open_files = progress.open_files.load(Relaxed),
        topic_partitions = progress.topic_partitions.load(Relaxed),
        checkpoints = progress.checkpoints.load(Relaxed),
        "running"
    );
}

//! What the core asks of its surroundings: tasks, time and randomness.
//!
//! The pipeline, the chain and the sink never touch tokio, a clock or a random generator themselves. In production
//! [`TokioRuntime`] stands behind this trait; in the simulation a seeded, single-threaded executor does, which can end
//! a host at any step.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

/// Tasks, time and randomness.
pub trait Runtime: Send + Sync {
    /// Runs a task in the background. It ends when it is done or when the process does.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Does work that takes the processor for long, beside the tasks. Completes when it is done, or will never be.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;
    /// For how long the calling thread could have run and had no core, since it began. Zero where nobody knows.
    fn without_core(&self) -> Duration {
        Duration::ZERO
    }
    /// Milliseconds since 1970 by the wall clock, which may jump.
    fn now_ms(&self) -> i64;
    /// 128 random bits: ids must not repeat across processes and restarts.
    fn random(&self) -> u128;
}

/// The production runtime.
pub struct TokioRuntime {
    handle: tokio::runtime::Handle,
    started: Instant,
    /// As many computations at a time as there are cores: more would only hold more memory.
    cores: Arc<Semaphore>,
}

impl TokioRuntime {
    /// A runtime that spawns on `handle`.
    pub fn new(handle: tokio::runtime::Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { handle, started: Instant::now(), cores: Arc::new(Semaphore::new(cores)) }
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let (handle, cores) = (self.handle.clone(), Arc::clone(&self.cores));
        Box::pin(async move {
            // Never closed.
            let _turn = cores.acquire_owned().await;
            // A panic is told by what the work does not send.
            let _ = handle.spawn_blocking(work).await;
        })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn without_core(&self) -> Duration {
        // Nanoseconds on a core, nanoseconds in the queue for one, and how often.
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or_default())
    }

    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}

//! What the core asks of its surroundings: tasks, time and randomness.
//!
//! The pipeline, the chain and the sink never touch tokio, a clock or a random generator themselves. In production
//! [`TokioRuntime`] stands behind this trait; in the simulation a seeded, single-threaded executor does, which can end
//! a host at any step.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

/// Tasks, time and randomness.
pub trait Runtime: Send + Sync {
    /// Runs a task in the background. It ends when it is done or when the process does.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Time since some fixed moment; never goes back.
    fn elapsed(&self) -> Duration;
    /// Milliseconds since 1970 by the wall clock, which may jump.
    fn now_ms(&self) -> i64;
    /// 128 random bits: ids must not repeat across processes and restarts.
    fn random(&self) -> u128;
}

/// The production runtime.
pub struct TokioRuntime {
    handle: tokio::runtime::Handle,
    started: Instant,
}

impl TokioRuntime {
    /// A runtime that spawns on `handle`.
    pub fn new(handle: tokio::runtime::Handle) -> Self {
        Self { handle, started: Instant::now() }
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}

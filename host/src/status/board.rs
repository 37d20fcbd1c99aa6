//! Where the parts of a run put what they know, and where it is read.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{HostStatus, TopicPartitionStatus, Totals};
use crate::checkpoint::Id;
use crate::report::Progress;
use crate::transform::TransformChain;

/// What one run knows of itself.
pub struct Board {
    host: Id,
    machine: String,
    started_at_ms: i64,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    deployment: u64,
    canary: Option<u64>,
    paused: bool,
    problem: Option<String>,
    topic_partitions: Vec<TopicPartitionStatus>,
    chains: BTreeMap<u64, Arc<TransformChain>>,
}

impl Board {
    /// The board of a run that starts now. `host`: its id; `machine`: `user@machine`.
    pub fn new(host: Id, machine: &str, now_ms: i64, progress: Arc<Progress>) -> Self {
        Self { host, machine: machine.to_owned(), started_at_ms: now_ms, progress, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are the topic partitions now.
    pub fn topic_partitions(&self, all: Vec<TopicPartitionStatus>) {
        self.state().topic_partitions = all;
    }

    /// These deployments run now.
    pub fn deployments(
        &self,
        deployment: u64,
        canary: Option<u64>,
        paused: bool,
        chains: BTreeMap<u64, Arc<TransformChain>>,
    ) {
        let mut state = self.state();
        (state.deployment, state.canary, state.paused) = (deployment, canary, paused);
        state.chains = chains;
    }

    /// Something cannot be done at the moment; `None`: it can again.
    pub fn problem(&self, problem: Option<String>) {
        self.state().problem = problem;
    }

    /// Everything, as of now.
    pub fn status(&self, now_ms: i64) -> HostStatus {
        let state = self.state();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        HostStatus {
            host: self.host.to_string(),
            machine: self.machine.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: self.started_at_ms,
            at_ms: now_ms,
            deployment: state.deployment,
            canary: state.canary,
            paused: state.paused,
            problems: state.problem.iter().cloned().collect(),
            topic_partitions: state.topic_partitions.clone(),
            transforms: state.chains.iter().map(|(number, chain)| (*number, chain.counts())).collect(),
            totals: Totals {
                read: count(&self.progress.read),
                written: count(&self.progress.written),
                filtered: count(&self.progress.filtered),
                dead_lettered: count(&self.progress.dead_lettered),
                committed: count(&self.progress.checkpoints),
            },
            memory_bytes: resident_bytes(),
        }
    }
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

//! Where the parts of a run put what they know, and where it is read.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::lines::Line;
use super::{HostStatus, TopicPartitionStatus, Totals};
use crate::checkpoint::Id;
use crate::report::Progress;
use crate::schema_registry::Schemas;
use crate::sink::stage::Memory;
use crate::source::Reach;
use crate::storage::Monitor;
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
    /// Chains that are no deployment's any more, until no worker has them and their last lines were taken.
    leaving: Vec<(u64, Arc<TransformChain>)>,
    lines: u64,
    kafka: Option<Reach>,
    storage: BTreeMap<String, Arc<Monitor>>,
    schemas: Option<Arc<Schemas>>,
    memory: Option<Arc<Memory>>,
    checkpoint_interval: Duration,
    breaker_trips: u64,
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
        let before = std::mem::replace(&mut state.chains, chains);
        let gone: Vec<_> = before.into_iter().filter(|(number, _)| !state.chains.contains_key(number)).collect();
        state.leaving.extend(gone);
    }

    /// This is what is known of Kafka.
    pub fn kafka(&self, reach: Option<Reach>) {
        self.state().kafka = reach;
    }

    /// What is known of the storage where `what` lies.
    pub fn storage(&self, what: &str, monitor: Arc<Monitor>) {
        self.state().storage.insert(what.to_owned(), monitor);
    }

    /// What is known of the schema registry.
    pub fn schemas(&self, schemas: Arc<Schemas>) {
        self.state().schemas = Some(schemas);
    }

    /// What bounds the ranges: the budget that open files share, and the age at which they end.
    pub fn ranges(&self, memory: Arc<Memory>, interval: Duration) {
        let mut state = self.state();
        (state.memory, state.checkpoint_interval) = (Some(memory), interval);
    }

    /// A deployment failed more often than the breaker lets pass.
    pub fn breaker_tripped(&self) {
        self.state().breaker_trips += 1;
    }

    /// The id of this host.
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// What the guests logged since this was asked last, by time.
    pub fn take_lines(&self) -> Vec<Line> {
        let mut state = self.state();
        let State { chains, leaving, lines: number, .. } = &mut *state;
        // Whether somebody else still has them is asked first: what is logged after that is taken the next time.
        let running: Vec<bool> = leaving.iter().map(|(_, chain)| Arc::strong_count(chain) > 1).collect();
        let all = chains.iter().map(|(number, chain)| (*number, chain));
        let mut lines = Vec::new();
        for (deployment, chain) in all.chain(leaving.iter().map(|(number, chain)| (*number, chain))) {
            for transform in chain.transforms() {
                lines.extend(transform.take_lines().into_iter().map(|line| Line {
                    at_ms: line.at_ms,
                    host: self.host.to_string(),
                    machine: self.machine.clone(),
                    number: 0,
                    deployment,
                    transform: transform.name.clone(),
                    version: transform.version.clone(),
                    topic_partition: None,
                    level: line.level.into(),
                    text: line.text,
                    dropped: line.dropped,
                }));
            }
        }
        let mut running = running.into_iter();
        leaving.retain(|_| running.next().unwrap_or(true));
        lines.sort_by_key(|line| line.at_ms);
        for line in &mut lines {
            *number += 1;
            line.number = *number;
        }
        lines
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
            held_bytes: state.memory.as_ref().map_or(0, |memory| memory.used() as u64),
            budget_bytes: state.memory.as_ref().map_or(0, |memory| memory.budget() as u64),
            checkpoint_interval_s: state.checkpoint_interval.as_secs_f64(),
            breaker_trips: state.breaker_trips,
            guest_metrics: state.chains.iter().map(|(number, chain)| (*number, chain.metrics())).collect(),
            kafka: state.kafka.clone(),
            storage: state.storage.iter().map(|(what, monitor)| (what.clone(), monitor.health())).collect(),
            schema_registry: state.schemas.as_ref().map(|schemas| schemas.health()),
        }
    }
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

//! The loop: source, decode, transforms, sink, checkpoint.
//!
//! ```text
//!   Source ──► Membership ──────── start, finish, drop ───────► Worker (one thread each)
//!     ▲            ▲                                              │ per lane: read, decode, transform, split, encode
//!     │            └────────── committed, ended ──────────────────┤
//!  acknowledge                                                    └─► tasks: stage, commit, publish (chain)
//! ```
//!
//! [`membership`] decides what is ours and takes it over; [`worker`] moves events; [`lane`] is what a worker knows of one
//! topic partition; [`watch`] makes new deployments ready, which workers swap in between two ranges. The first three are
//! stepped: they never wait, never spawn a thread and never look at a clock of their own, so that the simulation can run
//! them by the hundred thousand. The threads stand here, in [`run`].

pub mod account;
mod evolution;
mod herald;
mod judge;
pub mod lane;
mod listeners;
pub mod membership;
mod open_files;
mod pauses;
pub mod places;
pub mod ready;
pub mod stages;
mod sweeper;
mod traces;
mod watch;
mod webhook;
pub mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::account::Account;
use self::evolution::Evolution;
use self::listeners::Listeners;
use self::membership::{Membership, Step, WorkerHandle};
use self::places::Places;
use self::ready::Ready;
use self::watch::Watch;
use self::worker::{Worker, WorkerLimits};
use crate::admin::Server;
use crate::checkpoint::Id;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::report::{Ended, Progress, Summary, Usage};
use crate::runtime::{Runtime, TokioRuntime};
use crate::sink::owner::{self, Owner};
use crate::sink::spark_table;
use crate::source::{self, TopicPartition, Wake};
use crate::status::Board;
use crate::storage::{self, Location, Monitor};
use crate::transform::vet::Vetting;
use crate::transform::{TransformChain, TransformEngine};

/// How long a thread sleeps when there is nothing to do and nobody wakes it.
const NAP: Duration = Duration::from_millis(20);

/// How often the board is told of the topic partitions.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What `wasmill run` was asked for beyond the pipeline file.
#[derive(Clone)]
pub struct RunOptions {
    /// End when every topic partition has reached the end that it had at the start.
    pub until_caught_up: bool,
    /// Where compiled modules are cached; `None`: compiled anew.
    pub module_cache: Option<PathBuf>,
    /// Set from outside to end the run: what is open is committed.
    pub stop: Arc<AtomicBool>,
    /// Counters for the user.
    pub progress: Arc<Progress>,
    /// Who runs this, for the other hosts: `user@machine`.
    pub operator: String,
    /// Looks at modules that are uploaded to this host.
    pub vetting: Vetting,
}

/// Runs a pipeline until it ends or is stopped, or until its table gets new columns ([`Ended::Evolved`]): whoever reads the
/// pipeline file again then goes on with them.
pub fn run(config: &Config, options: &RunOptions) -> Result<Summary> {
    let engine = TransformEngine::new(options.module_cache.as_deref())?;
    let choose = |tokio: &tokio::runtime::Handle, runtime: &Arc<dyn Runtime>| {
        if config.deployed {
            let watch = tokio.block_on(Watch::begin(config, engine, Arc::clone(runtime)))?;
            return Ok(Chosen::Deployed(Box::new(watch)));
        }
        let chain = TransformChain::link(&engine, &config.transforms, Arc::clone(&config.schema.arrow))?;
        let decoding = ready::decoding(config, Arc::clone(runtime))?;
        Ok(Chosen::Fixed(Box::new(Ready::new(config, 0, chain, decoding)?)))
    };
    let storage = config.storage.clone();
    let source = |tokio: &tokio::runtime::Handle| {
        source::open(&config.source, tokio, move |location| storage::open(location, &storage))
    };
    run_with(config, options, choose, source)
}

/// Runs these offsets of a source, `[from, to)` of each topic partition, through one deployment, and ends there.
pub(crate) fn run_between(
    config: &Config,
    options: &RunOptions,
    ready: Ready,
    ranges: BTreeMap<TopicPartition, (i64, i64)>,
) -> Result<Summary> {
    let source = |tokio: &tokio::runtime::Handle| source::open_between(&config.source, tokio, ranges);
    run_with(config, options, |_, _| Ok(Chosen::Fixed(Box::new(ready))), source)
}

fn run_with(
    config: &Config,
    options: &RunOptions,
    choose: impl FnOnce(&tokio::runtime::Handle, &Arc<dyn Runtime>) -> Result<Chosen>,
    source: impl FnOnce(&tokio::runtime::Handle) -> Result<Box<dyn source::Source>>,
) -> Result<Summary> {
    let (started, usage) = (Instant::now(), Usage::now());
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("storage").enable_all().build();
    let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio.handle().clone()));
    let parts = Parts::new(config, choose(tokio.handle(), &runtime)?, runtime)?;
    tokio.block_on(spark_table::refuse(&parts.places.table))?;
    tokio.block_on(parts.claim_tables())?;
    let (ended, account) = parts.run(config, source(tokio.handle())?, options, tokio.handle())?;
    // Tasks that are still waiting for storage belong to dropped ranges.
    tokio.shutdown_timeout(Duration::from_secs(1));
    Ok(summary(config, ended, account, started, usage))
}

fn summary(config: &Config, ended: Ended, account: Account, started: Instant, before: Usage) -> Summary {
    let usage = Usage::now();
    Summary {
        pipeline: config.name.clone(),
        ended,
        topic_partitions: account.topic_partitions,
        read: account.rows.messages,
        written: account.rows.written,
        filtered: account.rows.filtered,
        dead_letters: account.dead_letters,
        files: account.files,
        bytes: account.bytes,
        checkpoints: account.checkpoints,
        stopped: account.stopped,
        elapsed: started.elapsed(),
        cpu: usage.cpu.saturating_sub(before.cpu),
        peak_memory: usage.peak_memory,
    }
}

/// Where the transforms come from.
enum Chosen {
    /// From the pipeline file.
    Fixed(Box<Ready>),
    /// From the log of deployments, which is followed.
    Deployed(Box<Watch>),
}

impl Chosen {
    fn ready(&self) -> Result<&Ready> {
        match self {
            Self::Fixed(ready) => Ok(ready),
            Self::Deployed(watch) => watch.deployment(),
        }
    }
}

/// The parts of a run that threads share.
struct Parts {
    chosen: Chosen,
    places: Places,
    monitors: Vec<(&'static str, Arc<Monitor>)>,
    runtime: Arc<dyn Runtime>,
}

struct WorkerThread {
    handle: WorkerHandle,
    thread: JoinHandle<()>,
}

impl Parts {
    fn new(config: &Config, chosen: Chosen, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let ready = chosen.ready()?;
        let mut monitors = Vec::new();
        let mut watched = |what, location: Location| {
            let (location, monitor) = storage::monitored(location);
            monitors.push((what, monitor));
            location
        };
        let places = Places::open(config, ready, &runtime)?;
        let places = Places {
            checkpoints: watched("checkpoints", places.checkpoints),
            table: watched("table", places.table),
            dead_letters: watched("dead-letters", places.dead_letters),
            ..places
        };
        Ok(Self { chosen, places, monitors, runtime })
    }

    /// Makes table and dead letters ours, or refuses to write where another pipeline does.
    async fn claim_tables(&self) -> Result<()> {
        let places = &self.places;
        let owner = Owner { pipeline: places.pipeline.clone(), checkpoints: places.checkpoints.path.clone() };
        for location in [&places.table, &places.dead_letters] {
            owner::claim(location, &owner, self.runtime.random()).await?;
        }
        Ok(())
    }

    fn run(
        self,
        config: &Config,
        source: Box<dyn source::Source>,
        options: &RunOptions,
        tokio: &tokio::runtime::Handle,
    ) -> Result<(Ended, Account)> {
        let (notices, heard) = channel();
        let over = Arc::new(AtomicBool::new(false));
        // Whether it can listen is known before anything is read.
        let board = self.board(options, config.checkpoint.interval)?;
        let (runtime, modules) =
            (Arc::clone(&self.runtime), (options.module_cache.clone(), Arc::clone(&options.vetting)));
        let admin = Server::start(config, Arc::clone(&board), runtime, Arc::clone(&over), modules, tokio)?;
        let mut threads = Vec::new();
        let limits = WorkerLimits {
            interval: config.checkpoint.interval,
            target_file_size: config.checkpoint.target_file_size,
            open_files: (open_files::allowed() / config.limits.workers.max(1)).max(1),
            // More than half of the budget is encoders' when room is made, so one worker at least holds twice this.
            memory_share: config.limits.memory_budget / config.limits.workers.max(1) / 4,
            batch_rows: config.limits.batch_rows,
        };
        for number in 0..config.limits.workers {
            let over = Arc::clone(&over);
            threads.push(self.spawn_worker(limits.clone(), number, notices.clone(), over, options)?);
        }
        drop(notices);
        let (handles, joins): (Vec<_>, Vec<_>) = threads.into_iter().map(|t| (t.handle, t.thread)).unzip();
        let wakes: Vec<Wake> = handles.iter().map(|handle| Arc::clone(&handle.wake)).collect();
        let herald = herald::spawn(config, tokio.clone(), Arc::clone(&over), Arc::clone(&board))?;
        sweeper::spawn(config, tokio, Arc::clone(&over), Arc::clone(&board), Arc::clone(&self.runtime))?;
        let (change, changes) = channel();
        let workers = handles.len();
        let schemas = self.chosen.ready()?.decoding.schemas.clone();
        let watch = match self.chosen {
            Chosen::Fixed(_) => None,
            Chosen::Deployed(watch) => Some(watch.spawn(
                config.clone(),
                workers,
                tokio.clone(),
                Arc::clone(&over),
                change,
                Arc::clone(&board),
            )?),
        };
        let evolution = Evolution::new(config, options.module_cache.clone(), Arc::clone(&self.runtime));
        if let Some(evolution) = &evolution {
            schemas.iter().for_each(|schemas| evolution.hold(schemas));
            tokio.spawn(Arc::clone(evolution).follow(Arc::clone(&over)));
        }
        let mut listeners = Listeners::new(config, &board.host(), Arc::clone(&self.runtime), tokio)?;
        let mut membership =
            Membership::new(source, self.places, self.runtime, handles, heard, changes, options.until_caught_up);
        let evolves = || evolution.as_ref().is_some_and(|evolution| evolution.is_wanted());
        let watched = Watched { workers: &joins, options, shutdown: config.limits.shutdown, evolves: &evolves };
        let result = drive(&mut membership, &watched, &board, &mut listeners);
        listeners.end(tokio);
        over.store(true, Ordering::Release);
        admin.into_iter().for_each(Server::end);
        wakes.iter().for_each(|wake| wake());
        for join in joins.into_iter().chain(watch).chain([herald]) {
            join.join().map_err(|_| Error::fatal("a thread panicked; this is a bug in wasmill"))?;
        }
        Ok((result?, std::mem::take(&mut membership.account)))
    }

    fn board(&self, options: &RunOptions, interval: Duration) -> Result<Arc<Board>> {
        let (host, now_ms) = (Id(self.runtime.random()), self.runtime.now_ms());
        let board = Board::new(host, &options.operator, now_ms, Arc::clone(&options.progress));
        if let Chosen::Fixed(ready) = &self.chosen {
            board.deployments(0, None, false, [(0, Arc::clone(&ready.chain))].into());
        }
        board.ranges(Arc::clone(&self.places.memory), interval);
        self.monitors.iter().for_each(|(what, monitor)| board.storage(what, Arc::clone(monitor)));
        if let Some(schemas) = &self.chosen.ready()?.decoding.schemas {
            board.schemas(Arc::clone(schemas));
        }
        Ok(Arc::new(board))
    }

    fn spawn_worker(
        &self,
        limits: WorkerLimits,
        number: usize,
        notices: std::sync::mpsc::Sender<worker::Notice>,
        over: Arc<AtomicBool>,
        options: &RunOptions,
    ) -> Result<WorkerThread> {
        let (commands, obeyed) = channel();
        let deployment = self.chosen.ready()?.for_worker()?;
        let (runtime, memory) = (Arc::clone(&self.runtime), Arc::clone(&self.places.memory));
        let progress = Arc::clone(&options.progress);
        // A thread can be woken only once it exists, so it is told afterwards how.
        let (wake_sender, wake_receiver) = channel::<Wake>();
        let body = move || {
            let Ok(wake) = wake_receiver.recv() else { return };
            let mut worker = Worker::new(runtime, limits, deployment, memory, progress, (obeyed, notices), wake);
            while !over.load(Ordering::Acquire) {
                if !worker.step() {
                    std::thread::park_timeout(NAP);
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).stack_size(4 << 20).spawn(body);
        let thread = thread.map_err(|error| Error::fatal("cannot start a worker thread").because(error))?;
        let sleeper = thread.thread().clone();
        let wake: Wake = Arc::new(move || sleeper.unpark());
        let _ = wake_sender.send(Arc::clone(&wake));
        Ok(WorkerThread { handle: WorkerHandle { commands, wake }, thread })
    }
}

/// What may end a run.
struct Watched<'a> {
    workers: &'a [JoinHandle<()>],
    options: &'a RunOptions,
    /// How long the last checkpoint may take.
    shutdown: Duration,
    /// Whether the table gets new columns.
    evolves: &'a dyn Fn() -> bool,
}

/// Steps the membership until the run ends.
fn drive(
    membership: &mut Membership,
    watched: &Watched<'_>,
    board: &Board,
    listeners: &mut Listeners,
) -> Result<Ended> {
    let Watched { workers, options, shutdown, evolves } = watched;
    let mut give_up_at = None;
    let mut told: Option<Instant> = None;
    loop {
        let step = membership.step(NAP)?;
        listeners.tell(std::mem::take(&mut membership.account.news));
        match step {
            Step::Ended(Ended::Stopped) if !options.stop.load(Ordering::Acquire) => return Ok(Ended::Evolved),
            Step::Ended(ended) => return Ok(ended),
            Step::Busy | Step::Idle => {}
        }
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            board.topic_partitions(membership.statuses());
            board.kafka(membership.reach());
            told = Some(Instant::now());
        }
        let progress = &options.progress;
        progress.topic_partitions.store(membership.topic_partitions() as u64, Ordering::Relaxed);
        progress.lag.store(membership.lag().unwrap_or(-1), Ordering::Relaxed);
        if workers.iter().any(JoinHandle::is_finished) {
            return Err(Error::fatal("a worker thread ended; this is a bug in wasmill"));
        }
        let is_stopped = options.stop.load(Ordering::Acquire);
        if is_stopped || evolves() {
            membership.stop();
        }
        // Nobody waits for the end of a run that another one follows.
        if is_stopped {
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + *shutdown);
            if Instant::now() >= give_up_at {
                let message = format!("the last checkpoint was not finished within {shutdown:?}");
                let hint = "nothing is lost: the range that was open is read again at the next start. A longer \
                            `shutdown` under [limits] leaves it more time";
                return Err(Error::transient(message).hint(hint));
            }
        }
    }
}

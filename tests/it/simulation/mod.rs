//! Exactly once, simulated: the real membership, workers, lanes, chain and sink on a disk that fails in every way, hosts
//! that crash between any two steps, members that are cut off and go on all the same.
//!
//! A run is one seed. After every change of the disk a reader looks at the plain directories; at the end every message
//! must be visible exactly once, in the table or in the dead letters. A failure prints the one line that replays it.

mod broker;
mod disk;
mod executor;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use wasmill::audit::{self, Options, Subject};
use wasmill::checkpoint::{DeploymentRecord, Protocol, Retention};
use wasmill::config::{Compression, EventTime, TableConfig, TimeUnit};
use wasmill::decode::json::JsonDecoder;
use wasmill::decode::schema::{EventField, EventSchema, EventType};
use wasmill::pipeline::membership::{Membership, Step, WorkerHandle};
use wasmill::pipeline::places::Places;
use wasmill::pipeline::stages::Stages;
use wasmill::pipeline::worker::{Worker, WorkerLimits};
use wasmill::report::Progress;
use wasmill::runtime::Runtime;
use wasmill::sink::dead_letter;
use wasmill::sink::hive::HivePartitioner;
use wasmill::sink::part_file::PartFileOptions;
use wasmill::sink::stage::Memory;
use wasmill::source::Wake;
use wasmill::storage::{Location, Storage};
use wasmill::transform::{TransformChain, TransformEngine};

use self::broker::{Broker, Connection};
use self::disk::{Disk, Faults, Mounted};
use self::executor::{HostRuntime, Simulator, Tasks};

const HOSTS: usize = 3;
const TOPIC_PARTITIONS: usize = 2;

/// What all hosts of all worlds are made of.
struct Recipe {
    schema: EventSchema,
    chain: Arc<TransformChain>,
    partitioner: HivePartitioner,
}

fn recipe() -> &'static Recipe {
    static RECIPE: OnceLock<Recipe> = OnceLock::new();
    RECIPE.get_or_init(|| {
        let field = |name: &str, required| EventField { name: name.to_owned(), kind: EventType::Long, required };
        let schema = EventSchema::new(vec![field("id", true), field("ts", false)]).unwrap();
        let engine = TransformEngine::new(None).unwrap();
        let chain = Arc::new(TransformChain::link(&engine, &[], Arc::clone(&schema.arrow)).unwrap());
        let table = TableConfig {
            location: "/table".to_owned(),
            event_time: EventTime { column: "ts".to_owned(), unit: TimeUnit::Milliseconds },
            partition_by: vec!["day".to_owned(), "hour".to_owned()],
            compression: Compression::Uncompressed,
            max_open_hive_partitions: 100,
            max_future: Duration::from_secs(86_400),
        };
        let partitioner = HivePartitioner::new(&table, &chain.output_schema()).unwrap();
        Recipe { schema, chain, partitioner }
    })
}

/// One simulated process.
struct Host {
    membership: Membership,
    worker: Worker,
    /// It is stopped (SIGSTOP): nothing of it goes on.
    frozen: bool,
    over: bool,
}

impl Host {
    fn start(world: &World, host: usize) -> Self {
        let recipe = recipe();
        let runtime: Arc<dyn Runtime> = Arc::new(HostRuntime { simulator: Arc::clone(&world.simulator), host });
        let memory = Memory::new(64 << 20);
        let location = |path: &str| Location {
            storage: Arc::new(Mounted(Arc::clone(&world.disk))) as Arc<dyn Storage>,
            path: path.to_owned(),
            url: path.to_owned(),
        };
        let options = |schema| PartFileOptions::new(schema, Compression::Uncompressed, 1 << 20).unwrap();
        let places = Places {
            pipeline: "simulated".to_owned(),
            checkpoints: location("/checkpoints"),
            table: location("/table"),
            dead_letters: location("/dead"),
            protocol: world.protocol,
            retention: Retention { keep: 1 + world.seed as usize % 3, fold: 1 + world.seed as usize % 4 },
            runtime: Arc::clone(&runtime),
            memory: Arc::clone(&memory),
            deployment: DeploymentRecord::default(),
            options: options(Arc::clone(recipe.partitioner.file_schema())),
            max_open_hive_partitions: 1_000,
            dead_letter_options: options(dead_letter::schema()),
        };
        let decoder = JsonDecoder::new(&recipe.schema);
        let stages = Stages::new(decoder, Arc::clone(&recipe.chain), recipe.partitioner.clone(), 0).unwrap();
        let limits = WorkerLimits {
            interval: Duration::from_millis(300),
            target_file_size: 1 << 20,
            open_files: 6,
            memory_share: 0,
            batch_rows: 4,
        };
        let (commands, obeyed) = channel();
        let (notices, heard) = channel();
        let wake: Wake = Arc::new(|| {});
        let progress = Arc::new(Progress::default());
        let worker =
            Worker::new(Arc::clone(&runtime), limits, stages, memory, progress, (obeyed, notices), Arc::clone(&wake));
        let source = Box::new(Connection { broker: Arc::clone(&world.broker), host });
        let handles = vec![WorkerHandle { commands, wake }];
        let membership = Membership::new(source, places, runtime, handles, heard, false);
        Self { membership, worker, frozen: false, over: false }
    }

    fn step(&mut self) -> Result<(), String> {
        if self.frozen || self.over {
            return Ok(());
        }
        match self.membership.step(Duration::ZERO) {
            Ok(Step::Ended(_)) => self.over = true,
            Ok(_) => {}
            Err(error) => return Err(format!("the membership failed: {error}")),
        }
        self.worker.step();
        match self.membership.account.stopped.first() {
            Some(stopped) => Err(format!("a topic partition stopped: {}", stopped.error)),
            None => Ok(()),
        }
    }
}

/// What audits in the middle of it came to.
#[derive(Default)]
struct Audits {
    running: bool,
    /// How many came to an answer.
    count: u64,
    wrong: Option<String>,
}

/// One simulated world: hosts, a broker, a disk.
struct World {
    seed: u64,
    protocol: Protocol,
    simulator: Arc<Simulator>,
    broker: Arc<Broker>,
    disk: Arc<Disk>,
    audits: Arc<Mutex<Audits>>,
    tasks: Tasks,
    hosts: Vec<Option<Host>>,
}

/// How a run ended.
struct Outcome {
    failure: Option<String>,
    trace: Vec<String>,
    hits: BTreeMap<String, u64>,
}

impl World {
    fn new(seed: u64, protocol: Protocol) -> Self {
        let simulator = Simulator::new(seed);
        let broker = Broker::new(&simulator, TOPIC_PARTITIONS);
        let disk = Disk::new(&simulator);
        Self {
            seed,
            protocol,
            simulator,
            broker,
            disk,
            audits: Arc::default(),
            tasks: Tasks::default(),
            hosts: (0..HOSTS).map(|_| None).collect(),
        }
    }

    fn start(&mut self, host: usize) {
        if self.hosts[host].is_none() {
            self.note(format!("host {host} starts"));
            self.hosts[host] = Some(Host::start(self, host));
            self.broker.join(host);
        }
    }

    fn crash(&mut self, host: usize) {
        if self.hosts[host].is_some() {
            self.note(format!("host {host} crashes"));
            self.hosts[host] = None;
            self.tasks.crash(&self.simulator, host);
            self.broker.leave(host);
        }
    }

    fn note(&self, text: String) {
        self.disk.note(text);
    }

    fn freeze(&mut self, host: usize, frozen: bool) {
        if let Some(running) = &mut self.hosts[host] {
            running.frozen = frozen;
        }
    }

    /// Starts an audit, which goes on step by step beside the hosts. One that a fault ends came to no answer.
    fn audit(&self) {
        if std::mem::replace(&mut self.audits.lock().unwrap().running, true) {
            return;
        }
        let location = |path: &str| Location {
            storage: Arc::new(Mounted(Arc::clone(&self.disk))) as Arc<dyn Storage>,
            path: path.to_owned(),
            url: path.to_owned(),
        };
        let subject = Subject {
            pipeline: "simulated".to_owned(),
            checkpoints: location("/checkpoints"),
            table: location("/table"),
            dead_letters: location("/dead"),
        };
        let audits = Arc::clone(&self.audits);
        let runtime = HostRuntime { simulator: Arc::clone(&self.simulator), host: HOSTS };
        runtime.spawn(Box::pin(async move {
            let report = audit::audit(&subject, &Options::default()).await;
            let mut audits = audits.lock().unwrap();
            audits.running = false;
            if let Ok(report) = report {
                audits.count += 1;
                audits.wrong = (!report.clean).then(|| format!("the audit found: {:#?}", report.findings));
            }
        }));
    }

    /// The audit at the end, of a world in which nothing happens any more.
    fn agree(&mut self) -> Result<(), String> {
        let before = self.audits.lock().unwrap().count;
        for _ in 0..1_000_000 {
            self.audit();
            self.step()?;
            if self.audits.lock().unwrap().count > before + 1 {
                return Ok(());
            }
        }
        Err("the audit does not end".to_owned())
    }

    /// Something bad, or something that ends it.
    fn disturb(&mut self) {
        let host = self.simulator.draw(HOSTS as u64) as usize;
        match self.simulator.draw(12) {
            0 | 1 => self.crash(host),
            2..=4 => self.start(host),
            5 => {
                self.note(format!("host {host} is cut off and stops"));
                self.freeze(host, true);
                self.broker.cut_off(host);
            }
            6 => {
                self.note(format!("host {host} is cut off and goes on"));
                self.broker.cut_off(host);
            }
            7 => {
                self.note(format!("host {host} goes on"));
                self.freeze(host, false);
            }
            8 => {
                self.freeze(host, false);
                self.broker.reconnect(host);
            }
            9 => self.broker.rebalance(),
            10 => self.disk.set_outage(self.simulator.once_in(4)),
            _ => self.disk.land_late(),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.simulator.advance(Duration::from_millis(1 + self.simulator.draw(8)));
        let host = self.simulator.draw(HOSTS as u64) as usize;
        if let Some(host) = &mut self.hosts[host] {
            host.step()?;
        }
        for _ in 0..1 + self.simulator.draw(4) {
            let hosts = &self.hosts;
            let frozen = |host: usize| hosts.get(host).is_some_and(|host| host.as_ref().is_none_or(|host| host.frozen));
            if !self.tasks.step(&self.simulator, frozen) {
                break;
            }
        }
        let wrong = self.audits.lock().unwrap().wrong.take();
        match self.disk.violations().into_iter().next().or(wrong) {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    fn live(&mut self) -> Result<(), String> {
        (0..HOSTS).for_each(|host| self.start(host));
        let faults = 10 + self.simulator.draw(60);
        self.disk.set_faults(Faults {
            not_applied: faults,
            unanswered: faults,
            late: faults,
            sent_twice: faults,
            unread: faults,
        });
        let calm = 4 + self.simulator.draw(40);
        for _ in 0..400 {
            if self.simulator.once_in(10) {
                self.broker.produce(3);
            }
            if self.simulator.once_in(calm) {
                self.disturb();
            }
            if self.simulator.once_in(8) {
                self.audit();
            }
            self.step()?;
        }
        Ok(())
    }

    /// Everything works again: all that was produced must become visible.
    fn settle(&mut self) -> Result<(), String> {
        self.note("all faults end".to_owned());
        self.disk.set_faults(Faults::default());
        self.disk.set_outage(false);
        for host in 0..HOSTS {
            self.freeze(host, false);
            self.broker.reconnect(host);
            self.start(host);
        }
        let produced = self.broker.produced();
        for step in 0.. {
            if self.disk.late() > 0 && self.simulator.once_in(5) {
                self.disk.land_late();
            }
            self.step()?;
            if self.disk.visible() >= produced.len() && self.disk.late() == 0 {
                break;
            }
            if step > 100_000 {
                let missing: Vec<_> = produced.iter().filter(|id| !self.disk.is_visible(id)).take(5).collect();
                return Err(format!("lost, or nobody goes on: {missing:?} never became visible"));
            }
        }
        Ok(())
    }

    /// A last clean start and stop, after which nothing may lie about.
    fn tidy(&mut self) -> Result<(), String> {
        (0..HOSTS).for_each(|host| self.crash(host));
        self.start(0);
        for step in 0.. {
            self.step()?;
            if step == 3_000
                && let Some(host) = &mut self.hosts[0]
            {
                host.membership.stop();
            }
            if self.hosts[0].as_ref().is_some_and(|host| host.over) {
                break;
            }
            if step > 100_000 {
                return Err("a host does not stop".to_owned());
            }
        }
        let left = [self.disk.files_with("/_staging/"), self.disk.files_with(".tmp")].concat();
        if left.is_empty() { Ok(()) } else { Err(format!("left behind after a clean run: {left:?}")) }
    }
}

fn simulate(seed: u64, protocol: Protocol) -> Outcome {
    let mut world = World::new(seed, protocol);
    let failure = world.live().and_then(|()| world.settle()).and_then(|()| world.tidy());
    let failure = failure.and_then(|()| world.agree()).err();
    let mut hits = world.disk.hits.lock().unwrap().clone();
    hits.insert("audits".to_owned(), world.audits.lock().unwrap().count);
    Outcome { failure, trace: world.disk.trace(), hits }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn exactly_once_whatever_fails() {
    let (first, runs) = (number("WASMILL_SEED", 1), number("WASMILL_RUNS", 2_000));
    let mut hits: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first + runs {
        let outcome = simulate(seed, Protocol::default());
        if let Some(failure) = outcome.failure {
            let tail = outcome.trace.len().saturating_sub(number("WASMILL_TRACE", 150) as usize);
            panic!(
                "{failure}\nreplay: WASMILL_SEED={seed} WASMILL_RUNS=1 cargo test --release -p wasmill-tests \
                 exactly_once_whatever_fails\n{}",
                outcome.trace[tail..].join("\n")
            );
        }
        outcome.hits.into_iter().for_each(|(point, count)| *hits.entry(point).or_default() += count);
    }
    // Two at the end of each run, and a few in its middle.
    assert!(hits.get("audits").is_some_and(|count| *count >= 3 * runs), "{hits:?}");
    if runs >= 1_000 {
        for operation in ["create", "write", "close", "rename", "delete"] {
            for fault in ["not applied", "unanswered", "late", "sent twice"] {
                let point = format!("{operation} {fault}");
                assert!(hits.get(&point).is_some_and(|count| *count >= 100), "{point} was hit too rarely: {hits:?}");
            }
        }
    }
}

//! One simulated world: hosts, a broker, a disk, a job downstream; what goes wrong in it, and how it must come right.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use wasmill::checkpoint::{Protocol, Retention};
use wasmill::pipeline::membership::{Change, Membership, Step, WorkerHandle};
use wasmill::pipeline::worker::{Targets, Worker, WorkerLimits};
use wasmill::report::Progress;
use wasmill::runtime::Runtime;
use wasmill::sink::stage::Memory;
use wasmill::source::{TopicPartition, Wake};

use super::auditor::Auditor;
use super::books::{Books, Kind, Violation};
use super::broker::{Broker, Connection};
use super::contents::Caller;
use super::deployment::{Which, deployment};
use super::disk::{Disk, Hits};
use super::downstream::{self, Sign};
use super::executor::{Blow, ClockErrors, HostRuntime, Simulator, Tasks};
use super::faults::{Faults, Trouble};
use super::ledger;
use super::operator::{Operators, Process};
use super::profile::{Profile, named};

const TOPIC_PARTITIONS: i32 = 2;

/// How wrong the wall clocks are, in hours: they jump from one error to another all the time.
const CLOCK_ERRORS: ClockErrors = (-48, 48);

/// Of so many runs, one is audited while it goes on.
const AUDITED: u64 = 10;

/// What a host says of a topic that is another one now.
const MADE_ANEW: &str = "the topic was deleted and created anew";

/// Steps after which nobody goes on any more.
const PATIENCE: u64 = 30_000;

/// One run, from which everything follows.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) profile: &'static str,
    pub(super) hosts: usize,
    pub(super) steps: u64,
    /// Classes of faults that are left out.
    pub(super) without: Vec<&'static str>,
    pub(super) protocol: Protocol,
    /// Rule V13, which is the storage's: a rename is one step.
    pub(super) atomic_rename: bool,
    /// A rule of the source: readers are told what the topic is when a range ends.
    pub(super) says_identity: bool,
    pub(super) clock_errors: ClockErrors,
}

impl Case {
    /// The run of this seed in this profile.
    pub(super) fn new(seed: u64, profile: &Profile) -> Self {
        Self {
            seed,
            profile: profile.name,
            hosts: profile.hosts,
            steps: profile.steps,
            without: Vec::new(),
            protocol: Protocol::default(),
            atomic_rename: true,
            says_identity: true,
            clock_errors: CLOCK_ERRORS,
        }
    }
}

/// How a run ended.
pub(super) struct Ending {
    pub(super) violation: Option<Violation>,
    pub(super) trace: Vec<String>,
    pub(super) hits: Hits,
}

/// Runs a case to its end.
pub(super) fn run(case: &Case, is_traced: bool) -> Ending {
    let mut world = World::new(case, is_traced);
    let ended = world.live().and_then(|()| world.settle()).and_then(|()| world.tidy());
    Ending { violation: ended.err(), trace: world.disk.trace(), hits: world.disk.hits() }
}

/// One simulated process.
struct Host {
    membership: Membership,
    changes: Sender<Change>,
    /// The deployments that it was told of last, by number.
    follows: BTreeSet<u64>,
    worker: Worker,
    memory: Arc<Memory>,
    /// It is stopped (SIGSTOP) until then: nothing of it goes on.
    frozen_until: Duration,
    over: bool,
}

/// One simulated world.
pub(super) struct World {
    case: Case,
    pub(super) profile: Profile,
    pub(super) simulator: Arc<Simulator>,
    pub(super) broker: Arc<Broker>,
    pub(super) disk: Arc<Disk>,
    pub(super) books: Arc<Books>,
    auditor: Auditor,
    operators: Operators,
    tasks: Tasks,
    hosts: Vec<Option<Host>>,
    retention: Retention,
    /// Bytes that the open files of a host may hold.
    pub(super) budget: usize,
    /// Bytes that one batch may add before the host looks at its budget.
    pub(super) one_batch: usize,
    /// When a host that ended is started again, and when one that was cut off is connected again, by steps.
    restarts: Vec<u64>,
    reconnects: Vec<u64>,
    guest: bool,
    /// The topic was deleted and created anew: hosts may stop for it.
    is_made_anew: bool,
    lives: u64,
    trouble_ends: u64,
    now: u64,
}

impl World {
    pub(super) fn new(case: &Case, is_traced: bool) -> Self {
        let profile = named(case.profile).without(&case.without);
        let simulator = Simulator::new(case.seed, case.clock_errors);
        let books = Arc::new(Books::default());
        let guest = case.seed % 100 == 42;
        let kind = (profile.hours, guest);
        let broker = Broker::new(&simulator, &books, TOPIC_PARTITIONS as usize, kind, case.says_identity);
        let disk = Disk::new(&simulator, &books, is_traced);
        let retention = Retention {
            keep: 1 + simulator.draw(profile.keep as u64) as usize,
            fold: 1 + simulator.draw(profile.fold as u64) as usize,
        };
        Self {
            hosts: (0..case.hosts).map(|_| None).collect(),
            restarts: vec![0; case.hosts],
            reconnects: vec![u64::MAX; case.hosts],
            auditor: Auditor::new(&simulator, &disk, &books),
            operators: Operators::new(&simulator, &disk, &books, case.protocol, retention),
            case: case.clone(),
            profile,
            simulator,
            broker,
            disk,
            books,
            tasks: Tasks::default(),
            retention,
            budget: 64 << 20,
            one_batch: 0,
            guest,
            is_made_anew: false,
            lives: 0,
            trouble_ends: 0,
            now: 0,
        }
    }

    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].is_none() {
            self.lives += 1;
            let which = match (self.guest, self.profile.deployments) {
                (true, _) => Which::Guest,
                (false, true) if self.simulator.once_in(2) => Which::WithExtra,
                (false, _) => Which::Plain,
            };
            self.disk.note(|| format!("host {host} starts ({which:?})"));
            self.hosts[host] = Some(self.host(host, which));
            self.broker.join(host);
        }
    }

    fn host(&self, host: usize, which: Which) -> Host {
        let made = deployment(which);
        let runtime: Arc<dyn Runtime> = Arc::new(HostRuntime { simulator: Arc::clone(&self.simulator), host });
        let memory = Memory::new(self.budget);
        let process = Process {
            disk: &self.disk,
            runtime: &runtime,
            caller: Caller { host, life: self.lives },
            protocol: self.case.protocol,
            retention: self.retention,
        };
        let places = process.places(made, &memory);
        let limits = WorkerLimits {
            interval: Duration::from_millis(self.profile.interval_ms),
            target_file_size: 1 << 20,
            open_files: if self.profile.hours > 10 { 40 } else { 6 },
            memory_share: 0,
            batch_rows: 4,
        };
        let (commands, obeyed) = channel();
        let (notices, heard) = channel();
        let wake: Wake = Arc::new(|| {});
        let progress = Arc::new(Progress::default());
        let channels = (obeyed, notices);
        let worker = Worker::new(
            Arc::clone(&runtime),
            limits,
            made.for_worker(),
            Arc::clone(&memory),
            progress,
            channels,
            Arc::clone(&wake),
        );
        let source = Box::new(Connection { broker: Arc::clone(&self.broker), host });
        let handles = vec![WorkerHandle { commands, wake }];
        let (changes, changed) = channel();
        let membership = Membership::new(source, places, runtime, handles, heard, changed, false);
        let follows = BTreeSet::from([made.record.number]);
        Host { membership, changes, follows, worker, memory, frozen_until: Duration::ZERO, over: false }
    }

    /// A host finds a new entry in the log of deployments: another one everywhere, one on trial, a pause.
    fn deploy(&mut self, host: usize) {
        let (everywhere, other) = match self.simulator.once_in(2) {
            true => (Which::Plain, Which::WithExtra),
            false => (Which::WithExtra, Which::Plain),
        };
        let partition = self.simulator.draw(TOPIC_PARTITIONS as u64) as i32;
        let trial = self.simulator.once_in(3).then(|| (other, TopicPartition::new("events", partition)));
        let paused = self.simulator.once_in(4);
        if let Some(running) = &mut self.hosts[host] {
            self.disk.hit("deployment", "followed");
            self.disk.note(|| format!("host {host} follows {everywhere:?}, on trial {trial:?}, paused {paused}"));
            running.follow(everywhere, trial, paused);
        }
    }

    pub(super) fn crash(&mut self, host: usize) {
        if self.hosts[host].is_some() {
            self.disk.note(|| format!("host {host} crashes"));
            self.hosts[host] = None;
            self.restarts[host] = self.now + self.simulator.draw_between((5, 80));
            self.tasks.crash(&self.simulator, host);
            self.broker.leave(host);
        }
    }

    pub(super) fn cut_off(&mut self, host: usize) {
        if !self.is_without("cut-off") && self.hosts[host].is_some() {
            self.disk.note(|| format!("host {host} is cut off from the group, and goes on"));
            self.broker.cut_off(host);
            self.reconnects[host] = self.now + self.simulator.draw_between((40, 400));
        }
    }

    fn reconnect(&mut self, host: usize) {
        self.disk.note(|| format!("host {host} is connected to the group again"));
        self.broker.reconnect(host);
        self.reconnects[host] = u64::MAX;
    }

    fn freeze(&mut self, host: usize) {
        let pause = Duration::from_millis(self.simulator.draw_between((50, 2_500)));
        let until = self.simulator.now() + pause;
        if !self.is_without("freeze")
            && let Some(running) = &mut self.hosts[host]
        {
            running.frozen_until = until;
            self.disk.note(|| format!("host {host} stops for {pause:?}"));
        }
    }

    fn is_without(&self, class: &str) -> bool {
        self.case.without.contains(&class)
    }

    /// Whether hosts swap deployments. Where a guest runs, another deployment would make other rows of the same messages.
    fn swaps(&self) -> bool {
        self.profile.deployments && !self.guest
    }

    /// Something bad, or something that ends it.
    fn disturb(&mut self) {
        let host = self.simulator.draw(self.hosts.len() as u64) as usize;
        match self.simulator.draw(12) {
            0 if !self.is_without("crash") => self.crash(host),
            1..=3 => self.start(host),
            4 | 5 => {
                self.freeze(host);
                self.cut_off(host);
            }
            6 => self.freeze(host),
            7 => self.cut_off(host),
            8 => self.reconnect(host),
            _ if !self.is_without("rebalance") => self.broker.rebalance(),
            _ => {}
        }
    }

    fn trouble(&mut self) {
        if self.now >= self.trouble_ends {
            self.disk.set_trouble(None);
            if self.simulator.once_in(self.profile.trouble) {
                let trouble = Trouble::draw(&self.simulator);
                self.trouble_ends = self.now + self.simulator.draw_between(self.profile.trouble_steps);
                self.disk.note(|| format!("trouble: {trouble:?}, until step {}", self.trouble_ends));
                self.disk.set_trouble(Some(trouble));
            }
        }
    }

    /// One host does what it can do now, and some of the tasks go on.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        self.now += 1;
        self.simulator.advance(Duration::from_millis(1 + self.simulator.draw(self.profile.tick_ms)));
        let drawn = self.simulator.draw(self.hosts.len() as u64) as usize;
        let now = self.simulator.now();
        if let Some(host) = &mut self.hosts[drawn]
            && host.frozen_until <= now
        {
            host.step(self.budget + self.one_batch, self.is_made_anew.then_some(MADE_ANEW))?;
        }
        for _ in 0..1 + self.simulator.draw(6) {
            let hosts = &self.hosts;
            // The auditor is no host, and never frozen.
            let frozen =
                |host: usize| hosts.get(host).is_some_and(|host| host.as_ref().is_none_or(|h| h.frozen_until > now));
            if !self.tasks.step(&self.simulator, frozen) {
                break;
            }
            for blow in self.simulator.take_blows() {
                match blow {
                    Blow::Crash(host) | Blow::CutOff(host) if host >= self.hosts.len() => {
                        self.operators.crash(&mut self.tasks, host);
                    }
                    Blow::Crash(host) => self.crash(host),
                    Blow::CutOff(host) => self.cut_off(host),
                }
            }
        }
        if self.simulator.once_in(self.profile.downstream) {
            let sign = if self.case.protocol.published_mark { Sign::Mark } else { Sign::Visible };
            downstream::work(&self.disk, &self.books, &self.simulator, TOPIC_PARTITIONS as u64, sign);
        }
        self.books.violation().map_or(Ok(()), Err)
    }

    pub(super) fn live(&mut self) -> Result<(), Violation> {
        (0..self.hosts.len()).for_each(|host| self.start(host));
        self.torment();
        let calm = self.simulator.draw_between(self.profile.calm);
        for _ in 0..self.case.steps {
            self.happen(calm);
            self.step()?;
        }
        Ok(())
    }

    /// From now on operations fail: some runs are quiet, some are wild.
    fn torment(&self) {
        let scale = |share: u64, by: u64| share * by / 4;
        let by = 1 + self.simulator.draw(8);
        let faults = self.profile.faults;
        self.disk.set_faults(Faults {
            not_applied: scale(faults.not_applied, by),
            unanswered: scale(faults.unanswered, by),
            late: scale(faults.late, by),
            sent_twice: scale(faults.sent_twice, by),
            denied: scale(faults.denied, by),
            unread: scale(faults.unread, by),
            crash: scale(faults.crash, by),
            rename_by_copy: !self.case.atomic_rename,
            ..faults
        });
    }

    /// What happens around the hosts before they take their next step.
    fn happen(&mut self, calm: u64) {
        if self.simulator.once_in(10) && !self.is_made_anew {
            self.broker.produce(3);
        }
        if self.simulator.once_in(calm) {
            self.disturb();
        }
        if self.simulator.once_in(self.profile.late) {
            self.disk.land_late();
        }
        if self.simulator.once_in(self.profile.expiry) {
            self.disk.note(|| "old messages expire".to_owned());
            self.broker.expire();
        }
        if self.swaps() && self.simulator.once_in(25) {
            let host = self.simulator.draw(self.hosts.len() as u64) as usize;
            self.deploy(host);
        }
        if self.case.seed % AUDITED == AUDITED - 1 && self.simulator.once_in(12) {
            self.auditor.begin();
        }
        if self.simulator.once_in(self.profile.replays) && !self.is_made_anew {
            self.operators.begin();
        }
        self.trouble();
        for host in 0..self.hosts.len() {
            if self.restarts[host] <= self.now {
                self.start(host);
            }
            if self.reconnects[host] <= self.now {
                self.reconnect(host);
            }
        }
    }

    /// The topic is deleted and created anew under the hosts that read it.
    pub(super) fn make_topic_anew(&mut self) {
        self.disk.note(|| MADE_ANEW.to_owned());
        self.broker.make_anew();
        self.is_made_anew = true;
    }

    /// Whether anybody has taken this topic partition over yet.
    pub(super) fn has_record(&self, partition: usize) -> bool {
        let directory = format!("/checkpoints/events/{partition}/");
        let contents = self.disk.contents.lock().unwrap();
        let mut names = contents.files.range(directory.clone()..).map_while(|(path, _)| path.strip_prefix(&directory));
        names.any(|name| name.ends_with(".json"))
    }

    /// Topic partitions that a host has stopped for good.
    pub(super) fn stopped(&self, host: usize) -> usize {
        self.hosts[host].as_ref().map_or(0, |host| host.membership.account.stopped.len())
    }

    /// Whether storage is so far behind that a host has stopped reading.
    pub(super) fn is_storage_behind(&self) -> bool {
        self.hosts.iter().flatten().any(|host| host.memory.is_storage_behind())
    }

    /// Everything works again from now on.
    pub(super) fn calm_down(&mut self) {
        self.disk.note(|| "all faults end".to_owned());
        self.disk.set_faults(Faults { rename_by_copy: !self.case.atomic_rename, ..Faults::default() });
        self.disk.set_trouble(None);
        let swaps = self.swaps();
        for host in 0..self.hosts.len() {
            if let Some(running) = &mut self.hosts[host] {
                running.frozen_until = Duration::ZERO;
                if swaps {
                    running.follow(Which::WithExtra, None, false);
                }
            }
            self.broker.reconnect(host);
            self.start(host);
        }
    }

    /// All that was produced must become visible.
    fn settle(&mut self) -> Result<(), Violation> {
        self.calm_down();
        for step in 0.. {
            if self.disk.late() > 0 && self.simulator.once_in(5) {
                self.disk.land_late();
            }
            self.step()?;
            if self.books.is_complete() && self.disk.late() == 0 {
                break;
            }
            if step > PATIENCE {
                let text = format!("lost, or nobody goes on: {:?} never became visible", self.books.missing());
                return Err(Violation::new(Kind::Lost, text));
            }
        }
        Ok(())
    }

    /// A last clean start and stop, after which nothing may lie about and the ledger must close.
    fn tidy(&mut self) -> Result<(), Violation> {
        (0..self.hosts.len()).for_each(|host| self.crash(host));
        self.operators.leave(&mut self.tasks);
        self.start(0);
        let mut quiet = 0;
        for step in 0.. {
            self.step()?;
            quiet = if self.tasks.is_empty() { quiet + 1 } else { 0 };
            let Some(host) = &mut self.hosts[0] else { break };
            if step > 100 && quiet > 2 * self.profile.interval_ms / self.profile.tick_ms {
                host.membership.stop();
            }
            if host.over {
                break;
            }
            if step > PATIENCE {
                return Err(Violation::new(Kind::Membership, "a host does not stop"));
            }
        }
        if self.profile.replays > 0 {
            // What the hosts left is judged first: a replay refuses a chain that is not whole.
            ledger::check(&self.disk, &self.books, TOPIC_PARTITIONS)?;
            self.operators.have_the_last_word()?;
        }
        let contents = self.disk.contents.lock().unwrap();
        let lies_about = |path: &&String| path.contains("/_staging/") || path.ends_with(".tmp");
        if let Some(path) = contents.files.keys().find(lies_about) {
            return Err(Violation::new(Kind::LeftBehind, format!("{path} is left behind after a clean run")));
        }
        drop(contents);
        ledger::check(&self.disk, &self.books, TOPIC_PARTITIONS)?;
        self.auditor.agrees()
    }
}

impl Host {
    /// As a run does whose log of deployments has a new entry: what its workers do not have yet is made ready for them.
    fn follow(&mut self, everywhere: Which, trial: Option<(Which, TopicPartition)>, paused: bool) {
        let canary = trial.map(|(which, there)| (deployment(which), BTreeSet::from([there])));
        let made = deployment(everywhere);
        let named: Vec<_> = canary.iter().map(|(canary, _)| *canary).chain([made]).collect();
        let missing = named.iter().filter(|one| !self.follows.contains(&one.record.number));
        let prepared = vec![missing.map(|one| one.for_worker()).collect()];
        self.follows = named.iter().map(|one| one.record.number).collect();
        let canary = canary.map(|(canary, there)| (canary.record.number, there));
        let targets = Targets { deployment: made.record.number, canary };
        let deployment = (made.record.clone(), made.options.clone());
        let _ = self.changes.send(Change { prepared, targets, deployment, paused });
    }

    /// `excuse`: what a host may say when it stops a topic partition.
    fn step(&mut self, budget: usize, excuse: Option<&str>) -> Result<(), Violation> {
        if self.over {
            return Ok(());
        }
        match self.membership.step(Duration::ZERO) {
            Ok(Step::Ended(_)) => self.over = true,
            Ok(_) => {}
            Err(error) => {
                let text = format!("the membership failed: {error}");
                return Err(Violation::new(Kind::Membership, text));
            }
        }
        self.worker.step();
        let used = self.memory.used();
        if used > budget {
            return Err(Violation::new(
                Kind::Memory,
                format!("open files hold {used} bytes of {budget}: {:?}", self.memory),
            ));
        }
        let unexcused = |error: &str| excuse.is_none_or(|excuse| !error.contains(excuse));
        match self.membership.account.stopped.iter().find(|stopped| unexcused(&stopped.error)) {
            Some(stopped) => {
                let text = format!("a topic partition stopped: {}", stopped.error);
                Err(Violation::new(Kind::Stopped, text))
            }
            None => Ok(()),
        }
    }
}

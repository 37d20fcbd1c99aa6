//! An operator who replays dead letters beside the hosts, and whose command ends at any step as hosts do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use wasmill::checkpoint::{Note, Protocol, Retention};
use wasmill::pipeline::places::Places;
use wasmill::replay::{Answer, Bounds, Filter, Replayer};
use wasmill::runtime::Runtime;
use wasmill::sink::stage::Memory;
use wasmill::storage::{Location, Storage};

use super::books::{Books, Kind, Violation};
use super::contents::Caller;
use super::deployment::{Deployment, Which, deployment};
use super::disk::{Disk, Mounted};
use super::executor::{HostRuntime, Simulator, Tasks};
use super::reader::{DEAD_LETTERS, TABLE};

/// Two operators, who may race: the numbers of their processes.
const OPERATORS: [usize; 2] = [usize::MAX - 1, usize::MAX - 2];

/// Who asks the disk, and by which rules.
pub(super) struct Process<'a> {
    pub(super) disk: &'a Arc<Disk>,
    pub(super) runtime: &'a Arc<dyn Runtime>,
    pub(super) caller: Caller,
    pub(super) protocol: Protocol,
    pub(super) retention: Retention,
}

impl Process<'_> {
    /// The places of the simulated pipeline, as this process sees them.
    pub(super) fn places(&self, deployment: &Deployment, memory: &Arc<Memory>) -> Places {
        let storage: Arc<dyn Storage> = Arc::new(Mounted { disk: Arc::clone(self.disk), caller: self.caller });
        let location =
            |path: &str| Location { storage: Arc::clone(&storage), path: path.to_owned(), url: path.to_owned() };
        Places {
            pipeline: "simulated".to_owned(),
            checkpoints: location("/checkpoints"),
            table: location(TABLE),
            dead_letters: location(DEAD_LETTERS),
            protocol: self.protocol,
            retention: self.retention,
            runtime: Arc::clone(self.runtime),
            memory: Arc::clone(memory),
            deployment: deployment.record.clone(),
            options: deployment.options.clone(),
            max_open_hive_partitions: 1_000,
            dead_letter_options: deployment.dead_letter_options.clone(),
        }
    }
}

/// The operators of one world.
pub(super) struct Operators {
    simulator: Arc<Simulator>,
    disk: Arc<Disk>,
    books: Arc<Books>,
    protocol: Protocol,
    retention: Retention,
    at_work: [Arc<AtomicBool>; 2],
    lives: u64,
}

impl Operators {
    pub(super) fn new(
        simulator: &Arc<Simulator>,
        disk: &Arc<Disk>,
        books: &Arc<Books>,
        protocol: Protocol,
        retention: Retention,
    ) -> Self {
        Self {
            simulator: Arc::clone(simulator),
            disk: Arc::clone(disk),
            books: Arc::clone(books),
            protocol,
            retention,
            at_work: Default::default(),
            lives: 0,
        }
    }

    fn replayer(&mut self, operator: usize) -> Replayer {
        self.lives += 1;
        let (simulator, host) = (Arc::clone(&self.simulator), OPERATORS[operator]);
        let runtime: Arc<dyn Runtime> = Arc::new(HostRuntime { simulator, host });
        let deployment = deployment(Which::Lenient);
        let process = Process {
            disk: &self.disk,
            runtime: &runtime,
            caller: Caller { host, life: self.lives },
            protocol: self.protocol,
            retention: self.retention,
        };
        let bounds = Bounds {
            letters: 1 + self.simulator.draw(6) as usize,
            bytes: 1 << 20,
            files: 1 + self.simulator.draw(3) as usize,
            batch_rows: 3,
        };
        Replayer { places: process.places(deployment, &Memory::new(64 << 20)), stages: deployment.stages(), bounds }
    }

    /// One of them begins to replay, unless he is at it.
    pub(super) fn begin(&mut self) {
        let operator = self.simulator.draw(OPERATORS.len() as u64) as usize;
        let at_work = Arc::clone(&self.at_work[operator]);
        if at_work.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut replayer = self.replayer(operator);
        let runtime = Arc::clone(&replayer.places.runtime);
        let reason = self.simulator.once_in(3).then(|| "event-time-out-of-range".to_owned());
        let (filter, disk) = (Filter { reason, ..Filter::default() }, Arc::clone(&self.disk));
        let limit = self.simulator.once_in(3).then(|| self.simulator.draw(9));
        runtime.spawn(Box::pin(async move {
            disk.note(|| format!("operator {operator} replays dead letters ({filter:?}, {limit:?})"));
            let (mut answer, progress) = (Answer::default(), ProgressBar::hidden());
            let ended = replayer.all(&filter, limit, Some(&note()), &mut answer, &progress).await;
            at_work.store(false, Ordering::Relaxed);
            disk.note(|| format!("operator {operator} is done: {ended:?} {answer:?}"));
            disk.hit("replay", if ended.is_ok() && answer.is_whole() { "whole" } else { "given up" });
            if answer.total.replayed > 0 {
                disk.hit("replay", "replayed");
            }
        }));
    }

    /// Whether it is an operator's process that a blow is meant for; then it ends.
    pub(super) fn crash(&self, tasks: &mut Tasks, host: usize) -> bool {
        let Some(operator) = OPERATORS.iter().position(|operator| *operator == host) else { return false };
        self.disk.note(|| format!("operator {operator} crashes"));
        tasks.crash(&self.simulator, host);
        self.at_work[operator].store(false, Ordering::Relaxed);
        true
    }

    /// All of them are gone.
    pub(super) fn leave(&self, tasks: &mut Tasks) {
        OPERATORS.iter().for_each(|host| {
            self.crash(tasks, *host);
        });
    }

    /// Nothing goes wrong any more and no host is there: what can be replayed is, and then nothing is left of it.
    pub(super) fn have_the_last_word(&mut self) -> Result<(), Violation> {
        let wrong = |text: String| Err(Violation::new(Kind::Lost, text));
        self.replay_now(&Filter::default())?;
        if let Some(message) = self.books.could_be_replayed() {
            return wrong(format!("{message:?} is a dead letter still, and would be a row"));
        }
        let filter = Filter { reason: Some("event-time-out-of-range".to_owned()), ..Filter::default() };
        match self.replay_now(&filter)?.total.replayed {
            0 => Ok(()),
            count => wrong(format!("a replay after the last one found {count} dead letters")),
        }
    }

    fn replay_now(&mut self, filter: &Filter) -> Result<Answer, Violation> {
        let mut replayer = self.replayer(0);
        replayer.bounds = Bounds::new(3);
        let (mut answer, progress, note) = (Answer::default(), ProgressBar::hidden(), note());
        let ended = futures::executor::block_on(replayer.all(filter, None, Some(&note), &mut answer, &progress));
        if ended.is_ok() && answer.is_whole() {
            return Ok(answer);
        }
        Err(Violation::new(Kind::Stopped, format!("a replay failed though nothing did: {ended:?} {answer:?}")))
    }
}

fn note() -> Note {
    Note { who: "operator@simulated".to_owned(), why: "they have a place now".to_owned(), accepted: Vec::new() }
}

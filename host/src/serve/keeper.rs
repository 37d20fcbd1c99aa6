//! Which processes are to run: what the catalogue wants against what there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{Process, Program};
use super::{Entry, PipelineStatus, State};
use crate::error::{Error, Result};

/// The first pause before a process that ended by itself is started again; it doubles from time to time, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A process that has run so long is well: if it ends, the pauses begin anew.
const WELL: Duration = Duration::from_secs(60);

/// How long a process may take to finish its checkpoint. Longer than `[limits] shutdown` may be.
const FAREWELL: Duration = Duration::from_secs(660);

/// What is done with one pipeline.
struct Kept {
    /// The entry that it runs by, or ran by.
    number: u64,
    /// The entry that its process was started by: later ones may say the same.
    begun: u64,
    /// What its process reads.
    file: String,
    /// Where its file lies.
    directory: TempDir,
    now: Now,
    restarts: u64,
    /// How often in a row it ended by itself.
    failures: u32,
    problem: Option<String>,
}

enum Now {
    Running { process: Process, since: Instant },
    Ending { process: Process, since: Instant },
    Failed { until: Instant },
}

/// All pipelines of one server.
pub(super) struct Keeper {
    /// The server's id.
    host: String,
    program: Program,
    /// What the processes were told to log.
    levels: Option<Arc<str>>,
    kept: BTreeMap<String, Kept>,
}

impl Keeper {
    /// Runs nothing yet.
    pub(super) fn new(host: String, program: Program) -> Self {
        Self { host, levels: program.levels.get(), program, kept: BTreeMap::new() }
    }

    /// Starts, ends and restarts what `wanted` asks for at this moment. Whether anything changed.
    pub(super) fn step(&mut self, wanted: &[Entry], now: Instant) -> bool {
        let wanted: BTreeMap<&str, &Entry> =
            wanted.iter().filter(|entry| entry.runs()).map(|entry| (entry.name.as_str(), entry)).collect();
        let mut changed = false;
        for (name, entry) in &wanted {
            if !self.kept.contains_key(*name) {
                changed = true;
                match begin(&self.program, entry, now) {
                    Ok(kept) => drop(self.kept.insert((*name).to_owned(), kept)),
                    Err(error) => tracing::error!(pipeline = name, %error, "the pipeline cannot be started"),
                }
            }
        }
        let (host, program) = (&self.host, &self.program);
        self.kept.retain(|name, kept| {
            let entry = wanted.get(name.as_str()).copied();
            let (stays, moved) = kept.step(host, program, name, entry, now);
            changed |= moved;
            stays
        });
        changed
    }

    /// Tells the processes what to log, when that has changed.
    pub(super) fn tell_levels(&mut self) {
        let levels = self.program.levels.get();
        if levels == self.levels {
            return;
        }
        for kept in self.kept.values_mut() {
            if let (Now::Running { process, .. } | Now::Ending { process, .. }, Some(levels)) = (&mut kept.now, &levels)
            {
                process.log(levels);
            }
        }
        self.levels = levels;
    }

    /// What runs here.
    pub(super) fn status(&self) -> BTreeMap<String, PipelineStatus> {
        let status = |kept: &Kept| PipelineStatus {
            number: kept.number,
            pid: match &kept.now {
                Now::Running { process, .. } | Now::Ending { process, .. } => Some(process.id()),
                Now::Failed { .. } => None,
            },
            state: match kept.now {
                Now::Running { .. } => State::Running,
                Now::Ending { .. } => State::Ending,
                Now::Failed { .. } => State::Failed,
            },
            restarts: kept.restarts,
            problem: kept.problem.clone(),
        };
        self.kept.iter().map(|(name, kept)| (name.clone(), status(kept))).collect()
    }

    /// Asks all to end, and waits until they have.
    pub(super) fn end(&mut self) {
        while !self.kept.is_empty() {
            self.step(&[], Instant::now());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn begin(program: &Program, entry: &Entry, now: Instant) -> Result<Kept> {
    let directory = tempfile::Builder::new().prefix("wasmill-").tempdir();
    let directory = directory.map_err(|error| Error::fatal("cannot make a directory").because(error))?;
    let process = Process::start(program, &entry.name, &entry.file, directory.path())?;
    tracing::info!(pipeline = entry.name, entry = entry.number, "the pipeline starts");
    let now = Now::Running { process, since: now };
    let (number, file) = (entry.number, entry.file.clone());
    Ok(Kept { number, begun: number, file, directory, now, restarts: 0, failures: 0, problem: None })
}

impl Kept {
    /// `entry`: what is wanted of it; `None`: that it ends. Whether it is still there, and whether something changed.
    fn step(&mut self, host: &str, program: &Program, name: &str, entry: Option<&Entry>, at: Instant) -> (bool, bool) {
        // A newer entry may say nothing new for this server.
        let same = entry.filter(|entry| entry.file == self.file && entry.restarted(host) <= self.begun);
        let is_newer = same.is_some_and(|entry| std::mem::replace(&mut self.number, entry.number) != entry.number);
        let is_meant = same.is_some();
        let state = std::mem::replace(&mut self.now, Now::Failed { until: at });
        let (next, changed) = match state {
            Now::Running { mut process, since } => match process.ended() {
                Some(status) => (self.failed(name, process, status, at.duration_since(since), at), true),
                None if is_meant => (Now::Running { process, since }, is_newer),
                None => {
                    tracing::info!(pipeline = name, entry = self.number, "the pipeline is asked to end here");
                    process.ask_to_end();
                    (Now::Ending { process, since: at }, true)
                }
            },
            Now::Ending { mut process, since } => match process.ended() {
                Some(_) if entry.is_none() => return (false, true),
                Some(_) => (Now::Failed { until: at }, true),
                None => {
                    if at.duration_since(since) > FAREWELL {
                        tracing::warn!(pipeline = name, "the pipeline does not end, so its process is killed");
                        process.kill();
                    }
                    (Now::Ending { process, since }, false)
                }
            },
            Now::Failed { .. } if entry.is_none() => return (false, true),
            Now::Failed { until } => (Now::Failed { until }, false),
        };
        self.now = next;
        match entry {
            Some(entry) if self.is_due(entry, at) => {
                self.start(program, entry, at);
                (true, true)
            }
            _ => (true, changed),
        }
    }

    /// Whether it waits for nothing more: its pause is over, or what failed is not wanted any more.
    fn is_due(&self, entry: &Entry, at: Instant) -> bool {
        matches!(self.now, Now::Failed { until } if until <= at || entry.number != self.number)
    }

    fn start(&mut self, program: &Program, entry: &Entry, at: Instant) {
        if entry.number == self.number {
            self.restarts += 1;
        } else {
            (self.number, self.restarts, self.failures, self.problem) = (entry.number, 0, 0, None);
        }
        (self.begun, self.file) = (entry.number, entry.file.clone());
        self.now = match Process::start(program, &entry.name, &entry.file, self.directory.path()) {
            Ok(process) => {
                tracing::info!(
                    pipeline = entry.name,
                    entry = entry.number,
                    restarts = self.restarts,
                    "the pipeline starts"
                );
                Now::Running { process, since: at }
            }
            Err(error) => {
                tracing::error!(pipeline = entry.name, %error, "the pipeline cannot be started");
                self.problem = Some(error.to_string());
                Now::Failed { until: at + LONGEST_PAUSE }
            }
        };
    }

    fn failed(
        &mut self,
        name: &str,
        process: Process,
        status: std::process::ExitStatus,
        ran: Duration,
        at: Instant,
    ) -> Now {
        self.failures = if ran > WELL { 1 } else { self.failures + 1 };
        let pause = SHORTEST_PAUSE.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST_PAUSE);
        let words = process.last_words();
        tracing::error!(pipeline = name, %status, words, again_in_s = pause.as_secs(), "the pipeline ended by itself");
        self.problem = Some(format!("{status}: {words}"));
        Now::Failed { until: at + pause }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::{Action, Target};
    use super::*;
    use crate::checkpoint::Id;

    /// Runs a pipeline's file as a shell script.
    fn keeper() -> (Keeper, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = {
            let lines = Arc::clone(&lines);
            Arc::new(move |name: &str, line: &str| lines.lock().unwrap().push(format!("{name}: {line}")))
        };
        (
            Keeper::new(
                "here".to_owned(),
                Program {
                    path: "/bin/sh".into(),
                    arguments: Vec::new(),
                    variables: Vec::new(),
                    log,
                    levels: Arc::default(),
                },
            ),
            lines,
        )
    }

    fn entry(name: &str, number: u64, file: &str) -> Entry {
        Entry {
            format: 1,
            name: name.to_owned(),
            number,
            id: Id(1),
            action: Action::Apply,
            target: Target::Running,
            file: file.to_owned(),
            connector: None,
            restarted: 0,
            restarted_on: BTreeMap::new(),
            at_ms: 0,
            by: "ann@here".to_owned(),
            note: String::new(),
        }
    }

    /// Runs until it is asked to end.
    const GOOD: &str = "trap 'echo ends >&2; exit 0' TERM; echo runs >&2; while :; do sleep 0.02; done";

    fn until(
        keeper: &mut Keeper,
        wanted: &[Entry],
        what: &str,
        holds: impl Fn(&BTreeMap<String, PipelineStatus>) -> bool,
    ) {
        let begun = Instant::now();
        loop {
            keeper.step(wanted, Instant::now());
            if holds(&keeper.status()) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "not in time: {what}: {:?}", keeper.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn until_said(keeper: &mut Keeper, wanted: &[Entry], lines: &Mutex<Vec<String>>, what: &str) {
        until(keeper, wanted, what, |_| lines.lock().unwrap().iter().any(|line| line == what));
    }

    #[test]
    fn what_is_wanted_runs_and_what_is_not_ends() {
        let (mut keeper, lines) = keeper();
        let first = [entry("a", 1, GOOD), entry("b", 1, GOOD)];
        until_said(&mut keeper, &first, &lines, "a: runs");
        until_said(&mut keeper, &first, &lines, "b: runs");

        // Another file: the process of the old one ends first.
        let second = [entry("a", 2, &GOOD.replace("runs", "runs anew")), entry("b", 1, GOOD)];
        until_said(&mut keeper, &second, &lines, "a: runs anew");
        let a = keeper.status()["a"].clone();
        assert!(a.pid.is_some());
        assert_eq!(a, PipelineStatus { number: 2, pid: a.pid, state: State::Running, restarts: 0, problem: None });
        assert_eq!(lines.lock().unwrap().iter().filter(|line| *line == "a: ends").count(), 1);

        let deleted = Entry { action: Action::Delete, ..entry("b", 2, GOOD) };
        until(&mut keeper, &[second[0].clone(), deleted], "b is gone", |status| status.len() == 1);
        keeper.end();
        assert!(lines.lock().unwrap().ends_with(&["a: ends".to_owned()]), "{lines:?}");
    }

    #[test]
    fn one_that_fails_is_started_again_beside_those_that_do_not() {
        let (mut keeper, lines) = keeper();
        let failing = "echo error: no such topic >&2; echo '  what to do: make it' >&2; exit 3";
        let wanted = [entry("bad", 1, failing), entry("good", 1, GOOD)];
        until(&mut keeper, &wanted, "it failed twice", |status| status.get("bad").is_some_and(|bad| bad.restarts == 1));
        let status = keeper.status();
        let problem = status["bad"].problem.clone().unwrap();
        assert!(problem.contains("exit status: 3: error: no such topic; what to do: make it"), "{problem}");
        assert_eq!((status["good"].state, status["good"].restarts), (State::Running, 0));
        // A new file is not kept waiting.
        until_said(&mut keeper, &[entry("bad", 2, GOOD), wanted[1].clone()], &lines, "bad: runs");
        assert_eq!(keeper.status()["bad"].problem, None);
        keeper.end();
    }

    #[test]
    fn it_is_started_anew_where_that_is_asked_for_and_ends_while_it_is_stopped() {
        let (mut keeper, lines) = keeper();
        let first = entry("a", 1, GOOD);
        until_said(&mut keeper, std::slice::from_ref(&first), &lines, "a: runs");
        let pid = keeper.status()["a"].pid;
        let on = |host: &str, number| Entry {
            action: Action::Restart,
            restarted_on: BTreeMap::from([(host.to_owned(), number)]),
            ..entry("a", number, GOOD)
        };
        // Another server's restart is none of ours.
        until(&mut keeper, &[on("there", 2)], "entry 2", |status| status["a"].number == 2);
        assert_eq!(keeper.status()["a"].pid, pid);
        let here = on("here", 3);
        until(&mut keeper, std::slice::from_ref(&here), "another process", |status| {
            status["a"].number == 3 && status["a"].state == State::Running && status["a"].pid != pid
        });
        let pid = keeper.status()["a"].pid;
        let everywhere = Entry { restarted: 4, ..entry("a", 4, GOOD) };
        until(&mut keeper, &[everywhere], "another one", |status| {
            status["a"].number == 4 && status["a"].state == State::Running && status["a"].pid != pid
        });
        let stopped = Entry { target: Target::Stopped, ..entry("a", 5, GOOD) };
        until(&mut keeper, &[stopped], "none", BTreeMap::is_empty);
    }

    #[test]
    fn pauses_between_starts_grow_and_end() {
        let (mut keeper, _) = keeper();
        let wanted = [entry("bad", 1, "exit 1")];
        let begun = Instant::now();
        let mut now = begun;
        keeper.step(&wanted, now);
        let mut pauses = Vec::new();
        while pauses.len() < 9 {
            if let Now::Failed { until } = keeper.kept["bad"].now {
                pauses.push((until - now).as_secs());
                now = until;
            }
            keeper.step(&wanted, now);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        keeper.end();
    }
}

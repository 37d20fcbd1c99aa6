//! Guests that attack the host, each with what must become of it: a table in [`guests`], which
//! `host/docs/hostile-guests.md` shows to operators.
//!
//! Each guest runs in a process of its own, through the production engine, between two honest transforms. Whatever it
//! does: the process lives and stays small, it ends in time, each row is in exactly one place, the neighbours see every
//! row that is theirs, and an honest chain on the same engine goes on.

mod calls;
mod descriptions;
mod files;
mod host_calls;
mod outputs;
mod resources;

use std::fmt;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::super::guest_log::misleads;
use super::super::{MetricSnapshot, MetricValue};
use super::guest::Guest;
use super::*;
use crate::error::ErrorKind;
use crate::reason;

/// A guest and what must become of it.
struct Hostile {
    name: &'static str,
    /// Finishes the sentence "The guest ...".
    does: &'static str,
    make: fn() -> Vec<u8>,
    expected: Expected,
}

impl Hostile {
    /// The same guest with another end.
    fn ending(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }
}

/// What must become of a guest, or of the rows that reach it.
enum Expected {
    /// It is not linked, and the error says this.
    Refused(&'static str),
    /// All rows are rejected for this reason, and the detail says this.
    Rejected(&'static str, &'static str),
    /// The one poison row is, and all others go on.
    Poison(&'static str),
    /// All rows go on.
    Kept,
    /// It lies on the edge: each row goes on, or is rejected for a reason that begins so; or it is refused for its
    /// deadline.
    Edge(&'static str),
}

/// The row of [`Expected::Poison`].
const POISON: i32 = 11;
/// The process of one guest may take this long, and a batch this long: generous, for machines under load.
const MOST_TIME: Duration = Duration::from_secs(120);
const MOST_TIME_PER_BATCH: Duration = Duration::from_secs(15);
/// And this many bytes of memory, all that the compiler takes included.
const MOST_MEMORY: u64 = 1 << 30;
/// More than this it does not even get.
const MEMORY_BARRIER: u64 = 3 << 30;
/// Names the guest that this process is to run.
const ONE_GUEST: &str = "WASMILL_HOSTILE_GUEST";

fn guests() -> Vec<Hostile> {
    let mut guests = Vec::new();
    guests.extend(calls::guests());
    guests.extend(resources::guests());
    guests.extend(outputs::guests());
    guests.extend(descriptions::guests());
    guests.extend(host_calls::guests());
    guests.extend(files::guests());
    guests
}

#[test]
fn every_hostile_guest_ends_as_the_table_says() {
    let guests = guests();
    if let Ok(name) = std::env::var(ONE_GUEST) {
        let guest = guests.iter().find(|guest| guest.name == name).expect("a guest of the table");
        return attack(guest);
    }
    assert!(guests.len() >= 60, "{}", guests.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(guest) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
            failed.extend(in_a_process(guest.name).err());
        }
        failed
    };
    let failed: Vec<String> = thread_pair(work);
    assert!(failed.is_empty(), "{} of {} guests:\n{}", failed.len(), guests.len(), failed.join("\n"));
}

/// Runs `work` on two threads.
fn thread_pair(work: impl Fn() -> Vec<String> + Sync) -> Vec<String> {
    std::thread::scope(|scope| {
        let threads = [scope.spawn(&work), scope.spawn(&work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Runs this test again for one guest alone.
fn in_a_process(name: &str) -> std::result::Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said");
    let file = File::create(&said).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "transform::tests::hostile::every_hostile_guest_ends_as_the_table_says"])
        .env(ONE_GUEST, name)
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > MOST_TIME {
            process.kill().unwrap();
            process.wait().unwrap();
            return Err(format!("{name}: no end after {MOST_TIME:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let said = String::from_utf8_lossy(&std::fs::read(&said).unwrap()).chars().take(2000).collect::<String>();
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}\n{said}")) }
}

/// Everything that is asserted of a guest, in a process of its own.
fn attack(guest: &Hostile) {
    setrlimit(Resource::Data, Rlimit { current: Some(MEMORY_BARRIER), maximum: Some(MEMORY_BARRIER) }).unwrap();
    let engine = TransformEngine::new(None).unwrap();
    let slow = TransformConfig {
        limits: GuestLimits { deadline: Duration::from_secs(30), ..config("").limits },
        ..config("before")
    };
    let after = TransformConfig { name: "after".to_owned(), ..slow.clone() };
    let hostile = TransformConfig {
        name: "hostile".to_owned(),
        limits: GuestLimits { deadline: guest.expected.deadline(), ..slow.limits.clone() },
        ..slow.clone()
    };
    let counting = counting();
    let module = (guest.make)();
    // What it took to make the guest is not the host's.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let modules = [(slow.clone(), counting.clone()), (hostile, module), (after, counting.clone())];
    match link_on(&engine, &modules, events_schema()) {
        Ok(chain) => guest.expected.check_rows(&chain),
        Err(error) => guest.expected.check_refusal(&error),
    }
    // Others go on.
    let honest = link_on(&engine, &[(slow, counting)], events_schema()).unwrap();
    let output = run(&mut honest.instantiate().unwrap(), 50).unwrap();
    assert_eq!((output.rows.num_rows(), output.failures.len()), (50, 0));
    let peak = peak_memory();
    println!("{}: {} MB at the peak", guest.name, peak >> 20);
    assert!(peak < MOST_MEMORY, "{peak} bytes of memory at the peak");
}

/// An honest transform that counts the rows that it sees.
fn counting() -> Vec<u8> {
    let mut guest = Guest::new();
    guest.imports = host_calls::METRICS.to_owned();
    let [address, length] = guest.memory.text("rows");
    guest.process = format!(
        "(call $add (call $counter (i32.const {address}) (i32.const {length})) (i64.extend_i32_u (local.get $rows)))
         {}",
        guest.process
    );
    guest.build()
}

/// The most memory that this process had at once.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

impl Expected {
    fn is_about_time(&self) -> bool {
        match self {
            Self::Refused(text) => *text == "deadline",
            Self::Rejected(reason, _) | Self::Poison(reason) | Self::Edge(reason) => {
                *reason == reason::TRANSFORM_DEADLINE
            }
            Self::Kept => false,
        }
    }

    /// Short where the deadline is what is attacked; else long enough for a machine under load.
    fn deadline(&self) -> Duration {
        Duration::from_millis(match self {
            // The other rows must not miss it.
            Self::Poison(_) if self.is_about_time() => 500,
            _ if self.is_about_time() => 50,
            _ => 20_000,
        })
    }

    fn check_refusal(&self, error: &crate::error::Error) {
        let text = format!("{error} {}", error.what_to_do().unwrap_or_default());
        println!("refused: {text}");
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        assert!(!text.chars().any(|character| misleads(character) && character != '\n'), "{text:?}");
        assert!(text.len() < 100_000, "an error of {} bytes", text.len());
        match self {
            Self::Refused(expected) => assert!(text.contains(expected), "`{expected}` is not in: {text}"),
            Self::Edge(_) => assert!(text.contains("deadline"), "{text}"),
            _ => panic!("refused: {text}"),
        }
    }

    /// Two batches through one instance, and one through another.
    fn check_rows(&self, chain: &TransformChain) {
        assert!(!matches!(self, Self::Refused(_)), "it was linked");
        let rows = if self.is_about_time() { 16 } else { 64 };
        let mut kept = 0;
        let mut instances = [chain.instantiate().unwrap(), chain.instantiate().unwrap()];
        for instance in [0, 0, 1] {
            let started = Instant::now();
            let output = run(&mut instances[instance], rows).unwrap();
            let took = started.elapsed();
            assert!(took < MOST_TIME_PER_BATCH, "a batch took {took:?}");
            self.check_batch(&output, rows);
            kept += output.rows.num_rows() as u64;
        }
        assert_eq!(counted(&chain.metrics(), "before"), 3 * rows as u64);
        assert_eq!(counted(&chain.metrics(), "after"), kept);
    }

    fn check_batch(&self, output: &ChainOutput, rows: usize) {
        assert!(output.failures.iter().all(|failure| failure.transform == 1), "{:?}", output.failures);
        for rejected in &output.rejected {
            assert!(!rejected.detail.chars().any(|c| misleads(c) && c != '\n'), "{rejected:?}");
            assert!(rejected.detail.len() < 10_000, "{} bytes of detail", rejected.detail.len());
        }
        let (expected, wanted, detail) = match self {
            Self::Refused(_) => unreachable!("checked before"),
            Self::Kept => (0, "", ""),
            Self::Poison(reason) => (1, *reason, ""),
            Self::Rejected(reason, detail) => (rows, *reason, *detail),
            Self::Edge(reason) => (output.rejected.len(), *reason, ""),
        };
        let fits = |reason: &str| match self {
            Self::Edge(_) => reason.starts_with(wanted),
            _ => reason == wanted,
        };
        let explained = |r: &super::super::Rejected| fits(&r.reason) && r.detail.contains(detail);
        assert!(output.rejected.iter().all(explained), "{:?}", output.rejected.iter().find(|r| !explained(r)));
        assert_eq!((output.rejected.len(), output.filtered), (expected, 0), "{:?}", output.failures);
        if let Self::Poison(_) = self {
            assert_eq!(output.rejected[0].message, POISON as u32);
        }
    }
}

/// What the transform called `name` counted.
fn counted(metrics: &[MetricSnapshot], name: &str) -> u64 {
    match metrics.iter().find(|metric| metric.transform == name).map(|metric| &metric.value) {
        Some(MetricValue::Counter(count)) => *count,
        None => 0,
        other => panic!("{other:?}"),
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused("") => write!(f, "refused"),
            Self::Refused(text) => write!(f, "refused: \"{text}\""),
            Self::Rejected(reason, "") => write!(f, "its rows: `{reason}`"),
            Self::Rejected(reason, text) => write!(f, "its rows: `{reason}`, \"{text}\""),
            Self::Poison(reason) => write!(f, "the one row: `{reason}`; all others go on"),
            Self::Kept => write!(f, "all rows go on"),
            Self::Edge(reason) => write!(f, "each row goes on, or `{reason}`"),
        }
    }
}

#[test]
fn the_docs_show_the_same_table() {
    let line = |guest: Hostile| format!("| `{}` | {} | {} |", guest.name, guest.does, guest.expected);
    let expected: Vec<String> = guests().into_iter().map(line).collect();
    let docs = include_str!("../../../../docs/hostile-guests.md");
    let found: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(found == expected, "host/docs/hostile-guests.md should have:\n{}", expected.join("\n"));
    let mut names: Vec<_> = guests().iter().map(|guest| guest.name).collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "each name once");
}

//! What goes wrong at single operations, and for a while at many of them.

use std::time::Duration;

use super::executor::Simulator;
use super::reader::{DEAD_LETTERS, TABLE, is_visible};
use super::steps::{Mutation, StepName};

/// How often each fault is injected: in so many of 10,000 operations, more often at steps that are rare.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) not_applied: u64,
    pub(super) unanswered: u64,
    pub(super) late: u64,
    pub(super) sent_twice: u64,
    pub(super) denied: u64,
    pub(super) unread: u64,
    /// Of listings that may be stale: those that only find what to sweep.
    pub(super) stale: u64,
    pub(super) crash: u64,
    /// A process that is slow after an operation, at some steps.
    pub(super) stalls: &'static [(StepName, u64)],
    /// For how long, in milliseconds.
    pub(super) stall_ms: (u64, u64),
    /// How long every operation on a staged file takes, in milliseconds.
    pub(super) staging_ms: (u64, u64),
    /// A process that is slow just until what it knows is wrong (see [`super::spite`]), at some steps.
    pub(super) spite: u64,
    /// The storage renames by a copy and a delete, which none may (V13).
    pub(super) rename_by_copy: bool,
}

/// Steps that few runs come to: what fails there fails more often.
fn weight(step: StepName) -> u64 {
    match step {
        "cancel stat" => 60,
        "mark close" | "recovery publish rename" | "discard delete" => 10,
        "temporary delete" | "mark create" => 6,
        "record rename" | "record confirm list" => 4,
        "archive directory" | "archive rename" | "archive list" | "sweep delete" | "sweep directory" => 3,
        "fence rename" | "prune mark" | "prune record" | "publish rename" | "publish directory" => 2,
        _ => 1,
    }
}

/// However rare a step is, no fault is injected more often.
const MOST: u64 = 2_500;

/// The first whose share of 10,000 the drawn number falls into.
fn pick(simulator: &Simulator, shares: &[(u64, &'static str)], weight: u64) -> &'static str {
    let mut drawn = simulator.draw(10_000);
    for (share, name) in shares {
        match drawn.checked_sub((share * weight).min(MOST)) {
            Some(rest) => drawn = rest,
            None => return name,
        }
    }
    "clean"
}

const CRASHES: [&str; 3] = ["crash before", "crash in the middle", "crash after"];

impl Faults {
    /// What happens to this change.
    pub(super) fn of_mutation(&self, step: StepName, mutation: &Mutation, simulator: &Simulator) -> &'static str {
        let shares = [
            (self.crash, "crash"),
            (self.not_applied, "not applied"),
            (self.unanswered, "unanswered"),
            (self.late, "late"),
            (self.sent_twice, "sent twice"),
            (self.denied, "denied"),
        ];
        match pick(simulator, &shares, weight(step)) {
            "crash" => CRASHES[simulator.draw(3) as usize],
            "sent twice" if !mutation.is_whole() => "clean",
            other => other,
        }
    }

    /// What happens to this question.
    pub(super) fn of_question(&self, step: StepName, simulator: &Simulator) -> &'static str {
        let stale = if step == "staging list" { self.stale } else { 0 };
        let shares = [(self.crash, "crash"), (self.unread, "unread"), (stale, "stale")];
        match pick(simulator, &shares, weight(step)) {
            "crash" => ["crash before", "crash after"][simulator.draw(2) as usize],
            other => other,
        }
    }

    /// How long the process is slow after this step, if it is.
    pub(super) fn stall_after(&self, step: StepName, simulator: &Simulator) -> Option<Duration> {
        let (_, share) = self.stalls.iter().find(|(slow, _)| *slow == step || *slow == "all")?;
        (simulator.draw(10_000) < *share).then(|| Duration::from_millis(simulator.draw_between(self.stall_ms)))
    }
}

/// Something that is wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing is answered.
    Outage,
    /// Nothing can be changed.
    ReadOnly,
    /// There is no space left.
    Full,
    /// Nothing below this path is allowed.
    Denied(&'static str),
    /// Every rename of a record is given no answer, and is applied once this is over.
    CommitsLate,
}

impl Trouble {
    /// Draws one.
    pub(super) fn draw(simulator: &Simulator) -> Self {
        let directories = ["/checkpoints", "/checkpoints", TABLE, "/table/_staging", "/table/day=", DEAD_LETTERS];
        match simulator.draw(9) {
            0 => Self::Outage,
            1 => Self::ReadOnly,
            2 => Self::Full,
            3 | 4 => Self::Denied(directories[simulator.draw(6) as usize]),
            _ => Self::CommitsLate,
        }
    }

    /// What it does to a change.
    pub(super) fn of_mutation(self, mutation: &Mutation, simulator: &Simulator) -> Option<&'static str> {
        match self {
            Self::Outage | Self::ReadOnly => Some("not applied"),
            Self::Full => match mutation {
                Mutation::Append(..) => Some("no space"),
                Mutation::Create(_) if simulator.once_in(2) => Some("no space"),
                _ => None,
            },
            Self::Denied(below) => {
                let target = match mutation {
                    Mutation::Rename(_, to) if is_visible(to) => to,
                    other => other.path(),
                };
                (mutation.path().starts_with(below) || target.starts_with(below)).then_some("denied")
            }
            Self::CommitsLate => match mutation {
                Mutation::Rename(_, to) if to.ends_with(".json") => Some("late"),
                _ => None,
            },
        }
    }

    /// What it does to a question.
    pub(super) fn of_question(self, path: &str) -> Option<&'static str> {
        match self {
            Self::Outage => Some("unread"),
            Self::Denied(below) if path.starts_with(below) => Some("denied"),
            _ => None,
        }
    }
}

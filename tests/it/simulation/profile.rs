//! Worlds by name: which faults, how often, on what kind of pipeline. A run takes the profile that its seed falls on, so
//! that all of them are run alike.

use super::faults::Faults;
use super::steps::StepName;

/// What a world is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    pub(super) hosts: usize,
    /// Steps in which things go wrong; afterwards all must come right by itself.
    pub(super) steps: u64,
    /// How much time one step takes at most, in milliseconds.
    pub(super) tick_ms: u64,
    /// When ranges end, in milliseconds.
    pub(super) interval_ms: u64,
    /// Records kept at most, and records folded at once at most.
    pub(super) keep: usize,
    pub(super) fold: usize,
    /// Hours that events are spread over, each a hive partition of its own.
    pub(super) hours: u64,
    /// Faults at single operations; all shares are scaled by a number that is drawn for each run.
    pub(super) faults: Faults,
    /// A disturbance (a host dies, sleeps, is cut off; a rebalance) once in so many steps: drawn between the two.
    pub(super) calm: (u64, u64),
    /// Trouble that lasts begins once in so many steps.
    pub(super) trouble: u64,
    /// For how many steps.
    pub(super) trouble_steps: (u64, u64),
    /// An operation that is under way lands once in so many steps.
    pub(super) late: u64,
    /// The job downstream works once in so many steps.
    pub(super) downstream: u64,
    /// Messages expire once in so many steps, read or not.
    pub(super) expiry: u64,
    /// An operator replays dead letters once in so many steps.
    pub(super) replays: u64,
    /// Hosts start with one of two deployments, whose schemas differ, and swap them while they run.
    pub(super) deployments: bool,
}

const FAULTS: Faults = Faults {
    not_applied: 200,
    unanswered: 200,
    late: 200,
    sent_twice: 200,
    denied: 50,
    unread: 200,
    stale: 1_000,
    crash: 60,
    stalls: &[],
    stall_ms: (0, 0),
    staging_ms: (0, 0),
    spite: 0,
    rename_by_copy: false,
};

const FEW: Faults = Faults {
    not_applied: 20,
    unanswered: 40,
    late: 20,
    sent_twice: 20,
    denied: 20,
    unread: 20,
    stale: 500,
    crash: 40,
    stalls: &[],
    stall_ms: (100, 1_500),
    staging_ms: (0, 0),
    spite: 0,
    rename_by_copy: false,
};

/// Everything, a little.
const MIXED: Profile = Profile {
    name: "mixed",
    hosts: 3,
    steps: 400,
    tick_ms: 8,
    interval_ms: 300,
    keep: 3,
    fold: 4,
    hours: 4,
    faults: FAULTS,
    calm: (4, 44),
    trouble: 150,
    trouble_steps: (5, 60),
    late: 40,
    downstream: 40,
    expiry: 0,
    replays: 0,
    deployments: false,
};

/// Hosts that sleep long in the middle of something and go on as if nothing had happened, on a chain that is pruned to
/// one record.
const ZOMBIES: Profile = Profile {
    name: "zombies",
    hosts: 4,
    steps: 900,
    interval_ms: 40,
    keep: 1,
    fold: 1,
    faults: Faults {
        stalls: &[
            ("take-over list", 500),
            ("record confirm list", 800),
            ("fence confirm list", 400),
            ("record read", 300),
            ("record rename", 700),
            ("temporary close", 400),
            ("publish rename", 150),
            ("stage close", 100),
        ],
        spite: 1_500,
        crash: 20,
        denied: 5,
        ..FEW
    },
    calm: (8, 30),
    trouble: 0,
    ..MIXED
};

/// A job downstream that works all the time, and hosts that are slow to publish what others have published.
const DOWNSTREAM: Profile = Profile {
    name: "downstream",
    steps: 500,
    interval_ms: 80,
    keep: 2,
    fold: 2,
    faults: Faults {
        stalls: &[
            ("take-over list", 1_200),
            ("record read", 600),
            ("staged stat", 400),
            ("published stat", 400),
            ("rename by copy", 1_500),
            ("publish rename", 300),
            ("mark close", 300),
        ],
        stall_ms: (50, 700),
        ..FEW
    },
    calm: (8, 40),
    trouble: 0,
    downstream: 3,
    ..MIXED
};

/// Storage that is gone, full, closed or slow for seconds.
const TROUBLED: Profile = Profile {
    name: "troubled",
    hosts: 2,
    steps: 500,
    tick_ms: 24,
    interval_ms: 200,
    faults: FEW,
    calm: (60, 120),
    trouble: 50,
    trouble_steps: (40, 250),
    late: 8,
    ..MIXED
};

/// Hosts that end at every step there is.
const CRASHING: Profile = Profile {
    name: "crashing",
    replays: 60,
    faults: Faults { crash: 150, ..FEW },
    interval_ms: 60,
    calm: (4, 16),
    trouble: 0,
    keep: 2,
    fold: 2,
    ..MIXED
};

/// Operations that land late: soon after they were given up, or long after.
const LATE: Profile = Profile {
    name: "late",
    replays: 80,
    faults: Faults { late: 700, crash: 60, unanswered: 300, ..FEW },
    interval_ms: 100,
    trouble: 0,
    late: 12,
    ..MIXED
};

/// Rolling deployments with another schema, and many hive partitions.
const DEPLOYMENTS: Profile = Profile { name: "deployments", hours: 60, deployments: true, ..MIXED };

/// Messages that are gone before anybody has read them, or while somebody does: storage is gone for seconds as well.
const EXPIRING: Profile = Profile { name: "expiring", expiry: 50, calm: (20, 60), ..TROUBLED };

/// Operators who replay dead letters all the time, two at once, beside hosts that crash, on chains that are folded soon.
const REPLAYS: Profile = Profile {
    name: "replays",
    hosts: 2,
    steps: 400,
    keep: 2,
    fold: 2,
    interval_ms: 120,
    faults: Faults { crash: 30, ..FEW },
    calm: (20, 60),
    trouble: 300,
    replays: 30,
    ..MIXED
};

/// All of them.
pub(super) const ALL: [Profile; 9] =
    [MIXED, ZOMBIES, DOWNSTREAM, TROUBLED, CRASHING, LATE, DEPLOYMENTS, EXPIRING, REPLAYS];

/// The profile of this name.
pub(super) fn named(name: &str) -> Profile {
    *ALL.iter().find(|profile| profile.name == name).unwrap_or_else(|| panic!("there is no profile {name:?}"))
}

/// What can be taken out of a world, to see whether a failure needs it.
pub(super) const CLASSES: [&str; 17] = [
    "crash",
    "not-applied",
    "unanswered",
    "late",
    "sent-twice",
    "denied",
    "unread",
    "stale",
    "slow",
    "trouble",
    "downstream",
    "cut-off",
    "freeze",
    "rebalance",
    "expiry",
    "replays",
    "deployments",
];

impl Profile {
    /// The same world without some classes of faults.
    pub(super) fn without(mut self, classes: &[StepName]) -> Self {
        for class in classes {
            match *class {
                "crash" => self.faults.crash = 0,
                "not-applied" => self.faults.not_applied = 0,
                "unanswered" => self.faults.unanswered = 0,
                "late" => self.faults.late = 0,
                "sent-twice" => self.faults.sent_twice = 0,
                "denied" => self.faults.denied = 0,
                "unread" => self.faults.unread = 0,
                "stale" => self.faults.stale = 0,
                "slow" => {
                    self.faults.stalls = &[];
                    self.faults.spite = 0;
                }
                "trouble" => self.trouble = 0,
                "downstream" => self.downstream = 0,
                "expiry" => self.expiry = 0,
                "replays" => self.replays = 0,
                "deployments" => self.deployments = false,
                // Those are disturbances: the world asks for them.
                _ => {}
            }
        }
        self
    }
}

//! What to simulate, and the limits within which that makes sense.

use std::time::Duration;

use super::fault::FaultShares;
use crate::error::{Error, Result};

/// The most users that one instance simulates at a time. The model packs a user's number into 21 bits.
pub const MOST_USERS: u32 = 2_000_000;

/// 2200-01-01, where event time ends.
pub(super) const END_OF_TIME_MS: i64 = 7_258_118_400_000;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// One of the four topics, each a view of the same simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A song starts: page `NextSong` only.
    ListenEvents,
    /// Every page.
    PageViewEvents,
    /// What came of each `Login`.
    AuthEvents,
    /// Each `Submit Upgrade` and `Submit Downgrade`.
    StatusChangeEvents,
}

impl Topic {
    /// All four.
    pub const ALL: [Self; 4] = [Self::ListenEvents, Self::PageViewEvents, Self::AuthEvents, Self::StatusChangeEvents];

    /// The topic's name, as Kafka knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListenEvents => "listen_events",
            Self::PageViewEvents => "page_view_events",
            Self::AuthEvents => "auth_events",
            Self::StatusChangeEvents => "status_change_events",
        }
    }

    /// The topic of this name.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name).ok_or_else(|| {
            Error::config(format!("no simulated topic is named \"{name}\""))
                .hint("the simulator has listen_events, page_view_events, auth_events and status_change_events")
        })
    }
}

/// What to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatorOptions {
    /// Same seed (and same other options), same events.
    pub seed: u64,
    /// Which topics are wanted, without order; at least one. An event that belongs to several comes once for each.
    pub topics: Vec<Topic>,
    /// Users at the start, all instances together. The more users, the denser the events: one makes about 35
    /// listening events a week.
    pub users: u32,
    /// Event time at the start, in milliseconds since 1970.
    pub start_ms: i64,
    /// Event time at which the stream ends, in milliseconds since 1970. `None`: 2200.
    pub end_ms: Option<i64>,
    /// Which of the parallel instances this is, from 0.
    pub instance: u32,
    /// How many parallel instances there are; their users and sessions are disjoint.
    pub instances: u32,
    /// Mean gap between two pages of a session, over all users.
    pub alpha: Duration,
    /// Mean gap between two sessions of a user, over all users.
    pub beta: Duration,
    /// How fast the number of users grows: 0.2 is by a factor of e^0.2 in a year.
    pub growth_per_year: f64,
    /// How fast users leave without cancelling: 0.1 is one in ten in a year, roughly.
    pub attrition_per_year: f64,
    /// How much fewer sessions start at 03:00 UTC than at 15:00: 0 (the same) to 1 (none).
    pub damping: f64,
    /// How much fewer sessions start on Saturday and Sunday (UTC): 0 (the same) to 1 (none).
    pub weekend_damping: f64,
    /// What is to go wrong.
    pub faults: FaultShares,
}

impl Default for SimulatorOptions {
    /// 100,000 users from 2025-01-01 on: about 500,000 listening events a day, without faults.
    fn default() -> Self {
        Self {
            seed: 1,
            topics: vec![Topic::ListenEvents],
            users: 100_000,
            start_ms: 1_735_689_600_000,
            end_ms: None,
            instance: 0,
            instances: 1,
            alpha: Duration::from_secs(90),
            beta: Duration::from_secs(7 * 86_400),
            growth_per_year: 0.2,
            attrition_per_year: 0.1,
            damping: 0.6,
            weekend_damping: 0.3,
            faults: FaultShares::default(),
        }
    }
}

impl SimulatorOptions {
    /// Checks every value. The error names the option and its range.
    pub fn check(&self) -> Result<()> {
        let require = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(Error::config(format!("the simulator's {what}"))) }
        };
        require(!self.topics.is_empty(), "topics must be one or more of the four")?;
        require(self.instances >= 1, "instances must be at least 1")?;
        require(self.instance < self.instances, "instance must be below the number of instances (they count from 0)")?;
        require(self.users >= self.instances, "users must be at least as many as its instances")?;
        let share = self.users.div_ceil(self.instances);
        require(share <= MOST_USERS, "users must be at most 2,000,000 for each instance")?;
        require((0..END_OF_TIME_MS).contains(&self.start_ms), "start must be between 1970 and 2200")?;
        let end = self.end_ms.unwrap_or(END_OF_TIME_MS);
        require(end > self.start_ms && end <= END_OF_TIME_MS, "end must be after its start and at most 2200")?;
        let alpha = Duration::from_millis(1)..=YEAR;
        require(alpha.contains(&self.alpha), "alpha (gap between pages) must be between 1 ms and a year")?;
        let beta = Duration::from_secs(60)..=10 * YEAR;
        require(beta.contains(&self.beta), "beta (gap between sessions) must be between 1 minute and ten years")?;
        require((0.0..=10.0).contains(&self.growth_per_year), "growth must be between 0 and 10 a year")?;
        require((0.0..=100.0).contains(&self.attrition_per_year), "attrition must be between 0 and 100 a year")?;
        require((0.0..=1.0).contains(&self.damping), "damping must be between 0 and 1")?;
        require((0.0..=1.0).contains(&self.weekend_damping), "weekend damping must be between 0 and 1")?;
        self.faults.check()
    }

    /// How many users this instance starts with.
    pub(super) fn own_users(&self) -> u32 {
        self.users / self.instances + u32::from(self.instance < self.users % self.instances)
    }
}

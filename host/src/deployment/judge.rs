//! Whether a canary does worse than what runs beside it.
//!
//! Every host judges by the statuses of all hosts; the first that finds a canary wanting ends its trial by an entry in the
//! log, and the others see that it is over. So no host must be elected for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::status::HostStatus;

/// Fewer events say nothing yet.
const ENOUGH: u64 = 1_000;

/// How much worse a canary may do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bounds {
    /// The share of events on which a transform fails may be larger by this.
    pub failed: f64,
    /// The share of events that are rejected may be larger by this.
    pub rejected: f64,
    /// The mean time for one event may be this many times as long.
    pub slower: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { failed: 0.001, rejected: 0.02, slower: 3.0 }
    }
}

/// `failed=0.001,rejected=0.02,slower=3`, in any order; what is absent has its default.
impl FromStr for Bounds {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut bounds = Self::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
            match (name.trim(), number) {
                ("failed", Some(share)) if share <= 1.0 => bounds.failed = share,
                ("rejected", Some(share)) if share <= 1.0 => bounds.rejected = share,
                ("slower", Some(times)) if times >= 1.0 => bounds.slower = times,
                _ => {
                    return Err(Error::config(format!("{part:?} is no bound")).hint(
                        "failed and rejected are shares from 0 to 1, slower is 1 or more: failed=0.001,slower=3",
                    ));
                }
            }
        }
        Ok(bounds)
    }
}

/// What all hosts together did under one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Record {
    events: f64,
    failed: f64,
    rejected: f64,
    busy_us: f64,
}

impl Record {
    fn of(hosts: &[HostStatus], deployment: u64) -> Self {
        let mut sum = Self::default();
        for transforms in hosts.iter().filter_map(|host| host.transforms.get(&deployment)) {
            // The first transform sees every event.
            sum.events += transforms.first().map_or(0, |first| first.events) as f64;
            for counts in transforms {
                sum.failed += counts.failed as f64;
                sum.rejected += counts.rejected as f64;
                sum.busy_us += counts.busy_us as f64;
            }
        }
        sum
    }

    fn share(&self, part: f64) -> f64 {
        part / self.events.max(1.0)
    }
}

/// Why a canary is found wanting.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanting(String);

impl fmt::Display for Wanting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares the canary with the deployment beside it. `None`: it does well enough, or has not seen enough yet.
pub fn judge(hosts: &[HostStatus], deployment: u64, canary: u64, bounds: &Bounds) -> Option<Wanting> {
    let (beside, trial) = (Record::of(hosts, deployment), Record::of(hosts, canary));
    if trial.events < ENOUGH as f64 {
        return None;
    }
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    for (what, of_trial, of_beside, bound) in [
        ("fails on", trial.share(trial.failed), beside.share(beside.failed), bounds.failed),
        ("rejects", trial.share(trial.rejected), beside.share(beside.rejected), bounds.rejected),
    ] {
        if of_trial > of_beside + bound {
            let (of_trial, of_beside) = (percent(of_trial), percent(of_beside));
            let bound = percent(bound);
            return Some(Wanting(format!(
                "it {what} {of_trial} of the events, {of_beside} without it, bound {bound} more"
            )));
        }
    }
    let (trial_us, beside_us) = (trial.share(trial.busy_us), beside.share(beside.busy_us));
    if beside.events >= ENOUGH as f64 && trial_us > beside_us * bounds.slower {
        let bound = bounds.slower;
        return Some(Wanting(format!(
            "it takes {trial_us:.2} us an event, {beside_us:.2} without it, bound {bound} times"
        )));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::Id;
    use crate::report::Progress;
    use crate::status::Board;
    use crate::transform::TransformCounts;

    fn host(deployment: u64, counts: [u64; 4]) -> HostStatus {
        let [events, failed, rejected, busy_us] = counts;
        let counts = TransformCounts { events, failed, rejected, busy_us, ..TransformCounts::default() };
        let mut status = Board::new(Id(1), "ann@here", 0, Arc::new(Progress::default())).status(0);
        status.transforms.insert(deployment, vec![counts]);
        status
    }

    #[test]
    fn a_canary_is_compared_with_what_runs_beside_it() {
        let beside = host(1, [100_000, 50, 5_000, 50_000]);
        for (canary, told) in [
            ([998_u64, 998, 0, 0], None),
            ([10_000, 5, 600, 6_000], None),
            ([10_000, 20, 0, 0], Some("fails on 0.20 %")),
            ([10_000, 0, 800, 0], Some("rejects 8.00 % of the events, 5.00 % without it")),
            ([10_000, 0, 0, 16_000], Some("takes 1.60 us an event, 0.50 without it")),
        ] {
            // Half of it on each of two hosts.
            let half = host(2, canary.map(|count| count.div_ceil(2)));
            let found = judge(&[beside.clone(), half.clone(), half], 1, 2, &Bounds::default());
            let found = found.map(|wanting| wanting.to_string());
            assert_eq!(found.is_some(), told.is_some(), "{canary:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(told.unwrap_or_default()), "{canary:?}");
        }
        // Nothing runs beside it: its time says nothing, its failures do.
        assert_eq!(judge(&[host(2, [10_000, 0, 0, 900_000])], 1, 2, &Bounds::default()), None);
        assert!(judge(&[host(2, [10_000, 900, 0, 0])], 1, 2, &Bounds::default()).is_some());
    }

    #[test]
    fn bounds_are_text() {
        let bounds: Bounds = "slower=2,failed=0".parse().unwrap();
        assert_eq!(bounds, Bounds { failed: 0.0, slower: 2.0, ..Bounds::default() });
        for wrong in ["", "failed", "failed=2", "slower=0.5", "rejected=-1", "rejected=NaN", "fast=1"] {
            assert!(wrong.parse::<Bounds>().is_err(), "{wrong}");
        }
    }
}

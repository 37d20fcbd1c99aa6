//! When a deployment that keeps failing is taken out of use.
//!
//! Each host counts for itself, from one look at its counters to the next: a host whose guests fail again and again needs no
//! other host to say so, and no storage to be asked.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::config::BreakerConfig;
use crate::transform::TransformCounts;

/// The failures of one deployment on one host, lately.
#[derive(Debug, Default)]
pub struct Breaker {
    /// When a look was taken, and on how many rows each transform had failed until then; oldest first.
    looks: VecDeque<(Duration, Vec<u64>)>,
}

/// More failures than allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// Rows on which the transforms failed.
    pub failures: u64,
    /// The transform that failed most, as `NAME@VERSION`.
    pub worst: String,
    /// In this time.
    pub within: Duration,
}

impl fmt::Display for Tripped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failures, worst, within } = self;
        let within = humantime::format_duration(*within);
        write!(f, "it failed on {failures} events within {within}, most of them in {worst}")
    }
}

impl Breaker {
    /// Takes a look at the counters, at `now` by a clock that only runs forwards. After it has tripped, it counts from zero.
    pub fn look(&mut self, now: Duration, counts: &[TransformCounts], limit: &BreakerConfig) -> Option<Tripped> {
        let failed: Vec<u64> = counts.iter().map(|transform| transform.failed).collect();
        // The newest look that is old enough stays: what was counted since then is what was counted within the time.
        while self.looks.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= limit.within) {
            self.looks.pop_front();
        }
        let since = |place: usize| {
            let before = self.looks.front().and_then(|(_, failed)| failed.get(place)).copied();
            failed[place].saturating_sub(before.unwrap_or(failed[place]))
        };
        let lately: Vec<u64> = (0..failed.len()).map(since).collect();
        let (failures, most) = (lately.iter().sum(), lately.iter().copied().max());
        self.looks.push_back((now, failed));
        let worst = counts.iter().zip(&lately).find(|(_, count)| Some(**count) == most)?.0;
        if failures <= limit.failures {
            return None;
        }
        self.looks.clear();
        let worst = format!("{}@{}", worst.name, worst.version);
        Some(Tripped { failures, worst, within: limit.within })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Then;

    fn limit(failures: u64, seconds: u64) -> BreakerConfig {
        BreakerConfig { failures, within: Duration::from_secs(seconds), then: Then::Pause }
    }

    fn counts(failed: &[u64]) -> Vec<TransformCounts> {
        let one = |(place, failed): (usize, &u64)| TransformCounts {
            name: format!("t{place}"),
            version: "1.0.0".to_owned(),
            failed: *failed,
            ..TransformCounts::default()
        };
        failed.iter().enumerate().map(one).collect()
    }

    #[test]
    fn failures_of_the_last_while_trip_it() {
        let (mut breaker, limit) = (Breaker::default(), limit(10, 60));
        let mut look = |second: u64, failed: [u64; 2]| {
            breaker.look(Duration::from_secs(second), &counts(&failed), &limit).map(|tripped| tripped.to_string())
        };
        // What was counted before the first look says nothing of the time.
        assert_eq!(look(0, [500, 0]), None);
        assert_eq!(look(30, [500, 10]), None);
        // The ten are older than a minute.
        assert_eq!(look(95, [501, 19]), None);
        let told = "it failed on 11 events within 1m, most of them in t1@1.0.0";
        assert_eq!(look(96, [502, 19]), Some(told.to_owned()));
        // It starts anew.
        assert_eq!(look(97, [510, 19]), None);
        assert_eq!(look(98, [510, 29]), None);
        assert!(look(99, [511, 29]).is_some());
    }

    #[test]
    fn a_chain_without_transforms_never_fails() {
        assert_eq!(Breaker::default().look(Duration::ZERO, &[], &limit(0, 1)), None);
    }

    proptest! {
        #[test]
        fn it_trips_just_when_a_window_of_looks_has_more(
            steps in proptest::collection::vec((1..20u64, 0..6u64), 1..60), allowed in 0..20u64, seconds in 1..60u64
        ) {
            let mut breaker = Breaker::default();
            let limit = limit(allowed, seconds);
            let (mut at, mut total) = (0, 0);
            // Since it tripped last: when each look was and what the total was.
            let mut looks: Vec<(u64, u64)> = Vec::new();
            for (wait, failed) in steps {
                (at, total) = (at + wait, total + failed);
                let tripped = breaker.look(Duration::from_secs(at), &counts(&[total]), &limit).is_some();
                // From the newest look that is at least as old as the time, or from the first of all.
                let from = looks.iter().rev().find(|(then, _)| at - then >= seconds).or(looks.first());
                let expected = from.is_some_and(|(_, before)| total - before > allowed);
                prop_assert_eq!(tripped, expected);
                if tripped { looks.clear() } else { looks.push((at, total)) }
            }
        }
    }
}

//! What each transform of a chain has done so far: counters and times, for status, metrics and the judge of a canary.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::usage::TransformUse;

/// Buckets of the time for one event: four for each doubling, from 1 ns to over a minute.
const BUCKETS: usize = 4 * 36;

/// Counters of one transform, summed over all instances of its chain. Relaxed: each is right by itself.
pub(super) struct Stats {
    events: AtomicU64,
    kept: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    failed_calls: AtomicU64,
    nanos: AtomicU64,
    /// Events by the time that their batch took for one event.
    by_time: [AtomicU64; BUCKETS],
}

/// What one batch added.
pub(super) struct Batch {
    /// Rows that reached the transform.
    pub(super) events: u64,
    /// Rows that left it.
    pub(super) kept: u64,
    /// Rows that it rejected.
    pub(super) rejected: u64,
    /// Rows that it failed on.
    pub(super) failed: u64,
    /// Calls that failed.
    pub(super) failed_calls: u64,
    /// How long it took.
    pub(super) took: Duration,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransformCounts {
    /// Its name in the pipeline.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Rows that reached it.
    pub events: u64,
    /// Rows that left it.
    pub kept: u64,
    /// Rows that it rejected.
    pub rejected: u64,
    /// Rows that it failed on.
    pub failed: u64,
    /// Calls that failed, retries in halves included.
    pub failed_calls: u64,
    /// Time in it, crossing included, in microseconds.
    pub busy_us: u64,
    /// Time for one event, in microseconds: half of the events took at most this.
    pub p50_us: f64,
    /// And all but one in a hundred at most this.
    pub p99_us: f64,
    /// What it uses of its limits; older hosts do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<TransformUse>,
}

impl TransformCounts {
    /// Adds what another host counted of the same transform. The quantiles become the larger of the two: what a user of
    /// the whole may meet.
    pub fn add(&mut self, other: &Self) {
        (self.name, self.version) = (other.name.clone(), other.version.clone());
        self.events += other.events;
        self.kept += other.kept;
        self.rejected += other.rejected;
        self.failed += other.failed;
        self.failed_calls += other.failed_calls;
        self.busy_us += other.busy_us;
        self.p50_us = self.p50_us.max(other.p50_us);
        self.p99_us = self.p99_us.max(other.p99_us);
        if let Some(other) = &other.used {
            self.used.get_or_insert_default().add(other);
        }
    }
}

impl Default for Stats {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            events: zero(),
            kept: zero(),
            rejected: zero(),
            failed: zero(),
            failed_calls: zero(),
            nanos: zero(),
            by_time: std::array::from_fn(|_| zero()),
        }
    }
}

impl Stats {
    pub(super) fn add(&self, batch: &Batch) {
        let nanos = u64::try_from(batch.took.as_nanos()).unwrap_or(u64::MAX);
        for (counter, count) in [
            (&self.events, batch.events),
            (&self.kept, batch.kept),
            (&self.rejected, batch.rejected),
            (&self.failed, batch.failed),
            (&self.failed_calls, batch.failed_calls),
            (&self.nanos, nanos),
        ] {
            counter.fetch_add(count, Relaxed);
        }
        if let Some(each) = nanos.checked_div(batch.events) {
            self.by_time[bucket(each)].fetch_add(batch.events, Relaxed);
        }
    }

    pub(super) fn counts(&self, name: &str, version: &str) -> TransformCounts {
        let by_time: Vec<u64> = self.by_time.iter().map(|count| count.load(Relaxed)).collect();
        TransformCounts {
            name: name.to_owned(),
            version: version.to_owned(),
            events: self.events.load(Relaxed),
            kept: self.kept.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            failed: self.failed.load(Relaxed),
            failed_calls: self.failed_calls.load(Relaxed),
            busy_us: self.nanos.load(Relaxed) / 1_000,
            p50_us: quantile(&by_time, 0.5),
            p99_us: quantile(&by_time, 0.99),
            used: None,
        }
    }
}

fn bucket(nanos: u64) -> usize {
    let quarters = (nanos.max(1) as f64).log2() * 4.0;
    (quarters as usize).min(BUCKETS - 1)
}

/// The upper end of the bucket in which the quantile lies, in microseconds; 0 without events.
fn quantile(by_time: &[u64], share: f64) -> f64 {
    let all: u64 = by_time.iter().sum();
    let wanted = (all as f64 * share).ceil() as u64;
    let mut sum = 0;
    for (index, count) in by_time.iter().enumerate() {
        sum += count;
        if sum >= wanted && sum > 0 {
            return ((index + 1) as f64 / 4.0).exp2() / 1e3;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: u64, nanos_each: u64) -> Batch {
        let took = Duration::from_nanos(events * nanos_each);
        Batch { events, kept: events - 1, rejected: 1, failed: 0, failed_calls: 0, took }
    }

    #[test]
    fn quantiles_are_within_a_fifth() {
        let stats = Stats::default();
        assert_eq!(stats.counts("a", "1.0.0").p50_us, 0.0);
        (0..98).for_each(|_| stats.add(&batch(1_000, 200)));
        (0..2).for_each(|_| stats.add(&batch(1_000, 90_000)));
        let counts = stats.counts("a", "1.0.0");
        assert_eq!((counts.events, counts.kept, counts.rejected), (100_000, 99_900, 100));
        assert_eq!(counts.busy_us, 98 * 200 + 2 * 90_000);
        assert!((0.2..0.24).contains(&counts.p50_us), "{}", counts.p50_us);
        assert!((90.0..108.0).contains(&counts.p99_us), "{}", counts.p99_us);
    }

    #[test]
    fn every_time_has_a_bucket() {
        for nanos in [0, 1, 2, 999, 1 << 40, u64::MAX] {
            assert!(bucket(nanos) < BUCKETS);
        }
    }
}

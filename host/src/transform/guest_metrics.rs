//! Guests' counters and histograms: registered once by name, updated by handle, read as a snapshot.
//!
//! All instances of a transform feed one registry. The number of names is bounded, because a label that a guest makes
//! up from its data would ruin whatever collects the metrics: what is beyond the bound counts nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The longest name.
const MAX_NAME_BYTES: usize = 100;
/// Upper bounds of a histogram's buckets; one more bucket takes what is above.
const BOUNDS: [f64; 19] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 1e3, 1e4, 1e6];

/// The metrics of one transform.
#[derive(Debug)]
pub(crate) struct GuestMetrics {
    /// Names that may be registered, counters and histograms together.
    max_names: usize,
    registered: Mutex<Vec<(String, Metric)>>,
    refused: AtomicU64,
}

/// One metric, shared by the instances that registered it.
#[derive(Debug, Clone)]
pub(crate) enum Metric {
    Counter(Arc<AtomicU64>),
    Histogram(Arc<Mutex<Histogram>>),
}

/// What was observed.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

/// One metric of one transform at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricSnapshot {
    /// The transform's name in the pipeline.
    pub transform: String,
    /// The metric's name, as the guest gave it: letters, digits, `_`, `.`, `-`.
    pub name: String,
    /// Its value.
    pub value: MetricValue,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetricValue {
    /// A counter since the process started.
    Counter(u64),
    /// A histogram since the process started.
    Histogram {
        /// Upper bound and count of each bucket (not cumulative).
        buckets: Vec<(f64, u64)>,
        /// Values above the last bound.
        above: u64,
        /// Sum of all observed values.
        sum: f64,
    },
}

impl GuestMetrics {
    /// No metrics yet, and room for `max_names`.
    pub(crate) fn new(max_names: usize) -> Self {
        Self { max_names, registered: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// How many names there are.
    pub(crate) fn names(&self) -> usize {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The counter `name`, new or as it was. `None`: the name is not valid, names another kind, or is one too many.
    pub(crate) fn counter(&self, name: &str) -> Option<Metric> {
        self.register(name, || Metric::Counter(Arc::default()), |metric| matches!(metric, Metric::Counter(_)))
    }

    /// The histogram `name`; otherwise like [`GuestMetrics::counter`].
    pub(crate) fn histogram(&self, name: &str) -> Option<Metric> {
        self.register(name, || Metric::Histogram(Arc::default()), |metric| matches!(metric, Metric::Histogram(_)))
    }

    fn register(&self, name: &str, new: impl Fn() -> Metric, same: impl Fn(&Metric) -> bool) -> Option<Metric> {
        let registered = self.find_or_add(name, new, same);
        if registered.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        registered
    }

    fn find_or_add(&self, name: &str, new: impl Fn() -> Metric, same: impl Fn(&Metric) -> bool) -> Option<Metric> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(plain) {
            return None;
        }
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, metric)) = registered.iter().find(|(known, _)| known == name) {
            return same(metric).then(|| metric.clone());
        }
        if registered.len() >= self.max_names {
            return None;
        }
        let metric = new();
        registered.push((name.to_owned(), metric.clone()));
        Some(metric)
    }

    /// All metrics, in the order of their registration.
    pub(crate) fn snapshot(&self, transform: &str) -> Vec<MetricSnapshot> {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let value = |metric: &Metric| match metric {
            Metric::Counter(count) => MetricValue::Counter(count.load(Ordering::Relaxed)),
            Metric::Histogram(histogram) => histogram.lock().unwrap_or_else(PoisonError::into_inner).value(),
        };
        let snapshot = |(name, metric): &(String, Metric)| MetricSnapshot {
            transform: transform.to_owned(),
            name: name.clone(),
            value: value(metric),
        };
        registered.iter().map(snapshot).collect()
    }
}

impl Metric {
    /// Adds to a counter, which never wraps: it would look like a restart. A histogram ignores it.
    pub(crate) fn add(&self, delta: u64) {
        if let Self::Counter(count) = self {
            let add = |count: u64| Some(count.saturating_add(delta));
            // Never refused: `add` always gives a number.
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    /// Adds values to a histogram; a counter ignores them. Values that are not numbers are left out.
    pub(crate) fn observe(&self, values: &[f64]) {
        if let Self::Histogram(histogram) = self {
            let mut histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
            for value in values.iter().filter(|value| value.is_finite()) {
                let bucket = BOUNDS.partition_point(|bound| bound < value);
                histogram.buckets[bucket] += 1;
                // A sum that is infinite once would stay so.
                histogram.sum = (histogram.sum + value).clamp(f64::MIN, f64::MAX);
            }
        }
    }
}

impl Histogram {
    fn value(&self) -> MetricValue {
        let (buckets, above) = (BOUNDS.into_iter().zip(self.buckets).collect(), self.buckets[BOUNDS.len()]);
        MetricValue::Histogram { buckets, above, sum: self.sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_keep_their_kind() {
        let metrics = GuestMetrics::new(64);
        metrics.counter("plays").unwrap().add(2);
        metrics.counter("plays").unwrap().add(3);
        assert!(metrics.histogram("plays").is_none(), "a name has one kind");
        assert!(metrics.counter("user 17").is_none() && metrics.counter("").is_none());
        let registered = (0..1000).filter(|n| metrics.counter(&format!("n{n}")).is_some()).count();
        assert_eq!(registered, 63);
        assert_eq!(metrics.snapshot("t")[0].value, MetricValue::Counter(5));
    }

    #[test]
    fn values_fall_into_the_bucket_whose_bound_they_reach() {
        let metrics = GuestMetrics::new(64);
        metrics.histogram("seconds").unwrap().observe(&[1.0, 1.1, 1e9, f64::NAN]);
        let snapshot = metrics.snapshot("t");
        let MetricValue::Histogram { buckets, above, sum } = &snapshot[0].value else { panic!("{snapshot:?}") };
        let filled: Vec<_> = buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!((filled, *above), (vec![(1.0, 1), (2.5, 1)], 1));
        assert_eq!(*sum, 1.0 + 1.1 + 1e9);
    }
}

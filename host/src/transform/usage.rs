//! What a transform uses of its limits: high-water marks, and what was dropped because it was too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// High-water marks of all instances of one transform. Moved once for each call, so a batch costs a few additions.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    memory_bytes: AtomicU64,
    instances: AtomicU64,
    slowest_nanos: AtomicU64,
    output_bytes: AtomicU64,
    retired: AtomicU64,
}

/// Counts an instance for as long as it is there.
pub(crate) struct Alive(Arc<Gauge>);

impl Alive {
    pub(crate) fn new(gauge: &Arc<Gauge>) -> Self {
        gauge.instances.fetch_add(1, Relaxed);
        Self(Arc::clone(gauge))
    }

    pub(crate) fn gauge(&self) -> &Gauge {
        &self.0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Relaxed);
    }
}

impl Gauge {
    /// An instance has that much memory.
    pub(crate) fn memory(&self, bytes: usize) {
        self.memory_bytes.fetch_max(bytes as u64, Relaxed);
    }

    /// A batch took that long.
    pub(crate) fn took(&self, took: Duration) {
        self.slowest_nanos.fetch_max(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// A batch's answer was that large.
    pub(crate) fn output(&self, bytes: usize) {
        self.output_bytes.fetch_max(bytes as u64, Relaxed);
    }

    /// An instance was replaced because of its memory.
    pub(crate) fn retired(&self) {
        self.retired.fetch_add(1, Relaxed);
    }

    /// The marks, and nothing else yet.
    pub(crate) fn marks(&self) -> TransformUse {
        TransformUse {
            memory_bytes: self.memory_bytes.load(Relaxed),
            instances: self.instances.load(Relaxed),
            slowest_us: self.slowest_nanos.load(Relaxed) / 1_000,
            output_bytes: self.output_bytes.load(Relaxed),
            retired: self.retired.load(Relaxed),
            ..TransformUse::default()
        }
    }
}

/// What a transform uses, beside what it may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct TransformUse {
    /// The most memory that an instance had, in bytes.
    pub memory_bytes: u64,
    /// What an instance may have.
    pub memory_limit_bytes: u64,
    /// Bytes beyond which an instance is replaced after its batch.
    pub high_water_bytes: u64,
    /// Instances that there are now.
    pub instances: u64,
    /// How many there may be on one host; absent: one for each worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances_limit: Option<u64>,
    /// Instances that were replaced because of their memory.
    pub retired: u64,
    /// The longest call for a batch, in microseconds.
    pub slowest_us: u64,
    /// What one may take.
    pub deadline_us: u64,
    /// The most bytes that one call handed back.
    pub output_bytes: u64,
    /// What one may hand back.
    pub output_limit_bytes: u64,
    /// Log lines that were let through.
    pub log_lines: u64,
    /// Log lines that were dropped, because they were more than allowed.
    pub log_lines_dropped: u64,
    /// Bytes of the lines that were dropped.
    pub log_bytes_dropped: u64,
    /// Lines that all instances of one host may log a second.
    pub log_lines_limit: u64,
    /// Bytes of lines that they may log a second.
    pub log_bytes_limit: u64,
    /// Names of counters and histograms.
    pub metrics: u64,
    /// What there may be.
    pub metrics_limit: u64,
    /// Names that were refused: too many, no name, or another kind of metric than before.
    pub metrics_refused: u64,
}

impl TransformUse {
    /// Adds what another host uses of the same transform: what is counted is summed, of marks the larger stays.
    pub fn add(&mut self, other: &Self) {
        for (mark, others) in [
            (&mut self.memory_bytes, other.memory_bytes),
            (&mut self.memory_limit_bytes, other.memory_limit_bytes),
            (&mut self.high_water_bytes, other.high_water_bytes),
            (&mut self.slowest_us, other.slowest_us),
            (&mut self.deadline_us, other.deadline_us),
            (&mut self.output_bytes, other.output_bytes),
            (&mut self.output_limit_bytes, other.output_limit_bytes),
            (&mut self.log_lines_limit, other.log_lines_limit),
            (&mut self.log_bytes_limit, other.log_bytes_limit),
            (&mut self.metrics, other.metrics),
            (&mut self.metrics_limit, other.metrics_limit),
        ] {
            *mark = (*mark).max(others);
        }
        for (count, others) in [
            (&mut self.instances, other.instances),
            (&mut self.retired, other.retired),
            (&mut self.log_lines, other.log_lines),
            (&mut self.log_lines_dropped, other.log_lines_dropped),
            (&mut self.log_bytes_dropped, other.log_bytes_dropped),
            (&mut self.metrics_refused, other.metrics_refused),
        ] {
            *count += others;
        }
        self.instances_limit = self.instances_limit.max(other.instances_limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stay_and_instances_go() {
        let gauge = Arc::new(Gauge::default());
        let (one, other) = (Alive::new(&gauge), Alive::new(&gauge));
        one.gauge().memory(10);
        other.gauge().memory(7);
        other.gauge().took(Duration::from_micros(5));
        other.gauge().took(Duration::from_micros(3));
        drop(one);
        let marks = gauge.marks();
        assert_eq!((marks.memory_bytes, marks.instances, marks.slowest_us), (10, 1, 5));
        let mut sum = marks.clone();
        sum.add(&TransformUse { memory_bytes: 4, instances: 2, slowest_us: 9, ..TransformUse::default() });
        assert_eq!((sum.memory_bytes, sum.instances, sum.slowest_us), (10, 3, 9));
    }
}

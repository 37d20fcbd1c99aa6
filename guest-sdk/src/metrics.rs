//! Counters and histograms, shown by the host under the transform's name.
//!
//! Register once, in `start` or [`Prepare::prepare`](crate::Prepare::prepare), and keep the handle. Natively nothing is counted.
//!
//! ```
//! use wasmill_sdk::metrics::Counter;
//!
//! let bots = Counter::new("bots");
//! bots.add(3);
//! ```

/// A number that only grows.
#[derive(Debug, Clone, Copy)]
pub struct Counter(u32);

impl Counter {
    /// Register a counter, or find the one of that name.
    pub fn new(name: &str) -> Counter {
        Counter(host::counter(name))
    }

    /// Add to it. A call to the host: add once per batch, not per row.
    pub fn add(&self, delta: u64) {
        host::add(self.0, delta);
    }
}

/// A distribution of values.
#[derive(Debug, Clone, Copy)]
pub struct Histogram(u32);

impl Histogram {
    /// Register a histogram, or find the one of that name.
    pub fn new(name: &str) -> Histogram {
        Histogram(host::histogram(name))
    }

    /// Add values to it. A call to the host: hand over those of a batch at once.
    pub fn observe(&self, values: &[f64]) {
        host::observe(self.0, values);
    }
}

#[cfg(target_arch = "wasm32")]
use crate::wit::metrics as host;

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) fn counter(_: &str) -> u32 {
        0
    }
    pub(super) fn add(_: u32, _: u64) {}
    pub(super) fn histogram(_: &str) -> u32 {
        0
    }
    pub(super) fn observe(_: u32, _: &[f64]) {}
}

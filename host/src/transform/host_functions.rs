//! What a guest may call: log, metrics, look-ups. Nothing else exists for it.
//!
//! No function here fails, blocks or does I/O; whatever a guest passes is cut, counted or ignored.

use std::sync::Arc;

use tracing::Level;
use wasmtime::ResourceLimiter;
use wasmtime::component::Resource;

use super::bindings::wasmill::transform::{log, lookup, metrics, types};
use super::guest_log::{GuestLog, LastLines, harmless};
use super::guest_metrics::{GuestMetrics, Metric};

/// Metrics that one instance may register, repeated names counted: a handle costs memory here.
const MAX_HANDLES: usize = 1024;

/// Tables and core instances of one component; a Python guest has a few dozen.
pub(crate) const MAX_PARTS: usize = 200;
/// Memories of one component. Each takes 4 GiB of the process's address space, however small it is.
const MAX_MEMORIES: usize = 16;
/// Bytes that one entry of a table takes here.
const TABLE_ELEMENT_BYTES: usize = 16;

/// The host's side of one instance.
pub(crate) struct HostState {
    /// What the engine asks before memory or a table grows.
    pub(crate) memory: MemoryLimit,
    /// The lines of the call that runs or ran last.
    pub(crate) last_lines: LastLines,
    log: GuestLog,
    metrics: Arc<GuestMetrics>,
    /// What the guest's handles stand for; `None` counts nothing.
    handles: Vec<Option<Metric>>,
}

impl HostState {
    /// The state of a new instance.
    pub(crate) fn new(memory_bytes: usize, log: GuestLog, metrics: Arc<GuestMetrics>) -> Self {
        let memory = MemoryLimit { limit: memory_bytes, left: memory_bytes };
        Self { memory, last_lines: LastLines::default(), log, metrics, handles: Vec::new() }
    }

    /// A handle for `metric`; one that counts nothing when there are too many.
    fn handle(&mut self, metric: Option<Metric>) -> u32 {
        if self.handles.len() < MAX_HANDLES {
            self.handles.push(metric);
            self.handles.len() as u32 - 1
        } else {
            u32::MAX
        }
    }

    fn metric(&self, handle: u32) -> Option<&Metric> {
        self.handles.get(handle as usize)?.as_ref()
    }
}

/// What an instance may still allocate: the limit holds for all its memories and tables together, so that a guest does
/// not get around it by having many.
pub(crate) struct MemoryLimit {
    limit: usize,
    left: usize,
}

impl MemoryLimit {
    /// Bytes that the instance has.
    pub(crate) fn used(&self) -> usize {
        self.limit - self.left
    }

    /// Grants growth to `desired`. What is beyond the memory's own `maximum` is refused here already, so that it does not
    /// count: whether a growth that was granted failed cannot be told later.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, element_bytes: usize) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let left = self.left.checked_sub(desired.saturating_sub(current).saturating_mul(element_bytes));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, TABLE_ELEMENT_BYTES))
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

impl types::Host for HostState {}

impl log::Host for HostState {
    fn enabled(&mut self, level: log::Level) -> bool {
        match level {
            log::Level::Error => tracing::enabled!(target: "wasmill::guest", Level::ERROR),
            log::Level::Warn => tracing::enabled!(target: "wasmill::guest", Level::WARN),
            log::Level::Info => tracing::enabled!(target: "wasmill::guest", Level::INFO),
            log::Level::Debug => tracing::enabled!(target: "wasmill::guest", Level::DEBUG),
            log::Level::Trace => tracing::enabled!(target: "wasmill::guest", Level::TRACE),
        }
    }

    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Error => Level::ERROR,
            log::Level::Warn => Level::WARN,
            log::Level::Info => Level::INFO,
            log::Level::Debug => Level::DEBUG,
            log::Level::Trace => Level::TRACE,
        };
        let line = harmless(&message);
        self.log.write(level, &line);
        self.last_lines.push(line);
    }
}

impl metrics::Host for HostState {
    fn counter(&mut self, name: String) -> u32 {
        let metric = self.metrics.counter(&name);
        self.handle(metric)
    }

    fn add(&mut self, counter: u32, delta: u64) {
        if let Some(metric) = self.metric(counter) {
            metric.add(delta);
        }
    }

    fn histogram(&mut self, name: String) -> u32 {
        let metric = self.metrics.histogram(&name);
        self.handle(metric)
    }

    fn observe(&mut self, histogram: u32, values: Vec<f64>) {
        if let Some(metric) = self.metric(histogram) {
            metric.observe(&values);
        }
    }
}

impl lookup::Host for HostState {}

/// No pipeline grants a table yet, so `open` refuses every name, and a guest never holds a table to call the rest on.
impl lookup::HostTable for HostState {
    fn open(&mut self, name: String) -> Result<Resource<lookup::Table>, String> {
        Err(format!("the table {:?} was not granted to this transform", harmless(&name)))
    }

    fn fields(&mut self, _table: Resource<lookup::Table>) -> Vec<types::FieldResult> {
        Vec::new()
    }

    fn get_many(
        &mut self,
        _table: Resource<lookup::Table>,
        _keys: types::ColumnResult,
        _select: Vec<u32>,
    ) -> Result<Vec<types::ColumnResult>, String> {
        Err("no table was granted to this transform".to_owned())
    }

    fn drop(&mut self, _table: Resource<lookup::Table>) -> wasmtime::Result<()> {
        Ok(())
    }
}

//! One instance of a guest: a store with its limits, and the three calls of the contract.
//!
//! Every call has a deadline. A call that does not return leaves the instance dead: its owner drops it and makes
//! another. This file turns what wasmtime reports into a [`Failure`]; it knows nothing of rows or schemas.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use wasmtime::{Store, Trap, WasmBacktrace};

use super::bindings::{Guest, types};
use super::engine::{Module, ticks};
use super::guest_log::{GuestLog, bounded, paragraph};
use super::guest_metrics::GuestMetrics;
use super::host_functions::{HostState, MAX_PARTS};
use super::usage::{Alive, Gauge};
use crate::config::{GuestLimits, Settings};
use crate::reason;

/// Frames of a backtrace that go into the detail of a failure, the innermost first.
const FRAMES: usize = 16;
/// The longest detail of a failure.
const MAX_DETAIL_BYTES: usize = 4096;
/// What each part of it may take, so that none crowds out another: the message, ...
const MESSAGE_BYTES: usize = 1500;
/// ... one function's name and all frames, ...
const FRAME_BYTES: usize = 200;
const BACKTRACE_BYTES: usize = 1200;
/// ... one line of the log and all lines.
const LOG_LINE_BYTES: usize = 500;
const LOG_BYTES: usize = 1200;

/// How a call went wrong. Each is a built-in reason for dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest trapped: a panic, an access out of bounds, memory beyond its limit.
    Trapped,
    /// The guest ran past its deadline.
    Deadline,
    /// The guest answered with an error.
    Failed,
    /// The guest handed back something that the contract does not allow.
    BadOutput,
}

impl FailureKind {
    /// The built-in reason in dead letters.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Trapped => reason::TRANSFORM_TRAP,
            Self::Deadline => reason::TRANSFORM_DEADLINE,
            Self::Failed => reason::TRANSFORM_ERROR,
            Self::BadOutput => reason::TRANSFORM_OUTPUT,
        }
    }
}

/// A call that went wrong, and what is known of why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// Message, innermost frames, last log lines; bounded, and harmless to print.
    pub(crate) detail: String,
}

impl Failure {
    /// A failure explained by `text`, which may come from the guest.
    pub(crate) fn new(kind: FailureKind, text: &str) -> Self {
        Self { kind, detail: paragraph(text, MAX_DETAIL_BYTES) }
    }
}

/// What an instance is made of.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) module: Module,
    pub(crate) settings: Settings,
    pub(crate) limits: GuestLimits,
    pub(crate) log: GuestLog,
    pub(crate) metrics: Arc<GuestMetrics>,
    pub(crate) gauge: Arc<Gauge>,
}

impl Blueprint {
    /// A new instance, on which `start` was not called yet.
    pub(crate) fn instantiate(&self) -> Result<TransformInstance, Failure> {
        let state = HostState::new(self.limits.memory_bytes, self.log.clone(), self.metrics.clone());
        let mut store = Store::new(self.module.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.output_bytes);
        store.set_max_component_handles(MAX_PARTS);
        let deadline = ticks(self.limits.deadline);
        store.set_epoch_deadline(deadline);
        match self.module.pre.instantiate(&mut store) {
            Ok(transformer) => {
                let guest = transformer.wasmill_transform_transform().clone();
                let alive = Alive::new(&self.gauge);
                Ok(TransformInstance { store, guest, deadline, alive })
            }
            Err(error) => Err(explain(&error, &store)),
        }
    }

    /// A new instance, ready to process.
    pub(crate) fn start(&self, reads: &[types::FieldParam<'_>]) -> Result<TransformInstance, Failure> {
        let mut instance = self.instantiate()?;
        instance.start(&self.settings(), reads)?;
        Ok(instance)
    }

    /// The settings as the calls take them.
    pub(crate) fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }
}

/// An instance. After any failure of kind trapped or deadline it is dead; after the others it should not be trusted.
pub(crate) struct TransformInstance {
    store: Store<HostState>,
    guest: Guest,
    deadline: u64,
    alive: Alive,
}

impl TransformInstance {
    /// What the guest reads and does, given its settings and the columns that reach it.
    pub(crate) fn describe(
        &mut self,
        settings: &[(&str, &str)],
        input: &[types::FieldParam<'_>],
    ) -> Result<types::Descriptor, Failure> {
        self.call(|guest, store| guest.call_describe(store, settings, input))
    }

    fn start(&mut self, settings: &[(&str, &str)], reads: &[types::FieldParam<'_>]) -> Result<(), Failure> {
        self.call(|guest, store| guest.call_start(store, settings, reads))
    }

    /// Bytes of its memories and tables.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.used()
    }

    /// What the last call handed back breaks the contract in the way that `text` says.
    pub(crate) fn bad_output(&self, text: &str) -> Failure {
        let text = paragraph(text, MESSAGE_BYTES);
        Failure::new(FailureKind::BadOutput, &with_log(text, &self.store))
    }

    /// One batch.
    pub(crate) fn process(&mut self, batch: types::Batch<'_>) -> Result<types::Output, Failure> {
        let started = Instant::now();
        let outcome = self.call(|guest, store| guest.call_process(store, batch));
        self.alive.gauge().took(started.elapsed());
        outcome
    }

    fn call<R>(
        &mut self,
        call: impl FnOnce(&Guest, &mut Store<HostState>) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, Failure> {
        self.store.data_mut().last_lines.clear();
        self.store.set_epoch_deadline(self.deadline);
        let outcome = call(&self.guest, &mut self.store);
        self.alive.gauge().memory(self.memory_bytes());
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(text)) => {
                Err(Failure::new(FailureKind::Failed, &with_log(paragraph(&text, MESSAGE_BYTES), &self.store)))
            }
            Err(error) => Err(explain(&error, &self.store)),
        }
    }
}

/// Classes what wasmtime reports. What is not a trap is a value that could not be taken from the guest: a pointer out
/// of its memory, text that is not UTF-8, more bytes than allowed.
fn explain(error: &wasmtime::Error, store: &Store<HostState>) -> Failure {
    let trap = error.downcast_ref::<Trap>();
    let kind = match trap {
        Some(Trap::Interrupt) => FailureKind::Deadline,
        Some(_) => FailureKind::Trapped,
        None if error.downcast_ref::<WasmBacktrace>().is_some() => FailureKind::Trapped,
        None => FailureKind::BadOutput,
    };
    let mut text = match trap {
        Some(Trap::Interrupt) => "stopped at its deadline".to_owned(),
        Some(trap) => trap.to_string(),
        None => paragraph(&error.root_cause().to_string(), MESSAGE_BYTES),
    };
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        text.push_str(&frames(backtrace));
    }
    Failure::new(kind, &with_log(text, store))
}

/// The innermost frames: what led to the trap.
fn frames(backtrace: &WasmBacktrace) -> String {
    let mut text = String::new();
    for frame in backtrace.frames().iter().take(FRAMES) {
        let symbol = frame.symbols().first().and_then(|symbol| symbol.name());
        let place = frame.func_offset().unwrap_or_default();
        let frame = match symbol.or(frame.func_name()) {
            Some(name) => format!("; at {}+{place:#x}", bounded(name, FRAME_BYTES)),
            None => format!("; at function {}+{place:#x}", frame.func_index()),
        };
        if text.len() + frame.len() > BACKTRACE_BYTES {
            break;
        }
        text.push_str(&frame);
    }
    text
}

/// `text`, and the lines that the guest logged last during the call, oldest first. When there is no room for all, the
/// newest stay: a panic's text is the last.
fn with_log(mut text: String, store: &Store<HostState>) -> String {
    let mut left = LOG_BYTES;
    let mut lines = Vec::new();
    for line in store.data().last_lines.iter().rev() {
        let line = format!("; log: {}", bounded(line, LOG_LINE_BYTES));
        let Some(rest) = left.checked_sub(line.len()) else { break };
        left = rest;
        lines.push(line);
    }
    text.extend(lines.into_iter().rev());
    text
}

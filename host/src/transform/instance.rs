//! One instance of a guest: a store with its limits, and the three calls of the contract.
//!
//! Every call has a deadline. A call that does not return leaves the instance dead: its owner drops it and makes
//! another. This file turns what wasmtime reports into a [`Failure`]; it knows nothing of rows or schemas.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use wasmtime::{Store, Trap, WasmBacktrace};

use super::bindings::{Guest, types};
use super::engine::{Module, ticks};
use super::guest_log::{GuestLog, harmless, paragraph};
use super::guest_metrics::GuestMetrics;
use super::host_functions::{HostState, MAX_PARTS};
use crate::config::{GuestLimits, Settings};
use crate::reason;

/// Frames of a backtrace that go into the detail of a failure.
const FRAMES: usize = 5;
/// The longest detail of a failure.
const MAX_DETAIL_BYTES: usize = 4096;

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
    /// Message, first frames, last log lines; bounded, and harmless to print.
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
                Ok(TransformInstance { store, guest, deadline })
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

    /// One batch.
    pub(crate) fn process(&mut self, batch: types::Batch<'_>) -> Result<types::Output, Failure> {
        self.call(|guest, store| guest.call_process(store, batch))
    }

    fn call<R>(
        &mut self,
        call: impl FnOnce(&Guest, &mut Store<HostState>) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, Failure> {
        self.store.data_mut().last_lines.clear();
        self.store.set_epoch_deadline(self.deadline);
        match call(&self.guest, &mut self.store) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(text)) => {
                Err(Failure::new(FailureKind::Failed, &with_log(paragraph(&text, MAX_DETAIL_BYTES), &self.store)))
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
        None => error.root_cause().to_string(),
    };
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        for frame in backtrace.frames().iter().take(FRAMES) {
            let symbol = frame.symbols().first().and_then(|symbol| symbol.name());
            let place = frame.func_offset().unwrap_or_default();
            match symbol.or(frame.func_name()) {
                Some(name) => write!(text, "; at {}+{place:#x}", harmless(name)),
                None => write!(text, "; at function {}+{place:#x}", frame.func_index()),
            }
            .unwrap_or_default();
        }
    }
    Failure::new(kind, &with_log(text, store))
}

/// `text`, and the lines that the guest logged during the call.
fn with_log(mut text: String, store: &Store<HostState>) -> String {
    for line in store.data().last_lines.iter() {
        text.push_str("; log: ");
        text.push_str(line);
    }
    text
}

//! User-supplied transforms: WebAssembly guests behind the contract in `wit/transform.wit`.
//!
//! [`TransformEngine`] compiles and limits guests, [`TransformChain`] links them against the schema of the events, and
//! a [`ChainInstance`] (one per worker thread) takes decoded rows through all of them. Columns cross the boundary as
//! one copy each way; only the columns that a transform reads cross, and only the rows that are still kept.
//!
//! A guest is hostile until it has proved otherwise: every call has a deadline, a memory limit and a limit on what it
//! may hand back, and everything it hands back is checked before it becomes an Arrow array. Whatever a guest does, each
//! decoded row ends up in exactly one place: the output, the rejected rows, or the filtered ones.
//!
//! This module knows nothing of Kafka beyond the five metadata columns, and nothing of files, tables or deployments.
//! Only `engine.rs`, `cached_code.rs`, `bindings.rs` and `instance.rs` name wasmtime.

#[allow(missing_docs, unreachable_pub)]
mod bindings;
pub mod build;
mod cached_code;
mod chain;
mod check;
mod columns;
pub mod conform;
mod descriptor;
mod engine;
mod frame;
mod guest_log;
mod guest_metrics;
mod host_functions;
pub mod inspect;
mod instance;
mod module;
mod module_cost;
mod recover;
pub mod scaffold;
mod stats;
#[cfg(test)]
mod tests;
pub mod trial;
mod turns;
mod usage;
pub mod vet;

pub use chain::{ChainInstance, ChainOutput, LinkedTransform, Rejected, TransformChain, TransformFailure};
pub use descriptor::{Descriptor, Reason, Written};
pub use engine::TransformEngine;
pub(crate) use engine::hex;
pub use guest_log::GuestLine;
pub use guest_metrics::{MetricSnapshot, MetricValue};
pub use instance::FailureKind;
pub use module::{MAX_MODULE_BYTES, ModuleInfo, ModuleKind};
pub use stats::TransformCounts;
pub use usage::TransformUse;

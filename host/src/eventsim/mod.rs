//! The simulator of listening events: users of a music service that exists nowhere.
//!
//! [`Simulator`] yields the events of one to four topics in event-time order, each as one JSON object. It is pure: no
//! clock, no I/O, no thread; the same [`SimulatorOptions`] give the same events, byte for byte, on every machine. Event
//! n of a stream is always the same, so seed and index are a position to restart from ([`Simulator::skip`]).
//!
//! Around it: [`rate`] says when an event is due, and [`output`] writes events to a file or hands them to a
//! deliverer. Nothing here knows Kafka, pipelines or checkpoints.

mod catalogue;
mod chain;
mod fault;
mod format;
mod model;
mod options;
pub mod output;
mod random;
pub mod rate;
mod render;
mod simulator;
#[cfg(test)]
mod tests;
mod words;

pub use fault::{Fault, FaultShares};
pub use format::{EventFormat, Framing};
pub use options::{MOST_USERS, SimulatorOptions, Topic};
pub use simulator::{EventMeta, Simulator};

//! From messages to rows.
//!
//! A decoder makes one `RecordBatch` of a [`SourceBatch`](crate::source::SourceBatch) and sets aside what it cannot
//! decode, each with its reason. It never fails as a whole: bad data is a value.

pub mod json;
pub mod schema;

use arrow::array::RecordBatch;

/// What became of the messages of one batch. Every message is in exactly one of the two.
#[derive(Debug)]
pub struct Decoded {
    /// The rows that could be decoded, with the columns of the schema.
    pub rows: RecordBatch,
    /// `messages[i]` is the message (its index in the batch) that row i was decoded from: strictly increasing.
    pub messages: Vec<u32>,
    /// The messages that could not be decoded, by increasing index.
    pub undecodable: Vec<Undecodable>,
}

/// A message that is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Its index in the batch.
    pub message: u32,
    /// A built-in reason ([`crate::reason`]): `not-json`, `wrong-type`, ...
    pub reason: &'static str,
    /// What was found, where, and what was wanted.
    pub detail: String,
}

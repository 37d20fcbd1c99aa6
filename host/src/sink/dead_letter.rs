//! Dead letters: rows and messages that could not go on, each with its reason.

use crate::source::Header;

/// Where a dead letter fell out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The message is not an event.
    Decode,
    /// A transform rejected it, or failed on it.
    Transform,
    /// It has no place in the table (event time, hive partition).
    Table,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Kafka's coordinates.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// The message's offset.
    pub offset: i64,
    /// Milliseconds since 1970, where the message has one.
    pub timestamp_ms: Option<i64>,
    /// The message's key.
    pub key: Option<Vec<u8>>,
    /// The message's payload as it was received; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The message's headers.
    pub headers: Vec<Header>,
    /// Where it fell out.
    pub stage: Stage,
    /// Name and version of the transform, when `stage` is [`Stage::Transform`].
    pub transform: Option<(String, String)>,
    /// A short, stable code.
    pub reason: String,
    /// What was found and what was wanted.
    pub message: String,
    /// The deployment's number.
    pub deployment: i64,
    /// Milliseconds since 1970 at which it was set aside.
    pub recorded_at_ms: i64,
}

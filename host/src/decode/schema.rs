//! The schema of one event: its fields, their types, and which are required.

use arrow::datatypes::SchemaRef;

/// The fields of one event, in column order.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSchema {
    /// One per field, in column order; names are unique.
    pub fields: Vec<EventField>,
    /// The same as an Arrow schema: a required field is not nullable.
    pub arrow: SchemaRef,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventField {
    /// The key in the JSON object, and the column's name.
    pub name: String,
    /// Its type.
    pub kind: EventType,
    /// Null or missing is not allowed.
    pub required: bool,
}

/// The type of a field, as a pipeline file writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventType {
    /// `string`
    String,
    /// `int`: 32 bits.
    Int,
    /// `long`: 64 bits.
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `boolean`
    Boolean,
    /// `timestamp(ms)`: a JSON integer of milliseconds, stored as microseconds UTC.
    TimestampMillis,
    /// `timestamp(us)`: a JSON integer of microseconds.
    TimestampMicros,
    /// `{ type = "timestamp(us)", format = "rfc3339" }`: RFC 3339 text.
    TimestampRfc3339,
    /// `binary`: base64 text.
    Binary,
    /// `decimal(precision, scale)`
    Decimal(u8, i8),
    /// `list<...>`; items may be null.
    List(Box<EventType>),
}

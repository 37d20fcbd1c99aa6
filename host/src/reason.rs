//! The built-in reasons of dead letters: short, stable codes, used as metric labels and as a column of the dead-letter
//! table. A transform declares reasons of its own beside these.
//!
//! `docs/dead-letters.md` lists them for operators; a test holds the two together. A code, once released, keeps its
//! meaning.

/// The message has no payload (a tombstone).
pub const NULL_PAYLOAD: &str = "null-payload";
/// The payload is not UTF-8.
pub const INVALID_UTF8: &str = "invalid-utf8";
/// The payload is not JSON.
pub const NOT_JSON: &str = "not-json";
/// The payload is JSON, but not an object.
pub const NOT_AN_OBJECT: &str = "not-an-object";
/// The payload does not begin with the id of a schema.
pub const NOT_FRAMED: &str = "not-framed";
/// The registry has no schema with the message's id.
pub const UNKNOWN_SCHEMA: &str = "unknown-schema";
/// Messages of this schema cannot become rows of the table.
pub const INCOMPATIBLE_SCHEMA: &str = "incompatible-schema";
/// The payload is not Avro as its schema has it.
pub const MALFORMED_AVRO: &str = "malformed-avro";
/// The payload is not Protobuf as its schema has it.
pub const MALFORMED_PROTOBUF: &str = "malformed-protobuf";
/// Something follows the event, such as a second one.
pub const TRAILING_DATA: &str = "trailing-data";
/// A field holds a value of another type.
pub const WRONG_TYPE: &str = "wrong-type";
/// A field holds a number (or a time) that its type cannot hold.
pub const OUT_OF_RANGE: &str = "out-of-range";
/// A required field is null or missing.
pub const MISSING_FIELD: &str = "missing-field";
/// A transform reads a column as never null, and it is null.
pub const NULL_INPUT: &str = "null-input";
/// A transform answered with an error.
pub const TRANSFORM_ERROR: &str = "transform-error";
/// A transform trapped.
pub const TRANSFORM_TRAP: &str = "transform-trap";
/// A transform ran past its deadline.
pub const TRANSFORM_DEADLINE: &str = "transform-deadline";
/// A transform answered with an output that breaks the contract.
pub const TRANSFORM_OUTPUT: &str = "transform-output";
/// The event time is null.
pub const NO_EVENT_TIME: &str = "no-event-time";
/// The event time lies outside 1970 to 2200, or too far in the future.
pub const EVENT_TIME_OUT_OF_RANGE: &str = "event-time-out-of-range";
/// A value of a partition column is too long for a directory's name.
pub const HIVE_VALUE_TOO_LONG: &str = "hive-value-too-long";
/// The range already has as many hive partitions open as are allowed.
pub const TOO_MANY_HIVE_PARTITIONS: &str = "too-many-hive-partitions";

/// All of them, in the order of the docs.
pub const BUILT_IN: &[&str] = &[
    NULL_PAYLOAD,
    INVALID_UTF8,
    NOT_JSON,
    NOT_AN_OBJECT,
    NOT_FRAMED,
    UNKNOWN_SCHEMA,
    INCOMPATIBLE_SCHEMA,
    MALFORMED_AVRO,
    MALFORMED_PROTOBUF,
    TRAILING_DATA,
    WRONG_TYPE,
    OUT_OF_RANGE,
    MISSING_FIELD,
    NULL_INPUT,
    TRANSFORM_ERROR,
    TRANSFORM_TRAP,
    TRANSFORM_DEADLINE,
    TRANSFORM_OUTPUT,
    NO_EVENT_TIME,
    EVENT_TIME_OUT_OF_RANGE,
    HIVE_VALUE_TOO_LONG,
    TOO_MANY_HIVE_PARTITIONS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_list_the_same_reasons() {
        let docs = include_str!("../docs/dead-letters.md");
        let listed: Vec<&str> =
            docs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(code, _)| code).collect();
        assert_eq!(listed, BUILT_IN);
    }
}

//! The schema of one event: its fields, their types, and which are required.
//!
//! The type language of the pipeline file is parsed here and nowhere else: `string`, `int`, `long`, `float`, `double`,
//! `boolean`, `timestamp(ms)`, `timestamp(us)`, `binary`, `decimal(p,s)` and `list<...>`, each with `!` behind it when the
//! field is required. This module knows nothing of TOML, and nothing of how a value is read.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// What the type language offers, for error messages.
const TYPES: &str =
    "string, int, long, float, double, boolean, timestamp(ms), timestamp(us), binary, decimal(p,s), list<...>";

/// Lists deeper than this are refused: Parquet readers are slow on them, and each level costs a recursion.
const MAX_LIST_DEPTH: usize = 8;

/// The largest precision that Arrow's `Decimal128` and Spark, Trino and Hive hold.
const MAX_DECIMAL_PRECISION: u8 = 38;

/// The fields of one event, in column order.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSchema {
    /// One per field, in column order; names are unique.
    pub fields: Vec<EventField>,
    /// The same as an Arrow schema: a required field is not nullable.
    pub arrow: SchemaRef,
}

impl EventSchema {
    /// Checks the names (not empty, unique, no `$` in front: such names are the source's own columns) and makes the Arrow
    /// schema.
    pub fn new(fields: Vec<EventField>) -> Result<Self, String> {
        if fields.is_empty() {
            return Err("the schema has no fields".into());
        }
        let mut names = HashSet::new();
        for field in &fields {
            if field.name.is_empty() {
                return Err("a field has an empty name".into());
            }
            if field.name.starts_with('$') {
                return Err(format!(
                    "field {:?}: names that start with `$` are reserved for what the source knows ($offset, $key, ...)",
                    field.name
                ));
            }
            if !names.insert(field.name.as_str()) {
                return Err(format!("field {:?} is there twice", field.name));
            }
        }
        let arrow: Vec<Field> =
            fields.iter().map(|field| Field::new(&field.name, field.kind.arrow(), !field.required)).collect();
        Ok(Self { arrow: Arc::new(Schema::new(arrow)), fields })
    }
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
    /// `{ type = "timestamp(us)", format = "rfc3339" }`: RFC 3339 text. Digits beyond microseconds are cut off.
    TimestampRfc3339,
    /// `binary`: base64 text (RFC 4648, the standard alphabet, padded).
    Binary,
    /// `decimal(precision, scale)`
    Decimal(u8, i8),
    /// `list<...>`; items may be null.
    List(Box<EventType>),
}

impl EventType {
    /// Parses `long` or `long!`: the type, and whether the field is required. The error says what was found and what is
    /// possible; the caller adds the field's name.
    pub fn parse(text: &str) -> Result<(Self, bool), String> {
        let trimmed = text.trim();
        let (kind, required) = match trimmed.strip_suffix('!') {
            Some(kind) => (kind.trim_end(), true),
            None => (trimmed, false),
        };
        Ok((Self::parse_kind(kind, MAX_LIST_DEPTH)?, required))
    }

    /// The table form: `{ type = TEXT, format = FORMAT }`. The only format is `rfc3339`, of a `timestamp(us)`.
    pub fn parse_with_format(text: &str, format: &str) -> Result<(Self, bool), String> {
        let (kind, required) = Self::parse(text)?;
        match (format, kind) {
            ("rfc3339", Self::TimestampMicros) => Ok((Self::TimestampRfc3339, required)),
            ("rfc3339", kind) => Err(format!("format \"rfc3339\" needs the type timestamp(us), not {kind}")),
            (format, _) => Err(format!("unknown format {format:?}: the only one is \"rfc3339\", of a timestamp(us)")),
        }
    }

    fn parse_kind(text: &str, depth: usize) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("list<") {
            let Some(item) = rest.strip_suffix('>') else {
                return Err(format!("type {text:?}: the `>` is missing"));
            };
            if depth == 0 {
                return Err(format!("lists are nested deeper than {MAX_LIST_DEPTH}"));
            }
            if item.ends_with('!') {
                return Err(format!("type {text:?}: items of a list may be null, so `!` has no place there"));
            }
            return Ok(Self::List(Box::new(Self::parse_kind(item.trim(), depth - 1)?)));
        }
        if let Some(rest) = text.strip_prefix("decimal(") {
            return Self::parse_decimal(text, rest);
        }
        match text {
            "string" => Ok(Self::String),
            "int" => Ok(Self::Int),
            "long" => Ok(Self::Long),
            "float" => Ok(Self::Float),
            "double" => Ok(Self::Double),
            "boolean" => Ok(Self::Boolean),
            "timestamp(ms)" => Ok(Self::TimestampMillis),
            "timestamp(us)" => Ok(Self::TimestampMicros),
            "binary" => Ok(Self::Binary),
            "timestamp" => Err("type \"timestamp\" needs its unit: timestamp(ms) or timestamp(us)".into()),
            "decimal" => Err("type \"decimal\" needs precision and scale: decimal(10,2)".into()),
            "list" => Err("type \"list\" needs its items' type: list<string>".into()),
            _ => Err(format!("unknown type {text:?}: write one of {TYPES}, with `!` behind it when it is required")),
        }
    }

    fn parse_decimal(text: &str, rest: &str) -> Result<Self, String> {
        let wrong =
            || format!("type {text:?}: write decimal(p,s) with p from 1 to {MAX_DECIMAL_PRECISION} and s from 0 to p");
        let (precision, scale) = rest.strip_suffix(')').and_then(|inner| inner.split_once(',')).ok_or_else(wrong)?;
        let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
        let scale: u8 = scale.trim().parse().map_err(|_| wrong())?;
        if precision == 0 || precision > MAX_DECIMAL_PRECISION || scale > precision {
            return Err(wrong());
        }
        let scale = i8::try_from(scale).map_err(|_| wrong())?;
        Ok(Self::Decimal(precision, scale))
    }

    /// The Arrow type of the column. All timestamps are microseconds UTC; items of a list are called `element`, as Parquet
    /// has it.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::TimestampMillis | Self::TimestampMicros | Self::TimestampRfc3339 => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            Self::Binary => DataType::Binary,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::List(item) => DataType::List(Arc::new(Field::new("element", item.arrow(), true))),
        }
    }
}

/// As a pipeline file writes it.
impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Int => f.write_str("int"),
            Self::Long => f.write_str("long"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Boolean => f.write_str("boolean"),
            Self::TimestampMillis => f.write_str("timestamp(ms)"),
            Self::TimestampMicros => f.write_str("timestamp(us)"),
            Self::TimestampRfc3339 => f.write_str("timestamp(us) as rfc3339 text"),
            Self::Binary => f.write_str("binary"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::List(item) => write!(f, "list<{item}>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_parsed_and_written_back() {
        for text in [
            "string",
            "int",
            "long",
            "float",
            "double",
            "boolean",
            "timestamp(ms)",
            "timestamp(us)",
            "binary",
            "decimal(10,2)",
            "decimal(38,38)",
            "decimal(1,0)",
            "list<string>",
            "list<list<decimal(4,1)>>",
        ] {
            let (kind, required) = EventType::parse(text).unwrap();
            assert_eq!((kind.to_string().as_str(), required), (text, false));
            let (same, required) = EventType::parse(&format!("{text}!")).unwrap();
            assert_eq!((same, required), (kind, true));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, told) in [
            ("integer", "unknown type \"integer\""),
            ("", "unknown type \"\""),
            ("!", "unknown type \"\""),
            ("long!!", "unknown type \"long!\""),
            ("timestamp", "needs its unit"),
            ("timestamp(ns)", "unknown type"),
            ("decimal", "needs precision"),
            ("decimal(39,0)", "from 1 to 38"),
            ("decimal(0,0)", "from 1 to 38"),
            ("decimal(3,4)", "s from 0 to p"),
            ("decimal(3)", "decimal(p,s)"),
            ("list<string", "`>` is missing"),
            ("list<string!>", "may be null"),
            ("list<list<list<list<list<list<list<list<list<int>>>>>>>>>", "deeper"),
        ] {
            let error = EventType::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn rfc3339_belongs_to_timestamps() {
        assert_eq!(EventType::parse_with_format("timestamp(us)!", "rfc3339"), Ok((EventType::TimestampRfc3339, true)));
        assert!(EventType::parse_with_format("timestamp(ms)", "rfc3339").unwrap_err().contains("timestamp(us)"));
        assert!(EventType::parse_with_format("timestamp(us)", "iso").unwrap_err().contains("unknown format"));
    }

    #[test]
    fn names_are_checked() {
        let field = |name: &str| EventField { name: name.into(), kind: EventType::Long, required: true };
        assert!(EventSchema::new(vec![]).unwrap_err().contains("no fields"));
        assert!(EventSchema::new(vec![field("")]).unwrap_err().contains("empty name"));
        assert!(EventSchema::new(vec![field("$offset")]).unwrap_err().contains("reserved"));
        assert!(EventSchema::new(vec![field("a"), field("a")]).unwrap_err().contains("twice"));
        let schema = EventSchema::new(vec![field("a"), field("A")]).unwrap();
        assert!(!schema.arrow.field(0).is_nullable());
    }
}

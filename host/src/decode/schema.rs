//! The schema of one event: its fields, their types, and which are required.
//!
//! The type language of the pipeline file is parsed here and nowhere else: `string`, `int`, `long`, `float`, `double`,
//! `boolean`, `timestamp(ms)`, `timestamp(us)`, `local-timestamp(us)`, `date`, `binary`, `decimal(p,s)`, `list<...>`,
//! `struct<name:type,...>` and `map<string,...>`, each with `!` behind it when the field is required. This module knows
//! nothing of TOML, and nothing of how a value is read.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// What the type language offers, for error messages.
const TYPES: &str = "string, int, long, float, double, boolean, timestamp(ms), timestamp(us), local-timestamp(us), \
                     date, binary, decimal(p,s), list<...>, struct<name:type,...>, map<string,...>";

/// Types nested deeper than this are refused: Parquet readers are slow on them, and each level costs a recursion.
pub const MAX_DEPTH: usize = 8;

/// What Parquet calls the entries of a map.
pub(crate) const MAP_ENTRIES: &str = "key_value";

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
        for field in &fields {
            if field.name.starts_with('$') {
                return Err(format!(
                    "field {:?}: names that start with `$` are reserved for what the source knows ($offset, $key, ...)",
                    field.name
                ));
            }
        }
        check_names(&fields)?;
        let arrow: Vec<Field> =
            fields.iter().map(|field| Field::new(&field.name, field.kind.arrow(), !field.required)).collect();
        Ok(Self { arrow: Arc::new(Schema::new(arrow)), fields })
    }
}

/// Names are there and differ, those of a struct among themselves.
fn check_names(fields: &[EventField]) -> Result<(), String> {
    let mut names = HashSet::new();
    for field in fields {
        if field.name.is_empty() {
            return Err("a field has an empty name".into());
        }
        if !names.insert(field.name.as_str()) {
            return Err(format!("field {:?} is there twice", field.name));
        }
        if let EventType::Struct(inner) = &field.kind {
            check_names(inner).map_err(|why| format!("field {:?}: {why}", field.name))?;
        }
    }
    Ok(())
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventField {
    /// The field's name in the event, and the column's.
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
    /// `local-timestamp(us)`: a date and a time of day without a zone, in microseconds. In JSON text like
    /// `2026-11-24T00:30:00`.
    LocalTimestamp,
    /// `date`: a day. In JSON text like `2026-11-24`.
    Date,
    /// `binary`: base64 text (RFC 4648, the standard alphabet, padded).
    Binary,
    /// `decimal(precision, scale)`
    Decimal(u8, i8),
    /// `list<...>`; items may be null.
    List(Box<EventType>),
    /// `struct<name:type,...>`: at least one field. In JSON an object.
    Struct(Vec<EventField>),
    /// `map<string,...>`: values by text; values may be null. In JSON an object.
    Map(Box<EventType>),
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
        Ok((Self::parse_kind(kind, MAX_DEPTH)?, required))
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

    /// Whether it is a `long` in memory that JSON gives as an integer.
    #[inline]
    pub(crate) fn is_integer_in_json(&self) -> bool {
        matches!(self, Self::Long | Self::TimestampMillis | Self::TimestampMicros)
    }

    fn parse_kind(text: &str, depth: usize) -> Result<Self, String> {
        if let Some((outer, rest)) = text.split_once('<').filter(|(outer, _)| ["list", "struct", "map"].contains(outer))
        {
            let Some(inner) = rest.strip_suffix('>') else {
                return Err(format!("type {text:?}: the `>` is missing"));
            };
            let Some(depth) = depth.checked_sub(1) else {
                return Err(format!("types are nested deeper than {MAX_DEPTH}"));
            };
            return match outer {
                "struct" => Self::parse_struct(text, inner, depth),
                "map" => {
                    let value = inner.trim_start().strip_prefix("string").map(str::trim_start);
                    let value = value.and_then(|rest| rest.strip_prefix(','));
                    let value = value.ok_or_else(|| format!("type {text:?}: keys are text: map<string,...>"))?;
                    Ok(Self::Map(Box::new(Self::parse_item(text, value, depth)?)))
                }
                _ => Ok(Self::List(Box::new(Self::parse_item(text, inner, depth)?))),
            };
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
            "local-timestamp(us)" => Ok(Self::LocalTimestamp),
            "date" => Ok(Self::Date),
            "binary" => Ok(Self::Binary),
            "timestamp" => Err("type \"timestamp\" needs its unit: timestamp(ms) or timestamp(us)".into()),
            "decimal" => Err("type \"decimal\" needs precision and scale: decimal(10,2)".into()),
            "list" => Err("type \"list\" needs its items' type: list<string>".into()),
            "struct" => Err("type \"struct\" needs its fields: struct<city:string,zip:int!>".into()),
            "map" => Err("type \"map\" needs its values' type: map<string,long>".into()),
            _ => Err(format!("unknown type {text:?}: write one of {TYPES}, with `!` behind it when it is required")),
        }
    }

    /// The items of a list, or the values of a map.
    fn parse_item(text: &str, item: &str, depth: usize) -> Result<Self, String> {
        if item.ends_with('!') {
            return Err(format!("type {text:?}: items may be null, so `!` has no place there"));
        }
        Self::parse_kind(item.trim(), depth)
    }

    fn parse_struct(text: &str, inner: &str, depth: usize) -> Result<Self, String> {
        let mut fields = Vec::new();
        for field in split_fields(inner) {
            let (name, kind) =
                field.split_once(':').ok_or_else(|| format!("type {text:?}: write each field as name:type"))?;
            let (kind, required) = match kind.trim().strip_suffix('!') {
                Some(kind) => (kind.trim_end(), true),
                None => (kind.trim(), false),
            };
            fields.push(EventField { name: name.trim().to_owned(), kind: Self::parse_kind(kind, depth)?, required });
        }
        check_names(&fields).map_err(|why| format!("type {text:?}: {why}"))?;
        Ok(Self::Struct(fields))
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
            Self::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Date => DataType::Date32,
            Self::Binary => DataType::Binary,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::List(item) => DataType::List(Arc::new(Field::new("element", item.arrow(), true))),
            Self::Struct(fields) => DataType::Struct(
                fields.iter().map(|field| Field::new(&field.name, field.kind.arrow(), !field.required)).collect(),
            ),
            Self::Map(value) => {
                let entries = DataType::Struct(map_entries(value));
                DataType::Map(Arc::new(Field::new(MAP_ENTRIES, entries, false)), false)
            }
        }
    }
}

/// Key and value of a map, named as Parquet has it.
pub(crate) fn map_entries(value: &EventType) -> Fields {
    [Field::new("key", DataType::Utf8, false), Field::new("value", value.arrow(), true)].into_iter().collect()
}

/// The parts of a struct's text: split at the commas that stand in no brackets.
fn split_fields(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' | b'(' => depth += 1,
            b'>' | b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
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
            Self::LocalTimestamp => f.write_str("local-timestamp(us)"),
            Self::Date => f.write_str("date"),
            Self::Binary => f.write_str("binary"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, EventField { name, kind, required }) in fields.iter().enumerate() {
                    let (comma, mark) = (if index == 0 { "" } else { "," }, if *required { "!" } else { "" });
                    write!(f, "{comma}{name}:{kind}{mark}")?;
                }
                f.write_str(">")
            }
            Self::Map(value) => write!(f, "map<string,{value}>"),
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
            "local-timestamp(us)",
            "date",
            "struct<a:long>",
            "struct<a:long!,b:struct<c:decimal(4,1),d:map<string,list<date>>>!,e:string>",
            "map<string,struct<a:long!>>",
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
            ("map<string,long!>", "may be null"),
            ("map<long,long>", "keys are text"),
            ("map<string>", "keys are text"),
            ("map", "values' type"),
            ("struct", "needs its fields"),
            ("struct<>", "name:type"),
            ("struct<a>", "name:type"),
            ("struct<a:long", "`>` is missing"),
            ("struct<:long>", "empty name"),
            ("struct<a:long,a:int>", "twice"),
            ("struct<a:long,>", "name:type"),
            ("struct<a:integer>", "unknown type \"integer\""),
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

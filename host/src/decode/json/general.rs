//! The general path: any JSON object, by serde_json, straight into the columns.
//!
//! This path defines what is right. serde_json checks the grammar and hands out each value as its text; the text is
//! read by the column's type ([`literal`]). A value that does not fit is noted, and the rest of the message is still read, so
//! that a message that is not JSON is always told as such, and a later duplicate of the key may put it right.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::literal::{self, Refused};
use super::{Problem, rfc3339};
use crate::decode::column::{Bytes, Column, Values};
use crate::decode::schema::{EventField, EventSchema, EventType};
use crate::reason;

/// How much of a value a dead letter's message shows, in bytes.
const SHOWN_BYTES: usize = 64;

/// What the general path knows of the schema.
pub(super) struct General {
    names: Vec<String>,
    required: Vec<bool>,
    by_name: HashMap<String, usize>,
    /// Fields of the current row that did not fit.
    problems: Vec<(usize, Problem)>,
}

impl General {
    pub(super) fn new(schema: &EventSchema) -> Self {
        let names: Vec<String> = schema.fields.iter().map(|field| field.name.clone()).collect();
        Self {
            by_name: names.iter().cloned().zip(0..).collect(),
            required: schema.fields.iter().map(|field| field.required).collect(),
            names,
            problems: Vec::new(),
        }
    }

    /// Appends row `row`. On an error the columns hold a part of it: the caller takes it back.
    pub(super) fn row(&mut self, payload: &[u8], columns: &mut [Column], row: usize) -> Result<(), Problem> {
        let text = std::str::from_utf8(payload).map_err(|error| {
            Problem::new(reason::INVALID_UTF8, format!("the payload is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        self.problems.clear();
        let mut json = serde_json::Deserializer::from_str(text);
        let starts = text.trim_start_matches([' ', '\t', '\r', '\n']);
        let outcome = if starts.starts_with('{') {
            json.deserialize_map(Object { general: self, columns, row }).map(|()| None)
        } else {
            json.deserialize_ignored_any(IgnoredAny).map(|_| Some(kind_of(starts)))
        };
        let other =
            outcome.map_err(|error| Problem::new(reason::NOT_JSON, format!("the payload is not JSON: {error}")))?;
        json.end().map_err(|error| {
            let what = "something follows the event; one message holds one object";
            Problem::new(reason::TRAILING_DATA, format!("{what} (at line {} column {})", error.line(), error.column()))
        })?;
        match other {
            Some(kind) => Err(Problem::new(reason::NOT_AN_OBJECT, format!("found {kind}, wanted an object"))),
            None => self.complete(columns, row),
        }
    }

    /// Reads the value of field `index`, which may be there for the second time.
    fn field(&mut self, index: usize, raw: &str, columns: &mut [Column], row: usize) {
        let column = &mut columns[index];
        if column.len() > row {
            column.truncate(row);
        }
        if !self.problems.is_empty() {
            self.problems.retain(|(other, _)| *other != index);
        }
        if let Err(problem) = push(column, raw) {
            column.truncate(row);
            self.problems.push((index, problem.in_field(&self.names[index])));
        }
    }

    /// Tells the first problem in the order of the schema, or fills missing fields with null.
    fn complete(&mut self, columns: &mut [Column], row: usize) -> Result<(), Problem> {
        let problem = self.problems.iter().min_by_key(|(index, _)| *index).map(|(index, _)| *index);
        for (index, column) in columns.iter_mut().enumerate() {
            if problem == Some(index) {
                let at = self.problems.iter().position(|(other, _)| *other == index).unwrap_or(0);
                return Err(self.problems.swap_remove(at).1);
            }
            let missing = column.len() == row;
            if self.required[index] && (missing || column.last_is_null()) {
                let what = if missing { "is missing" } else { "is null" };
                let detail = format!("field {:?} {what}, and it is required ({}!)", self.names[index], column.kind);
                return Err(Problem::new(reason::MISSING_FIELD, detail));
            }
            if missing {
                column.push_null();
            }
        }
        Ok(())
    }
}

/// The event's object.
struct Object<'a> {
    general: &'a mut General,
    columns: &'a mut [Column],
    row: usize,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut expected = 0;
        while let Some(key) = map.next_key_seed(Key { general: self.general, expected })? {
            match key {
                Some(index) => {
                    let raw: &RawValue = map.next_value()?;
                    self.general.field(index, raw.get(), self.columns, self.row);
                    expected = index + 1;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A key: the index of its field, if it is one. Events mostly have the schema's order, so the next field is tried first.
struct Key<'a> {
    general: &'a General,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        if self.general.names.get(self.expected).is_some_and(|name| name == key) {
            return Ok(Some(self.expected));
        }
        Ok(self.general.by_name.get(key).copied())
    }
}

/// Appends a value to a column, given as its JSON text (whose grammar serde_json has accepted). On an error the column
/// may hold a part of it: the caller takes it back.
pub(super) fn push(column: &mut Column, raw: &str) -> Result<(), Problem> {
    if raw == "null" {
        column.push_null();
        return Ok(());
    }
    let first = raw.as_bytes().first().copied().unwrap_or(b' ');
    let is_number = first == b'-' || first.is_ascii_digit();
    let is_string = first == b'"';
    let kind = &column.kind;
    let refuse = |refused| refuse(kind, raw, refused);
    match &mut column.values {
        Values::Bytes(bytes) if is_string => push_bytes(kind, bytes, raw),
        Values::Int(values) if is_string && *kind == EventType::Date => {
            let text = unquote(raw)?;
            values.push(rfc3339::parse_date(&text).ok_or_else(|| refuse(Refused::WrongType))?);
            Ok(())
        }
        Values::Int(values) if is_number && *kind == EventType::Int => {
            let value = literal::integer(raw).map_err(refuse)?;
            values.push(i32::try_from(value).map_err(|_| refuse(Refused::OutOfRange))?);
            Ok(())
        }
        Values::Long(values) if is_string && *kind == EventType::LocalTimestamp => {
            let text = unquote(raw)?;
            values.push(rfc3339::parse_local(&text).ok_or_else(|| refuse(Refused::WrongType))?);
            Ok(())
        }
        Values::Long(values) if is_number && kind.is_integer_in_json() => {
            let value = literal::integer(raw).map_err(refuse)?;
            let unit = if *kind == EventType::TimestampMillis { 1_000 } else { 1 };
            values.push(value.checked_mul(unit).ok_or_else(|| refuse(Refused::OutOfRange))?);
            Ok(())
        }
        Values::Long(values) if is_string && *kind == EventType::TimestampRfc3339 => {
            let text = unquote(raw)?;
            values.push(rfc3339::parse(&text).ok_or_else(|| refuse(Refused::WrongType))?);
            Ok(())
        }
        Values::Float(values) if is_number => {
            values.push(literal::float(raw).map_err(refuse)?);
            Ok(())
        }
        Values::Double(values) if is_number => {
            values.push(literal::double(raw).map_err(refuse)?);
            Ok(())
        }
        Values::Boolean(values) if matches!(raw, "true" | "false") => {
            values.push(raw == "true");
            Ok(())
        }
        Values::Decimal(values) if is_number || is_string => {
            let unquoted = if is_string { unquote(raw)? } else { raw.into() };
            let EventType::Decimal(precision, scale) = *kind else { return Err(refuse(Refused::WrongType)) };
            if !literal::is_number(&unquoted) {
                return Err(refuse(Refused::WrongType));
            }
            values.push(literal::decimal(&unquoted, precision, scale).map_err(refuse)?);
            Ok(())
        }
        Values::List { offsets, items } if first == b'[' => push_list(offsets, items, raw),
        Values::Struct { rows, fields } if first == b'{' => match kind {
            EventType::Struct(kinds) => push_struct(kinds, rows, fields, raw),
            _ => Err(refuse(Refused::WrongType)),
        },
        Values::Map { offsets, keys, values } if first == b'{' => push_map(offsets, keys, values, raw),
        _ => Err(refuse(Refused::WrongType)),
    }
}

fn push_bytes(kind: &EventType, bytes: &mut Bytes, raw: &str) -> Result<(), Problem> {
    let text = unquote(raw)?;
    if *kind == EventType::Binary {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        engine.decode_vec(text.as_bytes(), &mut bytes.data).map_err(|_| refuse(kind, raw, Refused::WrongType))?;
    } else {
        bytes.data.extend_from_slice(text.as_bytes());
    }
    if bytes.end() { Ok(()) } else { Err(full()) }
}

fn push_list(offsets: &mut Vec<i32>, items: &mut Column, raw: &str) -> Result<(), Problem> {
    let mut problem = None;
    let list = List { items, problem: &mut problem };
    // The grammar was checked, so the only failure is the one noted.
    let read = serde_json::Deserializer::from_str(raw).deserialize_seq(list);
    if let Some(problem) = problem {
        return Err(problem);
    }
    read.map_err(|error| Problem::new(reason::NOT_JSON, format!("not a list: {error}")))?;
    offsets.push(i32::try_from(items.len()).map_err(|_| full())?);
    Ok(())
}

struct List<'a> {
    items: &'a mut Column,
    problem: &'a mut Option<Problem>,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = list.next_element::<&RawValue>()? {
            if self.problem.is_none()
                && let Err(mut problem) = push(self.items, raw.get())
            {
                problem.detail = format!("item {index}: {}", problem.detail);
                *self.problem = Some(problem);
            }
            index += 1;
        }
        Ok(())
    }
}

/// The members of an object, in their order: of a key that comes twice the last one's value, where the first one stood.
fn members(raw: &str) -> Result<Vec<(String, &RawValue)>, Problem> {
    struct Members<'m, 'de>(&'m mut Vec<(String, &'de RawValue)>);
    impl<'de> Visitor<'de> for Members<'_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut places: HashMap<String, usize> = HashMap::new();
            while let Some(key) = map.next_key::<String>()? {
                let value: &RawValue = map.next_value()?;
                let place = *places.entry(key.clone()).or_insert(self.0.len());
                match self.0.get_mut(place) {
                    Some(before) => before.1 = value,
                    None => self.0.push((key, value)),
                }
            }
            Ok(())
        }
    }
    let mut members = Vec::new();
    // The grammar was checked, but a key may have an escape that is no character.
    serde_json::Deserializer::from_str(raw)
        .deserialize_map(Members(&mut members))
        .map_err(|error| Problem::new(reason::NOT_JSON, format!("found {}: {error}", shown(raw))))?;
    Ok(members)
}

fn push_struct(kinds: &[EventField], rows: &mut usize, fields: &mut [Column], raw: &str) -> Result<(), Problem> {
    let members: HashMap<String, &RawValue> = members(raw)?.into_iter().collect();
    for (field, column) in kinds.iter().zip(fields) {
        let member = members.get(&field.name);
        match member {
            Some(value) => push(column, value.get()).map_err(|problem| problem.in_field(&field.name))?,
            None => column.push_null(),
        }
        if field.required && column.last_is_null() {
            let what = if member.is_none() { "is missing" } else { "is null" };
            let detail = format!("field {:?} {what}, and it is required ({}!)", field.name, field.kind);
            return Err(Problem::new(reason::MISSING_FIELD, detail));
        }
    }
    *rows += 1;
    Ok(())
}

fn push_map(offsets: &mut Vec<i32>, keys: &mut Column, values: &mut Column, raw: &str) -> Result<(), Problem> {
    for (key, value) in members(raw)? {
        let Values::Bytes(bytes) = &mut keys.values else { return Err(full()) };
        bytes.data.extend_from_slice(key.as_bytes());
        if !bytes.end() {
            return Err(full());
        }
        push(values, value.get()).map_err(|problem| problem.in_field(&key))?;
    }
    offsets.push(i32::try_from(values.len()).map_err(|_| full())?);
    Ok(())
}

/// What a string literal says. Only an escape that is no character (half of a surrogate pair) can be wrong with it.
fn unquote(raw: &str) -> Result<std::borrow::Cow<'_, str>, Problem> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
    if !inner.contains('\\') {
        return Ok(inner.into());
    }
    serde_json::from_str::<String>(raw)
        .map(Into::into)
        .map_err(|error| Problem::new(reason::NOT_JSON, format!("found {}, which is no text: {error}", shown(raw))))
}

fn refuse(kind: &EventType, raw: &str, refused: Refused) -> Problem {
    let found = format!("found {} {}", kind_of(raw), shown(raw));
    match refused {
        Refused::WrongType => Problem::new(reason::WRONG_TYPE, format!("{found}, wanted {}", wanted(kind))),
        Refused::OutOfRange => {
            Problem::new(reason::OUT_OF_RANGE, format!("{found}, which a {kind} cannot hold without loss"))
        }
    }
}

fn full() -> Problem {
    Problem::new(reason::OUT_OF_RANGE, "the column holds 2 GiB in this batch already")
}

/// What a type takes, in words.
fn wanted(kind: &EventType) -> String {
    match kind {
        EventType::String => "a string".into(),
        EventType::Int | EventType::Long => format!("an integer ({kind})"),
        EventType::Float | EventType::Double => format!("a number ({kind})"),
        EventType::Boolean => "true or false".into(),
        EventType::TimestampMillis => "an integer, the milliseconds since 1970".into(),
        EventType::TimestampMicros => "an integer, the microseconds since 1970".into(),
        EventType::TimestampRfc3339 => "a string with an RFC 3339 time, such as \"2026-11-24T00:30:00Z\"".into(),
        EventType::LocalTimestamp => "a string with a time without a zone, such as \"2026-11-24T00:30:00\"".into(),
        EventType::Date => "a string with a day, such as \"2026-11-24\"".into(),
        EventType::Binary => "a string in base64 (standard alphabet, padded)".into(),
        EventType::Decimal(..) => format!("a number, or one in a string ({kind})"),
        EventType::List(_) => format!("a list ({kind})"),
        EventType::Struct(_) | EventType::Map(_) => format!("an object ({kind})"),
    }
}

/// What kind of value a text begins with.
fn kind_of(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "the string",
        Some(b'{') => "the object",
        Some(b'[') => "the list",
        Some(b't' | b'f') => "the boolean",
        Some(b'n') => "null",
        _ => "the number",
    }
}

/// The text, cut short.
fn shown(raw: &str) -> String {
    if raw.len() <= SHOWN_BYTES {
        return raw.to_owned();
    }
    format!("{}...", &raw[..raw.floor_char_boundary(SHOWN_BYTES)])
}

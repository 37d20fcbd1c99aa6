//! The simulator's events in Avro, Protobuf and JSON Schema, as a schema registry's serializers frame them.
//!
//! The model writes JSON, and that stays the only place where an event is made: here its fields are read back and written
//! otherwise. An event that does not fit its schema, because a fault was asked for, goes out as it is behind a frame, so that it
//! is as malformed in each format. Pure: schemas are registered by somebody else.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::options::Topic;
use crate::error::{Error, Result};

/// What messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    /// Framed Avro records.
    Avro,
    /// Framed Protobuf messages.
    Protobuf,
    /// Framed JSON objects.
    JsonSchema,
}

impl EventFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Avro, Self::Protobuf, Self::JsonSchema];

    /// As pipeline files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::JsonSchema => "json-schema",
        }
    }

    /// The schema of a topic's events, to be registered.
    pub fn schema(self, topic: Topic) -> String {
        match self {
            Self::Avro => avro_schema(topic),
            Self::Protobuf => proto(topic),
            Self::JsonSchema => json_schema(topic),
        }
    }
}

/// How events are framed: in which format, and the id of each topic's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// What messages are.
    pub format: EventFormat,
    /// `ids[topic as usize]`.
    pub ids: [u32; 4],
}

impl Framing {
    /// Appends the message that is made of an event in JSON.
    pub fn encode(&self, topic: Topic, event: &[u8], out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.ids[topic as usize].to_be_bytes());
        if self.format == EventFormat::Protobuf {
            // The first type of the file.
            out.push(0);
        }
        let start = out.len();
        let object: Option<Map<String, Value>> = serde_json::from_slice(event).ok();
        let written = object.and_then(|object| match self.format {
            EventFormat::Avro => avro(fields(topic), &object, out),
            EventFormat::Protobuf => protobuf(fields(topic), &object, out),
            EventFormat::JsonSchema => None,
        });
        if written.is_none() {
            out.truncate(start);
            if self.format == EventFormat::Protobuf {
                // Nothing at all would be a message. None begins with this.
                out.push(NO_FIELD);
            }
            out.extend_from_slice(event);
        }
    }
}

/// A field 0 of a wire type that there is not.
const NO_FIELD: u8 = 7;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Long,
    Double,
    Boolean,
}

/// A field: its name, its kind, and whether it may be null or missing.
type Field = (&'static str, Kind, bool);

const SONG: [Field; 3] = [("artist", Kind::Text, true), ("song", Kind::Text, true), ("duration", Kind::Double, true)];
const VISITOR: [Field; 11] = [
    ("city", Kind::Text, true),
    ("zip", Kind::Text, true),
    ("state", Kind::Text, true),
    ("userAgent", Kind::Text, true),
    ("lon", Kind::Double, true),
    ("lat", Kind::Double, true),
    ("userId", Kind::Int, true),
    ("lastName", Kind::Text, true),
    ("firstName", Kind::Text, true),
    ("gender", Kind::Text, true),
    ("registration", Kind::Long, true),
];
const WHEN: [Field; 2] = [("ts", Kind::Long, false), ("sessionId", Kind::Int, false)];
const AUTH: Field = ("auth", Kind::Text, false);
const LEVEL: [Field; 2] = [("level", Kind::Text, false), ("itemInSession", Kind::Int, false)];

fn fields(topic: Topic) -> Vec<Field> {
    let parts: &[&[Field]] = match topic {
        Topic::ListenEvents => &[&SONG, &WHEN, &[AUTH], &LEVEL, &VISITOR],
        Topic::PageViewEvents => &[
            &WHEN,
            &[("page", Kind::Text, false), AUTH, ("method", Kind::Text, false), ("status", Kind::Int, false)],
            &LEVEL,
            &VISITOR,
            &SONG,
        ],
        Topic::AuthEvents => &[&WHEN, &LEVEL, &VISITOR, &[("success", Kind::Boolean, false)]],
        Topic::StatusChangeEvents => &[&WHEN, &[AUTH], &LEVEL, &VISITOR],
    };
    parts.concat()
}

/// `ListenEvents` of `listen_events`.
fn type_name(topic: Topic) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    topic.name().split('_').map(word).collect()
}

fn avro_schema(topic: Topic) -> String {
    let field = |(name, kind, is_optional): Field| {
        let kind = match kind {
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Double => "double",
            Kind::Boolean => "boolean",
        };
        match is_optional {
            true => json!({ "name": name, "type": ["null", kind], "default": null }),
            false => json!({ "name": name, "type": kind }),
        }
    };
    let fields: Vec<Value> = fields(topic).into_iter().map(field).collect();
    json!({ "type": "record", "name": type_name(topic), "namespace": "wasmill.eventsim", "fields": fields }).to_string()
}

fn proto(topic: Topic) -> String {
    let mut text = format!("syntax = \"proto3\";\npackage wasmill.eventsim;\n\nmessage {} {{\n", type_name(topic));
    for (index, (name, kind, is_optional)) in fields(topic).into_iter().enumerate() {
        let optional = if is_optional { "optional " } else { "" };
        let kind = match kind {
            Kind::Text => "string",
            Kind::Int => "int32",
            Kind::Long => "int64",
            Kind::Double => "double",
            Kind::Boolean => "bool",
        };
        // Writing into a string fails never.
        let _ = writeln!(text, "  {optional}{kind} {name} = {};", index + 1);
    }
    text + "}\n"
}

fn json_schema(topic: Topic) -> String {
    let all = fields(topic);
    let property = |(name, kind, is_optional): &Field| {
        let kind = match kind {
            Kind::Text => "string",
            Kind::Int | Kind::Long => "integer",
            Kind::Double => "number",
            Kind::Boolean => "boolean",
        };
        let kind = if *is_optional { json!([kind, "null"]) } else { json!(kind) };
        ((*name).to_owned(), json!({ "type": kind }))
    };
    let required: Vec<&str> = all.iter().filter(|(_, _, is_optional)| !is_optional).map(|(name, ..)| *name).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": type_name(topic),
        "type": "object",
        "properties": all.iter().map(property).collect::<Map<_, _>>(),
        "required": required,
    })
    .to_string()
}

/// The value of a field; `Some(None)`: there is none, and need be none.
fn value<'o>(object: &'o Map<String, Value>, (name, _, is_optional): &Field) -> Option<Option<&'o Value>> {
    match object.get(*name) {
        None | Some(Value::Null) => is_optional.then_some(None),
        value => Some(value),
    }
}

/// `None`: the event does not fit.
fn avro(fields: Vec<Field>, object: &Map<String, Value>, out: &mut Vec<u8>) -> Option<()> {
    for field in fields {
        let found = value(object, &field)?;
        if field.2 {
            // The branch of the union: null is the first.
            out.push(if found.is_some() { 2 } else { 0 });
        }
        let Some(value) = found else { continue };
        match field.1 {
            Kind::Text => {
                let text = value.as_str()?.as_bytes();
                varint(zigzag(i64::try_from(text.len()).ok()?), out);
                out.extend_from_slice(text);
            }
            Kind::Int => varint(zigzag(i64::from(i32::try_from(value.as_i64()?).ok()?)), out),
            Kind::Long => varint(zigzag(value.as_i64()?), out),
            Kind::Double => out.extend_from_slice(&value.as_f64()?.to_le_bytes()),
            Kind::Boolean => out.push(value.as_bool()?.into()),
        }
    }
    Some(())
}

/// `None`: the event does not fit.
fn protobuf(fields: Vec<Field>, object: &Map<String, Value>, out: &mut Vec<u8>) -> Option<()> {
    for (number, field) in (1_u64..).zip(fields) {
        let Some(value) = value(object, &field)? else { continue };
        match field.1 {
            Kind::Text => {
                let text = value.as_str()?.as_bytes();
                varint(number << 3 | 2, out);
                varint(text.len() as u64, out);
                out.extend_from_slice(text);
            }
            Kind::Int => {
                varint(number << 3, out);
                varint(i64::from(i32::try_from(value.as_i64()?).ok()?) as u64, out);
            }
            Kind::Long => {
                varint(number << 3, out);
                varint(value.as_i64()? as u64, out);
            }
            Kind::Double => {
                varint(number << 3 | 1, out);
                out.extend_from_slice(&value.as_f64()?.to_le_bytes());
            }
            Kind::Boolean => {
                varint(number << 3, out);
                out.push(value.as_bool()?.into());
            }
        }
    }
    Some(())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl std::str::FromStr for EventFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            Error::config(format!("there is no format {name:?}")).hint("write one of avro, protobuf, json-schema")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventsim::{Simulator, SimulatorOptions};

    #[test]
    fn every_field_that_a_topic_has_is_in_its_schema() {
        let options = SimulatorOptions { topics: Topic::ALL.to_vec(), users: 500, ..SimulatorOptions::default() };
        let mut simulator = Simulator::new(options).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let mut event = Vec::new();
            let topic = simulator.next_event(&mut event).unwrap().topic;
            let object: Map<String, Value> = serde_json::from_slice(&event).unwrap();
            let names: Vec<&str> = fields(topic).iter().map(|(name, ..)| *name).collect();
            assert!(object.keys().all(|name| names.contains(&name.as_str())), "{topic:?} {object:?}");
            let mut out = Vec::new();
            assert!(avro(fields(topic), &object, &mut out).is_some(), "{topic:?} {object:?}");
            assert!(protobuf(fields(topic), &object, &mut out).is_some(), "{topic:?} {object:?}");
            seen.insert(topic);
        }
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn what_does_not_fit_goes_out_as_it_is() {
        for (format, head) in [(EventFormat::Avro, 5), (EventFormat::Protobuf, 7), (EventFormat::JsonSchema, 5)] {
            let framing = Framing { format, ids: [1, 2, 3, 0x0102_0304] };
            for event in [&b"{\"ts\": \"x\"}"[..], b"{", b"[1]"] {
                let mut out = Vec::new();
                framing.encode(Topic::StatusChangeEvents, event, &mut out);
                assert_eq!(out[..5], [0, 1, 2, 3, 4]);
                assert_eq!(&out[head..], event);
            }
        }
    }
}

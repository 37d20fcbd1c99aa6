//! A module tried on sample events: the code behind `wasmill transform test`.
//!
//! The events (JSON lines) take the production path: the same decoder, engine, limits and checks as in a pipeline. What
//! became of each line is a value that can be printed, written down and compared.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chain::{ChainInstance, TransformChain};
use super::engine::TransformEngine;
use crate::config::TransformConfig;
use crate::decode::json::JsonDecoder;
use crate::decode::schema::{EventField, EventSchema, EventType};
use crate::error::{Error, Result};
use crate::source::{OwnedMessages, SourceBatch, TopicPartition};

/// Rows of one batch, as pipelines have by default.
const BATCH_ROWS: usize = 1024;

/// What became of each event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// One per line that is not blank, in order.
    pub lines: Vec<TrialLine>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialLine {
    /// The event's line in the input, counted from 1.
    pub line: usize,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: TrialOutcome,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// It goes on.
    Kept {
        /// The columns that the transform wrote.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        wrote: Map<String, Value>,
    },
    /// It goes on as several rows.
    Repeated {
        /// For each row, the columns that the transform wrote.
        rows: Vec<Map<String, Value>>,
    },
    /// It was dropped.
    Filtered,
    /// It was rejected by the transform, or the transform failed on it.
    Rejected {
        /// The reason's code.
        reason: String,
        /// What was found.
        detail: String,
    },
    /// It is not an event of the schema; the transform never saw it.
    Undecodable {
        /// The built-in reason.
        reason: String,
        /// What was found and what was wanted.
        detail: String,
    },
}

/// A line that is not as expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The event's line in the input, counted from 1; 0 when the expected line names none.
    pub line: usize,
    /// What was expected; absent when nothing was.
    pub expected: Option<String>,
    /// What came out; absent when nothing did.
    pub found: Option<String>,
}

/// Tries `config`'s module on `events`, one JSON object a line. Without a schema, one is made of the events: boolean,
/// long, double, string and lists of them, each nullable.
///
/// Errors are of kind `Config` when the module does not link, `Guest` when it fails and its policy is `Stop`.
pub fn try_module(
    engine: &TransformEngine,
    config: &TransformConfig,
    schema: Option<&EventSchema>,
    events: &str,
) -> Result<Trial> {
    let lines: Vec<(usize, &str)> = (1..).zip(events.lines()).filter(|(_, text)| !text.trim().is_empty()).collect();
    let derived;
    let schema = match schema {
        Some(schema) => schema,
        None => {
            derived = schema_of(lines.iter().map(|(_, text)| *text))?;
            &derived
        }
    };
    let chain = TransformChain::link(engine, std::slice::from_ref(config), schema.arrow.clone())?;
    let mut instance = chain.instantiate()?;
    let mut decoder = JsonDecoder::new(schema);
    let mut trial = Trial { lines: Vec::with_capacity(lines.len()) };
    for batch in lines.chunks(BATCH_ROWS) {
        trial.lines.extend(try_batch(&chain, &mut instance, &mut decoder, batch)?);
    }
    Ok(trial)
}

fn try_batch(
    chain: &TransformChain,
    instance: &mut ChainInstance,
    decoder: &mut JsonDecoder,
    lines: &[(usize, &str)],
) -> Result<Vec<TrialLine>> {
    let mut messages = OwnedMessages::default();
    for (line, text) in lines {
        messages.push_with(*line as i64, None, |bytes| bytes.extend_from_slice(text.as_bytes()));
    }
    let next = lines.last().map_or(0, |(line, _)| *line as i64 + 1);
    let source = SourceBatch { topic_partition: TopicPartition::new("trial", 0), messages: Box::new(messages), next };
    let decoded = decoder.decode(&source);
    let output = instance.process(&decoded, &source)?;
    let mut outcomes: BTreeMap<u32, TrialOutcome> =
        (0..lines.len() as u32).map(|message| (message, TrialOutcome::Filtered)).collect();
    for undecodable in decoded.undecodable {
        let (reason, detail) = (undecodable.reason.to_owned(), undecodable.detail);
        outcomes.insert(undecodable.message, TrialOutcome::Undecodable { reason, detail });
    }
    for rejected in output.rejected {
        outcomes.insert(rejected.message, TrialOutcome::Rejected { reason: rejected.reason, detail: rejected.detail });
    }
    let written = written(chain, &output.rows);
    for (row, message) in output.messages.iter().enumerate() {
        let wrote: Map<_, _> = written.iter().map(|(name, column)| ((*name).to_owned(), value(*column, row))).collect();
        let before = outcomes.remove(message);
        outcomes.insert(
            *message,
            match before {
                Some(TrialOutcome::Kept { wrote: first }) => TrialOutcome::Repeated { rows: vec![first, wrote] },
                Some(TrialOutcome::Repeated { mut rows }) => {
                    rows.push(wrote);
                    TrialOutcome::Repeated { rows }
                }
                _ => TrialOutcome::Kept { wrote },
            },
        );
    }
    Ok(lines
        .iter()
        .zip(outcomes.into_values())
        .map(|((line, _), outcome)| TrialLine { line: *line, outcome })
        .collect())
}

/// The columns that the transforms wrote, by name.
fn written<'a>(chain: &'a TransformChain, rows: &'a RecordBatch) -> Vec<(&'a str, &'a dyn Array)> {
    let names = chain.transforms().iter().flat_map(|transform| &transform.descriptor.writes);
    names.filter_map(|field| Some((field.name.as_str(), &**rows.column_by_name(&field.name)?))).collect()
}

impl Trial {
    /// One JSON object a line: the form of an expected file.
    pub fn to_json_lines(&self) -> String {
        let line = |line: &TrialLine| serde_json::to_string(line).map(|text| text + "\n").unwrap_or_default();
        self.lines.iter().map(line).collect()
    }

    /// What differs from `expected`, in the form of [`Trial::to_json_lines`]; the order of keys and white space do not
    /// count. Empty: all is as expected.
    pub fn compare(&self, expected: &str) -> Vec<Difference> {
        let found = self.to_json_lines();
        let mut found = found.lines();
        let mut expected = expected.lines().filter(|line| !line.trim().is_empty());
        let mut differences = Vec::new();
        loop {
            let (expected, found) = match (expected.next(), found.next()) {
                (None, None) => return differences,
                (Some(expected), Some(found)) if same_json(expected, found) => continue,
                pair => pair,
            };
            let number = |text: &str| serde_json::from_str::<Value>(text).ok()?.get("line")?.as_u64();
            let line = found.or(expected).and_then(number).unwrap_or(0) as usize;
            differences.push(Difference {
                line,
                expected: expected.map(str::to_owned),
                found: found.map(str::to_owned),
            });
        }
    }
}

/// Equal as JSON; what is no JSON is equal to nothing. Numbers are equal when their values are: 1 and 1.0.
fn same_json(a: &str, b: &str) -> bool {
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
            }
            _ => a == b,
        }
    }
    match (serde_json::from_str(a), serde_json::from_str(b)) {
        (Ok(a), Ok(b)) => same(&a, &b),
        _ => false,
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut kept, mut filtered, mut rejected, mut undecodable) = (0, 0, 0, 0);
        for TrialLine { line, outcome } in &self.lines {
            write!(f, "{line:>5}  ")?;
            match outcome {
                TrialOutcome::Kept { wrote } if wrote.is_empty() => writeln!(f, "kept")?,
                TrialOutcome::Kept { wrote } => writeln!(f, "kept         {}", Value::Object(wrote.clone()))?,
                TrialOutcome::Repeated { rows } => {
                    writeln!(f, "{} rows", rows.len())?;
                    rows.iter()
                        .try_for_each(|row| writeln!(f, "       +            {}", Value::Object(row.clone())))?;
                }
                TrialOutcome::Filtered => writeln!(f, "filtered")?,
                TrialOutcome::Rejected { reason, detail } => writeln!(f, "rejected     {reason}: {detail}")?,
                TrialOutcome::Undecodable { reason, detail } => writeln!(f, "undecodable  {reason}: {detail}")?,
            }
            match outcome {
                TrialOutcome::Kept { .. } | TrialOutcome::Repeated { .. } => kept += 1,
                TrialOutcome::Filtered => filtered += 1,
                TrialOutcome::Rejected { .. } => rejected += 1,
                TrialOutcome::Undecodable { .. } => undecodable += 1,
            }
        }
        writeln!(f, "{kept} kept, {filtered} filtered, {rejected} rejected, {undecodable} undecodable")
    }
}

/// One value as JSON: timestamps as RFC 3339 text, binary as base64, decimals as text.
fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => STANDARD.encode(array.as_binary::<i32>().value(row)).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.into(), |time| time.to_string().into())
        }
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| value(&items, item)).collect()
        }
        other => format!("({other})").into(),
    }
}

/// JSON has no infinity and no "not a number".
fn float(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}

/// The schema that the events suggest. Objects are no columns and are left out; the first value decides, and a later one
/// that does not fit shows as undecodable.
fn schema_of<'a>(events: impl Iterator<Item = &'a str>) -> Result<EventSchema> {
    let mut fields: Vec<(String, Option<EventType>)> = Vec::new();
    for event in events {
        // What is no object shows as undecodable later.
        let Ok(event) = serde_json::from_str::<Map<String, Value>>(event) else { continue };
        for (name, found) in event {
            if found.is_object() {
                continue;
            }
            let kind = kind_of(&found);
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = wider(known.take(), kind),
                None => fields.push((name, kind)),
            }
        }
    }
    let field = |(name, kind): (String, Option<EventType>)| EventField {
        name,
        kind: kind.unwrap_or(EventType::String),
        required: false,
    };
    EventSchema::new(fields.into_iter().map(field).collect()).map_err(|problem| {
        Error::config(format!("no schema can be made of the events: {problem}")).hint("give one with --schema")
    })
}

/// `None`: null, which says nothing.
fn kind_of(value: &Value) -> Option<EventType> {
    Some(match value {
        Value::Null | Value::Object(_) => return None,
        Value::Bool(_) => EventType::Boolean,
        Value::Number(number) if number.is_i64() => EventType::Long,
        Value::Number(_) => EventType::Double,
        Value::String(_) => EventType::String,
        Value::Array(items) => {
            let item = items.iter().map(kind_of).fold(None, wider);
            EventType::List(Box::new(item.unwrap_or(EventType::String)))
        }
    })
}

fn wider(known: Option<EventType>, other: Option<EventType>) -> Option<EventType> {
    match (known, other) {
        (Some(EventType::Long), Some(EventType::Double)) => Some(EventType::Double),
        (known, other) => known.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_suggest_their_schema() {
        let events = [r#"{"a": 1, "b": true, "c": null, "l": [1]}"#, "no json", r#"{"a": 1.5, "c": "x", "o": {}}"#];
        let schema = schema_of(events.into_iter()).unwrap();
        let fields: Vec<_> = schema.fields.iter().map(|field| format!("{} {}", field.name, field.kind)).collect();
        assert_eq!(fields, ["a double", "b boolean", "c string", "l list<long>"]);
        assert!(schema_of(["[]"].into_iter()).is_err());
    }

    #[test]
    fn expected_lines_are_compared_as_json() {
        let wrote: Map<_, _> = [("n".to_owned(), Value::from(1.0))].into_iter().collect();
        let lines = vec![
            TrialLine { line: 1, outcome: TrialOutcome::Kept { wrote } },
            TrialLine { line: 3, outcome: TrialOutcome::Filtered },
        ];
        let trial = Trial { lines };
        assert_eq!(trial.compare(&trial.to_json_lines()), []);
        let expected =
            "{\"outcome\": \"kept\", \"wrote\": {\"n\": 1}, \"line\": 1}\n\n{\"line\":3,\"outcome\":\"kept\"}\nx";
        let differences = trial.compare(expected);
        assert_eq!(differences.iter().map(|difference| difference.line).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(differences[1].found, None);
    }
}

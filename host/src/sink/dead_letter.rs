//! Dead letters: rows and messages that could not go on, each with its reason.
//!
//! They are rows of a second table, whose columns are [`schema`]; `docs/dead-letters.md` tells operators what they mean.
//! This module knows nothing of why a letter was written: reasons are codes and texts to it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, LargeBinaryArray, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::hive_path::DEFAULT_PARTITION;
use crate::error::{Error, Result};
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

impl Stage {
    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Table => "table",
        }
    }
}

impl DeadLetter {
    /// Bytes of what is of no fixed length in it.
    pub(super) fn held_bytes(&self) -> usize {
        let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + part(value)).sum();
        part(&self.key) + part(&self.payload) + headers + self.message.len()
    }

    /// The hive partition: `day=YYYY-MM-DD` by the time at which it was set aside, in UTC.
    pub fn hive_partition(&self) -> String {
        match jiff::Timestamp::from_millisecond(self.recorded_at_ms) {
            Ok(time) => format!("day={}", jiff::tz::Offset::UTC.to_datetime(time).date()),
            Err(_) => format!("day={DEFAULT_PARTITION}"),
        }
    }
}

/// The columns of the dead-letter table. Payloads have 64-bit offsets in memory, so that no batch is too large; in Parquet
/// they are plain binary columns.
pub fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("topic_partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", time(), true),
        Field::new("key", DataType::LargeBinary, true),
        Field::new("payload", DataType::LargeBinary, true),
        Field::new("headers", DataType::List(header_field()), false),
        Field::new("stage", DataType::Utf8, false),
        Field::new("transform", DataType::Utf8, true),
        Field::new("version", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
        Field::new("deployment", DataType::Int64, false),
        Field::new("recorded_at", time(), false),
    ]))
}

fn header_field() -> FieldRef {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::LargeBinary, true)];
    Arc::new(Field::new("element", DataType::Struct(fields.into()), false))
}

/// Dead letters as rows of [`schema`].
pub fn to_batch(letters: &[DeadLetter]) -> Result<RecordBatch> {
    let failed = |error| Error::fatal("cannot write dead letters").because(error);
    let micros = |ms: i64| ms.saturating_mul(1_000);
    let text = |of: &dyn Fn(&DeadLetter) -> &str| -> ArrayRef {
        Arc::new(letters.iter().map(|letter| Some(of(letter).to_owned())).collect::<StringArray>())
    };
    let transform = |of: &dyn Fn(&(String, String)) -> String| -> ArrayRef {
        Arc::new(letters.iter().map(|letter| letter.transform.as_ref().map(of)).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|letter| &letter.topic),
        Arc::new(Int32Array::from_iter_values(letters.iter().map(|letter| letter.topic_partition))),
        Arc::new(Int64Array::from_iter_values(letters.iter().map(|letter| letter.offset))),
        Arc::new(times(letters.iter().map(|letter| letter.timestamp_ms.map(micros)))),
        Arc::new(letters.iter().map(|letter| letter.key.as_deref()).collect::<LargeBinaryArray>()),
        Arc::new(letters.iter().map(|letter| letter.payload.as_deref()).collect::<LargeBinaryArray>()),
        Arc::new(headers(letters).map_err(failed)?),
        text(&|letter| letter.stage.name()),
        transform(&|(name, _)| name.clone()),
        transform(&|(_, version)| version.clone()),
        text(&|letter| &letter.reason),
        text(&|letter| &letter.message),
        Arc::new(Int64Array::from_iter_values(letters.iter().map(|letter| letter.deployment))),
        Arc::new(times(letters.iter().map(|letter| Some(micros(letter.recorded_at_ms))))),
    ];
    RecordBatch::try_new(schema(), columns).map_err(failed)
}

fn times(values: impl Iterator<Item = Option<i64>>) -> TimestampMicrosecondArray {
    values.collect::<TimestampMicrosecondArray>().with_timezone("UTC")
}

fn headers(letters: &[DeadLetter]) -> std::result::Result<ListArray, ArrowError> {
    let all = || letters.iter().flat_map(|letter| &letter.headers);
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(all().map(|(key, _)| key)));
    let values: ArrayRef = Arc::new(all().map(|(_, value)| value.as_deref()).collect::<LargeBinaryArray>());
    let item = header_field();
    let DataType::Struct(fields) = item.data_type() else {
        return Err(ArrowError::SchemaError("headers are a list of structs".into()));
    };
    let items = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let offsets = OffsetBuffer::from_lengths(letters.iter().map(|letter| letter.headers.len()));
    ListArray::try_new(item, offsets, Arc::new(items), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;

    fn letter(offset: i64) -> DeadLetter {
        DeadLetter {
            topic: "listen_events".into(),
            topic_partition: 3,
            offset,
            timestamp_ms: Some(5),
            key: None,
            payload: Some(b"\xff{".to_vec()),
            headers: vec![("trace".into(), Some(vec![1, 2])), ("empty".into(), None)],
            stage: Stage::Decode,
            transform: None,
            reason: "not-json".into(),
            message: "the payload is not JSON".into(),
            deployment: 1,
            recorded_at_ms: 1_795_480_200_000,
        }
    }

    #[test]
    fn a_letter_is_a_row() {
        let other = DeadLetter {
            timestamp_ms: None,
            payload: None,
            headers: vec![],
            stage: Stage::Transform,
            transform: Some(("enrich-geo".into(), "1.2.0".into())),
            ..letter(9)
        };
        let batch = to_batch(&[letter(7), other]).unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let text = |name: &str, row| column(name).as_string::<i32>().value(row).to_owned();
        assert_eq!((text("stage", 0), text("stage", 1)), ("decode".into(), "transform".into()));
        assert_eq!((text("transform", 1), text("version", 1)), ("enrich-geo".into(), "1.2.0".into()));
        assert!(column("transform").is_null(0) && column("timestamp").is_null(1) && column("payload").is_null(1));
        assert_eq!(column("payload").as_binary::<i64>().value(0), b"\xff{");
        assert_eq!(column("timestamp").as_primitive::<TimestampMicrosecondType>().value(0), 5_000);
        let headers = column("headers").as_list::<i32>();
        assert_eq!((headers.value_length(0), headers.value_length(1)), (2, 0));
        assert_eq!(headers.value(0).as_struct().column(0).as_string::<i32>().value(0), "trace");
    }

    #[test]
    fn the_day_is_that_of_the_record() {
        assert_eq!(letter(0).hive_partition(), "day=2026-11-24");
        assert_eq!(
            DeadLetter { recorded_at_ms: i64::MAX, ..letter(0) }.hive_partition(),
            "day=__HIVE_DEFAULT_PARTITION__"
        );
    }

    #[test]
    fn the_columns_are_those_of_the_docs() {
        let docs = include_str!("../../docs/dead-letters.md");
        let table = docs.split("| column |").nth(1).unwrap().split("\n\n").next().unwrap();
        let listed: Vec<&str> =
            table.lines().skip(2).filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
        let schema = schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(listed, columns);
    }

    #[test]
    fn a_batch_becomes_a_part_file() {
        let options =
            super::super::part_file::PartFileOptions::new(schema(), crate::config::Compression::Zstd, 1 << 20).unwrap();
        let mut file = super::super::part_file::PartFile::new(&options);
        file.write(&to_batch(&[letter(1), letter(2)]).unwrap()).unwrap();
        assert_eq!(file.finish(&[]).unwrap().rows, 2);
    }
}

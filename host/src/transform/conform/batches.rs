//! The batches that a module is tried on: rows of any schema, made by the rules of `rules.toml`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use serde::Deserialize;

use crate::decode::Decoded;
use crate::error::{Error, Result};
use crate::source::{Message, OwnedMessages, SourceBatch, TopicPartition};

/// 2024-01-01 in microseconds.
const NEW_YEAR_US: i64 = 1_704_067_200_000_000;

/// A batch as the rules describe it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BatchRule {
    pub(super) name: String,
    pub(super) rows: usize,
    nulls: Nulls,
    values: Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Nulls {
    None,
    Some,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Values {
    Plain,
    Extreme,
    Long,
}

impl BatchRule {
    /// The batch, with the columns of `schema`.
    ///
    /// # Errors
    /// Of kind `Config`: a column has a type that no event has.
    pub(super) fn rows_of(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = schema.fields().iter().enumerate().map(|(index, field)| self.column(index, field));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns)
            .map_err(|error| Error::fatal(format!("cannot make the batch {:?}", self.name)).because(error))
    }

    fn is_null(&self, field: &Field, row: usize) -> bool {
        field.is_nullable()
            && match self.nulls {
                Nulls::None => false,
                Nulls::Some => row % 3 == 1,
                Nulls::All => true,
            }
    }

    fn column(&self, index: usize, field: &Field) -> Result<ArrayRef> {
        let rows = 0..self.rows;
        let one = |row: usize| (!self.is_null(field, row)).then_some(row + index);
        Ok(match field.data_type() {
            DataType::Boolean => Arc::new(BooleanArray::from_iter(rows.map(|row| one(row).map(|n| n % 2 == 0)))),
            DataType::Int32 => {
                Arc::new(Int32Array::from_iter(rows.map(|row| one(row).map(|n| self.integer(n) as i32))))
            }
            DataType::Date32 => {
                Arc::new(Date32Array::from_iter(rows.map(|row| one(row).map(|n| self.integer(n) as i32 % 36_525))))
            }
            DataType::Int64 => Arc::new(Int64Array::from_iter(rows.map(|row| one(row).map(|n| self.integer(n))))),
            DataType::Float32 => {
                Arc::new(Float32Array::from_iter(rows.map(|row| one(row).map(|n| self.double(n) as f32))))
            }
            DataType::Float64 => Arc::new(Float64Array::from_iter(rows.map(|row| one(row).map(|n| self.double(n))))),
            DataType::Utf8 => Arc::new(StringArray::from_iter(rows.map(|row| one(row).map(|n| self.text(n))))),
            DataType::Binary => Arc::new(BinaryArray::from_iter(rows.map(|row| one(row).map(|n| self.text(n))))),
            DataType::Timestamp(_, zone) => {
                let times = rows.map(|row| one(row).map(|n| self.time(n)));
                Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone_opt(zone.clone()))
            }
            DataType::Decimal128(precision, scale) => {
                let most = 10_i128.pow(u32::from(*precision)) - 1;
                let values = rows.map(|row| one(row).map(|n| i128::from(self.integer(n)).clamp(-most, most)));
                let values = Decimal128Array::from_iter(values).with_precision_and_scale(*precision, *scale);
                Arc::new(values.map_err(|error| Error::fatal("cannot make decimals").because(error))?)
            }
            DataType::List(item) => Arc::new(self.lists(index, field, item)?),
            DataType::Struct(fields) => Arc::new(self.structs(index, field, fields)?),
            DataType::Map(entries, _) => Arc::new(self.maps(index, field, entries)?),
            other => {
                return Err(Error::config(format!(
                    "column {:?} has the type {other}, which no event has",
                    field.name()
                )));
            }
        })
    }

    /// Lists of 0, 1, 2, 0, ... items.
    fn lists(&self, index: usize, field: &Field, item: &Arc<Field>) -> Result<ListArray> {
        let (offsets, values) = self.items(index, field, item)?;
        ListArray::try_new(Arc::clone(item), offsets, values, self.nulls(field))
            .map_err(|error| Error::fatal("cannot make lists").because(error))
    }

    /// Maps of 0, 1, 2, 0, ... entries.
    fn maps(&self, index: usize, field: &Field, entries: &Arc<Field>) -> Result<MapArray> {
        let (offsets, values) = self.items(index, field, entries)?;
        MapArray::try_new(Arc::clone(entries), offsets, values.as_struct().clone(), self.nulls(field), false)
            .map_err(|error| Error::fatal("cannot make maps").because(error))
    }

    fn structs(&self, index: usize, field: &Field, fields: &Fields) -> Result<StructArray> {
        let arrays = fields.iter().map(|field| self.column(index, field)).collect::<Result<Vec<_>>>()?;
        StructArray::try_new_with_length(fields.clone(), arrays, self.nulls(field), self.rows)
            .map_err(|error| Error::fatal("cannot make structs").because(error))
    }

    /// 0, 1, 2, 0, ... items for each row: where they end, and the items.
    fn items(&self, index: usize, field: &Field, item: &Arc<Field>) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
        let length = |row: usize| if self.is_null(field, row) { 0 } else { row % 3 };
        let items = Self { rows: (0..self.rows).map(length).sum(), ..self.clone() };
        let values = if items.rows == 0 { new_empty_array(item.data_type()) } else { items.column(index, item)? };
        Ok((OffsetBuffer::from_lengths((0..self.rows).map(length)), values))
    }

    fn nulls(&self, field: &Field) -> Option<NullBuffer> {
        field.is_nullable().then(|| NullBuffer::from_iter((0..self.rows).map(|row| !self.is_null(field, row))))
    }

    /// Cut to 32 bits where the column has no more.
    fn integer(&self, n: usize) -> i64 {
        match self.values {
            Values::Extreme => [0, -1, i64::MAX, i64::MIN, i64::from(i32::MAX), i64::from(i32::MIN)][n % 6],
            _ => n as i64 % 1_000,
        }
    }

    fn double(&self, n: usize) -> f64 {
        match self.values {
            Values::Extreme => {
                let largest = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324];
                [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, largest[0], largest[1], largest[2], largest[3]]
                    [n % 8]
            }
            _ => n as f64 / 4.0,
        }
    }

    fn text(&self, n: usize) -> String {
        match self.values {
            Values::Plain => ["Logged In", "Prague", "a text", "x"][n % 4].to_owned(),
            Values::Extreme => ["", "\0", "žluťoučký kůň", "👩‍👩‍👧", "a\tb\nc", "\u{10ffff}"][n % 6].to_owned(),
            Values::Long => "long ".repeat((64 << 10) / 5),
        }
    }

    /// Of what Parquet's readers take: the years 1 to 9999.
    fn time(&self, n: usize) -> i64 {
        match self.values {
            Values::Extreme => [0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999][n % 4],
            _ => NEW_YEAR_US + n as i64 * 60_000_000,
        }
    }
}

/// Rows as they come from a decoder, and the messages that they came from.
pub(super) fn as_decoded(rows: RecordBatch) -> (Decoded, SourceBatch) {
    let count = rows.num_rows();
    let mut messages = OwnedMessages::default();
    for row in 0..count as i64 {
        let key = (row % 2 == 0).then_some(b"key".as_slice());
        messages.push(Message {
            offset: row,
            timestamp_ms: Some(NEW_YEAR_US / 1_000 + row),
            key,
            payload: Some(b"{}"),
        });
    }
    let source = SourceBatch {
        topic_partition: TopicPartition::new("conform", 0),
        messages: Box::new(messages),
        next: count as i64,
    };
    (Decoded { rows, messages: (0..count as u32).collect(), undecodable: Vec::new() }, source)
}

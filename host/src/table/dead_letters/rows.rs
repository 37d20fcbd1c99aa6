//! The columns of dead letters, whatever exact types a writer (or a job that rewrote them) gave them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::super::part::PartError;
use super::Coordinates;
use crate::source::Header;

/// One batch of dead letters.
pub(super) struct Rows<'a>(pub(super) &'a RecordBatch);

impl Rows<'_> {
    pub(super) fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// A column, cast to `kind`.
    pub(super) fn column(&self, name: &str, kind: &DataType) -> Result<ArrayRef, PartError> {
        Ok(column(self.0, name, kind).map_err(ParquetError::from)?)
    }

    pub(super) fn text(&self, name: &str) -> Result<Texts, PartError> {
        self.column(name, &DataType::Utf8).map(Texts)
    }

    pub(super) fn numbers(&self, name: &str) -> Result<Numbers, PartError> {
        self.column(name, &DataType::Int64).map(Numbers)
    }

    /// Microseconds since 1970.
    pub(super) fn times(&self, name: &str) -> Result<Times, PartError> {
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        self.column(name, &kind).map(Times)
    }
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    let Some(column) = batch.column_by_name(name) else {
        return Err(ArrowError::SchemaError(format!("it holds no dead letters: column {name:?} is missing")));
    };
    if column.data_type() == kind { Ok(Arc::clone(column)) } else { cast(column, kind) }
}

/// A column of text.
pub(super) struct Texts(ArrayRef);

impl Texts {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        self.0.is_valid(row).then(|| self.0.as_string::<i32>().value(row))
    }

    pub(super) fn owned(&self, row: usize) -> Option<String> {
        self.get(row).map(str::to_owned)
    }
}

/// A column of integers.
pub(super) struct Numbers(ArrayRef);

impl Numbers {
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        self.0.is_valid(row).then(|| self.0.as_primitive::<Int64Type>().value(row))
    }
}

/// A column of times.
pub(super) struct Times(ArrayRef);

impl Times {
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        self.0.is_valid(row).then(|| self.0.as_primitive::<TimestampMicrosecondType>().value(row))
    }
}

/// Names and values of a row's headers; nothing where the column is of another kind.
pub(super) fn headers(column: &ArrayRef, row: usize) -> Vec<Header> {
    let read = || {
        let items = column.as_list_opt::<i32>().filter(|list| list.is_valid(row))?.value(row);
        let pair = items.as_struct_opt()?;
        let keys = cast(pair.column_by_name("key")?, &DataType::Utf8).ok()?;
        let values = cast(pair.column_by_name("value")?, &DataType::LargeBinary).ok()?;
        let key = |i| keys.as_string::<i32>().value(i).to_owned();
        Some((0..items.len()).map(|i| (key(i), bytes(&values, i).map(<[u8]>::to_vec))).collect())
    };
    read().unwrap_or_default()
}

/// The bytes of a row, in a column of [`DataType::LargeBinary`].
pub(super) fn bytes(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    column.is_valid(row).then(|| column.as_binary::<i64>().value(row))
}

/// Columns that say which message a row is of.
pub(super) const COORDINATES: [&str; 3] = ["topic", "topic_partition", "offset"];

/// Which rows are of that message.
pub(super) fn are_of(batch: &RecordBatch, wanted: &Coordinates) -> Result<BooleanArray, ArrowError> {
    let topics = Texts(column(batch, "topic", &DataType::Utf8)?);
    let topic_partitions = Numbers(column(batch, "topic_partition", &DataType::Int64)?);
    let offsets = Numbers(column(batch, "offset", &DataType::Int64)?);
    let is = |row| {
        offsets.get(row) == Some(wanted.offset)
            && topic_partitions.get(row) == Some(i64::from(wanted.topic_partition))
            && topics.get(row) == Some(&wanted.topic)
    };
    Ok((0..batch.num_rows()).map(|row| Some(is(row))).collect())
}

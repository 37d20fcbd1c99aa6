//! One column of a batch while it is filled: typed buffers that become an Arrow array.
//!
//! A value is appended whole or not at all, and [`Column::truncate`] takes rows back, so a failed row leaves nothing behind.
//! Nulls are noted by row number: most columns have none, and pay nothing then.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

use crate::decode::schema::{EventType, MAP_ENTRIES, map_entries};

/// A column being filled.
pub(in crate::decode) struct Column {
    /// What the schema says.
    pub(in crate::decode) kind: EventType,
    /// The values, a default where a row is null.
    pub(in crate::decode) values: Values,
    /// The rows that are null, increasing.
    nulls: Vec<u32>,
}

/// The values of a column.
pub(in crate::decode) enum Values {
    /// `string` and `binary`.
    Bytes(Bytes),
    /// `int` and `date`.
    Int(Vec<i32>),
    /// `long` and all timestamps.
    Long(Vec<i64>),
    /// `float`
    Float(Vec<f32>),
    /// `double`
    Double(Vec<f64>),
    /// `boolean`
    Boolean(Vec<bool>),
    /// `decimal(p,s)`, unscaled.
    Decimal(Vec<i128>),
    /// `list<...>`
    List {
        /// One more than rows, starting at 0.
        offsets: Vec<i32>,
        /// All items of all rows.
        items: Box<Column>,
    },
    /// `struct<...>`
    Struct {
        /// Rows so far. The fields may be ahead of it while a row is appended, never behind.
        rows: usize,
        /// One for each field; where the row is null, so are they.
        fields: Vec<Column>,
    },
    /// `map<string,...>`
    Map {
        /// One more than rows, starting at 0.
        offsets: Vec<i32>,
        /// All keys of all rows: text, never null.
        keys: Box<Column>,
        /// All values of all rows.
        values: Box<Column>,
    },
}

/// Values of variable length, one behind the other.
pub(in crate::decode) struct Bytes {
    /// The end of each row's value; its start is the end before it, or 0.
    pub(in crate::decode) ends: Vec<i32>,
    /// The values.
    pub(in crate::decode) data: Vec<u8>,
}

impl Bytes {
    /// Ends a value whose bytes have been appended. `false`: the column is full (2 GiB), and nothing was ended.
    #[inline]
    pub(in crate::decode) fn end(&mut self) -> bool {
        match i32::try_from(self.data.len()) {
            Ok(end) => {
                self.ends.push(end);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes rows back, and what was appended since the last end.
    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.data.truncate(self.ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0)));
    }

    fn take_offsets(&mut self) -> OffsetBuffer<i32> {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.ends);
        self.ends.clear();
        OffsetBuffer::new(offsets.into())
    }
}

impl Column {
    /// An empty column.
    pub(in crate::decode) fn new(kind: &EventType) -> Self {
        let values = match kind {
            EventType::String | EventType::Binary => Values::Bytes(Bytes { ends: Vec::new(), data: Vec::new() }),
            EventType::Int | EventType::Date => Values::Int(Vec::new()),
            EventType::Long
            | EventType::TimestampMillis
            | EventType::TimestampMicros
            | EventType::TimestampRfc3339
            | EventType::LocalTimestamp => Values::Long(Vec::new()),
            EventType::Float => Values::Float(Vec::new()),
            EventType::Double => Values::Double(Vec::new()),
            EventType::Boolean => Values::Boolean(Vec::new()),
            EventType::Decimal(..) => Values::Decimal(Vec::new()),
            EventType::List(item) => Values::List { offsets: vec![0], items: Box::new(Self::new(item)) },
            EventType::Struct(fields) => {
                Values::Struct { rows: 0, fields: fields.iter().map(|field| Self::new(&field.kind)).collect() }
            }
            EventType::Map(value) => Values::Map {
                offsets: vec![0],
                keys: Box::new(Self::new(&EventType::String)),
                values: Box::new(Self::new(value)),
            },
        };
        Self { kind: kind.clone(), values, nulls: Vec::new() }
    }

    /// Rows so far.
    #[inline]
    pub(in crate::decode) fn len(&self) -> usize {
        match &self.values {
            Values::Bytes(bytes) => bytes.ends.len(),
            Values::Int(values) => values.len(),
            Values::Long(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Double(values) => values.len(),
            Values::Boolean(values) => values.len(),
            Values::Decimal(values) => values.len(),
            Values::List { offsets, .. } | Values::Map { offsets, .. } => offsets.len() - 1,
            Values::Struct { rows, .. } => *rows,
        }
    }

    /// Takes rows back until `rows` are left, and whatever was appended of a row that was not ended.
    pub(in crate::decode) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bytes(bytes) => bytes.truncate(rows),
            Values::Int(values) => values.truncate(rows),
            Values::Long(values) => values.truncate(rows),
            Values::Float(values) => values.truncate(rows),
            Values::Double(values) => values.truncate(rows),
            Values::Boolean(values) => values.truncate(rows),
            Values::Decimal(values) => values.truncate(rows),
            Values::List { offsets, items } => {
                offsets.truncate(rows + 1);
                items.truncate(last(offsets));
            }
            Values::Struct { rows: ours, fields } => {
                *ours = rows.min(*ours);
                fields.iter_mut().for_each(|field| field.truncate(rows));
            }
            Values::Map { offsets, keys, values } => {
                offsets.truncate(rows + 1);
                keys.truncate(last(offsets));
                values.truncate(last(offsets));
            }
        }
        while self.nulls.last().is_some_and(|row| usize::try_from(*row).is_ok_and(|row| row >= rows)) {
            self.nulls.pop();
        }
    }

    /// Appends a null.
    pub(in crate::decode) fn push_null(&mut self) {
        self.nulls.push(u32::try_from(self.len()).unwrap_or(u32::MAX));
        match &mut self.values {
            Values::Bytes(bytes) => bytes.ends.push(bytes.ends.last().copied().unwrap_or(0)),
            Values::Int(values) => values.push(0),
            Values::Long(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Boolean(values) => values.push(false),
            Values::Decimal(values) => values.push(0),
            Values::List { offsets, .. } | Values::Map { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0));
            }
            Values::Struct { rows, fields } => {
                *rows += 1;
                fields.iter_mut().for_each(Self::push_null);
            }
        }
    }

    /// Whether this row is null.
    pub(in crate::decode) fn last_is_null(&self) -> bool {
        self.nulls.last().is_some_and(|row| usize::try_from(*row).is_ok_and(|row| row + 1 == self.len()))
    }

    /// The rows as an Arrow array; the column is empty afterwards, with room for as much again. Fails where a string is not
    /// UTF-8.
    pub(in crate::decode) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.len();
        let nulls = self.take_nulls(rows);
        Ok(match &mut self.values {
            Values::Bytes(bytes) => {
                let offsets = bytes.take_offsets();
                let room = bytes.data.len() + bytes.data.len() / 8;
                let data = Buffer::from_vec(mem::replace(&mut bytes.data, Vec::with_capacity(room)));
                match self.kind {
                    EventType::Binary => Arc::new(BinaryArray::try_new(offsets, data, nulls)?),
                    _ => Arc::new(StringArray::try_new(offsets, data, nulls)?),
                }
            }
            Values::Int(values) => match self.kind {
                EventType::Date => Arc::new(Date32Array::try_new(refill(values).into(), nulls)?),
                _ => Arc::new(Int32Array::try_new(refill(values).into(), nulls)?),
            },
            Values::Long(values) => match self.kind {
                EventType::Long => Arc::new(Int64Array::try_new(refill(values).into(), nulls)?),
                EventType::LocalTimestamp => {
                    Arc::new(TimestampMicrosecondArray::try_new(refill(values).into(), nulls)?)
                }
                _ => Arc::new(TimestampMicrosecondArray::try_new(refill(values).into(), nulls)?.with_timezone("UTC")),
            },
            Values::Float(values) => Arc::new(Float32Array::try_new(refill(values).into(), nulls)?),
            Values::Double(values) => Arc::new(Float64Array::try_new(refill(values).into(), nulls)?),
            Values::Boolean(values) => {
                let bits = BooleanBuffer::from(values.as_slice());
                values.clear();
                Arc::new(BooleanArray::new(bits, nulls))
            }
            Values::Decimal(values) => {
                let array = Decimal128Array::try_new(refill(values).into(), nulls)?;
                match self.kind {
                    EventType::Decimal(precision, scale) => Arc::new(array.with_precision_and_scale(precision, scale)?),
                    _ => Arc::new(array),
                }
            }
            Values::List { offsets, items } => {
                let offsets = OffsetBuffer::new(mem::replace(offsets, vec![0]).into());
                let field: FieldRef = Arc::new(Field::new("element", items.kind.arrow(), true));
                Arc::new(ListArray::try_new(field, offsets, items.finish()?, nulls)?)
            }
            Values::Struct { rows: ours, fields } => {
                *ours = 0;
                let arrays = fields.iter_mut().map(Self::finish).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(struct_fields(&self.kind), arrays, nulls, rows)?)
            }
            Values::Map { offsets, keys, values } => {
                let offsets = OffsetBuffer::new(mem::replace(offsets, vec![0]).into());
                let entries = map_entries(&values.kind);
                let arrays = vec![keys.finish()?, values.finish()?];
                let entries_array = StructArray::try_new(entries.clone(), arrays, None)?;
                let field = Arc::new(Field::new(MAP_ENTRIES, DataType::Struct(entries), false));
                Arc::new(MapArray::try_new(field, offsets, entries_array, nulls, false)?)
            }
        })
    }

    fn take_nulls(&mut self, rows: usize) -> Option<NullBuffer> {
        if self.nulls.is_empty() {
            return None;
        }
        let mut valid = vec![true; rows];
        for row in self.nulls.drain(..) {
            if let Some(valid) = usize::try_from(row).ok().and_then(|row| valid.get_mut(row)) {
                *valid = false;
            }
        }
        Some(NullBuffer::new(BooleanBuffer::from(valid)))
    }
}

/// The last of a list's offsets.
fn last(offsets: &[i32]) -> usize {
    offsets.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0))
}

/// The fields of a struct's Arrow type.
fn struct_fields(kind: &EventType) -> Fields {
    match kind.arrow() {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    }
}

/// Takes the values, and leaves room for as many.
fn refill<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    mem::replace(values, Vec::with_capacity(room))
}

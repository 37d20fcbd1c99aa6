//! What a guest hands back to Arrow arrays, checked.
//!
//! Errors are texts that finish the sentence "column `x`: ..."; they go into dead letters.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};

use super::super::bindings::types::{ColumnResult, DictionaryResult, ValuesResult, VarBytesResult};
use super::{checked_bits, nested};

/// The column as an array of exactly `data_type` with exactly `rows` values. `left` is what, in bytes, the dictionaries of
/// all columns together may still grow by when they are decoded.
pub(crate) fn array(
    data_type: &DataType,
    column: ColumnResult,
    rows: usize,
    left: &mut usize,
) -> Result<ArrayRef, String> {
    let nulls = match column.validity {
        Some(bitmap) => {
            let nulls = NullBuffer::new(checked_bits(bitmap, rows).map_err(|error| format!("validity: {error}"))?);
            (nulls.null_count() > 0).then_some(nulls)
        }
        None => None,
    };
    match (data_type, column.values) {
        (DataType::Boolean, ValuesResult::Bits(bitmap)) => {
            Ok(Arc::new(BooleanArray::new(checked_bits(bitmap, rows)?, nulls)))
        }
        (DataType::Int32, ValuesResult::Int32(values)) => {
            Ok(Arc::new(Int32Array::new(exactly(values, rows)?.into(), nulls)))
        }
        (DataType::Date32, ValuesResult::Int32(values)) => {
            Ok(Arc::new(Date32Array::new(exactly(values, rows)?.into(), nulls)))
        }
        (DataType::Int64, ValuesResult::Int64(values)) => {
            Ok(Arc::new(Int64Array::new(exactly(values, rows)?.into(), nulls)))
        }
        (DataType::Float32, ValuesResult::Float32(values)) => {
            Ok(Arc::new(Float32Array::new(exactly(values, rows)?.into(), nulls)))
        }
        (DataType::Float64, ValuesResult::Float64(values)) => {
            Ok(Arc::new(Float64Array::new(exactly(values, rows)?.into(), nulls)))
        }
        (DataType::Timestamp(TimeUnit::Microsecond, zone), ValuesResult::Int64(values)) => {
            let array = TimestampMicrosecondArray::new(exactly(values, rows)?.into(), nulls);
            Ok(Arc::new(array.with_timezone_opt(zone.clone())))
        }
        (DataType::Utf8 | DataType::Binary, ValuesResult::Bytes(values)) => bytes(data_type, values, rows, nulls),
        (DataType::Utf8 | DataType::Binary, ValuesResult::Dict(dictionary)) => {
            bytes(data_type, decoded(dictionary, rows, nulls.as_ref(), left)?, rows, nulls)
        }
        (DataType::Decimal128(precision, scale), ValuesResult::Fixed((width, values))) => {
            decimals(*precision, *scale, width, &values, rows, nulls)
        }
        (DataType::List(_), ValuesResult::Ipc(stream)) => nested::from_ipc(data_type, stream, rows),
        (_, values) => Err(format!("{data_type} cannot be given as {}", layout(&values))),
    }
}

/// Whether a column that may hold no null holds one in a row that stays. `stays[i]`: row i does.
pub(crate) fn first_null(array: &dyn Array, stays: impl Fn(usize) -> bool) -> Option<usize> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    nulls.iter().enumerate().find_map(|(row, valid)| (!valid && stays(row)).then_some(row))
}

/// Text of a guest, one for each of `rows` rows: what rejected rows are explained with.
pub(crate) fn texts(values: VarBytesResult, rows: usize) -> Result<StringArray, String> {
    let (offsets, bytes) = checked_offsets(values, rows)?;
    StringArray::try_new(offsets, bytes, None).map_err(|error| error.to_string())
}

fn exactly<T>(values: Vec<T>, rows: usize) -> Result<Vec<T>, String> {
    if values.len() == rows { Ok(values) } else { Err(format!("{} values for {rows} rows", values.len())) }
}

fn bytes(
    data_type: &DataType,
    values: VarBytesResult,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let (offsets, bytes) = checked_offsets(values, rows)?;
    match data_type {
        DataType::Utf8 => StringArray::try_new(offsets, bytes, nulls).map(|array| Arc::new(array) as ArrayRef),
        _ => BinaryArray::try_new(offsets, bytes, nulls).map(|array| Arc::new(array) as ArrayRef),
    }
    .map_err(|error| error.to_string())
}

/// Offsets that start at 0, never decrease and stay inside the bytes; bytes past the last offset are left out.
fn checked_offsets(values: VarBytesResult, rows: usize) -> Result<(OffsetBuffer<i32>, Buffer), String> {
    let VarBytesResult { offsets, bytes } = values;
    if offsets.len() != rows + 1 {
        return Err(format!("{} offsets for {rows} rows, which need {}", offsets.len(), rows + 1));
    }
    if offsets[0] != 0 {
        return Err(format!("the first offset is {}, not 0", offsets[0]));
    }
    if let Some(row) = offsets.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(format!("the offset after row {row} decreases from {} to {}", offsets[row], offsets[row + 1]));
    }
    let last = offsets[rows] as usize;
    if last > bytes.len() {
        return Err(format!("the last offset is {last}, past its {} bytes", bytes.len()));
    }
    let bytes = Buffer::from_vec(bytes).slice_with_length(0, last);
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes))
}

/// The plain values of a dictionary. The table's columns have one layout for all batches, so a dictionary is decoded.
fn decoded(
    dictionary: DictionaryResult,
    rows: usize,
    nulls: Option<&NullBuffer>,
    left: &mut usize,
) -> Result<VarBytesResult, String> {
    let keys = exactly(dictionary.keys, rows)?;
    let entries = dictionary.entries.offsets.len().saturating_sub(1);
    let (starts, bytes) =
        checked_offsets(dictionary.entries, entries).map_err(|error| format!("dictionary entries: {error}"))?;
    let is_null = |row| nulls.is_some_and(|nulls| nulls.is_null(row));
    // A key of a null row means nothing and may be anything.
    let bad = |(row, key): (usize, &u32)| (*key as usize >= entries && !is_null(row)).then_some((row, *key));
    if let Some((row, key)) = keys.iter().enumerate().find_map(bad) {
        return Err(format!("row {row} has dictionary key {key}, and there are {entries} entries"));
    }
    let entry = |row: usize| match keys[row] as usize {
        key if key < entries && !is_null(row) => starts[key] as usize..starts[key + 1] as usize,
        _ => 0..0,
    };
    let total: usize = (0..rows).map(|row| entry(row).len()).sum();
    *left = match left.checked_sub(total) {
        Some(rest) if total <= i32::MAX as usize => rest,
        _ => return Err(format!("a dictionary that grows to {total} bytes; at most {left} are allowed")),
    };
    let mut plain = VarBytesResult { offsets: Vec::with_capacity(rows + 1), bytes: Vec::with_capacity(total) };
    plain.offsets.push(0);
    for row in 0..rows {
        plain.bytes.extend_from_slice(&bytes[entry(row)]);
        plain.offsets.push(plain.bytes.len() as i32);
    }
    Ok(plain)
}

fn decimals(
    precision: u8,
    scale: i8,
    width: u32,
    bytes: &[u8],
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let (values, rest) = bytes.as_chunks::<16>();
    if width != 16 || !rest.is_empty() || values.len() != rows {
        return Err(format!("{} bytes of width {width} for {rows} rows of width 16", bytes.len()));
    }
    let values: ScalarBuffer<i128> = values.iter().map(|value| i128::from_le_bytes(*value)).collect();
    let array = Decimal128Array::try_new(values, nulls)
        .and_then(|array| array.with_precision_and_scale(precision, scale))
        .and_then(|array| array.validate_decimal_precision(precision).map(|()| array));
    array.map(|array| Arc::new(array) as ArrayRef).map_err(|error| error.to_string())
}

fn layout(values: &ValuesResult) -> &'static str {
    match values {
        ValuesResult::Bits(_) => "bits",
        ValuesResult::Int32(_) => "int32",
        ValuesResult::Int64(_) => "int64",
        ValuesResult::Float32(_) => "float32",
        ValuesResult::Float64(_) => "float64",
        ValuesResult::Bytes(_) => "bytes",
        ValuesResult::Dict(_) => "dict",
        ValuesResult::Fixed(_) => "fixed",
        ValuesResult::Ipc(_) => "ipc",
    }
}

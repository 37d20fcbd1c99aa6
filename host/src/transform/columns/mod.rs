//! Columns across the boundary: Arrow arrays to the contract's layout, and back.
//!
//! Going in ([`input`]), an array's buffers are handed over as they are wherever the contract allows it. Coming back
//! ([`output`], [`selection`]), everything is checked before it becomes an Arrow array: lengths, offsets, bitmaps,
//! UTF-8, dictionary keys, row numbers, and that the layout is the one that the field's format promised. Only Arrow's
//! checking constructors are used, and never one that panics on what was not checked before.
//!
//! This module knows nothing of wasmtime, instances or chains.

pub(crate) mod input;
pub(crate) mod nested;
pub(crate) mod output;
pub(crate) mod selection;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};

/// How deep lists may nest in a format.
const MAX_NESTING: usize = 8;

/// The contract's format of a type. `None`: columns of this type cannot cross.
pub(crate) fn format_of(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "b".to_owned(),
        DataType::Int32 => "i".to_owned(),
        DataType::Int64 => "l".to_owned(),
        DataType::Float32 => "f".to_owned(),
        DataType::Float64 => "g".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "u".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "z".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if is_utc(zone) => "tsu:UTC".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "tsu:".to_owned(),
        DataType::Date32 => "tdD".to_owned(),
        DataType::Decimal128(precision, scale) => format!("d:{precision},{scale}"),
        DataType::Dictionary(_, values) => format_of(values)?,
        DataType::List(item) => format!("+l<{}>", format_of(item.data_type())?),
        // As lists, these two are named with what is in them. Guests read them, and write none: see `type_of`.
        DataType::Struct(fields) => {
            let format = |field: &Arc<Field>| Some(format!("{}:{}", field.name(), format_of(field.data_type())?));
            format!("+s<{}>", fields.iter().map(format).collect::<Option<Vec<_>>>()?.join(","))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = entries.data_type() else { return None };
            format!("+m<{}>", entry.iter().map(|f| format_of(f.data_type())).collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => return None,
    })
}

/// The type behind a format. `None`: no such format, or not one that a column of the stream may have.
pub(crate) fn type_of(format: &str) -> Option<DataType> {
    nested_type_of(format, 0)
}

fn nested_type_of(format: &str, depth: usize) -> Option<DataType> {
    Some(match format {
        "b" => DataType::Boolean,
        "i" => DataType::Int32,
        "l" => DataType::Int64,
        "f" => DataType::Float32,
        "g" => DataType::Float64,
        "u" => DataType::Utf8,
        "z" => DataType::Binary,
        "tsu:UTC" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "tsu:" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "tdD" => DataType::Date32,
        _ => {
            if let Some(decimal) = format.strip_prefix("d:") {
                return decimal_of(decimal);
            }
            let item = format.strip_prefix("+l<")?.strip_suffix('>')?;
            if depth == MAX_NESTING {
                return None;
            }
            DataType::List(Arc::new(Field::new_list_field(nested_type_of(item, depth + 1)?, true)))
        }
    })
}

fn decimal_of(text: &str) -> Option<DataType> {
    let (precision, scale) = text.split_once(',')?;
    let (precision, scale) = (precision.parse::<u8>().ok()?, scale.parse::<i8>().ok()?);
    let valid = (1..=DECIMAL128_MAX_PRECISION).contains(&precision) && (0..=precision as i8).contains(&scale);
    valid.then_some(DataType::Decimal128(precision, scale))
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "Z")
}

/// The bits as the contract wants them: from bit 0 on, exactly `ceil(len / 8)` bytes, and zeros past the end. Copied
/// only when they are not like that already.
fn exact_bits(bits: &BooleanBuffer) -> Buffer {
    let bytes = bits.len().div_ceil(8);
    let aligned = if bits.offset().is_multiple_of(8) {
        bits.inner().slice_with_length(bits.offset() / 8, bytes)
    } else {
        bits.sliced().slice_with_length(0, bytes)
    };
    if has_zero_tail(&aligned, bits.len()) {
        return aligned;
    }
    let mut copy = aligned.as_slice().to_vec();
    if let Some(last) = copy.last_mut() {
        *last &= (1_u8 << (bits.len() % 8)) - 1;
    }
    Buffer::from_vec(copy)
}

/// Whether the bits past `len` in a bitmap of exactly `ceil(len / 8)` bytes are zero.
fn has_zero_tail(bitmap: &[u8], len: usize) -> bool {
    len.is_multiple_of(8) || bitmap.last().is_none_or(|last| last >> (len % 8) == 0)
}

/// A guest's bitmap for `rows` rows, or what is wrong with it.
fn checked_bits(bitmap: Vec<u8>, rows: usize) -> Result<BooleanBuffer, String> {
    let wanted = rows.div_ceil(8);
    if bitmap.len() != wanted {
        return Err(format!("a bitmap of {} bytes for {rows} rows, which need {wanted}", bitmap.len()));
    }
    if !has_zero_tail(&bitmap, rows) {
        return Err(format!("a bitmap with bits set past its {rows} rows"));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bitmap), 0, rows))
}

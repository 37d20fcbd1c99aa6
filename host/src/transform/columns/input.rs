//! Arrow arrays to what a guest sees.
//!
//! An [`InputColumn`] holds (by reference count) the buffers of an array in exactly the contract's layout: offsets start
//! at 0, bitmaps at bit 0. What already is like that is not copied. The parameters of the call then borrow from it.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

use super::super::bindings::types::{ColumnParam, ValuesParam, VarBytesParam};
use super::{exact_bits, nested};
use crate::error::{Error, Result};

/// One column, ready to be passed.
pub(crate) struct InputColumn {
    values: Values,
    validity: Option<Buffer>,
}

enum Values {
    Bits(Buffer),
    Int32(ScalarBuffer<i32>),
    Int64(ScalarBuffer<i64>),
    Float32(ScalarBuffer<f32>),
    Float64(ScalarBuffer<f64>),
    Bytes { offsets: ScalarBuffer<i32>, bytes: Buffer },
    Fixed { width: u32, bytes: Buffer },
    Ipc(Vec<u8>),
}

impl InputColumn {
    /// Prepares `array`, whose type has a format (see [`super::format_of`]).
    pub(crate) fn new(array: &ArrayRef) -> Result<Self> {
        let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| exact_bits(nulls.inner()));
        let values = match array.data_type() {
            DataType::Boolean => Values::Bits(exact_bits(array.as_boolean().values())),
            DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values().clone()),
            DataType::Date32 => Values::Int32(array.as_primitive::<Date32Type>().values().clone()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values().clone()),
            DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values().clone()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Values::Int64(array.as_primitive::<TimestampMicrosecondType>().values().clone())
            }
            DataType::Utf8 => var_bytes(array.as_string::<i32>().offsets(), array.as_string::<i32>().values()),
            DataType::Binary => var_bytes(array.as_binary::<i32>().offsets(), array.as_binary::<i32>().values()),
            DataType::Decimal128(..) => {
                let bytes = array.as_primitive::<Decimal128Type>().values().inner().clone();
                Values::Fixed { width: 16, bytes }
            }
            DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => {
                return Ok(Self { values: Values::Ipc(nested::to_ipc(array)?), validity: None });
            }
            other => return Self::new(&plain(array, other)?),
        };
        Ok(Self { values, validity })
    }

    /// The column as the call's parameter.
    pub(crate) fn as_param(&self) -> ColumnParam<'_> {
        let values = match &self.values {
            Values::Bits(bits) => ValuesParam::Bits(bits),
            Values::Int32(values) => ValuesParam::Int32(values),
            Values::Int64(values) => ValuesParam::Int64(values),
            Values::Float32(values) => ValuesParam::Float32(values),
            Values::Float64(values) => ValuesParam::Float64(values),
            Values::Bytes { offsets, bytes } => ValuesParam::Bytes(VarBytesParam { offsets, bytes }),
            Values::Fixed { width, bytes } => ValuesParam::Fixed((*width, bytes)),
            Values::Ipc(stream) => ValuesParam::Ipc(stream),
        };
        ColumnParam { values, validity: self.validity.as_deref() }
    }
}

/// Offsets from 0 and just the bytes between the first and the last: a slice of an array has neither.
fn var_bytes(offsets: &OffsetBuffer<i32>, bytes: &Buffer) -> Values {
    // Never negative and never decreasing: an `OffsetBuffer` is checked when it is made.
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let bytes = bytes.slice_with_length(first as usize, (last - first) as usize);
    let offsets = match first {
        0 => offsets.inner().clone(),
        _ => offsets.iter().map(|offset| offset - first).collect(),
    };
    Values::Bytes { offsets, bytes }
}

/// Dictionaries, large and view layouts as the plain layout that guests see.
fn plain(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let wanted = match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => (**values).clone(),
        other => return Err(Error::fatal(format!("a column of type {other} cannot be passed to a transform"))),
    };
    cast(array, &wanted).map_err(|error| {
        Error::fatal(format!("a column of type {data_type} could not be made {wanted}")).because(error)
    })
}

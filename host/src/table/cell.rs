//! One value of a column, as JSON.
//!
//! Times are RFC 3339 in UTC, decimals and integers beyond 2^63 keep every digit, bytes are base64.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type};
use arrow::util::display::array_value_to_string;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// The value of `row`. A type that JSON has nothing for becomes text.
pub(crate) fn cell(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            as_type(array, row, &DataType::Int64, |array| array.as_primitive::<Int64Type>().value(0).into())
        }
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        // By its shortest text: 0.1 as a float is not 0.10000000149011612.
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).to_string()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row).to_string()),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Binary => BASE64_STANDARD.encode(array.as_binary::<i32>().value(row)).into(),
        DataType::LargeBinary => BASE64_STANDARD.encode(array.as_binary::<i64>().value(row)).into(),
        DataType::FixedSizeBinary(_) => BASE64_STANDARD.encode(array.as_fixed_size_binary().value(row)).into(),
        DataType::Timestamp(..) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            as_type(array, row, &micros, |array| time(array.as_primitive::<TimestampMicrosecondType>().value(0)).into())
        }
        DataType::List(_) => items(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => items(&array.as_list::<i64>().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), cell(column, row))).collect()
        }
        _ => array_value_to_string(array, row).map_or(Value::Null, Value::from),
    }
}

fn items(items: &ArrayRef) -> Value {
    (0..items.len()).map(|i| cell(items, i)).collect()
}

fn as_type(array: &dyn Array, row: usize, wanted: &DataType, read: impl Fn(&ArrayRef) -> Value) -> Value {
    match cast(&array.slice(row, 1), wanted) {
        Ok(one) if one.is_valid(0) => read(&one),
        _ => array_value_to_string(array, row).map_or(Value::Null, Value::from),
    }
}

/// JSON has no NaN and no infinity: they are text.
fn float(text: String) -> Value {
    let number = text.parse().ok().and_then(serde_json::Number::from_f64);
    number.map_or(Value::String(text), Value::Number)
}

/// Microseconds since 1970 as RFC 3339, with as many digits as it takes.
pub(super) fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| format!("{us} us"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Decimal128Array, Float32Array, Float64Array, Int8Array, ListArray, StructArray,
        TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Int32Type};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_has_its_json() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        let field = Arc::new(Field::new("a", DataType::UInt64, true));
        let structure = StructArray::from(vec![(field, Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef)]);
        let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(9, 2).unwrap();
        let cases: Vec<(ArrayRef, Value)> = vec![
            (Arc::new(Int8Array::from(vec![-3])), json!(-3)),
            (Arc::new(Int8Array::from(vec![None])), json!(null)),
            (Arc::new(Float32Array::from(vec![0.1])), json!(0.1)),
            (Arc::new(Float64Array::from(vec![1e300])), json!(1e300)),
            (Arc::new(Float64Array::from(vec![f64::NAN])), json!("NaN")),
            (Arc::new(BinaryArray::from(vec![b"\xff\x00".as_slice()])), json!("/wA=")),
            (
                Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC")),
                json!("1970-01-01T00:00:01.5Z"),
            ),
            (Arc::new(TimestampMillisecondArray::from(vec![0])), json!("1970-01-01T00:00:00Z")),
            (Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX])), json!(format!("{} us", i64::MAX))),
            (Arc::new(list), json!([1, null])),
            (Arc::new(structure), json!({ "a": u64::MAX })),
            (Arc::new(decimal), json!("-123.45")),
        ];
        for (array, wanted) in cases {
            assert_eq!(cell(&array, 0), wanted, "{:?}", array.data_type());
        }
    }
}

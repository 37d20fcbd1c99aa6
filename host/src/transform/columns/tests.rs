//! Any array survives the boundary, and nothing that comes back can make the host panic.

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use std::sync::Arc;

use super::super::bindings::types::{
    ColumnParam, ColumnResult, DictionaryResult, Rejects, Selection, ValuesParam, ValuesResult, VarBytesParam,
    VarBytesResult,
};
use super::input::InputColumn;
use super::*;

const LIMIT: usize = 1 << 20;

/// What a guest would hand back that hands back what it got.
fn echo(column: &ColumnParam<'_>) -> ColumnResult {
    let var_bytes =
        |values: &VarBytesParam<'_>| VarBytesResult { offsets: values.offsets.to_vec(), bytes: values.bytes.to_vec() };
    let values = match &column.values {
        ValuesParam::Bits(bits) => ValuesResult::Bits(bits.to_vec()),
        ValuesParam::Int32(values) => ValuesResult::Int32(values.to_vec()),
        ValuesParam::Int64(values) => ValuesResult::Int64(values.to_vec()),
        ValuesParam::Float32(values) => ValuesResult::Float32(values.to_vec()),
        ValuesParam::Float64(values) => ValuesResult::Float64(values.to_vec()),
        ValuesParam::Bytes(values) => ValuesResult::Bytes(var_bytes(values)),
        ValuesParam::Dict(values) => {
            ValuesResult::Dict(DictionaryResult { keys: values.keys.to_vec(), entries: var_bytes(&values.entries) })
        }
        ValuesParam::Fixed((width, bytes)) => ValuesResult::Fixed((*width, bytes.to_vec())),
        ValuesParam::Ipc(stream) => ValuesResult::Ipc(stream.to_vec()),
    };
    ColumnResult { values, validity: column.validity.map(<[u8]>::to_vec) }
}

/// An array of each type that can cross.
fn arrays() -> impl Strategy<Value = ArrayRef> {
    fn array<A: Array + FromIterator<Option<T>> + 'static, T>(values: Vec<Option<T>>) -> ArrayRef {
        Arc::new(A::from_iter(values))
    }
    let rows = 0..70_usize;
    prop_oneof![
        vec(of(any::<bool>()), rows.clone()).prop_map(array::<BooleanArray, _>),
        vec(of(any::<i32>()), rows.clone()).prop_map(array::<Int32Array, _>),
        vec(of(any::<i64>()), rows.clone()).prop_map(array::<Int64Array, _>),
        vec(of(any::<f32>()), rows.clone()).prop_map(array::<Float32Array, _>),
        vec(of(any::<f64>()), rows.clone()).prop_map(array::<Float64Array, _>),
        vec(of(any::<String>()), rows.clone()).prop_map(array::<StringArray, _>),
        vec(of(vec(any::<u8>(), 0..9)), rows.clone()).prop_map(array::<BinaryArray, _>),
        vec(of(any::<i64>()), rows.clone())
            .prop_map(|values| { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef }),
        vec(of(-999_999_i128..1_000_000), rows.clone()).prop_map(|values| {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(6, 2).unwrap()) as ArrayRef
        }),
        vec(of("[a-c]"), rows.clone()).prop_map(|values| {
            Arc::new(DictionaryArray::<Int32Type>::from_iter(values.iter().map(Option::as_deref))) as ArrayRef
        }),
        vec(of(vec(of(any::<i64>()), 0..4)), rows).prop_map(|values| Arc::new(ListArray::from_iter_primitive::<
            Int64Type,
            _,
            _,
        >(values)) as ArrayRef),
    ]
}

proptest! {
    #[test]
    fn any_slice_of_any_array_comes_back_as_it_went(array in arrays(), from in 0..70_usize, len in 0..70_usize) {
        let from = from.min(array.len());
        let slice = array.slice(from, len.min(array.len() - from));
        let format = format_of(slice.data_type()).unwrap();
        let wanted = type_of(&format).unwrap();
        let input = InputColumn::new(&slice).unwrap();
        let back = output::array(&wanted, echo(&input.as_param()), slice.len(), &mut LIMIT.clone()).unwrap();
        let plain = arrow::compute::cast(&slice, &wanted).unwrap();
        prop_assert_eq!(back.as_ref(), plain.as_ref());
    }

    #[test]
    fn what_crosses_is_exactly_what_the_contract_says(array in arrays(), from in 0..70_usize) {
        let slice = array.slice(from.min(array.len()), array.len() - from.min(array.len()));
        let input = InputColumn::new(&slice).unwrap();
        let column = input.as_param();
        let rows = slice.len();
        let exact = |bitmap: &[u8]| bitmap.len() == rows.div_ceil(8) && has_zero_tail(bitmap, rows);
        prop_assert!(column.validity.is_none_or(exact));
        match column.values {
            ValuesParam::Bits(bits) => prop_assert!(exact(bits)),
            ValuesParam::Bytes(VarBytesParam { offsets, bytes }) => {
                prop_assert_eq!((offsets.len(), offsets[0]), (rows + 1, 0));
                prop_assert_eq!(offsets[rows] as usize, bytes.len());
            }
            _ => {}
        }
    }
}

/// Lists of about the right size, with anything in them.
pub(crate) fn values() -> impl Strategy<Value = ValuesResult> {
    let var_bytes = || {
        let offsets = prop_oneof![
            vec(any::<i32>(), 0..12),
            vec(0..9_i32, 0..12).prop_map(|mut offsets| {
                offsets.sort_unstable();
                offsets
            })
        ];
        (offsets, vec(any::<u8>(), 0..9)).prop_map(|(offsets, bytes)| VarBytesResult { offsets, bytes })
    };
    prop_oneof![
        vec(any::<u8>(), 0..3).prop_map(ValuesResult::Bits),
        vec(any::<i32>(), 0..12).prop_map(ValuesResult::Int32),
        vec(any::<i64>(), 0..12).prop_map(ValuesResult::Int64),
        vec(any::<f32>(), 0..12).prop_map(ValuesResult::Float32),
        vec(any::<f64>(), 0..12).prop_map(ValuesResult::Float64),
        var_bytes().prop_map(ValuesResult::Bytes),
        (vec(0..12_u32, 0..12), var_bytes())
            .prop_map(|(keys, entries)| ValuesResult::Dict(DictionaryResult { keys, entries })),
        (any::<u32>(), vec(any::<u8>(), 0..64)).prop_map(ValuesResult::Fixed),
        vec(any::<u8>(), 0..64).prop_map(ValuesResult::Ipc),
    ]
}

fn types() -> impl Strategy<Value = DataType> {
    let formats = ["b", "i", "l", "f", "g", "u", "z", "tsu:UTC", "tdD", "d:6,2", "+l<l>", "+l<+l<u>>"];
    prop::sample::select(formats.map(|format| type_of(format).unwrap()).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_comes_back_is_an_array_or_an_error(
        data_type in types(),
        values in values(),
        validity in of(vec(any::<u8>(), 0..3)),
        rows in 0..12_usize,
    ) {
        if let Ok(array) = output::array(&data_type, ColumnResult { values, validity }, rows, &mut LIMIT.clone()) {
            prop_assert_eq!((array.len(), array.data_type()), (rows, &data_type));
            prop_assert!(array.to_data().validate_full().is_ok());
        }
    }

    #[test]
    fn a_changed_stream_is_an_array_or_an_error(
        lists in vec(of(vec(of(any::<i64>()), 0..4)), 1..9),
        changes in vec((any::<u32>(), any::<u8>()), 1..5),
    ) {
        let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let mut stream = nested::to_ipc(&array).unwrap();
        for (at, byte) in changes {
            let at = at as usize % stream.len();
            stream[at] = byte;
        }
        if let Ok(back) = nested::from_ipc(array.data_type(), stream, array.len()) {
            prop_assert!(back.to_data().validate_full().is_ok());
        }
    }

    #[test]
    fn whatever_is_selected_is_in_range_or_an_error(
        numbers in vec(0..12_u32, 0..12),
        bitmap in vec(any::<u8>(), 0..3),
        case in 0..5_u8,
        reasons in vec(0..4_u16, 0..12),
        rows in 0..12_usize,
    ) {
        let selection = match case {
            0 => Selection::All,
            1 => Selection::None,
            2 => Selection::Mask(bitmap),
            3 => Selection::Rows(numbers.clone()),
            _ => Selection::Gather(numbers.clone()),
        };
        match selection::keep(selection, rows, 100) {
            Ok(selection::Keep::Rows(kept)) => {
                prop_assert!(kept.is_sorted_by(|a, b| a < b) && kept.iter().all(|row| (*row as usize) < rows));
            }
            Ok(selection::Keep::Gather(kept)) => {
                prop_assert!(kept.is_sorted() && kept.iter().all(|row| (*row as usize) < rows));
            }
            _ => {}
        }
        let rejects = Rejects { rows: numbers, reason: reasons, detail: None };
        if let Ok((rejected, _)) = selection::rejects(rejects, rows, 2) {
            prop_assert!(rejected.is_sorted_by(|a, b| a.row < b.row));
            prop_assert!(rejected.iter().all(|reject| (reject.row as usize) < rows && reject.reason < 2));
        }
    }
}

#[test]
fn formats_are_a_closed_set() {
    for format in
        ["b", "i", "l", "f", "g", "u", "z", "tsu:UTC", "tsu:", "tdD", "d:38,0", "d:1,1", "+l<u>", "+l<+l<d:5,2>>"]
    {
        assert_eq!(format_of(&type_of(format).unwrap()).as_deref(), Some(format));
    }
    let deep = "+l<".repeat(2000) + "i" + &">".repeat(2000);
    for format in ["", "x", "tsn:UTC", "tsu", "d:39,0", "d:0,0", "d:5,6", "d:5", "d:5,-1", "+l", "+l<>", "+s<u>", &deep]
    {
        assert_eq!(type_of(format), None, "{format}");
    }
}

#[test]
fn dictionaries_cannot_grow_without_bound() {
    let column = |rows: usize| {
        let entries = VarBytesResult { offsets: vec![0, 1000], bytes: vec![b'a'; 1000] };
        let values = ValuesResult::Dict(DictionaryResult { keys: vec![0; rows], entries });
        ColumnResult { values, validity: None }
    };
    let error = output::array(&DataType::Utf8, column(2000), 2000, &mut LIMIT.clone()).unwrap_err();
    assert!(error.contains("grows to 2000000 bytes"), "{error}");
    // Nor all of them together, each of which alone would be small enough.
    let mut left = LIMIT;
    assert!(output::array(&DataType::Utf8, column(600), 600, &mut left).is_ok());
    assert!(output::array(&DataType::Utf8, column(600), 600, &mut left).is_err());
}

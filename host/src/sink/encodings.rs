//! Which encoding each column of a file gets, decided by its first rows.
//!
//! Parquet's default is a dictionary for every column. It costs a look-up for each value and memory for each open file, and pays
//! only where values come again. So of the rows that wait for a file's encoder, a sample is counted:
//!
//! * text that mostly comes again: a dictionary; text that does not: as it is;
//! * whole numbers and times in a narrow range, or in order: their differences, packed in as many bits as they need;
//! * all else: as it is. A dictionary of numbers saves some bytes more, and each open file has a table for it: `encodings` under
//!   `[table]` asks for one (`host/docs/performance.md` has what was measured).
//!
//! Readers of Parquet 2 know all of these (Spark since 3.3, Trino, DuckDB, pyarrow).

use std::collections::HashSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};

use crate::config::ColumnEncoding;

/// Rows that are looked at.
const SAMPLE: usize = 512;

/// Values that are packed together, as in Parquet's format.
const MINIBLOCK: usize = 32;

/// The encoding of one column, whose first rows these are; nulls do not count.
pub(super) fn choose<'a>(column: impl Iterator<Item = &'a dyn Array> + Clone) -> ColumnEncoding {
    let Some(first) = column.clone().next() else { return ColumnEncoding::Plain };
    match first.data_type() {
        DataType::Utf8 => {
            let values = column.flat_map(|array| array.as_string::<i32>().iter().flatten()).take(SAMPLE);
            text(values)
        }
        DataType::Int32 => whole::<Int32Type>(column, 32),
        DataType::Date32 => whole::<Date32Type>(column, 32),
        DataType::Int64 => whole::<Int64Type>(column, 64),
        DataType::Timestamp(..) => whole::<TimestampMicrosecondType>(column, 64),
        _ => ColumnEncoding::Plain,
    }
}

/// Whether values of this type can be encoded so.
pub(super) fn suits(kind: &DataType, encoding: ColumnEncoding) -> bool {
    let is_whole = matches!(kind, DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(..));
    let is_real = matches!(kind, DataType::Float32 | DataType::Float64);
    match encoding {
        ColumnEncoding::Plain => !kind.is_nested(),
        ColumnEncoding::Dictionary => !kind.is_nested() && *kind != DataType::Boolean,
        ColumnEncoding::Delta => is_whole,
        ColumnEncoding::ByteStreamSplit => is_whole || is_real,
    }
}

fn text<'a>(values: impl Iterator<Item = &'a str>) -> ColumnEncoding {
    let (mut count, mut different) = (0_usize, HashSet::new());
    for value in values {
        count += 1;
        different.insert(value);
    }
    // A sample of a few hundred shows less repetition than there is: only what hardly ever comes again is left alone.
    if count > 0 && different.len() * 20 > count * 19 { ColumnEncoding::Plain } else { ColumnEncoding::Dictionary }
}

fn values<'a, T: ArrowPrimitiveType>(column: impl Iterator<Item = &'a dyn Array>) -> impl Iterator<Item = T::Native> {
    column.flat_map(|array| array.as_primitive::<T>().iter().flatten()).take(SAMPLE)
}

fn whole<'a, T>(column: impl Iterator<Item = &'a dyn Array>, width: u32) -> ColumnEncoding
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let values: Vec<i64> = values::<T>(column).map(Into::into).collect();
    if values.len() < 2 {
        return ColumnEncoding::Delta;
    }
    let delta = delta_bits(&values);
    if delta * 10 <= width as usize * 9 { ColumnEncoding::Delta } else { ColumnEncoding::Plain }
}

/// Bits for a value as a difference from the one before, about.
fn delta_bits(values: &[i64]) -> usize {
    let differences: Vec<i128> = values.windows(2).map(|pair| i128::from(pair[1].wrapping_sub(pair[0]))).collect();
    let blocks = differences.chunks(MINIBLOCK * 4).map(|block| {
        let least = block.iter().min().copied().unwrap_or_default();
        block
            .chunks(MINIBLOCK)
            .map(|mini| {
                let most = mini.iter().max().copied().unwrap_or_default();
                (128 - (most - least).leading_zeros()) as usize * mini.len()
            })
            .sum::<usize>()
    });
    blocks.sum::<usize>() / differences.len().max(1)
}

/// The arrays of a leaf, by its path as Parquet names it, in each batch.
pub(super) fn leaf<'a>(batches: &'a [RecordBatch], path: &'a [String]) -> impl Iterator<Item = &'a dyn Array> + Clone {
    batches.iter().filter_map(|batch| {
        let (first, rest) = path.split_first()?;
        descend(batch.column_by_name(first)?.as_ref(), rest)
    })
}

fn descend<'a>(array: &'a dyn Array, path: &[String]) -> Option<&'a dyn Array> {
    let Some((first, rest)) = path.split_first() else { return Some(array) };
    match array.data_type() {
        DataType::Struct(_) => descend(array.as_struct().column_by_name(first)?.as_ref(), rest),
        DataType::List(_) => descend(array.as_list::<i32>().values().as_ref(), rest.split_first()?.1),
        DataType::Map(..) => {
            let entries = array.as_map().entries();
            descend(entries.column_by_name(rest.first()?)?.as_ref(), rest.get(1..)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn of(array: impl Array + 'static) -> ColumnEncoding {
        let array: ArrayRef = Arc::new(array);
        choose(std::iter::once(array.as_ref()))
    }

    /// Numbers that look random.
    fn mixed(n: i64) -> i64 {
        let mut bits = n.cast_unsigned().wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)).cast_signed()
    }

    #[test]
    fn text_that_comes_again_gets_a_dictionary() {
        assert_eq!(
            of((0..512).map(|n| Some(format!("song {}", n % 300))).collect::<StringArray>()),
            ColumnEncoding::Dictionary
        );
        assert_eq!(of((0..512).map(|n| Some(format!("id {n}"))).collect::<StringArray>()), ColumnEncoding::Plain);
        assert_eq!(
            of(StringArray::from(vec![None::<&str>; 10])),
            ColumnEncoding::Dictionary,
            "nothing is known: it costs nothing"
        );
    }

    #[test]
    fn numbers_in_a_narrow_range_or_in_order_are_differences() {
        assert_eq!(
            of((0..512).map(|n| Some(n * 1_000 + n % 7)).collect::<TimestampMicrosecondArray>()),
            ColumnEncoding::Delta
        );
        assert_eq!(
            of((0..512).map(|n| Some(i32::try_from(mixed(n) & 63).unwrap())).collect::<Int32Array>()),
            ColumnEncoding::Delta
        );
        assert_eq!(of((0..512).map(|n| Some(mixed(n))).collect::<Int64Array>()), ColumnEncoding::Plain);
        assert_eq!(of(Int64Array::from(vec![i64::MIN, i64::MAX, 0, i64::MAX])), ColumnEncoding::Plain, "no overflow");
    }
}

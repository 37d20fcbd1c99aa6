//! What an output must obey, whoever made it.

use crate::kind::Kind;
use crate::wit::{Column, Descriptor, Field, Output, Selection, Values, VarBytes};

/// Check an output for a batch of `rows` rows against the contract.
///
/// # Errors
/// The first thing that breaks it.
pub fn check_output(output: &Output, descriptor: &Descriptor, rows: usize) -> Result<(), String> {
    let expected = check_selection(&output.keep, rows)?;
    if output.columns.len() != descriptor.writes.len() {
        return Err(format!("{} columns written, {} declared", output.columns.len(), descriptor.writes.len()));
    }
    for (column, field) in std::iter::zip(&output.columns, &descriptor.writes) {
        check_column(column, field, expected).map_err(|problem| format!("column `{}`: {problem}", field.name))?;
    }
    let rejects = &output.rejects;
    check_rising(&rejects.rows, rows, "rejected rows")?;
    if rejects.reason.len() != rejects.rows.len() {
        return Err(format!("{} reasons for {} rejected rows", rejects.reason.len(), rejects.rows.len()));
    }
    if let Some(reason) = rejects.reason.iter().find(|&&reason| usize::from(reason) >= descriptor.reasons.len()) {
        return Err(format!("reason {reason} of {}", descriptor.reasons.len()));
    }
    rejects.detail.as_ref().map_or(Ok(()), |detail| {
        check_var_bytes(detail, rejects.rows.len(), true).map_err(|problem| format!("details: {problem}"))
    })
}

/// How many values each written column must have.
fn check_selection(keep: &Selection, rows: usize) -> Result<usize, String> {
    match keep {
        Selection::All | Selection::None => Ok(rows),
        Selection::Mask(bitmap) => check_bitmap(bitmap, rows).map(|()| rows),
        Selection::Rows(kept) => check_rising(kept, rows, "kept rows").map(|()| rows),
        Selection::Gather(gather) => {
            let falls = gather.windows(2).any(|pair| pair[0] > pair[1]);
            match gather.last() {
                _ if falls => Err("gathered rows fall".to_owned()),
                Some(&last) if last as usize >= rows => Err(format!("row {last} gathered of {rows}")),
                _ => Ok(gather.len()),
            }
        }
    }
}

fn check_rising(numbers: &[u32], rows: usize, what: &str) -> Result<(), String> {
    if numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(format!("{what} do not rise strictly"));
    }
    match numbers.last() {
        Some(&last) if last as usize >= rows => Err(format!("{what}: {last} of {rows}")),
        _ => Ok(()),
    }
}

fn check_bitmap(bitmap: &[u8], rows: usize) -> Result<(), String> {
    let tail_is_clear = rows.is_multiple_of(8) || bitmap.last().is_some_and(|last| last >> (rows % 8) == 0);
    match bitmap.len() == rows.div_ceil(8) && tail_is_clear {
        true => Ok(()),
        false => Err(format!("a bitmap of {} bytes for {rows} rows, or with bits past the last", bitmap.len())),
    }
}

fn check_column(column: &Column, field: &Field, rows: usize) -> Result<(), String> {
    let kind = Kind::from_format(&field.format).ok_or_else(|| format!("unknown format `{}`", field.format))?;
    let is_text = kind == Kind::Text;
    let count = match (&column.values, kind) {
        (Values::Bits(bits), Kind::Boolean) => check_bitmap(bits, rows).map(|()| rows)?,
        (Values::Int32(values), Kind::Int) => values.len(),
        (Values::Int64(values), Kind::Long | Kind::Timestamp) => values.len(),
        (Values::Float32(values), Kind::Float) => values.len(),
        (Values::Float64(values), Kind::Double) => values.len(),
        (Values::Bytes(values), Kind::Text | Kind::Binary) => check_var_bytes(values, rows, is_text).map(|()| rows)?,
        (Values::Dict(dictionary), Kind::Text | Kind::Binary) => {
            let entries = dictionary.entries.offsets.len().saturating_sub(1);
            check_var_bytes(&dictionary.entries, entries, is_text)?;
            if let Some(key) = dictionary.keys.iter().find(|&&key| key as usize >= entries) {
                return Err(format!("key {key} of {entries} entries"));
            }
            dictionary.keys.len()
        }
        _ => return Err(format!("its layout is not one of a {kind}")),
    };
    if count != rows {
        return Err(format!("{count} values for {rows} rows"));
    }
    match &column.validity {
        Some(_) if !field.nullable => Err("nulls, though declared without".to_owned()),
        Some(bitmap) => check_bitmap(bitmap, rows),
        None => Ok(()),
    }
}

fn check_var_bytes(values: &VarBytes, rows: usize, is_text: bool) -> Result<(), String> {
    let offsets = &values.offsets;
    let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if offsets.len() != rows + 1 || !rising || offsets.last().is_none_or(|&end| end as usize != values.bytes.len()) {
        return Err(format!("{} offsets for {rows} values, or offsets that do not fit the bytes", offsets.len()));
    }
    if is_text {
        let text = std::str::from_utf8(&values.bytes).map_err(|error| format!("text that is not UTF-8: {error}"))?;
        if offsets.iter().any(|&offset| !text.is_char_boundary(offset as usize)) {
            return Err("text cut inside a character".to_owned());
        }
    }
    Ok(())
}

//! Which rows leave a transform and which it rejects, checked.

use arrow::array::StringArray;
use arrow::buffer::BooleanBuffer;

use super::super::bindings::types::{Rejects, Selection};
use super::{checked_bits, output};

/// The rows that stay.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Keep {
    /// All of them.
    All,
    /// Strictly increasing input rows.
    Rows(Vec<u32>),
    /// Output row i is input row `gather[i]`: never decreasing.
    Gather(Vec<u32>),
}

/// One rejected row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    /// Row of the transform's input.
    pub(crate) row: u32,
    /// Index into the descriptor's reasons.
    pub(crate) reason: u16,
}

/// The checked selection for an input of `rows` rows. A gather may give at most `max_rows` rows.
pub(crate) fn keep(selection: Selection, rows: usize, max_rows: usize) -> Result<Keep, String> {
    match selection {
        Selection::All => Ok(Keep::All),
        Selection::None => Ok(Keep::Rows(Vec::new())),
        Selection::Mask(bitmap) => {
            let mask = checked_bits(bitmap, rows).map_err(|error| format!("keep: {error}"))?;
            Ok(from_mask(&mask))
        }
        Selection::Rows(kept) => {
            strictly_increasing(&kept, rows).map_err(|error| format!("keep: {error}"))?;
            Ok(if kept.len() == rows { Keep::All } else { Keep::Rows(kept) })
        }
        Selection::Gather(gather) => {
            if gather.len() > max_rows {
                return Err(format!("gather: {} rows from {rows}; at most {max_rows} are allowed", gather.len()));
            }
            if let Some(at) = gather.windows(2).position(|pair| pair[1] < pair[0]) {
                return Err(format!("gather: row numbers decrease after entry {at}"));
            }
            match gather.last() {
                Some(last) if *last as usize >= rows => Err(format!("gather: row {last} of {rows}")),
                _ => Ok(Keep::Gather(gather)),
            }
        }
    }
}

/// The checked rejected rows, and their texts where the guest gave any.
pub(crate) fn rejects(
    rejects: Rejects,
    rows: usize,
    reasons: usize,
) -> Result<(Vec<Reject>, Option<StringArray>), String> {
    let Rejects { rows: rejected, reason, detail } = rejects;
    strictly_increasing(&rejected, rows).map_err(|error| format!("rejects: {error}"))?;
    if reason.len() != rejected.len() {
        return Err(format!("rejects: {} reasons for {} rows", reason.len(), rejected.len()));
    }
    if let Some(reason) = reason.iter().find(|reason| usize::from(**reason) >= reasons) {
        return Err(format!("rejects: reason {reason}, and the transform describes {reasons}"));
    }
    let count = rejected.len();
    let detail = detail.map(|detail| output::texts(detail, count)).transpose();
    let detail = detail.map_err(|error| format!("rejects: detail: {error}"))?;
    let rejected = rejected.into_iter().zip(reason).map(|(row, reason)| Reject { row, reason });
    Ok((rejected.collect(), detail))
}

fn from_mask(mask: &BooleanBuffer) -> Keep {
    let kept = mask.count_set_bits();
    if kept == mask.len() {
        return Keep::All;
    }
    let mut rows = Vec::with_capacity(kept);
    // The mask has at most as many bits as the batch has rows, which a u32 counts.
    rows.extend(mask.set_indices().map(|row| row as u32));
    Keep::Rows(rows)
}

fn strictly_increasing(numbers: &[u32], rows: usize) -> Result<(), String> {
    if let Some(at) = numbers.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(format!("row numbers do not increase after entry {at}"));
    }
    match numbers.last() {
        Some(last) if *last as usize >= rows => Err(format!("row {last} of {rows}")),
        _ => Ok(()),
    }
}

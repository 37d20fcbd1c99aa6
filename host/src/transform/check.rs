//! What a guest hands back for a batch, checked against the contract and what the guest described.
//!
//! Lists and columns one by one are for `columns`; here they are held against each other, and against what they may grow
//! to. Whatever passes can be put into the batch without a further look.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, new_empty_array};
use arrow::datatypes::FieldRef;

use super::bindings::types;
use super::columns::output;
use super::columns::selection::{self, Keep, Reject};
use super::descriptor::Plan;
use super::frame::Frame;
use super::instance::Failure;

/// Rows that one input row may become under a gather, ...
const GATHER_FACTOR: usize = 64;
/// ... where a batch of few rows may become this many in any case.
const GATHER_ROWS: usize = 65_536;

/// What a transform did with a batch.
pub(crate) struct Outcome {
    pub(crate) keep: Keep,
    /// The written columns: one value per input row, or per output row under a gather.
    pub(crate) columns: Vec<ArrayRef>,
    /// By strictly increasing row.
    pub(crate) rejects: Vec<RejectedRow>,
    /// Rows on which the guest failed and which go on unchanged.
    pub(crate) skipped: Vec<Skipped>,
    /// Calls that failed on the way.
    pub(crate) failed_calls: u32,
    /// Bytes of the written columns, and of all others when rows are repeated.
    pub(crate) bytes: usize,
}

impl Outcome {
    /// What a transform does with no rows: it is not called.
    pub(crate) fn of_no_rows(plan: &Plan) -> Self {
        let empty = |(field, _): &(FieldRef, _)| new_empty_array(field.data_type());
        let columns = plan.writes.iter().map(empty).collect();
        Self { keep: Keep::All, columns, rejects: vec![], skipped: vec![], failed_calls: 0, bytes: 0 }
    }
}

/// A rejected row of the transform's input.
pub(crate) struct RejectedRow {
    pub(crate) row: u32,
    pub(crate) why: Why,
}

/// Rows of the transform's input that go on unchanged.
pub(crate) struct Skipped {
    pub(crate) rows: Range<u32>,
    pub(crate) failure: Arc<Failure>,
}

/// Why a row is rejected.
pub(crate) enum Why {
    /// The guest said so: index of the reason, and its text for the row.
    Guest { reason: u16, detail: Option<String> },
    /// The guest failed on it.
    Failure(Arc<Failure>),
}

/// What a guest handed back for the rows `batch` of `frame`; says what is wrong with it. `limit` is in bytes.
pub(crate) fn checked(
    plan: &Plan,
    limit: usize,
    output: types::Output,
    frame: &mut Frame,
    batch: Range<usize>,
) -> Result<Outcome, String> {
    let rows = batch.len();
    let max_rows = GATHER_ROWS.max(rows.saturating_mul(GATHER_FACTOR));
    let keep = selection::keep(output.keep, rows, max_rows)?;
    let (rejects, details) = selection::rejects(output.rejects, rows, plan.descriptor.reasons.len())?;
    let mut bytes = 0;
    let height = match &keep {
        Keep::Gather(gather) => {
            let moved: Vec<u32> = gather.iter().map(|row| row + batch.start as u32).collect();
            bytes = frame.gathered_bytes(&moved).map_err(|error| error.to_string())?;
            if bytes > limit {
                return Err(format!("gather: the rows grow to {bytes} bytes; at most {limit} are allowed"));
            }
            gather.len()
        }
        _ => rows,
    };
    let fields = &plan.writes;
    if output.columns.len() != fields.len() {
        return Err(format!("{} columns, and the transform writes {}", output.columns.len(), fields.len()));
    }
    let mut written = Vec::with_capacity(fields.len());
    let mut left = limit;
    for ((field, _), column) in fields.iter().zip(output.columns) {
        let name = field.name();
        let array = output::array(field.data_type(), column, height, &mut left)
            .map_err(|error| format!("column `{name}`: {error}"))?;
        if !field.is_nullable()
            && array.null_count() > 0
            && let Some(row) = output::first_null(&array, stays(&keep, &rejects, rows))
        {
            return Err(format!("column `{name}`: null in row {row}, and it was described as never null"));
        }
        bytes = bytes.saturating_add(array.get_buffer_memory_size());
        written.push(array);
    }
    let rejects = rejects.iter().enumerate().map(|(index, reject)| RejectedRow {
        row: reject.row,
        why: Why::Guest { reason: reject.reason, detail: text(details.as_ref(), index) },
    });
    let rejects = rejects.collect();
    Ok(Outcome { keep, columns: written, rejects, skipped: Vec::new(), failed_calls: 0, bytes })
}

/// Whether an output row stays in the stream.
fn stays<'a>(keep: &'a Keep, rejects: &'a [Reject], rows: usize) -> impl Fn(usize) -> bool + 'a {
    let mut alive = vec![!matches!(keep, Keep::Rows(_)); rows];
    if let Keep::Rows(kept) = keep {
        kept.iter().for_each(|row| alive[*row as usize] = true);
    }
    rejects.iter().for_each(|reject| alive[reject.row as usize] = false);
    move |row| match keep {
        Keep::Gather(gather) => alive[gather[row] as usize],
        _ => alive[row],
    }
}

/// A guest's text for its rejected row `index`; an empty one says nothing.
fn text(details: Option<&StringArray>, index: usize) -> Option<String> {
    details.map(|details| details.value(index)).filter(|text| !text.is_empty()).map(str::to_owned)
}

//! What a transform hands back for one batch.
//!
//! Guarantee: whatever the author does, the result obeys the contract: rejected rows strictly rising, every written
//! column of one length. What cannot be mended is an error that fails the batch, with a text that says whose fault.

use crate::mask::Mask;
use crate::reads::Binding;
use crate::reasons::Reasons;
use crate::wit::{Output, Rejects, Selection, VarBytes};
use crate::writes::Writes;

/// The outcome of one batch, filled by the loops of [`rows`](crate::rows) or by a [`Columnar`](crate::Columnar) transform.
#[derive(Debug)]
pub struct Outcome<W: Writes> {
    /// A builder for each written column, under the name of its field.
    pub columns: W::Builders,
    rows: usize,
    keep: Selection,
    rejects: Vec<Reject>,
    details: String,
}

#[derive(Debug)]
struct Reject {
    row: u32,
    reason: u16,
    /// Where its text ends in `details`; it starts where `start` says.
    start: usize,
    end: usize,
}

impl<W: Writes> Outcome<W> {
    /// Nothing rejected, all `rows` kept, no value written yet.
    pub(crate) fn new(rows: usize) -> Self {
        let columns = W::builders(rows);
        Outcome { columns, rows, keep: Selection::All, rejects: Vec::new(), details: String::new() }
    }

    /// How many rows the batch has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Keep only these rows.
    pub fn keep(&mut self, rows: Mask) {
        self.keep = rows.into_selection();
    }

    /// One row to many: output row i is input row `gather[i]`. Never falling; the written columns then have one value
    /// per output row.
    pub fn gather(&mut self, gather: Vec<u32>) {
        self.keep = Selection::Gather(gather);
    }

    /// Reject a row: it becomes a dead letter, whatever is kept.
    pub fn reject<P: Reasons>(&mut self, row: usize, reason: &P) {
        let start = self.details.len();
        reason.detail(&mut self.details);
        self.push_reject(row, reason.index(), start);
    }

    pub(crate) fn reject_null(&mut self, row: usize, column: &str, binding: &Binding) {
        let start = self.details.len();
        self.details.push_str(column);
        self.push_reject(row, binding.null_input, start);
    }

    fn push_reject(&mut self, row: usize, reason: u16, start: usize) {
        // Rows come from a `u32` count; one that does not fit is past the end and found in `finish`.
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        self.rejects.push(Reject { row, reason, start, end: self.details.len() });
    }

    /// As the contract wants it.
    ///
    /// # Errors
    /// A written column has too few or too many values, a row number is past the end, or rows are gathered in falling
    /// order.
    pub(crate) fn finish(self) -> Result<Output, String> {
        let columns = W::finish(self.columns)?;
        let expected = match &self.keep {
            Selection::Gather(gather) => check_gather(gather, self.rows)?,
            _ => self.rows,
        };
        for ((_, len), field) in columns.iter().zip(W::FIELDS) {
            if *len != expected {
                return Err(format!("column `{}` was written {len} values for {expected} rows", field.name));
            }
        }
        let columns = columns.into_iter().map(|(column, _)| column).collect();
        let rejects = finish_rejects(self.rejects, &self.details, self.rows)?;
        Ok(Output { keep: self.keep, columns, rejects })
    }
}

fn check_gather(gather: &[u32], rows: usize) -> Result<usize, String> {
    if gather.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err("the gathered row numbers fall; they must follow the order of the input".to_owned());
    }
    match gather.last() {
        Some(&last) if last as usize >= rows => Err(format!("row {last} was gathered from a batch of {rows} rows")),
        _ => Ok(gather.len()),
    }
}

/// Sorted by row; of several reasons for one row, the first that was given counts.
fn finish_rejects(mut rejects: Vec<Reject>, details: &str, rows: usize) -> Result<Rejects, String> {
    if !rejects.windows(2).all(|pair| pair[0].row < pair[1].row) {
        rejects.sort_by_key(|reject| reject.row);
        rejects.dedup_by_key(|reject| reject.row);
    }
    if let Some(last) = rejects.last().filter(|last| last.row as usize >= rows) {
        return Err(format!("row {} was rejected in a batch of {rows} rows", last.row));
    }
    let detail = (!details.is_empty()).then(|| {
        let mut texts =
            VarBytes { offsets: Vec::with_capacity(rejects.len() + 1), bytes: Vec::with_capacity(details.len()) };
        texts.offsets.push(0);
        for reject in &rejects {
            texts.bytes.extend_from_slice(&details.as_bytes()[reject.start..reject.end]);
            texts.offsets.push(i32::try_from(texts.bytes.len()).unwrap_or(i32::MAX));
        }
        texts
    });
    Ok(Rejects {
        rows: rejects.iter().map(|reject| reject.row).collect(),
        reason: rejects.iter().map(|reject| reject.reason).collect(),
        detail,
    })
}

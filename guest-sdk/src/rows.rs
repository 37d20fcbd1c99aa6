//! The loops: a function over one row, run over the columns of a batch.
//!
//! Guarantee: one pass, no allocation per row but what the author's function makes. A row with a null in a required
//! column never reaches the function: it is rejected with the reason `null-input`. For the code that the attributes
//! generate; an author names nothing here.

use crate::describe::Problems;
use crate::mask::Mask;
use crate::output::Outcome;
use crate::reads::{Binding, Opened, Reads};
use crate::reasons::Reasons;
use crate::settings::{Prepare, Settings};
use crate::wit::{Batch, Field, Output};
use crate::writes::Writes;

/// What a transform needs before its first batch: its context, made from the settings, and its columns' places.
///
/// # Errors
/// Everything wrong with the settings, or a column that does not fit.
pub fn start<R: Reads, P: Reasons, C: Prepare>(
    settings: &[(String, String)],
    reads: &[Field],
) -> Result<(C, Binding), String> {
    let mut problems = Problems::default();
    let Some(settings) = C::Settings::parse(settings, &mut problems) else {
        return Err(problems.to_string());
    };
    let settings = problems.none_or(settings)?;
    Ok((C::prepare(settings)?, Binding::new(R::FIELDS, reads, P::REASONS.len())?))
}

/// Keep the rows for which `keep` says `true`; reject those for which it fails.
///
/// # Errors
/// The batch is not laid out as the contract says.
pub fn filter<R: Reads, P: Reasons>(
    binding: &Binding,
    batch: &Batch,
    mut keep: impl for<'r, 'a> FnMut(&'r R::Row<'a>) -> Result<bool, P>,
) -> Result<Output, String> {
    let input = Opened::<R>::new(batch, binding)?;
    let mut outcome = Outcome::<()>::new(input.rows);
    let kept = Mask::from_fn(input.rows, |row| {
        if let Some(column) = input.null_at(row) {
            outcome.reject_null(row, column, binding);
            return false;
        }
        keep(&R::row(&input.columns, row)).unwrap_or_else(|reason| {
            outcome.reject(row, &reason);
            false
        })
    });
    outcome.keep(kept);
    outcome.finish()
}

/// Reject the rows for which `check` fails.
///
/// # Errors
/// The batch is not laid out as the contract says.
pub fn validate<R: Reads, P: Reasons>(
    binding: &Binding,
    batch: &Batch,
    mut check: impl for<'r, 'a> FnMut(&'r R::Row<'a>) -> Result<(), P>,
) -> Result<Output, String> {
    let input = Opened::<R>::new(batch, binding)?;
    let mut outcome = Outcome::<()>::new(input.rows);
    for row in 0..input.rows {
        if let Some(column) = input.null_at(row) {
            outcome.reject_null(row, column, binding);
        } else if let Err(reason) = check(&R::row(&input.columns, row)) {
            outcome.reject(row, &reason);
        }
    }
    outcome.finish()
}

/// Write columns: `enrich` appends one row of values for each row; rows for which it fails are rejected.
///
/// # Errors
/// The batch is not laid out as the contract says, or a written column is too large.
pub fn enrich<R: Reads, W: Writes, P: Reasons>(
    binding: &Binding,
    batch: &Batch,
    mut enrich: impl for<'r, 'a> FnMut(&'r R::Row<'a>, &mut W::Builders) -> Result<(), P>,
) -> Result<Output, String> {
    let input = Opened::<R>::new(batch, binding)?;
    let mut outcome = Outcome::<W>::new(input.rows);
    for row in 0..input.rows {
        if let Some(column) = input.null_at(row) {
            outcome.reject_null(row, column, binding);
        } else if let Err(reason) = enrich(&R::row(&input.columns, row), &mut outcome.columns) {
            outcome.reject(row, &reason);
        } else {
            continue;
        }
        W::push_gap(&mut outcome.columns);
    }
    outcome.finish()
}

/// One row to many: `transform` appends any number of rows of values and says how many; rows for which it fails are
/// rejected.
///
/// # Errors
/// The batch is not laid out as the contract says, or a written column is too large.
pub fn transform<R: Reads, W: Writes, P: Reasons>(
    binding: &Binding,
    batch: &Batch,
    mut transform: impl for<'r, 'a> FnMut(&'r R::Row<'a>, &mut W::Builders) -> Result<usize, P>,
) -> Result<Output, String> {
    let input = Opened::<R>::new(batch, binding)?;
    let mut outcome = Outcome::<W>::new(input.rows);
    let mut gather = Vec::with_capacity(input.rows);
    for row in 0..input.rows {
        if let Some(column) = input.null_at(row) {
            outcome.reject_null(row, column, binding);
            continue;
        }
        match transform(&R::row(&input.columns, row), &mut outcome.columns) {
            // A batch counts its rows in 32 bits, so the number of one fits.
            Ok(count) => gather.extend(std::iter::repeat_n(row as u32, count)),
            Err(reason) => outcome.reject(row, &reason),
        }
    }
    outcome.gather(gather);
    outcome.finish()
}

/// Append rows of values; gives their number.
pub fn push_all<'a, W: Writes>(rows: impl IntoIterator<Item = W::Row<'a>>, builders: &mut W::Builders) -> usize {
    rows.into_iter().map(|row| W::push(row, builders)).count()
}

//! Run a transform over whole batches, natively, as the host would: describe, start, process, merge.
//!
//! Guarantee: what a transform hands back is checked against the contract as strictly as the host checks it, and each
//! run is done twice, as one batch and row by row, because the host may cut batches anywhere: a transform whose answer
//! depends on it fails here. Does not know: Wasm. `wasmill transform test` runs the module itself, with limits.
//!
//! ```
//! use wasmill_sdk::prelude::*;
//! use wasmill_sdk::testing::{Table, run};
//!
//! #[derive(Reads)]
//! struct Play<'a> {
//!     auth: &'a str,
//!     duration: Option<f64>,
//! }
//!
//! #[filter]
//! fn keep(play: &Play) -> bool {
//!     play.auth == "Logged In" && play.duration.is_some_and(|seconds| seconds >= 30.0)
//! }
//!
//! let events = Table::from_json(
//!     "auth string, duration double",
//!     r#"
//!     {"auth": "Logged In", "duration": 180.5}
//!     {"auth": "Guest", "duration": 200.0}
//!     {"duration": 200.0}
//!     "#,
//! )?;
//! let outcome = run::<keep>(&[], &events)?;
//! assert_eq!(outcome.kept, [0]);
//! assert_eq!(outcome.rejected[0].to_string(), "row 2: null-input (auth)");
//! # Ok::<(), String>(())
//! ```

mod contract;
mod json;
mod table;

use std::fmt;

pub use contract::check_output;
pub use table::Table;

use crate::Transform;
use crate::mask::Mask;
use crate::wit::{Descriptor, Output, Selection};

/// What became of the rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What the transform said of itself.
    pub descriptor: Descriptor,
    /// The rows that go on, by their number in the input. One row to many: a number may repeat.
    pub kept: Vec<usize>,
    /// The rows that become dead letters.
    pub rejected: Vec<Rejected>,
    /// The rows that go on, as the next transform would see them: with the written columns, without the dropped ones.
    pub table: Table,
}

impl Run {
    /// The rows that go on, as JSON objects with sorted keys.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.table.to_json()
    }
}

/// A row that becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its number in the input.
    pub row: usize,
    /// The reason's code.
    pub code: String,
    /// What the reason held; empty if nothing.
    pub detail: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: {}", self.row, self.code)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

/// Run transform `T` over the table.
///
/// # Errors
/// What `describe`, `start` or `process` says; an output that breaks the contract; or an answer that depends on where
/// batches end.
pub fn run<T: Transform>(settings: &[(&str, &str)], table: &Table) -> Result<Run, String> {
    let settings: Vec<(String, String)> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let descriptor = T::describe(&settings, table.fields())?;
    let whole = run_batch::<T>(&settings, table, &descriptor, 0)?;
    let mut pieces: Option<Run> = None;
    for row in 0..table.rows() {
        let piece = run_batch::<T>(&settings, &table.take(&[row]), &descriptor, row)?;
        match &mut pieces {
            None => pieces = Some(piece),
            Some(all) => {
                all.kept.extend(piece.kept);
                all.rejected.extend(piece.rejected);
                all.table.append(&piece.table)?;
            }
        }
    }
    match pieces {
        Some(pieces)
            if pieces.kept != whole.kept || pieces.rejected != whole.rejected || pieces.json() != whole.json() =>
        {
            Err(format!(
                "the transform's answer depends on where batches end, which is unspecified: \
                 as one batch it gave {whole:?}, row by row {pieces:?}"
            ))
        }
        _ => Ok(whole),
    }
}

/// One batch through a fresh instance. `first` is the number of its first row.
fn run_batch<T: Transform>(
    settings: &[(String, String)],
    table: &Table,
    descriptor: &Descriptor,
    first: usize,
) -> Result<Run, String> {
    let (reads, batch) = table.read(&descriptor.reads, first)?;
    let output = T::start(settings, &reads)?.process(&batch)?;
    check_output(&output, descriptor, table.rows())
        .map_err(|problem| format!("the output breaks the contract: {problem}"))?;
    let rejected = rejected(&output, descriptor);
    let lost = Mask::from_fn(table.rows(), |row| rejected.iter().any(|reject| reject.row == row));
    let pairs = kept(&output.keep, table.rows()).filter(|&(_, row)| !lost.get(row));
    let (places, rows): (Vec<usize>, Vec<usize>) = pairs.unzip();
    let written = Table::new(descriptor.writes.clone(), output.columns)?.take(&places);
    let merged = table.take(&rows).merge(written, &descriptor.drops)?;
    let shift = |rejected: Rejected| Rejected { row: rejected.row + first, ..rejected };
    Ok(Run {
        descriptor: descriptor.clone(),
        kept: rows.into_iter().map(|row| row + first).collect(),
        rejected: rejected.into_iter().map(shift).collect(),
        table: merged,
    })
}

/// Each row that is kept: its place among the written values, and its number in the input.
fn kept(keep: &Selection, rows: usize) -> Box<dyn Iterator<Item = (usize, usize)>> {
    match keep {
        Selection::All => Box::new((0..rows).map(|row| (row, row))),
        Selection::None => Box::new(std::iter::empty()),
        Selection::Mask(bitmap) => {
            let rows: Vec<usize> = Mask::from_bitmap(rows, bitmap).ones().collect();
            Box::new(rows.into_iter().map(|row| (row, row)))
        }
        Selection::Rows(rows) => Box::new(rows.clone().into_iter().map(|row| (row as usize, row as usize))),
        Selection::Gather(rows) => {
            Box::new(rows.clone().into_iter().enumerate().map(|(place, row)| (place, row as usize)))
        }
    }
}

fn rejected(output: &Output, descriptor: &Descriptor) -> Vec<Rejected> {
    let rejects = &output.rejects;
    let detail = |at: usize| match &rejects.detail {
        None => String::new(),
        Some(texts) => {
            let range = texts.offsets[at] as usize..texts.offsets[at + 1] as usize;
            String::from_utf8_lossy(&texts.bytes[range]).into_owned()
        }
    };
    let code = |reason: u16| descriptor.reasons[usize::from(reason)].code.clone();
    std::iter::zip(&rejects.rows, &rejects.reason)
        .enumerate()
        .map(|(at, (&row, &reason))| Rejected { row: row as usize, code: code(reason), detail: detail(at) })
        .collect()
}

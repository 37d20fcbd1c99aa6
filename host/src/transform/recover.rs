//! One transform of a worker: calls it, checks what it hands back, and finds the rows on which it fails.
//!
//! `process` is a function of each row and the settings (that is the contract), so a batch that fails is tried again in
//! halves on fresh instances until the rows that make it fail stand alone: about two calls per halving and poison row.
//! The time for that is bounded; what is left then is given up as a block. Rows that are given up are rejected with a
//! built-in reason, and all others get their results as if nothing had happened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use arrow::compute::concat;

use super::bindings::types;
use super::columns::input::InputColumn;
use super::columns::output;
use super::columns::selection::{self, Keep, Reject};
use super::descriptor::Plan;
use super::frame::Frame;
use super::instance::{Blueprint, Failure, FailureKind, TransformInstance};
use crate::error::{Error, Result};

/// Time for finding poison rows in one batch: this many deadlines (an endless loop costs one per halving), ...
const SEARCH_DEADLINES: u32 = 12;
/// ... but not less than this, for a guest with a tiny deadline.
const MIN_SEARCH: Duration = Duration::from_secs(1);
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
    /// Calls that failed on the way.
    pub(crate) failed_calls: u32,
}

/// A rejected row of the transform's input.
pub(crate) struct RejectedRow {
    pub(crate) row: u32,
    pub(crate) why: Why,
}

/// Why a row is rejected.
pub(crate) enum Why {
    /// The guest said so: index of the reason, and its text for the row.
    Guest { reason: u16, detail: Option<String> },
    /// The guest failed on it.
    Failure(Arc<Failure>),
}

/// One transform of one worker.
pub(crate) struct Runner {
    name: Arc<str>,
    blueprint: Blueprint,
    plan: Arc<Plan>,
    /// `None` after a failure, until it is needed again.
    instance: Option<TransformInstance>,
}

/// Rows `start..end` of a batch, and what became of them.
struct Piece {
    start: usize,
    end: usize,
    result: Result<Outcome, Arc<Failure>>,
}

impl Runner {
    /// Starts the first instance.
    pub(crate) fn new(name: Arc<str>, blueprint: Blueprint, plan: Arc<Plan>) -> Result<Self> {
        let mut runner = Self { name, blueprint, plan, instance: None };
        runner.instance = Some(runner.fresh()?);
        Ok(runner)
    }

    /// Takes one batch, given as the columns that the plan reads of `frame`, through the transform. Fails only when no instance
    /// can be started.
    pub(crate) fn process(&mut self, columns: &[ArrayRef], frame: &mut Frame) -> Result<Outcome> {
        match self.call(columns, frame, 0, frame.rows())? {
            Ok(outcome) => Ok(outcome),
            Err(failure) => self.search(columns, frame, failure),
        }
    }

    /// The poison rows of a batch that failed as a whole.
    fn search(&mut self, columns: &[ArrayRef], frame: &mut Frame, first: Failure) -> Result<Outcome> {
        let rows = frame.rows();
        let allowed = (self.blueprint.limits.deadline * SEARCH_DEADLINES).max(MIN_SEARCH);
        let started = Instant::now();
        let mut pieces = Vec::new();
        let mut failed_calls = 1;
        // Ranges still to be tried, the first on top; each is known to be part of one that failed.
        let middle = rows / 2;
        let mut open = if rows > 1 { vec![(middle, rows), (0, middle)] } else { vec![(0, rows)] };
        let mut last = Arc::new(first);
        while let Some((start, end)) = open.pop() {
            if started.elapsed() > allowed {
                pieces.push(Piece { start, end, result: Err(last.clone()) });
                continue;
            }
            let failure = match self.call(columns, frame, start, end)? {
                Ok(outcome) => {
                    pieces.push(Piece { start, end, result: Ok(outcome) });
                    continue;
                }
                Err(failure) => Arc::new(failure),
            };
            failed_calls += 1;
            last = failure.clone();
            if end - start <= 1 {
                pieces.push(Piece { start, end, result: Err(failure) });
            } else {
                let middle = start + (end - start) / 2;
                open.extend([(middle, end), (start, middle)]);
            }
        }
        let mut outcome = self.merge(pieces)?;
        outcome.failed_calls = failed_calls;
        Ok(outcome)
    }

    /// One call for rows `start..end`. After a failure the instance is gone.
    fn call(
        &mut self,
        columns: &[ArrayRef],
        frame: &mut Frame,
        start: usize,
        end: usize,
    ) -> Result<Result<Outcome, Failure>> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.fresh()?,
        };
        let rows = end - start;
        let whole = |array: &ArrayRef| start == 0 && rows == array.len();
        let input =
            |array| if whole(array) { InputColumn::new(array) } else { InputColumn::new(&array.slice(start, rows)) };
        let input = columns.iter().map(input).collect::<Result<Vec<_>>>()?;
        let params: Vec<_> = input.iter().map(InputColumn::as_param).collect();
        // A batch of the pipeline has a few thousand rows.
        let batch = types::Batch { rows: rows as u32, columns: &params };
        let result = instance.process(batch).and_then(|output| {
            self.checked(output, frame, start, rows).map_err(|text| Failure::new(FailureKind::BadOutput, &text))
        });
        if result.is_ok() {
            self.instance = Some(instance);
        }
        Ok(result)
    }

    fn fresh(&self) -> Result<TransformInstance> {
        let fields: Vec<_> = self.plan.read_fields.iter().map(|field| field.as_param()).collect();
        self.blueprint
            .start(&fields)
            .map_err(|failure| Error::guest(format!("transform `{}` could not start: {}", self.name, failure.detail)))
    }

    /// Everything that a guest hands back, checked; says what is wrong.
    fn checked(&self, output: types::Output, frame: &mut Frame, start: usize, rows: usize) -> Result<Outcome, String> {
        let limit = self.blueprint.limits.output_bytes;
        let max_rows = GATHER_ROWS.max(rows.saturating_mul(GATHER_FACTOR));
        let keep = selection::keep(output.keep, rows, max_rows)?;
        let (rejects, details) = selection::rejects(output.rejects, rows, self.plan.descriptor.reasons.len())?;
        let height = match &keep {
            Keep::Gather(gather) => {
                let moved: Vec<u32> = gather.iter().map(|row| row + start as u32).collect();
                let bytes = frame.gathered_bytes(&moved).map_err(|error| error.to_string())?;
                if bytes > limit {
                    return Err(format!("gather: the rows grow to {bytes} bytes; at most {limit} are allowed"));
                }
                gather.len()
            }
            _ => rows,
        };
        let fields = &self.plan.writes;
        if output.columns.len() != fields.len() {
            return Err(format!("{} columns, and the transform writes {}", output.columns.len(), fields.len()));
        }
        let mut written = Vec::with_capacity(fields.len());
        for ((field, _), column) in fields.iter().zip(output.columns) {
            let name = field.name();
            let array = output::array(field.data_type(), column, height, limit)
                .map_err(|error| format!("column `{name}`: {error}"))?;
            if !field.is_nullable()
                && array.null_count() > 0
                && let Some(row) = output::first_null(&array, stays(&keep, &rejects, rows))
            {
                return Err(format!("column `{name}`: null in row {row}, and it was described as never null"));
            }
            written.push(array);
        }
        let rejects = rejects.iter().enumerate().map(|(index, reject)| RejectedRow {
            row: reject.row,
            why: Why::Guest { reason: reject.reason, detail: text(details.as_ref(), index) },
        });
        Ok(Outcome { keep, columns: written, rejects: rejects.collect(), failed_calls: 0 })
    }

    /// The pieces of a batch, in order, as one.
    fn merge(&self, pieces: Vec<Piece>) -> Result<Outcome> {
        let is_gather = |piece: &Piece| matches!(&piece.result, Ok(Outcome { keep: Keep::Gather(_), .. }));
        let gather = pieces.iter().any(is_gather);
        let mut kept = Vec::new();
        let mut rejects = Vec::new();
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.plan.writes.len()];
        for Piece { start, end, result } in pieces {
            let moved = |row: u32| row + start as u32;
            match result {
                Ok(outcome) => {
                    let rejected = outcome.rejects.into_iter();
                    rejects.extend(rejected.map(|reject| RejectedRow { row: moved(reject.row), ..reject }));
                    // A piece without a gather has one value per row, also for rows that it drops.
                    match outcome.keep {
                        Keep::All => kept.extend(start as u32..end as u32),
                        Keep::Rows(rows) if !gather => kept.extend(rows.into_iter().map(moved)),
                        Keep::Rows(rows) => {
                            let indices = arrow::array::UInt32Array::from(rows.clone());
                            kept.extend(rows.into_iter().map(moved));
                            for (all, array) in columns.iter_mut().zip(&outcome.columns) {
                                all.push(arrow::compute::take(array, &indices, None).map_err(merge_failed)?);
                            }
                            continue;
                        }
                        Keep::Gather(rows) => kept.extend(rows.into_iter().map(moved)),
                    }
                    columns.iter_mut().zip(outcome.columns).for_each(|(all, array)| all.push(array));
                }
                Err(failure) => {
                    let reject = |row| RejectedRow { row, why: Why::Failure(failure.clone()) };
                    rejects.extend((start as u32..end as u32).map(reject));
                    if !gather {
                        kept.extend(start as u32..end as u32);
                        for (all, (field, _)) in columns.iter_mut().zip(&self.plan.writes) {
                            all.push(new_null_array(field.data_type(), end - start));
                        }
                    }
                }
            }
        }
        let join = |((field, _), arrays): (&(arrow::datatypes::FieldRef, _), Vec<ArrayRef>)| {
            let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
            if arrays.is_empty() {
                return Ok(new_null_array(field.data_type(), 0));
            }
            concat(&arrays).map_err(merge_failed)
        };
        let columns = self.plan.writes.iter().zip(columns).map(join).collect::<Result<_>>()?;
        let keep = if gather { Keep::Gather(kept) } else { Keep::Rows(kept) };
        Ok(Outcome { keep, columns, rejects, failed_calls: 0 })
    }
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

fn merge_failed(error: arrow::error::ArrowError) -> Error {
    Error::fatal("the parts of a batch could not be joined").because(error)
}

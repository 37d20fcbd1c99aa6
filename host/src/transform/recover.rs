//! One transform of a worker: calls it, checks what it hands back, and finds the rows on which it fails.
//!
//! `process` is a function of each row and the settings (that is the contract), so a batch that fails is tried again in
//! halves on fresh instances until the rows that make it fail stand alone: about two calls per halving and poison row.
//! A row is given up only when it fails on an instance that no other row has been through. The time for the search is
//! bounded; what is left then is given up as a block. Rows that are given up are rejected with a built-in reason, or go on
//! unchanged where the policy says so, and all others get their results as if nothing had happened.
//!
//! An instance whose memory has passed its high-water mark is replaced before the next batch. That loses nothing: what an
//! instance keeps is only a cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::FieldRef;

use super::bindings::types;
use super::check::{self, Outcome, RejectedRow, Skipped, Why};
use super::columns::input::InputColumn;
use super::columns::selection::Keep;
use super::descriptor::Plan;
use super::frame::Frame;
use super::instance::{Blueprint, Failure, FailureKind, TransformInstance};
use super::turns::Turns;
use crate::error::{Error, Result};

/// Time for finding poison rows in one batch: this many deadlines (an endless loop costs one per halving), ...
const SEARCH_DEADLINES: u32 = 12;
/// ... for each poison row that is found, up to this many times, ...
const MAX_SEARCHES: u32 = 4;
/// ... but not less than this, for a guest with a tiny deadline.
const MIN_SEARCH: Duration = Duration::from_secs(1);
/// What all parts of a batch that was taken apart may hand back together: this many times what one call may. One call may
/// hand back as much plain, as much again in dictionaries that grow, and as much again by repeating rows.
const PARTS_FACTOR: usize = 3;
/// Attempts at starting an instance: a machine without breath may miss a deadline, and a topic partition stops for it.
const STARTS: u32 = 3;

/// One transform of one worker.
pub(crate) struct Runner {
    name: Arc<str>,
    blueprint: Blueprint,
    plan: Arc<Plan>,
    /// Whether rows on which the guest fails go on unchanged.
    skips: bool,
    /// Bytes beyond which an instance is replaced.
    high_water: usize,
    /// Where the instances are limited: shared with the other workers.
    turns: Option<Arc<Turns<Started>>>,
    /// `None` after a failure or above the high-water mark until it is needed again, and between turns.
    instance: Option<Started>,
}

/// An instance between two batches.
pub(crate) struct Started {
    instance: TransformInstance,
    /// Whether rows have been through it.
    used: bool,
}

/// A call that failed.
struct FailedCall {
    failure: Failure,
    /// Whether it was the first of its instance, so that no other row can be the cause.
    first: bool,
}

/// Rows `start..end` of a batch, and what became of them.
struct Piece {
    start: usize,
    end: usize,
    result: Result<Outcome, Arc<Failure>>,
}

impl Runner {
    /// Starts the first instance, if it may have one now. `skips`: rows on which the guest fails go on unchanged, which the
    /// plan must allow. `high_water`: bytes beyond which an instance is replaced.
    pub(crate) fn new(
        name: Arc<str>,
        blueprint: Blueprint,
        plan: Arc<Plan>,
        skips: bool,
        high_water: usize,
        turns: Option<Arc<Turns<Started>>>,
    ) -> Result<Self> {
        let mut runner = Self { name, blueprint, plan, skips, high_water, turns, instance: None };
        if runner.turns.is_none() {
            runner.instance = Some(runner.fresh()?);
        }
        Ok(runner)
    }

    /// Takes one batch, given as the columns that the plan reads of `frame`, through the transform. Fails only when no
    /// instance can be started.
    pub(crate) fn process(&mut self, columns: &[ArrayRef], frame: &mut Frame) -> Result<Outcome> {
        let Some(turns) = self.turns.clone() else { return self.try_all(columns, frame) };
        self.instance = turns.take();
        let outcome = self.try_all(columns, frame);
        turns.give_back(self.instance.take());
        outcome
    }

    fn try_all(&mut self, columns: &[ArrayRef], frame: &mut Frame) -> Result<Outcome> {
        match self.call(columns, frame, 0, frame.rows())? {
            Ok(outcome) => Ok(outcome),
            Err(failed) => self.search(columns, frame, failed.failure),
        }
    }

    /// The poison rows of a batch that failed as a whole.
    fn search(&mut self, columns: &[ArrayRef], frame: &mut Frame, first: Failure) -> Result<Outcome> {
        let rows = frame.rows();
        let allowed_for_one = (self.blueprint.limits.deadline * SEARCH_DEADLINES).max(MIN_SEARCH);
        let mut allowed = allowed_for_one;
        let started = Instant::now();
        let mut pieces = Vec::new();
        let mut left = self.blueprint.limits.output_bytes.saturating_mul(PARTS_FACTOR);
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
            let mut called = self.call(columns, frame, start, end)?;
            // A single row on an instance that others have been through: perhaps it was they.
            if end - start <= 1 && matches!(&called, Err(failed) if !failed.first) {
                failed_calls += 1;
                called = self.call(columns, frame, start, end)?;
            }
            let failure = match called {
                Ok(outcome) if outcome.bytes <= left => {
                    left -= outcome.bytes;
                    pieces.push(Piece { start, end, result: Ok(outcome) });
                    continue;
                }
                Ok(_) => Failure::new(FailureKind::BadOutput, "the parts of the batch grow too large together"),
                Err(failed) => failed.failure,
            };
            let failure = Arc::new(failure);
            failed_calls += 1;
            last = failure.clone();
            if end - start <= 1 {
                pieces.push(Piece { start, end, result: Err(failure) });
                allowed = (allowed + allowed_for_one).min(allowed_for_one * MAX_SEARCHES);
            } else {
                let middle = start + (end - start) / 2;
                open.extend([(middle, end), (start, middle)]);
            }
        }
        let mut outcome = self.merge(pieces, frame)?;
        outcome.failed_calls = failed_calls;
        Ok(outcome)
    }

    /// One call for rows `start..end`. After a failure, or above the high-water mark, the instance is gone.
    fn call(
        &mut self,
        columns: &[ArrayRef],
        frame: &mut Frame,
        start: usize,
        end: usize,
    ) -> Result<Result<Outcome, FailedCall>> {
        let Started { mut instance, used } = match self.instance.take() {
            Some(started) => started,
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
        let result = match instance.process(batch) {
            Ok(output) => check::checked(&self.plan, self.blueprint.limits.output_bytes, output, frame, start..end)
                .map_err(|text| instance.bad_output(&text)),
            Err(failure) => Err(failure),
        };
        if let Ok(outcome) = &result {
            self.blueprint.gauge.output(outcome.bytes);
            if instance.memory_bytes() <= self.high_water {
                self.instance = Some(Started { instance, used: true });
            } else {
                self.blueprint.gauge.retired();
            }
        }
        Ok(result.map_err(|failure| FailedCall { failure, first: !used }))
    }

    fn fresh(&self) -> Result<Started> {
        let fields: Vec<_> = self.plan.read_fields.iter().map(|field| field.as_param()).collect();
        let mut attempt = 1;
        loop {
            match self.blueprint.start(&fields) {
                Ok(instance) => return Ok(Started { instance, used: false }),
                Err(_) if attempt < STARTS => attempt += 1,
                Err(failure) => {
                    let text = format!("transform `{}` could not start: {}", self.name, failure.detail);
                    return Err(Error::guest(text));
                }
            }
        }
    }

    /// The written columns of rows `start..end` that go on unchanged.
    fn unchanged(&self, frame: &mut Frame, start: usize, end: usize) -> Result<Vec<ArrayRef>> {
        let column = |(field, replaced): &(FieldRef, Option<usize>)| match replaced {
            Some(index) => Ok(frame.column(*index)?.slice(start, end - start)),
            None => Ok(new_null_array(field.data_type(), end - start)),
        };
        self.plan.writes.iter().map(column).collect()
    }

    /// The pieces of a batch, in order, as one.
    fn merge(&self, pieces: Vec<Piece>, frame: &mut Frame) -> Result<Outcome> {
        let is_gather = |piece: &Piece| matches!(&piece.result, Ok(Outcome { keep: Keep::Gather(_), .. }));
        let gather = pieces.iter().any(is_gather);
        let mut kept = Vec::new();
        let mut rejects = Vec::new();
        let mut skipped = Vec::new();
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
                Err(failure) if self.skips => {
                    kept.extend(start as u32..end as u32);
                    let unchanged = self.unchanged(frame, start, end)?;
                    columns.iter_mut().zip(unchanged).for_each(|(all, array)| all.push(array));
                    skipped.push(Skipped { rows: start as u32..end as u32, failure });
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
        let join = |((field, _), arrays): (&(FieldRef, _), Vec<ArrayRef>)| {
            let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
            if arrays.is_empty() {
                return Ok(new_null_array(field.data_type(), 0));
            }
            concat(&arrays).map_err(merge_failed)
        };
        let columns = self.plan.writes.iter().zip(columns).map(join).collect::<Result<_>>()?;
        let keep = if gather { Keep::Gather(kept) } else { Keep::Rows(kept) };
        Ok(Outcome { keep, columns, rejects, skipped, failed_calls: 0, bytes: 0 })
    }
}

fn merge_failed(error: arrow::error::ArrowError) -> Error {
    Error::fatal("the parts of a batch could not be joined").because(error)
}

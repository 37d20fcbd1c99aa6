//! A deployment tried on recent events beside the present one, before it is accepted. Nothing is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, Rows, SortField};
use serde::Serialize;

use super::sampled::{Choice, Made, Sampled};
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::report::grouped;
use crate::source::SourceBatch;
use crate::transform::{ChainInstance, ChainOutput, TransformChain, TransformCounts};

/// How many events of each kind of difference are named.
const EXAMPLES: usize = 5;

/// What became of the same events in the new deployment and in the present one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// Events of the sample.
    pub events: u64,
    /// Of these, those that are no events of the schema; no transform saw them.
    pub undecodable: u64,
    /// The new deployment.
    pub new: Side,
    /// The present one, where there is one.
    pub present: Option<Side>,
    /// Where the two differ, where there is a present one.
    pub changed: Option<Changed>,
    /// Some of the events, those that differ first.
    pub sampled: Vec<Sampled>,
}

/// What became of the events in one deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Side {
    /// Events that go into the table.
    pub kept: u64,
    /// Events that were filtered.
    pub filtered: u64,
    /// Events that were rejected, or on which a transform failed, by transform and reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Calls in which a transform failed.
    pub failed_calls: u64,
    /// Time of all transforms for one event, in microseconds: on this machine, for comparison.
    pub us_per_event: f64,
    /// The most memory that its instances had, one of each transform, in bytes.
    pub memory_bytes: u64,
    /// What each transform did, in order.
    pub transforms: Vec<TransformCounts>,
}

/// Events on which the two deployments differ, with the first few of each kind as `TOPIC/PARTITION@OFFSET`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Changed {
    /// Kept by the new one only.
    pub kept_now: Examples,
    /// Kept by the present one only.
    pub kept_before: Examples,
    /// Kept by both, with other values in columns that both have.
    pub other_values: Examples,
}

/// How many, and the first few.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Examples {
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<String>,
}

impl Examples {
    fn add(&mut self, batch: &SourceBatch, message: u32) {
        self.count += 1;
        if self.first.len() < EXAMPLES {
            let offset = batch.messages.get(message as usize).offset;
            self.first.push(format!("{}@{offset}", batch.topic_partition));
        }
    }
}

impl Side {
    /// Events that became dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.dead_lettered.values().sum()
    }

    fn add(&mut self, chain: &TransformChain, output: &ChainOutput) {
        self.kept += output.messages.chunk_by(|a, b| a == b).count() as u64;
        self.filtered += output.filtered;
        for rejected in &output.rejected {
            let cause = format!("{}: {}", chain.transforms()[rejected.transform].name, rejected.reason);
            *self.dead_lettered.entry(cause).or_default() += 1;
        }
        self.failed_calls += output.failures.iter().map(|failure| u64::from(failure.failed_calls)).sum::<u64>();
    }
}

/// One deployment under trial.
struct Trial<'c> {
    chain: &'c TransformChain,
    instance: ChainInstance,
    side: Side,
    spent: Duration,
}

impl<'c> Trial<'c> {
    fn new(chain: &'c TransformChain) -> Result<Self> {
        Ok(Self { chain, instance: chain.instantiate()?, side: Side::default(), spent: Duration::ZERO })
    }

    fn finish(mut self, events: u64) -> Side {
        self.side.us_per_event = self.spent.as_secs_f64() * 1e6 / events.max(1) as f64;
        let counts = self.chain.counts();
        self.side.memory_bytes = counts.iter().filter_map(|counts| Some(counts.used.as_ref()?.memory_bytes)).sum();
        self.side.transforms = counts;
        self.side
    }
}

/// Runs the sample through the new chain and, where there is one, through the present chain.
///
/// # Errors
/// A transform whose policy is to stop fails on an event; or it cannot be started again; or the decoder is not ready for
/// the sample.
pub fn rehearse(
    decoder: &mut Decoder,
    sample: &[SourceBatch],
    new: &TransformChain,
    present: Option<&TransformChain>,
) -> Result<Rehearsal> {
    let mut new = Trial::new(new)?;
    let mut present = present.map(Trial::new).transpose()?;
    let (mut events, mut undecodable) = (0, 0);
    let (mut changed, mut choice) = (Changed::default(), Choice::default());
    for batch in sample {
        let decoded = decoder.decode(batch)?;
        events += batch.messages.len() as u64;
        undecodable += decoded.undecodable.len() as u64;
        let run = |trial: &mut Trial<'_>| -> Result<ChainOutput> {
            let started = Instant::now();
            let output = trial.instance.process(&decoded, batch)?;
            trial.spent += started.elapsed();
            trial.side.add(trial.chain, &output);
            Ok(output)
        };
        let now = run(&mut new)?;
        let before = present.as_mut().map(run).transpose()?;
        let now = Made { chain: new.chain, output: &now };
        let before = present.as_ref().zip(before.as_ref());
        let before = before.map(|(trial, output)| Made { chain: trial.chain, output });
        let differing = match &before {
            Some(before) => compare(batch, before, &now, &mut changed)?,
            None => BTreeSet::new(),
        };
        choice.look(batch, &decoded, &now, before.as_ref(), &differing);
    }
    Ok(Rehearsal {
        events,
        undecodable,
        new: new.finish(events),
        changed: present.is_some().then_some(changed),
        present: present.map(|trial| trial.finish(events)),
        sampled: choice.finish(),
    })
}

/// Rows by their messages, in a form that compares.
struct Comparable {
    rows: Rows,
    of: HashMap<u32, std::ops::Range<usize>>,
}

impl Comparable {
    fn new(converter: &RowConverter, columns: &[ArrayRef], output: &ChainOutput) -> Result<Self> {
        let rows = converter.convert_columns(columns).map_err(not_comparable)?;
        let mut of: HashMap<u32, std::ops::Range<usize>> = HashMap::new();
        for (row, message) in output.messages.iter().enumerate() {
            of.entry(*message).or_insert(row..row).end = row + 1;
        }
        Ok(Self { rows, of })
    }
}

/// Counts where the two differ; the messages on which they do, those among them that only have another reason.
fn compare(batch: &SourceBatch, before: &Made<'_>, now: &Made<'_>, changed: &mut Changed) -> Result<BTreeSet<u32>> {
    let is_rejected_otherwise = |message: &u32| {
        let (before, now) = (before.rejection(*message), now.rejection(*message));
        // What was found may well be another each time.
        before.map(|(transform, reason, _)| (transform, reason))
            != now.map(|(transform, reason, _)| (transform, reason))
    };
    let messages = 0..batch.messages.len() as u32;
    let mut differing: BTreeSet<u32> = messages.clone().filter(is_rejected_otherwise).collect();
    let (before, now) = (before.output, now.output);
    let (old, new) = (before.rows.schema(), now.rows.schema());
    let mut fields = Vec::new();
    let (mut columns_before, mut columns_now) = (Vec::new(), Vec::new());
    for (index, field) in old.fields().iter().enumerate() {
        let Some((at, other)) = new.column_with_name(field.name()) else { continue };
        if other.data_type() == field.data_type() {
            fields.push(SortField::new(field.data_type().clone()));
            columns_before.push(Arc::clone(before.rows.column(index)));
            columns_now.push(Arc::clone(now.rows.column(at)));
        }
    }
    let converter = RowConverter::new(fields).map_err(not_comparable)?;
    let before = Comparable::new(&converter, &columns_before, before)?;
    let now = Comparable::new(&converter, &columns_now, now)?;
    for message in messages {
        let kind = match (before.of.get(&message), now.of.get(&message)) {
            (None, Some(_)) => &mut changed.kept_now,
            (Some(_), None) => &mut changed.kept_before,
            (Some(a), Some(b)) => {
                if a.clone().map(|row| before.rows.row(row)).eq(b.clone().map(|row| now.rows.row(row))) {
                    continue;
                }
                &mut changed.other_values
            }
            (None, None) => continue,
        };
        kind.add(batch, message);
        differing.insert(message);
    }
    Ok(differing)
}

fn not_comparable(error: arrow::error::ArrowError) -> Error {
    Error::fatal("the rows of the two deployments cannot be compared").because(error)
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<(&str, &Side)> = [("present", self.present.as_ref()), ("new", Some(&self.new))]
            .into_iter()
            .filter_map(|(name, side)| Some((name, side?)))
            .collect();
        let undecodable = match self.undecodable {
            0 => String::new(),
            count => format!(", {} of them not of the schema", grouped(count)),
        };
        writeln!(f, "tried on {} events{undecodable}:", grouped(self.events))?;
        write!(f, "  {:24}", "")?;
        sides.iter().try_for_each(|(name, _)| write!(f, "{name:>12}"))?;
        writeln!(f)?;
        let mut line = |name: &str, value: &dyn Fn(&Side) -> String| {
            write!(f, "  {name:24}")?;
            sides.iter().try_for_each(|(_, side)| write!(f, "{:>12}", value(side)))?;
            writeln!(f)
        };
        line("kept", &|side| grouped(side.kept))?;
        line("filtered", &|side| grouped(side.filtered))?;
        line("dead-lettered", &|side| grouped(side.dead_letters()))?;
        let causes: std::collections::BTreeSet<&String> =
            sides.iter().flat_map(|(_, side)| side.dead_lettered.keys()).collect();
        for cause in causes {
            line(&format!("  {cause}"), &|side| grouped(side.dead_lettered.get(cause).copied().unwrap_or_default()))?;
        }
        line("failed calls", &|side| grouped(side.failed_calls))?;
        line("us per event", &|side| format!("{:.2}", side.us_per_event))?;
        line("memory in MiB", &|side| format!("{:.1}", side.memory_bytes as f64 / f64::from(1 << 20)))?;
        let Some(changed) = &self.changed else { return Ok(()) };
        for (what, examples) in [
            ("kept only by the new one", &changed.kept_now),
            ("kept only by the present one", &changed.kept_before),
            ("kept by both with other values", &changed.other_values),
        ] {
            if examples.count > 0 {
                writeln!(
                    f,
                    "  {}: {} ({}{})",
                    what,
                    grouped(examples.count),
                    examples.first.join(", "),
                    if examples.count > examples.first.len() as u64 { ", ..." } else { "" }
                )?;
            }
        }
        Ok(())
    }
}

//! Which directory a row belongs to.
//!
//! A [`HivePartitioner`] splits a batch by the hive partition of each row: parts of the event time (`year`, `month`, `day`,
//! `hour`, in UTC), values of columns, or both. Each piece carries what a file holds, that is, all columns but those in its
//! path. A row whose event time is missing or impossible, or whose value makes no directory name, is rejected with its
//! reason; every row is in exactly one piece or rejected.
//!
//! It knows nothing of files and does no I/O. That a name stands for a part of the event time or for a column, and never for
//! both, was settled when the pipeline file was read ([`TableConfig::check_columns`]).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};

use crate::config::{self, TableConfig};
use crate::error::{Error, Result};
use crate::reason;

use super::hive_path::{self, TimePart};

const HOUR_US: i64 = 3_600_000_000;

/// 2200-01-01T00:00:00Z: event times from here on are taken for mistakes (of the unit, mostly).
const END_OF_TIME_US: i64 = 7_258_118_400_000_000;

/// Texts of paths kept from batch to batch; more than this and they are made anew.
const CACHED_PATHS: usize = 4_096;

/// A run of rows of one partition is passed on without a copy when it is at least this part of its batch. Smaller ones are
/// copied: a slice keeps the whole batch in memory.
const ZERO_COPY_DIVISOR: usize = 4;

/// A batch, split.
#[derive(Debug)]
pub struct Split {
    /// One per hive partition, in the order of first appearance.
    pub pieces: Vec<Piece>,
    /// Rows that belong nowhere, by increasing row.
    pub rejected: Vec<Rejected>,
}

/// The rows of one hive partition.
#[derive(Debug)]
pub struct Piece {
    /// `year=2026/month=11/day=24/hour=00`; empty when the table is not partitioned.
    pub hive_partition: Arc<str>,
    /// The rows, in order, without the columns that stand in the path.
    pub rows: RecordBatch,
    /// Which rows of the batch they are.
    pub origin: Rows,
    /// The smallest event time, in microseconds since 1970.
    pub min_event_time_us: i64,
    /// The largest event time, in microseconds since 1970.
    pub max_event_time_us: i64,
}

/// Row numbers of a batch, increasing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// Rows without a gap.
    Run(Range<u32>),
    /// Any rows.
    Picked(Vec<u32>),
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Run(run) => run.len(),
            Self::Picked(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each row number.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (run, picked) = match self {
            Self::Run(run) => (run.clone(), [].iter()),
            Self::Picked(rows) => (0..0, rows.iter()),
        };
        run.chain(picked.copied())
    }

    fn push(&mut self, row: u32) {
        match self {
            Self::Run(run) if run.end == row => run.end += 1,
            Self::Run(run) => *self = Self::Picked(run.clone().chain([row]).collect()),
            Self::Picked(rows) => rows.push(row),
        }
    }
}

/// A row that has no place in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The row of the batch.
    pub row: u32,
    /// A built-in reason ([`crate::reason`]).
    pub reason: &'static str,
    /// What was found and what was wanted.
    pub detail: String,
}

/// Splits batches of one schema by hive partition.
#[derive(Debug, Clone)]
pub struct HivePartitioner {
    event_time: usize,
    event_time_name: String,
    scale: Scale,
    parts: Vec<Part>,
    by_time: bool,
    kept: Vec<usize>,
    file_schema: SchemaRef,
    max_future_us: i64,
    paths: HashMap<Vec<u8>, Path>,
}

/// A directory, or why there is none.
type Path = std::result::Result<Arc<str>, String>;

/// One directory level.
#[derive(Debug, Clone)]
enum Part {
    Time(TimePart),
    Column { name: String, index: usize },
}

/// From the unit of the event time's column to microseconds.
#[derive(Debug, Clone, Copy)]
enum Scale {
    Times(i64),
    Nanoseconds,
}

/// Rows of one directory while a batch is split.
struct Group {
    path: Path,
    origin: Rows,
    min_us: i64,
    max_us: i64,
}

impl HivePartitioner {
    /// A partitioner for batches of `schema`: the columns behind the last transform.
    pub fn new(table: &TableConfig, schema: &Schema) -> Result<Self> {
        table.check_columns(schema)?;
        super::part_file::check_names(schema)?;
        let index_of =
            |name: &str| schema.index_of(name).map_err(|error| Error::config("a column is missing").because(error));
        let event_time = index_of(&table.event_time.column)?;
        let mut parts = Vec::new();
        for name in &table.partition_by {
            parts.push(match TimePart::named(name) {
                Some(part) => Part::Time(part),
                None => Part::Column { name: name.clone(), index: index_of(name)? },
            });
        }
        let in_path =
            |index: &usize| parts.iter().any(|part| matches!(part, Part::Column { index: i, .. } if i == index));
        let kept: Vec<usize> = (0..schema.fields().len()).filter(|index| !in_path(index)).collect();
        let file_schema =
            schema.project(&kept).map_err(|error| Error::fatal("cannot select columns").because(error))?;
        Ok(Self {
            event_time,
            event_time_name: table.event_time.column.clone(),
            scale: scale(schema.field(event_time).data_type(), table.event_time.unit),
            by_time: parts.iter().any(|part| matches!(part, Part::Time(_))),
            parts,
            kept,
            file_schema: Arc::new(file_schema),
            max_future_us: i64::try_from(table.max_future.as_micros()).unwrap_or(i64::MAX),
            paths: HashMap::new(),
        })
    }

    /// The columns of a file: those of the batch without those in the path.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// Splits a batch. `now_ms` (milliseconds since 1970) is what "in the future" is measured against.
    pub fn split(&mut self, batch: &RecordBatch, now_ms: i64) -> Result<Split> {
        let times = self.times(batch)?;
        let times = times.as_primitive::<Int64Type>();
        let latest_us = now_ms.saturating_mul(1_000).saturating_add(self.max_future_us).min(END_OF_TIME_US - 1);
        let columns: Vec<&ArrayRef> = self
            .parts
            .iter()
            .filter_map(|part| if let Part::Column { index, .. } = part { Some(batch.column(*index)) } else { None })
            .collect();

        let mut groups: Vec<Group> = Vec::new();
        let mut rejected = Vec::new();
        let mut by_key: HashMap<Vec<u8>, usize> = HashMap::new();
        let (mut current, mut hour, mut key, mut last_key) = (usize::MAX, 0..0, Vec::new(), Vec::new());
        for (row, value) in (0_u32..).zip(times.values()) {
            let time = if times.is_null(row as usize) { None } else { Some(*value) };
            let us = match self.event_time_us(time, latest_us) {
                Ok(us) => us,
                Err((reason, detail)) => {
                    rejected.push(Rejected { row, reason, detail });
                    continue;
                }
            };
            if !hour.contains(&us) {
                let start = if self.by_time { us - us.rem_euclid(HOUR_US) } else { i64::MIN };
                hour = start..if self.by_time { start + HOUR_US } else { i64::MAX };
                current = usize::MAX;
            }
            if current == usize::MAX || !columns.is_empty() {
                key.clear();
                key.extend_from_slice(&hour.start.to_le_bytes());
                columns.iter().for_each(|column| hive_path::push_key(column, row as usize, &mut key));
                if current == usize::MAX || key != last_key {
                    current = self.group(&key, hour.start, batch, row, &mut by_key, &mut groups);
                    last_key.clone_from(&key);
                }
            }
            let group = &mut groups[current];
            match &group.path {
                Ok(_) => {
                    group.origin.push(row);
                    group.min_us = group.min_us.min(us);
                    group.max_us = group.max_us.max(us);
                }
                Err(detail) => {
                    rejected.push(Rejected { row, reason: reason::HIVE_VALUE_TOO_LONG, detail: detail.clone() });
                }
            }
        }
        let pieces = self.pieces(batch, groups)?;
        Ok(Split { pieces, rejected })
    }

    /// The event times as 64-bit integers of the column's own unit.
    fn times(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let column = batch.column(self.event_time);
        if *column.data_type() == DataType::Int64 {
            return Ok(Arc::clone(column));
        }
        cast(column, &DataType::Int64).map_err(|error| Error::fatal("cannot read the event time").because(error))
    }

    fn event_time_us(&self, time: Option<i64>, latest_us: i64) -> std::result::Result<i64, (&'static str, String)> {
        let Some(time) = time else {
            return Err((reason::NO_EVENT_TIME, format!("column {:?} is null", self.event_time_name)));
        };
        let us = match self.scale {
            Scale::Times(factor) => time.checked_mul(factor),
            Scale::Nanoseconds => Some(time.div_euclid(1_000)),
        };
        match us {
            Some(us) if (0..=latest_us).contains(&us) => Ok(us),
            _ => Err((reason::EVENT_TIME_OUT_OF_RANGE, self.out_of_range(time, us))),
        }
    }

    #[cold]
    fn out_of_range(&self, time: i64, us: Option<i64>) -> String {
        let name = &self.event_time_name;
        let shown = us.and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
        let shown = shown.map_or_else(String::new, |time| format!(", which is {time}"));
        format!(
            "column {name:?} holds {time}{shown}; wanted 1970 to 2199, and not further in the future than max_future"
        )
    }

    /// The group of a key, made if need be. Several keys can have one path (a month has many hours, null and the empty
    /// string share the default partition).
    fn group(
        &mut self,
        key: &[u8],
        hour_us: i64,
        batch: &RecordBatch,
        row: u32,
        by_key: &mut HashMap<Vec<u8>, usize>,
        groups: &mut Vec<Group>,
    ) -> usize {
        if let Some(group) = by_key.get(key) {
            return *group;
        }
        let path = match self.paths.get(key) {
            Some(path) => path.clone(),
            None => {
                if self.paths.len() >= CACHED_PATHS {
                    self.paths.clear();
                }
                let path = self.path(hour_us, batch, row as usize);
                self.paths.insert(key.to_vec(), path.clone());
                path
            }
        };
        let group = groups.iter().position(|group| group.path == path).unwrap_or(groups.len());
        if group == groups.len() {
            groups.push(Group { path, origin: Rows::Run(row..row), min_us: i64::MAX, max_us: i64::MIN });
        }
        by_key.insert(key.to_vec(), group);
        group
    }

    fn path(&self, hour_us: i64, batch: &RecordBatch, row: usize) -> Path {
        let time = hive_path::UtcHour::new(hour_us);
        let mut path = String::new();
        for part in &self.parts {
            if !path.is_empty() {
                path.push('/');
            }
            match part {
                Part::Time(part) => {
                    // Writing to a string does not fail.
                    let _ = write!(path, "{}={}", part.name(), time.value(*part));
                }
                Part::Column { name, index } => {
                    hive_path::escape(name, &mut path);
                    path.push('=');
                    hive_path::push_value(name, batch.column(*index), row, &mut path)?;
                }
            }
        }
        Ok(path.into())
    }

    fn pieces(&self, batch: &RecordBatch, groups: Vec<Group>) -> Result<Vec<Piece>> {
        let failed = |error| Error::fatal("cannot split a batch").because(error);
        let columns = self.kept.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let kept = RecordBatch::try_new(Arc::clone(&self.file_schema), columns).map_err(failed)?;
        let mut pieces = Vec::with_capacity(groups.len());
        for Group { path, origin, min_us, max_us } in groups {
            let Ok(hive_partition) = path else { continue };
            let rows = match &origin {
                Rows::Run(run) if run.len() == batch.num_rows() => kept.clone(),
                Rows::Run(run) if run.len() >= batch.num_rows() / ZERO_COPY_DIVISOR => {
                    kept.slice(run.start as usize, run.len())
                }
                rows => take_record_batch(&kept, &UInt32Array::from_iter_values(rows.iter())).map_err(failed)?,
            };
            let (min_event_time_us, max_event_time_us) = (min_us, max_us);
            pieces.push(Piece { hive_partition, rows, origin, min_event_time_us, max_event_time_us });
        }
        Ok(pieces)
    }
}

fn scale(kind: &DataType, unit: config::TimeUnit) -> Scale {
    match (kind, unit) {
        (DataType::Timestamp(TimeUnit::Nanosecond, _), _) => Scale::Nanoseconds,
        (DataType::Timestamp(TimeUnit::Microsecond, _), _) => Scale::Times(1),
        (DataType::Timestamp(TimeUnit::Millisecond, _), _) => Scale::Times(1_000),
        (DataType::Timestamp(TimeUnit::Second, _), _) => Scale::Times(1_000_000),
        (_, config::TimeUnit::Microseconds) => Scale::Times(1),
        (_, config::TimeUnit::Milliseconds) => Scale::Times(1_000),
        (_, config::TimeUnit::Seconds) => Scale::Times(1_000_000),
    }
}

#[cfg(test)]
#[path = "hive_tests.rs"]
mod tests;

//! `table head`: the first rows, as any reader of the directory would see them.

use arrow::array::RecordBatch;
use indicatif::ProgressBar;
use parquet::arrow::ProjectionMask;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::Problem;
use super::cell::cell;
use super::part::{self, PartError, PartRows};
use super::scan::{DataFile, scan};
use crate::error::{Error, Result};
use crate::storage::Location;

/// Rows of one batch: few are wanted.
const BATCH_ROWS: usize = 1_024;

/// What `table head` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadOptions {
    /// How many rows. Default 10.
    pub rows: usize,
    /// Only these columns, in this order; empty: all.
    pub columns: Vec<String>,
    /// Only what lies below this path of the table: `year=2026/month=11`.
    pub below: Option<String>,
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self { rows: 10, columns: Vec::new(), below: None }
    }
}

/// The first rows of a table. Serialises to a list of objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// Columns of the files in the order of the first one, then those of the paths.
    pub columns: Vec<String>,
    /// One value per column.
    pub rows: Vec<Vec<Value>>,
    /// Files that are no readable Parquet.
    pub problems: Vec<Problem>,
}

/// One row: serialises to an object whose keys keep their order.
pub struct HeadRow<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Head {
    /// The rows as objects.
    pub fn objects(&self) -> impl Iterator<Item = HeadRow<'_>> {
        self.rows.iter().map(|values| HeadRow { columns: &self.columns, values })
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in self.objects() {
            list.serialize_element(&row)?;
        }
        list.end()
    }
}

impl Serialize for HeadRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, value) in self.columns.iter().zip(self.values) {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}

/// Reads the first rows, file by file in the order of their paths.
///
/// # Errors
/// The storage does not answer, or no file that was read has a column that was asked for.
pub async fn head(location: &Location, options: &HeadOptions, progress: &ProgressBar) -> Result<Head> {
    let partitions = scan(location, options.below.as_deref(), |_| true, progress).await?;
    progress.set_message("reading");
    let mut rows = Rows::default();
    let mut problems = Vec::new();
    'all: for partition in &partitions {
        let values = partition.values();
        for file in &partition.files {
            if rows.rows.len() >= options.rows {
                break 'all;
            }
            let read = rows.read(location, file, &values, options).await;
            part::readable(file, read, &mut problems)?;
        }
    }
    let (columns, rows) = rows.finish(&options.columns)?;
    Ok(Head { columns, rows, problems })
}

/// Rows of files that need not have the same columns.
#[derive(Default)]
struct Rows {
    /// Columns of files, then of paths, in the order of first appearance.
    columns: [Vec<String>; 2],
    /// Values of both, by the position of their column.
    rows: Vec<[Vec<Value>; 2]>,
}

impl Rows {
    async fn read(
        &mut self,
        location: &Location,
        file: &DataFile,
        path: &[(String, Option<String>)],
        options: &HeadOptions,
    ) -> std::result::Result<(), PartError> {
        let storage = &*location.storage;
        let footer = part::footer(storage, file).await?;
        let left = options.rows - self.rows.len();
        let mut rows = PartRows::new(storage, file, footer, |builder| {
            let mut builder = builder.with_limit(left).with_batch_size(left.clamp(1, BATCH_ROWS));
            if !options.columns.is_empty() {
                let roots = builder.schema().fields().iter().enumerate();
                let wanted: Vec<usize> =
                    roots.filter(|(_, field)| options.columns.contains(field.name())).map(|(i, _)| i).collect();
                let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
                builder = builder.with_projection(mask);
            }
            builder
        })?;
        while let Some(batch) = rows.next().await? {
            self.add(&batch, path);
        }
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch, path: &[(String, Option<String>)]) {
        let schema = batch.schema();
        let [in_files, in_paths] = &mut self.columns;
        let at: Vec<usize> = schema.fields().iter().map(|field| position(in_files, field.name())).collect();
        let path: Vec<(usize, Value)> = path
            .iter()
            .filter(|(name, _)| schema.index_of(name).is_err())
            .map(|(name, value)| (position(in_paths, name), Value::from(value.clone())))
            .collect();
        for row in 0..batch.num_rows() {
            let mut values = [vec![Value::Null; in_files.len()], vec![Value::Null; in_paths.len()]];
            for (column, at) in batch.columns().iter().zip(&at) {
                values[0][*at] = cell(column, row);
            }
            for (at, value) in &path {
                values[1][*at] = value.clone();
            }
            self.rows.push(values);
        }
    }

    /// Columns and rows; those asked for, or all.
    fn finish(self, wanted: &[String]) -> Result<(Vec<String>, Vec<Vec<Value>>)> {
        let [in_files, in_paths] = self.columns;
        let mut rows: Vec<Vec<Value>> = Vec::with_capacity(self.rows.len());
        for [mut values, path] in self.rows {
            values.resize(in_files.len(), Value::Null);
            values.extend(path);
            values.resize(in_files.len() + in_paths.len(), Value::Null);
            rows.push(values);
        }
        let columns: Vec<String> = in_files.into_iter().chain(in_paths).collect();
        if wanted.is_empty() || rows.is_empty() {
            return Ok((columns, rows));
        }
        let mut at = Vec::with_capacity(wanted.len());
        for name in wanted {
            let found = columns.iter().position(|column| column == name);
            at.push(found.ok_or_else(|| {
                Error::config(format!("the table has no column {name:?}"))
                    .hint("`wasmill table schema` lists its columns")
            })?);
        }
        let rows = rows.into_iter().map(|row| at.iter().map(|at| row[*at].clone()).collect()).collect();
        Ok((wanted.to_vec(), rows))
    }
}

/// The position of `name`, added at the end when it is new.
fn position(columns: &mut Vec<String>, name: &str) -> usize {
    columns.iter().position(|column| column == name).unwrap_or_else(|| {
        columns.push(name.to_owned());
        columns.len() - 1
    })
}

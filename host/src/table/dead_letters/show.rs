//! Everything about the dead letters of one message.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::stream::{self, StreamExt};
use indicatif::ProgressBar;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use serde::Serialize;

use super::super::part::{self, PartError, PartRows};
use super::super::scan::{DataFile, scan};
use super::super::{FILES_SIDE_BY_SIDE, Problem, cell};
use super::Coordinates;
use super::replayed::Replayed;
use super::rows::{self, COORDINATES, Rows, are_of};
use crate::error::Result;
use crate::source::Header;
use crate::storage::{Location, Storage};

/// The dead letters of one message: none, one, or several where a transform makes many rows of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Letters {
    /// Which message.
    pub message: Coordinates,
    /// In the order in which they were set aside.
    pub letters: Vec<Letter>,
    /// Files that are no readable dead letters.
    pub problems: Vec<Problem>,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Letter {
    /// When it was set aside, as RFC 3339.
    pub recorded_at: String,
    /// `decode`, `transform` or `table`.
    pub stage: String,
    /// The transform, where the stage is one.
    pub transform: Option<String>,
    /// The transform's version.
    pub version: Option<String>,
    /// The reason's code.
    pub reason: String,
    /// What was found and what was wanted.
    pub message: String,
    /// The deployment's number.
    pub deployment: Option<i64>,
    /// The message's own time, as RFC 3339.
    pub timestamp: Option<String>,
    /// The message's key.
    pub key: Option<Content>,
    /// The message's headers, in order.
    pub headers: Vec<(String, Option<Content>)>,
    /// The message's payload as it was received; `None`: a tombstone.
    pub payload: Option<Content>,
    /// The file that holds it, below the location.
    pub file: String,
    /// Whether it was replayed since.
    pub replayed: bool,
    #[serde(skip)]
    recorded_us: i64,
}

/// Bytes of a message: text where they are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else, in base64.
    Base64(String),
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }
}

/// Finds the dead letters of a message, those that were replayed included, which are marked.
///
/// # Errors
/// The storage does not answer.
pub async fn show(
    location: &Location,
    message: &Coordinates,
    replayed: &Replayed,
    progress: &ProgressBar,
) -> Result<Letters> {
    let partitions = scan(location, None, |_| true, progress).await?;
    let files: Vec<DataFile> = partitions.into_iter().flat_map(|partition| partition.files).collect();
    progress.set_message("reading dead letters");
    progress.set_length(files.len() as u64);
    let mut letters = Vec::new();
    let mut problems = Vec::new();
    let reads = files.iter().map(|file| async move { (file, read(&*location.storage, file, message, replayed).await) });
    let mut read = stream::iter(reads).buffered(FILES_SIDE_BY_SIDE);
    while let Some((file, part)) = read.next().await {
        progress.inc(1);
        letters.extend(part::readable(file, part, &mut problems)?.unwrap_or_default());
    }
    letters.sort_by_key(|letter| letter.recorded_us);
    Ok(Letters { message: message.clone(), letters, problems })
}

async fn read(
    storage: &dyn Storage,
    file: &DataFile,
    message: &Coordinates,
    replayed: &Replayed,
) -> std::result::Result<Vec<Letter>, PartError> {
    let footer = part::footer(storage, file).await?;
    let groups: Vec<usize> = (0..footer.num_row_groups()).filter(|i| may_hold(&footer, *i, message)).collect();
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = message.clone();
    // The filter sees every row of these row groups in order, so it knows their numbers.
    let found: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (noting, mut numbers) = (Arc::clone(&found), numbers_of(&footer, &groups).into_iter());
    // Payloads are fetched only of row groups that hold a row of this message.
    let mut rows = PartRows::new(storage, file, footer, |builder| {
        let mask = ProjectionMask::columns(builder.parquet_schema(), COORDINATES);
        let is_wanted = ArrowPredicateFn::new(mask, move |batch| {
            let is_wanted = are_of(&batch, &wanted)?;
            let rows = numbers.by_ref().take(batch.num_rows()).zip(&is_wanted);
            let mut noting = noting.lock().unwrap_or_else(PoisonError::into_inner);
            noting.extend(rows.filter(|(_, is)| *is == Some(true)).map(|(number, _)| number));
            Ok(is_wanted)
        });
        builder.with_row_groups(groups).with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
    })?;
    let mut letters = Vec::new();
    while let Some(batch) = rows.next().await? {
        letters.extend(read_letters(&Rows(&batch), &file.path)?);
    }
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    for (letter, number) in letters.iter_mut().zip(found.iter()) {
        letter.replayed = replayed.holds(&file.absolute, *number);
    }
    Ok(letters)
}

/// The numbers of all rows of these row groups.
fn numbers_of(footer: &ParquetMetaData, groups: &[usize]) -> Vec<u64> {
    let rows = |group: usize| footer.row_group(group).num_rows().unsigned_abs();
    let first = |group: usize| (0..group).map(rows).sum::<u64>();
    groups.iter().flat_map(|&group| first(group)..first(group) + rows(group)).collect()
}

/// Whether a row group may hold the message, by its statistics.
fn may_hold(footer: &ParquetMetaData, group: usize, message: &Coordinates) -> bool {
    let group = footer.row_group(group);
    may_equal(group, "offset", message.offset) && may_equal(group, "topic_partition", message.topic_partition.into())
}

fn may_equal(group: &RowGroupMetaData, name: &str, value: i64) -> bool {
    let column = group.columns().iter().find(|column| column.column_path().parts() == [name]);
    let (min, max) = match column.and_then(|column| column.statistics()) {
        Some(Statistics::Int32(of)) => (of.min_opt().map(|n| i64::from(*n)), of.max_opt().map(|n| i64::from(*n))),
        Some(Statistics::Int64(of)) => (of.min_opt().copied(), of.max_opt().copied()),
        _ => (None, None),
    };
    min.is_none_or(|min| min <= value) && max.is_none_or(|max| max >= value)
}

fn read_letters(rows: &Rows<'_>, file: &str) -> std::result::Result<Vec<Letter>, PartError> {
    let (stages, transforms, versions) = (rows.text("stage")?, rows.text("transform")?, rows.text("version")?);
    let (reasons, messages) = (rows.text("reason")?, rows.text("message")?);
    let (deployments, timestamps, recorded) =
        (rows.numbers("deployment")?, rows.times("timestamp")?, rows.times("recorded_at")?);
    let (keys, payloads) =
        (rows.column("key", &DataType::LargeBinary)?, rows.column("payload", &DataType::LargeBinary)?);
    let headers = rows.0.column_by_name("headers");
    let letter = |row| {
        let recorded_us = recorded.get(row).unwrap_or_default();
        Letter {
            recorded_at: cell::time(recorded_us),
            stage: stages.owned(row).unwrap_or_default(),
            transform: transforms.owned(row),
            version: versions.owned(row),
            reason: reasons.owned(row).unwrap_or_default(),
            message: messages.owned(row).unwrap_or_default(),
            deployment: deployments.get(row),
            timestamp: timestamps.get(row).map(cell::time),
            key: content(&keys, row),
            headers: headers.map(|headers| read_headers(headers, row)).unwrap_or_default(),
            payload: content(&payloads, row),
            file: file.to_owned(),
            replayed: false,
            recorded_us,
        }
    };
    Ok((0..rows.len()).map(letter).collect())
}

fn content(column: &ArrayRef, row: usize) -> Option<Content> {
    rows::bytes(column, row).map(Content::from)
}

fn read_headers(column: &ArrayRef, row: usize) -> Vec<(String, Option<Content>)> {
    let content = |(key, value): Header| (key, value.as_deref().map(Content::from));
    rows::headers(column, row).into_iter().map(content).collect()
}

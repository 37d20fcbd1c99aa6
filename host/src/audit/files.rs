//! The files of a table: which there are, what their footers say, and what their rows say where those were asked for.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use futures::FutureExt as _;
use futures::stream::{self, StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::basic::Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::Options;
use super::facts::{FileFact, Footer, Origin, Part, Rows};
use crate::error::{Error, Result};
use crate::source::TopicPartition;
use crate::storage::{Location, StorageError};
use crate::table::part::{self, PartError, PartRows};
use crate::table::scan::{DataFile, scan};

/// Files that are read side by side.
const FILES_SIDE_BY_SIDE: usize = 16;

/// Columns that say which message a row is of. A table that has all three, of these types, carries them as the dead
/// letters do.
const COORDINATES: [&str; 3] = ["topic", "topic_partition", "offset"];

/// Walks over a table and reads every footer.
pub(super) async fn walk(part: Part, location: &Location, options: &Options) -> Result<Vec<FileFact>> {
    let partitions = scan(location, None, |_| true, &options.progress).await?;
    let files = partitions.into_iter().flat_map(|partition| partition.files);
    read(part, location, files.map(|file| (file.absolute, file.bytes)).collect(), options).await
}

/// Reads the footers of files given by path and length.
pub(super) async fn read(
    part: Part,
    location: &Location,
    files: Vec<(String, u64)>,
    options: &Options,
) -> Result<Vec<FileFact>> {
    let progress = &options.progress;
    progress.set_message(match part {
        Part::Table => "reading footers of the table",
        Part::DeadLetters => "reading footers of the dead letters",
    });
    progress.set_length(files.len() as u64);
    progress.set_position(0);
    let reads = files.into_iter().map(|(path, bytes)| async move {
        let fact = fact(part, location, path, bytes, options.deep).await;
        progress.inc(1);
        fact
    });
    let reads: Vec<_> = reads.collect();
    stream::iter(reads).buffered(FILES_SIDE_BY_SIDE).try_collect().await
}

async fn fact(part: Part, location: &Location, path: String, bytes: u64, deep: bool) -> Result<FileFact> {
    let file = DataFile { absolute: path.clone(), path: path.clone(), bytes, modified_ms: 0 };
    // The library panics on some damaged files: that is one more way to say that they are.
    let looked = AssertUnwindSafe(look(location, &file, deep)).catch_unwind().await;
    let (footer, rows) = match looked {
        Ok(Ok(found)) => found,
        Ok(Err(PartError::Gone)) => (Footer::Gone, None),
        Ok(Err(PartError::Damaged(error))) => (Footer::Damaged(error.to_string()), None),
        Ok(Err(PartError::Storage(error))) => match length(location, &path).await? {
            // It changed its length, or went, between the listing and the read.
            Some(now) if now == bytes => return Err(unreadable(&path, error)),
            Some(_) => (Footer::Damaged(error.to_string()), None),
            None => (Footer::Gone, None),
        },
        Err(_) => (Footer::Damaged("the decoder gave up on it".to_owned()), None),
    };
    Ok(FileFact { part, path, bytes, footer, rows })
}

async fn length(location: &Location, path: &str) -> Result<Option<u64>> {
    let entry = location.storage.stat(path).await.map_err(|error| unreadable(path, error))?;
    Ok(entry.map(|entry| entry.length))
}

fn unreadable(path: &str, error: StorageError) -> Error {
    Error::fatal(format!("cannot read {path}")).because(error)
}

async fn look(
    location: &Location,
    file: &DataFile,
    deep: bool,
) -> std::result::Result<(Footer, Option<Rows>), PartError> {
    let metadata = part::footer(&*location.storage, file).await?;
    let footer = origin(&metadata);
    let columns = metadata.file_metadata().schema_descr().columns();
    let carries = |(name, kind): &(&str, Type)| {
        columns.iter().any(|column| column.path().string() == *name && column.physical_type() == *kind)
    };
    let kinds = [Type::BYTE_ARRAY, Type::INT32, Type::INT64];
    if !deep || !COORDINATES.into_iter().zip(kinds).all(|column| carries(&column)) {
        return Ok((footer, None));
    }
    let mut rows = PartRows::new(&*location.storage, file, metadata, |builder| {
        let mask = ProjectionMask::columns(builder.parquet_schema(), COORDINATES);
        builder.with_projection(mask)
    })?;
    let mut found = Rows::default();
    loop {
        match rows.next().await {
            Ok(Some(batch)) => match add(&mut found, &batch) {
                Ok(()) => {}
                Err(error) => {
                    found.damaged = Some(error.to_string());
                    break;
                }
            },
            Ok(None) => break,
            Err(PartError::Damaged(error)) => {
                found.damaged = Some(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok((footer, Some(found)))
}

fn origin(metadata: &ParquetMetaData) -> Footer {
    let file = metadata.file_metadata();
    let pairs = file.key_value_metadata().into_iter().flatten();
    let values: BTreeMap<String, String> = pairs
        .filter_map(|pair| {
            Some((pair.key.strip_prefix("wasmill.")?.to_owned(), pair.value.clone().unwrap_or_default()))
        })
        .collect();
    if values.is_empty() {
        return Footer::Foreign;
    }
    Footer::Ours(Origin { values, rows: u64::try_from(file.num_rows()).unwrap_or(0) })
}

fn add(found: &mut Rows, batch: &RecordBatch) -> std::result::Result<(), ParquetError> {
    let [topics, numbers, offsets] = COORDINATES.map(|name| batch.column_by_name(name));
    let (Some(topics), Some(numbers), Some(offsets)) = (topics, numbers, offsets) else { return Ok(()) };
    let (topics, numbers, offsets) = (
        cast(topics, &DataType::Utf8).map_err(of_arrow)?,
        cast(numbers, &DataType::Int64).map_err(of_arrow)?,
        cast(offsets, &DataType::Int64).map_err(of_arrow)?,
    );
    let (topics, numbers) = (topics.as_string::<i32>(), numbers.as_primitive::<Int64Type>());
    let offsets = offsets.as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        found.count += 1;
        if offsets.is_null(row) {
            continue;
        }
        let (offset, partition) = (offsets.value(row), i32::try_from(numbers.value(row)).unwrap_or(-1));
        // Nearly always the same as the row before.
        let known =
            found.offsets.iter_mut().find(|(tp, _)| tp.partition == partition && *tp.topic == *topics.value(row));
        match known {
            Some((_, (least, most))) => (*least, *most) = ((*least).min(offset), (*most).max(offset)),
            None => {
                found.offsets.insert(TopicPartition::new(topics.value(row), partition), (offset, offset));
            }
        }
    }
    Ok(())
}

fn of_arrow(error: ArrowError) -> ParquetError {
    ParquetError::from(error)
}

//! One Parquet file, read piece by piece from any storage.
//!
//! The decoders of the `parquet` crate say which bytes they need, and are given them: only footers and the columns that
//! are asked for are ever fetched, the same way on HDFS and on a local disk.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use parquet::DecodeResult;
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder, RowGroupMetaData,
};

use super::scan::DataFile;
use super::{Problem, unreadable};
use crate::error::{Error, Result};
use crate::storage::{Storage, StorageError, StorageErrorKind};

/// What is fetched of a file's end before its footer's length is known: nearly every footer fits, so one call is enough.
const TAIL_BYTES: u64 = 32 << 10;

/// Ranges of one file that are fetched side by side.
const RANGES_SIDE_BY_SIDE: usize = 8;

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum PartError {
    /// It is not there any more.
    Gone,
    /// The storage failed.
    Storage(StorageError),
    /// It is no Parquet file, or a damaged one.
    Damaged(ParquetError),
}

impl From<ParquetError> for PartError {
    fn from(error: ParquetError) -> Self {
        Self::Damaged(error)
    }
}

impl From<StorageError> for PartError {
    fn from(error: StorageError) -> Self {
        if error.kind == StorageErrorKind::NotFound { Self::Gone } else { Self::Storage(error) }
    }
}

/// What was read of a file, or nothing: it is gone, or it is damaged and was added to `problems`.
///
/// # Errors
/// The storage's own failures: what follows them would be wrong.
pub(super) fn readable<T>(
    file: &DataFile,
    read: std::result::Result<T, PartError>,
    problems: &mut Vec<Problem>,
) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(PartError::Gone) => Ok(None),
        Err(PartError::Damaged(error)) => {
            problems.push(Problem { path: file.path.clone(), problem: error.to_string() });
            Ok(None)
        }
        Err(PartError::Storage(error)) => Err(failed(file, error)),
    }
}

fn failed(file: &DataFile, error: StorageError) -> Error {
    unreadable(&file.absolute, error)
}

/// The footer of a file.
pub(crate) async fn footer(
    storage: &dyn Storage,
    file: &DataFile,
) -> std::result::Result<Arc<ParquetMetaData>, PartError> {
    let mut decoder = ParquetMetaDataPushDecoder::try_new(file.bytes)?.with_page_index_policy(PageIndexPolicy::Skip);
    let tail = file.bytes.saturating_sub(TAIL_BYTES)..file.bytes;
    decoder.push_range(tail.clone(), storage.read_range(&file.absolute, tail).await?)?;
    loop {
        match decoder.try_decode()? {
            DecodeResult::Data(metadata) => {
                check(&metadata)?;
                return Ok(Arc::new(metadata));
            }
            DecodeResult::NeedsData(ranges) => {
                let bytes = fetch(storage, file, &ranges).await?;
                decoder.push_ranges(ranges, bytes)?;
            }
            DecodeResult::Finished => return Err(ParquetError::EOF("no footer".into()).into()),
        }
    }
}

/// Refuses what the decoder takes on trust.
fn check(footer: &ParquetMetaData) -> std::result::Result<(), ParquetError> {
    let positive = |column: &ColumnChunkMetaData| {
        column.data_page_offset() >= 0
            && column.dictionary_page_offset().is_none_or(|offset| offset >= 0)
            && column.compressed_size() >= 0
            && column.num_values() >= 0
    };
    let whole = |group: &RowGroupMetaData| group.num_rows() >= 0 && group.columns().iter().all(positive);
    if footer.row_groups().iter().all(whole) {
        Ok(())
    } else {
        Err(ParquetError::General("the footer holds negative positions or lengths".into()))
    }
}

/// One step of the decoder. It panics on some damaged files: that is one more way to say that they are.
fn decode(decoder: &mut ParquetPushDecoder) -> std::result::Result<DecodeResult<RecordBatch>, ParquetError> {
    // The decoder is not used again after a panic.
    catch_unwind(AssertUnwindSafe(|| decoder.try_decode()))
        .unwrap_or_else(|_| Err(ParquetError::General("the file is damaged: the decoder gave up on it".into())))
}

async fn fetch(
    storage: &dyn Storage,
    file: &DataFile,
    ranges: &[Range<u64>],
) -> std::result::Result<Vec<Bytes>, PartError> {
    // A damaged footer may ask for anything.
    if ranges.iter().any(|range| range.start > range.end || range.end > file.bytes) {
        return Err(ParquetError::EOF("the footer points beyond the end of the file".into()).into());
    }
    let reads: Vec<_> = ranges.iter().map(|range| storage.read_range(&file.absolute, range.clone())).collect();
    Ok(stream::iter(reads).buffered(RANGES_SIDE_BY_SIDE).try_collect().await?)
}

/// The rows of a file, batch by batch.
pub(crate) struct PartRows<'a> {
    storage: &'a dyn Storage,
    file: &'a DataFile,
    decoder: ParquetPushDecoder,
}

impl<'a> PartRows<'a> {
    /// Rows as `choose` selects them: columns, row groups, filter, limit.
    pub(crate) fn new(
        storage: &'a dyn Storage,
        file: &'a DataFile,
        footer: Arc<ParquetMetaData>,
        choose: impl FnOnce(ParquetPushDecoderBuilder) -> ParquetPushDecoderBuilder,
    ) -> std::result::Result<Self, PartError> {
        let decoder = choose(ParquetPushDecoderBuilder::try_new_decoder(footer)?).build()?;
        Ok(Self { storage, file, decoder })
    }

    /// The next batch, or `None` after the last.
    pub(crate) async fn next(&mut self) -> std::result::Result<Option<RecordBatch>, PartError> {
        loop {
            match decode(&mut self.decoder)? {
                DecodeResult::Data(batch) => return Ok(Some(batch)),
                DecodeResult::NeedsData(ranges) => {
                    let bytes = fetch(self.storage, self.file, &ranges).await?;
                    self.decoder.push_ranges(ranges, bytes)?;
                }
                DecodeResult::Finished => return Ok(None),
            }
        }
    }
}

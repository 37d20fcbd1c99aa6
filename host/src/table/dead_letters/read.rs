//! Dead letters as messages again: first what is needed to choose some of a file, then all that these hold.

use std::ops::Range;

use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowSelection;

use super::super::part::{self, PartError, PartRows};
use super::super::scan::DataFile;
use super::rows::{Rows, bytes, headers};
use crate::source::{Message, OwnedMessages};
use crate::storage::Storage;

/// What a dead letter is chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) offset: i64,
    pub(crate) stage: String,
    pub(crate) transform: Option<String>,
    pub(crate) reason: String,
    pub(crate) recorded_us: i64,
}

/// What the letters of a file are chosen by, in the order of its rows.
pub(crate) async fn outlines(storage: &dyn Storage, file: &DataFile) -> Result<Vec<Outline>, PartError> {
    const COLUMNS: [&str; 5] = ["offset", "stage", "transform", "reason", "recorded_at"];
    let footer = part::footer(storage, file).await?;
    let mut rows = PartRows::new(storage, file, footer, |builder| {
        let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
        builder.with_projection(mask)
    })?;
    let mut found = Vec::new();
    while let Some(batch) = rows.next().await? {
        let rows = Rows(&batch);
        let (offsets, recorded) = (rows.numbers("offset")?, rows.times("recorded_at")?);
        let (stages, transforms, reasons) = (rows.text("stage")?, rows.text("transform")?, rows.text("reason")?);
        found.extend((0..rows.len()).map(|row| Outline {
            offset: offsets.get(row).unwrap_or(-1),
            stage: stages.owned(row).unwrap_or_default(),
            transform: transforms.owned(row),
            reason: reasons.owned(row).unwrap_or_default(),
            recorded_us: recorded.get(row).unwrap_or_default(),
        }));
    }
    Ok(found)
}

/// A message that was read from the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Returned {
    /// The number of its row.
    pub(crate) row: u64,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Returned {
    /// Bytes that it holds, about.
    pub(crate) fn size(&self) -> usize {
        let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + part(value)).sum();
        64 + part(&self.key) + part(&self.payload) + headers
    }

    /// Appends it to a batch.
    pub(crate) fn push_to(self, messages: &mut OwnedMessages) {
        let Self { offset, timestamp_ms, key, payload, headers, .. } = self;
        messages.push(Message { offset, timestamp_ms, key: key.as_deref(), payload: payload.as_deref() });
        messages.set_headers(headers);
    }
}

/// The letters of these rows, whose numbers rise: the first of them, until they hold more than `bytes`.
pub(crate) async fn letters(
    storage: &dyn Storage,
    file: &DataFile,
    numbers: &[u64],
    most: usize,
) -> Result<Vec<Returned>, PartError> {
    const COLUMNS: [&str; 5] = ["offset", "timestamp", "key", "payload", "headers"];
    /// Of rows that may be a megabyte each, not too many at once.
    const AT_ONCE: usize = 64;
    let footer = part::footer(storage, file).await?;
    let total = usize::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
    let ranges: Vec<Range<usize>> =
        numbers.iter().filter_map(|number| usize::try_from(*number).ok()).map(|number| number..number + 1).collect();
    let mut rows = PartRows::new(storage, file, footer, |builder| {
        let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
        let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), total);
        builder.with_projection(mask).with_row_selection(selection).with_batch_size(AT_ONCE)
    })?;
    let (mut found, mut held, mut numbers) = (Vec::new(), 0, numbers.iter());
    while let Some(batch) = rows.next().await? {
        let rows = Rows(&batch);
        let (offsets, timestamps) = (rows.numbers("offset")?, rows.times("timestamp")?);
        let (keys, payloads) =
            (rows.column("key", &DataType::LargeBinary)?, rows.column("payload", &DataType::LargeBinary)?);
        let of_headers = batch.column_by_name("headers");
        for (row, number) in (0..rows.len()).zip(numbers.by_ref()) {
            let returned = Returned {
                row: *number,
                offset: offsets.get(row).unwrap_or(-1),
                timestamp_ms: timestamps.get(row).map(|us| us.div_euclid(1_000)),
                key: bytes(&keys, row).map(<[u8]>::to_vec),
                payload: bytes(&payloads, row).map(<[u8]>::to_vec),
                headers: of_headers.map(|column| headers(column, row)).unwrap_or_default(),
            };
            held += returned.size();
            found.push(returned);
        }
        if held > most {
            break;
        }
    }
    Ok(found)
}

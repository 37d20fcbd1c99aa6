//! The reader of the plain directories: it knows nothing of the chain, opens every file that appears, and reads its rows.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::message::{MessageId, Outcome, Produced, message_of, row_id};

/// Where the table lies.
pub(super) const TABLE: &str = "/table";
/// Where the dead letters lie.
pub(super) const DEAD_LETTERS: &str = "/dead";

/// A row of a file.
#[derive(Debug)]
pub(super) enum Found {
    Row { id: i64, ts: Option<i64>, extra: Extra },
    DeadLetter { message: MessageId, stage: String, reason: String, payload: Option<Vec<u8>> },
}

/// The column that only later deployments have.
#[derive(Debug)]
pub(super) enum Extra {
    NoColumn,
    Value(Option<i64>),
}

impl Found {
    pub(super) fn message(&self) -> MessageId {
        match self {
            Self::Row { id, .. } => message_of(*id),
            Self::DeadLetter { message, .. } => *message,
        }
    }

    /// What is wrong with it, if anything is. `wanted`: what its message must have turned into.
    pub(super) fn differs_from(&self, path: &str, produced: &Produced, wanted: &Outcome) -> Option<String> {
        let fine = match (self, wanted) {
            (Self::Row { id, ts, extra }, Outcome::Row(row)) => {
                let extra = match extra {
                    Extra::NoColumn => true,
                    Extra::Value(value) => *value == row.extra,
                };
                extra && *id == row.id && *ts == Some(row.ts) && path.contains(&format!("/{}/", row.hive_partition))
            }
            (Self::DeadLetter { message, stage, reason, payload }, Outcome::DeadLetter { stage: s, reason: r }) => {
                stage == s && reason == r && *payload == produced.payload && row_id(*message) >= 0
            }
            _ => false,
        };
        (!fine).then(|| format!("found {self:?}, wanted {wanted:?}"))
    }
}

/// Whether readers of the plain directories see a file at this path.
pub(super) fn is_visible(path: &str) -> bool {
    let below = [TABLE, DEAD_LETTERS].into_iter().find_map(|table| path.strip_prefix(table)?.strip_prefix('/'));
    below.is_some_and(|below| !below.split('/').any(|part| part.starts_with(['_', '.'])))
}

/// What a file holds.
pub(super) struct Contained {
    pub(super) rows: Vec<Found>,
    /// It is of a replay, by what it says of itself: its range is empty. Its name need not be believed.
    pub(super) is_replay: bool,
}

/// The rows of a file.
pub(super) fn read_file(path: &str, bytes: &[u8]) -> Result<Contained, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes));
    let builder = builder.map_err(|error| error.to_string())?;
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let says = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    let is_replay = says("wasmill.start") == says("wasmill.next");
    let mut rows = Vec::new();
    for batch in builder.build().map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        if path.starts_with(DEAD_LETTERS) { dead_letters(&batch, &mut rows) } else { table_rows(&batch, &mut rows) }
            .ok_or("it lacks a column")?;
    }
    Ok(Contained { rows, is_replay })
}

fn table_rows(batch: &RecordBatch, rows: &mut Vec<Found>) -> Option<()> {
    let ids = batch.column_by_name("id")?.as_primitive::<Int64Type>();
    let times = batch.column_by_name("ts")?.as_primitive::<Int64Type>();
    let extras = batch.column_by_name("extra").map(|column| column.as_primitive::<Int64Type>());
    for index in 0..batch.num_rows() {
        let extra = match extras {
            None => Extra::NoColumn,
            Some(extras) => Extra::Value(extras.is_valid(index).then(|| extras.value(index))),
        };
        let ts = times.is_valid(index).then(|| times.value(index));
        rows.push(Found::Row { id: ids.value(index), ts, extra });
    }
    Some(())
}

fn dead_letters(batch: &RecordBatch, rows: &mut Vec<Found>) -> Option<()> {
    let partitions = batch.column_by_name("topic_partition")?.as_primitive::<Int32Type>();
    let offsets = batch.column_by_name("offset")?.as_primitive::<Int64Type>();
    let text = |name| Some(batch.column_by_name(name)?.as_string::<i32>());
    let (stages, reasons) = (text("stage")?, text("reason")?);
    let payloads = batch.column_by_name("payload")?.as_binary::<i32>();
    for index in 0..batch.num_rows() {
        rows.push(Found::DeadLetter {
            message: (partitions.value(index), offsets.value(index)),
            stage: stages.value(index).to_owned(),
            reason: reasons.value(index).to_owned(),
            payload: payloads.is_valid(index).then(|| payloads.value(index).to_vec()),
        });
    }
    Some(())
}

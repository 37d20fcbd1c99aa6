//! The events for another program: a Parquet file with one column of text, and the columns in Spark's words.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use wasmill::decode::schema::{EventField, EventType};

use super::cases::{BATCH, Case};

/// Writes the events as column `value`. Lines would not do: an event may have several.
pub(crate) fn events(path: &Path, case: &Case) -> Result<()> {
    let texts = |events: &[Vec<u8>]| -> Result<RecordBatch> {
        let texts = events.iter().map(|event| std::str::from_utf8(event)).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(texts)) as ArrayRef)])?)
    };
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut writer: Option<ArrowWriter<File>> = None;
    for chunk in case.events.chunks(BATCH) {
        let rows = texts(chunk)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ArrowWriter::try_new(file.try_clone()?, rows.schema(), None)?),
        };
        writer.write(&rows)?;
    }
    writer.context("a case without events")?.close()?;
    Ok(())
}

/// `a STRING, b ARRAY<BIGINT>`
pub(crate) fn spark_schema(fields: &[EventField]) -> Result<String> {
    let field = |field: &EventField| Ok(format!("`{}` {}", field.name, spark_type(&field.kind)?));
    Ok(fields.iter().map(field).collect::<Result<Vec<_>>>()?.join(", "))
}

fn spark_type(kind: &EventType) -> Result<String> {
    Ok(match kind {
        EventType::String => "STRING".to_owned(),
        EventType::Int => "INT".to_owned(),
        EventType::Long => "BIGINT".to_owned(),
        EventType::Double => "DOUBLE".to_owned(),
        EventType::Boolean => "BOOLEAN".to_owned(),
        EventType::List(item) => format!("ARRAY<{}>", spark_type(item)?),
        EventType::Map(value) => format!("MAP<STRING, {}>", spark_type(value)?),
        EventType::Struct(fields) => {
            let field = |field: &EventField| Ok(format!("`{}`: {}", field.name, spark_type(&field.kind)?));
            format!("STRUCT<{}>", fields.iter().map(field).collect::<Result<Vec<_>>>()?.join(", "))
        }
        other => bail!("no case has {other}"),
    })
}

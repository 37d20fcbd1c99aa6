//! Lists across the boundary: an Arrow IPC stream of one column.
//!
//! A guest's stream is decoded by arrow's streaming decoder, which allocates only for bytes that are there, checks what
//! it makes, and is kept from unwinding further should a stream be stranger than it expects.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;

use super::format_of;
use crate::error::{Error, Result};

/// `array` as a stream with one column named `column` and one batch.
pub(crate) fn to_ipc(array: &ArrayRef) -> Result<Vec<u8>> {
    let schema = Schema::new(vec![Field::new("column", array.data_type().clone(), true)]);
    let write = || -> Result<Vec<u8>, ArrowError> {
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![array.clone()])?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    write().map_err(|error| Error::fatal("a nested column could not be passed to a transform").because(error))
}

/// The one column of a guest's stream, which must hold exactly `rows` values of `data_type`.
pub(crate) fn from_ipc(data_type: &DataType, stream: Vec<u8>, rows: usize) -> Result<ArrayRef, String> {
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(stream)));
    let batch = match decoded {
        Ok(batch) => batch.map_err(|error| format!("the IPC stream cannot be read: {error}"))?,
        Err(_) => return Err("the IPC stream is damaged".to_owned()),
    };
    let batch = batch.ok_or("the IPC stream holds no batch, or more than one")?;
    let [column] = batch.columns() else {
        return Err(format!("the IPC stream has {} columns, not 1", batch.num_columns()));
    };
    if column.len() != rows {
        return Err(format!("{} values for {rows} rows", column.len()));
    }
    if format_of(column.data_type()).is_none() || format_of(column.data_type()) != format_of(data_type) {
        return Err(format!("the IPC stream has type {}, not {data_type}", column.data_type()));
    }
    renamed(column, data_type)
}

/// The only batch of the stream.
fn decode(stream: Vec<u8>) -> Result<Option<RecordBatch>, ArrowError> {
    let mut buffer = Buffer::from_vec(stream);
    let mut decoder = StreamDecoder::new();
    let mut only = None;
    while !buffer.is_empty() {
        if let Some(batch) = decoder.decode(&mut buffer)?
            && only.replace(batch).is_some()
        {
            return Ok(None);
        }
    }
    decoder.finish()?;
    Ok(only)
}

/// The same lists under exactly `data_type`: guests may name a list's items otherwise, or say that none is null.
fn renamed(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    let DataType::List(item) = data_type else {
        return arrow::compute::cast(array, data_type).map_err(|error| error.to_string());
    };
    let list = array.as_list_opt::<i32>().ok_or_else(|| format!("{} is not {data_type}", array.data_type()))?;
    let values = renamed(list.values(), item.data_type())?;
    let list = ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned());
    list.map(|list| Arc::new(list) as ArrayRef).map_err(|error| error.to_string())
}

//! Lists across the boundary: an Arrow IPC stream of one column.
//!
//! A guest's stream is decoded by arrow's streaming decoder, which checks the arrays that it makes but trusts the frames
//! around them. So those are checked here first: that every buffer lies inside its message, and that there is nothing but
//! one schema and batches without compression and dictionaries.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{Buffer as IpcBuffer, FieldNode, Message, MessageHeader, root_as_message};

use super::format_of;
use crate::error::{Error, Result};

/// What each message of a stream begins with.
const CONTINUATION: u32 = u32::MAX;

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
    check_frames(&stream).map_err(|problem| format!("the IPC stream is damaged: {problem}"))?;
    // The last resort, should a stream be stranger than arrow expects.
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

/// Walks over the stream's messages: marker, length and text of the metadata, then the body that it promises.
fn check_frames(stream: &[u8]) -> Result<(), String> {
    let word = |at: usize| Some(u32::from_le_bytes(*stream.get(at..)?.first_chunk::<4>()?));
    let mut at = 0;
    while at < stream.len() {
        let (Some(CONTINUATION), Some(length)) = (word(at), word(at + 4)) else {
            return Err(format!("no message begins at byte {at}"));
        };
        let metadata = at + 8;
        let body = metadata + length as usize;
        if length == 0 {
            return if body == stream.len() { Ok(()) } else { Err("something follows its end".to_owned()) };
        }
        let text = stream.get(metadata..body).ok_or("a message is cut short")?;
        let message = root_as_message(text).map_err(|error| error.to_string())?;
        let body_length = usize::try_from(message.bodyLength()).map_err(|_| "a length is negative")?;
        let end = body.checked_add(body_length).filter(|end| *end <= stream.len()).ok_or("a body is cut short")?;
        match message.header_type() {
            MessageHeader::Schema if body_length == 0 => {}
            MessageHeader::RecordBatch => check_batch(&message, body_length)?,
            other => return Err(format!("a message of kind {other:?}")),
        }
        at = end;
    }
    Ok(())
}

fn check_batch(message: &Message<'_>, body_length: usize) -> Result<(), String> {
    let batch = message.header_as_record_batch().ok_or("a batch without a header")?;
    if batch.compression().is_some() {
        return Err("a batch is compressed".to_owned());
    }
    let count = |number: i64| usize::try_from(number).ok().filter(|count| *count <= i32::MAX as usize);
    let inside = |buffer: &IpcBuffer| Some(count(buffer.offset())? + count(buffer.length())? <= body_length);
    let sound = |node: &FieldNode| count(node.length()).is_some() && count(node.null_count()).is_some();
    let buffers = batch.buffers().is_some_and(|buffers| buffers.iter().all(|buffer| inside(buffer) == Some(true)));
    let nodes = batch.nodes().is_some_and(|nodes| nodes.iter().all(sound));
    if buffers && nodes && count(batch.length()).is_some() {
        Ok(())
    } else {
        Err("a batch reaches past its body".to_owned())
    }
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

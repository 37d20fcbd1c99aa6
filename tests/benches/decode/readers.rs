//! Who decodes: the host's decoders, and arrow-json's reader. Each makes the same columns of the same events.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arrow::array::RecordBatch;
use wasmill::decode::{Decoder, Decoding, Format};
use wasmill::eventsim::{EventFormat, Framing, Topic};
use wasmill::schema_registry::Schemas;
use wasmill::source::{Messages, OwnedMessages, SourceBatch, TopicPartition};

use super::cases::{BATCH, Case};
use super::registry;

/// Decodes batch after batch.
type Decode = Box<dyn FnMut(usize) -> Result<RecordBatch>>;

/// One way to decode all events of a case.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// Of what it reads, all batches together.
    pub(crate) bytes: usize,
    decode: Decode,
}

impl Reader {
    /// The rows of batch `index`.
    pub(crate) fn decode(&mut self, index: usize) -> Result<RecordBatch> {
        (self.decode)(index)
    }
}

/// All who can read the events of a case. Each holds its messages as it reads them.
pub(crate) fn readers(case: &Case, schemas: &Arc<Schemas>) -> Result<Vec<Reader>> {
    let plain = |event: &[u8], out: &mut Vec<u8>| out.extend_from_slice(event);
    let mut readers = vec![ours("json", Format::Json, case, None, plain)?, arrow_messages(case)?, arrow_lines(case)?];
    if let Some(topic) = case.topic {
        for (name, format, written) in [
            ("json-schema", Format::JsonSchema, EventFormat::JsonSchema),
            ("avro", Format::Avro, EventFormat::Avro),
            ("protobuf", Format::Protobuf, EventFormat::Protobuf),
        ] {
            let framing = Framing { format: written, ids: Topic::ALL.map(|topic| registry::id(written, topic)) };
            let encode = |event: &[u8], out: &mut Vec<u8>| framing.encode(topic, event, out);
            readers.push(ours(name, format, case, Some(Arc::clone(schemas)), encode)?);
        }
    }
    Ok(readers)
}

/// The events as messages, in batches as a source makes them.
fn messages(case: &Case, encode: impl Fn(&[u8], &mut Vec<u8>)) -> Vec<OwnedMessages> {
    let batch = |events: &[Vec<u8>]| {
        let mut batch = OwnedMessages::default();
        for (offset, event) in (0..).zip(events) {
            batch.push_with(offset, None, |out| encode(event, out));
        }
        batch
    };
    case.events.chunks(BATCH).map(batch).collect()
}

fn bytes(batches: &[OwnedMessages]) -> usize {
    let payload = |batch: &OwnedMessages, index| batch.get(index).payload.map_or(0, <[u8]>::len);
    batches.iter().map(|batch| (0..batch.len()).map(|index| payload(batch, index)).sum::<usize>()).sum()
}

/// The host's decoder of a format.
fn ours(
    name: &'static str,
    format: Format,
    case: &Case,
    schemas: Option<Arc<Schemas>>,
    encode: impl Fn(&[u8], &mut Vec<u8>),
) -> Result<Reader> {
    let batches = messages(case, encode);
    let bytes = bytes(&batches);
    let batch = |messages| SourceBatch {
        topic_partition: TopicPartition::new("bench", 0),
        messages: Box::new(messages),
        next: BATCH as i64,
    };
    let batches: Vec<SourceBatch> = batches.into_iter().map(batch).collect();
    let mut decoder: Decoder = Decoding { schema: case.schema.clone(), format, schemas }.decoder()?;
    // Schemas are fetched once, beside the workers.
    while !batches.iter().all(|batch| decoder.is_ready(batch)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let decode = move |index: usize| {
        let decoded = decoder.decode(&batches[index])?;
        let first = decoded.undecodable.first();
        ensure!(first.is_none(), "{name}: a message was not decoded: {first:?}");
        Ok(decoded.rows)
    };
    Ok(Reader { name, bytes, decode: Box::new(decode) })
}

fn arrow_decoder(case: &Case) -> Result<arrow_json::reader::Decoder> {
    let builder = arrow_json::ReaderBuilder::new(Arc::clone(&case.schema.arrow)).with_batch_size(BATCH);
    builder.build_decoder().context("arrow-json cannot read this schema")
}

/// arrow-json, which is handed message by message as Kafka's clients have them.
fn arrow_messages(case: &Case) -> Result<Reader> {
    let batches = messages(case, |event, out| out.extend_from_slice(event));
    let bytes = bytes(&batches);
    let mut decoder = arrow_decoder(case)?;
    let decode = move |index: usize| {
        let batch = &batches[index];
        for index in 0..batch.len() {
            let payload = batch.get(index).payload.unwrap_or_default();
            ensure!(decoder.decode(payload)? == payload.len(), "arrow-json left a part of a message");
        }
        decoder.flush()?.context("arrow-json has no rows")
    };
    Ok(Reader { name: "arrow-json, messages", bytes, decode: Box::new(decode) })
}

/// arrow-json, which is handed a batch as one text: the best case for it, that no source offers.
fn arrow_lines(case: &Case) -> Result<Reader> {
    let text = |events: &[Vec<u8>]| events.join(&b'\n');
    let batches: Vec<Vec<u8>> = case.events.chunks(BATCH).map(text).collect();
    let bytes = batches.iter().map(Vec::len).sum();
    let mut decoder = arrow_decoder(case)?;
    let decode = move |index: usize| {
        let batch = &batches[index];
        ensure!(decoder.decode(batch)? == batch.len(), "arrow-json left a part of a batch");
        decoder.flush()?.context("arrow-json has no rows")
    };
    Ok(Reader { name: "arrow-json, one text", bytes, decode: Box::new(decode) })
}

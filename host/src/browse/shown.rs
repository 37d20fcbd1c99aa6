//! One message as people see it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use memchr::memmem;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, SourceConfig};
use crate::decode::own_schema::{Own, OwnSchemaDecoder};
use crate::decode::{Decoder, Decoding};
use crate::error::Result;
use crate::schema_registry::Schemas;
use crate::source::{Message, Messages as _, OwnedMessages, SourceBatch, TopicPartition};
use crate::table::cell;

/// Bytes of a part of a message that a list shows, and of one that is shown as a whole.
const CUT_BYTES: usize = 4 << 10;
const WHOLE_BYTES: usize = 1 << 20;

/// Headers of one message that are shown.
const HEADERS: usize = 100;

/// How long all messages of a page may wait for schemas.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether a schema has come.
const NAP: Duration = Duration::from_millis(20);

/// What a part of a message holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MessageContent)]
pub enum Content {
    /// Text: UTF-8 without control characters.
    Text(String),
    /// Anything else: two digits for each byte.
    Hex(String),
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = MessageHeader)]
pub struct NamedContent {
    /// Its name.
    pub name: String,
    /// Its value; null: none.
    pub value: Option<Content>,
}

/// Why a message is no event of the pipeline, or why it cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = MessageProblem)]
pub struct WhyNot {
    /// The reason that its dead letter would have; `schema-not-known-yet` while the registry does not answer.
    pub reason: String,
    /// What was found.
    pub detail: String,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ShownMessage)]
pub struct Shown {
    /// The topic partition's number.
    pub topic_partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970, where it has a time.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Content>,
    /// Its headers, in their order.
    pub headers: Vec<NamedContent>,
    /// Its payload as it came; null: none, a tombstone.
    pub payload: Option<Content>,
    /// How many bytes its payload has.
    pub payload_bytes: usize,
    /// The id of the schema that it names, where it names one.
    pub schema: Option<u32>,
    /// What it is by its schema, as JSON, where it names one and fits it; where that cannot be columns, the pipeline's row.
    pub decoded: Option<Value>,
    /// Why it is no event of the pipeline, or cannot be decoded.
    pub problem: Option<WhyNot>,
    /// Whether something of it is left out, as it is long.
    pub cut: bool,
}

impl Shown {
    /// Bytes that it takes to show, about.
    pub(super) fn size(&self) -> usize {
        let part = |part: &Option<Content>| match part {
            Some(Content::Text(text) | Content::Hex(text)) => text.len(),
            None => 0,
        };
        let headers: usize = self.headers.iter().map(|header| header.name.len() + part(&header.value)).sum();
        let decoded = self.decoded.as_ref().map_or(0, |value| value.to_string().len());
        200 + part(&self.key) + part(&self.payload) + headers + decoded
    }
}

/// Looks at messages of one topic.
pub struct Viewer {
    topic: Arc<str>,
    own: Option<OwnSchemaDecoder>,
    /// Of a topic that the pipeline reads: what it would make of a message.
    pipeline: Option<Decoder>,
    /// What is left of the patience.
    patience: Duration,
}

/// What was found out of a message.
#[derive(Default)]
struct Decoded {
    schema: Option<u32>,
    value: Option<Value>,
    problem: Option<WhyNot>,
}

impl Decoded {
    fn problem(schema: u32, reason: &str, detail: String) -> Self {
        let problem = Some(WhyNot { reason: reason.to_owned(), detail });
        Self { schema: Some(schema), value: None, problem }
    }
}

impl Viewer {
    /// A viewer of `topic`. `schemas`: those of the pipeline's registry, where it has one.
    ///
    /// # Errors
    /// The pipeline's format needs a registry that it has not got.
    pub fn new(config: &Config, schemas: Option<Arc<Schemas>>, topic: &str) -> Result<Self> {
        let is_pipelines = is_pipelines(config, topic);
        let decoding = Decoding { schema: config.schema.clone(), format: config.format, schemas: schemas.clone() };
        let pipeline = if is_pipelines { Some(decoding.decoder()?) } else { None };
        Ok(Self { topic: topic.into(), own: schemas.map(OwnSchemaDecoder::new), pipeline, patience: PATIENCE })
    }

    /// From now on messages may wait as long for schemas as at first.
    pub(super) fn renew(&mut self) {
        self.patience = PATIENCE;
    }

    /// The only message of `one`, unless `contains` stands nowhere in it.
    pub(super) fn show(
        &mut self,
        topic_partition: i32,
        one: OwnedMessages,
        contains: Option<&str>,
        whole: bool,
    ) -> Option<Shown> {
        let next = one.next_offset()?;
        let is_found = contains.is_none_or(|text| holds(&one, text.as_bytes()));
        let mut decoded = self.by_own_schema(&one);
        let topic_partition_of = TopicPartition::new(Arc::clone(&self.topic), topic_partition);
        let batch = SourceBatch { topic_partition: topic_partition_of, messages: Box::new(one), next };
        // What the message holds as it came says enough, unless it names a schema.
        if is_found || decoded.schema.is_some() {
            self.as_the_pipeline_reads_it(&batch, &mut decoded);
        }
        let decoded_holds = |text: &str| decoded.value.as_ref().is_some_and(|value| value.to_string().contains(text));
        if !is_found && !contains.is_some_and(decoded_holds) {
            return None;
        }
        let headers = batch.messages.headers(0);
        Some(shown(topic_partition, &batch.messages.get(0), headers, decoded, whole))
    }

    /// What the pipeline would make of a message; its row stands in where the schema itself cannot be columns.
    fn as_the_pipeline_reads_it(&mut self, batch: &SourceBatch, decoded: &mut Decoded) {
        let Some(pipeline) = &mut self.pipeline else { return };
        if !pipeline.is_ready(batch) {
            return;
        }
        let Ok(made) = pipeline.decode(batch) else { return };
        let problem = made.undecodable.into_iter().next();
        decoded.problem = problem.map(|one| WhyNot { reason: one.reason.to_owned(), detail: one.detail });
        if decoded.schema.is_some() && decoded.value.is_none() {
            decoded.value = row(&made.rows);
        }
    }

    /// What a message is by the schema that it names.
    fn by_own_schema(&mut self, one: &OwnedMessages) -> Decoded {
        let Some(own) = &mut self.own else { return Decoded::default() };
        loop {
            return match own.read(one) {
                Own::NotFramed => Decoded::default(),
                Own::Waiting(_) if self.patience > NAP => {
                    std::thread::sleep(NAP);
                    self.patience -= NAP;
                    continue;
                }
                Own::Waiting(id) => {
                    let detail = format!("the schema registry has not told schema {id} yet; look again");
                    Decoded::problem(id, "schema-not-known-yet", detail)
                }
                Own::Row(id, rows) => Decoded { schema: Some(id), value: row(&rows), problem: None },
                Own::Json(id, body) => match serde_json::from_slice(&body) {
                    Ok(value) => Decoded { schema: Some(id), value: Some(value), problem: None },
                    Err(error) => Decoded::problem(id, crate::reason::NOT_JSON, error.to_string()),
                },
                Own::Problem(id, reason, detail) => Decoded::problem(id, reason, detail),
            };
        }
    }
}

/// Whether a pipeline reads this topic.
fn is_pipelines(config: &Config, topic: &str) -> bool {
    matches!(&config.source, SourceConfig::Kafka(kafka) if kafka.topics.iter().any(|one| one == topic))
}

/// Whether `text` stands in a message as it came.
fn holds(one: &OwnedMessages, text: &[u8]) -> bool {
    let message = one.get(0);
    let is_in = |part: Option<&[u8]>| part.is_some_and(|part| memmem::find(part, text).is_some());
    is_in(message.payload)
        || is_in(message.key)
        || one.headers(0).iter().any(|(name, value)| is_in(Some(name.as_bytes())) || is_in(value.as_deref()))
}

fn row(rows: &RecordBatch) -> Option<Value> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    (rows.num_rows() > 0).then(|| columns.map(|(field, column)| (field.name().clone(), cell(column, 0))).collect())
}

fn shown(
    topic_partition: i32,
    message: &Message<'_>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    decoded: Decoded,
    whole: bool,
) -> Shown {
    let most = if whole { WHOLE_BYTES } else { CUT_BYTES };
    let mut cut = headers.len() > HEADERS;
    let mut part = |bytes: Option<&[u8]>| bytes.map(|bytes| content(bytes, most, &mut cut));
    let key = part(message.key);
    let payload = part(message.payload);
    let headers = headers.into_iter().take(HEADERS);
    let headers = headers.map(|(name, value)| NamedContent { name, value: part(value.as_deref()) }).collect();
    let Decoded { schema, value, problem } = decoded;
    let is_short = |value: &Value| value.to_string().len() <= 4 * most;
    let had_value = value.is_some();
    let decoded = value.filter(is_short);
    Shown {
        topic_partition,
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        key,
        headers,
        payload,
        payload_bytes: message.payload.map_or(0, <[u8]>::len),
        schema,
        cut: cut || (had_value && decoded.is_none()),
        decoded,
        problem,
    }
}

/// Bytes as text where they are text, up to `most` of them.
fn content(bytes: &[u8], most: usize, cut: &mut bool) -> Content {
    let is_odd = |letter: char| letter.is_control() && !letter.is_whitespace();
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains(is_odd)
    {
        *cut |= text.len() > most;
        return Content::Text(text[..text.floor_char_boundary(most)].to_owned());
    }
    *cut |= bytes.len() > most;
    let mut hex = String::new();
    for byte in bytes.iter().take(most) {
        // A text takes everything.
        let _ = write!(hex, "{byte:02x}");
    }
    Content::Hex(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_and_the_rest_is_digits() {
        let of = |bytes: &[u8], most: usize| {
            let mut cut = false;
            (content(bytes, most, &mut cut), cut)
        };
        assert_eq!(of("{\"a\":\t\"é\"}\n".as_bytes(), 100), (Content::Text("{\"a\":\t\"é\"}\n".into()), false));
        assert_eq!(of("aé".as_bytes(), 2), (Content::Text("a".into()), true), "no half letters");
        assert_eq!(of(b"\0a", 2), (Content::Hex("0061".into()), false), "control characters are no text");
        assert_eq!(of(b"\xff\xfe\xfd", 2), (Content::Hex("fffe".into()), true));
        assert_eq!(of(b"", 2), (Content::Text(String::new()), false));
    }

    #[test]
    fn a_text_is_looked_for_in_all_parts() {
        let mut one = OwnedMessages::default();
        one.push(Message { offset: 0, timestamp_ms: None, key: Some(b"user-7"), payload: Some(b"{\"song\":1}") });
        one.set_headers(vec![("trace".into(), Some(b"abc".to_vec())), ("none".into(), None)]);
        for (text, wanted) in
            [("user", true), ("song", true), ("trace", true), ("bc", true), ("none", true), ("x", false)]
        {
            assert_eq!(holds(&one, text.as_bytes()), wanted, "{text}");
        }
    }
}

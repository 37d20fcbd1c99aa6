//! From messages to rows.
//!
//! A decoder makes one `RecordBatch` of a [`SourceBatch`](crate::source::SourceBatch) and sets aside what it cannot
//! decode, each with its reason. It never fails as a whole: bad data is a value.

mod append;
mod avro;
mod column;
mod confluent;
pub mod framed;
pub mod json;
pub mod own_schema;
mod protobuf;
pub mod registered;
pub mod schema;

use std::sync::Arc;

use arrow::array::RecordBatch;

use self::framed::FramedDecoder;
use self::json::JsonDecoder;
use self::schema::EventSchema;
use crate::error::{Error, Result};
use crate::reason;
use crate::schema_registry::{Kind, Schemas};
use crate::source::{Messages, SourceBatch};

/// What messages are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON objects.
    #[default]
    Json,
    /// JSON objects behind the id of a schema. The id is taken off and not looked up: JSON says itself what it is.
    JsonSchema,
    /// Avro records behind the id of a schema.
    Avro,
    /// Protobuf messages behind the id of a schema, and the place of their type there.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Json, Self::Avro, Self::Protobuf, Self::JsonSchema];

    /// As a pipeline file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonSchema => "json-schema",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
        }
    }

    /// Whether messages cannot be read without their schemas.
    pub fn needs_registry(self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf)
    }

    /// The language of the messages' schemas.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Json | Self::JsonSchema => Kind::Json,
            Self::Avro => Kind::Avro,
            Self::Protobuf => Kind::Protobuf,
        }
    }

    /// The reason of messages that are not what their schema says.
    fn malformed(self) -> &'static str {
        match self {
            Self::Json | Self::JsonSchema => reason::NOT_JSON,
            Self::Avro => reason::MALFORMED_AVRO,
            Self::Protobuf => reason::MALFORMED_PROTOBUF,
        }
    }
}

/// What decoders are made of: one for each worker and deployment.
#[derive(Clone)]
pub struct Decoding {
    /// The table's columns.
    pub schema: EventSchema,
    /// What messages are.
    pub format: Format,
    /// The registry's schemas, where messages name some.
    pub schemas: Option<Arc<Schemas>>,
}

impl Decoding {
    /// One decoder.
    ///
    /// # Errors
    /// The format needs a registry, and there is none.
    pub fn decoder(&self) -> Result<Decoder> {
        match (self.format, &self.schemas) {
            (Format::Json, _) => Ok(JsonDecoder::new(&self.schema).into()),
            (Format::JsonSchema, _) => Ok(Decoder::FramedJson(Box::new(JsonDecoder::new(&self.schema)))),
            (Format::Avro | Format::Protobuf, Some(schemas)) => {
                let decoder = FramedDecoder::new(&self.schema, self.format, Arc::clone(schemas));
                Ok(Decoder::Framed(Box::new(decoder)))
            }
            (Format::Avro | Format::Protobuf, None) => {
                let language = self.format.kind().name();
                Err(Error::config(format!("messages in {language} need a [schema_registry]")))
            }
        }
    }
}

/// The decoder of one worker.
pub enum Decoder {
    /// Of JSON.
    Json(Box<JsonDecoder>),
    /// Of JSON behind the id of a schema.
    FramedJson(Box<JsonDecoder>),
    /// Of messages that cannot be read without their schemas.
    Framed(Box<FramedDecoder>),
}

impl From<JsonDecoder> for Decoder {
    fn from(decoder: JsonDecoder) -> Self {
        Self::Json(Box::new(decoder))
    }
}

impl Decoder {
    /// Whether all that these messages need to be decoded is here. What is not is being fetched.
    pub fn is_ready(&mut self, batch: &SourceBatch) -> bool {
        match self {
            Self::Json(_) | Self::FramedJson(_) => true,
            Self::Framed(decoder) => decoder.is_ready(batch.messages.as_ref()),
        }
    }

    /// Decodes the messages of one batch. Bad data is a value.
    ///
    /// # Errors
    /// Not [`Decoder::is_ready`]: nothing was decoded.
    pub fn decode(&mut self, batch: &SourceBatch) -> Result<Decoded> {
        let is_ready = self.is_ready(batch);
        let messages: &dyn Messages = batch.messages.as_ref();
        match self {
            Self::Json(decoder) => Ok(decoder.decode_messages(messages)),
            Self::FramedJson(decoder) => Ok(decoder.decode_framed(messages)),
            Self::Framed(decoder) if is_ready => Ok(decoder.decode(messages)),
            Self::Framed(_) => Err(Error::transient("the schemas of some messages are not known yet")
                .hint("does the schema registry answer? Its messages are in the log")),
        }
    }
}

/// What became of the messages of one batch. Every message is in exactly one of the two.
#[derive(Debug)]
pub struct Decoded {
    /// The rows that could be decoded, with the columns of the schema.
    pub rows: RecordBatch,
    /// `messages[i]` is the message (its index in the batch) that row i was decoded from: strictly increasing.
    pub messages: Vec<u32>,
    /// The messages that could not be decoded, by increasing index.
    pub undecodable: Vec<Undecodable>,
}

/// A message that is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Its index in the batch.
    pub message: u32,
    /// A built-in reason ([`crate::reason`]): `not-json`, `wrong-type`, ...
    pub reason: &'static str,
    /// What was found, where, and what was wanted.
    pub detail: String,
}

/// Why a message or a value cannot be decoded: a built-in reason, and what was found and wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The same, of a field within what was looked at.
    pub(crate) fn in_field(self, name: &str) -> Self {
        Self { detail: format!("field {name:?}: {}", self.detail), ..self }
    }
}

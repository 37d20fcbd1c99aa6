//! Messages that carry the id of their schema, to columns.
//!
//! Ids are looked up before a batch is decoded ([`FramedDecoder::is_ready`]), so decoding never waits. A schema is compiled
//! when it is seen first, and what came of that is kept: a message costs one comparison of its frame with the last one's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

use super::avro::{self, AvroSchema};
use super::column::Column;
use super::confluent::{self, HEADER_BYTES};
use super::protobuf::{self, ProtobufFile, Scratch};
use super::schema::EventSchema;
use super::{Decoded, Format, Problem, Undecodable};
use crate::reason;
use crate::schema_registry::{Kind, LookUp, Registered, Schemas};
use crate::source::Messages;

/// The type of a message: the id of its schema and, of Protobuf, its place there.
type TypeId = (u32, Vec<usize>);

/// Decodes framed messages of Avro or Protobuf.
pub struct FramedDecoder {
    schema: EventSchema,
    format: Format,
    columns: Vec<Column>,
    schemas: Arc<Schemas>,
    /// Schemas of Protobuf by their ids; or why they are none.
    files: HashMap<u32, Result<ProtobufFile, Problem>>,
    /// How messages are read, by their types; or why they cannot be.
    plans: HashMap<TypeId, Result<Plan, Problem>>,
    /// Ids of the batch that is decoded next which do not exist.
    missing: HashSet<u32>,
    scratch: Scratch,
}

/// How messages of one type are read.
enum Plan {
    Avro(avro::Plan),
    Protobuf(protobuf::Plan),
}

/// A message's frame: which type, and how many bytes that takes.
struct Frame {
    id: TypeId,
    bytes: usize,
}

impl FramedDecoder {
    /// A decoder for a table of `schema`, of messages in `format`.
    pub fn new(schema: &EventSchema, format: Format, schemas: Arc<Schemas>) -> Self {
        Self {
            columns: schema.fields.iter().map(|field| Column::new(&field.kind)).collect(),
            schema: schema.clone(),
            format,
            schemas,
            files: HashMap::new(),
            plans: HashMap::new(),
            missing: HashSet::new(),
            scratch: Scratch::default(),
        }
    }

    /// Whether all schemas that these messages name are known (or known not to exist). What is not is asked for.
    pub fn is_ready(&mut self, batch: &dyn Messages) -> bool {
        self.missing.clear();
        let (mut last, mut is_ready): (&[u8], bool) = (&[], true);
        for index in 0..batch.len() {
            let payload = batch.get(index).payload.unwrap_or_default();
            // A frame is never the beginning of another one.
            if !last.is_empty() && payload.starts_with(last) {
                continue;
            }
            let Ok(Frame { id, bytes }) = frame(payload, self.format) else { continue };
            last = &payload[..bytes];
            if self.plans.contains_key(&id) || self.missing.contains(&id.0) {
                continue;
            }
            match self.schemas.look_up(id.0) {
                LookUp::Known(registered) => self.learn(id, &registered),
                LookUp::Missing => drop(self.missing.insert(id.0)),
                LookUp::Waiting => is_ready = false,
            }
        }
        is_ready
    }

    /// Compiles how messages of a type are read. A place where the schema has no type is no type: not to be remembered, as
    /// messages can name any number of them.
    fn learn(&mut self, id: TypeId, registered: &Registered) {
        let unfit =
            |why: String| Problem::new(reason::INCOMPATIBLE_SCHEMA, format!("schema {} of the message: {why}", id.0));
        let (wanted, table) = (self.format.kind(), &self.schema);
        let imports = registered.referenced.iter();
        let plan = match wanted {
            _ if registered.kind != wanted => {
                let (is, format) = (registered.kind.name(), wanted.name());
                Err(format!("it is in {is}, and the topic's format is {format}"))
            }
            Kind::Protobuf => {
                let parse = || {
                    let imports = imports.map(|one| (one.name.as_str(), one.text.as_str()));
                    ProtobufFile::parse(&registered.text, imports).map_err(unfit)
                };
                match self.files.entry(id.0).or_insert_with(parse) {
                    Ok(file) => match file.message(&id.1) {
                        Some(message) => protobuf::Plan::new(&message, table).map(Plan::Protobuf),
                        None => return,
                    },
                    Err(problem) => {
                        self.plans.insert(id, Err(problem.clone()));
                        return;
                    }
                }
            }
            _ => AvroSchema::parse(&registered.text, imports.map(|one| one.text.as_str()))
                .and_then(|writer| avro::Plan::new(&writer, table))
                .map(Plan::Avro),
        };
        let plan = plan.map_err(unfit);
        self.plans.insert(id, plan);
    }

    /// Decodes messages for which [`FramedDecoder::is_ready`].
    pub fn decode(&mut self, batch: &dyn Messages) -> Decoded {
        // As with JSON: the columns find out that a text is not UTF-8, and then all is decoded again, each text checked.
        match self.decode_all(batch, false) {
            Ok(decoded) => decoded,
            Err(_) => self.decode_all(batch, true).unwrap_or_else(|error| self.nothing(batch, &error)),
        }
    }

    fn decode_all(&mut self, batch: &dyn Messages, check_utf8: bool) -> Result<Decoded, ArrowError> {
        let Self { schema, format, columns, plans, missing, scratch, .. } = self;
        columns.iter_mut().for_each(|column| column.truncate(0));
        let mut messages = Vec::with_capacity(batch.len());
        let mut undecodable = Vec::new();
        // The frame of the last message, and how it was read.
        let mut last: Option<(&[u8], &Result<Plan, Problem>)> = None;
        for index in 0..batch.len() {
            let message = u32::try_from(index).unwrap_or(u32::MAX);
            let outcome = match batch.get(index).payload {
                None => Err(Problem::new(reason::NULL_PAYLOAD, "the message has no payload (a tombstone)")),
                Some(payload) => {
                    let same = last.filter(|(frame, _)| payload.starts_with(frame));
                    let framed = same.map_or_else(|| look_up(payload, *format, plans, missing), Ok);
                    framed.and_then(|(frame, plan)| {
                        last = Some((frame, plan));
                        row(plan, &payload[frame.len()..], columns, scratch, messages.len(), check_utf8)
                    })
                }
            };
            match outcome {
                Ok(()) => messages.push(message),
                Err(Problem { reason, detail }) => undecodable.push(Undecodable { message, reason, detail }),
            }
        }
        let arrays = columns.iter_mut().map(Column::finish).collect::<Result<Vec<ArrayRef>, _>>()?;
        Ok(Decoded { rows: RecordBatch::try_new(Arc::clone(&schema.arrow), arrays)?, messages, undecodable })
    }

    /// Arrow refused the columns, which the checks exclude. No message is lost even so: all are set aside.
    fn nothing(&self, batch: &dyn Messages, error: &ArrowError) -> Decoded {
        let detail = format!("the batch could not be decoded: {error}");
        let reason = self.format.malformed();
        let undecodable = (0..u32::try_from(batch.len()).unwrap_or(u32::MAX))
            .map(|message| Undecodable { message, reason, detail: detail.clone() })
            .collect();
        Decoded { rows: RecordBatch::new_empty(Arc::clone(&self.schema.arrow)), messages: Vec::new(), undecodable }
    }
}

fn frame(payload: &[u8], format: Format) -> Result<Frame, Problem> {
    let Some((id, body)) = confluent::unframed(payload) else {
        return Err(Problem::new(reason::NOT_FRAMED, confluent::why_not_framed(payload)));
    };
    if format != Format::Protobuf {
        return Ok(Frame { id: (id, Vec::new()), bytes: HEADER_BYTES });
    }
    match confluent::message_place(body) {
        Some((place, rest)) => Ok(Frame { id: (id, place), bytes: payload.len() - rest.len() }),
        None => {
            let detail = "behind the id of the schema nothing says which of its types the message is";
            Err(Problem::new(reason::NOT_FRAMED, detail))
        }
    }
}

/// A message's frame, and how its type is read.
fn look_up<'p, 'm>(
    payload: &'m [u8],
    format: Format,
    plans: &'p HashMap<TypeId, Result<Plan, Problem>>,
    missing: &HashSet<u32>,
) -> Result<(&'m [u8], &'p Result<Plan, Problem>), Problem> {
    let Frame { id, bytes } = frame(payload, format)?;
    match plans.get(&id) {
        Some(plan) => Ok((&payload[..bytes], plan)),
        None if missing.contains(&id.0) || format != Format::Protobuf => {
            let detail = format!("the message names schema {}, which the registry does not have", id.0);
            Err(Problem::new(reason::UNKNOWN_SCHEMA, detail))
        }
        None => {
            let detail = format!("the message names the type at {:?} of schema {}, which has none there", id.1, id.0);
            Err(Problem::new(reason::MALFORMED_PROTOBUF, detail))
        }
    }
}

/// Appends one row; nothing when it fails.
fn row(
    plan: &Result<Plan, Problem>,
    body: &[u8],
    columns: &mut [Column],
    scratch: &mut Scratch,
    row: usize,
    check_utf8: bool,
) -> Result<(), Problem> {
    let read = match plan {
        Ok(Plan::Avro(plan)) => plan.row(body, columns, check_utf8),
        Ok(Plan::Protobuf(plan)) => plan.row(body, columns, scratch, check_utf8),
        Err(problem) => return Err(problem.clone()),
    };
    read.map_err(|problem| {
        columns.iter_mut().for_each(|column| column.truncate(row));
        *problem
    })
}

#[cfg(test)]
#[path = "framed_tests.rs"]
mod tests;

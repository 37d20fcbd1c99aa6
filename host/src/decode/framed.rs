//! Messages that carry the id of their schema, to columns.
//!
//! Ids are looked up before a batch is decoded ([`FramedDecoder::is_ready`]), so decoding never waits. A schema is compiled
//! when it is seen first, and what came of that is kept: a message costs one comparison of its id with the last one's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

use super::avro::{AvroSchema, Plan};
use super::column::Column;
use super::confluent;
use super::schema::EventSchema;
use super::{Decoded, Problem, Undecodable};
use crate::reason;
use crate::schema_registry::{Kind, LookUp, Registered, Schemas};
use crate::source::Messages;

/// Decodes framed Avro messages.
pub struct FramedDecoder {
    schema: EventSchema,
    columns: Vec<Column>,
    schemas: Arc<Schemas>,
    /// How messages are read, by the ids of their schemas; or why those cannot be.
    writers: HashMap<u32, Result<Plan, Problem>>,
    /// Ids of the batch that is decoded next which do not exist.
    missing: HashSet<u32>,
}

impl FramedDecoder {
    /// A decoder for a table of `schema`.
    pub fn new(schema: &EventSchema, schemas: Arc<Schemas>) -> Self {
        Self {
            columns: schema.fields.iter().map(|field| Column::new(&field.kind)).collect(),
            schema: schema.clone(),
            schemas,
            writers: HashMap::new(),
            missing: HashSet::new(),
        }
    }

    /// Whether all schemas that these messages name are known (or known not to exist). What is not is asked for.
    pub fn is_ready(&mut self, batch: &dyn Messages) -> bool {
        self.missing.clear();
        let (mut last, mut is_ready) = (None, true);
        for index in 0..batch.len() {
            let payload = batch.get(index).payload.unwrap_or_default();
            let Some((id, _)) = confluent::unframed(payload) else { continue };
            if last == Some(id) || self.writers.contains_key(&id) {
                last = Some(id);
                continue;
            }
            last = Some(id);
            match self.schemas.look_up(id) {
                LookUp::Known(registered) => {
                    self.writers.insert(id, plan(id, &registered, &self.schema));
                }
                LookUp::Missing => drop(self.missing.insert(id)),
                LookUp::Waiting => is_ready = false,
            }
        }
        is_ready
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
        self.columns.iter_mut().for_each(|column| column.truncate(0));
        let mut messages = Vec::with_capacity(batch.len());
        let mut undecodable = Vec::new();
        let mut writer = None;
        for index in 0..batch.len() {
            let message = u32::try_from(index).unwrap_or(u32::MAX);
            let outcome = match batch.get(index).payload {
                None => Err(Problem::new(reason::NULL_PAYLOAD, "the message has no payload (a tombstone)")),
                Some(payload) => match confluent::unframed(payload) {
                    None => Err(Problem::new(reason::NOT_FRAMED, confluent::why_not_framed(payload))),
                    Some((id, body)) => {
                        let found = match writer {
                            Some((last, found)) if last == id => found,
                            _ => writer.insert((id, self.writers.get(&id))).1,
                        };
                        row(id, found, body, &mut self.columns, messages.len(), check_utf8)
                    }
                },
            };
            match outcome {
                Ok(()) => messages.push(message),
                Err(Problem { reason, detail }) => undecodable.push(Undecodable { message, reason, detail }),
            }
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<ArrayRef>, _>>()?;
        Ok(Decoded { rows: RecordBatch::try_new(Arc::clone(&self.schema.arrow), arrays)?, messages, undecodable })
    }

    /// Arrow refused the columns, which the checks exclude. No message is lost even so: all are set aside.
    fn nothing(&self, batch: &dyn Messages, error: &ArrowError) -> Decoded {
        let detail = format!("the batch could not be decoded: {error}");
        let undecodable = (0..u32::try_from(batch.len()).unwrap_or(u32::MAX))
            .map(|message| Undecodable { message, reason: reason::MALFORMED_AVRO, detail: detail.clone() })
            .collect();
        Decoded { rows: RecordBatch::new_empty(Arc::clone(&self.schema.arrow)), messages: Vec::new(), undecodable }
    }
}

/// Appends one row; nothing when it fails.
fn row(
    id: u32,
    writer: Option<&Result<Plan, Problem>>,
    body: &[u8],
    columns: &mut [Column],
    row: usize,
    check_utf8: bool,
) -> Result<(), Problem> {
    match writer {
        Some(Ok(plan)) => plan.row(body, columns, check_utf8).map_err(|problem| {
            columns.iter_mut().for_each(|column| column.truncate(row));
            *problem
        }),
        Some(Err(problem)) => Err(problem.clone()),
        None => {
            let detail = format!("the message names schema {id}, which the registry does not have");
            Err(Problem::new(reason::UNKNOWN_SCHEMA, detail))
        }
    }
}

/// How messages of a schema become rows of the table.
fn plan(id: u32, registered: &Registered, table: &EventSchema) -> Result<Plan, Problem> {
    let plan = match registered.kind {
        Kind::Avro => AvroSchema::parse(&registered.text, registered.referenced.iter().map(|one| one.text.as_str()))
            .and_then(|writer| Plan::new(&writer, table)),
        other => Err(format!("it is in {}, and the topic's format is Avro", other.name())),
    };
    plan.map_err(|why| Problem::new(reason::INCOMPATIBLE_SCHEMA, format!("schema {id} of the message: {why}")))
}

#[cfg(test)]
#[path = "framed_tests.rs"]
mod tests;

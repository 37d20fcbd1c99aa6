//! JSON events to columns.
//!
//! Strict, so that a row never holds what the event did not say: the grammar is RFC 8259 as serde_json checks it, an integer
//! column takes integer literals in range, a double any finite number, a string strings, a boolean booleans; of duplicate
//! keys the last wins; null or a missing key is null, or [`MISSING_FIELD`](reason::MISSING_FIELD) where the field is required.
//! Keys that are no field are ignored, but what stands behind them must be JSON.
//!
//! Which reason a message gets, when several would do, is settled: not UTF-8, then not JSON, then not an object, then
//! something behind the object, then the first field in the order of the schema.
//!
//! Two paths decode a message: [`general`] defines what is right, and knows every case; [`expecting`] is fast, and gives up
//! on what it does not expect. A property test holds them together.

mod expecting;
mod general;
mod literal;
mod rfc3339;
mod scan;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::column::Column;
use super::schema::EventSchema;
use super::{Decoded, Problem, Undecodable, confluent};
use crate::reason;
use crate::source::{Messages, SourceBatch};
use expecting::Expecting;
use general::General;

/// Decodes JSON objects, one a message. Keeps its buffers' sizes from batch to batch.
pub struct JsonDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    general: General,
    /// `None`: every message takes the general path.
    expecting: Option<Expecting>,
}

impl JsonDecoder {
    /// A decoder for events of `schema`.
    pub fn new(schema: &EventSchema) -> Self {
        Self {
            schema: Arc::clone(&schema.arrow),
            columns: schema.fields.iter().map(|field| Column::new(&field.kind)).collect(),
            general: General::new(schema),
            expecting: Some(Expecting::new(schema)),
        }
    }

    /// The same decoder without its fast path: slower, with the same results. For comparisons.
    pub fn general_only(schema: &EventSchema) -> Self {
        Self { expecting: None, ..Self::new(schema) }
    }

    /// Decodes the messages of one batch. Never fails: what cannot be decoded is set aside with its reason.
    pub fn decode(&mut self, batch: &SourceBatch) -> Decoded {
        self.decode_messages(batch.messages.as_ref())
    }

    /// The same, for messages without their topic partition.
    pub fn decode_messages(&mut self, batch: &dyn Messages) -> Decoded {
        self.decode_bodies(batch, |payload| Ok(payload))
    }

    /// The same, for messages behind the ids of their schemas.
    pub(super) fn decode_framed(&mut self, batch: &dyn Messages) -> Decoded {
        self.decode_bodies(batch, |payload| match confluent::unframed(payload) {
            Some((_, body)) => Ok(body),
            None => Err(Problem::new(reason::NOT_FRAMED, confluent::why_not_framed(payload))),
        })
    }

    fn decode_bodies(
        &mut self,
        batch: &dyn Messages,
        body: impl Fn(&[u8]) -> Result<&[u8], Problem> + Copy,
    ) -> Decoded {
        // The fast path leaves it to the columns to find out that a string is not UTF-8. They do not know whose it was, so
        // then all is decoded again, each payload checked first.
        match self.decode_all(batch, body, false) {
            Ok(decoded) => decoded,
            Err(_) => self.decode_all(batch, body, true).unwrap_or_else(|error| self.nothing(batch, &error)),
        }
    }

    fn decode_all(
        &mut self,
        batch: &dyn Messages,
        body: impl Fn(&[u8]) -> Result<&[u8], Problem>,
        check_utf8: bool,
    ) -> Result<Decoded, ArrowError> {
        self.columns.iter_mut().for_each(|column| column.truncate(0));
        let mut messages = Vec::with_capacity(batch.len());
        let mut undecodable = Vec::new();
        for index in 0..batch.len() {
            let message = u32::try_from(index).unwrap_or(u32::MAX);
            let outcome = match batch.get(index).payload {
                Some(payload) => body(payload).and_then(|body| self.row(body, messages.len(), check_utf8)),
                None => Err(Problem::new(reason::NULL_PAYLOAD, "the message has no payload (a tombstone)")),
            };
            match outcome {
                Ok(()) => messages.push(message),
                Err(Problem { reason, detail }) => undecodable.push(Undecodable { message, reason, detail }),
            }
        }
        Ok(Decoded { rows: self.finish()?, messages, undecodable })
    }

    /// Appends one row; nothing when it fails.
    fn row(&mut self, payload: &[u8], row: usize, check_utf8: bool) -> Result<(), Problem> {
        if let Some(expecting) = &mut self.expecting
            && (!check_utf8 || std::str::from_utf8(payload).is_ok())
        {
            if expecting.row(payload, &mut self.columns, row) {
                return Ok(());
            }
            self.columns.iter_mut().for_each(|column| column.truncate(row));
        }
        let outcome = self.general.row(payload, &mut self.columns, row);
        if outcome.is_err() {
            self.columns.iter_mut().for_each(|column| column.truncate(row));
        }
        outcome
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<ArrayRef>, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    /// Arrow refused the columns, which the checks above exclude. No message is lost even so: all are set aside.
    fn nothing(&self, batch: &dyn Messages, error: &ArrowError) -> Decoded {
        let detail = format!("the batch could not be decoded: {error}");
        let undecodable = (0..u32::try_from(batch.len()).unwrap_or(u32::MAX))
            .map(|message| Undecodable { message, reason: reason::NOT_JSON, detail: detail.clone() })
            .collect();
        Decoded { rows: RecordBatch::new_empty(Arc::clone(&self.schema)), messages: Vec::new(), undecodable }
    }
}

#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod tests;

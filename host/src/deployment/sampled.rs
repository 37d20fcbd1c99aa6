//! Single events of a rehearsal: what each was, and what became of it in the new deployment and in the present one.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::decode::Decoded;
use crate::source::SourceBatch;
use crate::table::cell::cell;
use crate::transform::{ChainOutput, TransformChain};

/// How many events are shown.
const SHOWN: usize = 20;

/// How many rows of one event are shown, where a transform makes several of it.
const ROWS: usize = 5;

/// A longer text is cut off: a guest may make long ones, and all of it is one answer.
const TEXT_BYTES: usize = 1 << 10;

/// A row by its columns.
pub type Row = Map<String, Value>;

/// One event of the sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sampled {
    /// `TOPIC/PARTITION@OFFSET`.
    pub message: String,
    /// As it came, by the columns of the schema.
    pub event: Row,
    /// What became of it in the new deployment.
    pub new: Fate,
    /// What became of it in the present one, where there is one.
    pub present: Option<Fate>,
    /// Whether the two differ: columns that only one of them has do not count.
    pub differs: bool,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// It goes into the table.
    Kept {
        /// The first few of its rows, mostly the only one.
        rows: Vec<Row>,
    },
    /// It was filtered.
    Filtered,
    /// It was rejected, or a transform failed on it.
    DeadLetter {
        /// The transform's name in the pipeline.
        transform: String,
        /// Why.
        reason: String,
        /// What was found.
        detail: String,
    },
}

/// What a chain made of a batch.
pub(super) struct Made<'m> {
    pub(super) chain: &'m TransformChain,
    pub(super) output: &'m ChainOutput,
}

/// Chooses which events are shown: those that differ first.
#[derive(Default)]
pub(super) struct Choice {
    differing: Vec<Sampled>,
    others: Vec<Sampled>,
}

impl Choice {
    /// Looks at one batch. `differing`: the messages on which the two deployments differ.
    pub(super) fn look(
        &mut self,
        batch: &SourceBatch,
        decoded: &Decoded,
        new: &Made<'_>,
        present: Option<&Made<'_>>,
        differing: &BTreeSet<u32>,
    ) {
        for (row, message) in decoded.messages.iter().enumerate() {
            let differs = differing.contains(message);
            let chosen = if differs { &mut self.differing } else { &mut self.others };
            if chosen.len() < SHOWN {
                let offset = batch.messages.get(*message as usize).offset;
                chosen.push(Sampled {
                    message: format!("{}@{offset}", batch.topic_partition),
                    event: shown(&decoded.rows, row),
                    new: new.fate(*message),
                    present: present.map(|present| present.fate(*message)),
                    differs,
                });
            }
            if self.differing.len() == SHOWN {
                return;
            }
        }
    }

    /// The chosen ones.
    pub(super) fn finish(mut self) -> Vec<Sampled> {
        self.differing.append(&mut self.others);
        self.differing.truncate(SHOWN);
        self.differing
    }
}

impl Made<'_> {
    fn fate(&self, message: u32) -> Fate {
        if let Some((transform, reason, detail)) = self.rejection(message) {
            let (reason, detail) = (reason.to_owned(), cut(detail.to_owned()));
            return Fate::DeadLetter { transform: transform.to_owned(), reason, detail };
        }
        let messages = &self.output.messages;
        let first = messages.partition_point(|one| *one < message);
        let end = messages.partition_point(|one| *one <= message);
        if first == end {
            return Fate::Filtered;
        }
        Fate::Kept { rows: (first..end.min(first + ROWS)).map(|row| shown(&self.output.rows, row)).collect() }
    }

    /// Transform, reason and detail, where it was rejected.
    pub(super) fn rejection(&self, message: u32) -> Option<(&str, &str, &str)> {
        let rejected = &self.output.rejected;
        let found = &rejected[rejected.binary_search_by_key(&message, |one| one.message).ok()?];
        Some((&self.chain.transforms()[found.transform].name, &found.reason, &found.detail))
    }
}

fn shown(rows: &RecordBatch, row: usize) -> Row {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    columns.map(|(field, column)| (field.name().clone(), short(cell(column, row)))).collect()
}

fn short(value: Value) -> Value {
    match value {
        Value::String(text) => cut(text).into(),
        Value::Array(_) | Value::Object(_) if value.to_string().len() > TEXT_BYTES => cut(value.to_string()).into(),
        value => value,
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        let end = (0..=TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ä".repeat(TEXT_BYTES);
        let Value::String(cut) = short(long.into()) else { panic!("a text stays one") };
        assert_eq!((cut.chars().count(), cut.ends_with("ä…")), (TEXT_BYTES / 2 + 1, true));
        assert_eq!(short("short".into()), Value::from("short"));
        assert!(short((0..TEXT_BYTES).collect()).is_string(), "what does not fit becomes text");
        assert_eq!(short(serde_json::json!([1])), serde_json::json!([1]));
    }
}

//! What a transform says it reads and does, checked against the columns that reach it.
//!
//! Pure: no guest runs here. Every problem of a description is found and named, not just the first.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use serde::Serialize;

use super::bindings::types;
use super::columns::{format_of, type_of};
use super::guest_log::{bounded, harmless, misleads};

/// More columns than this in one list are a mistake, or an attack on whoever prints them.
const MAX_COLUMNS: usize = 2000;
/// The longest name of a column.
const MAX_NAME_BYTES: usize = 255;
/// Reasons are metric labels.
const MAX_REASONS: usize = 256;
/// The longest code of a reason.
const MAX_CODE_BYTES: usize = 64;
/// The longest message of a reason.
const MAX_MESSAGE_BYTES: usize = 1024;

/// What a linked transform reads and does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    /// Columns that cross to the guest; `$topic` and so on are Kafka's metadata.
    pub reads: Vec<String>,
    /// Columns it adds or replaces: name, the contract's format, nullable.
    pub writes: Vec<Written>,
    /// Columns it removes.
    pub drops: Vec<String>,
    /// Why it rejects rows.
    pub reasons: Vec<Reason>,
}

/// A column that a transform writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its format, as in `wit/transform.wit`.
    pub format: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
}

/// A reason for rejecting rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Short and stable.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// Kafka's metadata of the message that a row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
}

impl Metadata {
    pub(crate) const ALL: [Self; 5] = [Self::Topic, Self::Partition, Self::Offset, Self::Timestamp, Self::Key];

    /// The column's name in `reads`.
    fn name(self) -> &'static str {
        match self {
            Self::Topic => "$topic",
            Self::Partition => "$partition",
            Self::Offset => "$offset",
            Self::Timestamp => "$timestamp",
            Self::Key => "$key",
        }
    }

    fn field(self) -> Field {
        let (data_type, nullable) = match self {
            Self::Topic => (DataType::Utf8, false),
            Self::Partition => (DataType::Int32, false),
            Self::Offset => (DataType::Int64, false),
            Self::Timestamp => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Self::Key => (DataType::Binary, true),
        };
        Field::new(self.name(), data_type, nullable)
    }
}

/// Where a column that is read comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// A column of the stream, by its position before the transform.
    Column(usize),
    /// The messages.
    Metadata(Metadata),
}

/// A description that fits the columns that reach it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) descriptor: Descriptor,
    /// One per read column.
    pub(crate) reads: Vec<ReadFrom>,
    /// The fields behind `reads`, as `start` gets them.
    pub(crate) read_fields: Vec<GuestField>,
    /// One per written column: its field, and its position before the transform when it replaces one.
    pub(crate) writes: Vec<(FieldRef, Option<usize>)>,
    /// Positions before the transform of the columns that it removes, in increasing order.
    pub(crate) drops: Vec<usize>,
    /// The columns after it: replaced ones in their place, added ones at the end.
    pub(crate) output: SchemaRef,
}

impl Plan {
    /// Why a row cannot go on as if the transform were not there, each as what the transform does: it would be no row of
    /// the columns behind the transform.
    pub(crate) fn against_skipping(&self, input: &Schema) -> Vec<String> {
        let against = |(field, replaced): &(FieldRef, Option<usize>)| {
            let name = harmless(field.name());
            match replaced.map(|index| input.field(index)) {
                None if field.is_nullable() => None,
                None => Some(format!("adds column `{name}`, which is never null")),
                Some(old) if old.data_type() != field.data_type() => {
                    Some(format!("makes {} of column `{name}`, which is {}", field.data_type(), old.data_type()))
                }
                Some(old) if old.is_nullable() && !field.is_nullable() => {
                    Some(format!("says that column `{name}` is never null, which it may be before"))
                }
                Some(_) => None,
            }
        };
        self.writes.iter().filter_map(against).collect()
    }
}

/// A field as the contract writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestField {
    name: String,
    format: String,
    nullable: bool,
}

impl GuestField {
    fn new(field: &Field) -> Option<Self> {
        let format = format_of(field.data_type())?;
        Some(Self { name: field.name().clone(), format, nullable: field.is_nullable() })
    }

    pub(crate) fn as_param(&self) -> types::FieldParam<'_> {
        types::FieldParam { name: &self.name, format: &self.format, nullable: self.nullable }
    }
}

/// The fields that `describe` sees: the stream's columns that can cross, then Kafka's metadata.
pub(crate) fn input_fields(schema: &Schema) -> Vec<GuestField> {
    let metadata = Metadata::ALL.map(Metadata::field);
    schema.fields().iter().map(|field| &**field).chain(&metadata).filter_map(GuestField::new).collect()
}

/// Checks `described` against the columns that reach the transform; gives all its problems.
pub(crate) fn plan(described: types::Descriptor, input: &SchemaRef) -> Result<Plan, Vec<String>> {
    let mut problems = Vec::new();
    // First, because what follows compares the lists with each other.
    bounded_list("reads", &described.reads, &mut problems);
    bounded_list("writes", &described.writes, &mut problems);
    bounded_list("drops", &described.drops, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let (reads, read_fields) = reads(&described.reads, input, &mut problems);
    let writes = writes(&described.writes, input, &mut problems);
    let drops = drops(&described.drops, &described.writes, input, &mut problems);
    let reasons = reasons(&described.reasons, &mut problems);
    if !problems.is_empty() {
        problems.truncate(20);
        return Err(problems);
    }
    let output = output(input, &writes, &drops);
    let written =
        |field: types::FieldResult| Written { name: field.name, format: field.format, nullable: field.nullable };
    let descriptor = Descriptor {
        reads: described.reads,
        writes: described.writes.into_iter().map(written).collect(),
        drops: described.drops,
        reasons,
    };
    Ok(Plan { descriptor, reads, read_fields, writes, drops, output })
}

fn reads(names: &[String], input: &Schema, problems: &mut Vec<String>) -> (Vec<ReadFrom>, Vec<GuestField>) {
    let (mut from, mut fields) = (Vec::new(), Vec::new());
    for name in distinct("reads", names.iter(), problems) {
        let metadata = Metadata::ALL.into_iter().find(|metadata| metadata.name() == name);
        let found = match metadata {
            Some(metadata) => GuestField::new(&metadata.field()).map(|field| (ReadFrom::Metadata(metadata), field)),
            None => match input.column_with_name(name) {
                None => {
                    problems.push(format!("reads column `{}`, which does not reach it{}", harmless(name), near(input)));
                    continue;
                }
                Some((index, field)) => GuestField::new(field).map(|field| (ReadFrom::Column(index), field)),
            },
        };
        match found {
            Some((place, field)) => {
                from.push(place);
                fields.push(field);
            }
            None => problems.push(format!("reads column `{}`, whose type cannot cross to a transform", harmless(name))),
        }
    }
    (from, fields)
}

fn writes(fields: &[types::FieldResult], input: &Schema, problems: &mut Vec<String>) -> Vec<(FieldRef, Option<usize>)> {
    distinct("writes", fields.iter().map(|field| &field.name), problems);
    let mut writes = Vec::new();
    for field in fields {
        let name = harmless(&field.name);
        if field.name.is_empty() || field.name.len() > MAX_NAME_BYTES || field.name.chars().any(misleads) {
            problems
                .push(format!("writes column `{name}`: a name has 1 to {MAX_NAME_BYTES} bytes, no control characters"));
        } else if field.name.starts_with('$') {
            problems
                .push(format!("writes column `{name}`: names that begin with `$` are reserved for Kafka's metadata"));
        }
        let Some(data_type) = type_of(&field.format) else {
            problems.push(format!(
                "writes column `{name}` with format `{}`, which does not exist",
                harmless(&field.format)
            ));
            continue;
        };
        let replaced = input.column_with_name(&field.name);
        // A column that keeps its type keeps it exactly: the same list may name its items otherwise.
        let data_type = match replaced {
            Some((_, old))
                if format_of(old.data_type()).as_deref() == Some(&field.format) && old.data_type().is_nested() =>
            {
                old.data_type().clone()
            }
            _ => data_type,
        };
        let field = Field::new(field.name.clone(), data_type, field.nullable);
        writes.push((Arc::new(field), replaced.map(|(index, _)| index)));
    }
    writes
}

fn drops(names: &[String], writes: &[types::FieldResult], input: &Schema, problems: &mut Vec<String>) -> Vec<usize> {
    let mut drops = Vec::new();
    for name in distinct("drops", names.iter(), problems) {
        match input.column_with_name(name) {
            _ if writes.iter().any(|field| &field.name == name) => {
                problems.push(format!("both writes and drops column `{}`", harmless(name)));
            }
            Some((index, _)) => drops.push(index),
            None => problems.push(format!("drops column `{}`, which does not reach it{}", harmless(name), near(input))),
        }
    }
    drops.sort_unstable();
    drops
}

fn reasons(reasons: &[types::Reason], problems: &mut Vec<String>) -> Vec<Reason> {
    if reasons.len() > MAX_REASONS {
        problems.push(format!("describes {} reasons; at most {MAX_REASONS} are allowed", reasons.len()));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut seen = HashSet::new();
    for reason in reasons.iter().take(MAX_REASONS) {
        let code = harmless(&reason.code);
        if reason.code.is_empty() || reason.code.len() > MAX_CODE_BYTES || !reason.code.bytes().all(plain) {
            problems.push(format!(
                "describes reason `{code}`: a code has 1 to {MAX_CODE_BYTES} letters, digits, `-`, `_` and `.`"
            ));
        } else if reason.code.starts_with("transform-") {
            problems.push(format!("describes reason `{code}`: codes that begin with `transform-` are reserved"));
        } else if !seen.insert(&reason.code) {
            problems.push(format!("describes reason `{code}` twice"));
        }
    }
    let copy = |reason: &types::Reason| Reason {
        code: reason.code.clone(),
        message: bounded(&reason.message, MAX_MESSAGE_BYTES),
    };
    reasons.iter().take(MAX_REASONS).map(copy).collect()
}

/// The columns after a transform.
fn output(input: &Schema, writes: &[(FieldRef, Option<usize>)], drops: &[usize]) -> SchemaRef {
    let replaced = |index| writes.iter().find(|(_, old)| *old == Some(index)).map(|(field, _)| field);
    let kept = input.fields().iter().enumerate().filter(|(index, _)| !drops.contains(index));
    let kept = kept.map(|(index, field)| replaced(index).unwrap_or(field).clone());
    let added = writes.iter().filter(|(_, old)| old.is_none()).map(|(field, _)| field.clone());
    Arc::new(Schema::new(kept.chain(added).collect::<Vec<_>>()))
}

/// Names each name that occurs twice; gives each name once.
fn distinct<'a>(list: &str, names: impl Iterator<Item = &'a String>, problems: &mut Vec<String>) -> Vec<&'a String> {
    let mut seen = HashSet::new();
    let mut once = Vec::new();
    for name in names {
        if seen.insert(name) {
            once.push(name);
        } else {
            problems.push(format!("{list} column `{}` twice", harmless(name)));
        }
    }
    once
}

fn bounded_list<T>(list: &str, items: &[T], problems: &mut Vec<String>) {
    if items.len() > MAX_COLUMNS {
        problems.push(format!("{list} {} columns; at most {MAX_COLUMNS} are allowed", items.len()));
    }
}

/// What could have been meant.
fn near(input: &Schema) -> String {
    let names: Vec<_> = input.fields().iter().take(40).map(|field| field.name().as_str()).collect();
    format!(" (these do: {})", names.join(", "))
}

//! What a transform says about itself, checked against the columns that reach it.
//!
//! Guarantee: every problem with settings, names, types and nullability is found in one go, before traffic, and says
//! which column, what was found and what was wanted. Does not know: how rows are processed.

use std::fmt;

use crate::kind::{Kind, describe_format};
use crate::reads::{ReadField, Reads};
use crate::reasons::Reasons;
use crate::settings::{Prepare, Settings};
use crate::wit::{Descriptor, Field, Reason};
use crate::writes::Writes;

/// The code of the built-in reason: a field that is not an `Option` met a null.
pub const NULL_INPUT: &str = "null-input";

/// All that does not fit, collected before anything is said.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Note one more.
    pub fn push(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// `value`, unless there were problems.
    ///
    /// # Errors
    /// The problems, one to a line.
    pub fn none_or<T>(self, value: T) -> Result<T, String> {
        if self.0.is_empty() { Ok(value) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
            }
        }
    }
}

/// The descriptor of a transform made of these parts.
///
/// # Errors
/// Everything that does not fit, one problem to a line.
pub fn describe<R: Reads, W: Writes, P: Reasons, C: Prepare>(
    settings: &[(String, String)],
    input: &[Field],
    drops: &[&str],
) -> Result<Descriptor, String> {
    let mut problems = Problems::default();
    if let Some(settings) = C::Settings::parse(settings, &mut problems)
        && let Err(problem) = C::prepare(settings)
    {
        problems.push(problem);
    }
    let (reads, may_reject_nulls) = check_reads(R::FIELDS, input, &mut problems);
    let writes: Vec<Field> = W::FIELDS
        .iter()
        .map(|field| Field {
            name: field.name.to_owned(),
            format: field.kind.format().to_owned(),
            nullable: field.nullable,
        })
        .collect();
    check_writes(&writes, drops, input, &mut problems);
    let mut reasons: Vec<Reason> = P::REASONS
        .iter()
        .map(|reason| Reason { code: reason.code.to_owned(), message: reason.message.to_owned() })
        .collect();
    if may_reject_nulls {
        let message = "A column that the transform requires a value of is null.".to_owned();
        reasons.push(Reason { code: NULL_INPUT.to_owned(), message });
    }
    let drops = drops.iter().map(|&name| name.to_owned()).collect();
    problems.none_or(Descriptor { reads, writes, drops, reasons })
}

/// The names to read, and whether a field that is not an `Option` reads a column that may be null.
fn check_reads(fields: &[ReadField], input: &[Field], problems: &mut Problems) -> (Vec<String>, bool) {
    let mut names: Vec<String> = Vec::with_capacity(fields.len());
    let mut may_reject_nulls = false;
    for field in fields {
        let Some(found) = find(field.name, input) else {
            if !field.optional {
                let known = input.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
                problems.push(format!(
                    "column `{}` is missing: wanted {}; the columns here are {known}",
                    field.name, field.kind
                ));
            }
            continue;
        };
        if names.iter().any(|name| name == field.name) {
            problems.push(format!("column `{}` is read by two fields", field.name));
        }
        if let Err(problem) = check_read(field, &found) {
            problems.push(problem);
        }
        may_reject_nulls |= found.nullable && !field.nullable;
        names.push(field.name.to_owned());
    }
    (names, may_reject_nulls)
}

/// Does the column hold what the field wants?
pub(crate) fn check_read(field: &ReadField, found: &Field) -> Result<(), String> {
    match Kind::from_format(&found.format) {
        Some(kind) if kind == field.kind => Ok(()),
        kind => {
            let hint = match kind {
                Some(kind) => format!("; `{}` reads it", kind.rust()),
                None => String::new(),
            };
            let (name, wanted) = (field.name, field.kind);
            Err(format!("column `{name}`: wanted {wanted}, found {}{hint}", describe_format(&found.format)))
        }
    }
}

fn check_writes(writes: &[Field], drops: &[&str], input: &[Field], problems: &mut Problems) {
    for (at, field) in writes.iter().enumerate() {
        if field.name.starts_with('$') {
            problems.push(format!("column `{}` cannot be written: `$` names what Kafka says of a record", field.name));
        }
        if writes[..at].iter().any(|other| other.name == field.name) {
            problems.push(format!("column `{}` is written by two fields", field.name));
        }
        if drops.contains(&field.name.as_str()) {
            problems.push(format!("column `{}` is both written and dropped", field.name));
        }
    }
    for name in drops {
        if !input.iter().any(|field| field.name == *name) {
            problems.push(format!("column `{name}` is to be dropped, but does not reach this transform"));
        }
    }
}

/// The column of that name. What Kafka says of a record is always there, listed or not.
fn find(name: &str, input: &[Field]) -> Option<Field> {
    input.iter().find(|field| field.name == name).cloned().or_else(|| metadata(name))
}

/// The metadata columns: `$topic`, `$partition`, `$offset`, `$timestamp`, `$key`.
pub(crate) fn metadata(name: &str) -> Option<Field> {
    let (kind, nullable) = match name {
        "$topic" => (Kind::Text, false),
        "$partition" => (Kind::Int, false),
        "$offset" => (Kind::Long, false),
        "$timestamp" => (Kind::Timestamp, true),
        "$key" => (Kind::Binary, true),
        _ => return None,
    };
    Some(Field { name: name.to_owned(), format: kind.format().to_owned(), nullable })
}

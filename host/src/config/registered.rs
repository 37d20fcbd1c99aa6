//! The columns of the table, where they are those of a schema in the registry.

use std::future::Future;

use super::{Evolution, SchemaRegistryConfig, TableSchema};
use crate::decode::registered::event_schema;
use crate::decode::schema::EventSchema;
use crate::schema_registry::{Client, FIRST, Registered, version_or_noted};

/// Looks up the schema, and makes columns of it. Without the registry, what it said last is taken, if that was noted.
///
/// Where columns may be added, those that the first version did not have are never required: rows of older messages have
/// none.
///
/// # Errors
/// What to do.
pub fn fetch(registry: &SchemaRegistryConfig, wanted: &TableSchema) -> Result<EventSchema, String> {
    let TableSchema { subject, version, evolution } = wanted;
    let look_up = |version: &str| {
        block_on(version_or_noted(registry, subject, version))?.map_err(|error| {
            let hint = error.what_to_do().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{error}{hint}")
        })
    };
    let Some(registered) = look_up(&version.to_string())? else {
        let known = block_on(async { Client::new(registry)?.subjects().await })?.unwrap_or_default();
        let like = if known.is_empty() { String::new() } else { format!("; there is {}", known.join(", ")) };
        return Err(format!("the registry has no version {version} of subject {subject:?}{like}"));
    };
    let columns = |registered: &Registered, version: &str| {
        event_schema(registered).map_err(|why| format!("version {version} of {subject:?} makes no table: {why}"))
    };
    let newest = columns(&registered, &version.to_string())?;
    if *evolution == Evolution::Fixed {
        return Ok(newest);
    }
    match look_up(FIRST)? {
        Some(first) => with_added(&columns(&first, FIRST)?, newest),
        None => Ok(newest),
    }
}

/// The columns of `newest`, of which those that `first` does not have are not required.
fn with_added(first: &EventSchema, newest: EventSchema) -> Result<EventSchema, String> {
    let mut fields = newest.fields;
    for field in &mut fields {
        field.required &= first.fields.iter().any(|other| other.name == field.name);
    }
    EventSchema::new(fields)
}

/// On a thread of its own: whoever reads a pipeline file may be on one that must not wait.
fn block_on<T: Send>(answer: impl Future<Output = T> + Send) -> Result<T, String> {
    let run = || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        tokio.map(|tokio| tokio.block_on(answer)).map_err(|error| format!("cannot ask the registry: {error}"))
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err("asking the registry panicked".to_owned()))
}

//! The columns of the table, where they are those of a schema in the registry.

use std::future::Future;

use super::{SchemaRegistryConfig, TableSchema};
use crate::decode::registered::event_schema;
use crate::decode::schema::EventSchema;
use crate::schema_registry::{Client, version_or_noted};

/// Looks up the schema, and makes columns of it. Without the registry, what it said last is taken, if that was noted.
///
/// The error says what to do.
pub(super) fn fetch(registry: &SchemaRegistryConfig, wanted: &TableSchema) -> Result<EventSchema, String> {
    let TableSchema { subject, version } = wanted;
    let found = block_on(version_or_noted(registry, subject, &version.to_string()))?.map_err(|error| {
        let hint = error.what_to_do().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{error}{hint}")
    })?;
    let Some(registered) = found else {
        let known = block_on(async { Client::new(registry)?.subjects().await })?.unwrap_or_default();
        let like = if known.is_empty() { String::new() } else { format!("; there is {}", known.join(", ")) };
        return Err(format!("the registry has no version {version} of subject {subject:?}{like}"));
    };
    event_schema(&registered).map_err(|why| format!("version {version} of {subject:?} makes no table: {why}"))
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

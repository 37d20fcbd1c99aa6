//! `evolution = "add-columns"`: a new version of the table's schema brings new columns while hosts run.
//!
//! ```text
//!   a message of a schema that has more than the table ──► it waits (Schemas' gate)
//!                                          │
//!   every 30 s ────────────────────────────┴──► is the newest version the table and more, and do the transforms bear it?
//!                                                  │ yes: the run commits what is open and ends; the next one, in the
//!                                                  │      same process, has the new columns
//!                                                  └ no: the message goes on, and what the table lacks is passed over
//! ```
//!
//! A run of its own, rather than another schema put under the lanes: everything that follows from the columns (decoders, linked
//! transforms, encoders, the admin API's trials) is made from them once, at the start, and stays true until the end. It costs a
//! group's rebalance for each new version.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::ready::Ready;
use crate::config::{self, Config, Evolution as Policy, SchemaRegistryConfig, TableSchema};
use crate::contract::changes;
use crate::decode::registered::event_schema;
use crate::decode::schema::EventSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Runtime;
use crate::schema_registry::{Registered, Schemas};
use crate::transform::TransformEngine;

/// How often the registry is asked whether there is a newer version.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How soon it is asked again when it did not answer while messages wait.
const AGAIN: Duration = Duration::from_secs(2);

/// Watches one table's schema.
pub(super) struct Evolution {
    config: Config,
    registry: SchemaRegistryConfig,
    table: TableSchema,
    module_cache: Option<PathBuf>,
    runtime: Arc<dyn Runtime>,
    held: Mutex<Held>,
    /// A message waits.
    waits: Notify,
    wanted: AtomicBool,
}

/// Schemas that have more than the table, by their text.
#[derive(Default)]
struct Held {
    waiting: BTreeSet<String>,
    /// Looked at, and not the table's.
    let_go: BTreeSet<String>,
}

impl Evolution {
    /// `None`: the table stays as it is.
    pub(super) fn new(config: &Config, module_cache: Option<PathBuf>, runtime: Arc<dyn Runtime>) -> Option<Arc<Self>> {
        let registry = config.schema_registry.clone()?;
        let table = registry.table.clone().filter(|table| table.evolution == Policy::AddColumns)?;
        let (held, waits, wanted) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Some(Arc::new(Self { config: config.clone(), registry, table, module_cache, runtime, held, waits, wanted }))
    }

    /// Whether the run is to end, since the next one has new columns.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Lets messages wait whose schema has more than the table.
    pub(super) fn hold(self: &Arc<Self>, schemas: &Schemas) {
        let evolution = Arc::clone(self);
        schemas.set_gate(Box::new(move |registered| evolution.is_held(registered)));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_held(&self, registered: &Registered) -> bool {
        if !has_more(registered, &self.config.schema) {
            return false;
        }
        let mut held = self.held();
        if held.let_go.contains(&registered.text) {
            return false;
        }
        if held.waiting.insert(registered.text.clone()) {
            tracing::info!("a message's schema has columns that the table has not; it waits until they are looked at");
            self.waits.notify_one();
        }
        true
    }

    /// Looks for new columns until they are wanted, or the run is over.
    pub(super) async fn follow(self: Arc<Self>, over: Arc<AtomicBool>) {
        let (mut pause, mut answers) = (LOOK_EVERY, true);
        while !over.load(Ordering::Acquire) {
            tokio::select! {
                () = self.waits.notified() => {}
                () = self.runtime.sleep(pause) => {}
            }
            match self.look().await {
                Ok(true) => {
                    self.wanted.store(true, Ordering::Release);
                    return;
                }
                Ok(false) => (pause, answers) = (LOOK_EVERY, true),
                Err(error) => {
                    if std::mem::replace(&mut answers, false) {
                        tracing::warn!(%error, "whether the table gets new columns cannot be told; messages that have some wait");
                    }
                    pause = if self.held().waiting.is_empty() { LOOK_EVERY } else { AGAIN };
                }
            }
        }
    }

    /// Whether the newest version brings columns that can be the table's. Schemas that wait for nothing are let go.
    async fn look(&self) -> Result<bool> {
        let waiting = self.held().waiting.clone();
        // What was noted of a registry that is silent now says nothing of a schema that has just come.
        let (registry, table) = (SchemaRegistryConfig { cache: None, ..self.registry.clone() }, self.table.clone());
        let columns = tokio::task::spawn_blocking(move || config::registered_columns(&registry, &table)).await;
        let columns = columns.map_err(|_| Error::fatal("making columns panicked; this is a bug in wasmill"))?;
        let columns = columns.map_err(Error::transient)?;
        match added(&self.config.schema, &columns) {
            Ok(added) if added.is_empty() => {}
            Ok(added) => match self.bears(columns).await {
                Ok(()) => {
                    let columns = added.join(", ");
                    tracing::info!(columns, "the table gets new columns from the next range on");
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Transient => return Err(error),
                Err(error) => tracing::error!(%error, "new columns are passed over: the pipeline does not bear them"),
            },
            Err(why) => tracing::error!(why, "new columns are passed over: the newest version does more than add some"),
        }
        let mut held = self.held();
        for text in waiting {
            held.waiting.remove(&text);
            held.let_go.insert(text);
        }
        Ok(false)
    }

    /// Whether the transforms and the table's partitions go with these columns.
    async fn bears(&self, columns: EventSchema) -> Result<()> {
        let config = Config { schema: columns, ..self.config.clone() };
        let engine = TransformEngine::new(self.module_cache.as_deref())?;
        Ready::chosen(&config, &engine, None, Arc::clone(&self.runtime)).await.map(drop)
    }
}

/// Whether messages of this schema hold what the table has no column for.
fn has_more(registered: &Registered, table: &EventSchema) -> bool {
    let is_new = |name: &str| !table.fields.iter().any(|column| column.name == name);
    event_schema(registered).is_ok_and(|columns| columns.fields.iter().any(|column| is_new(&column.name)))
}

/// The names of the columns that `newest` has beside those of `table`.
///
/// The error says what else it would change.
fn added(table: &EventSchema, newest: &EventSchema) -> Result<Vec<String>, String> {
    let mut changed = changes(table, newest);
    let tightened = newest.fields.iter().filter(|column| {
        column.required && !table.fields.iter().any(|known| known.name == column.name && known.required)
    });
    changed.extend(tightened.map(|column| format!("column {:?} would be required", column.name)));
    if !changed.is_empty() {
        return Err(changed.join("; "));
    }
    let is_new = |name: &&String| !table.fields.iter().any(|column| column.name == **name);
    Ok(newest.fields.iter().map(|column| &column.name).filter(is_new).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::schema::{EventField, EventType};
    use crate::schema_registry::Kind;

    fn table(fields: &[(&str, &str)]) -> EventSchema {
        let field = |(name, kind): &(&str, &str)| {
            let (kind, required) = EventType::parse(kind).unwrap();
            EventField { name: (*name).to_owned(), kind, required }
        };
        EventSchema::new(fields.iter().map(field).collect()).unwrap()
    }

    #[test]
    fn columns_are_added_and_nothing_else_is_done() {
        let old = table(&[("n", "long!"), ("auth", "string")]);
        let outcome = |newest: &[(&str, &str)]| added(&old, &table(newest));
        assert_eq!(outcome(&[("n", "long!"), ("auth", "string")]), Ok(vec![]));
        assert_eq!(
            outcome(&[("city", "string"), ("n", "long!"), ("auth", "string"), ("zip", "int")]),
            Ok(vec!["city".to_owned(), "zip".to_owned()])
        );
        assert_eq!(outcome(&[("n", "long"), ("auth", "string")]), Ok(vec![]), "looser is not new");
        for (newest, told) in [
            (vec![("n", "long!"), ("city", "string")], "column \"auth\" would be gone"),
            (vec![("n", "string!"), ("auth", "string")], "column \"n\" would be string and is long"),
            (vec![("n", "long!"), ("auth", "string!")], "column \"auth\" would be required"),
            (vec![("n", "long!"), ("auth", "string"), ("city", "string!")], "column \"city\" would be required"),
        ] {
            assert_eq!(outcome(&newest), Err(told.to_owned()));
        }
    }

    #[test]
    fn what_has_more_than_the_table_is_seen() {
        let avro = |fields: &str| Registered {
            kind: Kind::Avro,
            text: format!("{{\"type\": \"record\", \"name\": \"Play\", \"fields\": [{fields}]}}"),
            referenced: Vec::new(),
        };
        let table = table(&[("n", "long!"), ("auth", "string")]);
        let n = "{\"name\": \"n\", \"type\": \"long\"}";
        assert!(!has_more(&avro(n), &table), "less");
        assert!(has_more(&avro(&format!("{n}, {{\"name\": \"city\", \"type\": \"string\"}}")), &table));
        assert!(!has_more(&avro("nonsense"), &table));
    }
}

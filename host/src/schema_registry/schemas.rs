//! What this process knows of the registry's schemas, and the tasks that find out the rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::disk::Disk;
use super::{Client, Registered};
use crate::config::SchemaRegistryConfig;
use crate::error::Result;
use crate::runtime::Runtime;

/// Pauses before the registry is asked again: the first, then twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Questions at a time: a batch of nonsense may name thousands of ids.
const AT_A_TIME: usize = 8;

/// For so long an id that does not exist is not asked for again.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// So many of those are remembered.
const MISSING: usize = 100_000;

/// Schemas by id. Shared by all workers of a process.
pub struct Schemas {
    client: Client,
    disk: Option<Disk>,
    runtime: Arc<dyn Runtime>,
    turns: Semaphore,
    state: Mutex<State>,
    gate: OnceLock<Gate>,
}

/// Whether messages of a schema wait although it is known. Asked again until they do not.
pub type Gate = Box<dyn Fn(&Registered) -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    known: HashMap<u32, Arc<Registered>>,
    /// Ids that do not exist, and when the registry said so.
    missing: HashMap<u32, Duration>,
    /// Ids that are being asked for, and since when, in milliseconds since 1970.
    waiting: BTreeMap<u32, i64>,
    health: RegistryHealth,
}

/// What is known of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// Its schema.
    Known(Arc<Registered>),
    /// The registry has no such id.
    Missing,
    /// The registry is being asked.
    Waiting,
}

/// Whether the registry answers, and what is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RegistryHealth {
    /// When it answered last, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at_ms: Option<i64>,
    /// When it did not last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at_ms: Option<i64>,
    /// What it said then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Questions so far.
    pub requests: u64,
    /// Of these, those that were not answered.
    pub failures: u64,
    /// Schemas that are known.
    pub known: u64,
    /// Ids that messages wait for: how many.
    pub waiting_count: u64,
    /// The first few of them.
    pub waiting: Vec<u32>,
    /// Since when the first of them, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since_ms: Option<i64>,
}

impl RegistryHealth {
    /// Whether the last that is known of it is that it did not answer.
    pub fn is_failing(&self) -> bool {
        self.failed_at_ms.is_some_and(|failed| self.answered_at_ms.is_none_or(|answered| answered <= failed))
    }
}

impl Schemas {
    /// The schemas of the registry that a pipeline file names.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(config: &SchemaRegistryConfig, runtime: Arc<dyn Runtime>) -> Result<Arc<Self>> {
        let client = Client::new(config)?;
        let disk = config.cache.as_deref().map(|directory| Disk::new(directory, client.url()));
        Ok(Arc::new(Self {
            client,
            disk,
            runtime,
            turns: Semaphore::new(AT_A_TIME),
            state: Mutex::default(),
            gate: OnceLock::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets messages of some schemas wait. The first gate stays.
    pub fn set_gate(&self, gate: Gate) {
        let _ = self.gate.set(gate);
    }

    fn is_held(&self, schema: &Registered) -> bool {
        self.gate.get().is_some_and(|gate| gate(schema))
    }

    /// What is known of this id now. What is not is asked for from now on.
    pub fn look_up(self: &Arc<Self>, id: u32) -> LookUp {
        let now = self.runtime.elapsed();
        let mut state = self.state();
        if let Some(schema) = state.known.get(&id) {
            return LookUp::Known(Arc::clone(schema));
        }
        if state.missing.get(&id).is_some_and(|asked| now.saturating_sub(*asked) < MISSING_FOR) {
            return LookUp::Missing;
        }
        if state.waiting.contains_key(&id) {
            return LookUp::Waiting;
        }
        let on_disk = self.disk.as_ref().and_then(|disk| disk.read(id));
        if let Some(schema) = on_disk.filter(|schema| !self.is_held(schema)) {
            let schema = Arc::new(schema);
            state.known.insert(id, Arc::clone(&schema));
            return LookUp::Known(schema);
        }
        state.waiting.insert(id, self.runtime.now_ms());
        drop(state);
        let schemas = Arc::clone(self);
        self.runtime.spawn(Box::pin(async move { schemas.fetch(id).await }));
        LookUp::Waiting
    }

    /// Asks for an id until the registry has answered.
    async fn fetch(&self, id: u32) {
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = {
                // Never closed.
                let _turn = self.turns.acquire().await;
                self.client.schema(id).await
            };
            match outcome {
                // The table has other things to do first: the run may end meanwhile.
                Ok(Some(schema)) if self.is_held(&schema) => {}
                Ok(found) => return self.answered(id, found),
                Err(error) => self.failed(id, &error, pause),
            }
            self.runtime.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn answered(&self, id: u32, found: Option<Registered>) {
        if let (Some(disk), Some(schema)) = (&self.disk, &found)
            && let Err(error) = disk.write(id, schema)
        {
            tracing::warn!(id, %error, "the schema cannot be kept on disk");
        }
        let (now, now_ms) = (self.runtime.elapsed(), self.runtime.now_ms());
        let mut state = self.state();
        state.waiting.remove(&id);
        state.health.requests += 1;
        state.health.answered_at_ms = Some(now_ms);
        match found {
            Some(schema) => {
                tracing::info!(id, kind = schema.kind.name(), "schema");
                state.known.insert(id, Arc::new(schema));
            }
            None => {
                tracing::warn!(id, "the schema registry has no schema with this id");
                if state.missing.len() >= MISSING {
                    state.missing.clear();
                }
                state.missing.insert(id, now);
            }
        }
    }

    fn failed(&self, id: u32, error: &crate::error::Error, pause: Duration) {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let said = format!("{error}{cause}");
        tracing::warn!(id, error = said, ?pause, "a schema cannot be fetched; its messages wait");
        let now_ms = self.runtime.now_ms();
        let health = &mut self.state().health;
        health.requests += 1;
        health.failures += 1;
        health.failed_at_ms = Some(now_ms);
        health.error = Some(said);
    }

    /// Whether the registry answers, and what is waited for.
    pub fn health(&self) -> RegistryHealth {
        let state = self.state();
        RegistryHealth {
            known: state.known.len() as u64,
            waiting_count: state.waiting.len() as u64,
            waiting: state.waiting.keys().copied().take(16).collect(),
            waiting_since_ms: state.waiting.values().min().copied(),
            ..state.health.clone()
        }
    }
}

#[cfg(test)]
impl Schemas {
    /// Schemas of a registry that does not answer, with what was known before.
    pub(crate) fn knowing(known: impl IntoIterator<Item = (u32, Registered)>, missing: &[u32]) -> Arc<Self> {
        let url = "http://127.0.0.1:1".to_owned();
        let config = SchemaRegistryConfig {
            url,
            auth: crate::config::RegistryAuth::None,
            ca: None,
            table: None,
            on_incompatible: crate::config::OnIncompatible::default(),
            cache: None,
        };
        let runtime = crate::runtime::TokioRuntime::new(tokio::runtime::Handle::current());
        let schemas = Self::new(&config, Arc::new(runtime)).unwrap();
        let now = schemas.runtime.elapsed();
        let mut state = schemas.state();
        state.known = known.into_iter().map(|(id, schema)| (id, Arc::new(schema))).collect();
        state.missing = missing.iter().map(|id| (*id, now)).collect();
        drop(state);
        schemas
    }
}

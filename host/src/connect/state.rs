//! What pipelines do, as the states of connectors and tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::{Known, Office, flat};
use crate::audit::position::Positions;
use crate::audit::{self, Subject};
use crate::config::SourceConfig;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::serve::{self, Entry, PipelineStatus, ServerStatus, State, Target};
use crate::status::{HostStatus, Post, TopicPartitionState};

/// Why a connector or a task does not run, at most so long: it is shown on pages.
const TRACE_BYTES: usize = 8 << 10;

/// The states of a connector, and of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Condition {
    Running,
    Paused,
    Stopped,
    Failed,
    Restarting,
}

/// A connector, or a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Status {
    /// Of a task: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    pub(super) state: Condition,
    worker_id: String,
    version: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ConnectorStatus {
    name: String,
    pub(super) connector: Status,
    pub(super) tasks: Vec<Status>,
    r#type: &'static str,
}

/// Which servers run a pipeline, in the order of their tasks' numbers.
pub(super) struct Runs<'a>(pub(super) Vec<(&'a ServerStatus, &'a PipelineStatus)>);

impl<'a> Runs<'a> {
    /// Those of `name`. A stopped pipeline has no tasks, as with Connect.
    pub(super) fn of(name: &str, target: Target, servers: &'a [ServerStatus]) -> Self {
        let mut runs: Vec<_> =
            servers.iter().filter_map(|server| Some((server, server.pipelines.get(name)?))).collect();
        if target == Target::Stopped {
            runs.clear();
        }
        runs.sort_by_key(|(server, _)| (&server.machine, &server.host));
        Self(runs)
    }
}

impl ConnectorStatus {
    /// `hosts`: what the pipeline's processes tell of themselves.
    fn new(
        office: &Office,
        entry: &Entry,
        servers: &[ServerStatus],
        hosts: &[HostStatus],
        broken: Option<String>,
    ) -> Self {
        let runs = Runs::of(&entry.name, entry.target, servers);
        let version = env!("CARGO_PKG_VERSION");
        let tasks: Vec<Status> = match entry.target {
            // Its processes have ended, and its tasks are still there.
            Target::Paused => servers
                .iter()
                .enumerate()
                .map(|(id, server)| Status {
                    id: Some(id),
                    state: Condition::Paused,
                    worker_id: worker(server),
                    version,
                    trace: None,
                })
                .collect(),
            Target::Running | Target::Stopped => (0..)
                .zip(&runs.0)
                .map(|(id, (server, status))| {
                    let host = hosts.iter().find(|host| host.machine == server.machine && Some(host.pid) == status.pid);
                    let (state, trace) = condition(entry, status, host);
                    Status { id: Some(id), state, worker_id: worker(server), version, trace: trace.map(cut) }
                })
                .collect(),
        };
        let state = match entry.target {
            _ if broken.is_some() => Condition::Failed,
            Target::Paused => Condition::Paused,
            Target::Stopped => Condition::Stopped,
            Target::Running if !hosts.is_empty() && hosts.iter().all(|host| host.paused) => Condition::Paused,
            Target::Running => Condition::Running,
        };
        let connector = Status { id: None, state, worker_id: office.worker.clone(), version, trace: broken.map(cut) };
        Self { name: entry.name.clone(), connector, tasks, r#type: "sink" }
    }

    /// The same, with what is about to be started anew.
    pub(super) fn restarting(mut self, is_restarted: impl Fn(&Status) -> bool) -> Self {
        for task in self.tasks.iter_mut().filter(|task| is_restarted(task)) {
            (task.state, task.trace) = (Condition::Restarting, None);
            self.connector.state = Condition::Restarting;
        }
        self
    }
}

/// As clients name a server: where it answers them, else its machine.
fn worker(server: &ServerStatus) -> String {
    let machine = server.machine.rsplit_once('@').map_or(server.machine.as_str(), |(_, machine)| machine);
    server.connect.clone().unwrap_or_else(|| machine.to_owned())
}

fn condition(entry: &Entry, status: &PipelineStatus, host: Option<&HostStatus>) -> (Condition, Option<String>) {
    match status.state {
        State::Failed => (Condition::Failed, status.problem.clone()),
        State::Ending => (Condition::Restarting, None),
        State::Running if status.number != entry.number && host.is_none() => (Condition::Restarting, None),
        State::Running => {
            let Some(host) = host else { return (Condition::Running, None) };
            let stopped: Vec<String> = host
                .topic_partitions
                .iter()
                .filter(|one| one.state == TopicPartitionState::Stopped)
                .map(|one| format!("{}: {}", one.topic_partition, one.error.as_deref().unwrap_or("stopped")))
                .collect();
            match stopped.is_empty() {
                false => (Condition::Failed, Some(stopped.join("\n"))),
                true if host.paused => (Condition::Paused, None),
                true => (Condition::Running, None),
            }
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TRACE_BYTES {
        let end = (0..=TRACE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Office {
    /// The newest entry of a pipeline.
    ///
    /// # Errors
    /// `missing`, where there is none.
    pub(super) async fn entry(&self, name: &str, missing: impl FnOnce() -> Refusal) -> Answer<Entry> {
        // A name that can be none of a pipeline is one that there is not.
        if crate::registry::check_name(name).is_err() {
            return Err(missing());
        }
        self.catalogue.newest(name).await?.filter(|entry| !entry.is_deleted()).ok_or_else(missing)
    }

    /// All servers that live.
    pub(super) async fn servers(&self) -> Result<Vec<ServerStatus>> {
        let mut servers = self.servers.read(self.runtime.now_ms()).await?;
        servers.sort_by(|a, b| (&a.machine, &a.host).cmp(&(&b.machine, &b.host)));
        Ok(servers)
    }

    /// What the file of an entry says on this server.
    pub(super) async fn known(&self, entry: &Entry) -> Arc<Known> {
        let known = |configs: &BTreeMap<String, _>| {
            configs
                .get(&entry.name)
                .filter(|(id, _)| *id == entry.id)
                .map(|(_, known): &(_, Arc<Known>)| Arc::clone(known))
        };
        if let Some(known) = known(&self.configs.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let (file, brokers) = (entry.file.clone(), self.brokers.clone());
        // It may ask the schema registry.
        let read = tokio::task::spawn_blocking(move || serve::check(&file, brokers.as_deref())).await;
        let known: Arc<Known> = Arc::new(match read {
            Ok(read) => read.map_err(|unfit| Error::from(unfit).to_string()),
            Err(_) => Err("reading the file panicked; this is a bug in wasmill".to_owned()),
        });
        // What could not be read may be readable later: the registry was silent, a file was not there.
        if known.is_ok() {
            let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
            configs.insert(entry.name.clone(), (entry.id, Arc::clone(&known)));
        }
        known
    }

    /// What the processes of a pipeline tell of themselves; none where their statuses cannot be read.
    ///
    /// # Errors
    /// Its file says nothing here.
    pub(super) async fn hosts(&self, entry: &Entry) -> std::result::Result<Vec<HostStatus>, String> {
        let known = self.known(entry).await;
        let config = known.as_ref().as_ref().map_err(Clone::clone)?;
        let read = match Registry::open(config, Arc::clone(&self.runtime)) {
            Ok(registry) => Post::new(registry.location().clone(), &entry.name).read(self.runtime.now_ms()).await,
            Err(error) => Err(error),
        };
        Ok(read.unwrap_or_else(|error| {
            tracing::debug!(pipeline = entry.name, %error, "its hosts' statuses cannot be read");
            Vec::new()
        }))
    }

    /// What a pipeline does.
    pub(super) async fn status(&self, entry: &Entry, servers: &[ServerStatus]) -> ConnectorStatus {
        let (hosts, broken) = match self.hosts(entry).await {
            Ok(hosts) => (hosts, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        ConnectorStatus::new(self, entry, servers, &hosts, broken)
    }

    /// A pipeline's configuration: as a client gave it, or as its file says it.
    pub(super) fn configuration(&self, entry: &Entry) -> BTreeMap<String, String> {
        entry.connector.clone().unwrap_or_else(|| flat::of_file(&entry.file))
    }

    /// What a connector is: its configuration and its tasks.
    pub(super) fn info(&self, entry: &Entry, servers: &[ServerStatus]) -> Value {
        let count = match entry.target {
            Target::Paused => servers.len(),
            target => Runs::of(&entry.name, target, servers).0.len(),
        };
        let tasks: Vec<Value> = (0..count).map(|task| json!({ "connector": entry.name, "task": task })).collect();
        json!({ "name": entry.name, "config": self.configuration(entry), "tasks": tasks, "type": "sink" })
    }

    /// Where a pipeline goes on, by its chains.
    pub(super) async fn positions(&self, entry: &Entry) -> Answer<Value> {
        let known = self.known(entry).await;
        let config = known.as_ref().as_ref().map_err(|why| Refusal::wrong(why.clone()))?;
        let _turn = self.looks.acquire().await;
        let subject = Subject::open(config)?;
        let chains = audit::chains(&subject, &indicatif::ProgressBar::hidden()).await?;
        let positions = Positions::new(&entry.name, &chains, &BTreeMap::new());
        let offsets: Vec<Value> = positions
            .topic_partitions
            .iter()
            .map(|at| {
                json!({
                    "partition": { "kafka_topic": at.topic, "kafka_partition": at.topic_partition },
                    "offset": { "kafka_offset": at.next },
                })
            })
            .collect();
        Ok(json!({ "offsets": offsets }))
    }

    /// The topics that a pipeline reads.
    pub(super) async fn topics(&self, entry: &Entry) -> Vec<String> {
        match self.known(entry).await.as_ref() {
            Ok(config) => match &config.source {
                SourceConfig::Kafka(kafka) => kafka.topics.clone(),
                _ => Vec::new(),
            },
            Err(_) => Vec::new(),
        }
    }
}

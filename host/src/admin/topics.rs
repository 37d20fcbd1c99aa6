//! Topics of the cluster that a pipeline reads from, and consumer groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::tokens::Role;
use crate::config::{KafkaConfig, SourceConfig};
use crate::error::{Error, Result};
use crate::source::kafka::{self, ClusterTopic, ClusterTopicPartition, ConsumerGroup, GroupPosition, TopicSetting};
use crate::status::{TopicPartitionState, TopicPartitionStatus};

/// The longest name of a topic, as Kafka has it, and of a group.
const TOPIC_BYTES: usize = 249;
const GROUP_BYTES: usize = 1_000;

/// The topics of the cluster.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Topics {
    /// The brokers, as the pipeline file names them; null: the pipeline's source is no Kafka, and there are no topics.
    brokers: Option<String>,
    /// The pipeline's first, then the others by name, Kafka's own last.
    topics: Vec<ListedTopic>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ListedTopic {
    #[serde(flatten)]
    topic: ClusterTopic,
    /// Whether the pipeline reads it.
    of_pipeline: bool,
}

/// One topic.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Topic {
    /// Its name.
    name: String,
    /// Whether the pipeline reads it.
    of_pipeline: bool,
    /// Its topic partitions, by number.
    topic_partitions: Vec<TopicPartition>,
    /// Its settings: those of its own first. Empty: the pipeline's user may not see them.
    settings: Vec<TopicSetting>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct TopicPartition {
    #[serde(flatten)]
    told: ClusterTopicPartition,
    /// What the pipeline does with it; null: no host has it, or the pipeline does not read the topic.
    pipeline: Option<Owned>,
}

/// What the pipeline does with a topic partition, as its host told some seconds ago.
#[derive(Serialize, utoipa::ToSchema)]
struct Owned {
    /// The host's id.
    host: String,
    /// `user@machine` of the host.
    machine: String,
    /// What it does with it.
    state: TopicPartitionState,
    /// The pipeline's own position: the next offset after what is committed beside the data.
    committed: Option<i64>,
    /// Offsets between that and the end.
    lag: Option<i64>,
}

/// The consumer groups of the cluster.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Groups {
    /// The pipeline's group. What it commits there is a hint for others: its positions stand beside its data.
    of_pipeline: String,
    /// All that the pipeline's user may see, by name.
    groups: Vec<ConsumerGroup>,
}

/// Where a consumer group is.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct GroupPositions {
    /// The group.
    group: String,
    /// By topic and number. Empty: it has committed nothing, or there is no such group.
    topic_partitions: Vec<GroupPosition>,
}

impl Office {
    /// The cluster that the pipeline reads from.
    pub(super) fn kafka(&self) -> Result<&KafkaConfig, Refusal> {
        match &self.config.source {
            SourceConfig::Kafka(kafka) => Ok(kafka),
            SourceConfig::File(_) | SourceConfig::Eventsim(_) => Err(Refusal::Conflict(
                Error::config("this pipeline reads from no Kafka").hint("topics are those of [source.kafka]"),
            )),
        }
    }

    /// Asks the brokers on a thread that may wait.
    pub(super) async fn ask_kafka<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&Self, &KafkaConfig) -> Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let kafka = self.kafka()?.clone();
        let turn = Arc::clone(&self.kafka_turns).acquire_owned().await;
        let office = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ask(&office, &kafka)
        });
        let asked =
            asked.await.unwrap_or_else(|_| Err(Error::fatal("asking Kafka panicked; this is a bug in wasmill")));
        asked.map_err(Refusal::Failed)
    }

    /// Whether the pipeline reads a topic.
    pub(super) fn reads(&self, topic: &str) -> bool {
        self.kafka().is_ok_and(|kafka| kafka.topics.iter().any(|one| one == topic))
    }
}

/// What can be a topic's name.
pub(super) fn topic_name(path: std::result::Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let Path(name) = path?;
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter);
    if name.is_empty() || name.len() > TOPIC_BYTES || !name.chars().all(is_fine) {
        return Err(no_topic(&name));
    }
    Ok(name)
}

pub(super) fn no_topic(name: &str) -> Refusal {
    let name: String = name.chars().take(TOPIC_BYTES).collect();
    Refusal::Missing(format!("Kafka has no topic {name:?}, or does not let the pipeline's user see it"))
}

type Asked = State<Arc<Office>>;
type Answer<T> = std::result::Result<Json<T>, Refusal>;
type Named = std::result::Result<Path<String>, PathRejection>;

/// The topics of the cluster, those of the pipeline first. Needs the role viewer.
#[utoipa::path(get, path = "/v1/topics", security(("token" = [])), responses((status = OK, body = Topics)))]
pub(super) async fn all(State(office): Asked, caller: Caller) -> Answer<Topics> {
    caller.must(Role::Viewer)?;
    let Ok(kafka) = office.kafka() else { return Ok(Json(Topics { brokers: None, topics: Vec::new() })) };
    let brokers = Some(kafka.brokers.clone());
    let found = office.ask_kafka(|_, kafka| kafka::cluster_topics(kafka)).await?;
    let mut topics: Vec<_> =
        found.into_iter().map(|topic| ListedTopic { of_pipeline: office.reads(&topic.name), topic }).collect();
    topics.sort_by_key(|one| (!one.of_pipeline, one.topic.internal));
    Ok(Json(Topics { brokers, topics }))
}

/// A topic's topic partitions with their offsets and owners, and its settings. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/topics/{topic}", security(("token" = [])),
    params(("topic" = String, Path, description = "Its name")),
    responses((status = OK, body = Topic))
)]
pub(super) async fn one(State(office): Asked, caller: Caller, topic: Named) -> Answer<Topic> {
    caller.must(Role::Viewer)?;
    let name = topic_name(topic)?;
    let of_pipeline = office.reads(&name);
    let asked = name.clone();
    let found = office.ask_kafka(move |office, kafka| {
        let Some(topic_partitions) = kafka::topic_partitions_of(kafka, &asked)? else { return Ok(None) };
        let settings = office.tokio.block_on(kafka::topic_settings(kafka, &asked))?;
        Ok(settings.map(|settings| (topic_partitions, settings)))
    });
    let (told, settings) = found.await?.ok_or_else(|| no_topic(&name))?;
    let mut owned = if of_pipeline { owned(&office, &name).await? } else { BTreeMap::new() };
    let with_owner = |told: ClusterTopicPartition| {
        let pipeline = owned.remove(&told.topic_partition).map(|(mut owned, _)| {
            owned.lag = told.high.zip(owned.committed).map(|(high, committed)| (high - committed).max(0));
            owned
        });
        TopicPartition { told, pipeline }
    };
    let topic_partitions = told.into_iter().map(with_owner).collect();
    Ok(Json(Topic { name, of_pipeline, topic_partitions, settings }))
}

/// What hosts do with the topic partitions of `topic`, by number; of several the one that told last.
async fn owned(office: &Office, topic: &str) -> Result<BTreeMap<i32, (Owned, i64)>> {
    let mut found: BTreeMap<i32, (Owned, i64)> = BTreeMap::new();
    for host in office.post.read(office.runtime.now_ms()).await? {
        let of_topic = |one: &&TopicPartitionStatus| *one.topic_partition.topic == *topic;
        for one in host.topic_partitions.iter().filter(of_topic) {
            let number = one.topic_partition.partition;
            if found.get(&number).is_some_and(|(_, at_ms)| *at_ms >= host.at_ms) {
                continue;
            }
            let (id, machine) = (host.host.clone(), host.machine.clone());
            let owned = Owned { host: id, machine, state: one.state, committed: one.committed, lag: None };
            found.insert(number, (owned, host.at_ms));
        }
    }
    Ok(found)
}

/// The consumer groups of the cluster. Needs the role viewer.
#[utoipa::path(get, path = "/v1/consumer-groups", security(("token" = [])), responses((status = OK, body = Groups)))]
pub(super) async fn groups(State(office): Asked, caller: Caller) -> Answer<Groups> {
    caller.must(Role::Viewer)?;
    let of_pipeline = office.kafka()?.group.clone();
    let groups = office.ask_kafka(|_, kafka| kafka::consumer_groups(kafka)).await?;
    Ok(Json(Groups { of_pipeline, groups }))
}

/// The offsets that a consumer group has committed, and its lag. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/consumer-groups/{group}", security(("token" = [])),
    params(("group" = String, Path, description = "Its name")),
    responses((status = OK, body = GroupPositions))
)]
pub(super) async fn group(State(office): Asked, caller: Caller, group: Named) -> Answer<GroupPositions> {
    caller.must(Role::Viewer)?;
    let Path(group) = group?;
    if group.is_empty() || group.len() > GROUP_BYTES || group.chars().any(char::is_control) {
        return Err(Refusal::Wrong(format!("a group's name has up to {GROUP_BYTES} bytes, none of control")));
    }
    let asked = group.clone();
    let topic_partitions = office.ask_kafka(move |_, kafka| kafka::group_positions(kafka, &asked)).await?;
    Ok(Json(GroupPositions { group, topic_partitions }))
}

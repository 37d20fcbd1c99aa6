//! What a cluster holds, asked from outside of every group: for people who look. Blocking.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};
use serde::Serialize;

use super::group::Group;
use super::{Client, FIRST_ANSWER, failure, positions, refused, settings};
use crate::config::KafkaConfig;
use crate::error::Result;
use crate::source::TopicPartition;

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ClusterTopic {
    /// Its name.
    pub name: String,
    /// How many topic partitions it has.
    pub topic_partitions: usize,
    /// How many brokers hold each of them.
    pub replicas: usize,
    /// Whether it is Kafka's own, as its name says.
    pub internal: bool,
}

/// One topic partition as the brokers tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ClusterTopicPartition {
    /// Its number.
    pub topic_partition: i32,
    /// The first offset that Kafka still has; null: it has no leader.
    pub low: Option<i64>,
    /// The end, exclusive: the last stable offset. Null: it has no leader.
    pub high: Option<i64>,
    /// The broker that leads it; null: none does.
    pub leader: Option<i32>,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Of these, those that have all of it.
    pub in_sync: Vec<i32>,
}

/// One setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TopicSetting {
    /// Its name.
    pub name: String,
    /// What it is; null: the brokers do not tell, as it is a secret.
    pub value: Option<String>,
    /// Whether it is set for this topic, not for all of a broker's.
    pub own: bool,
}

/// A client that asks and reads nothing.
fn asking(config: &KafkaConfig) -> Result<Client> {
    settings::asking_client(config).create_with_context(Group::new(false)).map_err(refused)
}

/// What the brokers tell of one topic, or of all.
pub(super) fn metadata(client: &Client, config: &KafkaConfig, topic: Option<&str>) -> Result<Metadata> {
    let what = format!("cannot reach Kafka at {} within {} s", config.brokers, FIRST_ANSWER.as_secs());
    client.fetch_metadata(topic, FIRST_ANSWER).map_err(|error| failure::asking(client.context(), &what, error))
}

/// The topic as the brokers tell it; `None`: there is none of this name, or the user may not know.
pub(super) fn found<'m>(metadata: &'m Metadata, topic: &str) -> Result<Option<&'m MetadataTopic>> {
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(Code::from) {
        None => Ok(Some(found)),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic) => {
            Ok(None)
        }
        Some(code) => {
            Err(failure::of_code(code, format!("cannot look at topic {topic}"))
                .because(KafkaError::MetadataFetch(code)))
        }
    }
}

/// All topics that the user may see, by name.
///
/// # Errors
/// The brokers do not answer.
pub fn cluster_topics(config: &KafkaConfig) -> Result<Vec<ClusterTopic>> {
    let client = asking(config)?;
    let metadata = metadata(&client, config, None)?;
    let topic = |topic: &MetadataTopic| ClusterTopic {
        name: topic.name().to_owned(),
        topic_partitions: topic.partitions().len(),
        replicas: topic.partitions().iter().map(|partition| partition.replicas().len()).max().unwrap_or_default(),
        internal: topic.name().starts_with("__"),
    };
    let mut topics: Vec<_> = metadata.topics().iter().map(topic).collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(topics)
}

/// The topic partitions of one topic, by number; `None`: there is no such topic.
///
/// # Errors
/// The brokers do not answer, or do not let the user look.
pub fn topic_partitions_of(config: &KafkaConfig, topic: &str) -> Result<Option<Vec<ClusterTopicPartition>>> {
    let client = asking(config)?;
    let metadata = metadata(&client, config, Some(topic))?;
    let Some(found) = found(&metadata, topic)? else { return Ok(None) };
    let offsets = offsets(&client, topic, found)?;
    let one = |partition: &MetadataPartition| {
        let (low, high) = offsets.get(&partition.id()).copied().unzip();
        let leader = Some(partition.leader()).filter(|leader| *leader >= 0);
        let (replicas, in_sync) = (partition.replicas().to_vec(), partition.isr().to_vec());
        ClusterTopicPartition { topic_partition: partition.id(), low, high, leader, replicas, in_sync }
    };
    let mut all: Vec<_> = found.partitions().iter().map(one).collect();
    all.sort_by_key(|one| one.topic_partition);
    Ok(Some(all))
}

/// First offset and end of each topic partition that has a leader.
pub(super) fn offsets(client: &Client, topic: &str, found: &MetadataTopic) -> Result<BTreeMap<i32, (i64, i64)>> {
    let led = found.partitions().iter().filter(|partition| partition.leader() >= 0);
    let all: Vec<_> = led.map(|partition| TopicPartition::new(topic, partition.id())).collect();
    let (first, ends) = (positions::first(client, &all)?, positions::ends(client, &all)?);
    Ok(all.iter().map(|one| one.partition).zip(first.into_iter().zip(ends)).collect())
}

/// The settings of a topic, its own first, then by name; `None`: there is no such topic. Empty: the user may not see them.
///
/// # Errors
/// The brokers do not answer, or do not let the user look.
pub async fn topic_settings(config: &KafkaConfig, topic: &str) -> Result<Option<Vec<TopicSetting>>> {
    let mut settings = settings::administering_client(config);
    // It tells which settings of a reader it has no use for, each time.
    settings.set_log_level(RDKafkaLogLevel::Error);
    let admin: AdminClient<DefaultClientContext> = settings.create().map_err(refused)?;
    let options = AdminOptions::new().request_timeout(Some(FIRST_ANSWER));
    let what = || format!("cannot ask Kafka for the settings of topic {topic}");
    let failed = |error: KafkaError| {
        failure::of_code(error.rdkafka_error_code().unwrap_or(Code::Unknown), what()).because(error)
    };
    let answers = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await.map_err(failed)?;
    for answer in answers {
        match answer {
            Ok(resource) if resource.specifier == OwnedResourceSpecifier::Topic(topic.to_owned()) => {
                let own = rdkafka::admin::ConfigSource::DynamicTopic;
                let setting = |entry: rdkafka::admin::ConfigEntry| TopicSetting {
                    own: entry.source == own,
                    value: entry.value.filter(|_| !entry.is_sensitive),
                    name: entry.name,
                };
                let mut settings: Vec<_> = resource.entries.into_iter().map(setting).collect();
                settings.sort_by(|one, other| (!one.own, &one.name).cmp(&(!other.own, &other.name)));
                return Ok(Some(settings));
            }
            Err(Code::UnknownTopic | Code::UnknownTopicOrPartition) => return Ok(None),
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => return Ok(Some(Vec::new())),
            Err(code) => return Err(failure::of_code(code, what())),
            Ok(_) => {}
        }
    }
    Ok(None)
}

//! What Kafka knows of topic partitions, asked from outside of the group: for operators' commands and the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::group::Group;
use super::{Client, FIRST_ANSWER, failure, positions, refused, settings};
use crate::config::KafkaConfig;
use crate::error::Result;
use crate::source::{KnownOffsets, TopicPartition, kafka_ffi};

/// The id that the cluster of these brokers has, where one of them tells it within `patience`.
pub(in crate::source) fn cluster_id(brokers: &str, patience: Duration) -> Option<String> {
    let mut settings = rdkafka::ClientConfig::new();
    settings.set("bootstrap.servers", brokers);
    let client: Client = settings.create_with_context(Group::new(false)).ok()?;
    client.client().fetch_cluster_id(patience)
}

/// The first offset of each at or after `timestamp_ms`; the end where there is none. Joins no group.
pub(in crate::source) fn offsets_at(
    config: &KafkaConfig,
    topic_partitions: &[TopicPartition],
    timestamp_ms: i64,
) -> Result<Vec<i64>> {
    let client: Client = settings::asking_client(config).create_with_context(Group::new(false)).map_err(refused)?;
    positions::at(&client, topic_partitions, timestamp_ms)
}

/// First, last and committed offsets, and the topics' ids. Joins no group. Topic partitions that Kafka does not have are
/// left out.
pub(in crate::source) fn known_offsets(
    config: &KafkaConfig,
    topic_partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, KnownOffsets>> {
    let mut settings = settings::asking_client(config);
    // Named, so that it can be asked what the group has committed; without a subscription nobody joins.
    settings.set("group.id", &config.group);
    let client: Client = settings.create_with_context(Group::new(false)).map_err(refused)?;
    let mut found = BTreeMap::new();
    let topics: BTreeSet<_> = topic_partitions.iter().map(|topic_partition| topic_partition.topic.clone()).collect();
    for topic in topics.into_iter().filter(|topic| config.topics.iter().any(|named| **named == **topic)) {
        let what = format!("cannot reach Kafka at {} within {} s", config.brokers, FIRST_ANSWER.as_secs());
        let metadata = client.fetch_metadata(Some(&topic), FIRST_ANSWER);
        let metadata = metadata.map_err(|error| failure::asking(client.context(), &what, error))?;
        let there: BTreeSet<i32> =
            metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
        let of = |tp: &&TopicPartition| tp.topic == topic && there.contains(&tp.partition);
        let asked: Vec<TopicPartition> = topic_partitions.iter().filter(of).cloned().collect();
        if asked.is_empty() {
            continue;
        }
        let failed = |code| failure::of_code(code, format!("cannot ask Kafka for the id of topic {topic}"));
        let id = kafka_ffi::topic_id(&client, &topic, positions::ANSWER).map_err(failed)?;
        let identity = if id.is_empty() { "without topic id".to_owned() } else { id };
        let (first, ends) = (positions::first(&client, &asked)?, positions::ends(&client, &asked)?);
        let committed = positions::committed_so_far(&client, &asked)?;
        for (index, topic_partition) in asked.into_iter().enumerate() {
            let (earliest, latest, committed) = (first[index], Some(ends[index]), committed[index]);
            found.insert(topic_partition, KnownOffsets { earliest, latest, committed, identity: identity.clone() });
        }
    }
    Ok(found)
}

//! The latest messages of the topics, read from outside of the group: to try a deployment on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Headers as _;
use rdkafka::{Message as _, Offset};

use super::group::Group;
use super::{Client, FIRST_ANSWER, failure, not_assigned, positions, refused, settings};
use crate::config::KafkaConfig;
use crate::error::{Error, Result};
use crate::source::{Message, OwnedMessages, SourceBatch, TopicPartition};

/// How long brokers may keep us waiting for the next message.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the client waits in one call.
const WAIT: Duration = Duration::from_millis(100);

/// About `count` messages, the latest of each topic partition in equal shares. Joins no group and commits nothing.
pub(in crate::source) fn sample(config: &KafkaConfig, count: usize) -> Result<Vec<SourceBatch>> {
    let mut settings = settings::asking_client(config);
    // The client assigns only what has a group's name; without a subscription nobody joins.
    settings.set("group.id", &config.group);
    let client: Client = settings.create_with_context(Group::new(false)).map_err(refused)?;
    let mut all = Vec::new();
    for topic in &config.topics {
        let what = format!("cannot reach Kafka at {} within {} s", config.brokers, FIRST_ANSWER.as_secs());
        let metadata = client.fetch_metadata(Some(topic), FIRST_ANSWER);
        let metadata = metadata.map_err(|error| failure::asking(client.context(), &what, error))?;
        let numbers = metadata.topics().iter().flat_map(|found| found.partitions()).map(|partition| partition.id());
        let topic_partitions: Vec<_> = numbers.map(|number| TopicPartition::new(topic.as_str(), number)).collect();
        let share = (count / config.topics.len().max(1) / topic_partitions.len().max(1)).max(1) as i64;
        all.extend(of_topic(&client, &topic_partitions, share)?);
    }
    Ok(all)
}

/// The last `share` offsets of each topic partition of one topic.
fn of_topic(client: &Client, topic_partitions: &[TopicPartition], share: i64) -> Result<Vec<SourceBatch>> {
    let first = positions::first(client, topic_partitions)?;
    let ends = positions::ends(client, topic_partitions)?;
    let mut open: BTreeMap<i32, i64> = BTreeMap::new();
    let mut wanted = Vec::new();
    for ((topic_partition, first), end) in topic_partitions.iter().zip(first).zip(ends) {
        if first < end {
            open.insert(topic_partition.partition, end);
            wanted.push((topic_partition.clone(), first.max(end - share)));
        }
    }
    let names: Vec<_> = wanted.iter().map(|(topic_partition, _)| topic_partition.clone()).collect();
    client.assign(&positions::list(&names, |index| Offset::Offset(wanted[index].1))).map_err(not_assigned)?;
    let mut found: BTreeMap<i32, OwnedMessages> = BTreeMap::new();
    let mut heard = Instant::now();
    while !open.is_empty() {
        match client.poll(WAIT) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let partition = message.partition();
                let Some(&end) = open.get(&partition) else { continue };
                if message.offset() < end {
                    push(found.entry(partition).or_default(), &message);
                }
                if message.offset() + 1 >= end {
                    open.remove(&partition);
                }
            }
            // The end may lie behind the last message: transactions leave marks.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => tracing::debug!(%error, "while reading a sample"),
            None if heard.elapsed() > PATIENCE => {
                return Err(Error::transient(format!("Kafka sent nothing for {} s", PATIENCE.as_secs()))
                    .hint("does the broker run? --sample 0 leaves the sample out"));
            }
            None => {}
        }
    }
    client.unassign().map_err(not_assigned)?;
    let batch = |(topic_partition, _): &(TopicPartition, i64)| {
        let messages = found.remove(&topic_partition.partition)?;
        let next = messages.next_offset()?;
        Some(SourceBatch { topic_partition: topic_partition.clone(), messages: Box::new(messages), next })
    };
    Ok(wanted.iter().filter_map(batch).collect())
}

pub(super) fn push(messages: &mut OwnedMessages, message: &rdkafka::message::BorrowedMessage<'_>) {
    let (key, payload) = (message.key(), message.payload());
    let timestamp_ms = message.timestamp().to_millis();
    messages.push(Message { offset: message.offset(), timestamp_ms, key, payload });
    if let Some(headers) = message.headers() {
        let header =
            |header: rdkafka::message::Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        messages.set_headers(headers.iter().map(header).collect());
    }
}

//! Offsets that brokers know: first, last stable, by time, committed by the group.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::{Client, failure};
use crate::error::{Error, Result};
use crate::source::TopicPartition;

/// How long one question to the brokers may take.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// In a request for offsets by time: the first offset.
const FIRST: i64 = -2;

/// In a request for offsets by time: the end, which is the last stable offset for a client that reads committed
/// messages only.
const END: i64 = -1;

/// The first offset of each that Kafka still has.
pub(super) fn first(client: &Client, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
    complete(topic_partitions, by_time(client, topic_partitions, FIRST)?)
}

/// The last stable offset of each, exclusive.
pub(super) fn ends(client: &Client, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
    complete(topic_partitions, by_time(client, topic_partitions, END)?)
}

/// The first message of each at or after `timestamp_ms`; the end where there is none.
pub(super) fn at(client: &Client, topic_partitions: &[TopicPartition], timestamp_ms: i64) -> Result<Vec<i64>> {
    let found = by_time(client, topic_partitions, timestamp_ms)?;
    let missing: Vec<_> =
        topic_partitions.iter().zip(&found).filter(|(_, offset)| offset.is_none()).map(|(tp, _)| tp.clone()).collect();
    let mut ends = self::ends(client, &missing)?.into_iter();
    Ok(found.into_iter().map(|offset| offset.or_else(|| ends.next()).unwrap_or_default()).collect())
}

/// What the group has committed for each.
pub(super) fn committed(client: &Client, topic_partitions: &[TopicPartition], group: &str) -> Result<Vec<i64>> {
    let found = committed_so_far(client, topic_partitions)?;
    let of = |(topic_partition, offset): (&TopicPartition, Option<i64>)| {
        offset.ok_or_else(|| {
            Error::config(format!(
                "group {group} has committed no offset for {topic_partition}, so it cannot start there"
            ))
            .hint("commit one with kafka-consumer-groups --reset-offsets, or write start = \"earliest\"")
        })
    };
    topic_partitions.iter().zip(found).map(of).collect()
}

/// What the group has committed for each, if anything.
pub(super) fn committed_so_far(client: &Client, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
    let failed = |error| failure::asking(client.context(), "cannot ask Kafka for the group's offsets", error);
    let answer = client.committed_offsets(list(topic_partitions, |_| Offset::Invalid), ANSWER).map_err(failed)?;
    let found = offsets(&answer)?;
    Ok(topic_partitions.iter().map(|topic_partition| found.get(topic_partition).copied().flatten()).collect())
}

fn by_time(client: &Client, topic_partitions: &[TopicPartition], time: i64) -> Result<Vec<Option<i64>>> {
    if topic_partitions.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error| failure::asking(client.context(), "cannot ask Kafka for offsets", error);
    let wanted = list(topic_partitions, |_| Offset::from_raw(time));
    let answer = client.offsets_for_times(wanted, ANSWER).map_err(failed)?;
    let found = offsets(&answer)?;
    Ok(topic_partitions.iter().map(|topic_partition| found.get(topic_partition).copied().flatten()).collect())
}

fn complete(topic_partitions: &[TopicPartition], found: Vec<Option<i64>>) -> Result<Vec<i64>> {
    let missing = |tp: &TopicPartition| Error::transient(format!("Kafka did not say the offset of {tp}"));
    topic_partitions.iter().zip(found).map(|(tp, offset)| offset.ok_or_else(|| missing(tp))).collect()
}

/// A list for the client.
pub(super) fn list(topic_partitions: &[TopicPartition], offset: impl Fn(usize) -> Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(topic_partitions.len());
    for (index, topic_partition) in topic_partitions.iter().enumerate() {
        // Refused is only what Kafka has no number for: then the offset stays invalid, and the brokers refuse it.
        let _ = list.add_partition(&topic_partition.topic, topic_partition.partition).set_offset(offset(index));
    }
    list
}

fn offsets(answer: &TopicPartitionList) -> Result<HashMap<TopicPartition, Option<i64>>> {
    let mut found = HashMap::with_capacity(answer.count());
    for element in answer.elements() {
        let topic_partition = TopicPartition::new(element.topic(), element.partition());
        if let Err(error) = element.error() {
            let code = error.rdkafka_error_code().unwrap_or(rdkafka::error::RDKafkaErrorCode::Unknown);
            return Err(
                failure::of_code(code, format!("cannot ask Kafka for offsets of {topic_partition}")).because(error)
            );
        }
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        found.insert(topic_partition, offset);
    }
    Ok(found)
}

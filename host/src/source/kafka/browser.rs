//! Messages of one topic for people who look: a reader outside of every group, which commits nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset};

use super::group::Group;
use super::{Client, cluster, not_assigned, positions, refused, sample, settings};
use crate::config::KafkaConfig;
use crate::error::{Error, Result};
use crate::source::{OwnedMessages, TopicPartition};

/// Where a topic partition begins and ends at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first offset that Kafka still has.
    pub low: i64,
    /// The end, exclusive: the last stable offset.
    pub high: i64,
}

/// What came next.
pub enum Found {
    /// One message of a topic partition.
    Message(i32, OwnedMessages),
    /// The end of a topic partition as it is now. Transactions leave marks, so it may lie behind the last message.
    End(i32),
    /// Nothing within the time.
    Nothing,
}

/// A reader of one topic.
pub struct Browser {
    client: Client,
    topic: String,
    spans: BTreeMap<i32, Span>,
}

impl Browser {
    /// A reader of the topic partitions that have a leader, or of one of them; nothing is read yet. `None`: there is no such
    /// topic, or no such topic partition. Blocking.
    ///
    /// # Errors
    /// The brokers do not answer, or do not let the user look.
    pub fn open(config: &KafkaConfig, topic: &str, only: Option<i32>) -> Result<Option<Self>> {
        let settings = settings::browsing_client(config);
        let client: Client = settings.create_with_context(Group::new(false)).map_err(refused)?;
        let metadata = cluster::metadata(&client, config, Some(topic))?;
        let Some(found) = cluster::found(&metadata, topic)? else { return Ok(None) };
        if only.is_some_and(|only| !found.partitions().iter().any(|partition| partition.id() == only)) {
            return Ok(None);
        }
        let mut offsets = cluster::offsets(&client, topic, found)?;
        offsets.retain(|number, _| only.is_none_or(|only| only == *number));
        let spans = offsets.into_iter().map(|(number, (low, high))| (number, Span { low, high })).collect();
        Ok(Some(Self { client, topic: topic.to_owned(), spans }))
    }

    /// Where each topic partition begins and ended when this was opened, or last looked for its ends.
    pub fn spans(&self) -> &BTreeMap<i32, Span> {
        &self.spans
    }

    fn names(&self) -> Vec<TopicPartition> {
        self.spans.keys().map(|number| TopicPartition::new(self.topic.as_str(), *number)).collect()
    }

    /// Looks anew where each topic partition begins and ends.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn look_again(&mut self) -> Result<()> {
        let names = self.names();
        let (first, ends) = (positions::first(&self.client, &names)?, positions::ends(&self.client, &names)?);
        for ((name, low), high) in names.iter().zip(first).zip(ends) {
            self.spans.insert(name.partition, Span { low, high });
        }
        Ok(())
    }

    /// The first offset of each topic partition at or after a time, in milliseconds since 1970; the end where there is none.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn at(&self, timestamp_ms: i64) -> Result<BTreeMap<i32, i64>> {
        let names = self.names();
        let found = positions::at(&self.client, &names, timestamp_ms.max(0))?;
        Ok(names.iter().map(|name| name.partition).zip(found).collect())
    }

    /// Reads these topic partitions from now on, each from its offset, and no others.
    ///
    /// # Errors
    /// The client refuses.
    pub fn begin(&self, from: &BTreeMap<i32, i64>) -> Result<()> {
        let names: Vec<_> = from.keys().map(|number| TopicPartition::new(self.topic.as_str(), *number)).collect();
        let offsets: Vec<i64> = from.values().copied().collect();
        self.client.assign(&positions::list(&names, |index| Offset::Offset(offsets[index]))).map_err(not_assigned)
    }

    /// Fetches no more of this topic partition; what was fetched may still come.
    ///
    /// # Errors
    /// The client refuses.
    pub fn pause(&self, number: i32) -> Result<()> {
        let name = TopicPartition::new(self.topic.as_str(), number);
        let list = positions::list(&[name], |_| Offset::Invalid);
        self.client.pause(&list).map_err(not_assigned)
    }

    /// What comes next, within `wait`.
    ///
    /// # Errors
    /// Not allowed to read, or what is there cannot be read.
    pub fn next(&self, wait: Duration) -> Result<Found> {
        match self.client.poll(wait) {
            None => Ok(Found::Nothing),
            Some(Ok(message)) => {
                let mut one = OwnedMessages::default();
                sample::push(&mut one, &message);
                Ok(Found::Message(message.partition(), one))
            }
            Some(Err(KafkaError::PartitionEOF(number))) => Ok(Found::End(number)),
            Some(Err(error)) => super::client_error(error).map(|()| Found::Nothing).map_err(|error| {
                let what = format!("topic {} cannot be read", self.topic);
                Error::new(error.kind(), what).because(error)
            }),
        }
    }
}

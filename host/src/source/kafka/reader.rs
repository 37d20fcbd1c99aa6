//! Reads one topic partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use rdkafka::error::RDKafkaErrorCode;
use tokio::runtime::Handle;

use super::topic_ids::TopicIds;
use super::{Client, failure};
use crate::error::{Error, Result};
use crate::source::kafka_ffi::{PartitionQueue, Pulled};
use crate::source::{Messages, PartitionReader, Read, SourceBatch, TopicPartition};

/// What was pulled and not handed out yet.
enum Found {
    Messages(Pulled),
    End(i64),
    Expired(i64),
    Failed(Error),
}

/// What a reader needs to ask what its topic is.
pub(super) struct Identity {
    pub(super) client: Arc<Client>,
    pub(super) topic_ids: Arc<TopicIds>,
    pub(super) tokio: Handle,
}

/// Reads one topic partition.
///
/// Guarantee: offsets never go back. The client may deliver again what it delivered before (it does when a rebalance
/// falls between two of its threads); that is dropped here.
pub(super) struct KafkaReader {
    topic_partition: TopicPartition,
    queue: PartitionQueue,
    /// The offset to pull next; the source reads it when it must assign anew.
    position: Arc<AtomicI64>,
    found: VecDeque<Found>,
    identity: Identity,
}

impl KafkaReader {
    pub(super) fn new(
        topic_partition: TopicPartition,
        queue: PartitionQueue,
        position: Arc<AtomicI64>,
        identity: Identity,
    ) -> Self {
        Self { topic_partition, queue, position, found: VecDeque::new(), identity }
    }

    /// Sorts what was pulled into runs of messages and what stands between them.
    fn sort(&mut self, mut pulled: Pulled) {
        while let Some(at) = (0..pulled.len()).find(|index| pulled.notice(*index).is_some()) {
            let mut rest = pulled.split_off(at);
            self.messages(pulled);
            let offset = rest.offset(0);
            if let Some(notice) = rest.notice(0) {
                let position = self.position.load(Ordering::Relaxed);
                if matches!(notice.code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) {
                    tracing::warn!(topic_partition = %self.topic_partition, position, "out of range: {}", notice.text);
                    self.found.push_back(Found::Expired(position));
                } else if notice.code != RDKafkaErrorCode::PartitionEOF {
                    let error = failure::of_notice(&self.topic_partition, position, notice);
                    self.found.extend(error.map(Found::Failed));
                } else if offset >= position {
                    self.position.store(offset, Ordering::Relaxed);
                    self.found.push_back(Found::End(offset));
                }
            }
            rest.drop_first(1);
            pulled = rest;
        }
        self.messages(pulled);
    }

    fn messages(&mut self, mut pulled: Pulled) {
        let position = self.position.load(Ordering::Relaxed);
        let again = (0..pulled.len()).take_while(|index| pulled.offset(*index) < position).count();
        if again > 0 {
            pulled.drop_first(again);
        }
        if let Some(last) = pulled.len().checked_sub(1) {
            self.position.store(pulled.offset(last) + 1, Ordering::Relaxed);
            self.found.push_back(Found::Messages(pulled));
        }
    }
}

impl PartitionReader for KafkaReader {
    fn read(&mut self, limit: usize) -> Result<Read> {
        loop {
            match self.found.pop_front() {
                Some(Found::Messages(messages)) => {
                    let next = messages.offset(messages.len() - 1) + 1;
                    let topic_partition = self.topic_partition.clone();
                    return Ok(Read::Batch(SourceBatch { topic_partition, messages: Box::new(messages), next }));
                }
                Some(Found::Expired(position)) => return Ok(Read::Expired { position }),
                Some(Found::End(next)) => return Ok(Read::End { next }),
                Some(Found::Failed(error)) => return Err(error),
                None => {}
            }
            let pulled = self.queue.pull(limit.max(1));
            if pulled.is_empty() {
                return Ok(Read::Empty);
            }
            self.sort(pulled);
        }
    }

    fn identity(&self) -> Option<BoxFuture<'static, Result<Option<String>>>> {
        let Identity { client, topic_ids, tokio } = &self.identity;
        let (client, topic_ids) = (Arc::clone(client), Arc::clone(topic_ids));
        let topic = Arc::clone(&self.topic_partition.topic);
        let asked = tokio.spawn_blocking(move || topic_ids.ask_patiently(&client, &topic));
        Some(Box::pin(async move {
            asked.await.unwrap_or_else(|error| Err(Error::transient("nobody asked what the topic is").because(error)))
        }))
    }
}

//! A part of a source: some topic partitions, each from one offset to another, read once for a purpose of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;

use super::{Header, Message, Messages, PartitionReader, Read, Source, SourceBatch, SourceEvent, TopicPartition, Wake};
use crate::error::Result;

/// Reads `[from, to)` of each topic partition from the source within.
pub(super) struct Between {
    inner: Box<dyn Source>,
    ranges: BTreeMap<TopicPartition, (i64, i64)>,
    /// How far each is read.
    read: BTreeMap<TopicPartition, Arc<AtomicI64>>,
    announced: bool,
}

impl Between {
    pub(super) fn new(inner: Box<dyn Source>, ranges: BTreeMap<TopicPartition, (i64, i64)>) -> Self {
        Self { inner, ranges, read: BTreeMap::new(), announced: false }
    }

    fn of(&self, topic_partitions: &[TopicPartition], pick: impl Fn((i64, i64)) -> i64) -> Vec<i64> {
        topic_partitions.iter().map(|of| self.ranges.get(of).copied().map_or(0, &pick)).collect()
    }
}

impl Source for Between {
    fn poll(&mut self, wait: Duration) -> Result<Option<SourceEvent>> {
        // What the source within assigns by itself is all that it has; here it is what was asked for.
        let wait = if self.announced { wait } else { Duration::ZERO };
        self.inner.poll(wait)?;
        if !std::mem::replace(&mut self.announced, true) {
            return Ok(Some(SourceEvent::Assigned(self.ranges.keys().cloned().collect())));
        }
        Ok(None)
    }

    fn identity(&mut self, topic_partition: &TopicPartition) -> Result<String> {
        self.inner.identity(topic_partition)
    }

    fn first_positions(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        Ok(self.of(topic_partitions, |(from, _)| from))
    }

    fn ends(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        Ok(self.of(topic_partitions, |(_, to)| to).into_iter().map(Some).collect())
    }

    fn begin(&mut self, from: &[(TopicPartition, i64)], wakes: &[Wake]) -> Result<Vec<Box<dyn PartitionReader>>> {
        let mut readers: Vec<Box<dyn PartitionReader>> = Vec::with_capacity(from.len());
        for ((of, offset), inner) in from.iter().zip(self.inner.begin(from, wakes)?) {
            let read = Arc::new(AtomicI64::new(*offset));
            self.read.insert(of.clone(), Arc::clone(&read));
            let to = self.ranges.get(of).map_or(*offset, |(_, to)| *to);
            readers.push(Box::new(Reader { inner, to, read, is_over: false }));
        }
        Ok(readers)
    }

    fn release(&mut self, topic_partitions: &[TopicPartition]) -> Result<()> {
        self.inner.release(topic_partitions)
    }

    /// Nobody may hear of it: the group's offsets are the pipeline's.
    fn acknowledge(&mut self, _next: &[(TopicPartition, i64)]) -> Result<()> {
        Ok(())
    }

    /// Nobody takes anything away.
    fn still_assigned(&mut self, _topic_partition: &TopicPartition, _next: i64) -> Option<bool> {
        Some(true)
    }

    fn after_loss(&mut self, topic_partition: &TopicPartition, position: i64) -> Result<i64> {
        self.inner.after_loss(topic_partition, position)
    }

    fn lag(&self, topic_partition: &TopicPartition) -> Option<i64> {
        let (_, to) = self.ranges.get(topic_partition)?;
        Some((to - self.read.get(topic_partition)?.load(Ordering::Relaxed)).max(0))
    }
}

struct Reader {
    inner: Box<dyn PartitionReader>,
    to: i64,
    read: Arc<AtomicI64>,
    is_over: bool,
}

impl PartitionReader for Reader {
    fn read(&mut self, limit: usize) -> Result<Read> {
        let to = self.to;
        if self.is_over {
            return Ok(Read::Finished { next: to });
        }
        let read = match self.inner.read(limit)? {
            Read::Batch(batch) if batch.next > to => {
                self.is_over = true;
                batch_before(batch, to).map_or(Read::Finished { next: to }, Read::Batch)
            }
            Read::End { next } if next >= to => {
                self.is_over = true;
                Read::Finished { next: to }
            }
            other => other,
        };
        match &read {
            Read::Batch(SourceBatch { next, .. }) | Read::End { next } | Read::Finished { next } => {
                self.read.store(*next, Ordering::Relaxed);
            }
            Read::Empty | Read::Expired { .. } => {}
        }
        Ok(read)
    }

    fn identity(&self) -> Option<BoxFuture<'static, Result<Option<String>>>> {
        self.inner.identity()
    }
}

/// The messages of a batch before offset `to`, which is the next one then; `None` when there are none.
fn batch_before(batch: SourceBatch, to: i64) -> Option<SourceBatch> {
    let count = (0..batch.messages.len()).take_while(|index| batch.messages.get(*index).offset < to).count();
    let messages = Box::new(First { messages: batch.messages, count });
    (count > 0).then_some(SourceBatch { messages, next: to, ..batch })
}

/// The first few messages.
struct First {
    messages: Box<dyn Messages>,
    count: usize,
}

impl Messages for First {
    fn len(&self) -> usize {
        self.count
    }

    fn get(&self, index: usize) -> Message<'_> {
        assert!(index < self.count, "there are {} messages", self.count);
        self.messages.get(index)
    }

    fn headers(&self, index: usize) -> Vec<Header> {
        self.messages.headers(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{EventsimConfig, SourceConfig};
    use crate::source::open_between;

    /// The offsets that are read of 40, a few at a time, and where the reader says that it ends.
    fn read(from: i64, to: i64, limit: usize) -> (Vec<i64>, i64) {
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config =
            EventsimConfig { topic: "listen_events".into(), topic_partitions: 2, events: 80, seed: 3, faults: 0.0 };
        let of = TopicPartition::new("listen_events", 1);
        let ranges = BTreeMap::from([(of.clone(), (from, to))]);
        let mut source = open_between(&SourceConfig::Eventsim(config), tokio.handle(), ranges).unwrap();
        let assigned = source.poll(Duration::ZERO).unwrap();
        assert_eq!(assigned, Some(SourceEvent::Assigned(vec![of.clone()])));
        assert_eq!(source.ends(std::slice::from_ref(&of)).unwrap(), [Some(to)]);
        let first = source.first_positions(std::slice::from_ref(&of)).unwrap()[0];
        let mut readers = source.begin(&[(of.clone(), first)], &[Arc::new(|| {}) as Wake]).unwrap();
        let mut offsets = Vec::new();
        loop {
            match readers[0].read(limit).unwrap() {
                Read::Batch(batch) => {
                    let last = batch.messages.len() - 1;
                    assert!(batch.next > batch.messages.get(last).offset && batch.next <= to);
                    offsets.extend((0..=last).map(|index| batch.messages.get(index).offset));
                }
                Read::Finished { next } => {
                    assert_eq!(source.lag(&of), Some(0));
                    return (offsets, next);
                }
                _ => panic!("a simulation neither waits nor loses anything"),
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_the_range_is_read(from in 0_i64..40, length in 0_i64..40, limit in 1_usize..12) {
            let to = (from + length).min(40);
            prop_assert_eq!(read(from, to, limit), ((from..to).collect(), to));
        }
    }
}

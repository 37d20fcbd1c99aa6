//! The built-in simulator as a source.
//!
//! Topic partition `i` of `n` is instance `i` of `n` of the simulation, with users of its own; the offset of an event is
//! its index. The same seed gives the same events, so a restart passes over what was read before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{
    Message, Messages, OwnedMessages, PartitionReader, Read, Source, SourceBatch, SourceEvent, TopicPartition, Wake,
};
use crate::config::EventsimConfig;
use crate::error::{Error, Result};
use crate::eventsim::{FaultShares, Simulator, SimulatorOptions, Topic};

/// The built-in simulator as a source.
pub struct EventsimSource {
    config: EventsimConfig,
    topic: Topic,
    /// How far each topic partition has been read.
    positions: BTreeMap<TopicPartition, Arc<AtomicU64>>,
    announced: bool,
}

impl EventsimSource {
    /// A simulation of which nothing has been read.
    ///
    /// # Errors
    /// The topic is unknown, or a number is out of the simulator's range.
    pub fn new(config: &EventsimConfig) -> Result<Self> {
        let topic = Topic::from_name(&config.topic)?;
        if config.topic_partitions < 1 {
            return Err(Error::config("the simulator needs at least one topic partition"));
        }
        let all = (0..config.topic_partitions).map(|partition| TopicPartition::new(topic.name(), partition));
        let source = Self {
            config: config.clone(),
            topic,
            positions: all.map(|topic_partition| (topic_partition, Arc::default())).collect(),
            announced: false,
        };
        source.options(0).check()?;
        Ok(source)
    }

    fn options(&self, partition: i32) -> SimulatorOptions {
        SimulatorOptions {
            seed: self.config.seed,
            topics: vec![self.topic],
            instance: partition.unsigned_abs(),
            instances: self.config.topic_partitions.unsigned_abs(),
            faults: FaultShares::spread(self.config.faults),
            ..SimulatorOptions::default()
        }
    }

    /// How many of all events a topic partition has: the first ones have one more where they cannot be shared evenly.
    fn share(&self, partition: i32) -> u64 {
        let (partition, all) =
            (u64::from(partition.unsigned_abs()), u64::from(self.config.topic_partitions.unsigned_abs()));
        self.config.events / all + u64::from(partition < self.config.events % all)
    }
}

impl Source for EventsimSource {
    fn poll(&mut self, wait: Duration) -> Result<Option<SourceEvent>> {
        if !std::mem::replace(&mut self.announced, true) {
            return Ok(Some(SourceEvent::Assigned(self.positions.keys().cloned().collect())));
        }
        std::thread::sleep(wait);
        Ok(None)
    }

    /// All that decides what event n is; not how many events there are, so that a run may be lengthened.
    fn identity(&mut self, _topic_partition: &TopicPartition) -> Result<String> {
        let EventsimConfig { seed, topic_partitions, faults, .. } = &self.config;
        Ok(format!("eventsim seed={seed} topic_partitions={topic_partitions} faults={faults}"))
    }

    fn first_positions(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        Ok(vec![0; topic_partitions.len()])
    }

    fn ends(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        Ok(vec![None; topic_partitions.len()])
    }

    fn begin(&mut self, from: &[(TopicPartition, i64)], _wakes: &[Wake]) -> Result<Vec<Box<dyn PartitionReader>>> {
        let mut readers: Vec<Box<dyn PartitionReader>> = Vec::with_capacity(from.len());
        for (topic_partition, offset) in from {
            let unknown = || Error::fatal(format!("{topic_partition} is no topic partition of the simulation"));
            let position = Arc::clone(self.positions.get(topic_partition).ok_or_else(unknown)?);
            let mut simulator = Simulator::new(self.options(topic_partition.partition))?;
            simulator.skip(u64::try_from(*offset).unwrap_or(0));
            position.store(simulator.position(), Ordering::Relaxed);
            readers.push(Box::new(EventsimReader {
                topic_partition: topic_partition.clone(),
                simulator,
                position,
                end: self.share(topic_partition.partition),
                event: Vec::new(),
            }));
        }
        Ok(readers)
    }

    fn release(&mut self, _topic_partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    fn acknowledge(&mut self, _next: &[(TopicPartition, i64)]) -> Result<()> {
        Ok(())
    }

    fn still_assigned(&mut self, topic_partition: &TopicPartition, _next: i64) -> Option<bool> {
        Some(self.positions.contains_key(topic_partition))
    }

    fn lag(&self, topic_partition: &TopicPartition) -> Option<i64> {
        let position = self.positions.get(topic_partition)?.load(Ordering::Relaxed);
        i64::try_from(self.share(topic_partition.partition).saturating_sub(position)).ok()
    }
}

/// Simulates one topic partition.
struct EventsimReader {
    topic_partition: TopicPartition,
    simulator: Simulator,
    position: Arc<AtomicU64>,
    end: u64,
    event: Vec<u8>,
}

impl PartitionReader for EventsimReader {
    fn read(&mut self, limit: usize) -> Result<Read> {
        let mut messages = OwnedMessages::default();
        while messages.len() < limit.max(1) && self.simulator.position() < self.end {
            let offset = self.simulator.position() as i64;
            self.event.clear();
            let Some(meta) = self.simulator.next_event(&mut self.event) else { break };
            let payload = (!meta.is_tombstone()).then_some(self.event.as_slice());
            messages.push(Message { offset, timestamp_ms: Some(meta.time_ms), key: None, payload });
        }
        let next = self.simulator.position() as i64;
        self.position.store(self.simulator.position(), Ordering::Relaxed);
        if messages.is_empty() {
            return Ok(Read::Finished { next });
        }
        let topic_partition = self.topic_partition.clone();
        Ok(Read::Batch(SourceBatch { topic_partition, messages: Box::new(messages), next }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(events: u64) -> EventsimConfig {
        EventsimConfig { topic: "listen_events".into(), topic_partitions: 3, events, seed: 7, faults: 0.2 }
    }

    /// Payloads of one topic partition from `from` on.
    fn payloads(source: &mut EventsimSource, partition: i32, from: i64) -> Vec<Option<Vec<u8>>> {
        let topic_partition = TopicPartition::new("listen_events", partition);
        let mut reader = source.begin(&[(topic_partition.clone(), from)], &[Arc::new(|| {})]).unwrap().remove(0);
        let mut found = Vec::new();
        loop {
            match reader.read(10).unwrap() {
                Read::Batch(batch) => {
                    for index in 0..batch.messages.len() {
                        let message = batch.messages.get(index);
                        assert_eq!(message.offset, from + found.len() as i64);
                        found.push(message.payload.map(<[u8]>::to_vec));
                    }
                    assert_eq!(batch.next, from + found.len() as i64);
                    let share = source.share(partition) as i64;
                    assert_eq!(source.lag(&topic_partition), Some(share - batch.next));
                }
                Read::Finished { next } => {
                    assert_eq!(next, from + found.len() as i64);
                    return found;
                }
                _ => panic!("a simulation never waits"),
            }
        }
    }

    #[test]
    fn all_topic_partitions_together_have_the_events_asked_for() {
        let mut source = EventsimSource::new(&config(1000)).unwrap();
        let Some(SourceEvent::Assigned(all)) = source.poll(Duration::ZERO).unwrap() else { panic!("none assigned") };
        assert_eq!(all.len(), 3);
        let lengths: Vec<_> = (0..3).map(|partition| payloads(&mut source, partition, 0).len()).collect();
        assert_eq!(lengths, [334, 333, 333]);
    }

    #[test]
    fn a_restart_sees_the_same_events_and_a_longer_run_goes_on() {
        let mut source = EventsimSource::new(&config(600)).unwrap();
        let all = payloads(&mut source, 1, 0);
        assert_eq!(payloads(&mut source, 1, 150), all[150..]);
        assert!(all.iter().any(Option::is_none), "a fifth of the events has a fault, a tombstone among them");
        assert_ne!(payloads(&mut source, 2, 0), all, "users are disjoint");

        let mut longer = EventsimSource::new(&config(900)).unwrap();
        let topic_partition = TopicPartition::new("listen_events", 1);
        assert_eq!(longer.identity(&topic_partition).unwrap(), source.identity(&topic_partition).unwrap());
        assert_eq!(payloads(&mut longer, 1, 0)[..200], all);
        assert_eq!(payloads(&mut source, 1, 200), Vec::<Option<Vec<u8>>>::new());
    }

    #[test]
    fn an_unknown_topic_is_a_mistake_in_the_file() {
        let error = EventsimSource::new(&EventsimConfig { topic: "plays".into(), ..config(1) }).err().unwrap();
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
    }
}

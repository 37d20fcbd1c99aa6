//! A process of the pipeline, as far as the source sees it: takes over, reads, gives back. Checkpoints are a map that all
//! members share, written when a topic partition is given back or a member dies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wasmill::config::{KafkaConfig, SourceConfig};
use wasmill::source::{self, PartitionReader, Read, Source, SourceEvent, TopicPartition, Wake};
use wasmill::storage::{self, StorageOptions};

/// Nothing that is waited for takes longer on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Next offsets, by topic partition.
pub(crate) type Checkpoints = Rc<RefCell<BTreeMap<TopicPartition, i64>>>;

pub(crate) fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Opens a source as `wasmill run` does.
pub(crate) fn open(config: &KafkaConfig, tokio: &tokio::runtime::Runtime) -> wasmill::error::Result<Box<dyn Source>> {
    let open_location = |location: &str| storage::open(location, &StorageOptions::default());
    source::open(&SourceConfig::Kafka(config.clone()), tokio.handle(), open_location)
}

/// What one reader has.
struct Lane {
    reader: Box<dyn PartitionReader>,
    next: i64,
    /// The end that was read last, if nothing came after it.
    end: Option<i64>,
    /// Where it stood when its reader said that what follows is gone.
    expired: Option<i64>,
}

/// A member of the group.
pub(crate) struct Member {
    pub(crate) source: Box<dyn Source>,
    checkpoints: Checkpoints,
    lanes: BTreeMap<TopicPartition, Lane>,
    /// Assigned, not begun, and how many steps are left until then: what a take-over costs.
    waiting: Vec<(TopicPartition, u32)>,
    /// Revoked, not released, and how many steps are left.
    leaving: Vec<(TopicPartition, u32)>,
    /// Offset and payload of everything read, in the order in which it was read.
    pub(crate) read: Vec<(TopicPartition, i64, Vec<u8>)>,
    pub(crate) batches: usize,
    pub(crate) events: Vec<SourceEvent>,
    pub(crate) woken: Arc<AtomicUsize>,
    /// Steps that a take-over takes; each topic partition takes one more than the one before.
    pub(crate) delay: u32,
    _tokio: tokio::runtime::Runtime,
}

impl Member {
    pub(crate) fn join(config: &KafkaConfig, checkpoints: &Checkpoints) -> Self {
        let tokio = tokio_runtime();
        Self {
            source: open(config, &tokio).expect("the source opens"),
            checkpoints: Rc::clone(checkpoints),
            lanes: BTreeMap::new(),
            waiting: Vec::new(),
            leaving: Vec::new(),
            read: Vec::new(),
            batches: 0,
            events: Vec::new(),
            woken: Arc::new(AtomicUsize::new(0)),
            delay: 0,
            _tokio: tokio,
        }
    }

    /// One member alone, with checkpoints of its own.
    pub(crate) fn alone(config: &KafkaConfig) -> Self {
        Self::join(config, &Checkpoints::default())
    }

    pub(crate) fn owned(&self) -> Vec<TopicPartition> {
        self.lanes.keys().cloned().collect()
    }

    /// Whether every lane has read up to an end, and nothing is on its way to us or from us.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_settled() && self.lanes.values().all(|lane| lane.end.is_some())
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.leaving.is_empty()
    }

    /// The end of topic partition `partition` of the only topic, where it has been reached.
    pub(crate) fn end(&self, partition: i32) -> Option<i64> {
        self.lanes.iter().find(|(tp, _)| tp.partition == partition).and_then(|(_, lane)| lane.end)
    }

    /// Payload numbers of what was read, by offset.
    pub(crate) fn offsets(&self, partition: i32) -> Vec<i64> {
        self.read.iter().filter(|(tp, ..)| tp.partition == partition).map(|(_, offset, _)| *offset).collect()
    }

    /// Begins to read from the given offset, again or for the first time.
    pub(crate) fn begin(&mut self, topic_partition: &TopicPartition, offset: i64) {
        self.lanes.remove(topic_partition);
        let woken = Arc::clone(&self.woken);
        let wake: Wake = Arc::new(move || {
            woken.fetch_add(1, Ordering::Relaxed);
        });
        let mut readers = self.source.begin(&[(topic_partition.clone(), offset)], &[wake]).expect("reading begins");
        let lane = Lane { reader: readers.remove(0), next: offset, end: None, expired: None };
        self.lanes.insert(topic_partition.clone(), lane);
    }

    /// Everything that can be done now.
    pub(crate) fn step(&mut self) {
        if let Some(event) = self.source.poll(Duration::from_millis(10)).expect("the group goes on") {
            self.event(event);
        }
        self.take_over();
        self.give_back();
        for (topic_partition, lane) in &mut self.lanes {
            if !self.leaving.iter().any(|(leaving, _)| leaving == topic_partition) {
                let batches = read(topic_partition, lane, &mut self.read);
                self.batches += batches.expect("reading goes on");
            }
        }
    }

    fn event(&mut self, event: SourceEvent) {
        match &event {
            SourceEvent::Assigned(all) => {
                for (steps, topic_partition) in (self.delay..).zip(all) {
                    assert!(!self.lanes.contains_key(topic_partition), "{topic_partition} is assigned twice");
                    self.waiting.push((topic_partition.clone(), steps));
                }
            }
            SourceEvent::Revoked(all) => {
                self.waiting.retain(|(waiting, _)| !all.contains(waiting));
                self.leaving.extend((self.delay..).zip(all).map(|(steps, tp)| (tp.clone(), steps)));
            }
            SourceEvent::Lost(all) => {
                for topic_partition in all {
                    self.lanes.remove(topic_partition);
                }
                self.waiting.retain(|(waiting, _)| !all.contains(waiting));
                self.source.release(all).expect("what is lost can be released");
            }
        }
        self.events.push(event);
    }

    fn take_over(&mut self) {
        for topic_partition in due(&mut self.waiting) {
            let checkpoint = self.checkpoints.borrow().get(&topic_partition).copied();
            let offset = checkpoint.unwrap_or_else(|| {
                self.source.first_positions(std::slice::from_ref(&topic_partition)).expect("a first position")[0]
            });
            self.begin(&topic_partition, offset);
        }
    }

    fn give_back(&mut self) {
        for topic_partition in due(&mut self.leaving) {
            if let Some(lane) = self.lanes.remove(&topic_partition) {
                self.checkpoints.borrow_mut().insert(topic_partition.clone(), lane.next);
            }
            self.source.release(&[topic_partition]).expect("what is revoked can be released");
        }
    }

    /// Begins at an offset that is gone, and waits for what the source says of it.
    pub(crate) fn after_loss_at(
        &mut self,
        topic_partition: &TopicPartition,
        offset: i64,
    ) -> wasmill::error::Result<i64> {
        self.begin(topic_partition, offset);
        let started = Instant::now();
        let mut lane = self.lanes.remove(topic_partition).expect("it was begun");
        loop {
            self.source.poll(Duration::from_millis(10)).expect("the group goes on");
            read(topic_partition, &mut lane, &mut self.read)?;
            if let Some(position) = lane.expired {
                assert_eq!(position, offset);
                return self.source.after_loss(topic_partition, position);
            }
            assert!(started.elapsed() < PATIENCE, "offset {offset} is not missed");
        }
    }

    /// Goes on until nothing is owned any more, or reading fails.
    pub(crate) fn until_revoked_or_failed(&mut self) -> Option<wasmill::error::Error> {
        let started = Instant::now();
        while !self.lanes.is_empty() {
            if let Some(event) = self.source.poll(Duration::from_millis(10)).expect("the group goes on") {
                self.event(event);
            }
            self.give_back();
            for (topic_partition, lane) in &mut self.lanes {
                if let Err(error) = read(topic_partition, lane, &mut self.read) {
                    return Some(error);
                }
            }
            assert!(started.elapsed() < PATIENCE, "neither revoked nor failed: {:?}", self.owned());
        }
        None
    }

    /// Ends as a process does that is told to: commits, and leaves the group.
    pub(crate) fn leave(mut self) -> Vec<(TopicPartition, i64, Vec<u8>)> {
        for (topic_partition, lane) in std::mem::take(&mut self.lanes) {
            self.checkpoints.borrow_mut().insert(topic_partition, lane.next);
        }
        std::mem::take(&mut self.read)
    }
}

/// Those whose steps are over.
fn due(all: &mut Vec<(TopicPartition, u32)>) -> Vec<TopicPartition> {
    let mut over = Vec::new();
    all.retain_mut(|(topic_partition, steps)| {
        if *steps == 0 {
            over.push(topic_partition.clone());
            return false;
        }
        *steps -= 1;
        true
    });
    over
}

/// Reads what is there; the number of batches.
fn read(
    topic_partition: &TopicPartition,
    lane: &mut Lane,
    into: &mut Vec<(TopicPartition, i64, Vec<u8>)>,
) -> wasmill::error::Result<usize> {
    let mut batches = 0;
    loop {
        match lane.reader.read(1024)? {
            Read::Batch(batch) => {
                assert_eq!(&batch.topic_partition, topic_partition);
                assert!((1..=1024).contains(&batch.messages.len()));
                for index in 0..batch.messages.len() {
                    let message = batch.messages.get(index);
                    assert!(message.offset >= lane.next, "{topic_partition}: {} after {}", message.offset, lane.next);
                    lane.next = message.offset + 1;
                    into.push((topic_partition.clone(), message.offset, message.payload.unwrap_or_default().to_vec()));
                }
                assert!(batch.next >= lane.next);
                lane.next = batch.next;
                lane.end = None;
                batches += 1;
            }
            Read::End { next } => {
                assert!(next >= lane.next, "{topic_partition}: the end {next} lies before {}", lane.next);
                lane.next = next;
                lane.end = Some(next);
            }
            Read::Expired { position } => {
                lane.expired = Some(position);
                return Ok(batches);
            }
            Read::Empty => return Ok(batches),
            Read::Finished { .. } => panic!("Kafka never ends for good"),
        }
    }
}

/// Steps all members until `done`.
pub(crate) fn until(what: &str, members: &mut [&mut Member], mut done: impl FnMut(&[&mut Member]) -> bool) {
    let started = Instant::now();
    while !done(members) {
        for member in members.iter_mut() {
            member.step();
        }
        if started.elapsed() > PATIENCE {
            let state: Vec<_> = members.iter().map(|m| (m.owned(), m.read.len(), &m.events)).collect();
            panic!("waited too long: {what}; {state:#?}");
        }
    }
}

//! An in-memory broker: topic partitions with gaps in their offsets, one group of hosts, rebalances at any moment,
//! members that are cut off and go on reading all the same, redelivery.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use wasmill::error::{Error, Result};
use wasmill::source::{
    Message, OwnedMessages, PartitionReader, Read, Source, SourceBatch, SourceEvent, TopicPartition, Wake,
};

use super::books::Books;
use super::executor::Simulator;
use super::message::{self, MessageId};

#[derive(Default)]
struct Log {
    messages: Vec<(i64, Option<Vec<u8>>)>,
    /// The first offset that is left.
    first: i64,
    next: i64,
}

#[derive(Default)]
struct Member {
    events: VecDeque<SourceEvent>,
    cut_off: bool,
    /// Connected again, but what it lost is not released yet: it gets nothing before.
    recovering: bool,
    owned: BTreeSet<i32>,
}

#[derive(Default)]
struct State {
    logs: Vec<Log>,
    members: BTreeMap<usize, Member>,
    /// Who owns a topic partition, by the group's own view.
    owners: BTreeMap<i32, usize>,
    /// Who gets it as soon as its owner has released it.
    promised: BTreeMap<i32, (usize, Duration)>,
    /// How often the topic was deleted and created anew.
    made_anew: u64,
    /// How often each message was handed out, where that is asked.
    fetched: Option<BTreeMap<MessageId, u64>>,
}

/// How long a host may take to give back what was revoked.
const REVOKE_PATIENCE: Duration = Duration::from_secs(20);

/// The broker that all hosts of a world share.
pub(super) struct Broker {
    simulator: Arc<Simulator>,
    books: Arc<Books>,
    /// Hours that events are spread over.
    hours: u64,
    /// Whether rows pass a guest.
    guest: bool,
    /// Whether readers are told what the topic is.
    says_identity: bool,
    state: Mutex<State>,
}

fn named(partition: i32) -> TopicPartition {
    TopicPartition::new("events", partition)
}

impl Broker {
    pub(super) fn new(
        simulator: &Arc<Simulator>,
        books: &Arc<Books>,
        topic_partitions: usize,
        (hours, guest): (u64, bool),
        says_identity: bool,
    ) -> Arc<Self> {
        let logs = (0..topic_partitions).map(|_| Log::default()).collect();
        let state = Mutex::new(State { logs, ..State::default() });
        let (simulator, books) = (Arc::clone(simulator), Arc::clone(books));
        Arc::new(Self { simulator, books, hours, guest, says_identity, state })
    }

    /// What the topic is, beyond its name.
    fn identity(&self) -> String {
        format!("topic {}", self.state.lock().unwrap().made_anew)
    }

    /// Appends a few messages to each topic partition: events over several hours, late ones, tombstones, garbage, gaps as
    /// aborted transactions and compaction leave them.
    pub(super) fn produce(&self, most: u64) {
        let mut state = self.state.lock().unwrap();
        for (partition, log) in (0..).zip(state.logs.iter_mut()) {
            for _ in 0..self.simulator.draw(most + 1) {
                if self.simulator.once_in(6) {
                    log.next += 1 + self.simulator.draw(5) as i64;
                }
                let id = (partition, log.next);
                let produced = message::draw(&self.simulator, id, self.hours, self.guest);
                self.books.produced(id, &produced);
                log.messages.push((log.next, produced.payload));
                log.next += 1;
            }
        }
    }

    /// Messages of one topic partition that are old enough are deleted, read or not.
    pub(super) fn expire(&self) {
        let mut state = self.state.lock().unwrap();
        let partition = self.simulator.draw(state.logs.len() as u64) as usize;
        let log = &mut state.logs[partition];
        log.first += self.simulator.draw((log.next - log.first + 1) as u64) as i64;
        let gone = log.messages.partition_point(|(offset, _)| *offset < log.first);
        log.messages.drain(..gone);
        self.books.expired(partition as i32, log.first);
    }

    /// The topic is deleted, and another one created under its name, which soon has more messages. None of them may ever be
    /// visible: the books do not know them.
    pub(super) fn make_anew(&self) {
        let mut state = self.state.lock().unwrap();
        state.made_anew += 1;
        for (partition, log) in (0..).zip(state.logs.iter_mut()) {
            let next = log.next + 1 + self.simulator.draw(40) as i64;
            let messages = (0..next).map(|offset| {
                let id = message::row_id((partition + 500, offset));
                (offset, Some(format!("{{\"id\":{id},\"ts\":{}}}", message::FIRST_EVENT_MS).into_bytes()))
            });
            *log = Log { messages: messages.collect(), first: 0, next };
        }
    }

    /// From now on nothing is delivered twice, every question is answered, and what is handed out is counted.
    pub(super) fn count_fetches(&self) {
        self.state.lock().unwrap().fetched = Some(BTreeMap::new());
    }

    /// How many messages were handed out, and those that were handed out more than once.
    pub(super) fn fetched(&self) -> (usize, Vec<MessageId>) {
        let state = self.state.lock().unwrap();
        let fetched = state.fetched.iter().flatten();
        (fetched.clone().count(), fetched.filter(|(_, times)| **times > 1).map(|(message, _)| *message).collect())
    }

    /// How many messages nobody has fetched yet.
    pub(super) fn unread(&self) -> usize {
        let state = self.state.lock().unwrap();
        let all: usize = state.logs.iter().map(|log| log.messages.len()).sum();
        all - state.fetched.iter().flatten().count()
    }

    pub(super) fn join(&self, host: usize) {
        self.state.lock().unwrap().members.insert(host, Member::default());
        self.rebalance();
    }

    /// The host is gone, or its session expired: what it had is free at once.
    pub(super) fn leave(&self, host: usize) {
        let mut state = self.state.lock().unwrap();
        state.members.remove(&host);
        state.forget(host);
        drop(state);
        self.rebalance();
    }

    /// The session of a living host expires: it goes on, and is told only when it is connected again.
    pub(super) fn cut_off(&self, host: usize) {
        let mut state = self.state.lock().unwrap();
        if let Some(member) = state.members.get_mut(&host) {
            member.cut_off = true;
        }
        state.forget(host);
        drop(state);
        self.rebalance();
    }

    pub(super) fn reconnect(&self, host: usize) {
        let mut state = self.state.lock().unwrap();
        if let Some(member) = state.members.get_mut(&host)
            && member.cut_off
        {
            member.cut_off = false;
            let owned = std::mem::take(&mut member.owned).into_iter().map(named);
            // Cut off again before it was told: what it does not know to have is not lost a second time, the rest is.
            let untold = member.events.drain(..).filter_map(|event| match event {
                SourceEvent::Lost(lost) => Some(lost),
                SourceEvent::Assigned(_) | SourceEvent::Revoked(_) => None,
            });
            let lost: BTreeSet<_> = owned.chain(untold.flatten()).collect();
            member.recovering = !lost.is_empty();
            member.events.push_back(SourceEvent::Lost(lost.into_iter().collect()));
        }
        drop(state);
        self.rebalance();
    }

    /// Gives each topic partition to a connected member, drawn at random; those that move are revoked first.
    pub(super) fn rebalance(&self) {
        let mut state = self.state.lock().unwrap();
        let members: Vec<usize> =
            state.members.iter().filter(|(_, m)| !m.cut_off && !m.recovering).map(|(host, _)| *host).collect();
        if members.is_empty() {
            return;
        }
        for partition in 0..state.logs.len() as i32 {
            let to = members[self.simulator.draw(members.len() as u64) as usize];
            match state.owners.get(&partition).copied() {
                Some(owner) if owner == to || state.promised.contains_key(&partition) => {}
                Some(owner) => {
                    state.promised.insert(partition, (to, self.simulator.now()));
                    state.tell(owner, SourceEvent::Revoked(vec![named(partition)]));
                }
                None => state.give(partition, to),
            }
        }
    }
}

impl Broker {
    /// Whether the hosts answer the group: no event waits for long, and what is revoked is given back.
    pub(super) fn is_served(&self) -> bool {
        let state = self.state.lock().unwrap();
        let now = self.simulator.now();
        state.members.values().all(|member| member.cut_off || member.events.len() < 5)
            && state.promised.values().all(|(_, since)| now < *since + REVOKE_PATIENCE)
    }
}

impl State {
    fn tell(&mut self, host: usize, event: SourceEvent) {
        if let Some(member) = self.members.get_mut(&host) {
            member.events.push_back(event);
        }
    }

    fn give(&mut self, partition: i32, to: usize) {
        self.owners.insert(partition, to);
        if let Some(member) = self.members.get_mut(&to) {
            member.owned.insert(partition);
        }
        self.tell(to, SourceEvent::Assigned(vec![named(partition)]));
    }

    fn forget(&mut self, host: usize) {
        self.owners.retain(|_, owner| *owner != host);
        let owners: BTreeSet<i32> = self.owners.keys().copied().collect();
        self.promised.retain(|partition, (to, _)| *to != host && owners.contains(partition));
    }
}

/// A host's connection to the broker.
pub(super) struct Connection {
    pub(super) broker: Arc<Broker>,
    pub(super) host: usize,
}

struct Reader {
    broker: Arc<Broker>,
    partition: i32,
    position: i64,
}

impl Source for Connection {
    fn poll(&mut self, _: Duration) -> Result<Option<SourceEvent>> {
        let mut state = self.broker.state.lock().unwrap();
        let Some(member) = state.members.get_mut(&self.host) else { return Ok(None) };
        Ok(if member.cut_off { None } else { member.events.pop_front() })
    }

    fn identity(&mut self, _: &TopicPartition) -> Result<String> {
        Ok(self.broker.identity())
    }

    fn after_loss(&mut self, topic_partition: &TopicPartition, position: i64) -> Result<i64> {
        let first = self.broker.state.lock().unwrap().logs[topic_partition.partition as usize].first;
        if first > position {
            return Ok(first);
        }
        Err(Error::transient(format!("offset {position} of {topic_partition} is there again")))
    }

    fn first_positions(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        Ok(vec![0; topic_partitions.len()])
    }

    fn ends(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        Ok(vec![None; topic_partitions.len()])
    }

    fn begin(&mut self, from: &[(TopicPartition, i64)], _: &[Wake]) -> Result<Vec<Box<dyn PartitionReader>>> {
        let reader = |(topic_partition, position): &(TopicPartition, i64)| -> Box<dyn PartitionReader> {
            let (broker, partition) = (Arc::clone(&self.broker), topic_partition.partition);
            Box::new(Reader { broker, partition, position: *position })
        };
        Ok(from.iter().map(reader).collect())
    }

    fn release(&mut self, topic_partitions: &[TopicPartition]) -> Result<()> {
        let mut state = self.broker.state.lock().unwrap();
        if let Some(member) = state.members.get_mut(&self.host)
            && std::mem::take(&mut member.recovering)
        {
            drop(state);
            self.broker.rebalance();
            return Ok(());
        }
        for topic_partition in topic_partitions {
            let partition = topic_partition.partition;
            if state.owners.get(&partition) != Some(&self.host) {
                continue;
            }
            state.owners.remove(&partition);
            if let Some(member) = state.members.get_mut(&self.host) {
                member.owned.remove(&partition);
            }
            if let Some((to, _)) = state.promised.remove(&partition) {
                state.give(partition, to);
            }
        }
        drop(state);
        self.broker.rebalance();
        Ok(())
    }

    fn acknowledge(&mut self, next: &[(TopicPartition, i64)]) -> Result<()> {
        let state = self.broker.state.lock().unwrap();
        for (topic_partition, next) in next {
            // The group refuses the commit of a member that does not own it any more.
            if state.owners.get(&topic_partition.partition) == Some(&self.host) {
                self.broker.books.acknowledged(topic_partition.partition, *next);
            }
        }
        Ok(())
    }

    fn still_assigned(&mut self, topic_partition: &TopicPartition, next: i64) -> Option<bool> {
        let state = self.broker.state.lock().unwrap();
        if self.broker.simulator.once_in(10) || state.members.get(&self.host)?.cut_off {
            return None;
        }
        let ours = state.owners.get(&topic_partition.partition) == Some(&self.host);
        if ours {
            self.broker.books.acknowledged(topic_partition.partition, next);
        }
        Some(ours)
    }

    fn lag(&self, _: &TopicPartition) -> Option<i64> {
        None
    }
}

impl PartitionReader for Reader {
    fn read(&mut self, limit: usize) -> Result<Read> {
        let simulator = &self.broker.simulator;
        let mut state = self.broker.state.lock().unwrap();
        let State { logs, fetched, .. } = &mut *state;
        let log = &logs[self.partition as usize];
        if self.position < log.first {
            return Ok(Read::Expired { position: self.position });
        }
        // Once in a while what was delivered is delivered again.
        let again = fetched.is_none() && simulator.once_in(20);
        let position = if again { (self.position - 3).max(log.first) } else { self.position };
        let most = 1 + simulator.draw(limit as u64) as usize;
        let first = log.messages.partition_point(|(offset, _)| *offset < position);
        let found = log.messages[first..].iter().take(most);
        let mut messages = OwnedMessages::default();
        let mut next = None;
        for (offset, payload) in found {
            messages.push(Message { offset: *offset, timestamp_ms: None, key: None, payload: payload.as_deref() });
            next = Some(offset + 1);
            if let Some(fetched) = fetched {
                *fetched.entry((self.partition, *offset)).or_default() += 1;
            }
        }
        let Some(next) = next else {
            let next = log.next;
            if next <= self.position {
                return Ok(Read::Empty);
            }
            self.position = next;
            return Ok(Read::End { next });
        };
        self.position = self.position.max(next);
        Ok(Read::Batch(SourceBatch { topic_partition: named(self.partition), messages: Box::new(messages), next }))
    }

    fn identity(&self) -> Option<BoxFuture<'static, Result<Option<String>>>> {
        if !self.broker.says_identity {
            return None;
        }
        let broker = Arc::clone(&self.broker);
        Some(Box::pin(async move {
            broker.simulator.pass().await;
            let is_counted = broker.state.lock().unwrap().fetched.is_some();
            if !is_counted && broker.simulator.once_in(200) {
                return Err(Error::transient("the broker does not answer"));
            }
            Ok(Some(broker.identity()))
        }))
    }
}

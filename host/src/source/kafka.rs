//! Kafka.
//!
//! One client belongs to the group and is polled by the membership thread; each topic partition that is read has its own
//! queue, drained by the worker that owns it, so no message crosses a thread.
//!
//! How the group is answered. The client wants each change of the group answered by an assignment, and stands still until
//! then: every topic partition of this process is paused. So
//! * what the group assigns is accepted at once, with nothing new to read; reading begins later, topic partition by topic
//!   partition, when [`Source::begin`] names the exact offset;
//! * what the group revokes is given up when all of it was released.
//!
//! Each answer assigns everything that is being read anew, at the reader's own position. The client's position would do
//! for most, but not after an end of the topic partition was read by the batch call: that call counts the notice of the
//! end as a message, and the client would go on one message too far (librdkafka 2.12, `rd_kafka_q_serve_rkmessages`).
//! What is delivered twice by this is dropped by the reader.
//!
//! The group's committed offsets are a hint for others; this source never starts from them unless it is told to.

mod browser;
mod cluster;
mod failure;
mod group;
mod groups;
mod known;
mod positions;
mod reader;
mod sample;
mod settings;
mod topic_ids;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

pub use self::browser::{Browser, Found, Span};
pub use self::cluster::{
    ClusterTopic, ClusterTopicPartition, TopicSetting, cluster_topics, topic_partitions_of, topic_settings,
};
use self::group::{Change, Group};
pub use self::groups::{ConsumerGroup, GroupPosition, consumer_groups, group_positions};
pub(super) use self::known::{cluster_id, known_offsets, offsets_at};
use self::reader::KafkaReader;
pub(super) use self::sample::sample;
pub(super) use self::settings::set_tickets;
use self::topic_ids::TopicIds;
use super::kafka_ffi::{self, PartitionQueue};
use super::spark_checkpoint;
use super::{OpenLocation, PartitionReader, Reach, Source, SourceEvent, TopicPartition, Wake};
use crate::config::{KafkaConfig, OnDataLoss, StartPosition};
use crate::error::{Error, Result};

/// The client that belongs to the group.
pub(super) type Client = BaseConsumer<Group>;

/// How long the brokers may take to answer at the start.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// How often a client without topic partitions is asked whether it belongs to the group.
const MEMBERSHIP_AGE: Duration = Duration::from_secs(1);

/// More than a client without an answer tells in that time.
const EVENTS_TO_LOOK_THROUGH: usize = 1000;

/// How long a synchronous commit may take before it counts as unanswered.
const COMMIT_ANSWER: Duration = Duration::from_secs(5);

/// Kafka as a source.
pub struct KafkaSource {
    client: Arc<Client>,
    config: KafkaConfig,
    tokio: Handle,
    open_location: OpenLocation,
    cooperative: bool,
    /// What the group assigns to us.
    ours: BTreeSet<TopicPartition>,
    /// What the group takes away and has not been released yet. While there is any, an answer is due.
    leaving: BTreeSet<TopicPartition>,
    /// What is read, and the offset to read next, which the reader moves.
    reading: BTreeMap<TopicPartition, Arc<AtomicI64>>,
    /// What the client has been told to read. It follows `reading` once no answer is due any more.
    told: BTreeSet<TopicPartition>,
    topic_ids: Arc<TopicIds>,
    /// Topic ids that were asked for before are not believed any more.
    topic_ids_since: Instant,
    spark_offsets: Option<spark_checkpoint::Offsets>,
    /// It was told that our share is empty, or (`Err`) when we last asked whether it is.
    empty_share: std::result::Result<(), Instant>,
}

impl KafkaSource {
    /// Checks that the topics exist, and joins the group; [`Source::poll`] then tells what is assigned.
    ///
    /// # Errors
    /// An option that the client refuses, brokers that do not answer, topics that do not exist.
    pub fn new(config: &KafkaConfig, tokio: Handle, open_location: OpenLocation) -> Result<Self> {
        let topic_partitions = all_topic_partitions(config)?.len();
        let cooperative = settings::is_cooperative(config);
        let client = settings::group_client(config, topic_partitions);
        let client: Client = client.create_with_context(Group::new(cooperative)).map_err(refused)?;
        let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics).map_err(|error| Error::fatal("cannot subscribe to the topics").because(error))?;
        Ok(Self::with(client, config, tokio, open_location, cooperative))
    }

    /// A source of these topic partitions that belongs to no group: nobody gives it any, and nobody takes them away.
    ///
    /// # Errors
    /// An option that the client refuses, brokers that do not answer, topics that do not exist.
    pub(super) fn alone(config: &KafkaConfig, topic_partitions: &[TopicPartition], tokio: Handle) -> Result<Self> {
        all_topic_partitions(config)?;
        let client = settings::lone_client(config, topic_partitions.len());
        let client: Client = client.create_with_context(Group::new(false)).map_err(refused)?;
        let nowhere: OpenLocation = Box::new(|url| Err(Error::fatal(format!("{url} is not needed here"))));
        let mut source = Self::with(client, config, tokio, nowhere, false);
        source.ours.extend(topic_partitions.iter().cloned());
        Ok(source)
    }

    fn with(
        client: Client,
        config: &KafkaConfig,
        tokio: Handle,
        open_location: OpenLocation,
        cooperative: bool,
    ) -> Self {
        Self {
            client: Arc::new(client),
            config: config.clone(),
            tokio,
            open_location,
            cooperative,
            ours: BTreeSet::new(),
            leaving: BTreeSet::new(),
            reading: BTreeMap::new(),
            told: BTreeSet::new(),
            topic_ids: Arc::default(),
            topic_ids_since: Instant::now(),
            spark_offsets: None,
            empty_share: Err(Instant::now()),
        }
    }

    /// Takes a change of the group note of; answers it unless something must be released first.
    fn change(&mut self, change: Change) -> Result<Option<SourceEvent>> {
        self.empty_share = Err(Instant::now());
        match change {
            Change::Assign(topic_partitions) => {
                self.ours.extend(topic_partitions.iter().cloned());
                self.topic_ids_since = Instant::now();
                self.assign_anew(Answer::Assign)?;
                // Also an empty share is told: a run that only catches up ends by it.
                Ok(Some(SourceEvent::Assigned(topic_partitions)))
            }
            Change::Revoke { topic_partitions, lost } => {
                for topic_partition in &topic_partitions {
                    self.ours.remove(topic_partition);
                }
                self.leaving.extend(topic_partitions.iter().cloned());
                if topic_partitions.is_empty() {
                    self.assign_anew(Answer::Revoke)?;
                    return Ok(None);
                }
                let event = if lost { SourceEvent::Lost } else { SourceEvent::Revoked };
                Ok(Some(event(topic_partitions)))
            }
        }
    }

    /// Under the consumer protocol the client tells no assignment that is empty from the beginning: a member of the group
    /// that has nothing was given nothing.
    fn empty_share(&mut self) -> Option<SourceEvent> {
        let nothing = self.ours.is_empty() && self.leaving.is_empty() && settings::is_by_broker(&self.config);
        let Err(asked) = self.empty_share else { return None };
        if !nothing || asked.elapsed() < MEMBERSHIP_AGE {
            return None;
        }
        let is_member = kafka_ffi::generation(&self.client) > 0;
        self.empty_share = if is_member { Ok(()) } else { Err(Instant::now()) };
        is_member.then(|| SourceEvent::Assigned(Vec::new()))
    }

    /// Makes what the client reads equal to `reading`, each at the position of its reader, and answers the group by it.
    fn assign_anew(&mut self, answer: Answer) -> Result<()> {
        let all: Vec<_> = self.reading.keys().cloned().collect();
        if self.cooperative {
            if !self.told.is_empty() || answer == Answer::Revoke {
                self.unassign(&self.told.iter().cloned().collect::<Vec<_>>())?;
            }
            if !all.is_empty() || answer == Answer::Assign {
                self.client.incremental_assign(&self.at_positions(&all)).map_err(not_assigned)?;
            }
        } else if answer == Answer::Revoke {
            self.client.unassign().map_err(not_assigned)?;
        } else {
            self.client.assign(&self.at_positions(&all)).map_err(not_assigned)?;
        }
        self.told = all.into_iter().collect();
        Ok(())
    }

    fn unassign(&self, topic_partitions: &[TopicPartition]) -> Result<()> {
        self.client.incremental_unassign(&positions::list(topic_partitions, |_| Offset::Invalid)).map_err(not_assigned)
    }

    fn at_positions(&self, topic_partitions: &[TopicPartition]) -> TopicPartitionList {
        positions::list(topic_partitions, |index| match self.reading.get(&topic_partitions[index]) {
            Some(position) => Offset::Offset(position.load(Ordering::Relaxed)),
            None => Offset::Invalid,
        })
    }

    /// Tells the client to read `changed` as `reading` has them now: from another offset, for the first time, or no more.
    fn assign_changed(&mut self, changed: &[TopicPartition]) -> Result<()> {
        if !self.leaving.is_empty() {
            return Ok(()); // The answer that is due tells it; until then the client stands still.
        }
        if !self.cooperative {
            return self.assign_anew(Answer::None);
        }
        let (read, told): (Vec<_>, Vec<_>) = (
            changed.iter().filter(|tp| self.reading.contains_key(tp)).cloned().collect(),
            changed.iter().filter(|tp| self.told.contains(tp)).cloned().collect(),
        );
        if !told.is_empty() {
            self.unassign(&told)?;
            self.told.retain(|topic_partition| !told.contains(topic_partition));
        }
        if !read.is_empty() {
            self.client.incremental_assign(&self.at_positions(&read)).map_err(not_assigned)?;
            self.told.extend(read);
        }
        Ok(())
    }

    /// Topic partitions that the Spark query did not know start at their first offset.
    fn spark_positions(&mut self, location: &str, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        let offsets = match self.spark_offsets.take() {
            Some(offsets) => offsets,
            None => self.tokio.block_on(spark_checkpoint::read(&(self.open_location)(location)?))?,
        };
        let unknown: Vec<_> = topic_partitions.iter().filter(|tp| !offsets.contains_key(tp)).cloned().collect();
        let mut first = positions::first(&self.client, &unknown)?.into_iter();
        let of = |tp: &TopicPartition| offsets.get(tp).copied().or_else(|| first.next()).unwrap_or_default();
        let found = topic_partitions.iter().map(of).collect();
        self.spark_offsets = Some(offsets);
        Ok(found)
    }
}

/// What an assignment answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Assign,
    Revoke,
    /// Nothing: the group waits for no answer.
    None,
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration) -> Result<Option<SourceEvent>> {
        let mut change = self.client.context().next_change();
        if change.is_none() {
            match self.client.poll(wait) {
                None => {}
                Some(Ok(message)) => {
                    use rdkafka::Message as _;
                    let (topic, partition) = (message.topic(), message.partition());
                    return Err(Error::fatal(format!("a message of {topic}/{partition} went past its reader"))
                        .hint("this is a defect of wasmill; nothing of it was acknowledged"));
                }
                Some(Err(error)) => client_error(error)?,
            }
            change = self.client.context().next_change();
        }
        match change {
            Some(change) => self.change(change),
            None => Ok(self.empty_share()),
        }
    }

    fn identity(&mut self, topic_partition: &TopicPartition) -> Result<String> {
        let topic = &topic_partition.topic;
        let id = self.topic_ids.ask(&self.client, topic, self.topic_ids_since)?;
        id.ok_or_else(|| failure::of_code(Code::UnknownTopic, format!("topic {topic} is not in Kafka any more")))
    }

    fn first_positions(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        match self.config.start.clone() {
            StartPosition::Earliest => positions::first(&self.client, topic_partitions),
            StartPosition::Latest => positions::ends(&self.client, topic_partitions),
            StartPosition::Timestamp(ms) => positions::at(&self.client, topic_partitions, ms),
            StartPosition::Group => positions::committed(&self.client, topic_partitions, &self.config.group),
            StartPosition::SparkCheckpoint(location) => self.spark_positions(&location, topic_partitions),
        }
    }

    fn ends(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        Ok(positions::ends(&self.client, topic_partitions)?.into_iter().map(Some).collect())
    }

    fn begin(&mut self, from: &[(TopicPartition, i64)], wakes: &[Wake]) -> Result<Vec<Box<dyn PartitionReader>>> {
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let mut readers: Vec<Box<dyn PartitionReader>> = Vec::with_capacity(from.len());
        for ((topic_partition, offset), wake) in from.iter().zip(wakes) {
            // What is leaving is released before the client would be told to read it.
            if !self.ours.contains(topic_partition) && !self.leaving.contains(topic_partition) {
                return Err(Error::transient(format!("{topic_partition} is not ours any more")));
            }
            let queue = PartitionQueue::split(&self.client, topic_partition, Wake::clone(wake))
                .ok_or_else(|| Error::fatal(format!("the Kafka client does not know {topic_partition}")))?;
            let position = Arc::new(AtomicI64::new(*offset));
            let identity = reader::Identity {
                client: Arc::clone(&self.client),
                topic_ids: Arc::clone(&self.topic_ids),
                tokio: self.tokio.clone(),
            };
            readers.push(Box::new(KafkaReader::new(topic_partition.clone(), queue, Arc::clone(&position), identity)));
            self.reading.insert(topic_partition.clone(), position);
        }
        let changed: Vec<_> = from.iter().map(|(topic_partition, _)| topic_partition.clone()).collect();
        self.assign_changed(&changed)?;
        Ok(readers)
    }

    fn release(&mut self, topic_partitions: &[TopicPartition]) -> Result<()> {
        let answer_due = !self.leaving.is_empty();
        for topic_partition in topic_partitions {
            self.leaving.remove(topic_partition);
            self.reading.remove(topic_partition);
        }
        match (answer_due, self.leaving.is_empty()) {
            (true, true) => self.assign_anew(Answer::Revoke),
            (true, false) => Ok(()),
            (false, _) => self.assign_changed(topic_partitions),
        }
    }

    fn acknowledge(&mut self, next: &[(TopicPartition, i64)]) -> Result<()> {
        let (topic_partitions, next): (Vec<_>, Vec<_>) =
            next.iter().filter(|(topic_partition, _)| self.ours.contains(topic_partition)).cloned().unzip();
        if topic_partitions.is_empty() {
            return Ok(());
        }
        let list = positions::list(&topic_partitions, |index| Offset::Offset(next[index]));
        if let Err(error) = self.client.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "could not commit to the group; the next commit follows with the next checkpoint");
        }
        Ok(())
    }

    fn still_assigned(&mut self, topic_partition: &TopicPartition, next: i64) -> Option<bool> {
        if !self.ours.contains(topic_partition) {
            return Some(false);
        }
        let list = positions::list(std::slice::from_ref(topic_partition), |_| Offset::Offset(next));
        match kafka_ffi::commit_and_wait(&self.client, &list, COMMIT_ANSWER)? {
            Ok(()) => Some(true),
            Err(Code::IllegalGeneration | Code::UnknownMemberId | Code::FencedInstanceId | Code::FencedMemberEpoch) => {
                Some(false)
            }
            Err(code) => {
                tracing::debug!(%topic_partition, ?code, "the group did not say whether we are still assigned");
                None
            }
        }
    }

    fn after_loss(&mut self, topic_partition: &TopicPartition, position: i64) -> Result<i64> {
        // What is asked for next must be the topic as it is now.
        self.topic_ids_since = Instant::now();
        let asked = std::slice::from_ref(topic_partition);
        let first = positions::first(&self.client, asked)?.first().copied().unwrap_or_default();
        if first <= position {
            let end = positions::ends(&self.client, asked)?.first().copied().unwrap_or_default();
            if end >= position {
                return Err(Error::transient(format!("offset {position} of {topic_partition} is there again")));
            }
            return Err(failure::beyond_the_end(topic_partition, position, end));
        }
        match self.config.on_data_loss {
            OnDataLoss::Stop => Err(failure::expired(topic_partition, position, first)),
            OnDataLoss::Record => Ok(first),
        }
    }

    fn lag(&self, topic_partition: &TopicPartition) -> Option<i64> {
        let position = self.reading.get(topic_partition)?.load(Ordering::Relaxed);
        kafka_ffi::known_end(&self.client, topic_partition).map(|end| (end - position).max(0))
    }

    fn reach(&self) -> Option<Reach> {
        Some(self.client.context().reach())
    }
}

impl Drop for KafkaSource {
    /// Answers what is due and leaves the group, which takes as long as the coordinator takes to answer.
    fn drop(&mut self) {
        let group = self.client.context();
        group.close();
        let mut answers = Vec::new();
        if !self.leaving.is_empty() {
            answers.push(false);
        }
        while let Some(change) = group.next_change() {
            answers.push(matches!(change, Change::Assign(_)));
        }
        for assigned in answers {
            if let Err(error) = group.answer(&self.client, assigned) {
                tracing::debug!(%error, "could not answer the group while closing");
            }
        }
    }
}

/// The topic partitions of all topics; an error where a topic does not exist.
pub(super) fn all_topic_partitions(config: &KafkaConfig) -> Result<Vec<TopicPartition>> {
    let client: Client = settings::asking_client(config).create_with_context(Group::new(false)).map_err(refused)?;
    let mut all = Vec::new();
    for topic in &config.topics {
        let metadata = client.fetch_metadata(Some(topic), FIRST_ANSWER).map_err(|error| {
            // The client says what went wrong in its queue only, among log lines, which it does not count as answers.
            for _ in 0..EVENTS_TO_LOOK_THROUGH {
                client.poll(Duration::ZERO);
            }
            let what = format!("cannot reach Kafka at {} within {} s", config.brokers, FIRST_ANSWER.as_secs());
            failure::asking(client.context(), &what, error)
        })?;
        for found in metadata.topics() {
            if let Some(code) = found.error().map(Code::from) {
                return Err(failure::of_code(code, format!("cannot read topic {topic} of {}", config.brokers))
                    .because(KafkaError::MetadataFetch(code)));
            }
            all.extend(found.partitions().iter().map(|partition| TopicPartition::new(found.name(), partition.id())));
        }
    }
    all.sort();
    Ok(all)
}

/// The client refused its settings.
fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, name, _) => {
            Error::config(format!("the Kafka client refuses the option {name}")).because(reason)
        }
        KafkaError::ClientCreation(reason) => Error::config("the Kafka client refuses its options").because(reason),
        error => Error::fatal("cannot make a Kafka client").because(error),
    }
    .hint("see [source.kafka.options] in the pipeline file")
}

fn not_assigned(error: KafkaError) -> Error {
    Error::fatal("the Kafka client refuses an assignment").because(error)
}

/// An error that belongs to no topic partition: most pass, because the client goes on trying.
fn client_error(error: KafkaError) -> Result<()> {
    let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            code,
            Code::GroupAuthorizationFailed
                | Code::TopicAuthorizationFailed
                | Code::InconsistentGroupProtocol
                | Code::InvalidGroupId
                | Code::InvalidSessionTimeout
                | Code::UnsupportedVersion
                | Code::UnsupportedAssignor
                | Code::UnreleasedInstanceId
                | Code::FencedInstanceId
        );
    if fatal {
        return Err(failure::fatal(code, "the Kafka client cannot go on").because(error));
    }
    tracing::warn!(%error, "the Kafka client met an error, and goes on");
    Ok(())
}

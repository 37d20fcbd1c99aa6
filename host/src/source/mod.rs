//! Where events come from.
//!
//! A [`Source`] says which topic partitions this process owns, opens a [`PartitionReader`] for each at an exact
//! position, and passes acknowledgements on. It knows nothing of schemas, transforms, tables or checkpoints: the
//! position comes from outside, and a source never moves it by itself.
//!
//! All methods of a [`Source`] are called from one thread (the membership thread); each reader moves to the worker
//! thread that owns its topic partition. In the simulation both are stepped by one thread.

mod between;
pub mod eventsim;
pub mod file;
pub mod kafka;
mod kafka_ffi;
pub mod kafka_producer;
pub mod spark_checkpoint;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::config::{SourceConfig, StartPosition};
use crate::error::{Error, Result};
use crate::storage::Location;

/// Opens a location; a source uses it for `start = { spark_checkpoint = ... }`.
pub type OpenLocation = Box<dyn Fn(&str) -> Result<Location> + Send>;

/// The source that a pipeline file names. Blocking: for Kafka it asks the brokers whether the topics exist.
///
/// # Errors
/// A file, topic or option that is wrong, and brokers that do not answer.
pub fn open(
    config: &SourceConfig,
    tokio: &tokio::runtime::Handle,
    open_location: impl Fn(&str) -> Result<Location> + Send + 'static,
) -> Result<Box<dyn Source>> {
    Ok(match config {
        SourceConfig::Kafka(config) => {
            Box::new(kafka::KafkaSource::new(config, tokio.clone(), Box::new(open_location))?)
        }
        SourceConfig::File(config) => Box::new(file::FileSource::new(config)?),
        SourceConfig::Eventsim(config) => Box::new(eventsim::EventsimSource::new(config)?),
    })
}

/// The source that a pipeline file names, but only these offsets of these topic partitions, `[from, to)`: it joins no group,
/// acknowledges nothing, and ends by itself. Blocking.
///
/// # Errors
/// As [`open`]; and standard input, which has no offsets to go back to.
pub fn open_between(
    config: &SourceConfig,
    tokio: &tokio::runtime::Handle,
    ranges: BTreeMap<TopicPartition, (i64, i64)>,
) -> Result<Box<dyn Source>> {
    let inner: Box<dyn Source> = match config {
        SourceConfig::Kafka(config) => {
            let all: Vec<TopicPartition> = ranges.keys().cloned().collect();
            Box::new(kafka::KafkaSource::alone(config, &all, tokio.clone())?)
        }
        SourceConfig::File(config) if config.path == "-" => {
            return Err(Error::config("standard input cannot be read again").hint("reprocess a file or a topic"));
        }
        _ => open(config, tokio, |url| Err(Error::fatal(format!("{url} is not needed here"))))?,
    };
    Ok(Box::new(between::Between::new(inner, ranges)))
}

/// The first offset of each topic partition at or after a time, the end where there is none. Blocking.
///
/// # Errors
/// The brokers do not answer; a source without times.
pub fn offsets_at(config: &SourceConfig, topic_partitions: &[TopicPartition], timestamp_ms: i64) -> Result<Vec<i64>> {
    match config {
        SourceConfig::Kafka(config) => kafka::offsets_at(config, topic_partitions, timestamp_ms),
        SourceConfig::File(_) | SourceConfig::Eventsim(_) => {
            Err(Error::config("only Kafka finds offsets by time").hint("name them: TOPIC/N=OFFSET"))
        }
    }
}

/// Whether the source is there, without reading it or joining the group: for `wasmill check`. Blocking. Returns how many
/// topic partitions it has.
///
/// # Errors
/// As [`open`]; and a Spark checkpoint to start from that cannot be read.
pub fn probe(
    config: &SourceConfig,
    tokio: &tokio::runtime::Handle,
    open_location: impl Fn(&str) -> Result<Location>,
) -> Result<usize> {
    match config {
        SourceConfig::Kafka(config) => {
            let count = kafka::all_topic_partitions(config)?.len();
            if let StartPosition::SparkCheckpoint(location) = &config.start {
                tokio.block_on(spark_checkpoint::read(&open_location(location)?))?;
            }
            Ok(count)
        }
        // Opening standard input would begin to read it.
        SourceConfig::File(config) if config.path == "-" => Ok(1),
        SourceConfig::File(config) => Ok(file::FileSource::new(config)?.count()),
        SourceConfig::Eventsim(config) => {
            eventsim::EventsimSource::new(config)?;
            Ok(usize::try_from(config.topic_partitions).unwrap_or_default())
        }
    }
}

/// All topic partitions of a source, without reading it or joining the group. Blocking.
///
/// # Errors
/// As [`open`].
pub fn topic_partitions(config: &SourceConfig, tokio: &tokio::runtime::Handle) -> Result<Vec<TopicPartition>> {
    if let SourceConfig::Kafka(config) = config {
        return kafka::all_topic_partitions(config);
    }
    let mut source = open(config, tokio, |url| Err(Error::fatal(format!("{url} is not needed to count"))))?;
    match source.poll(Duration::ZERO)? {
        Some(SourceEvent::Assigned(topic_partitions)) => Ok(topic_partitions),
        _ => Ok(Vec::new()),
    }
}

/// What a source knows of a topic partition at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownOffsets {
    /// The first offset that is still there.
    pub earliest: i64,
    /// The end, exclusive (Kafka: the last stable offset), where it is known.
    pub latest: Option<i64>,
    /// What the group has committed.
    pub committed: Option<i64>,
    /// What the topic is beyond its name.
    pub identity: String,
}

/// What the source knows of these topic partitions, without joining the group or reading. Blocking. Those that it does not
/// have are left out; sources without a server know nothing.
///
/// # Errors
/// The brokers do not answer.
pub fn known_offsets(
    config: &SourceConfig,
    topic_partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, KnownOffsets>> {
    match config {
        SourceConfig::Kafka(config) => kafka::known_offsets(config, topic_partitions),
        SourceConfig::File(_) | SourceConfig::Eventsim(_) => Ok(BTreeMap::new()),
    }
}

/// The id of a Kafka cluster, as it was given when its storage was formatted. Blocking, for at most `patience`. `None`: no
/// broker answers in time.
pub fn kafka_cluster_id(brokers: &str, patience: Duration) -> Option<String> {
    kafka::cluster_id(brokers, patience)
}

/// About `count` messages, without joining the group or committing anything: of Kafka the latest, of other sources the
/// first. Blocking.
///
/// # Errors
/// As [`open`]; and standard input, which would be used up by it.
pub fn sample(config: &SourceConfig, tokio: &tokio::runtime::Handle, count: usize) -> Result<Vec<SourceBatch>> {
    let mut source: Box<dyn Source> = match config {
        SourceConfig::Kafka(config) => return kafka::sample(config, count),
        SourceConfig::File(config) if config.path == "-" => {
            return Err(Error::config("standard input cannot be read for a sample").hint("give --sample 0"));
        }
        _ => open(config, tokio, |url| Err(Error::fatal(format!("{url} is not needed for a sample"))))?,
    };
    let Some(SourceEvent::Assigned(topic_partitions)) = source.poll(Duration::ZERO)? else { return Ok(Vec::new()) };
    let first = source.first_positions(&topic_partitions)?;
    let from: Vec<_> = topic_partitions.into_iter().zip(first).collect();
    let wakes: Vec<Wake> = from.iter().map(|_| Arc::new(|| {}) as Wake).collect();
    let share = (count / from.len().max(1)).max(1);
    let mut found = Vec::new();
    for mut reader in source.begin(&from, &wakes)? {
        let mut left = share;
        // These sources never wait for anybody.
        while left > 0
            && let Read::Batch(batch) = reader.read(left)?
        {
            left = left.saturating_sub(batch.messages.len());
            found.push(batch);
        }
    }
    Ok(found)
}

/// Whether a source's servers can be reached, as its client says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Reach {
    /// Servers that there are.
    pub brokers: u64,
    /// Of these, those that the client is connected to. It connects to those that it needs.
    pub connected: u64,
    /// Of these, those that it tries to connect to and does not reach.
    pub unreachable: u64,
    /// When one was connected last, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at_ms: Option<i64>,
    /// When the client told of an error last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at_ms: Option<i64>,
    /// That error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A Kafka partition of a topic, or what stands for it in another source. Never a hive partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number within the topic.
    pub partition: i32,
}

impl TopicPartition {
    /// Topic partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// As text: `TOPIC/NUMBER`.
impl Serialize for TopicPartition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicPartition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
        let (topic, partition) = parts.ok_or_else(|| serde::de::Error::custom("expected TOPIC/NUMBER"))?;
        Ok(Self::new(topic, partition))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// One message, borrowed from its [`Messages`].
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Position in its topic partition. Strictly increasing, with gaps.
    pub offset: i64,
    /// Milliseconds since 1970, where the source has one.
    pub timestamp_ms: Option<i64>,
    /// The key, where there is one.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is a null payload (a tombstone).
    pub payload: Option<&'a [u8]>,
}

/// A header of a message: its name, and its value where there is one.
pub type Header = (String, Option<Vec<u8>>);

/// A run of messages of one topic partition, in offset order, held as the source received them (no copy).
pub trait Messages: Send {
    /// Number of messages.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Message `index`, counted from 0. Panics when `index >= len()`.
    fn get(&self, index: usize) -> Message<'_>;
    /// The headers of message `index`; only dead letters ask for them.
    fn headers(&self, index: usize) -> Vec<Header>;
}

/// Messages of one topic partition, and the offset to read next after them.
pub struct SourceBatch {
    /// Whose messages these are.
    pub topic_partition: TopicPartition,
    /// The messages, in offset order.
    pub messages: Box<dyn Messages>,
    /// The offset to read next: exclusive, greater than every offset in `messages`.
    pub next: i64,
}

impl SourceBatch {
    /// The batch without messages before `offset`; `None` when nothing is left.
    pub fn starting_at(self, offset: i64) -> Option<Self> {
        let first = (0..self.messages.len()).position(|index| self.messages.get(index).offset >= offset)?;
        if first == 0 {
            return Some(self);
        }
        let messages = Box::new(Tail { messages: self.messages, first });
        Some(Self { messages, ..self })
    }
}

/// Messages without the first few.
struct Tail {
    messages: Box<dyn Messages>,
    first: usize,
}

impl Messages for Tail {
    fn len(&self) -> usize {
        self.messages.len() - self.first
    }

    fn get(&self, index: usize) -> Message<'_> {
        self.messages.get(self.first + index)
    }

    fn headers(&self, index: usize) -> Vec<Header> {
        self.messages.headers(self.first + index)
    }
}

/// What a reader found.
pub enum Read {
    /// Messages. Never empty.
    Batch(SourceBatch),
    /// Nothing at the moment; the waker is called when there is more.
    Empty,
    /// The end of the topic partition as it is now. `next` may lie beyond the last message (transaction markers,
    /// compaction), and more may come.
    End {
        /// The offset to read next.
        next: i64,
    },
    /// What stood at the position is gone: it has expired before it was read, or the log was made anew. Nothing more comes;
    /// [`Source::after_loss`] says where to go on.
    Expired {
        /// The offset that was to be read next.
        position: i64,
    },
    /// The end for good: a file or a simulation is exhausted.
    Finished {
        /// The offset at which it ends (exclusive).
        next: i64,
    },
}

/// Reads one topic partition, on the worker thread that owns it.
pub trait PartitionReader: Send {
    /// Up to `limit` messages, without waiting.
    fn read(&mut self, limit: usize) -> Result<Read>;

    /// Asks what the topic is, after everything that was read so far: the answer is [`Source::identity`] at some moment
    /// after this call. It may be another one than at the start, if the topic was deleted and created anew meanwhile, and
    /// then some of what was read may be of the new one. An answer of `None`: there is no such topic any more, so all that
    /// was read is of the one that there was. No question at all: what this source reads is never replaced under its name.
    fn identity(&self) -> Option<BoxFuture<'static, Result<Option<String>>>> {
        None
    }
}

/// Wakes the worker that waits for a reader. Cheap, may be called from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What happened to this process's share of the topic partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// These (perhaps none) are ours from now on: take them over, then [`Source::begin`].
    Assigned(Vec<TopicPartition>),
    /// These go to another process: finish or drop what is open, then [`Source::release`].
    Revoked(Vec<TopicPartition>),
    /// These have gone already (session expired): drop what is open, then [`Source::release`].
    Lost(Vec<TopicPartition>),
}

/// A source of events. Blocking calls are bounded by the source's own time-outs.
pub trait Source: Send {
    /// Serves the source's own queue (group membership) for at most `wait`; to be called all the time.
    fn poll(&mut self, wait: Duration) -> Result<Option<SourceEvent>>;

    /// What a topic partition is, beyond its name: Kafka's topic id, a file's path and head hash, a simulation's seed.
    /// Stands in every record, so that a topic deleted and created anew is noticed.
    fn identity(&mut self, topic_partition: &TopicPartition) -> Result<String>;

    /// Where each topic partition starts when it has no record yet (`start = ...` of the configuration).
    fn first_positions(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>>;

    /// The end of each topic partition at this moment (Kafka: the last stable offset), exclusive. `None`: it has no end
    /// that is known beforehand, and its reader says [`Read::Finished`].
    fn ends(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>>;

    /// Starts reading each topic partition at exactly the given offset. `wakes[i]` is called when reader i has something.
    /// May be called again for a topic partition that is being read: the old reader must have been dropped, and the new
    /// one starts at the new offset.
    fn begin(&mut self, from: &[(TopicPartition, i64)], wakes: &[Wake]) -> Result<Vec<Box<dyn PartitionReader>>>;

    /// Gives topic partitions up after a revoke or loss; their readers were dropped.
    fn release(&mut self, topic_partitions: &[TopicPartition]) -> Result<()>;

    /// Commits `next` offsets to the group: for lag tools and as a hint, never the truth. Does not wait.
    fn acknowledge(&mut self, next: &[(TopicPartition, i64)]) -> Result<()>;

    /// Whether the group still assigns this topic partition to us, asked by a synchronous commit of `next`, which a stale
    /// generation is refused. `None`: no answer.
    fn still_assigned(&mut self, topic_partition: &TopicPartition, next: i64) -> Option<bool>;

    /// A reader said [`Read::Expired`] at `position`: the first offset that is left, where the user wants the gap to be
    /// recorded and reading to go on.
    ///
    /// # Errors
    /// The user wants it to stop (the default); or it is no expiry, because nothing after `position` exists.
    fn after_loss(&mut self, topic_partition: &TopicPartition, position: i64) -> Result<i64> {
        Err(Error::fatal(format!("offset {position} of {topic_partition} is gone, and this source keeps everything")))
    }

    /// Messages between our position and the end, where the source knows it without asking anyone.
    fn lag(&self, topic_partition: &TopicPartition) -> Option<i64>;

    /// Whether its servers can be reached, where there are any.
    fn reach(&self) -> Option<Reach> {
        None
    }
}

/// Messages that own their bytes: for sources that make or copy them.
#[derive(Debug, Default)]
pub struct OwnedMessages {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<Vec<Header>>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<(usize, usize)>,
    payload: Option<(usize, usize)>,
}

impl OwnedMessages {
    /// Appends a message without headers.
    pub fn push(&mut self, message: Message<'_>) {
        let mut keep = |part: Option<&[u8]>| {
            part.map(|part| {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(part);
                (start, self.bytes.len())
            })
        };
        let key = keep(message.key);
        let payload = keep(message.payload);
        self.entries.push(Entry { offset: message.offset, timestamp_ms: message.timestamp_ms, key, payload });
    }

    /// Appends a message whose payload `write` appends to the buffer.
    pub fn push_with(&mut self, offset: i64, timestamp_ms: Option<i64>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let payload = Some((start, self.bytes.len()));
        self.entries.push(Entry { offset, timestamp_ms, key: None, payload });
    }

    /// The offset after the last message; `None` when there is none.
    pub fn next_offset(&self) -> Option<i64> {
        self.entries.last().map(|entry| entry.offset + 1)
    }

    /// Sets the headers of the last message.
    pub fn set_headers(&mut self, headers: Vec<Header>) {
        self.headers.resize(self.entries.len(), Vec::new());
        if let Some(last) = self.headers.last_mut() {
            *last = headers;
        }
    }
}

impl Messages for OwnedMessages {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn get(&self, index: usize) -> Message<'_> {
        let entry = &self.entries[index];
        let slice = |range: Option<(usize, usize)>| range.map(|(start, end)| &self.bytes[start..end]);
        Message {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: slice(entry.key),
            payload: slice(entry.payload),
        }
    }

    fn headers(&self, index: usize) -> Vec<Header> {
        self.headers.get(index).cloned().unwrap_or_default()
    }
}

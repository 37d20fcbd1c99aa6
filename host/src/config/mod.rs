//! The pipeline file, validated.
//!
//! [`Config`] is what the rest of the program sees: every value is present, checked, resolved and in its own type.
//! The raw file, its key names and its mistakes are known only to the submodules that parse it; nothing later validates
//! again.

mod admin;
mod dead_letters;
#[cfg(test)]
mod documented;
mod file;
mod load;
mod mistake;
mod registered;
mod schema_registry;
pub mod secret;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod transform;
mod value;
mod webhook;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::dead_letters::{DeadLettersConfig, Redaction};
pub use self::file::{Surroundings, Variable, read_small as read_referenced_file};
pub use self::load::load_schema;
pub use self::mistake::{Mistake, Mistakes};
pub use self::registered::fetch as registered_columns;
pub use self::schema_registry::{Evolution, OnIncompatible, RegistryAuth, SchemaRegistryConfig, TableSchema, Version};
pub use self::secret::{Secret, Settings};
pub use self::source::EVENTSIM_TOPICS;
pub use self::table::{TIME_PARTITIONS, type_name};
pub use self::webhook::WebhookConfig;
use crate::decode::Format;
use crate::decode::schema::EventSchema;
use crate::signature::PublicKey;
use crate::storage::StorageOptions;

/// One pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[pipeline] name`.
    pub name: String,
    /// `[source.*]`.
    pub source: SourceConfig,
    /// `format` of the source: what its messages are.
    pub format: Format,
    /// `[schema_registry]`; there is one where messages need it.
    pub schema_registry: Option<SchemaRegistryConfig>,
    /// `[schema]`: the fields of one event, in column order.
    pub schema: EventSchema,
    /// `[[transforms]]`, in order. Empty: events go to the table as they are.
    pub transforms: Vec<TransformConfig>,
    /// `[pipeline] transforms = "deployed"`: the transforms are those of the newest deployment, and `transforms` is empty.
    pub deployed: bool,
    /// `[registry]`.
    pub registry: RegistryConfig,
    /// `[breaker]`.
    pub breaker: BreakerConfig,
    /// `[admin]`; `None`: no admin API.
    pub admin: Option<AdminConfig>,
    /// `[table]`.
    pub table: TableConfig,
    /// `[dead_letters]`.
    pub dead_letters: DeadLettersConfig,
    /// `[checkpoint]`.
    pub checkpoint: CheckpointConfig,
    /// `[webhook]`; `None`: nobody is told of new hive partitions.
    pub webhook: Option<WebhookConfig>,
    /// `[storage]`: how the files of all three locations are written.
    pub storage: StorageOptions,
    /// `[limits]`.
    pub limits: LimitsConfig,
}

/// Where events come from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceConfig {
    /// `[source.kafka]`
    Kafka(KafkaConfig),
    /// `[source.file]`
    File(FileConfig),
    /// `[source.eventsim]`
    Eventsim(EventsimConfig),
}

/// `[source.kafka]`.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub brokers: String,
    /// At least one.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Where a topic partition without records starts.
    pub start: StartPosition,
    /// What to do when messages have expired before they were read.
    pub on_data_loss: OnDataLoss,
    /// librdkafka settings, without those that the protocol depends on (refused when the file is read).
    pub options: Settings,
}

/// `on_data_loss = ...`: messages have expired in Kafka before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDataLoss {
    /// The topic partition stops, and an operator decides.
    Stop,
    /// A record of the gap stands in the chain, and reading goes on at the first message that is left.
    Record,
}

/// `start = ...`: where a topic partition without records starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartPosition {
    /// The first offset that Kafka still has.
    Earliest,
    /// The end at that moment.
    Latest,
    /// The first message at or after this time, in milliseconds since 1970.
    Timestamp(i64),
    /// What the group has committed; a topic partition without a committed offset is an error.
    Group,
    /// The offsets of a Spark Structured Streaming checkpoint directory (a location).
    SparkCheckpoint(String),
}

/// `[source.file]`: JSON lines.
#[derive(Debug, Clone, PartialEq)]
pub struct FileConfig {
    /// A path, a glob, or `-` for standard input.
    pub path: String,
}

/// `[source.eventsim]`: the built-in simulator.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsimConfig {
    /// `listen_events`, `page_view_events`, `auth_events` or `status_change_events`.
    pub topic: String,
    /// How many topic partitions, each with users of its own.
    pub topic_partitions: i32,
    /// Events of all topic partitions together.
    pub events: u64,
    /// Same seed, same events.
    pub seed: u64,
    /// Share of events with a fault (malformed, missing user, impossible coordinates, ...), 0 to 1.
    pub faults: f64,
}

/// One `[[transforms]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformConfig {
    /// Its name in records, dead letters and metrics.
    pub name: String,
    /// Where its module comes from: a file, resolved against the pipeline file's directory; for a deployed one
    /// `NAME@VERSION`.
    pub module: PathBuf,
    /// The version that it was pushed as; of a file, what the module says of itself counts.
    pub version: Option<String>,
    /// Scalars as TOML writes them; anything else as JSON text.
    pub settings: Settings,
    /// Memory, deadline and output limits.
    pub limits: GuestLimits,
    /// What follows when it fails on a batch.
    pub on_failure: FailurePolicy,
}

/// What a guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLimits {
    /// Bytes of linear memory of one instance. Default 64 MiB.
    pub memory_bytes: usize,
    /// Time for one call. Default 1 s.
    pub deadline: Duration,
    /// Bytes that one call may hand back. Default 64 MiB.
    pub output_bytes: usize,
    /// Bytes of memory beyond which an instance is replaced after its batch. Default: three quarters of the memory, or
    /// more when the guest needs as much from the start.
    pub high_water_bytes: Option<usize>,
    /// Log lines per second of all instances together; ten seconds' worth may come at once. Default 10.
    pub log_lines: u32,
    /// Bytes of log lines per second; the same. Default 8 KiB.
    pub log_bytes: usize,
    /// Names of counters and histograms. Default 64.
    pub metrics: usize,
    /// Instances of one host, at least 1; workers that have none wait for their turn. Default: one for each worker.
    pub instances: Option<usize>,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            deadline: Duration::from_secs(1),
            output_bytes: 64 << 20,
            high_water_bytes: None,
            log_lines: 10,
            log_bytes: 8 << 10,
            metrics: 64,
            instances: None,
        }
    }
}

impl GuestLimits {
    /// The high-water mark of instances that have `at_start` bytes before their first batch.
    pub fn high_water(&self, at_start: usize) -> usize {
        let roomy = (self.memory_bytes / 4 * 3).max(at_start.midpoint(self.memory_bytes));
        self.high_water_bytes.unwrap_or(roomy)
    }
}

/// What follows when a transform traps, passes its deadline, or answers with an error or a bad output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// The rows that make it fail become dead letters.
    #[default]
    DeadLetter,
    /// The topic partition stops.
    Stop,
    /// The rows that make it fail go on as they came. Only for a transform without which a row still fits the table.
    Skip,
}

/// `[table]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TableConfig {
    /// `hdfs://host:port/path`, `file:///path`, or an absolute path (a relative one was resolved against the working directory).
    pub location: String,
    /// The column that holds the event time.
    pub event_time: EventTime,
    /// `year`, `month`, `day`, `hour` (of the event time, UTC) or names of columns.
    pub partition_by: Vec<String>,
    /// Codec of the Parquet files.
    pub compression: Compression,
    /// How columns are encoded whose encoding is not left to their first rows, by name.
    pub encodings: BTreeMap<String, ColumnEncoding>,
    /// Open hive partitions per topic partition; rows for more become dead letters. Default 1,000.
    pub max_open_hive_partitions: usize,
    /// Event times later than now plus this become dead letters. Default 1 day.
    pub max_future: Duration,
}

/// The event time's column and unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// Its name.
    pub column: String,
    /// The unit of an integer column; a timestamp column has its own.
    pub unit: TimeUnit,
}

/// Unit of an integer event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

/// How a column is encoded in Parquet, where that is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnEncoding {
    /// Values as they are.
    Plain,
    /// Each different value once.
    Dictionary,
    /// Whole numbers and times as differences.
    Delta,
    /// The first bytes of all numbers, then their second ones, and so on.
    ByteStreamSplit,
}

/// Codec of the Parquet files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd, level 1.
    Zstd,
    /// Snappy.
    Snappy,
    /// None.
    Uncompressed,
}

/// `[registry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Where uploaded transforms and the log of deployments lie.
    pub location: String,
    /// Whose signatures are good; empty: modules need not be signed.
    pub keys: Vec<PublicKey>,
}

/// `[breaker]`: when a deployment is taken out of use because its transforms keep failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerConfig {
    /// More rows than these that transforms fail on, on one host. Default 10,000.
    pub failures: u64,
    /// In this time. Default 1 min.
    pub within: Duration,
    /// What follows. Default: the pipeline is paused.
    pub then: Then,
}

/// What follows when a deployment keeps failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The pipeline is paused until an operator looks.
    Pause,
    /// The deployment before it runs again. If that keeps failing as well, or there is none, the pipeline is paused.
    FallBack,
    /// Nothing: failures become dead letters, however many.
    GoOn,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 10_000, within: Duration::from_secs(60), then: Then::Pause }
    }
}

/// `[admin]`: the HTTP API of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens. Default 127.0.0.1:8780.
    pub listen: SocketAddr,
    /// The file that says who may do what; without one whoever reaches a loopback address may do everything.
    pub tokens: Option<PathBuf>,
    /// `[admin.tls]`; without it the API is plain HTTP.
    pub tls: Option<AdminTls>,
}

impl AdminConfig {
    /// Where the API listens by default.
    pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8780);
}

/// `[admin.tls]`: files in PEM format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// The host's certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs clients' certificates; with it a client needs one beside its token.
    pub client_ca: Option<PathBuf>,
}

/// `[checkpoint]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// Where the chain lives.
    pub location: String,
    /// A range ends at this age. Default 60 s.
    pub interval: Duration,
    /// A range ends when one of its files reaches this size, in bytes. Default 128 MB.
    pub target_file_size: u64,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Worker threads. Default: the number of cores.
    pub workers: usize,
    /// Bytes for all open files together. Default 256 MB.
    pub memory_budget: usize,
    /// Rows of one batch. Default 1,024.
    pub batch_rows: usize,
    /// How long SIGTERM may take to finish the last checkpoint. Default 30 s.
    pub shutdown: Duration,
}

//! What every host of a pipeline does at this moment.
//!
//! A run puts what it knows on its [`Board`]. Every few seconds the board's [`HostStatus`] is written into the pipeline's
//! storage, beside the log of deployments, so that anybody who can read the storage sees all hosts; a host that has written
//! nothing for [`LIVING`] is taken for dead. Nothing that decides about rows or offsets reads any of it.

mod board;
pub mod lines;
pub mod metrics;
mod post;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::board::Board;
pub use self::post::{Post, Posted};
use crate::schema_registry::RegistryHealth;
use crate::source::{Reach, TopicPartition};
use crate::storage::Health;
use crate::transform::{MetricSnapshot, TransformCounts};

/// How often a host writes.
pub const EVERY: Duration = Duration::from_secs(10);

/// A host that has written within this time lives.
pub const LIVING: Duration = Duration::from_secs(35);

/// One host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostStatus {
    /// Its id: one for each run.
    pub host: String,
    /// `user@machine`, as records of operators have it.
    pub machine: String,
    /// Its process.
    pub pid: u32,
    /// The version of wasmill.
    pub version: String,
    /// Milliseconds since 1970.
    pub started_at_ms: i64,
    /// When this was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// The deployment that runs everywhere but on a canary's topic partitions. 0: the one that the pipeline file fixes.
    pub deployment: u64,
    /// The deployment on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<u64>,
    /// Whether the pipeline is paused.
    pub paused: bool,
    /// What it could not do lately: a deployment that does not run here, storage that does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Its topic partitions.
    pub topic_partitions: Vec<TopicPartitionStatus>,
    /// Its transforms by deployment.
    #[schema(value_type = BTreeMap<String, Vec<TransformCounts>>)]
    pub transforms: BTreeMap<u64, Vec<TransformCounts>>,
    /// Since it started: messages read, rows written, rows filtered, dead letters, ranges committed.
    pub totals: Totals,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Bytes that open files hold of the memory budget.
    #[serde(default)]
    pub held_bytes: u64,
    /// The memory budget in bytes. 0: an older host, which does not tell.
    #[serde(default)]
    pub budget_bytes: u64,
    /// At which age a range ends, in seconds. 0: an older host, which does not tell.
    #[serde(default)]
    pub checkpoint_interval_s: f64,
    /// How often a deployment failed here more than `[breaker]` lets pass, whatever was done about it.
    #[serde(default)]
    pub breaker_trips: u64,
    /// What the guests count themselves, by deployment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<MetricSnapshot>>)]
    pub guest_metrics: BTreeMap<u64, Vec<MetricSnapshot>>,
    /// Whether Kafka can be reached; `None`: another source, an older host, or nothing is known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Reach>,
    /// Whether the storages answer, by what lies there: `checkpoints`, `table`, `dead-letters`, `registry`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storage: BTreeMap<String, Health>,
    /// Whether the schema registry answers, and which ids messages wait for; `None`: the pipeline has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_registry: Option<RegistryHealth>,
}

/// What a host has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Totals {
    /// Messages read.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Rows filtered.
    pub filtered: u64,
    /// Dead letters.
    pub dead_lettered: u64,
    /// Ranges committed.
    pub committed: u64,
}

/// One topic partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopicPartitionStatus {
    /// Which one.
    #[schema(value_type = String)]
    pub topic_partition: TopicPartition,
    /// What is done with it.
    pub state: TopicPartitionState,
    /// The next offset after what is committed, where it is known.
    pub committed: Option<i64>,
    /// Messages between the position and the end, where it is known.
    pub lag: Option<i64>,
    /// The deployment of the last committed range, where there is one.
    pub deployment: Option<u64>,
    /// When this host committed a range of it last, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at_ms: Option<i64>,
    /// Why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is done with a topic partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TopicPartitionState {
    /// Its chain is taken over, or waits for that.
    Starting,
    /// It is read.
    Running,
    /// What is open is committed, then it is given back or waits.
    Ending,
    /// It failed and is tried again soon.
    Retrying,
    /// It reached its end.
    Done,
    /// An operator is needed.
    Stopped,
    /// The pipeline is paused.
    Paused,
}

#[cfg(test)]
mod tests;

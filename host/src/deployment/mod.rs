//! Deployments: which transforms, which versions, which settings; and the log of them, one per pipeline.
//!
//! ```text
//! deploy ──► Request ──► Proposal (describe, compare, try on recent events) ──► Log::append
//!                                                                                    │ every host looks every 2 s
//!                                                           load (compile, link) ◄───┘ ──► swap at the next range
//! ```
//!
//! The log is create-only and numbered: of two operators who deploy at once, one wins and the other is told what won. Its
//! newest [`Entry`] says everything that hosts need: which deployment runs, and whether the pipeline is paused.
//!
//! This module knows nothing of topic partitions and ranges; when a deployment takes effect is the pipeline's business.

pub mod breaker;
mod contract;
pub mod difference;
pub mod judge;
mod load;
mod log;
pub mod order;
mod proposal;
pub mod rehearsal;
mod request;
pub mod sampled;
mod setting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize};

use self::judge::Bounds;
pub use self::load::load;
pub use self::log::{Draft, Log};
pub use self::proposal::Proposal;
pub use self::request::{Placement, Request};
pub use self::setting::Setting;
use crate::checkpoint::Id;
use crate::config::{FailurePolicy, GuestLimits, TransformConfig};
use crate::error::Result;
use crate::registry::Reference;
use crate::source::TopicPartition;

/// The newest format of an entry that this program reads, and the one that it writes.
pub const FORMAT: u64 = 1;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// The format of this file.
    pub format: u64,
    /// Its number in the log, from 1.
    pub number: u64,
    /// Its own random id, which tells our entry from one that says the same.
    #[schema(value_type = String)]
    pub id: Id,
    /// What was done.
    pub action: Action,
    /// What runs from here on.
    pub deployment: Deployment,
    /// What runs beside it on some topic partitions, on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Whether nothing is read until it is resumed.
    pub paused: bool,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// `user@machine`.
    pub by: String,
    /// Why.
    pub note: String,
}

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Other transforms, versions or settings.
    Deploy,
    /// Back to what an earlier entry had.
    Rollback {
        /// That entry's deployment.
        to: u64,
    },
    /// The same, by a host of its own: the deployment kept failing.
    FallBack {
        /// That entry's deployment.
        to: u64,
    },
    /// Another deployment on some topic partitions.
    Canary,
    /// The canary runs everywhere from here on.
    Promote,
    /// The canary runs nowhere from here on.
    Abort,
    /// Nothing is read from here on.
    Pause,
    /// Reading goes on.
    Resume,
}

/// A deployment on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Canary {
    /// What runs there. Its number is that of the entry that began the trial.
    pub deployment: Deployment,
    /// Where it runs.
    #[schema(value_type = Vec<String>)]
    pub topic_partitions: BTreeSet<TopicPartition>,
    /// How much worse it may do before hosts end the trial by themselves.
    #[serde(default)]
    pub bounds: Bounds,
}

/// Which transforms, which versions, which settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deployment {
    /// The number of the entry that brought it; records of the chain name it by this.
    pub number: u64,
    /// In order.
    pub transforms: Vec<Deployed>,
    /// The columns that leave the last transform.
    pub columns: Vec<Column>,
}

/// One transform of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deployed {
    /// Its name in the pipeline: mostly that of the transform.
    pub name: String,
    /// The transform's name in the registry.
    pub transform: String,
    /// Its version.
    #[schema(value_type = String)]
    pub version: Version,
    /// sha256 of its module, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Its settings.
    pub settings: BTreeMap<String, Setting>,
    /// What it may use.
    pub limits: Limits,
    /// What follows when it fails on a row.
    pub on_failure: FailurePolicy,
}

/// [`GuestLimits`] as they stand in a file: what is absent has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Limits {
    /// Bytes of linear memory of one instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<usize>,
    /// Milliseconds for one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Bytes that one call may hand back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<usize>,
    /// Bytes of memory beyond which an instance is replaced after its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_water_bytes: Option<usize>,
    /// Log lines per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines: Option<u32>,
    /// Bytes of log lines per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<usize>,
    /// Names of counters and histograms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<usize>,
    /// Instances on one host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
}

/// A column that leaves a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as a pipeline file writes it.
    pub r#type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

impl Column {
    /// The columns of a schema.
    pub fn of(schema: &arrow::datatypes::Schema) -> Vec<Self> {
        let column = |field: &std::sync::Arc<arrow::datatypes::Field>| Self {
            name: field.name().clone(),
            r#type: crate::config::type_name(field.data_type()),
            nullable: field.is_nullable(),
        };
        schema.fields().iter().map(column).collect()
    }
}

impl Limits {
    fn resolve(&self) -> GuestLimits {
        let default = GuestLimits::default();
        GuestLimits {
            memory_bytes: self.memory_bytes.unwrap_or(default.memory_bytes),
            deadline: self.deadline_ms.map_or(default.deadline, Duration::from_millis),
            output_bytes: self.output_bytes.unwrap_or(default.output_bytes),
            high_water_bytes: self.high_water_bytes.or(default.high_water_bytes),
            log_lines: self.log_lines.unwrap_or(default.log_lines),
            log_bytes: self.log_bytes.unwrap_or(default.log_bytes),
            metrics: self.metrics.unwrap_or(default.metrics),
            instances: self.instances.or(default.instances),
        }
    }
}

impl Deployed {
    /// `NAME@VERSION`, as it was pushed.
    pub fn reference(&self) -> Reference {
        Reference { name: self.transform.clone(), version: Some(self.version.clone()) }
    }

    /// What the engine takes, with this host's environment and files.
    ///
    /// # Errors
    /// A setting refers to a variable or file that this host does not have.
    pub fn resolve(&self) -> Result<TransformConfig> {
        let mut settings = crate::config::Settings::default();
        for (name, setting) in &self.settings {
            setting.resolve(&self.name, name)?.put(name, &mut settings);
        }
        Ok(TransformConfig {
            name: self.name.clone(),
            module: self.reference().to_string().into(),
            version: Some(self.version.to_string()),
            settings,
            limits: self.limits.resolve(),
            on_failure: self.on_failure,
        })
    }
}

#[cfg(test)]
mod tests;

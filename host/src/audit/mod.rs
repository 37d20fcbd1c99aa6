//! The audit of a table: whether it is what its checkpoints say, for users, on their own table.
//!
//! From the chains (records and archive files) and the footers of the Parquet files alone. [`gather`] looks, in an order that
//! lets it run beside a living writer; [`judge`] concludes, and is pure. [`audit`] does both on any storage, without a
//! thread or a clock of its own, so that a simulation can ask it, too. [`repair`] plans and does what has one safe answer.
//!
//! It never writes. It does not read rows, unless asked to go deep, and then only where they carry offsets. It cannot tell
//! whether the values in a row are right, nor, of a job downstream that rewrote files, whether it did so faithfully.

pub mod facts;
mod files;
mod findings;
mod gather;
mod judge;
mod judge_files;
mod offsets;
pub mod position;
pub mod print;
pub mod repair;
pub mod replays;
mod report;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use indicatif::ProgressBar;

pub use self::facts::Part;
pub use self::findings::{Code, Finding, Severity};
pub(crate) use self::gather::look_again;
pub use self::gather::{chains, gather};
pub use self::judge::judge;
pub use self::report::{DeploymentRange, DeploymentReport, OffsetRange, Report, TopicPartitionReport, Totals};
pub use self::view::ChainView;
use crate::chain::Chain;
use crate::checkpoint::{FORMAT, Protocol, Retention};
use crate::config::Config;
use crate::error::Result;
use crate::runtime::Runtime;
use crate::source::TopicPartition;
use crate::storage::{self, Location};
use crate::table::dead_letters::expiry;

/// What is audited.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The pipeline's name.
    pub pipeline: String,
    /// The checkpoints.
    pub checkpoints: Location,
    /// The table.
    pub table: Location,
    /// The dead letters.
    pub dead_letters: Location,
    /// The first hive partition of the dead letters that has not expired; `None`: none expires.
    pub first_kept: Option<String>,
}

/// How an audit looks.
#[derive(Debug, Clone)]
pub struct Options {
    /// Read offsets row by row, where rows carry them.
    pub deep: bool,
    /// Files of other writers in the table are in order.
    pub foreign_files: bool,
    /// Shows how far it is.
    pub progress: ProgressBar,
}

impl Default for Options {
    fn default() -> Self {
        Self { deep: false, foreign_files: false, progress: ProgressBar::hidden() }
    }
}

impl Subject {
    /// What a pipeline file names.
    ///
    /// # Errors
    /// A location that is none.
    pub fn open(config: &Config) -> Result<Self> {
        Ok(Self {
            pipeline: config.name.clone(),
            checkpoints: storage::open(&config.checkpoint.location, &config.storage)?,
            table: storage::open(&config.table.location, &config.storage)?,
            dead_letters: storage::open(&config.dead_letters.location, &config.storage)?,
            first_kept: config
                .dead_letters
                .retention
                .map(|retention| expiry::first_kept(retention, jiff::Timestamp::now().as_millisecond())),
        })
    }

    fn parts(&self) -> [(Part, &Location); 2] {
        [(Part::Table, &self.table), (Part::DeadLetters, &self.dead_letters)]
    }

    /// The chain of a topic partition whose records say `topic_identity`, to be changed by an operator's command.
    pub fn chain(
        &self,
        topic_partition: &TopicPartition,
        topic_identity: &str,
        runtime: Arc<dyn Runtime>,
    ) -> Arc<Chain> {
        Arc::new(Chain {
            topic_partition: topic_partition.clone(),
            topic_identity: topic_identity.to_owned(),
            pipeline: self.pipeline.clone(),
            checkpoints: self.checkpoints.clone(),
            table: self.table.clone(),
            dead_letters: self.dead_letters.clone(),
            protocol: Protocol::default(),
            newest_format: FORMAT,
            retention: Retention::default(),
            runtime,
        })
    }
}

/// Looks and judges. The source is not asked: see [`facts::Facts::source`].
///
/// # Errors
/// The storage does not answer; what is wrong with the table is a finding, not an error.
pub async fn audit(subject: &Subject, options: &Options) -> Result<Report> {
    Ok(judge(&gather(subject, options).await?))
}

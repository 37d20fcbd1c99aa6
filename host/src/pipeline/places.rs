//! Where the parts of a pipeline live and what they are made with: the same for all its topic partitions.

use std::sync::Arc;

use super::ready::Ready;
use crate::audit::Subject;
use crate::chain::{Chain, TakeOver};
use crate::checkpoint::{DeploymentRecord, FORMAT, Occasion, Protocol, Retention};
use crate::config::Config;
use crate::error::Result;
use crate::runtime::Runtime;
use crate::sink::dead_letter;
use crate::sink::part_file::PartFileOptions;
use crate::sink::range::RangeContext;
use crate::sink::stage::{Memory, Staging};
use crate::source::TopicPartition;
use crate::storage::{self, Location};

/// What all topic partitions of a pipeline share.
#[derive(Clone)]
pub struct Places {
    /// The pipeline's name.
    pub pipeline: String,
    /// The checkpoints.
    pub checkpoints: Location,
    /// The table.
    pub table: Location,
    /// The dead letters' table.
    pub dead_letters: Location,
    /// The rules of the chain.
    pub protocol: Protocol,
    /// How much of the chain is kept.
    pub retention: Retention,
    /// Tasks, time and randomness.
    pub runtime: Arc<dyn Runtime>,
    /// The budget of all open files.
    pub memory: Arc<Memory>,
    /// Which transforms make the rows.
    pub deployment: DeploymentRecord,
    /// How the table's files are encoded.
    pub options: PartFileOptions,
    /// How the dead letters' files are encoded.
    pub dead_letter_options: PartFileOptions,
    /// Hive partitions of the table that one range may have open; rows for more become dead letters.
    pub max_open_hive_partitions: usize,
}

impl Places {
    /// The places that a pipeline file names, for rows of the deployment `ready`.
    ///
    /// # Errors
    /// A location that is none.
    pub fn open(config: &Config, ready: &Ready, runtime: &Arc<dyn Runtime>) -> Result<Self> {
        Ok(Self {
            pipeline: config.name.clone(),
            checkpoints: storage::open(&config.checkpoint.location, &config.storage)?,
            table: storage::open(&config.table.location, &config.storage)?,
            dead_letters: storage::open(&config.dead_letters.location, &config.storage)?,
            protocol: Protocol::default(),
            retention: Retention::default(),
            runtime: Arc::clone(runtime),
            memory: Memory::new(config.limits.memory_budget),
            deployment: ready.record.clone(),
            options: ready.options.clone(),
            dead_letter_options: PartFileOptions::new(
                dead_letter::schema(),
                config.table.compression,
                config.checkpoint.target_file_size,
            )?,
            max_open_hive_partitions: config.table.max_open_hive_partitions,
        })
    }

    /// The same places, for an audit.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            pipeline: self.pipeline.clone(),
            checkpoints: self.checkpoints.clone(),
            table: self.table.clone(),
            dead_letters: self.dead_letters.clone(),
            first_kept: None,
        }
    }

    /// The chain of a topic partition whose topic has this identity.
    pub(crate) fn chain(&self, topic_partition: &TopicPartition, topic_identity: String) -> Arc<Chain> {
        Arc::new(Chain {
            topic_partition: topic_partition.clone(),
            topic_identity,
            pipeline: self.pipeline.clone(),
            checkpoints: self.checkpoints.clone(),
            table: self.table.clone(),
            dead_letters: self.dead_letters.clone(),
            protocol: self.protocol,
            newest_format: FORMAT,
            retention: self.retention,
            runtime: Arc::clone(&self.runtime),
        })
    }

    /// What the ranges of a take-over share.
    pub(super) fn context(&self, take_over: &TakeOver) -> Arc<RangeContext> {
        self.context_on(take_over, Occasion::Pass(take_over.pass))
    }

    /// What the rows share that a take-over writes on this occasion.
    pub(crate) fn context_on(&self, take_over: &TakeOver, occasion: Occasion) -> Arc<RangeContext> {
        Arc::new(RangeContext {
            topic_partition: take_over.chain().topic_partition.clone(),
            pipeline: self.pipeline.clone(),
            take_over: take_over.id,
            occasion,
            deployment: self.deployment.clone(),
            options: self.options.clone(),
            dead_letter_options: self.dead_letter_options.clone(),
            max_open_hive_partitions: self.max_open_hive_partitions,
            table: self.table.path.clone(),
            staging: self.staging(take_over, &self.table),
            dead_letters: self.dead_letters.path.clone(),
            dead_letter_staging: self.staging(take_over, &self.dead_letters),
        })
    }

    fn staging(&self, take_over: &TakeOver, table: &Location) -> Staging {
        Staging {
            storage: Arc::clone(&table.storage),
            directory: take_over.staging(table),
            runtime: Arc::clone(&self.runtime),
            protocol: self.protocol,
            memory: Arc::clone(&self.memory),
        }
    }
}

//! A deployment made ready to run: its transforms linked, and what follows from their columns for the table's files.

use std::sync::Arc;

use super::stages::Stages;
use super::worker::WorkerDeployment;
use crate::checkpoint::{DeploymentRecord, TransformRecord};
use crate::config::Config;
use crate::decode::json::JsonDecoder;
use crate::decode::schema::EventSchema;
use crate::error::Result;
use crate::sink::hive::HivePartitioner;
use crate::sink::part_file::PartFileOptions;
use crate::transform::{LinkedTransform, TransformChain};

/// A deployment that is ready to run in this process.
pub struct Ready {
    /// What records say of it.
    pub record: DeploymentRecord,
    /// How the table's files are encoded.
    pub options: PartFileOptions,
    /// Its transforms.
    pub chain: Arc<TransformChain>,
    partitioner: HivePartitioner,
    schema: EventSchema,
}

impl Ready {
    /// Deployment `number`, whose transforms are linked. The chain that a pipeline file fixes has number 0.
    ///
    /// # Errors
    /// The columns that leave the chain are not those that the table needs.
    pub fn new(config: &Config, number: u64, chain: TransformChain) -> Result<Self> {
        let partitioner = HivePartitioner::new(&config.table, &chain.output_schema())?;
        let schema = Arc::clone(partitioner.file_schema());
        let record = |transform: &LinkedTransform| TransformRecord {
            name: transform.name.clone(),
            version: transform.version.clone(),
            sha256: transform.module.sha256.clone(),
            settings_digest: transform.settings_digest.clone(),
        };
        Ok(Self {
            record: DeploymentRecord { number, transforms: chain.transforms().iter().map(record).collect() },
            options: PartFileOptions::new(schema, config.table.compression, config.checkpoint.target_file_size)?,
            chain: Arc::new(chain),
            partitioner,
            schema: config.schema.clone(),
        })
    }

    /// Instances for one worker.
    ///
    /// # Errors
    /// A transform cannot be started once more.
    pub fn for_worker(&self) -> Result<WorkerDeployment> {
        let number = self.record.number;
        let decoder = JsonDecoder::new(&self.schema);
        let stages = Stages::new(decoder, Arc::clone(&self.chain), self.partitioner.clone(), number)?;
        Ok(WorkerDeployment { record: self.record.clone(), options: self.options.clone(), stages })
    }
}

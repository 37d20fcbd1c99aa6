//! A deployment made ready to run: its transforms linked, and what follows from their columns for the table's files.

use std::sync::Arc;

use super::stages::{SetAsideHow, Stages};
use super::worker::WorkerDeployment;
use crate::checkpoint::{DeploymentRecord, TransformRecord};
use crate::config::Config;
use crate::decode::Decoding;
use crate::deployment::{self, Log};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::runtime::Runtime;
use crate::schema_registry::Schemas;
use crate::sink::hive::HivePartitioner;
use crate::sink::part_file::PartFileOptions;
use crate::transform::{LinkedTransform, TransformChain, TransformEngine};

/// A deployment that is ready to run in this process.
pub struct Ready {
    /// What records say of it.
    pub record: DeploymentRecord,
    /// How the table's files are encoded.
    pub options: PartFileOptions,
    /// Its transforms.
    pub chain: Arc<TransformChain>,
    partitioner: HivePartitioner,
    /// How messages become rows.
    pub decoding: Decoding,
    set_aside: SetAsideHow,
}

impl Ready {
    /// Deployment `number`, whose transforms are linked. The chain that a pipeline file fixes has number 0.
    ///
    /// # Errors
    /// The columns that leave the chain are not those that the table needs.
    pub fn new(config: &Config, number: u64, chain: TransformChain, decoding: Decoding) -> Result<Self> {
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
            options: PartFileOptions::new(schema, config.table.compression, config.checkpoint.target_file_size)?
                .with_encodings(&config.table.encodings)?,
            chain: Arc::new(chain),
            partitioner,
            decoding,
            set_aside: SetAsideHow {
                redact: config.dead_letters.redact,
                on_incompatible: config.schema_registry.as_ref().map(|one| one.on_incompatible).unwrap_or_default(),
            },
        })
    }

    /// What a pipeline runs: the chain that its file fixes, or deployment `number` of its log, by default the newest.
    ///
    /// # Errors
    /// There is no such deployment, or it cannot run here; the storage does not answer.
    pub async fn chosen(
        config: &Config,
        engine: &TransformEngine,
        number: Option<u64>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let decoding = decoding(config, Arc::clone(&runtime))?;
        if !config.deployed {
            if let Some(number) = number.filter(|number| *number != 0) {
                let message = format!("pipeline {} has no deployment {number}", config.name);
                return Err(Error::config(message).hint("its file fixes the transforms: that is deployment 0"));
            }
            let chain = TransformChain::link(engine, &config.transforms, Arc::clone(&config.schema.arrow))?;
            return Self::new(config, 0, chain, decoding);
        }
        let registry = Registry::open(config, runtime)?;
        let log = Log::new(registry.clone(), &config.name);
        let deployment = match number {
            Some(number) => log.deployment(number).await?,
            None => log.newest().await?.map(|entry| entry.deployment).ok_or_else(|| {
                Error::config(format!("nothing is deployed for pipeline {}", config.name))
                    .hint("`wasmill deploy PIPELINE NAME` deploys what was pushed")
            })?,
        };
        let schema = Arc::clone(&config.schema.arrow);
        let chain = deployment::load(engine, &registry, &deployment.transforms, schema).await?;
        Self::new(config, deployment.number, chain, decoding)
    }

    /// Instances for one worker.
    ///
    /// # Errors
    /// A transform cannot be started once more.
    pub fn for_worker(&self) -> Result<WorkerDeployment> {
        let number = self.record.number;
        let decoder = self.decoding.decoder()?;
        let stages = Stages::new(decoder, Arc::clone(&self.chain), self.partitioner.clone(), number, self.set_aside)?;
        Ok(WorkerDeployment { record: self.record.clone(), options: self.options.clone(), stages })
    }
}

/// How the messages of a pipeline become rows. Made once in a process: all deployments share what is known of schemas.
///
/// # Errors
/// The registry's certificates cannot be read.
pub(crate) fn decoding(config: &Config, runtime: Arc<dyn Runtime>) -> Result<Decoding> {
    let schemas = config.schema_registry.as_ref().map(|registry| Schemas::new(registry, runtime)).transpose()?;
    Ok(Decoding { schema: config.schema.clone(), format: config.format, schemas })
}

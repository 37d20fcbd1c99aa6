//! A deployment before it is accepted: described, compared with the present one, tried on recent events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::difference::{ColumnChange, Difference};
use super::judge::Bounds;
use super::rehearsal::{self, Rehearsal};
use super::{Action, Canary, Column, Deployed, Deployment, Draft, Entry, Log, load};
use crate::config::Config;
use crate::decode::{Decoder, Decoding};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::schema_registry::Schemas;
use crate::sink::hive::HivePartitioner;
use crate::source::{SourceBatch, TopicPartition};
use crate::transform::TransformEngine;

/// What would be deployed, and what it would change.
#[derive(Debug, Serialize)]
pub struct Proposal {
    /// What would run.
    pub deployment: Deployment,
    /// What changes from the present deployment.
    pub difference: Difference,
    /// What becomes of recent events, where there was a sample.
    pub rehearsal: Option<Rehearsal>,
    /// The newest entry of the log when this was made.
    #[serde(skip)]
    present: Option<Entry>,
}

impl Proposal {
    /// Loads and links `transforms` against the pipeline's schema, and tries them on `sample`.
    ///
    /// # Errors
    /// They do not fit the schema, their settings, each other or the table; a transform whose policy is to stop fails on
    /// the sample; the storage does not answer.
    pub async fn new(
        engine: &TransformEngine,
        config: &Config,
        registry: &Registry,
        present: Option<Entry>,
        transforms: Vec<Deployed>,
        sample: &[SourceBatch],
    ) -> Result<Self> {
        let schema = || Arc::clone(&config.schema.arrow);
        let chain = load(engine, registry, &transforms, schema()).await?;
        let output = chain.output_schema();
        HivePartitioner::new(&config.table, &output)?;
        let deployment = Deployment { number: 0, transforms, columns: Column::of(&output) };
        let running = present.as_ref().map(|entry| &entry.deployment);
        let difference = Difference::between(running, &deployment);
        let mut rehearsal = None;
        if !sample.is_empty() {
            let running = match running {
                Some(running) => Some(load(engine, registry, &running.transforms, schema()).await?),
                None => None,
            };
            let mut decoder = decoder(config, registry, sample).await?;
            rehearsal = Some(rehearsal::rehearse(&mut decoder, sample, &chain, running.as_ref())?);
        }
        Ok(Self { deployment, difference, rehearsal, present })
    }

    /// Whether the present deployment is this one already.
    pub fn changes_nothing(&self) -> bool {
        self.present.is_some() && self.difference.is_empty()
    }

    /// Refuses changes of columns that break readers of the whole table.
    ///
    /// # Errors
    /// There are some; each is named.
    pub fn keeps_schema(&self) -> Result<()> {
        let breaking = self.difference.incompatible();
        if breaking.is_empty() {
            return Ok(());
        }
        let line = |change: &&ColumnChange| match change {
            ColumnChange::Added(column) => format!("column {column} would be new"),
            ColumnChange::Removed(column) => format!("column {column} would be missing in new files"),
            ColumnChange::Retyped { from, to } => format!("column {from} would become {to}"),
        };
        let lines: Vec<String> = breaking.iter().map(line).collect();
        Err(Error::config(format!("the table's columns would change for its readers: {}", lines.join("; ")))
            .hint("existing files stay as they are; --allow-schema-change deploys it all the same"))
    }

    /// Refuses a canary that changes columns: files of one table would differ for as long as the trial lasts.
    ///
    /// # Errors
    /// It does, or there is nothing that it could be compared with.
    pub fn may_be_canary(&self) -> Result<()> {
        if self.present.is_none() {
            return Err(
                Error::config("there is no deployment yet beside which a canary could run").hint("leave --canary out")
            );
        }
        if self.difference.columns.is_empty() {
            return Ok(());
        }
        Err(Error::config("this deployment changes the columns of the table, which a canary may not")
            .hint("try it with --dry-run, then deploy it without --canary"))
    }

    /// Appends it to the log; hosts find it within seconds. `canary`: where it is to run, on trial, and how
    /// much worse it may do; `None`: everywhere.
    ///
    /// # Errors
    /// Somebody else deployed meanwhile; the storage does not answer.
    pub async fn accept(
        &self,
        log: &Log,
        action: Action,
        canary: Option<(BTreeSet<TopicPartition>, Bounds)>,
        by: &str,
        note: &str,
    ) -> Result<Entry> {
        let paused = self.present.as_ref().is_some_and(|entry| entry.paused);
        let draft = match (canary, &self.present) {
            (Some((topic_partitions, bounds)), Some(present)) => {
                let canary = Some(Canary { deployment: self.deployment.clone(), topic_partitions, bounds });
                Draft { canary, ..Draft::after(present, Action::Canary) }
            }
            // Whatever was on trial ends with it.
            _ => Draft { action, deployment: self.deployment.clone(), canary: None, paused },
        };
        log.append(self.present.as_ref(), draft, by, note).await
    }
}

/// A decoder that has the schemas of the sample, or has waited for them for long.
async fn decoder(config: &Config, registry: &Registry, sample: &[SourceBatch]) -> Result<Decoder> {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(20);
    let runtime = registry.runtime();
    let schemas =
        config.schema_registry.as_ref().map(|config| Schemas::new(config, Arc::clone(runtime))).transpose()?;
    let mut decoder = Decoding { schema: config.schema.clone(), format: config.format, schemas }.decoder()?;
    let began = runtime.elapsed();
    for batch in sample {
        while !decoder.is_ready(batch) && runtime.elapsed().saturating_sub(began) < PATIENCE {
            runtime.sleep(PAUSE).await;
        }
    }
    Ok(decoder)
}

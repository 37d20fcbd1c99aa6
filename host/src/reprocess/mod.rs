//! A range of a topic, made anew by a given deployment, into a location of its own.
//!
//! It is an ordinary run: the same membership, workers, chain and sink, from a source that holds only these offsets
//! ([`source::open_between`]) and belongs to no group. Table, checkpoints and dead letters lie in the new location, so that
//! nothing of the pipeline is touched, and exactly once holds as it does there: the same command goes on where it stopped.
//!
//! ```text
//! <INTO>/year=.../part-....parquet           the table
//! <INTO>/_owner.json                         whose it is, as in every table
//! <INTO>/_reprocess/request.json             what was asked for, and the offsets that it means; created once
//! <INTO>/_reprocess/checkpoints, dead_letters, hosts
//! ```

mod bounds;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::request::Noted;
pub use self::request::Request;
use crate::checkpoint::{DeploymentRecord, Id};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::pipeline::ready::Ready;
use crate::pipeline::{self, RunOptions};
use crate::report::Summary;
use crate::runtime::{Runtime, TokioRuntime};
use crate::source::TopicPartition;
use crate::storage::{self, Location, StorageErrorKind, create_once};
use crate::transform::TransformEngine;

/// Where everything but the table lies, below the new location.
const BESIDE: &str = "_reprocess";

/// What is rebuilt, and whether it was begun before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// The new location.
    pub into: String,
    /// The transforms that make the rows.
    #[schema(value_type = Object)]
    pub deployment: DeploymentRecord,
    /// Which offsets.
    pub ranges: Vec<Range>,
    /// Whether the same command began before: it goes on where that one stopped.
    pub resumed: bool,
}

/// Offsets `from..to` of one topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Range {
    /// Which one.
    #[schema(value_type = String)]
    pub topic_partition: TopicPartition,
    /// The first offset.
    pub from: i64,
    /// The one after the last.
    pub to: i64,
}

/// A plan that is ready to be carried out.
pub struct Prepared {
    /// What it is.
    pub plan: Plan,
    config: Config,
    ready: Ready,
    noted: Noted,
    runtime: Arc<dyn Runtime>,
    tokio: tokio::runtime::Runtime,
}

/// The pipeline as it is in the new location: for this command, and for an audit of what it made.
pub fn config_into(config: &Config, into: &str) -> Config {
    let beside = |name: &str| format!("{}/{BESIDE}/{name}", into.trim_end_matches('/'));
    let mut config = config.clone();
    config.table.location = into.to_owned();
    config.dead_letters.location = beside("dead_letters");
    config.checkpoint.location = beside("checkpoints");
    // What hosts tell of themselves is for nobody else here.
    config.registry.location = beside("hosts");
    config.deployed = false;
    // The address may be that of a host that runs.
    config.admin = None;
    config
}

/// Works out what a request means, and refuses what cannot be. Writes nothing. Blocking.
///
/// # Errors
/// The range is not there; the location is the pipeline's own, another request's or somebody else's; the deployment does not
/// exist or cannot run here; brokers or storage do not answer.
pub fn prepare(config: &Config, request: &Request, options: &RunOptions) -> Result<Prepared> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio.handle().clone()));
    refuse_own(config, &request.into)?;
    let engine = TransformEngine::new(options.module_cache.as_deref())?;
    let ready = tokio.block_on(Ready::chosen(config, &engine, request.deployment, Arc::clone(&runtime)))?;
    let into = config_into(config, &request.into);
    let table = storage::open(&into.table.location, &into.storage)?;
    let mut noted = Noted::new(config, request, &ready, &options.operator, runtime.now_ms());
    let resumed = match tokio.block_on(request::read(&table))? {
        Some(before) => {
            before.check_same(&noted, &request.into)?;
            noted = before;
            true
        }
        None => {
            tokio.block_on(refuse_foreign(&table))?;
            noted.ranges = bounds::resolve(config, request, &tokio, runtime.now_ms())?;
            false
        }
    };
    let plan = Plan {
        pipeline: config.name.clone(),
        into: request.into.clone(),
        deployment: ready.record.clone(),
        ranges: noted.ranges.clone(),
        resumed,
    };
    Ok(Prepared { plan, config: into, ready, noted, runtime, tokio })
}

impl Prepared {
    /// Does it, until it is done or `options.stop` is set.
    ///
    /// # Errors
    /// As a run of the pipeline; and another request was faster to take the location.
    pub fn carry_out(self, options: &RunOptions) -> Result<Summary> {
        let Self { config, ready, noted, runtime, tokio, plan } = self;
        if !plan.resumed {
            let table = storage::open(&config.table.location, &config.storage)?;
            tokio.block_on(note_down(&table, &noted, &plan.into, runtime.random()))?;
        }
        let ranges: BTreeMap<TopicPartition, (i64, i64)> =
            plan.ranges.into_iter().map(|range| (range.topic_partition, (range.from, range.to))).collect();
        let options = RunOptions { until_caught_up: true, ..options.clone() };
        pipeline::run_between(&config, &options, ready, ranges)
    }
}

/// Of all who ask for the same location, one writes down what it holds.
async fn note_down(table: &Location, noted: &Noted, into: &str, attempt: u128) -> Result<()> {
    let path = table.join(&format!("{BESIDE}/request.json"));
    let written = create_once(table.storage.as_ref(), &path, noted.to_bytes(), attempt).await;
    match written.map_err(|error| Error::fatal(format!("cannot write {path}")).because(error))? {
        None => Ok(()),
        Some(_) => Err(Error::fatal(format!("{into} was taken by another command (attempt {})", Id(attempt)))
            .hint("try again: if it asked for the same, this one goes on with it")),
    }
}

/// The new location may neither be a location of the pipeline nor lie in one, nor the other way round.
fn refuse_own(config: &Config, into: &str) -> Result<()> {
    let path = |location: &str| Ok::<_, Error>(storage::open(location, &config.storage)?.path);
    let new = path(into)?;
    let own = [
        ("table", &config.table.location),
        ("dead letters", &config.dead_letters.location),
        ("checkpoints", &config.checkpoint.location),
    ];
    for (what, location) in own {
        let old = path(location)?;
        let lies_in = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
        if lies_in(&new, &old) || lies_in(&old, &new) {
            let message = format!("{into} and the {what} of pipeline {} ({location}) lie in each other", config.name);
            return Err(Error::config(message).hint("reprocess into a location of its own"));
        }
    }
    Ok(())
}

/// A location that holds anything before the first command is somebody's.
async fn refuse_foreign(table: &Location) -> Result<()> {
    let entries = match table.storage.list(&table.path).await {
        Ok(entries) => entries,
        Err(error) if error.kind == StorageErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::fatal(format!("cannot list {}", table.url)).because(error)),
    };
    match entries.iter().find(|entry| entry.name != BESIDE) {
        None => Ok(()),
        Some(entry) => Err(Error::config(format!("{} is not empty: it holds {}", table.url, entry.name))
            .hint("reprocess into a location of its own, or into one that the same command began")),
    }
}

//! Everything short of running: is the file right, do the servers answer, do the transforms fit, what will the table hold?
//!
//! Goes on after a mistake, so that one look shows all of them. Leaves nothing behind: what a probe writes it deletes, and no
//! consumer group is joined, so that it disturbs no process that runs the same pipeline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use serde_json::json;

use crate::config::{Config, SchemaRegistryConfig, SourceConfig, type_name};
use crate::deployment::{self, Log};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Registry;
use crate::runtime::{Runtime, TokioRuntime};
use crate::schema_registry;
use crate::sink::hive::HivePartitioner;
use crate::sink::owner::{self, Owner};
use crate::sink::spark_table;
use crate::source;
use crate::storage::{self, Location, StorageError, StorageErrorKind};
use crate::transform::{TransformChain, TransformEngine};

/// What came of one step.
#[derive(Debug)]
pub enum Outcome {
    /// Fine, and what was found.
    Fine(String),
    /// Not fine.
    Wrong(Error),
    /// Not looked at, and why.
    Skipped(&'static str),
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// What was looked at: `file`, `source`, `table`, ...
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What the table will hold.
#[derive(Debug)]
pub struct TableSchema {
    /// Columns of the files.
    pub columns: SchemaRef,
    /// The hive partitions: names of directories.
    pub hive_partitions: Vec<String>,
}

/// The whole look.
#[derive(Debug)]
pub struct Preflight {
    /// In order.
    pub steps: Vec<Step>,
    /// Known when file and transforms are fine.
    pub table: Option<TableSchema>,
}

impl Preflight {
    /// Looks at the pipeline file at `path` and all that it names. `module_cache`: where compiled modules are kept.
    pub fn new(path: &Path, module_cache: Option<PathBuf>) -> Result<Self> {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
        let mut look = Self { steps: Vec::new(), table: None };
        let config = match Config::load(path) {
            Ok(config) => config,
            Err(error) => {
                look.add("file", Err(error));
                for name in ["source", "table", "dead letters", "checkpoint", "transforms"] {
                    look.steps.push(Step { name: name.into(), outcome: Outcome::Skipped("the file is wrong") });
                }
                return Ok(look);
            }
        };
        let fields = config.schema.fields.len();
        let transforms = match config.deployed {
            true => "transforms of the newest deployment".to_owned(),
            false => format!("{} transforms", config.transforms.len()),
        };
        look.add("file", Ok(format!("pipeline {}: {fields} fields, {transforms}", config.name)));
        look.add("source", look_at_source(&config, &tokio));
        if let Some(registry) = &config.schema_registry {
            look.add("schema registry", tokio.block_on(look_at_schema_registry(registry)));
        }
        tokio.block_on(look.locations(&config));
        look.transforms(&config, module_cache.as_deref(), &tokio);
        // A question that nobody answered may still be open.
        tokio.shutdown_background();
        Ok(look)
    }

    /// Whether every step was fine.
    pub fn is_fine(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.outcome, Outcome::Fine(_)))
    }

    /// Whether it is the user's files that are wrong, not a server.
    pub fn is_users_mistake(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(&step.outcome, Outcome::Wrong(error) if error.kind() == ErrorKind::Config))
    }

    fn add(&mut self, name: impl Into<String>, result: Result<String>) {
        let outcome = match result {
            Ok(found) => Outcome::Fine(found),
            Err(error) => Outcome::Wrong(error),
        };
        self.steps.push(Step { name: name.into(), outcome });
    }

    async fn locations(&mut self, config: &Config) {
        let places = [
            ("table", &config.table.location),
            ("dead letters", &config.dead_letters.location),
            ("checkpoint", &config.checkpoint.location),
        ];
        let owner = Owner {
            pipeline: config.name.clone(),
            checkpoints: storage::open(&config.checkpoint.location, &config.storage)
                .map(|location| location.path)
                .unwrap_or_default(),
        };
        for (name, url) in places {
            let result = async {
                let location = storage::open(url, &config.storage)?;
                if name == "table" {
                    spark_table::refuse(&location).await?;
                }
                if name != "checkpoint" {
                    owner::look(&location, &owner).await?;
                }
                probe(&location).await?;
                Ok(format!("{url} can be written"))
            };
            let result = result.await;
            self.add(name, result);
        }
    }

    fn transforms(&mut self, config: &Config, module_cache: Option<&Path>, tokio: &tokio::runtime::Runtime) {
        let linked = TransformEngine::new(module_cache).and_then(|engine| {
            let runtime = Arc::new(TokioRuntime::new(tokio.handle().clone()));
            tokio.block_on(link(&engine, config, Arc::clone(&config.schema.arrow), runtime))
        });
        let chain = match linked {
            Ok(chain) => chain,
            Err(error) => {
                self.add("transforms", Err(error));
                return;
            }
        };
        for transform in chain.transforms() {
            let descriptor = &transform.descriptor;
            let writes: Vec<_> = descriptor.writes.iter().map(|column| column.name.as_str()).collect();
            let mut found =
                format!("{} reads {}", transform.version, listed(descriptor.reads.iter().map(String::as_str)));
            for (what, names) in [
                ("writes", writes),
                ("drops", descriptor.drops.iter().map(String::as_str).collect()),
                ("rejects as", descriptor.reasons.iter().map(|reason| reason.code.as_str()).collect()),
            ] {
                if !names.is_empty() {
                    found += &format!("; {what} {}", listed(names.into_iter()));
                }
            }
            self.add(format!("transform {}", transform.name), Ok(found.trim().to_owned()));
        }
        let schema = chain.output_schema();
        match HivePartitioner::new(&config.table, &schema) {
            Ok(partitioner) => {
                let columns = Arc::clone(partitioner.file_schema());
                let hive_partitions = config.table.partition_by.clone();
                self.add("columns", Ok(format!("{} columns", columns.fields().len())));
                self.table = Some(TableSchema { columns, hive_partitions });
            }
            Err(error) => self.add("columns", Err(error)),
        }
    }

    /// The look as JSON, for `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        let step = |step: &Step| match &step.outcome {
            Outcome::Fine(found) => json!({ "step": step.name, "ok": true, "found": found }),
            Outcome::Skipped(why) => json!({ "step": step.name, "ok": null, "skipped": why }),
            Outcome::Wrong(error) => json!({
                "step": step.name,
                "ok": false,
                "error": error.to_string(),
                "causes": causes(error),
                "what_to_do": error.what_to_do(),
            }),
        };
        let table = self
            .table
            .as_ref()
            .map(|table| json!({ "columns": columns_json(&table.columns), "hive_partitions": table.hive_partitions }));
        json!({ "ok": self.is_fine(), "steps": self.steps.iter().map(step).collect::<Vec<_>>(), "table": table })
    }
}

/// The transforms that the file fixes, or those of the newest deployment, for events of `schema`.
///
/// # Errors
/// They do not fit; nothing is deployed; the storage does not answer.
pub async fn link(
    engine: &TransformEngine,
    config: &Config,
    schema: SchemaRef,
    runtime: Arc<dyn Runtime>,
) -> Result<TransformChain> {
    if !config.deployed {
        return TransformChain::link(engine, &config.transforms, schema);
    }
    let registry = Registry::open(config, runtime)?;
    match Log::new(registry.clone(), &config.name).newest().await? {
        Some(entry) => deployment::load(engine, &registry, &entry.deployment.transforms, schema).await,
        None => Err(Error::config("nothing is deployed yet").hint("wasmill deploy PIPELINE TRANSFORM...")),
    }
}

fn columns_json(schema: &Schema) -> Vec<serde_json::Value> {
    let column = |field: &Arc<arrow::datatypes::Field>| json!({ "name": field.name(), "type": type_name(field.data_type()), "nullable": field.is_nullable() });
    schema.fields().iter().map(column).collect()
}

/// The causes of an error, outermost first.
pub fn causes(error: &Error) -> Vec<String> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |cause| cause.source()).map(ToString::to_string).collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn look_at_source(config: &Config, tokio: &tokio::runtime::Runtime) -> Result<String> {
    let open_location = |url: &str| storage::open(url, &config.storage);
    let count = source::probe(&config.source, tokio.handle(), open_location)?;
    Ok(match &config.source {
        SourceConfig::Kafka(kafka) => {
            let topics = listed(kafka.topics.iter().map(String::as_str));
            format!("{topics}: {count} topic partitions at {}", kafka.brokers)
        }
        SourceConfig::File(file) if file.path == "-" => "standard input, read at most once".to_owned(),
        SourceConfig::File(file) => format!("{}: {count} files", file.path),
        SourceConfig::Eventsim(sim) => format!("{}: {} events in {count} topic partitions", sim.topic, sim.events),
    })
}

async fn look_at_schema_registry(registry: &SchemaRegistryConfig) -> Result<String> {
    let subjects = schema_registry::Client::new(registry)?.subjects().await?;
    Ok(format!("{}: {} subjects", registry.url, subjects.len()))
}

/// Writes, renames and deletes a file in `location`, as the protocol does, and leaves no trace of it.
pub async fn probe(location: &Location) -> Result<()> {
    let missing = missing_directories(location).await?;
    let id = rand::random::<u64>();
    let (first, second) =
        (location.join(&format!("_wasmill-probe-{id:016x}")), location.join(&format!("_wasmill-probe-{id:016x}-2")));
    let tried = try_to_write(location, &first, &second).await;
    // Whatever failed, nothing may stay. A second failure says nothing new.
    for path in [&first, &second] {
        let _ = location.storage.delete(path).await;
    }
    for directory in &missing {
        let _ = location.storage.delete(directory).await;
    }
    tried
}

async fn try_to_write(location: &Location, first: &str, second: &str) -> Result<()> {
    let failed = |error| unreachable(location, error);
    let mut file = location.storage.create(first).await.map_err(failed)?;
    file.write(Bytes::from_static(b"wasmill check")).await.map_err(failed)?;
    file.close().await.map_err(failed)?;
    location.storage.rename(first, second).await.map_err(failed)?;
    let read = location.storage.read(second).await.map_err(failed)?;
    if read != b"wasmill check".as_slice() {
        return Err(Error::fatal(format!("{} does not give back what was written to it", location.url)));
    }
    Ok(())
}

/// The directories on the way to `location` that are not there, deepest first.
async fn missing_directories(location: &Location) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    // Downwards, because a question about what is below a file is answered by an error.
    let ends = location.path.char_indices().filter(|(at, c)| *c == '/' && *at > 0).map(|(at, _)| at);
    for end in ends.chain([location.path.len()]) {
        let path = &location.path[..end];
        if !missing.is_empty() {
            missing.push(path.to_owned());
            continue;
        }
        match location.storage.stat(path).await.map_err(|error| unreachable(location, error))? {
            Some(entry) if !entry.is_directory => {
                return Err(Error::config(format!("{} cannot be a directory: {path} is a file", location.url)));
            }
            Some(_) => {}
            None => missing.push(path.to_owned()),
        }
    }
    missing.reverse();
    Ok(missing)
}

fn unreachable(location: &Location, error: StorageError) -> Error {
    let hint = match error.kind {
        StorageErrorKind::Denied => "give the user that runs wasmill the right to write there",
        StorageErrorKind::NoSpace => "make room, or raise the quota",
        _ => "is the address right, and does the server run and answer?",
    };
    Error::transient(format!("cannot write to {}", location.url)).because(error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageOptions;

    fn location(path: &Path) -> Location {
        storage::open(path.to_str().unwrap(), &StorageOptions::default()).unwrap()
    }

    #[tokio::test]
    async fn a_probe_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        probe(&location(&directory.path().join("a/b"))).await.unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let kept = directory.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        probe(&location(&kept)).await.unwrap();
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_is_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), b"").unwrap();
        let error = probe(&location(&directory.path().join("a/b"))).await.unwrap_err();
        assert!(error.to_string().contains("/a is a file"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

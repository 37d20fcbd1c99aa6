//! Many pipelines on the hosts of one storage.
//!
//! ```text
//! wasmill pipeline apply FILE ──► Catalogue (numbered, create-only files in the storage)
//!                                      │ every server looks every 2 s
//!                                      ▼
//!                                   Keeper ──► one process of its own for each pipeline: `wasmill run`
//! ```
//!
//! Every server runs every pipeline; who reads which topic partition is between the processes of one pipeline, by Kafka's
//! group protocol. A process each, because nothing then that one pipeline does reaches another: its memory, its guests, its
//! stalled storage and its crashes end at the process's border, and the cores are shared by who knows best how, the system.
//!
//! This module knows nothing of what a pipeline does.

mod catalogue;
mod keeper;
mod process;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use self::catalogue::{Action, Applied, Catalogue, Entry, Target, Wanted};
use self::keeper::Keeper;
pub use self::process::{Levels, Log, Program};
use crate::config::{Config, Mistakes, SourceConfig, Surroundings};
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::status::{self, Post, Posted};
use crate::storage::Location;

/// The environment variable in which servers' processes find their brokers.
pub const BROKERS: &str = "WASMILL_BROKERS";

/// Keys of the pipeline file whose values are secrets, with dots; beside them, options of Kafka's client.
pub(crate) const SECRETS: [&str; 3] = ["schema_registry.password", "schema_registry.token", "webhook.token"];

/// How often the catalogue is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often the processes are looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// What one server runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its id: one for each start of it.
    pub host: String,
    /// `user@machine`.
    pub machine: String,
    /// `host:port` at which it answers clients of Kafka Connect's API, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// When this was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// Its pipelines by name.
    pub pipelines: BTreeMap<String, PipelineStatus>,
}

impl Posted for ServerStatus {
    fn host(&self) -> &str {
        &self.host
    }

    fn at_ms(&self) -> i64 {
        self.at_ms
    }
}

/// A pipeline on one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// The number of its entry in the catalogue.
    pub number: u64,
    /// Its process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What its process does.
    pub state: State,
    /// How often it was started again after it had ended by itself.
    pub restarts: u64,
    /// Why it ended last, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the process of a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs.
    Running,
    /// It was asked to end, since the pipeline was changed or deleted.
    Ending,
    /// It ended by itself, and is started again in a while.
    Failed,
}

/// Where the servers of a storage tell what they run.
pub fn post(storage: &Location) -> Post<ServerStatus> {
    Post::in_directory(storage.clone(), "servers")
}

/// Why a pipeline file may not be applied.
#[derive(Debug)]
pub enum Unfit {
    /// It has mistakes.
    Mistaken(Mistakes),
    /// It may be good elsewhere, and not on a server.
    Refused {
        /// The key that it is refused for, with dots.
        key: String,
        /// Why.
        error: Error,
    },
    /// It could not be looked at.
    Failed(Error),
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Mistaken(mistakes) => {
                Self::config(mistakes.to_string()).hint("every key is described in host/docs/pipeline-file.md")
            }
            Unfit::Refused { error, .. } | Unfit::Failed(error) => error,
        }
    }
}

/// What a pipeline file says that is to be applied.
///
/// It is read as in an empty directory, which is where servers read it: whatever it names must be named absolutely. Blocks:
/// the columns of a table may be made of a registered schema. `brokers`: what `{ env = "WASMILL_BROKERS" }` means, where it is not
/// what this process's environment says.
///
/// # Errors
/// All its mistakes, or why it cannot run on a server.
pub fn check(text: &str, brokers: Option<&str>) -> std::result::Result<Config, Unfit> {
    let nowhere =
        tempfile::tempdir().map_err(|error| Unfit::Failed(Error::fatal("cannot make a directory").because(error)))?;
    let surroundings = Surroundings::of_this_process().map_err(Unfit::Failed)?;
    let surroundings = Surroundings { working_directory: nowhere.path().to_owned(), ..surroundings };
    let surroundings = match brokers.map(str::to_owned) {
        Some(brokers) => {
            let others = Arc::clone(&surroundings.variable);
            let variable = move |name: &str| if name == BROKERS { Some(brokers.clone()) } else { others(name) };
            Surroundings { variable: Arc::new(variable), ..surroundings }
        }
        None => surroundings,
    };
    let config = Config::parse(Path::new("pipeline.toml"), text, &surroundings).map_err(Unfit::Mistaken)?;
    let refused = |key: String, what: &str, hint: &str| {
        let error = Error::config(format!("pipeline {}: {what}", config.name)).hint(hint);
        Err(Unfit::Refused { key, error })
    };
    let SourceConfig::Kafka(kafka) = &config.source else {
        let hint = "run other sources with `wasmill run`";
        return refused("source".to_owned(), "servers share its source, so it must be Kafka", hint);
    };
    let option = kafka.options.keys().find(|name| kafka.options.is_written_secret(name));
    let option = option.map(|name| format!("source.kafka.options.{name}"));
    if let Some(key) = option.or_else(|| written_secret(text)) {
        let name = key.strip_prefix("source.kafka.options.").unwrap_or(&key);
        let what = format!("the secret {name} would lie in the storage for all to read");
        let hint = "write { env = \"NAME\" } or { file = \"/PATH\" }, which each server resolves for itself";
        return refused(key, &what, hint);
    }
    if !config.deployed && !config.transforms.is_empty() {
        return refused(
            "transforms".to_owned(),
            "its modules lie on one machine",
            "write transforms = \"deployed\" under [pipeline] in place of [[transforms]], then push and deploy them",
        );
    }
    if config.admin.is_some() {
        let what = "it has an [admin] of its own, and a server runs many pipelines";
        return refused("admin".to_owned(), what, "remove [admin]");
    }
    Ok(config)
}

/// The first of [`SECRETS`] that stands in a pipeline file itself, if only as what holds where a variable is not set.
fn written_secret(text: &str) -> Option<String> {
    let file: toml::Table = text.parse().ok()?;
    let is_written = |key: &&str| {
        let (section, name) = key.split_once('.')?;
        let value = file.get(section)?.get(name)?;
        Some(value.is_str() || value.get("default").is_some())
    };
    SECRETS.into_iter().find(|key| is_written(key) == Some(true)).map(str::to_owned)
}

/// One server.
pub struct Server {
    /// The pipelines.
    pub catalogue: Catalogue,
    /// What runs one.
    pub program: Program,
    /// `user@machine`.
    pub machine: String,
    /// Its id: one for each start of it.
    pub host: String,
    /// `host:port` at which it answers clients of Kafka Connect's API, where it does.
    pub connect: Option<String>,
    /// Set when it is to end.
    pub stop: Arc<AtomicBool>,
}

impl Server {
    /// Runs what the catalogue says until it is told to stop; then every process is asked to end, and waited for.
    ///
    /// # Errors
    /// The storage does not answer at the start. Later it is tried again, and what runs goes on.
    pub fn run(self, runtime: &dyn Runtime, tokio: &tokio::runtime::Runtime) -> Result<()> {
        let Self { catalogue, program, machine, host, connect, stop } = self;
        let mut wanted = tokio.block_on(catalogue.list())?;
        let mut post = post(catalogue.location());
        let mut keeper = Keeper::new(host.clone(), program);
        tracing::info!(host, storage = catalogue.location().url, "the server runs");
        let (mut looked, mut told, mut answers) = (Instant::now(), None::<Instant>, true);
        while !stop.load(Ordering::Acquire) {
            let changed = keeper.step(&wanted, Instant::now());
            keeper.tell_levels();
            if changed || told.is_none_or(|told| told.elapsed() > status::EVERY) {
                let pipelines = keeper.status();
                let (host, machine, connect) = (host.clone(), machine.clone(), connect.clone());
                let status = ServerStatus { host, machine, connect, at_ms: runtime.now_ms(), pipelines };
                if let Err(error) = tokio.block_on(post.write(&status)) {
                    tracing::debug!(%error, "cannot tell what runs here");
                }
                told = Some(Instant::now());
            }
            std::thread::sleep(GLANCE);
            if looked.elapsed() < LOOK_EVERY {
                continue;
            }
            looked = Instant::now();
            match tokio.block_on(catalogue.list()) {
                Ok(found) => (wanted, answers) = (found, true),
                Err(error) if std::mem::replace(&mut answers, false) => {
                    tracing::warn!(%error, "cannot look at the pipelines; what runs goes on");
                }
                Err(error) => tracing::debug!(%error, "still no answer about the pipelines"),
            }
        }
        keeper.end();
        if let Err(error) = tokio.block_on(post.remove(&host)) {
            tracing::debug!(%error, "cannot take the status away; it counts for some seconds more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rest: &str) -> String {
        format!(
            "[pipeline]\nname = \"plays\"\n{rest}\n[schema]\nn = \"long!\"\n\
             [table]\nlocation = \"/t/table\"\nevent_time = {{ column = \"n\", unit = \"ms\" }}\npartition_by = [\"day\"]\n\
             [dead_letters]\nlocation = \"/t/dead_letters\"\n[checkpoint]\nlocation = \"/t/checkpoints\"\n"
        )
    }

    #[test]
    fn only_what_runs_on_any_server_is_taken() {
        let kafka = "[source.kafka]\nbrokers = \"localhost:9092\"\ntopics = [\"plays\"]\ngroup = \"plays\"\n";
        assert_eq!(check(&file(kafka), None).unwrap().name, "plays");
        // Any file that is there.
        let module = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (rest, told) in [
            ("[source.eventsim]\nevents = 1".to_owned(), "it must be Kafka"),
            (format!("{kafka}[[transforms]]\nname = \"keep\"\nmodule = \"{module}\""), "lie on one machine"),
            (format!("{kafka}[admin]\nlisten = \"127.0.0.1:0\""), "has an [admin] of its own"),
            (format!("{kafka}[source.kafka.options]\n\"sasl.password\" = \"hunter2\""), "the secret sasl.password"),
            (format!("{kafka}[webhook]\nurl = \"http://c/\"\ntoken = \"hunter2\""), "the secret webhook.token"),
            (
                format!(
                    "{kafka}[schema_registry]\nurl = \"http://r/\"\ntoken = {{ env = \"NO_SUCH\", default = \"hunter2\" }}"
                ),
                "the secret schema_registry.token",
            ),
            (format!("{kafka}[source.kafka.options]\n\"client.id\" = {{ file = \"Cargo.toml\" }}"), "cannot read"),
            (format!("{kafka}[no]"), "no"),
        ] {
            let error = Error::from(check(&file(&rest), None).unwrap_err()).to_string();
            assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        }
    }
}

//! Looks for new deployments while a pipeline runs, and makes them ready beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::herald;
use super::judge::{self, Judge};
use super::membership::Change;
use super::ready::{self, Ready};
use super::worker::{Targets, WorkerDeployment};
use crate::config::Config;
use crate::decode::Decoding;
use crate::deployment::{self, Deployment, Entry, Log};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Registry;
use crate::runtime::Runtime;
use crate::status::Board;
use crate::transform::TransformEngine;

/// How often the log is looked at: one question to the storage each time.
const EVERY: Duration = Duration::from_secs(2);

/// The log of deployments, as one run follows it.
pub(super) struct Watch {
    engine: TransformEngine,
    decoding: Decoding,
    registry: Registry,
    log: Log,
    /// The newest entry that was looked at.
    seen: u64,
    /// What can run, by number: what the entry that is followed names, and no more.
    ready: BTreeMap<u64, Ready>,
    judge: Judge,
    /// The entry that is followed: the newest, unless that cannot run here.
    followed: Entry,
}

impl Watch {
    /// The newest deployment, ready to run, and what follows the log from there.
    ///
    /// # Errors
    /// Nothing is deployed; the deployment cannot run here; the storage does not answer.
    pub(super) async fn begin(config: &Config, engine: TransformEngine, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let decoding = ready::decoding(config, Arc::clone(&runtime))?;
        let registry = Registry::open(config, runtime)?;
        let log = Log::new(registry.clone(), &config.name);
        let Some(entry) = log.newest().await? else {
            return Err(Error::config(format!("nothing is deployed for pipeline {}", config.name)).hint(
                "push a module, then deploy it: wasmill push PIPELINE MODULE.wasm; wasmill deploy PIPELINE NAME",
            ));
        };
        let (seen, ready) = (entry.number, BTreeMap::new());
        let judge = Judge::new(config, &registry);
        let mut watch = Self { engine, decoding, registry, log, seen, ready, judge, followed: entry.clone() };
        let missing = watch.missing(config, &entry).await?;
        watch.follow(entry, missing);
        Ok(watch)
    }

    /// The deployment that runs everywhere but on a canary's topic partitions.
    pub(super) fn deployment(&self) -> Result<&Ready> {
        let number = self.followed.deployment.number;
        self.ready
            .get(&number)
            .ok_or_else(|| Error::fatal(format!("deployment {number} is not ready; this is a bug in wasmill")))
    }

    /// What `entry` names and is not ready yet, made ready. Nothing is kept before all of it is: a deployment counts as ready
    /// only once workers were given it.
    async fn missing(&self, config: &Config, entry: &Entry) -> Result<Vec<Ready>> {
        let mut missing = Vec::new();
        for deployment in named(entry).filter(|deployment| !self.ready.contains_key(&deployment.number)) {
            let schema = Arc::clone(&config.schema.arrow);
            let chain = deployment::load(&self.engine, &self.registry, &deployment.transforms, schema).await?;
            missing.push(Ready::new(config, deployment.number, chain, self.decoding.clone())?);
        }
        Ok(missing)
    }

    /// Follows `entry`, for which `missing` was made ready.
    fn follow(&mut self, entry: Entry, missing: Vec<Ready>) {
        self.ready.extend(missing.into_iter().map(|ready| (ready.record.number, ready)));
        let named: Vec<u64> = named(&entry).map(|deployment| deployment.number).collect();
        self.ready.retain(|number, _| named.contains(number));
        self.followed = entry;
    }

    /// What the rest of the process must know of the entry that is followed. `prepared`: for each worker, what it does not
    /// have yet.
    fn change(&self, prepared: Vec<Vec<WorkerDeployment>>) -> Result<Change> {
        let deployment = self.deployment()?;
        let canary = self.followed.canary.as_ref();
        Ok(Change {
            prepared,
            targets: Targets {
                deployment: deployment.record.number,
                canary: canary.map(|canary| (canary.deployment.number, canary.topic_partitions.clone())),
            },
            deployment: (deployment.record.clone(), deployment.options.clone()),
            paused: self.followed.paused,
        })
    }

    /// Follows the log on a thread of its own until `over`.
    pub(super) fn spawn(
        mut self,
        config: Config,
        workers: usize,
        tokio: tokio::runtime::Handle,
        over: Arc<AtomicBool>,
        changes: Sender<Change>,
        board: Arc<Board>,
    ) -> Result<JoinHandle<()>> {
        // Workers were given the deployment; a canary, or that the pipeline is paused, they hear now.
        let canary = self.followed.canary.as_ref().and_then(|canary| self.ready.get(&canary.deployment.number));
        let prepared = for_workers(workers, || canary.into_iter())?;
        let _ = changes.send(self.change(prepared)?);
        self.tell(&board);
        let body = move || {
            let mut answers = true;
            while !over.load(Ordering::Acquire) {
                let look = async {
                    tokio::time::sleep(EVERY).await;
                    self.look(&config, workers, &board).await
                };
                let found = tokio.block_on(async {
                    tokio::select! {
                        found = look => found,
                        () = herald::until(&over) => Ok(None),
                    }
                });
                match found {
                    Ok(change) => {
                        answers = true;
                        if change.is_some() {
                            self.tell(&board);
                        }
                        // Nobody listens any more only when the run ends.
                        change.into_iter().for_each(|change| drop(changes.send(change)));
                    }
                    Err(error) if std::mem::replace(&mut answers, false) => {
                        tracing::warn!(%error, "cannot look for new deployments; the present one runs on");
                    }
                    Err(error) => tracing::debug!(%error, "still no answer about new deployments"),
                }
            }
        };
        // Instances are started here, which needs as much stack as running them.
        let thread = std::thread::Builder::new().name("deployments".to_owned()).stack_size(4 << 20).spawn(body);
        thread.map_err(|error| Error::fatal("cannot start the thread that follows deployments").because(error))
    }

    /// Puts what runs, and what cannot, on the board.
    fn tell(&self, board: &Board) {
        let chains = self.ready.iter().map(|(number, ready)| (*number, Arc::clone(&ready.chain))).collect();
        let Entry { deployment, canary, paused, .. } = &self.followed;
        let canary = canary.as_ref().map(|canary| canary.deployment.number);
        board.deployments(deployment.number, canary, *paused, chains);
    }

    /// An entry that cannot run here says even so whether the pipeline is paused.
    fn only_paused(&mut self, paused: bool, workers: usize) -> Result<Option<Change>> {
        if self.followed.paused == paused {
            return Ok(None);
        }
        self.followed.paused = paused;
        self.change(for_workers(workers, std::iter::empty)?).map(Some)
    }

    /// What is new, made ready for that many workers.
    async fn look(&mut self, config: &Config, workers: usize, board: &Board) -> Result<Option<Change>> {
        let Some(entry) = self.log.after(self.seen).await? else {
            self.judge.sit(&self.log, &self.followed, &self.ready, board).await?;
            return Ok(None);
        };
        let (number, started) = (entry.number, Instant::now());
        let made = async {
            let missing = self.missing(config, &entry).await?;
            let prepared = for_workers(workers, || missing.iter())?;
            Ok::<_, Error>((missing, prepared))
        };
        let (missing, prepared) = match made.await {
            Ok(made) => made,
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error),
            Err(error) => {
                let hint = error.what_to_do().unwrap_or_default().to_owned();
                tracing::error!(entry = number, %error, hint, "this deployment cannot run here; the present one runs on");
                board.problem(Some(format!("entry {number} of the log cannot run here: {error}; {hint}")));
                self.seen = number;
                return self.only_paused(entry.paused, workers);
            }
        };
        self.seen = number;
        let (action, ready_ms) = (entry.action, started.elapsed().as_millis() as u64);
        tracing::info!(entry = number, ?action, by = entry.by, note = entry.note, ready_ms, "the log has a new entry");
        board.problem(judge::verdict(&entry).map(str::to_owned));
        self.follow(entry, missing);
        self.change(prepared).map(Some)
    }
}

/// Instances of these deployments for each worker.
fn for_workers<'r, I: Iterator<Item = &'r Ready>>(
    workers: usize,
    of: impl Fn() -> I,
) -> Result<Vec<Vec<WorkerDeployment>>> {
    (0..workers).map(|_| of().map(Ready::for_worker).collect()).collect()
}

fn named(entry: &Entry) -> impl Iterator<Item = &Deployment> {
    [Some(&entry.deployment), entry.canary.as_ref().map(|canary| &canary.deployment)].into_iter().flatten()
}

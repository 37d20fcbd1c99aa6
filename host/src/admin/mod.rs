//! The admin API: what a host knows and what operators do, over HTTP; and the console, a page that uses it.
//!
//! Every host of a pipeline serves the same: its own status and metrics, and what stands in the pipeline's storage, which is
//! the same whoever is asked. Nothing of it is on the way of an event.
//!
//! ```text
//!   request ──► limits (size, time) ──► caller (token, role) ──► routes ──► board, storage
//!                                           │                      └─► audit, before and after a change
//!                                        tokens
//! ```

mod answer;
pub mod audit;
mod browsing;
pub(crate) mod caller;
mod console;
mod events;
mod letters;
pub(crate) mod listening;
mod orders;
mod releases;
mod replays;
mod reprocesses;
mod routes;
mod schemas;
mod sessions;
mod tables;
mod tls;
pub mod tokens;
mod topics;
pub mod upload;
mod verifying;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use self::answer::Refusal;
use self::audit::Audit;
use self::caller::Door;
use self::listening::{Bound, Listening};
use self::tokens::Tokens;
use crate::config::Config;
use crate::deployment::Log;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::runtime::Runtime;
use crate::schema_registry::Schemas;
use crate::status::lines::Lines;
use crate::status::{Board, Post};
use crate::transform::vet::Vetting;

pub use self::answer::Problem;
pub use self::routes::document;

/// Streams of events at a time: each looks at storage every two seconds.
const STREAMS: usize = 32;

/// Looks at files of the table and the dead letters at a time; others wait for their turn.
const LOOKS: usize = 2;

/// Questions of people to Kafka at a time; others wait for their turn.
const KAFKA_TURNS: usize = 4;

/// Those who follow a topic at a time: each has a client and a thread.
const TAILS: usize = 8;

/// Modules of one address in a minute.
const UPLOADS: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// What handlers answer from.
struct Office {
    config: Config,
    board: Arc<Board>,
    registry: Registry,
    log: Log,
    post: Post,
    lines: Lines,
    audit: Audit,
    door: Door,
    runtime: Arc<dyn Runtime>,
    /// Set when the run is over: streams of events end.
    over: Arc<AtomicBool>,
    /// A turn for each stream of events.
    streams: Arc<Semaphore>,
    /// The turn of whoever deploys, uploads or replays.
    orders: Arc<Semaphore>,
    /// The turn of whoever rebuilds a range, which may take hours.
    rebuilding: Arc<Semaphore>,
    /// A turn for each look at files.
    looks: Arc<Semaphore>,
    /// The turn of whoever verifies the table.
    verifying: Arc<Semaphore>,
    /// A turn for each question to Kafka.
    kafka_turns: Arc<Semaphore>,
    /// A turn for each who follows a topic.
    tails: Arc<Semaphore>,
    /// The schemas of messages that people look at; `None`: the pipeline has no registry.
    schemas: Option<Arc<Schemas>>,
    uploads: DefaultKeyedRateLimiter<IpAddr>,
    vetting: Vetting,
    /// Where compiled modules are kept.
    module_cache: Option<PathBuf>,
    tokio: tokio::runtime::Handle,
}

impl Office {
    /// Looks at files on a thread that may wait: decoding them takes time.
    async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.looks).acquire_owned().await;
        let office = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            look(&office)
        });
        looked.await.unwrap_or_else(|_| Err(Error::fatal("looking at files panicked; this is a bug in wasmill")))
    }

    /// Deployments of a pipeline that fixes its transforms would change nothing.
    fn must_be_deployed(&self) -> Result<(), Refusal> {
        if self.config.deployed {
            return Ok(());
        }
        let error = Error::config(format!("the transforms of pipeline {} stand in its file", self.config.name));
        Err(Refusal::Conflict(error.hint("this is for pipelines with transforms = \"deployed\"")))
    }
}

/// The API of one run, until it is told to end.
pub struct Server(Listening);

impl Server {
    /// Serves on `tokio` what `config` asks for; `None`: it asks for no API.
    ///
    /// # Errors
    /// The address is taken, or a file with tokens or certificates cannot be used. Both are told before anything is read.
    pub fn start(
        config: &Config,
        board: Arc<Board>,
        runtime: Arc<dyn Runtime>,
        over: Arc<AtomicBool>,
        (module_cache, vetting): (Option<PathBuf>, Vetting),
        tokio: &tokio::runtime::Handle,
    ) -> Result<Option<Self>> {
        let Some(admin) = &config.admin else { return Ok(None) };
        let tokens = admin.tokens.as_deref().map(Tokens::open).transpose()?;
        let hint = "is another host on this machine? Give each an address: listen under [admin]";
        let bound = Bound::take("the admin API", admin.listen, admin.tls.as_ref(), hint)?;
        let address = bound.address();
        let _inside = tokio.enter();
        let registry = Registry::open(config, Arc::clone(&runtime))?;
        let location = registry.location().clone();
        let schemas = config.schema_registry.as_ref();
        let schemas = schemas.map(|registry| Schemas::new(registry, Arc::clone(&runtime))).transpose()?;
        let office = Arc::new(Office {
            config: config.clone(),
            board,
            log: Log::new(registry.clone(), &config.name),
            post: Post::new(location.clone(), &config.name),
            lines: Lines::new(location.clone(), &config.name),
            audit: Audit::new(location, &config.name, Arc::clone(&runtime)),
            door: Door::new(&config.name, tokens, admin.tls.is_none(), address.port()),
            registry,
            runtime,
            over,
            streams: Arc::new(Semaphore::new(STREAMS)),
            orders: Arc::new(Semaphore::new(1)),
            rebuilding: Arc::new(Semaphore::new(1)),
            looks: Arc::new(Semaphore::new(LOOKS)),
            verifying: Arc::new(Semaphore::new(1)),
            kafka_turns: Arc::new(Semaphore::new(KAFKA_TURNS)),
            tails: Arc::new(Semaphore::new(TAILS)),
            schemas,
            uploads: RateLimiter::keyed(Quota::per_minute(UPLOADS)),
            vetting,
            module_cache,
            tokio: tokio.clone(),
        });
        Ok(Some(Self(bound.serve(routes::service(office), tokio)?)))
    }

    /// Takes no more requests; those that are answered may be finished.
    pub fn end(self) {
        self.0.end();
    }
}

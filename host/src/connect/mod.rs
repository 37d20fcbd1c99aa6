//! Kafka Connect's REST API, so that its clients manage pipelines as they are.
//!
//! A pipeline is a sink connector of class `wasmill`, a server's process for it is a task. What is changed here is an entry in
//! the [`Catalogue`], as `wasmill pipeline` makes them; whatever server is asked, the answer is the same.
//!
//! ```text
//!   request ──► caller (token as password, role) ──► routes ──► catalogue, statuses, chains
//!                                                       └──► flat (configuration ⇄ pipeline file)
//! ```
//!
//! Status codes and the shapes of answers are those of a Connect worker, which `tests/connect` holds side by side with this.
//! Where a worker takes a client's mistake for its own (500), this says 400.

mod answer;
mod caller;
mod changes;
mod definitions;
mod flat;
mod loggers;
mod metrics;
mod plugin;
mod routes;
mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, Semaphore};

pub use self::loggers::Loggers;
use crate::admin::caller::Failures;
use crate::admin::listening::{Bound, Listening};
use crate::admin::tokens::Tokens;
use crate::checkpoint::Id;
use crate::config::{AdminTls, Config};
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::serve::{Catalogue, ServerStatus};
use crate::status::Post;

/// Looks at the chains of pipelines at a time.
const LOOKS: usize = 2;

/// Where the API listens by default, as a Connect worker does.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8083);

/// What is served where.
pub struct Options {
    /// Where it listens; with port 0 the system chooses one.
    pub listen: SocketAddr,
    /// The file that says who may do what; without one whoever reaches a loopback address may do everything.
    pub tokens: Option<PathBuf>,
    /// Certificates; without them it is plain HTTP.
    pub tls: Option<AdminTls>,
    /// `host:port,...` of a Kafka, whose id clients are told.
    pub brokers: Option<String>,
}

/// What handlers answer from.
struct Office {
    catalogue: Catalogue,
    servers: Post<ServerStatus>,
    runtime: Arc<dyn Runtime>,
    tokens: Option<Tokens>,
    /// Without TLS.
    plain: bool,
    failures: Failures,
    /// This server, as clients name it: `host:port`.
    worker: String,
    brokers: Option<String>,
    cluster: OnceCell<String>,
    loggers: Arc<Loggers>,
    /// What the files of pipelines say, by name; each as of the entry of that id.
    configs: Mutex<BTreeMap<String, (Id, Arc<Known>)>>,
    /// A turn for each look at chains.
    looks: Semaphore,
}

/// What a pipeline's file says, or why it says nothing here.
type Known = std::result::Result<Config, String>;

/// The API, until it is told to end.
pub struct Server {
    listening: Listening,
    /// `host:port`, as clients name this server.
    pub worker: String,
}

impl Server {
    /// Serves on `tokio`. `machine`: `user@machine`, of which clients see the machine where the address says nothing.
    ///
    /// # Errors
    /// The address is taken; other machines reach it and there are no tokens; a file of tokens or certificates cannot be used.
    pub fn start(
        options: Options,
        catalogue: Catalogue,
        runtime: Arc<dyn Runtime>,
        loggers: Arc<Loggers>,
        machine: &str,
        tokio: &tokio::runtime::Handle,
    ) -> Result<Self> {
        let Options { listen, tokens, tls, brokers } = options;
        if tokens.is_none() && !listen.ip().is_loopback() {
            let message = format!("{listen} is reached from other machines, which needs a file of tokens");
            return Err(Error::config(message).hint("--tokens FILE; `wasmill token` makes its entries"));
        }
        let tokens = tokens.as_deref().map(Tokens::open).transpose()?;
        let hint = "is another server on this machine? Give each an address: --connect HOST:PORT, or --no-connect";
        let bound = Bound::take("Kafka Connect's API", listen, tls.as_ref(), hint)?;
        let address = bound.address();
        let name = machine.rsplit_once('@').map_or(machine, |(_, machine)| machine);
        let worker = match address.ip().is_unspecified() {
            true => format!("{name}:{}", address.port()),
            false => address.to_string(),
        };
        let office = Arc::new(Office {
            servers: crate::serve::post(catalogue.location()),
            catalogue,
            runtime,
            tokens,
            plain: tls.is_none(),
            failures: Failures::new(),
            worker: worker.clone(),
            brokers,
            cluster: OnceCell::new(),
            loggers,
            configs: Mutex::default(),
            looks: Semaphore::new(LOOKS),
        });
        Ok(Self { listening: bound.serve(routes::service(office), tokio)?, worker })
    }

    /// Takes no more requests; those that are answered may be finished.
    pub fn end(self) {
        self.listening.end();
    }
}

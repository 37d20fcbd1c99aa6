//! What the verbs about uploaded transforms and deployments share: the pipeline's registry and log.

use std::path::Path;
use std::sync::Arc;

use wasmill::config::Config;
use wasmill::deployment::Log;
use wasmill::error::{Error, Result};
use wasmill::registry::Registry;
use wasmill::runtime::TokioRuntime;

/// A pipeline's registry, its log, and the threads that its storage needs.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) registry: Registry,
    pub(super) log: Log,
    pub(super) tokio: tokio::runtime::Runtime,
}

impl Desk {
    pub(super) fn open(pipeline: &Path) -> Result<Self> {
        let config = Config::load(pipeline)?;
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
        let registry = {
            let _inside = tokio.enter();
            Registry::open(&config, Arc::new(TokioRuntime::new(tokio.handle().clone())))?
        };
        let log = Log::new(registry.clone(), &config.name);
        Ok(Self { config, registry, log, tokio })
    }

    /// The pipeline's transforms must come from the log, or what is done there changes nothing.
    pub(super) fn must_be_deployed(&self) -> Result<()> {
        if self.config.deployed {
            return Ok(());
        }
        Err(Error::config(format!("the transforms of pipeline {} stand in its file", self.config.name)).hint(
            "write transforms = \"deployed\" under [pipeline], and remove [[transforms]]: then they come from deployments",
        ))
    }
}

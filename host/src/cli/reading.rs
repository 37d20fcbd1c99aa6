//! What the verbs that read a table share: the pipeline file, the location, a progress bar while files are read.

use std::path::Path;

use indicatif::ProgressBar;
use wasmill::config::Config;
use wasmill::error::{Error, Result};
use wasmill::storage::{self, Location};

/// Reads a pipeline file.
pub(super) fn pipeline(file: &Path) -> Result<Config> {
    Config::load(file)
}

/// A location that is read.
pub(super) struct Reading {
    tokio: tokio::runtime::Runtime,
    location: Location,
}

impl Reading {
    /// The table of a pipeline.
    pub(super) fn of_table(config: &Config) -> Result<Self> {
        Self::open(&config.table.location, config)
    }

    /// The dead letters of a pipeline.
    pub(super) fn of_dead_letters(config: &Config) -> Result<Self> {
        Self::open(&config.dead_letters, config)
    }

    fn open(location: &str, config: &Config) -> Result<Self> {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
        Ok(Self { tokio, location: storage::open(location, &config.storage)? })
    }

    /// Waits for what `read` finds. The bar shows itself on a terminal only.
    pub(super) fn wait<T>(self, read: impl AsyncFnOnce(&Location, &ProgressBar) -> Result<T>) -> Result<T> {
        let progress = ProgressBar::no_length();
        let found = self.tokio.block_on(read(&self.location, &progress));
        progress.finish_and_clear();
        found
    }
}

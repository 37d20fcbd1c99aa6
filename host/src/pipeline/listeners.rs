//! Who outside hears what a run commits, where there is anybody: a webhook and a collector of traces.

use std::sync::Arc;

use super::account::News;
use super::traces::Traces;
use super::webhook::Webhook;
use crate::config::Config;
use crate::error::Result;
use crate::runtime::Runtime;

pub(super) struct Listeners {
    runtime: Arc<dyn Runtime>,
    webhook: Option<Webhook>,
    traces: Option<Traces>,
}

impl Listeners {
    /// Those that the pipeline file and the environment name. `host`: the id of this run.
    ///
    /// # Errors
    /// One cannot be spoken to at all, whether it answers or not.
    pub(super) fn new(
        config: &Config,
        host: &str,
        runtime: Arc<dyn Runtime>,
        tokio: &tokio::runtime::Handle,
    ) -> Result<Self> {
        let (webhook, traces) = (Webhook::start(config, tokio)?, Traces::start(&config.name, host)?);
        Ok(Self { runtime, webhook, traces })
    }

    /// Never waits.
    pub(super) fn tell(&mut self, news: News) {
        if let Some(traces) = &self.traces {
            let now = self.runtime.elapsed();
            news.checkpoints.iter().for_each(|checkpoint| traces.checkpoint(checkpoint, now));
        }
        if let Some(webhook) = &mut self.webhook {
            webhook.published(news.hive_partitions);
        }
    }

    /// Waits a little for what was not heard yet.
    pub(super) fn end(self, tokio: &tokio::runtime::Handle) {
        if let Some(webhook) = self.webhook {
            tokio.block_on(webhook.end());
        }
        self.traces.into_iter().for_each(Traces::end);
    }
}

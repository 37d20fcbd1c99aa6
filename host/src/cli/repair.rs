//! `wasmill repair PIPELINE`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use wasmill::audit::repair::Plan;
use wasmill::audit::{self, Options, Subject, print};
use wasmill::config::Config;
use wasmill::runtime::{Runtime, TokioRuntime};
use wasmill::table::print::print_json;

use super::{block_on, logging};

/// Put right what has one safe answer; without --yes only show what that would be.
///
/// Publishes what the newest record of a topic partition left staged, and deletes what fenced writers left behind. Published
/// files are never removed. It may run beside a living pipeline.
///
/// With --accept-removed it records that files which `verify` finds missing were removed on purpose. That takes their topic
/// partitions over; a running pipeline takes them back by itself.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill repair host/pipelines/demo.toml
  wasmill repair host/pipelines/demo.toml --accept-removed --why 'retention of 90 days' --yes")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Accept these files as removed, paths as `verify` shows them; without a path: all that are missing.
    #[arg(long, value_name = "PATH", num_args = 0.., requires = "why")]
    accept_removed: Option<Vec<String>>,
    /// Why they were removed; it is recorded with your name.
    #[arg(long, value_name = "TEXT", requires = "accept_removed")]
    why: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let subject = Subject::open(&Config::load(&self.pipeline)?)?;
        let progress = logging::busy();
        let options = Options { progress: progress.clone(), ..Options::default() };
        let why = self.why.unwrap_or_default();
        let repaired = block_on(async {
            let facts = audit::gather(&subject, &options).await?;
            let plan = match &self.accept_removed {
                None => Plan::safe(&subject, &facts),
                Some(paths) => Plan::accept(&subject, &facts, paths)?,
            };
            if !self.yes {
                return Ok(plan.show().clone());
            }
            let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio::runtime::Handle::current()));
            plan.carry_out(&runtime, &super::operator(), &why).await
        })?;
        progress.finish_and_clear();
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&repaired, &mut out)?;
        } else {
            print::print_repair(&repaired, &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

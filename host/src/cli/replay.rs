//! `wasmill replay PIPELINE --dead-letters`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use wasmill::config::Config;
use wasmill::error::{Error, Result};
use wasmill::replay::{self, Answer, Filter, Request};
use wasmill::runtime::{Runtime, TokioRuntime};
use wasmill::table::print::print_json;
use wasmill::transform::TransformEngine;

use super::remote::{Place, Target};
use super::{block_on, logging, module_cache, operator};

/// Send dead letters through the present deployment once more; without --yes only show what that would bring.
///
/// Each is replayed at most once: the checkpoints record which, with your name and reason, and `verify` counts them as what
/// they became. One that fails again becomes a new dead letter, which can be replayed in its turn. It takes the topic
/// partitions over: a running pipeline drops what it has open there, takes them back by itself, and goes on.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill replay host/pipelines/listen-events.toml --dead-letters --where reason=no-city --where since=2d
  wasmill replay host/pipelines/listen-events.toml --dead-letters --where reason=no-city \\
      --why 'enrich-geo 1.3 knows these cities' --yes
  wasmill replay --url https://host-1:8780 --dead-letters --limit 1000")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Replay dead letters.
    #[arg(long, required = true)]
    dead_letters: bool,
    /// Only those for which this holds: reason, transform, stage, topic_partition, offset, since or until. May be repeated:
    /// all must hold.
    #[arg(long = "where", value_name = "KEY=VALUE")]
    conditions: Vec<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT", required_if_eq("yes", "true"))]
    why: Option<String>,
    /// Only try them, and write nothing: what happens without --yes.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let filter = Filter::parse(self.conditions.iter().map(String::as_str), now_ms)?;
        let request = Request { filter, limit: self.limit, why: self.why.filter(|_| self.yes) };
        let answer = match self.target.place()? {
            Place::Host(host) => host.post("v1/replays", &request)?,
            Place::Storage(pipeline) => on_storage(&pipeline, &request)?,
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&answer, &mut out)?;
        } else {
            replay::print::print_answer(&answer, &mut out)?;
        }
        if answer.is_whole() {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Error::fatal("not all dead letters that match were replayed")
            .hint("try again: none is replayed twice")
            .into())
    }
}

fn on_storage(pipeline: &Path, request: &Request) -> Result<Answer> {
    let config = Config::load(pipeline)?;
    let engine = TransformEngine::new(module_cache().as_deref())?;
    let progress = logging::busy();
    let answer = block_on(async {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio::runtime::Handle::current()));
        replay::replay(&config, request, &operator(), &engine, &runtime, &progress).await
    });
    progress.finish_and_clear();
    answer
}

//! `wasmill run PIPELINE`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use wasmill::config::Config;
use wasmill::pipeline::{self, RunOptions};
use wasmill::report::{Ended, Progress, Summary};

use super::live::Live;
use super::{stop, vet};

/// Run a pipeline until its source ends, or until Ctrl-C or SIGTERM.
///
/// Ctrl-C and SIGTERM finish the checkpoint that is open and exit with 0; a second Ctrl-C ends at once, and nothing is
/// lost or doubled by it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill run host/pipelines/demo.toml
  wasmill run host/pipelines/listen-events.toml --until caught-up --json")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// When to end. caught-up: when every topic partition has reached the end that it had at the start.
    #[arg(long, value_enum)]
    until: Option<Until>,
    /// End with exit code 1 if any topic partition stopped with an error. Without this only a run in which all of them
    /// stopped does.
    #[arg(long)]
    fail_if_stopped: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Finish as on SIGTERM when standard input is closed: so ends what a server runs when the server is gone.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

/// What the end of a run may take beyond the shutdown limit: those who listen hear the last of it.
const LAST_WORDS: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, ValueEnum)]
enum Until {
    CaughtUp,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.pipeline)?;
        let stop = stop::flag()?;
        if self.end_with_stdin {
            stop::with_stdin(Arc::clone(&stop))?;
        }
        stop::within(Arc::clone(&stop), config.limits.shutdown + LAST_WORDS)?;
        let options = RunOptions {
            until_caught_up: matches!(self.until, Some(Until::CaughtUp)),
            module_cache: super::module_cache(),
            stop,
            progress: Arc::new(Progress::default()),
            operator: super::operator(),
            vetting: vet::by_this_program(self.pipeline.clone()),
        };
        let live = Live::start(Arc::clone(&options.progress))?;
        let result = self.until_the_end(config, &options);
        drop(live);
        let summary = result?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", summary.to_json())?;
        } else {
            write!(out, "{summary}")?;
        }
        let stopped = summary.stopped.len() as u64;
        let failed = stopped > 0 && (self.fail_if_stopped || stopped >= summary.topic_partitions);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Runs again with the new columns whenever the table gets some.
    fn until_the_end(&self, config: Config, options: &RunOptions) -> anyhow::Result<Summary> {
        let mut summary = pipeline::run(&config, options)?;
        while summary.ended == Ended::Evolved {
            let config = Config::load(&self.pipeline)?;
            summary = summary.and_then(pipeline::run(&config, options)?);
        }
        Ok(summary)
    }
}

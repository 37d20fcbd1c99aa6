//! `wasmill dead-letters list|show PIPELINE`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use wasmill::audit::Subject;
use wasmill::config::Config;
use wasmill::error::Error;
use wasmill::replay;
use wasmill::storage::Location;
use wasmill::table::dead_letters::{self, Coordinates, ListFilter, Replayed};
use wasmill::table::print;

use super::{block_on, logging};

/// Look at what could not go on, and why.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    view: View,
}

#[derive(Subcommand)]
enum View {
    List(List),
    Show(Show),
}

/// Count dead letters by reason, and list the latest.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill dead-letters list host/pipelines/demo.toml --reason not-json --since 2h")]
struct List {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Only of this reason.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Only of this transform.
    #[arg(long, value_name = "NAME")]
    transform: Option<String>,
    /// Only those recorded since: 90m, 2h, 2026-11-24, or 2026-11-24T08:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// How many of the latest to list; all are counted.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Those that were replayed, too.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show the dead letters of one message with all that they hold.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill dead-letters show host/pipelines/demo.toml listen_events/3@1284")]
struct Show {
    /// The pipeline file.
    pipeline: PathBuf,
    /// TOPIC/PARTITION@OFFSET, as the list shows it.
    message: Coordinates,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<i64, Error> {
    dead_letters::parse_since(text, jiff::Timestamp::now().as_millisecond())
}

/// The dead letters, and which of them were replayed.
fn open(pipeline: &Path) -> anyhow::Result<(Location, Replayed)> {
    let subject = Subject::open(&Config::load(pipeline)?)?;
    let progress = logging::busy();
    let replayed = block_on(replay::replayed(&subject, &progress))?;
    progress.finish_and_clear();
    Ok((subject.dead_letters, replayed))
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.view {
            View::List(view) => view.run(),
            View::Show(view) => view.run(),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (location, replayed) = open(&self.pipeline)?;
        let List { reason, transform, since: since_ms, limit, all, .. } = self;
        let filter = ListFilter { reason, transform, since_ms, limit, replayed: all, ..ListFilter::default() };
        let found = block_on(dead_letters::list(&location, &filter, &replayed, &logging::busy()))?;
        let mut out = std::io::stdout().lock();
        if self.json {
            print::print_json(&found, &mut out)?;
        } else {
            print::print_letter_list(&found, &mut out)?;
        }
        Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (location, replayed) = open(&self.pipeline)?;
        let found = block_on(dead_letters::show(&location, &self.message, &replayed, &logging::busy()))?;
        let mut out = std::io::stdout().lock();
        if self.json {
            print::print_json(&found, &mut out)?;
        } else {
            print::print_letters(&found, &mut out)?;
        }
        let is_complete = !found.letters.is_empty() && found.problems.is_empty();
        Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

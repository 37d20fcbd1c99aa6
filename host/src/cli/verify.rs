//! `wasmill verify PIPELINE`.

use std::path::PathBuf;
use std::process::ExitCode;

use wasmill::audit::{self, Options, Subject, print};
use wasmill::config::Config;
use wasmill::reprocess;
use wasmill::source;
use wasmill::table::print::print_json;

use super::{block_on, logging};

/// Check that the table is what its checkpoints say: nothing missing, nothing twice, every message accounted for.
///
/// Reads the checkpoints with their archive, and the footer of every file. It may run beside a living pipeline. Exits with
/// 1 when something is wrong; host/docs/verify.md tells what each finding means and what to do.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill verify host/pipelines/demo.toml
  wasmill verify host/pipelines/listen-events.toml --deep --json")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Read offsets row by row where rows carry them (dead letters do), and compare with what Kafka has.
    #[arg(long)]
    deep: bool,
    /// Files in the table that other programs wrote (a compaction job's) are in order.
    #[arg(long)]
    foreign_files: bool,
    /// Check what `wasmill reprocess` made in this location, not the pipeline's own table.
    #[arg(long, value_name = "LOCATION")]
    reprocessed: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(&self.pipeline)?;
        if let Some(into) = &self.reprocessed {
            config = reprocess::config_into(&config, into);
        }
        let subject = Subject::open(&config)?;
        let progress = logging::busy();
        let options = Options { deep: self.deep, foreign_files: self.foreign_files, progress: progress.clone() };
        let mut facts = block_on(audit::gather(&subject, &options))?;
        // A range that was rebuilt may have expired since, and that is in order.
        if self.deep && self.reprocessed.is_none() {
            // After the chains: the source can only be further by then.
            progress.set_message("asking the source");
            let all: Vec<_> = facts.chains.keys().cloned().collect();
            facts.source = source::known_offsets(&config.source, &all)?;
        }
        progress.finish_and_clear();
        let report = audit::judge(&facts);
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&report, &mut out)?;
        } else {
            print::print_report(&report, &mut out)?;
        }
        Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::from(crate::FAILED) })
    }
}

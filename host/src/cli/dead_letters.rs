//! `wasmill dead-letters list|show PIPELINE`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use wasmill::table::dead_letters::{self, Coordinates, ListFilter};
use wasmill::table::print;

use super::reading::{Reading, pipeline};

/// Look at what was set aside, and why.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill dead-letters list host/pipelines/demo.toml\n  \
                        wasmill dead-letters show host/pipelines/demo.toml listen_events/0@4711")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Count dead letters by reason, and list the latest
    #[command(after_help = "Example:\n  wasmill dead-letters list --reason wrong-type --since 1h host/pipelines/demo.toml")]
    List {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Only this reason.
        #[arg(long, value_name = "CODE")]
        reason: Option<String>,
        /// Only of this transform.
        #[arg(long, value_name = "NAME")]
        transform: Option<String>,
        /// Only since: a time span back from now (90m, 2d), or a time.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// How many of the latest to list.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one message that was set aside
    #[command(after_help = "Example:\n  wasmill dead-letters show host/pipelines/demo.toml listen_events/0@4711")]
    Show {
        /// The pipeline file.
        pipeline: PathBuf,
        /// The message: TOPIC/PARTITION@OFFSET
        message: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        match self.verb {
            Verb::List { pipeline: file, reason, transform, since, limit, json } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
                let since_ms = since.map(|text| dead_letters::parse_since(&text, now)).transpose()?;
                let filter = ListFilter { reason, transform, since_ms, limit };
                let reading = Reading::of_dead_letters(&pipeline(&file)?)?;
                let found = reading.wait(async |location, progress| dead_letters::list(location, &filter, progress).await)?;
                if json { print::print_json(&found, &mut out)? } else { print::print_letter_list(&found, &mut out)? }
            }
            Verb::Show { pipeline: file, message, json } => {
                let message: Coordinates = message.parse()?;
                let reading = Reading::of_dead_letters(&pipeline(&file)?)?;
                let found = reading.wait(async |location, progress| dead_letters::show(location, &message, progress).await)?;
                if json { print::print_json(&found, &mut out)? } else { print::print_letters(&found, &mut out)? }
                if found.letters.is_empty() {
                    return Ok(ExitCode::from(crate::FAILED));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! `wasmill table ls|du|head|schema PIPELINE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use wasmill::table::{self, HeadOptions, ListOptions, SchemaOptions, UsageOptions, print};

use super::reading::{Reading, pipeline};

/// Look into a pipeline's table: the same on HDFS and on a local disk.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill table ls host/pipelines/demo.toml\n  \
                        wasmill table head -n 5 host/pipelines/demo.toml")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// What all verbs take.
#[derive(clap::Args)]
struct Place {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Look only below this directory of the table: year=2026/month=11
    #[arg(long, value_name = "HIVE_PARTITION")]
    below: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// List the hive partitions with their files, rows and bytes
    #[command(after_help = "Example:\n  wasmill table ls --files host/pipelines/demo.toml")]
    Ls {
        #[command(flatten)]
        place: Place,
        /// List each file too.
        #[arg(long)]
        files: bool,
        /// At most so many hive partitions, the newest.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Add the sizes up, for each directory level
    #[command(after_help = "Example:\n  wasmill table du --depth 2 host/pipelines/demo.toml")]
    Du {
        #[command(flatten)]
        place: Place,
        /// Directory levels to show. Default: all.
        #[arg(long, value_name = "N")]
        depth: Option<usize>,
    },
    /// Show some rows
    #[command(after_help = "Example:\n  wasmill table head -n 3 --columns song,artist host/pipelines/demo.toml")]
    Head {
        #[command(flatten)]
        place: Place,
        /// How many.
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
        rows: usize,
        /// Only these columns.
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        columns: Vec<String>,
    },
    /// Show the columns, and where files differ from each other
    #[command(after_help = "Example:\n  wasmill table schema host/pipelines/demo.toml")]
    Schema {
        #[command(flatten)]
        place: Place,
        /// Read at most so many files, the newest. Default: all.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        match self.verb {
            Verb::Ls { place, files, limit } => {
                let options = ListOptions { below: place.below.clone(), files, limit };
                let reading = Reading::of_table(&pipeline(&place.pipeline)?)?;
                let found = reading.wait(async |location, progress| table::ls(location, &options, progress).await)?;
                if place.json { print::print_json(&found, &mut out)? } else { print::print_listing(&found, &mut out)? }
            }
            Verb::Du { place, depth } => {
                let options = UsageOptions { below: place.below.clone(), depth };
                let reading = Reading::of_table(&pipeline(&place.pipeline)?)?;
                let found = reading.wait(async |location, progress| table::du(location, &options, progress).await)?;
                if place.json { print::print_json(&found, &mut out)? } else { print::print_usage(&found, &mut out)? }
            }
            Verb::Head { place, rows, columns } => {
                let options = HeadOptions { rows, columns, below: place.below.clone() };
                let reading = Reading::of_table(&pipeline(&place.pipeline)?)?;
                let found = reading.wait(async |location, progress| table::head(location, &options, progress).await)?;
                if place.json { print::print_head_json_lines(&found, &mut out)? } else { print::print_head(&found, &mut out)? }
            }
            Verb::Schema { place, limit } => {
                let options = SchemaOptions { below: place.below.clone(), limit, expected: None };
                let reading = Reading::of_table(&pipeline(&place.pipeline)?)?;
                let found = reading.wait(async |location, progress| table::schema(location, &options, progress).await)?;
                if place.json { print::print_json(&found, &mut out)? } else { print::print_schema(&found, &mut out)? }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

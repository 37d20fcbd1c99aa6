//! `wasmill table ls|du|head|schema PIPELINE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use wasmill::config::Config;
use wasmill::storage::{self, Location};
use wasmill::table::{self, HeadOptions, ListOptions, SchemaOptions, UsageOptions, print};

use super::{block_on, logging};

/// Look at the table of a pipeline, on HDFS or a local disk, as any other reader sees it.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    view: View,
}

#[derive(Subcommand)]
enum View {
    Ls(Ls),
    Du(Du),
    Head(Head),
    Schema(Schema),
}

#[derive(clap::Args)]
struct Common {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Only what lies below this path of the table, like year=2026/month=11.
    #[arg(long, value_name = "PATH")]
    below: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// List hive partitions with their files, rows and bytes.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill table ls host/pipelines/demo.toml --limit 24")]
struct Ls {
    #[command(flatten)]
    common: Common,
    /// Each file, too.
    #[arg(long)]
    files: bool,
    /// At most so many hive partitions: the last ones.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Add up bytes by directory.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill table du host/pipelines/demo.toml --depth 3")]
struct Du {
    #[command(flatten)]
    common: Common,
    /// At most so many levels of directories.
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
}

/// Print the first rows. With --json, one object a line.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill table head host/pipelines/demo.toml --rows 5 --columns ts,artist,region")]
struct Head {
    #[command(flatten)]
    common: Common,
    /// How many rows.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    rows: usize,
    /// Only these columns.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    columns: Vec<String>,
}

/// Print the columns, and where files disagree about them.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill table schema host/pipelines/demo.toml")]
struct Schema {
    #[command(flatten)]
    common: Common,
    /// Look at so many files at most: the newest ones.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let problems = match self.view {
            View::Ls(view) => view.run(),
            View::Du(view) => view.run(),
            View::Head(view) => view.run(),
            View::Schema(view) => view.run(),
        }?;
        Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Common {
    fn open(&self) -> anyhow::Result<Location> {
        let config = Config::load(&self.pipeline)?;
        Ok(storage::open(&config.table.location, &config.storage)?)
    }
}

// Each returns how many files could not be read.

impl Ls {
    fn run(self) -> anyhow::Result<usize> {
        let location = self.common.open()?;
        let options = ListOptions { below: self.common.below, files: self.files, limit: self.limit };
        let found = block_on(table::ls(&location, &options, &logging::busy()))?;
        let mut out = std::io::stdout().lock();
        if self.common.json {
            print::print_json(&found, &mut out)?;
        } else {
            print::print_listing(&found, &mut out)?;
        }
        Ok(found.problems.len())
    }
}

impl Du {
    fn run(self) -> anyhow::Result<usize> {
        let location = self.common.open()?;
        let options = UsageOptions { below: self.common.below, depth: self.depth };
        let found = block_on(table::du(&location, &options, &logging::busy()))?;
        let mut out = std::io::stdout().lock();
        if self.common.json {
            print::print_json(&found, &mut out)?;
        } else {
            print::print_usage(&found, &mut out)?;
        }
        Ok(0)
    }
}

impl Head {
    fn run(self) -> anyhow::Result<usize> {
        let location = self.common.open()?;
        let options = HeadOptions { rows: self.rows, columns: self.columns, below: self.common.below };
        let found = block_on(table::head(&location, &options, &logging::busy()))?;
        let mut out = std::io::stdout().lock();
        if self.common.json {
            print::print_head_json_lines(&found, &mut out)?;
        } else {
            print::print_head(&found, &mut out)?;
        }
        Ok(found.problems.len())
    }
}

impl Schema {
    fn run(self) -> anyhow::Result<usize> {
        let location = self.common.open()?;
        let options = SchemaOptions { below: self.common.below, limit: self.limit, expected: None };
        let found = block_on(table::schema(&location, &options, &logging::busy()))?;
        let mut out = std::io::stdout().lock();
        if self.common.json {
            print::print_json(&found, &mut out)?;
        } else {
            print::print_schema(&found, &mut out)?;
        }
        Ok(found.problems.len())
    }
}

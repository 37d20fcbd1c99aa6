//! The verbs of the command line, one file each; no logic of their own.
//!
//! A verb turns its arguments into one call of the library and prints what comes back: data to standard output, logs and
//! errors to standard error.

mod completions;
mod logging;
mod transform;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// A stream processor whose transforms are WebAssembly: Kafka in, Hive-partitioned Parquet out, exactly once.
#[derive(Parser)]
#[command(name = "wasmill", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    logging: logging::Options,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Transform(transform::Arguments),
    Completions(completions::Arguments),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        logging::start(&self.logging);
        match self.verb {
            Verb::Transform(arguments) => arguments.run(),
            Verb::Completions(arguments) => arguments.run(Cli::command()),
        }
    }
}

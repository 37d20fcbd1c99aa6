//! The verbs of the command line, one file each; no logic of their own.
//!
//! A verb turns its arguments into one call of the library and prints what comes back: data to standard output, logs and
//! errors to standard error.

mod check;
mod completions;
mod dead_letters;
mod deploy;
mod deployments;
mod eventsim;
mod live;
mod logging;
mod logs;
mod offsets;
mod pipeline;
mod push;
mod registry;
mod remote;
mod repair;
mod replay;
mod reprocess;
mod run;
mod schema;
mod serve;
mod sign;
mod status;
mod stop;
mod table;
mod token;
mod transform;
mod transforms;
mod verify;
mod vet;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use wasmill::error::Error;

/// A stream processor whose transforms are WebAssembly: Kafka in, Hive-partitioned Parquet out, exactly once.
#[derive(Parser)]
#[command(name = "wasmill", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    logging: logging::Options,
    #[command(subcommand)]
    verb: Verb,
}

// It is made once and used at once.
#[allow(clippy::large_enum_variant)]
#[derive(Subcommand)]
enum Verb {
    Run(run::Arguments),
    Serve(serve::Arguments),
    Pipeline(pipeline::Arguments),
    Status(status::Arguments),
    Logs(logs::Arguments),
    Check(check::Arguments),
    Table(table::Arguments),
    DeadLetters(dead_letters::Arguments),
    Verify(verify::Arguments),
    Repair(repair::Arguments),
    Replay(replay::Arguments),
    Reprocess(reprocess::Arguments),
    Offsets(offsets::Arguments),
    Schema(schema::Arguments),
    Eventsim(eventsim::Arguments),
    Transform(transform::Arguments),
    Keygen(sign::Keygen),
    Sign(sign::Sign),
    Token(token::Arguments),
    Push(push::Arguments),
    Transforms(transforms::Arguments),
    Deploy(deploy::Arguments),
    Promote(deploy::Promote),
    Rollback(deploy::Rollback),
    Deployments(deployments::Arguments),
    Diff(deployments::Diff),
    Pause(deployments::Pause),
    Resume(deployments::Resume),
    #[command(hide = true)]
    Vet(vet::Arguments),
    Completions(completions::Arguments),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        logging::start(&self.logging);
        match self.verb {
            Verb::Run(arguments) => arguments.run(),
            Verb::Serve(arguments) => arguments.run(&self.logging),
            Verb::Pipeline(arguments) => arguments.run(),
            Verb::Status(arguments) => arguments.run(),
            Verb::Logs(arguments) => arguments.run(),
            Verb::Check(arguments) => arguments.run(),
            Verb::Table(arguments) => arguments.run(),
            Verb::DeadLetters(arguments) => arguments.run(),
            Verb::Verify(arguments) => arguments.run(),
            Verb::Repair(arguments) => arguments.run(),
            Verb::Replay(arguments) => arguments.run(),
            Verb::Reprocess(arguments) => arguments.run(),
            Verb::Offsets(arguments) => arguments.run(),
            Verb::Schema(arguments) => arguments.run(),
            Verb::Eventsim(arguments) => arguments.run(),
            Verb::Transform(arguments) => arguments.run(),
            Verb::Keygen(arguments) => arguments.run(),
            Verb::Sign(arguments) => arguments.run(),
            Verb::Token(arguments) => arguments.run(),
            Verb::Push(arguments) => arguments.run(),
            Verb::Transforms(arguments) => arguments.run(),
            Verb::Deploy(arguments) => arguments.run(),
            Verb::Promote(arguments) => arguments.run(),
            Verb::Rollback(arguments) => arguments.run(),
            Verb::Deployments(arguments) => arguments.run(),
            Verb::Diff(arguments) => arguments.run(),
            Verb::Pause(arguments) => arguments.run(),
            Verb::Resume(arguments) => arguments.run(),
            Verb::Vet(arguments) => arguments.run(),
            Verb::Completions(arguments) => arguments.run(Cli::command()),
        }
    }
}

/// Where compiled modules are kept between runs: the user's cache directory. `None`: there is none, so each run compiles.
fn module_cache() -> Option<PathBuf> {
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("wasmill").join("modules"))
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    if name.is_empty() { Err("the name is missing".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

/// Who runs this, for records: `user@machine`.
fn operator() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user}@{}", machine.trim())
}

/// Waits for what a storage answers.
fn block_on<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
    tokio.block_on(answer)
}

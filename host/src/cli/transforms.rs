//! `wasmill transforms list|show|remove|pull PIPELINE`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use wasmill::error::Error;
use wasmill::registry::{Listed, Reference, Release, short, time};
use wasmill::report::grouped;
use wasmill::table::print::print_json;

use super::registry::Desk;

/// Look at uploaded transforms, fetch one, or take one out of use.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Remove(Remove),
    Pull(Pull),
}

/// List all transforms and versions.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill transforms list host/pipelines/uploaded.toml")]
struct List {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show the versions of one transform: who pushed which, when.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill transforms show host/pipelines/uploaded.toml keep-plays")]
struct Show {
    /// The pipeline file.
    pipeline: PathBuf,
    /// NAME or NAME@VERSION.
    transform: Reference,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Withdraw a version: it can be deployed no more.
///
/// Deployments that have it keep it, and its module stays, because a rollback may need it. The version is never free again.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wasmill transforms remove host/pipelines/uploaded.toml keep-plays@1.2.0 --note 'drops half'"
)]
struct Remove {
    /// The pipeline file.
    pipeline: PathBuf,
    /// NAME@VERSION.
    transform: Reference,
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

/// Fetch the module of a version, checked against its hash.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wasmill transforms pull host/pipelines/uploaded.toml keep-plays@1.2.0 -o keep_plays.wasm"
)]
struct Pull {
    /// The pipeline file.
    pipeline: PathBuf,
    /// NAME@VERSION, or NAME for the newest.
    transform: Reference,
    /// Where to write it. Default: NAME-VERSION.wasm in this directory.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::List(command) => command.run(),
            Command::Show(command) => command.run(),
            Command::Remove(command) => command.run(),
            Command::Pull(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        let all = desk.tokio.block_on(desk.registry.list())?;
        print(&all, self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        let mut found = desk.tokio.block_on(desk.registry.versions(&self.transform.name))?;
        if let Some(version) = &self.transform.version {
            found.retain(|listed| listed.release.version == *version);
        }
        if found.is_empty() {
            // Says what there is instead.
            desk.tokio.block_on(desk.registry.find(&self.transform))?;
        }
        print(&found, self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(all: &[Listed], json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        print_json(&all, &mut out)?;
        return Ok(());
    }
    if all.is_empty() {
        writeln!(out, "nothing was pushed yet; next: wasmill push PIPELINE MODULE.wasm")?;
    }
    let name = |listed: &Listed| format!("{}@{}", listed.release.name, listed.release.version);
    let width = all.iter().map(|listed| name(listed).len()).max().unwrap_or_default();
    for listed in all {
        let Release { sha256, size, pushed_at_ms, pushed_by, interface, .. } = &listed.release;
        let (name, bytes) = (name(listed), grouped(*size as u64));
        let (hash, when) = (short(sha256), time(*pushed_at_ms));
        writeln!(out, "{name:<width$}  {hash}  {bytes:>12} bytes  interface {interface}  {when} by {pushed_by}")?;
        if let Some(signature) = &listed.release.signature {
            writeln!(out, "{:<width$}  signed by {}", "", signature.key)?;
        }
        if let Some(withdrawn) = &listed.withdrawn {
            writeln!(
                out,
                "{:<width$}  withdrawn {} by {}: {}",
                "",
                time(withdrawn.at_ms),
                withdrawn.by,
                withdrawn.note
            )?;
        }
    }
    Ok(())
}

impl Remove {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Reference { name, version: Some(version) } = &self.transform else {
            return Err(Error::config("which version?").hint("give NAME@VERSION").into());
        };
        let desk = Desk::open(&self.pipeline)?;
        let by = super::operator();
        let release = desk.tokio.block_on(desk.registry.withdraw(name, version, &by, &self.note))?;
        writeln!(std::io::stdout().lock(), "{}@{} can be deployed no more", release.name, release.version)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Pull {
    fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        let release = desk.tokio.block_on(desk.registry.find(&self.transform))?;
        let bytes = desk.tokio.block_on(desk.registry.module_of(&release.name, &release.version, &release.sha256))?;
        let Release { name, version, .. } = &release;
        let output = self.output.unwrap_or_else(|| format!("{name}-{version}.wasm").into());
        std::fs::write(&output, &bytes)
            .map_err(|error| Error::config(format!("cannot write {}", output.display())).because(error))?;
        writeln!(
            std::io::stdout().lock(),
            "{}: {name}@{version}, {} bytes",
            output.display(),
            grouped(bytes.len() as u64)
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

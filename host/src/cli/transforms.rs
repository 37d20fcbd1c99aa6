//! `wasmill transforms list|show|remove|pull PIPELINE`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use wasmill::error::{Error, Result};
use wasmill::registry::{Listed, Reference, Release, short, time};
use wasmill::report::grouped;
use wasmill::table::print::print_json;

use super::registry::Desk;
use super::remote::{Host, Place, Target};

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
#[command(after_help = "Examples:
  wasmill transforms list host/pipelines/uploaded.toml
  wasmill transforms list --url https://host-1:8780")]
struct List {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show the versions of one transform: who pushed which, when.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transforms show host/pipelines/uploaded.toml keep-plays
  wasmill transforms show --url https://host-1:8780 keep-plays")]
struct Show {
    #[command(flatten)]
    which: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Withdraw a version: it can be deployed no more.
///
/// Deployments that have it keep it, and its module stays, because a rollback may need it. The version is never free again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transforms remove host/pipelines/uploaded.toml keep-plays@1.2.0 --note 'drops half'
  wasmill transforms remove --url https://host-1:8780 keep-plays@1.2.0")]
struct Remove {
    #[command(flatten)]
    which: Which,
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

/// Fetch the module of a version, checked against its hash.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transforms pull host/pipelines/uploaded.toml keep-plays@1.2.0 -o keep_plays.wasm
  wasmill transforms pull --url https://host-1:8780 keep-plays")]
struct Pull {
    #[command(flatten)]
    which: Which,
    /// Where to write it. Default: NAME-VERSION.wasm in this directory.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// One transform of a pipeline.
#[derive(clap::Args)]
struct Which {
    /// The pipeline file (not with --url), and NAME@VERSION, or NAME for all of them or the newest.
    #[arg(required = true, num_args = 1..=2, value_names = ["PIPELINE", "TRANSFORM"])]
    words: Vec<String>,
    #[command(flatten)]
    host: Host,
}

impl Which {
    fn place(self) -> Result<(Place, Reference)> {
        let is_whole = self.words.len() == 1;
        let (place, words) = self.host.place_of(self.words, |_| is_whole)?;
        let [transform] = &words[..] else {
            return Err(Error::config("which transform?").hint("give NAME or NAME@VERSION"));
        };
        Ok((place, transform.parse()?))
    }
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
        let all: Vec<Listed> = match self.target.place()? {
            Place::Host(host) => host.get("v1/transforms", &[])?,
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                desk.tokio.block_on(desk.registry.list())?
            }
        };
        print(&all, self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let found: Vec<Listed> = match self.which.place()? {
            (Place::Host(host), transform) => host.get(&format!("v1/transforms/{transform}"), &[])?,
            (Place::Storage(pipeline), transform) => {
                let desk = Desk::open(&pipeline)?;
                desk.tokio.block_on(desk.registry.matching(&transform))?
            }
        };
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
        let (place, transform) = self.which.place()?;
        let Reference { name, version: Some(version) } = &transform else {
            return Err(Error::config("which version?").hint("give NAME@VERSION").into());
        };
        let release: Release = match place {
            Place::Host(host) => {
                host.post(&format!("v1/transforms/{transform}/withdraw"), &json!({ "note": self.note }))?
            }
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                let by = super::operator();
                desk.tokio.block_on(desk.registry.withdraw(name, version, &by, &self.note))?
            }
        };
        writeln!(std::io::stdout().lock(), "{}@{} can be deployed no more", release.name, release.version)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Pull {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (name, bytes) = match self.which.place()? {
            (Place::Host(host), transform) => host.fetch(&format!("v1/transforms/{transform}/module"))?,
            (Place::Storage(pipeline), transform) => {
                let desk = Desk::open(&pipeline)?;
                let Release { name, version, sha256, .. } = desk.tokio.block_on(desk.registry.find(&transform))?;
                let bytes = desk.tokio.block_on(desk.registry.module_of(&name, &version, &sha256))?;
                (format!("{name}-{version}.wasm"), bytes.into())
            }
        };
        let output = self.output.unwrap_or_else(|| name.clone().into());
        std::fs::write(&output, &bytes)
            .map_err(|error| Error::config(format!("cannot write {}", output.display())).because(error))?;
        writeln!(
            std::io::stdout().lock(),
            "{}: {}, {} bytes",
            output.display(),
            name.trim_end_matches(".wasm"),
            grouped(bytes.len() as u64)
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `wasmill pipeline apply|list|show|stop|resume|restart|delete`: what servers run.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;
use wasmill::error::{Error, Result};
use wasmill::registry::time;
use wasmill::runtime::{Runtime as _, TokioRuntime};
use wasmill::serve::{self, Action, Applied, Catalogue, Entry, PipelineStatus, State, Target, Wanted};
use wasmill::storage::{self, StorageOptions};

/// Apply, list, show, stop, restart and delete the pipelines that `wasmill serve` runs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Apply(Apply),
    List(List),
    Show(Show),
    Stop(Stop),
    Resume(Resume),
    Restart(Restart),
    Delete(Delete),
}

/// The storage that servers share.
#[derive(clap::Args)]
pub(super) struct Shared {
    /// Where the pipelines are kept: a directory on HDFS or a disk that all servers reach.
    #[arg(long, value_name = "LOCATION", env = "WASMILL_STORAGE")]
    storage: String,
}

/// The catalogue, and the threads that its storage needs.
pub(super) struct Desk {
    pub(super) catalogue: Catalogue,
    pub(super) tokio: tokio::runtime::Runtime,
}

impl Shared {
    pub(super) fn open(&self) -> Result<Desk> {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let tokio = tokio.map_err(|error| Error::fatal("cannot start the storage threads").because(error))?;
        let catalogue = {
            let _inside = tokio.enter();
            let location = storage::open(&self.storage, &StorageOptions::default())?;
            Catalogue::new(location, Arc::new(TokioRuntime::new(tokio.handle().clone())))
        };
        Ok(Desk { catalogue, tokio })
    }
}

/// Let servers run a pipeline as its file says, or run it as it says now.
///
/// The file is checked first, with this machine's environment; what refers to the environment or to files is resolved again
/// on each server, and stands in the storage as it was written. A pipeline that runs already is ended where it runs, with a
/// checkpoint, and started anew: nothing is lost or doubled.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill pipeline apply listen-events.toml --storage hdfs://namenode:9000/user/wasmill
  wasmill pipeline apply - < listen-events.toml")]
struct Apply {
    /// The pipeline file; - for standard input.
    file: PathBuf,
    #[command(flatten)]
    shared: Shared,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// List the pipelines, and where they run.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill pipeline list --storage hdfs://namenode:9000/user/wasmill")]
struct List {
    #[command(flatten)]
    shared: Shared,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Print the file of a pipeline, as other commands take it.
#[derive(clap::Args)]
#[command(after_help = "Example:
  wasmill pipeline show listen-events > listen-events.toml
  wasmill status listen-events.toml")]
struct Show {
    /// The pipeline.
    name: String,
    #[command(flatten)]
    shared: Shared,
    /// Print the whole entry as JSON.
    #[arg(long)]
    json: bool,
}

/// Let a pipeline run nowhere until it is resumed. Each process finishes its checkpoint first.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill pipeline stop listen-events --note \"the namenode moves\"")]
struct Stop {
    #[command(flatten)]
    changed: Changed,
}

/// Let a pipeline run that was stopped, or paused by a client of Kafka Connect's API.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill pipeline resume listen-events")]
struct Resume {
    #[command(flatten)]
    changed: Changed,
}

/// Start a pipeline anew on all servers. Each process finishes its checkpoint first: nothing is lost or doubled.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill pipeline restart listen-events --note \"the password was changed\"")]
struct Restart {
    #[command(flatten)]
    changed: Changed,
}

/// Let a pipeline run nowhere. Its table, dead letters and checkpoints stay: applied again, it goes on where it was.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill pipeline delete listen-events --note \"moved to the other cluster\"")]
struct Delete {
    #[command(flatten)]
    changed: Changed,
}

/// Which pipeline is changed, and why.
#[derive(clap::Args)]
struct Changed {
    /// The pipeline.
    name: String,
    #[command(flatten)]
    shared: Shared,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is done to it.
#[derive(Clone, Copy)]
enum Change {
    Stop,
    Resume,
    Restart,
    Delete,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Apply(apply) => apply.run(),
            Verb::List(list) => list.run(),
            Verb::Show(show) => show.run(),
            Verb::Stop(Stop { changed }) => changed.run(Change::Stop),
            Verb::Resume(Resume { changed }) => changed.run(Change::Resume),
            Verb::Restart(Restart { changed }) => changed.run(Change::Restart),
            Verb::Delete(Delete { changed }) => changed.run(Change::Delete),
        }
    }
}

impl Apply {
    fn run(self) -> anyhow::Result<ExitCode> {
        let text = read(&self.file)?;
        let config = serve::check(&text, None).map_err(Error::from)?;
        let Desk { catalogue, tokio } = self.shared.open()?;
        let wanted = Wanted { name: &config.name, file: &text, connector: None, target: None };
        let applied = tokio.block_on(catalogue.apply(wanted, &super::operator(), &self.note))?;
        let mut out = std::io::stdout().lock();
        let (is_new, entry) = match applied {
            Applied::New(entry) => (true, entry),
            Applied::Unchanged(entry) => (false, entry),
        };
        if self.json {
            writeln!(out, "{}", json!({ "changed": is_new, "entry": entry }))?;
        } else {
            let follows = if entry.runs() { "servers run it within seconds" } else { "it stays stopped" };
            match is_new {
                true => writeln!(out, "pipeline {} is applied as entry {}; {follows}", entry.name, entry.number)?,
                false => writeln!(out, "pipeline {} is applied already, as entry {}", entry.name, entry.number)?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().lock().read_to_string(&mut text),
        _ => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Error::config(format!("cannot read {}", file.display())).because(error))?;
    Ok(text)
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Desk { catalogue, tokio } = self.shared.open()?;
        let runtime = TokioRuntime::new(tokio.handle().clone());
        let (entries, servers) = tokio.block_on(async {
            let servers = serve::post(catalogue.location()).read(runtime.now_ms()).await?;
            Ok::<_, Error>((catalogue.list().await?, servers))
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "pipelines": entries, "servers": servers }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut runs: BTreeMap<&str, Vec<(&str, &PipelineStatus)>> = BTreeMap::new();
        for server in &servers {
            for (name, status) in &server.pipelines {
                runs.entry(name).or_default().push((&server.machine, status));
            }
        }
        if entries.is_empty() {
            writeln!(out, "no pipelines; `wasmill pipeline apply FILE` brings one")?;
        }
        for entry in &entries {
            print(&mut out, entry, runs.get(entry.name.as_str()).map_or(&[], Vec::as_slice))?;
        }
        writeln!(out, "{} server(s)", servers.len())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(out: &mut impl std::io::Write, entry: &Entry, runs: &[(&str, &PipelineStatus)]) -> std::io::Result<()> {
    let Entry { name, number, at_ms, by, note, .. } = entry;
    let what = match entry.action {
        Action::Apply => "applied",
        Action::Delete => "deleted",
        Action::Pause => "paused",
        Action::Stop => "stopped",
        Action::Resume => "resumed",
        Action::Restart => "restarted",
    };
    let note = if note.is_empty() { String::new() } else { format!(": {}", note.escape_debug()) };
    writeln!(out, "{name}  entry {number}, {what} {} by {by}{note}", time(*at_ms))?;
    for (machine, status) in runs {
        let state = match status.state {
            State::Running if status.number == *number => "runs".to_owned(),
            State::Running => format!("still runs entry {}", status.number),
            State::Ending => format!("ends entry {}", status.number),
            State::Failed => "failed, and is tried again".to_owned(),
        };
        writeln!(out, "  {machine}: {state}; {} restarts", status.restarts)?;
        if let Some(problem) = &status.problem {
            writeln!(out, "    ended last by {}", problem.escape_debug())?;
        }
    }
    Ok(())
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Desk { catalogue, tokio } = self.shared.open()?;
        let entry = tokio.block_on(catalogue.present(&self.name))?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&entry)?)?;
        } else {
            out.write_all(entry.file.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Changed {
    fn run(self, change: Change) -> anyhow::Result<ExitCode> {
        let Desk { catalogue, tokio } = self.shared.open()?;
        let (name, by, note) = (&self.name, super::operator(), &self.note);
        let entry = tokio.block_on(async {
            match change {
                Change::Stop => catalogue.switch(name, Target::Stopped, &by, note).await,
                Change::Resume => catalogue.switch(name, Target::Running, &by, note).await,
                Change::Restart => catalogue.restart(name, &[], &by, note).await,
                Change::Delete => catalogue.delete(name, &by, note).await,
            }
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "entry": entry }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let told = match change {
            Change::Stop => "is stopped; `wasmill pipeline resume` lets it run again",
            Change::Resume => "runs; servers start it within seconds",
            Change::Restart if !entry.runs() => "is stopped, and starts anew when it is resumed",
            Change::Restart => "is started anew by each server within seconds",
            Change::Delete => "is deleted; what it wrote stays",
        };
        writeln!(out, "pipeline {} {told}", entry.name)?;
        Ok(ExitCode::SUCCESS)
    }
}

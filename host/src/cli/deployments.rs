//! `wasmill deployments PIPELINE`, `wasmill diff PIPELINE A B`, `wasmill pause|resume PIPELINE`.

use std::io::Write as _;
use std::process::ExitCode;

use wasmill::deployment::difference::Difference;
use wasmill::deployment::{Action, Deployed, Deployment, Entry};
use wasmill::error::Error;
use wasmill::registry::time;
use wasmill::table::print::{print_json, printable};

use super::registry::Desk;
use super::remote::{Host, Place, Target};

/// List the deployments of a pipeline: what ran since when, who deployed it and why.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill deployments host/pipelines/uploaded.toml
  wasmill deployments --url https://host-1:8780")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Show what changes from one deployment to another.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill diff host/pipelines/uploaded.toml 3 5
  wasmill diff --url https://host-1:8780 3 5")]
pub(crate) struct Diff {
    /// The pipeline file (not with --url), and the numbers of the one and the other.
    #[arg(required = true, num_args = 2..=3, value_names = ["PIPELINE", "FROM", "TO"])]
    words: Vec<String>,
    #[command(flatten)]
    host: Host,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Stop reading on all hosts, after what is open is committed, until the pipeline is resumed.
///
/// Hosts stay members of their group and keep their topic partitions.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill pause host/pipelines/uploaded.toml --note 'maintenance of HDFS'")]
pub(crate) struct Pause {
    #[command(flatten)]
    what: Switch,
}

/// Go on reading after a pause.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill resume host/pipelines/uploaded.toml")]
pub(crate) struct Resume {
    #[command(flatten)]
    what: Switch,
}

#[derive(clap::Args)]
struct Switch {
    #[command(flatten)]
    target: Target,
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let all: Vec<Entry> = match self.target.place()? {
            Place::Host(host) => host.get("v1/deployments", &[])?,
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                desk.tokio.block_on(desk.log.all())?
            }
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&all, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        if all.is_empty() {
            writeln!(out, "nothing is deployed yet; next: wasmill deploy PIPELINE TRANSFORM...")?;
        }
        for (index, entry) in all.iter().enumerate() {
            print_entry(&mut out, entry, index + 1 == all.len())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_entry(out: &mut impl std::io::Write, entry: &Entry, is_newest: bool) -> std::io::Result<()> {
    let what = match entry.action {
        Action::Deploy => "deploy".to_owned(),
        Action::Rollback { to } => format!("rollback to {to}"),
        Action::FallBack { to } => format!("fall back to {to}"),
        Action::Canary => "canary".to_owned(),
        Action::Promote => format!("promote {}", entry.deployment.number),
        Action::Abort => "end of trial".to_owned(),
        Action::Pause => "pause".to_owned(),
        Action::Resume => "resume".to_owned(),
    };
    let note = if entry.note.is_empty() { String::new() } else { format!(": {}", printable(&entry.note)) };
    let now = match (is_newest, entry.paused) {
        (false, _) => "",
        (true, false) => "  (now)",
        (true, true) => "  (now, paused)",
    };
    writeln!(out, "{:>4}  {}  {what} by {}{note}{now}", entry.number, time(entry.at_ms), printable(&entry.by))?;
    let shown: Option<&Deployment> = match (entry.action, &entry.canary) {
        (Action::Deploy | Action::Rollback { .. } | Action::FallBack { .. }, _) => Some(&entry.deployment),
        (Action::Canary, Some(canary)) => {
            let there: Vec<String> = canary.topic_partitions.iter().map(ToString::to_string).collect();
            writeln!(out, "        on {}", there.join(", "))?;
            Some(&canary.deployment)
        }
        _ => None,
    };
    for transform in shown.iter().flat_map(|deployment| &deployment.transforms) {
        let Deployed { name, settings, on_failure, .. } = transform;
        let reference = transform.reference().to_string();
        let alias = if reference.starts_with(&format!("{name}@")) { String::new() } else { format!("{name}=") };
        let settings: String = settings.iter().map(|(name, value)| printable(&format!(" {name}={value}"))).collect();
        let policy = match on_failure {
            wasmill::config::FailurePolicy::DeadLetter => String::new(),
            other => {
                format!(" on_failure={}", serde_json::to_value(other).unwrap_or_default().as_str().unwrap_or_default())
            }
        };
        writeln!(out, "        {alias}{reference}{settings}{policy}")?;
    }
    Ok(())
}

impl Diff {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (place, numbers) = self.host.place_of(self.words, |word| word.parse::<u64>().is_ok())?;
        let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
        let Ok([from, to]) = numbers.as_deref() else {
            return Err(Error::config("which deployments?")
                .hint("two numbers, as `wasmill deployments` lists them")
                .into());
        };
        let [old, new]: [Deployment; 2] = match place {
            Place::Host(host) => {
                let ask = |number| host.get(&format!("v1/deployments/{number}"), &[]);
                [ask(from)?, ask(to)?]
            }
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                let ask = |number: &u64| desk.tokio.block_on(desk.log.deployment(*number));
                [ask(from)?, ask(to)?]
            }
        };
        let difference = Difference::between(Some(&old), &new);
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&difference, &mut out)?;
        } else {
            write!(out, "from deployment {from} to {to}:\n{difference}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Pause {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.what.run(true)
    }
}

impl Resume {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        self.what.run(false)
    }
}

impl Switch {
    fn run(self, paused: bool) -> anyhow::Result<ExitCode> {
        let entry: Entry = match self.target.place()? {
            Place::Host(host) => {
                let path = if paused { "v1/pause" } else { "v1/resume" };
                host.post(path, &serde_json::json!({ "note": self.note }))?
            }
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                desk.must_be_deployed()?;
                desk.tokio.block_on(desk.log.switch(paused, &super::operator(), &self.note))?
            }
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&entry, &mut out)?;
        } else {
            let state = if paused { "paused" } else { "not paused" };
            writeln!(out, "the pipeline is {state}, by entry {}; hosts follow within seconds", entry.number)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

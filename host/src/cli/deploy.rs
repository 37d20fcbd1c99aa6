//! `wasmill deploy PIPELINE TRANSFORM...` and `wasmill rollback PIPELINE [TO]`.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use wasmill::deployment::judge::Bounds;
use wasmill::deployment::order::{Order, Outcome, Place, Wish, share_of};
use wasmill::deployment::{Action, Entry, Placement, Proposal, Request};
use wasmill::error::{Error, Result};
use wasmill::source::{self, SourceBatch};
use wasmill::table::print::print_json;
use wasmill::transform::TransformEngine;

use super::logging;
use super::registry::Desk;
use super::remote::{self, Host, Remote, Target};

/// Deploy uploaded transforms: every host of the pipeline swaps to them at the next range, without a pause.
///
/// Give the whole chain in order. Settings, limits and failure policies that the present deployment has are kept; what is
/// given here is put over them. Before it is accepted, the chain is described against the pipeline's schema, compared with
/// the present one, and both are tried on recent events, without writing anything.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill deploy host/pipelines/uploaded.toml keep-plays@1.2.0 enrich-geo --set keep-plays.min_seconds=45 --note 'longer plays'
  wasmill deploy host/pipelines/uploaded.toml mask-pii --set mask-pii.key=env:PII_KEY --dry-run
  wasmill deploy host/pipelines/uploaded.toml keep-plays@1.3.0 --canary 1/8 --bounds rejected=0.1,slower=5
  wasmill deploy host/pipelines/uploaded.toml short=keep-plays long=keep-plays --set long.min_seconds=300
  wasmill deploy --url https://host-1:8780 keep-plays@1.2.0")]
pub(crate) struct Arguments {
    /// The pipeline file (not with --url), then NAME, NAME@VERSION (without one: the newest), or OTHER=NAME@VERSION for a
    /// name of its own.
    #[arg(required = true, num_args = 1.., value_names = ["PIPELINE", "TRANSFORM"])]
    words: Vec<String>,
    #[command(flatten)]
    host: Host,
    /// A setting; a secret as env:VARIABLE or file:/PATH, which every host looks up. Again for more.
    #[arg(long, value_name = "TRANSFORM.SETTING=VALUE")]
    set: Vec<String>,
    /// Back to the transform's own default. Again for more.
    #[arg(long, value_name = "TRANSFORM.SETTING")]
    unset: Vec<String>,
    /// memory, deadline, output, high_water, log_lines, log_bytes, metrics or instances of a transform. Again for more.
    #[arg(long = "limit", value_name = "TRANSFORM.LIMIT=VALUE")]
    limits: Vec<String>,
    /// dead-letter, stop or skip. Again for more.
    #[arg(long, value_name = "TRANSFORM=POLICY")]
    on_failure: Vec<String>,
    /// Only on this share of the topic partitions, at least one, until `promote` or `rollback`.
    #[arg(long, value_name = "1/N", value_parser = share)]
    canary: Option<u32>,
    /// How much worse a canary may do before hosts end its trial by themselves.
    #[arg(long, value_name = "BOUNDS", requires = "canary", default_value = "failed=0.001,rejected=0.02,slower=3")]
    bounds: String,
    #[command(flatten)]
    how: How,
}

/// Go back to an earlier deployment: every host swaps to it at the next range. A canary's trial ends.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill rollback host/pipelines/uploaded.toml
  wasmill rollback host/pipelines/uploaded.toml 3 --note 'the new model rejects too much'
  wasmill rollback --url https://host-1:8780 --to 3")]
pub(crate) struct Rollback {
    #[command(flatten)]
    target: Target,
    /// Which deployment. Default: the one that ran before the present one.
    #[arg(value_name = "TO")]
    number: Option<u64>,
    /// The same, where no pipeline file is given.
    #[arg(long, value_name = "TO", conflicts_with = "number")]
    to: Option<u64>,
    #[command(flatten)]
    how: How,
}

/// Let a canary run everywhere.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill promote host/pipelines/uploaded.toml --note 'rejects as many as before'
  wasmill promote --url https://host-1:8780")]
pub(crate) struct Promote {
    #[command(flatten)]
    target: Target,
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct How {
    /// Why; it is recorded with your name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Recent events to try it on; 0: none.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    sample: usize,
    /// Also if readers of the table would lose a column, or see another type.
    #[arg(long)]
    allow_schema_change: bool,
    /// Only show what it would mean.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { words, host, set, unset, limits, on_failure, canary, bounds, how } = self;
        let (place, transforms) = host.place_of(words, |word| word.parse::<Placement>().is_ok())?;
        if transforms.is_empty() {
            return Err(Error::config("which transforms?").hint("name the whole chain, in order").into());
        }
        let pipeline = match place {
            remote::Place::Storage(pipeline) => pipeline,
            remote::Place::Host(host) => {
                let asked = json!({
                    "transforms": transforms, "set": set, "unset": unset, "limits": limits, "on_failure": on_failure,
                    "canary": canary, "bounds": canary.map(|_| bounds),
                });
                return how.ask(&host, "v1/deployments", asked);
            }
        };
        let bounds: Bounds = bounds.parse()?;
        let transforms = transforms.iter().map(|text| text.parse()).collect::<Result<Vec<Placement>>>()?;
        let desk = Desk::open(&pipeline)?;
        desk.must_be_deployed()?;
        let request = Request { transforms, set, unset, limits, on_failure };
        let wish = match canary {
            None => Wish::Deploy(request),
            Some(nth) => {
                let all = source::topic_partitions(&desk.config.source, desk.tokio.handle())?;
                Wish::Try { request, topic_partitions: share_of(all, nth), bounds }
            }
        };
        how.order(&desk, wish)
    }
}

impl Rollback {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let to = self.number.or(self.to);
        match self.target.place()? {
            remote::Place::Host(host) => self.how.ask(&host, "v1/rollback", json!({ "to": to })),
            remote::Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                desk.must_be_deployed()?;
                self.how.order(&desk, Wish::Rollback(to))
            }
        }
    }
}

impl Promote {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let entry: Entry = match self.target.place()? {
            remote::Place::Host(host) => host.post("v1/promote", &json!({ "note": self.note }))?,
            remote::Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                desk.must_be_deployed()?;
                desk.tokio.block_on(desk.log.promote(&super::operator(), &self.note))?
            }
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&entry, &mut out)?;
        } else {
            writeln!(out, "deployment {} runs everywhere within seconds", entry.deployment.number)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl How {
    /// An order that a host carries out.
    fn ask(self, host: &Remote, path: &str, mut asked: serde_json::Value) -> anyhow::Result<ExitCode> {
        let Self { note, sample, allow_schema_change, dry_run, json } = self;
        for (key, value) in [
            ("note", json!(note)),
            ("sample", json!(sample)),
            ("allow_schema_change", json!(allow_schema_change)),
            ("dry_run", json!(dry_run)),
        ] {
            asked[key] = value;
        }
        let answer: serde_json::Value = host.post(path, &asked)?;
        let mut out = std::io::stdout().lock();
        if json {
            print_json(&answer, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        match answer["accepted"]["number"].as_u64() {
            Some(number) if answer["accepted"]["canary"].is_object() => {
                writeln!(out, "deployment {number} is on trial within seconds; next: promote or rollback")?;
            }
            Some(_) => {
                let number = &answer["accepted"]["deployment"]["number"];
                writeln!(out, "deployment {number} runs within seconds")?;
            }
            None => writeln!(out, "nothing was done: it was only tried, or runs already; --json tells more")?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn order(self, desk: &Desk, wish: Wish) -> anyhow::Result<ExitCode> {
        let busy = logging::busy();
        busy.set_message("reading recent events");
        let sample = self.sample(desk)?;
        busy.set_message("compiling and trying");
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let place =
            Place { config: &desk.config, registry: &desk.registry, log: &desk.log, engine: &engine, sample: &sample };
        let Self { allow_schema_change, dry_run, note, json, .. } = self;
        let order = Order { wish, allow_schema_change, dry_run, note };
        let outcome = desk.tokio.block_on(order.carry_out(&place, &super::operator()))?;
        busy.finish_and_clear();
        let (proposal, accepted, refused) = match outcome {
            Outcome::TrialEnded(entry) => return trial_ended(&entry, json),
            Outcome::Proposed { proposal, accepted, refused } => (proposal, accepted, refused),
        };
        if !json {
            show(&proposal)?;
        }
        match refused {
            Some(error) if dry_run => tracing::warn!(%error, "it would be refused"),
            Some(error) => return Err(error.into()),
            None => {}
        }
        let mut out = std::io::stdout().lock();
        if json {
            print_json(&json!({ "proposal": proposal, "accepted": accepted }), &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        match accepted.map(|entry| *entry) {
            Some(Entry { action: Action::Canary, number, canary: Some(canary), .. }) => {
                let there: Vec<String> = canary.topic_partitions.iter().map(ToString::to_string).collect();
                writeln!(out, "deployment {number} is on trial on {}; next: promote or rollback", there.join(", "))?;
            }
            Some(entry) => writeln!(out, "deployment {} is accepted; hosts swap to it within seconds", entry.number)?,
            None if proposal.changes_nothing() => writeln!(out, "nothing was done: this is what runs already")?,
            None => writeln!(out, "nothing was done: --dry-run")?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Recent events. Without a server that answers, nothing can be tried, and the operator says whether that is fine.
    fn sample(&self, desk: &Desk) -> Result<Vec<SourceBatch>> {
        if self.sample == 0 {
            return Ok(Vec::new());
        }
        source::sample(&desk.config.source, desk.tokio.handle(), self.sample).map_err(|error| {
            Error::new(error.kind(), "cannot read recent events to try the deployment on")
                .because(error)
                .hint("--sample 0 deploys without trying")
        })
    }
}

fn share(text: &str) -> Result<u32, String> {
    let nth = text.strip_prefix("1/").and_then(|nth| nth.parse().ok()).filter(|nth| *nth > 1);
    nth.ok_or_else(|| "expected a share like 1/8".to_owned())
}

fn trial_ended(entry: &Entry, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if json {
        print_json(entry, &mut out)?;
    } else {
        writeln!(out, "the trial is over; deployment {} runs everywhere again", entry.deployment.number)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(proposal: &Proposal) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "changes:\n{}", proposal.difference)?;
    writeln!(out, "columns that leave the chain:")?;
    proposal.deployment.columns.iter().try_for_each(|column| writeln!(out, "    {column}"))?;
    match &proposal.rehearsal {
        Some(rehearsal) => write!(out, "{rehearsal}")?,
        None => writeln!(out, "not tried on any events")?,
    }
    Ok(())
}

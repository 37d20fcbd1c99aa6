//! `wasmill deploy PIPELINE TRANSFORM...` and `wasmill rollback PIPELINE [TO]`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use wasmill::deployment::judge::Bounds;
use wasmill::deployment::{Action, Deployed, Draft, Entry, Placement, Proposal, Request};
use wasmill::error::{Error, Result};
use wasmill::source::{self, SourceBatch, TopicPartition};
use wasmill::table::print::print_json;
use wasmill::transform::TransformEngine;

use super::logging;
use super::registry::Desk;

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
  wasmill deploy host/pipelines/uploaded.toml short=keep-plays long=keep-plays --set long.min_seconds=300")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// NAME, NAME@VERSION (without one: the newest), or OTHER=NAME@VERSION for a name of its own.
    #[arg(required = true, value_name = "TRANSFORM")]
    transforms: Vec<Placement>,
    /// A setting; a secret as env:VARIABLE or file:/PATH, which every host looks up. Again for more.
    #[arg(long, value_name = "TRANSFORM.SETTING=VALUE")]
    set: Vec<String>,
    /// Back to the transform's own default. Again for more.
    #[arg(long, value_name = "TRANSFORM.SETTING")]
    unset: Vec<String>,
    /// memory, deadline, output, high_water, log_lines, log_bytes or metrics of a transform. Again for more.
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
    bounds: Bounds,
    #[command(flatten)]
    how: How,
}

/// Go back to an earlier deployment: every host swaps to it at the next range. A canary's trial ends.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill rollback host/pipelines/uploaded.toml
  wasmill rollback host/pipelines/uploaded.toml 3 --note 'the new model rejects too much'")]
pub(crate) struct Rollback {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Which deployment. Default: the one that ran before the present one.
    to: Option<u64>,
    #[command(flatten)]
    how: How,
}

/// Let a canary run everywhere.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill promote host/pipelines/uploaded.toml --note 'rejects as many as before'")]
pub(crate) struct Promote {
    /// The pipeline file.
    pipeline: PathBuf,
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
        let desk = Desk::open(&self.pipeline)?;
        desk.must_be_deployed()?;
        let Self { transforms, set, unset, limits, on_failure, canary, bounds, how, .. } = self;
        let request = Request { transforms, set, unset, limits, on_failure };
        let present = desk.tokio.block_on(desk.log.newest())?;
        let running = present.as_ref().map(|entry| &entry.deployment);
        let transforms = desk.tokio.block_on(request.transforms(&desk.registry, running))?;
        how.deploy(&desk, present, transforms, Action::Deploy, canary.map(|nth| (nth, bounds)))
    }
}

impl Rollback {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        desk.must_be_deployed()?;
        let present = desk.tokio.block_on(desk.log.newest())?;
        let to = match (self.to, &present) {
            // What is on trial is what an operator wants to be rid of.
            (None, Some(Entry { canary: Some(_), .. })) => return self.how.abort(&desk, present),
            (Some(to), _) => to,
            (None, _) => desk.tokio.block_on(desk.log.before(present.as_ref()))?,
        };
        let target = desk.tokio.block_on(desk.log.deployment(to))?;
        self.how.deploy(&desk, present, target.transforms, Action::Rollback { to }, None)
    }
}

impl Promote {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        desk.must_be_deployed()?;
        let present = desk.tokio.block_on(desk.log.newest())?;
        let Some((present, canary)) = present.and_then(|entry| entry.canary.clone().map(|canary| (entry, canary)))
        else {
            return Err(Error::config("nothing is on trial")
                .hint("wasmill deploy ... --canary 1/8 begins a trial")
                .into());
        };
        let deployment = canary.deployment;
        let draft = Draft { deployment, canary: None, ..Draft::after(&present, Action::Promote) };
        let by = super::operator();
        let entry = desk.tokio.block_on(desk.log.append(Some(&present), draft, &by, &self.note))?;
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
    fn deploy(
        self,
        desk: &Desk,
        present: Option<Entry>,
        transforms: Vec<Deployed>,
        action: Action,
        canary: Option<(u32, Bounds)>,
    ) -> anyhow::Result<ExitCode> {
        let busy = logging::busy();
        busy.set_message("reading recent events");
        let sample = self.sample(desk)?;
        busy.set_message("compiling and trying");
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let proposal = Proposal::new(&engine, &desk.config, &desk.registry, present, transforms, &sample);
        let proposal = desk.tokio.block_on(proposal)?;
        busy.finish_and_clear();
        if !self.json {
            show(&proposal)?;
        }
        let canary = match canary {
            Some((nth, bounds)) => {
                proposal.may_be_canary()?;
                let all = source::topic_partitions(&desk.config.source, desk.tokio.handle())?;
                Some((first_of(all, nth), bounds))
            }
            None => {
                match proposal.keeps_schema() {
                    Err(error) if self.dry_run && !self.allow_schema_change => {
                        tracing::warn!(%error, "it would be refused")
                    }
                    Err(error) if !self.allow_schema_change => return Err(error.into()),
                    _ => {}
                }
                None
            }
        };
        let whole = canary.is_none();
        let (changes_nothing, shown) = (proposal.changes_nothing(), serde_json::to_value(&proposal)?);
        let entry = match self.dry_run || changes_nothing {
            true => None,
            false => {
                Some(desk.tokio.block_on(proposal.accept(&desk.log, action, canary, &super::operator(), &self.note))?)
            }
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&json!({ "proposal": shown, "accepted": entry }), &mut out)?;
        } else if let Some(Entry { number, canary: Some(canary), .. }) = entry.as_ref().filter(|_| !whole) {
            let there: Vec<String> = canary.topic_partitions.iter().map(ToString::to_string).collect();
            writeln!(out, "deployment {number} is on trial on {}; next: promote or rollback", there.join(", "))?;
        } else if let Some(entry) = entry {
            writeln!(out, "deployment {} is accepted; hosts swap to it within seconds", entry.number)?;
        } else if changes_nothing {
            writeln!(out, "nothing was done: this is what runs already")?;
        } else {
            writeln!(out, "nothing was done: --dry-run")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Ends the trial of a canary.
    fn abort(self, desk: &Desk, present: Option<Entry>) -> anyhow::Result<ExitCode> {
        let Some(present) = present else { return Ok(ExitCode::SUCCESS) };
        let draft = Draft { canary: None, ..Draft::after(&present, Action::Abort) };
        let by = super::operator();
        let entry = desk.tokio.block_on(desk.log.append(Some(&present), draft, &by, &self.note))?;
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&entry, &mut out)?;
        } else {
            writeln!(out, "the trial is over; deployment {} runs everywhere again", entry.deployment.number)?;
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

/// The first 1/nth of the topic partitions, at least one.
fn first_of(all: Vec<TopicPartition>, nth: u32) -> BTreeSet<TopicPartition> {
    let count = (all.len() / nth as usize).max(1);
    all.into_iter().take(count).collect()
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

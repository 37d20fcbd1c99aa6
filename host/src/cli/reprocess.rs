//! `wasmill reprocess PIPELINE --from ... --into LOCATION`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use wasmill::config::Config;
use wasmill::pipeline::RunOptions;
use wasmill::report::{Progress, grouped};
use wasmill::reprocess::{self, Plan, Request};
use wasmill::table::print::{print_json, printable};

use super::live::Live;
use super::remote::{Place, Target};
use super::stop;

/// Rebuild a range of the topics with a given deployment into another location.
///
/// The pipeline is not touched: it has no part in its group, its checkpoints or its table. The same command goes on where it
/// stopped, exactly once; another one is refused there. `wasmill verify PIPELINE --reprocessed LOCATION` checks the result.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill reprocess host/pipelines/listen-events.toml --from 2026-11-01 --to 2026-11-02 --into /data/rebuilt --deployment 7
  wasmill reprocess host/pipelines/listen-events.toml --from listen_events/3=1200 --into /data/rebuilt
  wasmill reprocess --url https://host-1:8780 --from earliest --into hdfs://namenode:9000/rebuilt --dry-run")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Where to begin: a time for all topic partitions, earliest, or TOPIC/N=OFFSET for each that is meant.
    #[arg(long, value_name = "TIME|TOPIC/N=OFFSET", required = true)]
    from: Vec<String>,
    /// Where to end, before it; the same. By default where the pipeline stands.
    #[arg(long, value_name = "TIME|TOPIC/N=OFFSET")]
    to: Vec<String>,
    /// The location to write to: empty, or begun by the same command.
    #[arg(long, value_name = "LOCATION")]
    into: String,
    /// The deployment that makes the rows; by default the present one.
    #[arg(long, value_name = "N")]
    deployment: Option<u64>,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let place = self.target.place()?;
        let Self { from, to, into, deployment, dry_run, json, .. } = self;
        let mut out = std::io::stdout().lock();
        let pipeline = match place {
            Place::Storage(pipeline) => pipeline,
            Place::Host(host) => {
                let asked =
                    json!({ "from": from, "to": to, "into": into, "deployment": deployment, "dry_run": dry_run });
                let plan: Plan = host.post("v1/reprocesses", &asked)?;
                if json {
                    print_json(&json!({ "plan": plan, "summary": null }), &mut out)?;
                } else {
                    print_plan(&plan, &mut out)?;
                    let next = if dry_run {
                        "nothing was done yet: without --dry-run it is"
                    } else {
                        "the host does it; its audit says when it is done"
                    };
                    writeln!(out, "{next}")?;
                }
                return Ok(ExitCode::SUCCESS);
            }
        };
        let config = Config::load(&pipeline)?;
        let request = Request { from, to, into, deployment };
        let options = RunOptions {
            until_caught_up: true,
            module_cache: super::module_cache(),
            stop: stop::flag()?,
            progress: Arc::new(Progress::default()),
            operator: super::operator(),
            vetting: super::vet::by_this_program(pipeline),
        };
        let prepared = reprocess::prepare(&config, &request, &options)?;
        let plan = prepared.plan.clone();
        if dry_run {
            if json {
                print_json(&json!({ "plan": plan, "summary": null }), &mut out)?;
            } else {
                print_plan(&plan, &mut out)?;
                writeln!(out, "nothing was done yet: without --dry-run it is")?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let live = Live::start(Arc::clone(&options.progress))?;
        let result = prepared.carry_out(&options);
        drop(live);
        let summary = result?;
        if json {
            print_json(&json!({ "plan": plan, "summary": summary.to_json() }), &mut out)?;
        } else {
            print_plan(&plan, &mut out)?;
            write!(out, "{summary}")?;
        }
        Ok(if summary.stopped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print_plan(plan: &Plan, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let how = if plan.resumed { "goes on" } else { "begins" };
    let (into, number) = (printable(&plan.into), plan.deployment.number);
    writeln!(out, "{}: {how} into {into} with deployment {number}:", printable(&plan.pipeline))?;
    for range in &plan.ranges {
        let count = grouped(range.to.abs_diff(range.from));
        let of = printable(&range.topic_partition.to_string());
        writeln!(out, "  {of}: {count} offsets, {}..{}", range.from, range.to)?;
    }
    Ok(())
}

//! `wasmill status PIPELINE`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wasmill::error::Result;
use wasmill::registry::time;
use wasmill::report::grouped;
use wasmill::runtime::{Runtime as _, TokioRuntime};
use wasmill::status::{HostStatus, Post};
use wasmill::table::print::print_json;
use wasmill::transform::TransformCounts;

use super::registry::Desk;
use super::stop;

/// How often --watch looks.
const GLANCE: Duration = Duration::from_secs(2);

/// Show what every host of a pipeline does: topic partitions and lag, deployments, and each transform's work.
///
/// Hosts write it into the pipeline's storage every ten seconds; one that has written nothing for 35 seconds is left out.
/// Exits with 1 when no host lives, or when a topic partition has stopped.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill status host/pipelines/listen-events.toml
  wasmill status host/pipelines/listen-events.toml --watch")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Look again every two seconds until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        let post = Post::new(desk.registry.location().clone(), &desk.config.name);
        let runtime = TokioRuntime::new(desk.tokio.handle().clone());
        let look = || -> Result<Vec<HostStatus>> { desk.tokio.block_on(post.read(runtime.now_ms())) };
        if !self.watch {
            let hosts = look()?;
            self.print(&hosts)?;
            return Ok(if is_well(&hosts) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let stopped = stop::flag()?;
        while !stopped.load(std::sync::atomic::Ordering::Acquire) {
            let hosts = look()?;
            if std::io::stdout().is_terminal() && !self.json {
                // Clears the screen, so that the numbers stay where they are.
                write!(std::io::stdout(), "\x1b[2J\x1b[H")?;
            }
            self.print(&hosts)?;
            std::thread::sleep(GLANCE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, hosts: &[HostStatus]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            print_json(&hosts, &mut out)?;
            return Ok(());
        }
        if hosts.is_empty() {
            writeln!(out, "no host of this pipeline lives (or it began less than ten seconds ago)")?;
        }
        hosts.iter().try_for_each(|host| print_host(&mut out, host))?;
        print_transforms(&mut out, hosts)?;
        Ok(())
    }
}

fn is_well(hosts: &[HostStatus]) -> bool {
    !hosts.is_empty() && hosts.iter().flat_map(|host| &host.topic_partitions).all(|one| one.error.is_none())
}

fn print_host(out: &mut impl Write, host: &HostStatus) -> std::io::Result<()> {
    let paused = if host.paused { ", paused" } else { "" };
    let canary = host.canary.map(|canary| format!(", {canary} on trial")).unwrap_or_default();
    writeln!(
        out,
        "{}  process {}, wasmill {}, since {}, deployment {}{canary}{paused}",
        host.machine,
        host.pid,
        host.version,
        time(host.started_at_ms),
        host.deployment
    )?;
    let totals = &host.totals;
    writeln!(
        out,
        "  read {}, written {}, filtered {}, dead-lettered {}, memory {} MB",
        grouped(totals.read),
        grouped(totals.written),
        grouped(totals.filtered),
        grouped(totals.dead_lettered),
        grouped(host.memory_bytes / 1_000_000)
    )?;
    host.problems.iter().try_for_each(|problem| writeln!(out, "  PROBLEM: {problem}"))?;
    for one in &host.topic_partitions {
        let state = serde_json::to_value(one.state).unwrap_or_default();
        let number =
            |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| grouped(number.max(0) as u64));
        let deployment = one.deployment.map_or_else(|| "-".to_owned(), |number| number.to_string());
        writeln!(
            out,
            "  {:<32} {:<9} committed {:>14}  lag {:>12}  deployment {deployment}",
            one.topic_partition.to_string(),
            state.as_str().unwrap_or_default(),
            number(one.committed),
            number(one.lag)
        )?;
        if let Some(error) = &one.error {
            writeln!(out, "    {error}")?;
        }
    }
    Ok(())
}

/// Each transform, summed over the hosts.
fn print_transforms(out: &mut impl Write, hosts: &[HostStatus]) -> std::io::Result<()> {
    let mut sums: BTreeMap<(u64, usize), TransformCounts> = BTreeMap::new();
    for (deployment, transforms) in hosts.iter().flat_map(|host| &host.transforms) {
        for (place, counts) in transforms.iter().enumerate() {
            sums.entry((*deployment, place)).or_default().add(counts);
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:<10} {:<24} {:>14} {:>14} {:>10} {:>8} {:>9} {:>9} {:>9}",
        "deployment", "transform", "events", "kept", "rejected", "failed", "mean us", "p50 us", "p99 us"
    )?;
    for ((deployment, _), counts) in sums {
        let name = format!("{}@{}", counts.name, counts.version);
        let mean = counts.busy_us as f64 / counts.events.max(1) as f64;
        writeln!(
            out,
            "{deployment:<10} {name:<24} {:>14} {:>14} {:>10} {:>8} {mean:>9.3} {:>9.3} {:>9.3}",
            grouped(counts.events),
            grouped(counts.kept),
            grouped(counts.rejected),
            grouped(counts.failed),
            counts.p50_us,
            counts.p99_us
        )?;
    }
    Ok(())
}

//! `wasmill status PIPELINE`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use wasmill::error::Result;
use wasmill::registry::time;
use wasmill::report::grouped;
use wasmill::runtime::{Runtime as _, TokioRuntime};
use wasmill::status::{HostStatus, Post};
use wasmill::storage::Health;
use wasmill::table::print::print_json;
use wasmill::transform::{TransformCounts, TransformUse};

use super::registry::Desk;
use super::remote::{Place, Target};
use super::stop;

/// How often --watch looks.
const GLANCE: Duration = Duration::from_secs(2);

/// Show what every host of a pipeline does: topic partitions and lag, Kafka and storage, and each transform's work.
///
/// Hosts write it into the pipeline's storage every ten seconds; one that has written nothing for 35 seconds is left out.
/// Exits with 1 when no host lives, or when a topic partition has stopped.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill status host/pipelines/listen-events.toml
  wasmill status host/pipelines/listen-events.toml --watch
  wasmill status --url https://host-1:8780")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Look again every two seconds until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let look: Box<dyn Fn() -> Result<Vec<HostStatus>>> = match self.target.place()? {
            Place::Host(host) => Box::new(move || host.get("v1/hosts", &[])),
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                let post = Post::new(desk.registry.location().clone(), &desk.config.name);
                let runtime = TokioRuntime::new(desk.tokio.handle().clone());
                Box::new(move || desk.tokio.block_on(post.read(runtime.now_ms())))
            }
        };
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
    print_health(out, host)?;
    host.problems.iter().try_for_each(|problem| writeln!(out, "  PROBLEM: {problem}"))?;
    for one in &host.topic_partitions {
        let state = serde_json::to_value(one.state).unwrap_or_default();
        let number =
            |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| grouped(number.max(0) as u64));
        let deployment = one.deployment.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let age = one.committed_at_ms.map(|at| format!(" {} ago", ago(at, host.at_ms))).unwrap_or_default();
        writeln!(
            out,
            "  {:<28} {:<8} deployment {deployment:>3}  lag {:>11}  committed {:>13}{age}",
            one.topic_partition.to_string(),
            state.as_str().unwrap_or_default(),
            number(one.lag),
            number(one.committed)
        )?;
        if let Some(error) = &one.error {
            writeln!(out, "    {error}")?;
        }
    }
    Ok(())
}

/// Each transform, summed over the hosts: its work, then what it uses of its limits.
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
        "{:<28} {:>13} {:>13} {:>10} {:>8} {:>7} {:>6} {:>7}",
        "transform (deployment)", "events", "kept", "rejected", "failed", "mean us", "p50", "p99"
    )?;
    for ((deployment, _), counts) in sums {
        let name = format!("{}@{} ({deployment})", counts.name, counts.version);
        let mean = counts.busy_us as f64 / counts.events.max(1) as f64;
        writeln!(
            out,
            "{name:<28} {:>13} {:>13} {:>10} {:>8} {mean:>7.2} {:>6.2} {:>7.2}",
            grouped(counts.events),
            grouped(counts.kept),
            grouped(counts.rejected),
            grouped(counts.failed),
            counts.p50_us,
            counts.p99_us
        )?;
        if let Some(used) = &counts.used {
            print_use(out, used)?;
        }
    }
    Ok(())
}

fn print_use(out: &mut impl Write, used: &TransformUse) -> std::io::Result<()> {
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let ms = |us: u64| format!("{:.1}", us as f64 / 1e3);
    writeln!(
        out,
        "  memory {} of {} MiB  instances {}{}, {} retired  slowest batch {} of {} ms  output {} of {} MiB",
        mib(used.memory_bytes),
        mib(used.memory_limit_bytes),
        used.instances,
        used.instances_limit.map_or_else(String::new, |most| format!(" of {most}")),
        used.retired,
        ms(used.slowest_us),
        ms(used.deadline_us),
        mib(used.output_bytes),
        mib(used.output_limit_bytes)
    )?;
    let refused = match used.metrics_refused {
        0 => String::new(),
        refused => format!(" ({} refused)", grouped(refused)),
    };
    writeln!(
        out,
        "  log lines {}, dropped {} ({} bytes) over {} a second  metrics {} of {}{refused}",
        grouped(used.log_lines),
        grouped(used.log_lines_dropped),
        grouped(used.log_bytes_dropped),
        used.log_lines_limit,
        used.metrics,
        used.metrics_limit
    )
}

/// How long ago, for people.
fn ago(at_ms: i64, now_ms: i64) -> String {
    let seconds = (now_ms - at_ms).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Whether Kafka and the storages answer.
fn print_health(out: &mut impl Write, host: &HostStatus) -> std::io::Result<()> {
    let since =
        |at_ms: Option<i64>| at_ms.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at, host.at_ms)));
    if let Some(kafka) = &host.kafka {
        let unreachable = match kafka.unreachable {
            0 => String::new(),
            count => format!(", {count} NOT REACHED"),
        };
        let (brokers, connected, answered) = (kafka.brokers, kafka.connected, since(kafka.answered_at_ms));
        writeln!(out, "  kafka: {connected} of {brokers} brokers connected{unreachable}, last {answered}")?;
        if let Some(error) = &kafka.error {
            writeln!(out, "    {}: {error}", since(kafka.failed_at_ms))?;
        }
    }
    if let Some(registry) = &host.schema_registry {
        let failing = if registry.is_failing() { "FAILS, " } else { "" };
        let (known, answered) = (grouped(registry.known), since(registry.answered_at_ms));
        writeln!(out, "  schema registry: {failing}last answered {answered}, {known} schemas known")?;
        if registry.waiting_count > 0 {
            let (count, waiting) = (grouped(registry.waiting_count), &registry.waiting);
            let began = since(registry.waiting_since_ms);
            writeln!(out, "    messages WAIT for {count} schemas since {began}: ids {waiting:?}")?;
        }
        if let Some(error) = &registry.error {
            writeln!(out, "    {}: {error}", since(registry.failed_at_ms))?;
        }
    }
    if !host.storage.is_empty() {
        let one = |(what, health): (&String, &Health)| {
            let failing = if health.is_failing() { "FAILS, " } else { "" };
            format!("{what} {failing}{}", since(health.answered_at_ms))
        };
        let answered: Vec<String> = host.storage.iter().map(one).collect();
        writeln!(out, "  storage answered: {}", answered.join(", "))?;
    }
    for (what, health) in &host.storage {
        if let Some(error) = &health.error {
            writeln!(
                out,
                "    {what}, {}, {} failures: {error}",
                since(health.failed_at_ms),
                grouped(health.failures)
            )?;
        }
    }
    Ok(())
}

//! `wasmill logs PIPELINE [TRANSFORM]`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use wasmill::error::Result;
use wasmill::registry::time;
use wasmill::runtime::{Runtime as _, TokioRuntime};
use wasmill::status::lines::{Line, LineLevel, LineReader, Lines, Wanted};

use super::registry::Desk;
use super::remote::{Place, Target};
use super::stop;

/// How often -f looks.
const GLANCE: Duration = Duration::from_secs(2);

/// Show what the transforms of a pipeline logged, on all hosts, by time.
///
/// Hosts write their guests' lines into the pipeline's storage every ten seconds and keep them for a day, at most 32 MB each.
/// Debug lines are there only if the host runs with --log-level debug. A remark tells how many lines were dropped because a
/// transform logged more than its limit allows.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill logs host/pipelines/uploaded.toml
  wasmill logs host/pipelines/uploaded.toml keep-plays -f --since 10m --level warn
  wasmill logs --url https://host-1:8780 --transform keep-plays")]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Only lines of this transform.
    #[arg(value_name = "TRANSFORM")]
    of: Option<String>,
    /// The same, where no pipeline file is given.
    #[arg(long, value_name = "TRANSFORM", conflicts_with = "of")]
    transform: Option<String>,
    /// Go on with new lines until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Not older than this.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1h")]
    since: Duration,
    /// Of this importance at least.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Trace)]
    level: Level,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LineLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let transform = self.of.clone().or_else(|| self.transform.clone());
        let age_ms = i64::try_from(self.since.as_millis()).unwrap_or(i64::MAX);
        let mut next = self.source(transform, age_ms)?;
        self.print(&next()?)?;
        if self.follow {
            let stopped = stop::flag()?;
            while !stopped.load(Ordering::Acquire) {
                std::thread::sleep(GLANCE);
                self.print(&next()?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Gives, each time, the lines that are new.
    fn source(&self, transform: Option<String>, age_ms: i64) -> anyhow::Result<Box<dyn FnMut() -> Result<Vec<Line>>>> {
        let level = LineLevel::from(self.level);
        match self.target.place()? {
            Place::Storage(pipeline) => {
                let desk = Desk::open(&pipeline)?;
                let now_ms = TokioRuntime::new(desk.tokio.handle().clone()).now_ms();
                let wanted = Wanted { transform, level, since_ms: now_ms.saturating_sub(age_ms) };
                let lines = Lines::new(desk.registry.location().clone(), &desk.config.name);
                let mut reader = LineReader::new(lines, wanted);
                Ok(Box::new(move || desk.tokio.block_on(reader.next())))
            }
            Place::Host(host) => {
                let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
                let since_ms = now_ms.saturating_sub(age_ms);
                let mut query = vec![("level", level.as_str().to_owned()), ("since_ms", since_ms.to_string())];
                query.extend(transform.map(|transform| ("transform", transform)));
                let mut seen: BTreeMap<String, u64> = BTreeMap::new();
                Ok(Box::new(move || {
                    let mut lines: Vec<Line> = host.get("v1/logs", &query)?;
                    // Lines of a host have rising numbers.
                    lines.retain(|line| seen.get(&line.host).is_none_or(|last| line.number > *last));
                    for line in &lines {
                        let last = seen.entry(line.host.clone()).or_default();
                        *last = (*last).max(line.number);
                    }
                    Ok(lines)
                }))
            }
        }
    }

    fn print(&self, lines: &[Line]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for line in lines {
            if self.json {
                serde_json::to_writer(&mut out, line)?;
                writeln!(out)?;
                continue;
            }
            let Line { transform, version, deployment, machine, text, .. } = line;
            let (when, level) = (time(line.at_ms), line.level.as_str());
            writeln!(out, "{when} {level:<5} {transform}@{version} ({deployment}) {machine}: {text}")?;
        }
        out.flush()?;
        Ok(())
    }
}

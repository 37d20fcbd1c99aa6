//! Logs: to standard error, above the live line if there is one.

use std::io::{self, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use wasmill::error::{Error, Result};

/// How much is logged, and how.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The least important messages to log. WASMILL_LOG=target=level,... says it for each part.
    #[arg(long, global = true, value_enum, default_value_t = Level::Info, value_name = "LEVEL", help_heading = "Logs")]
    log_level: Level,
    /// Lines of text, or one JSON object a line.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT", help_heading = "Logs")]
    log_format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Options {
    /// Whether lines are JSON objects.
    pub(crate) fn is_json(&self) -> bool {
        self.log_format == Format::Json
    }

    /// The same, for a process of this program.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> {
        let level = self.log_level.to_possible_value().map(|value| format!("--log-level={}", value.get_name()));
        let format = self.log_format.to_possible_value().map(|value| format!("--log-format={}", value.get_name()));
        level.into_iter().chain(format)
    }
}

/// The live lines on standard error; hidden where that is not a terminal.
pub(crate) fn live() -> &'static MultiProgress {
    static LIVE: OnceLock<MultiProgress> = OnceLock::new();
    LIVE.get_or_init(MultiProgress::new)
}

/// A live line for something that takes a while; hidden where standard error is no terminal.
pub(crate) fn busy() -> ProgressBar {
    let line = live().add(ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos}") {
        line.set_style(style);
    }
    line
}

/// Takes what is logged from now on.
type Reload = Box<dyn Fn(EnvFilter) -> std::result::Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// What was set up at the start: changes what is logged.
static RELOAD: OnceLock<Reload> = OnceLock::new();

/// What is logged at the start, as `WASMILL_LOG` has it.
pub(crate) fn levels(options: &Options) -> String {
    let asked = std::env::var("WASMILL_LOG").ok().filter(|text| EnvFilter::try_new(text).is_ok() && !text.is_empty());
    asked.unwrap_or_else(|| by_level(options.log_level).to_owned())
}

fn by_level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "warn,wasmill=info",
        Level::Debug => "warn,wasmill=debug",
        Level::Trace => "info,wasmill=trace",
    }
}

/// Starts logging. Called once, before anything else is done.
pub(crate) fn start(options: &Options) {
    let asked = std::env::var("WASMILL_LOG").ok().filter(|text| !text.is_empty());
    let is_wrong = asked.as_deref().is_some_and(|text| EnvFilter::try_new(text).is_err());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(levels(options)))
        .with_writer(AboveLiveLines)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none());
    let reload: Reload = match options.log_format {
        Format::Text => {
            // Last: the handle is of the type that the others make.
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter))
        }
        Format::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter))
        }
    };
    let _ = RELOAD.set(reload);
    if is_wrong {
        tracing::warn!("WASMILL_LOG is not understood and ignored; wanted levels like info or wasmill=debug,warn");
    }
}

/// Logs from now on what `levels` says, as `WASMILL_LOG` has it.
pub(crate) fn set(levels: &str) -> Result<()> {
    let wrong = |error: &dyn std::fmt::Display| Error::config(format!("cannot log {levels:?}: {error}"));
    let filter = EnvFilter::try_new(levels).map_err(|error| wrong(&error))?;
    match RELOAD.get() {
        Some(reload) => reload(filter).map_err(|error| wrong(&error)),
        None => Ok(()),
    }
}

/// Writes whole log lines to standard error while no live line is drawn.
struct AboveLiveLines;

impl<'a> MakeWriter<'a> for AboveLiveLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for AboveLiveLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        live().suspend(|| io::stderr().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

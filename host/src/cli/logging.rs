//! Logs: to standard error, above the live line if there is one.

use std::io::{self, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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

/// Starts logging. Called once, before anything else is done.
pub(crate) fn start(options: &Options) {
    let level = match options.log_level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "warn,wasmill=info",
        Level::Debug => "warn,wasmill=debug",
        Level::Trace => "info,wasmill=trace",
    };
    let asked = std::env::var("WASMILL_LOG").ok().filter(|text| !text.is_empty());
    let filter = asked.as_deref().and_then(|text| EnvFilter::try_new(text).ok());
    let is_wrong = asked.is_some() && filter.is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(level)))
        .with_writer(AboveLiveLines)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none());
    match options.log_format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
    if is_wrong {
        tracing::warn!("WASMILL_LOG is not understood and ignored; wanted levels like info or wasmill=debug,warn");
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

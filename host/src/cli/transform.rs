//! `wasmill transform new|build|test|inspect|conform`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use wasmill::config::{self, FailurePolicy, GuestLimits, TransformConfig};
use wasmill::error::Error;
use wasmill::report::grouped;
use wasmill::transform::scaffold::{self, Kind};
use wasmill::transform::trial::{self, Difference};
use wasmill::transform::{TransformEngine, build, conform, inspect};

/// Write, build and test transforms.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    New(New),
    Build(Build),
    Test(Test),
    Inspect(Inspect),
    Conform(Conform),
}

/// Write a project for a new transform: code, a test, sample events, and the SDK beside it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill transform new keep-long --kind filter")]
struct New {
    /// The transform's name, which is the new directory's name as well.
    name: String,
    /// What to start from.
    #[arg(long, value_enum, default_value_t = KindArgument::Filter)]
    kind: KindArgument,
    /// The directory to write the project's directory in.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    into: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArgument {
    /// Keeps or drops events.
    Filter,
    /// Adds columns.
    Enrich,
    /// Rejects events with a reason.
    Validate,
    /// Works on whole columns.
    Columnar,
}

/// Build a transform's project into a module.
///
/// The module imports nothing but wasmill's own interfaces. Says what is missing when it cannot be built.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transform build
  wasmill transform build transforms/keep-plays -o target/transforms/keep_plays.wasm")]
struct Build {
    /// The project's directory.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Where to write the module. Default: NAME.wasm in the project's directory.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what was built as JSON.
    #[arg(long)]
    json: bool,
}

/// Run a module on sample events in the production engine, with production limits, and show what became of each.
///
/// Events are JSON lines. Their schema is taken from --schema, else from a schema.toml beside them, else from the events
/// themselves.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transform test keep_long.wasm --input events.jsonl
  wasmill transform test keep_long.wasm --input events.jsonl --settings min_seconds=10 --expect kept.jsonl --bless
  wasmill transform test keep_long.wasm --input events.jsonl --settings min_seconds=10 --expect kept.jsonl")]
struct Test {
    #[command(flatten)]
    module: Module,
    /// The events, one JSON object a line; - for standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// A file with a [schema] table, like a pipeline file.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Compare with this file, and fail when something differs.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Write the file of --expect instead of comparing with it.
    #[arg(long, requires = "expect")]
    bless: bool,
    /// Print one JSON object for each event, as --expect has them.
    #[arg(long)]
    json: bool,
}

/// Show what a module is: interface, imports, size, and what it reads, writes and rejects.
///
/// What a transform reads may depend on its settings and on the columns that reach it, so these are shown only with
/// --schema.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transform inspect keep_long.wasm
  wasmill transform inspect keep_long.wasm --schema host/pipelines/demo.toml --settings min_seconds=10")]
struct Inspect {
    #[command(flatten)]
    module: Module,
    /// A file with a [schema] table, like a pipeline file.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Judge a module by the rules of the contract: what any transform must do, whatever it is for and made with.
///
/// For those who bring transforms to another language. The module runs in the production engine on batches made for the
/// schema: nulls, extreme values, the borders of masks. Fails when a rule is broken that must be kept.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill transform conform filter.wasm --schema host/pipelines/demo.toml
  wasmill transform conform filter.wasm --schema schema.toml --settings min_seconds=10 --json")]
struct Conform {
    #[command(flatten)]
    module: Module,
    /// A file with a [schema] table, like a pipeline file: the columns that reach the module.
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Module {
    /// The module's file.
    module: PathBuf,
    /// A setting; again for more.
    #[arg(long = "settings", value_name = "NAME=VALUE", value_parser = super::pair)]
    settings: Vec<(String, String)>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.step {
            Step::New(step) => step.run(),
            Step::Build(step) => step.run(),
            Step::Test(step) => step.run(),
            Step::Inspect(step) => step.run(),
            Step::Conform(step) => step.run(),
        }
    }
}

impl New {
    fn run(self) -> anyhow::Result<ExitCode> {
        let kind = match self.kind {
            KindArgument::Filter => Kind::Filter,
            KindArgument::Enrich => Kind::Enrich,
            KindArgument::Validate => Kind::Validate,
            KindArgument::Columnar => Kind::Columnar,
        };
        let project = scaffold::create(&self.name, kind, &self.into)?;
        let module = format!("{}.wasm", self.name.replace('-', "_"));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{} is ready; next:", project.display())?;
        writeln!(out, "  cd {}", project.display())?;
        writeln!(out, "  cargo test")?;
        writeln!(out, "  wasmill transform build")?;
        writeln!(out, "  wasmill transform test {module} --input events.jsonl")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Build {
    fn run(self) -> anyhow::Result<ExitCode> {
        let built = build::build(&self.project, self.output.as_deref())?;
        let mut out = std::io::stdout().lock();
        let path = built.path.display();
        if self.json {
            writeln!(out, "{}", json!({ "name": built.name, "path": path.to_string(), "bytes": built.size }))?;
        } else {
            writeln!(out, "{path}: {}, {} bytes", built.name, grouped(built.size))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Module {
    fn config(self) -> TransformConfig {
        let name = self.module.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        TransformConfig {
            name,
            module: self.module,
            version: None,
            settings: self.settings.into_iter().collect(),
            limits: GuestLimits::default(),
            on_failure: FailurePolicy::default(),
        }
    }
}

impl Test {
    fn run(self) -> anyhow::Result<ExitCode> {
        let events = read(&self.input)?;
        let beside = self.input.with_file_name("schema.toml");
        let schema = self.schema.or_else(|| beside.is_file().then_some(beside));
        let schema = schema.map(|path| config::load_schema(&path)).transpose()?;
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let trial = trial::try_module(&engine, &self.module.config(), schema.as_ref(), &events)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            write!(out, "{}", trial.to_json_lines())?;
        } else {
            write!(out, "{trial}")?;
        }
        let Some(expect) = self.expect else { return Ok(ExitCode::SUCCESS) };
        if self.bless {
            fs::write(&expect, trial.to_json_lines()).map_err(|error| cannot("write", &expect, error))?;
            return Ok(ExitCode::SUCCESS);
        }
        let differences = trial.compare(&read(&expect)?);
        let mut err = std::io::stderr().lock();
        for Difference { line, expected, found } in &differences {
            let nothing = || "nothing".to_owned();
            writeln!(err, "line {line}: expected {}", expected.clone().unwrap_or_else(nothing))?;
            writeln!(
                err,
                "{:>width$} found    {}",
                "",
                found.clone().unwrap_or_else(nothing),
                width = 6 + digits(*line)
            )?;
        }
        if differences.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let count = differences.len();
        writeln!(err, "error: {count} lines are not as {} has them; --bless writes it anew", expect.display())?;
        Ok(ExitCode::FAILURE)
    }
}

impl Inspect {
    fn run(self) -> anyhow::Result<ExitCode> {
        let schema = self.schema.map(|path| config::load_schema(&path)).transpose()?;
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let input = schema.as_ref().map(|schema| &schema.arrow);
        let found = inspect::inspect(&engine, &self.module.config(), input)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
        } else {
            write!(out, "{found}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Conform {
    fn run(self) -> anyhow::Result<ExitCode> {
        let schema = config::load_schema(&self.schema)?;
        let path = self.module.module.clone();
        let bytes = fs::read(&path).map_err(|error| cannot("read", &path, error))?;
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let found = conform::judge(&engine, &self.module.config(), &bytes, &schema.arrow)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
        } else {
            write!(out, "{found}")?;
        }
        Ok(if found.conforms() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

fn read(path: &Path) -> Result<String, Error> {
    let text =
        if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { fs::read_to_string(path) };
    text.map_err(|error| cannot("read", path, error))
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::config(format!("cannot {what} {}", path.display())).because(error)
}

//! `wasmill transform new|build`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use wasmill::report::grouped;
use wasmill::transform::build;
use wasmill::transform::scaffold::{self, Kind};

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

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.step {
            Step::New(step) => step.run(),
            Step::Build(step) => step.run(),
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

//! `wasmill transform build`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use wasmill::report::grouped;
use wasmill::transform::build;

/// Write, build and test transforms.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    Build(Build),
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
            Step::Build(step) => step.run(),
        }
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

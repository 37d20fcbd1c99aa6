//! `wasmill check PIPELINE`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use wasmill::config::type_name;
use wasmill::preflight::{self, Outcome, Preflight, Step};

/// Check a pipeline without running it: file, servers, transforms, and the table that comes out.
///
/// Says all that is wrong, not only the first. Exits with 2 when the file or a module is wrong, with 1 when a server is.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill check host/pipelines/demo.toml")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let look = Preflight::new(&self.pipeline, super::module_cache())?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", look.to_json())?;
        } else {
            look.steps.iter().try_for_each(|step| print_step(&mut out, step))?;
            print_table(&mut out, &look)?;
        }
        Ok(match (look.is_fine(), look.is_users_mistake()) {
            (true, _) => ExitCode::SUCCESS,
            (false, true) => ExitCode::from(crate::WRONG_USAGE),
            (false, false) => ExitCode::from(crate::FAILED),
        })
    }
}

fn print_step(out: &mut impl Write, Step { name, outcome }: &Step) -> std::io::Result<()> {
    match outcome {
        Outcome::Fine(found) => writeln!(out, "ok       {name}: {found}"),
        Outcome::Skipped(why) => writeln!(out, "skipped  {name}: {why}"),
        Outcome::Wrong(error) => {
            writeln!(out, "WRONG    {name}: {}", error.to_string().replace('\n', "\n       "))?;
            for cause in preflight::causes(error) {
                writeln!(out, "         caused by: {cause}")?;
            }
            match error.what_to_do() {
                Some(hint) => writeln!(out, "         what to do: {hint}"),
                None => Ok(()),
            }
        }
    }
}

fn print_table(out: &mut impl Write, look: &Preflight) -> std::io::Result<()> {
    let Some(table) = &look.table else { return Ok(()) };
    writeln!(out, "\nthe table:")?;
    let width = table.columns.fields().iter().map(|field| field.name().len()).max().unwrap_or(0);
    for field in table.columns.fields() {
        let required = if field.is_nullable() { "" } else { ", required" };
        writeln!(out, "  {:<width$}  {}{required}", field.name(), type_name(field.data_type()))?;
    }
    let directories: Vec<String> = table.hive_partitions.iter().map(|name| format!("{name}=.../")).collect();
    writeln!(out, "  in {}", directories.concat())
}

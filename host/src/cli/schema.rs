//! `wasmill schema show|register|check PIPELINE`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;
use wasmill::config::Config;
use wasmill::contract::{Contract, Party};
use wasmill::decode::registered::avro_schema;
use wasmill::decode::schema::EventSchema;
use wasmill::runtime::TokioRuntime;
use wasmill::transform::TransformEngine;

/// The schema of a pipeline's events and the schema registry.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Show(Show),
    Register(Register),
    Check(Check),
}

/// Print the columns that events have, as [schema] of a pipeline file.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill schema show host/pipelines/demo.toml --avro")]
struct Show {
    /// The pipeline file.
    pipeline: PathBuf,
    /// Print them as an Avro schema instead.
    #[arg(long, conflicts_with = "json")]
    avro: bool,
    /// Print both as JSON.
    #[arg(long)]
    json: bool,
}

/// Register the columns that events have as an Avro schema.
///
/// Refused when the registry has versions that it is not compatible with.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill schema register listen-events.toml")]
struct Register {
    /// The pipeline file, with a [schema_registry].
    pipeline: PathBuf,
    /// Where to. Without it: the subject of the pipeline file, or the first topic's name and -value.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Print subject and id as JSON.
    #[arg(long)]
    json: bool,
}

/// Say what a new version of the messages' schema would break, before it is used.
///
/// Asks the registry whether it is compatible with the versions before; looks whether its messages become rows of the table;
/// and, where the table follows the latest version, whether its columns stay and the transforms fit. Exits with 1 when it
/// breaks anything.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill schema check listen-events.toml event.avsc")]
struct Check {
    /// The pipeline file, with a [schema_registry].
    pipeline: PathBuf,
    /// The new version: Avro, or Protobuf when it is called .proto. Without it: the newest that is registered.
    schema: Option<PathBuf>,
    /// Of which subject. Without it: the subject of the pipeline file, or the first topic's name and -value.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Show(show) => show.run(),
            Verb::Register(register) => register.run(),
            Verb::Check(check) => check.run(),
        }
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.pipeline)?;
        let mut out = std::io::stdout().lock();
        let avro = avro_schema(&config.name, &config.schema);
        if self.json {
            let column = |(name, kind): (String, String)| json!({ "name": name, "type": kind });
            let columns: Vec<_> = columns(&config.schema).map(column).collect();
            writeln!(out, "{:#}", json!({ "columns": columns, "avro": avro }))?;
        } else if self.avro {
            writeln!(out, "{avro:#}")?;
        } else {
            writeln!(out, "[schema]")?;
            for (name, kind) in columns(&config.schema) {
                let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                let name = if is_bare { name } else { format!("{name:?}") };
                writeln!(out, "{name} = \"{kind}\"")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Names and types as a pipeline file has them.
fn columns(schema: &EventSchema) -> impl Iterator<Item = (String, String)> {
    schema.fields.iter().map(|field| {
        let required = if field.required { "!" } else { "" };
        (field.name.clone(), format!("{}{required}", field.kind))
    })
}

impl Register {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.pipeline)?;
        let contract = Contract::new(&config, self.subject)?;
        let id = super::block_on(contract.register())?;
        let subject = &contract.subject;
        let mut out = std::io::stdout().lock();
        match self.json {
            true => writeln!(out, "{:#}", json!({ "subject": subject, "id": id }))?,
            false => writeln!(out, "registered under {subject} as schema {id}")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.pipeline)?;
        let contract = Contract::new(&config, self.subject)?;
        let engine = TransformEngine::new(super::module_cache().as_deref())?;
        let findings = super::block_on(async {
            let candidate = contract.candidate(self.schema.as_deref()).await?;
            let runtime = Arc::new(TokioRuntime::new(tokio::runtime::Handle::current()));
            contract.check(&candidate, &engine, runtime).await
        })?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let found = json!({ "subject": contract.subject, "compatible": findings.is_empty(), "findings": findings });
            writeln!(out, "{found:#}")?;
        } else if findings.is_empty() {
            writeln!(out, "nothing breaks: it goes with {}, the table and the transforms", contract.subject)?;
        } else {
            for finding in &findings {
                let party = match finding.party {
                    Party::Registry => "registry",
                    Party::Table => "table",
                    Party::Transforms => "transforms",
                };
                writeln!(out, "{party}: {}", finding.why)?;
            }
        }
        Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(crate::FAILED) })
    }
}

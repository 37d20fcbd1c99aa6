//! `wasmill serve`.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use wasmill::error::Error;
use wasmill::runtime::TokioRuntime;
use wasmill::serve::{Program, Server};

use super::pipeline::Shared;
use super::{logging, stop};

/// Run all pipelines that were applied to a storage, until Ctrl-C or SIGTERM.
///
/// Any number of servers share a storage: each runs every pipeline in a process of its own, and Kafka spreads the topic
/// partitions of each pipeline over them. `wasmill pipeline apply` brings, changes and deletes pipelines while servers run. A
/// process that ends by itself is started again, after growing pauses; the others do not notice.
#[derive(clap::Args)]
#[command(after_help = "Example:
  wasmill serve --storage hdfs://namenode:9000/user/wasmill --brokers kafka-1:9092,kafka-2:9092")]
pub(crate) struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// What `{ env = \"WASMILL_BROKERS\" }` means in the pipeline files.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, logging: &logging::Options) -> anyhow::Result<ExitCode> {
        let desk = self.shared.open()?;
        let path = std::env::current_exe()
            .map_err(|error| Error::fatal("cannot tell where this program lies").because(error))?;
        let mut arguments: Vec<OsString> = logging.arguments().map(OsString::from).collect();
        arguments.extend(["run", "--end-with-stdin"].map(OsString::from));
        let mut variables = Vec::new();
        if let Some(brokers) = self.brokers {
            variables.push(("WASMILL_BROKERS".to_owned(), brokers));
        }
        let is_json = logging.is_json();
        let log = Arc::new(move |pipeline: &str, line: &str| {
            // JSON lines stay such, with one key more.
            let _ = match line.strip_prefix('{') {
                Some(rest) if is_json => writeln!(std::io::stderr(), "{{\"pipeline\":\"{pipeline}\",{rest}"),
                _ => writeln!(std::io::stderr(), "{pipeline}: {line}"),
            };
        });
        let program = Program { path, arguments, variables, log };
        let server = Server { catalogue: desk.catalogue, program, machine: super::operator(), stop: stop::flag()? };
        let runtime = TokioRuntime::new(desk.tokio.handle().clone());
        server.run(&runtime, &desk.tokio)?;
        Ok(ExitCode::SUCCESS)
    }
}

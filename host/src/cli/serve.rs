//! `wasmill serve`.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use wasmill::checkpoint::Id;
use wasmill::config::AdminTls;
use wasmill::connect::{self, Loggers};
use wasmill::error::Error;
use wasmill::runtime::{Runtime, TokioRuntime};
use wasmill::serve::{BROKERS, Levels, Program, Server};

use super::pipeline::Shared;
use super::{logging, stop};

/// Run all pipelines that were applied to a storage, until Ctrl-C or SIGTERM.
///
/// Any number of servers share a storage: each runs every pipeline in a process of its own, and Kafka spreads the topic
/// partitions of each pipeline over them. `wasmill pipeline apply` brings, changes and deletes pipelines while servers run, and
/// so do clients of Kafka Connect's REST API, which each server speaks. A process that ends by itself is started again, after
/// growing pauses; the others do not notice.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill serve --storage hdfs://namenode:9000/user/wasmill --brokers kafka-1:9092,kafka-2:9092
  wasmill serve --storage /srv/wasmill --brokers kafka-1:9092 --connect 0.0.0.0:8083 --tokens tokens.toml")]
pub(crate) struct Arguments {
    #[command(flatten)]
    shared: Shared,
    /// What `{ env = \"WASMILL_BROKERS\" }` means in the pipeline files.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
    /// Where clients of Kafka Connect's REST API are answered. Other machines reach it only with --tokens.
    #[arg(long, value_name = "HOST:PORT", default_value_t = connect::LISTEN, help_heading = "Kafka Connect's API")]
    connect: SocketAddr,
    /// Answer no clients of Kafka Connect's API.
    #[arg(long, conflicts_with_all = ["connect", "tokens", "certificate"], help_heading = "Kafka Connect's API")]
    no_connect: bool,
    /// The file that says who may do what; `wasmill token` makes its entries. A token is the password of basic
    /// authentication.
    #[arg(long, value_name = "FILE", help_heading = "Kafka Connect's API")]
    tokens: Option<PathBuf>,
    /// The server's certificate in PEM format, and those between it and its root. Without it the API is plain HTTP.
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "Kafka Connect's API")]
    certificate: Option<PathBuf>,
    /// The certificate's private key.
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = "Kafka Connect's API")]
    key: Option<PathBuf>,
    /// Who signs clients' certificates: with it a client needs one beside its token.
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = "Kafka Connect's API")]
    client_ca: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self, logging: &logging::Options) -> anyhow::Result<ExitCode> {
        let desk = self.shared.open()?;
        let path = std::env::current_exe()
            .map_err(|error| Error::fatal("cannot tell where this program lies").because(error))?;
        let mut arguments: Vec<OsString> = logging.arguments().map(OsString::from).collect();
        arguments.extend(["run", "--end-with-stdin"].map(OsString::from));
        let mut variables = Vec::new();
        if let Some(brokers) = &self.brokers {
            variables.push((BROKERS.to_owned(), brokers.clone()));
        }
        let is_json = logging.is_json();
        let log = Arc::new(move |pipeline: &str, line: &str| {
            // JSON lines stay such, with one key more.
            let _ = match line.strip_prefix('{') {
                Some(rest) if is_json => writeln!(std::io::stderr(), "{{\"pipeline\":\"{pipeline}\",{rest}"),
                _ => writeln!(std::io::stderr(), "{pipeline}: {line}"),
            };
        });
        let levels = Arc::new(Levels::default());
        let program = Program { path, arguments, variables, log, levels: Arc::clone(&levels) };
        let (machine, runtime) = (super::operator(), Arc::new(TokioRuntime::new(desk.tokio.handle().clone())));
        let loggers = Loggers::new(&logging::levels(logging), move |text| {
            logging::set(text)?;
            levels.set(text);
            Ok(())
        });
        let tls = self.certificate.zip(self.key).map(|(certificate, key)| AdminTls {
            certificate,
            key,
            client_ca: self.client_ca,
        });
        let options = connect::Options { listen: self.connect, tokens: self.tokens, tls, brokers: self.brokers };
        let clients = match self.no_connect {
            true => None,
            false => {
                let (catalogue, tokio) = (desk.catalogue.clone(), desk.tokio.handle());
                Some(connect::Server::start(options, catalogue, runtime.clone(), Arc::new(loggers), &machine, tokio)?)
            }
        };
        let server = Server {
            catalogue: desk.catalogue,
            program,
            machine,
            host: Id(runtime.random()).to_string(),
            connect: clients.as_ref().map(|clients| clients.worker.clone()),
            stop: stop::flag()?,
        };
        let served = server.run(runtime.as_ref(), &desk.tokio);
        if let Some(clients) = clients {
            clients.end();
        }
        served?;
        Ok(ExitCode::SUCCESS)
    }
}

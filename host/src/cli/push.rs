//! `wasmill push PIPELINE FILE`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use semver::Version;
use serde_json::json;
use wasmill::error::{Error, Result};
use wasmill::registry::{self, Pushed, Release, parse_version};
use wasmill::report::grouped;
use wasmill::table::print::print_json;

use super::registry::Desk;
use super::{sign, vet};

/// Upload a module, so that it can be deployed.
///
/// The module is checked first, in a process of its own with limits: interface, imports, size, whether it compiles and
/// describes itself. A version never changes: the same version with other bytes is refused. A signature that lies beside it
/// as FILE.sig goes with it (`wasmill sign`).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill push host/pipelines/uploaded.toml target/transforms/keep_plays.wasm
  wasmill push host/pipelines/uploaded.toml keep_long.wasm --name keep-long --version 1.2.0")]
pub(crate) struct Arguments {
    /// The pipeline file.
    pipeline: PathBuf,
    /// The module's file.
    module: PathBuf,
    /// The transform's name. Default: what the module says of itself.
    #[arg(long)]
    name: Option<String>,
    /// Its version. Default: what the module says of itself.
    #[arg(long, value_name = "X.Y.Z", value_parser = parse_version)]
    version: Option<Version>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::open(&self.pipeline)?;
        let bytes = std::fs::read(&self.module)
            .map_err(|error| Error::config(format!("cannot read {}", self.module.display())).because(error))?;
        let vetted = vet::in_another_process(&self.pipeline, &self.module)?;
        let said = |own: &str, flag: &str| {
            let message = format!("{} does not say its {flag}", self.module.display());
            if own.is_empty() { Err(Error::config(message).hint(format!("give --{flag}"))) } else { Ok(own.to_owned()) }
        };
        let name = self.name.clone().map_or_else(|| said(&vetted.module.name, "name"), Ok)?;
        let version = match self.version.clone() {
            Some(version) => version,
            None => parse_version(&said(&vetted.module.version, "version")?)?,
        };
        let by = super::operator();
        let signature = sign::beside(&self.module)?;
        let push = desk.registry.push(Bytes::from(bytes), &vetted.module, (&name, version), signature, &by);
        let pushed = desk.tokio.block_on(push)?;
        self.tell(&pushed, vetted.remark.as_deref())?;
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, pushed: &Pushed, remark: Option<&str>) -> Result<(), anyhow::Error> {
        let (is_new, release) = match pushed {
            Pushed::New(release) => (true, release),
            Pushed::AlreadyThere(release) => (false, release),
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(print_json(&json!({ "new": is_new, "release": release, "remark": remark }), &mut out)?);
        }
        let Release { name, version, sha256, size, .. } = release;
        let what = if is_new { "pushed" } else { "was there already" };
        writeln!(out, "{name}@{version} {what}: {} bytes, sha256 {}", grouped(*size as u64), registry::short(sha256))?;
        if let Some(remark) = remark {
            writeln!(out, "  note: without settings, and for this pipeline's events, it says: {remark}")?;
        }
        writeln!(out, "  next: wasmill deploy {} {name}@{version}", self.pipeline.display())?;
        Ok(())
    }
}

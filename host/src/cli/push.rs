//! `wasmill push PIPELINE FILE`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use semver::Version;
use wasmill::admin::upload::{Named, Uploaded};
use wasmill::error::{Error, Result};
use wasmill::registry::{self, Release, parse_version};
use wasmill::report::grouped;
use wasmill::table::print::print_json;

use super::registry::Desk;
use super::remote::{Host, Place, Remote};
use super::{sign, vet};

/// Upload a module, so that it can be deployed.
///
/// The module is checked first, in a process of its own with limits: interface, imports, size, whether it compiles and
/// describes itself. A version never changes: the same version with other bytes is refused. A signature that lies beside it
/// as FILE.sig goes with it (`wasmill sign`). With --url only FILE is given, and the host checks and stores it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  wasmill push host/pipelines/uploaded.toml target/transforms/keep_plays.wasm
  wasmill push host/pipelines/uploaded.toml keep_long.wasm --name keep-long --version 1.2.0
  wasmill push --url https://host-1:8780 keep_long.wasm")]
pub(crate) struct Arguments {
    /// The pipeline file, and the module's.
    #[arg(value_names = ["PIPELINE", "FILE"], num_args = 1..=2, required = true)]
    files: Vec<String>,
    #[command(flatten)]
    host: Host,
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
        let Self { files, host, name, version, json } = self;
        let is_module = files.len() == 1;
        let (place, files) = host.place_of(files, |_| is_module)?;
        let [module] = &files[..] else {
            return Err(Error::config("which module?").hint("wasmill push PIPELINE FILE, or --url URL FILE").into());
        };
        let module = PathBuf::from(module);
        let bytes = std::fs::read(&module)
            .map_err(|error| Error::config(format!("cannot read {}", module.display())).because(error))?;
        let named = Named { name, version, signature: sign::beside(&module)? };
        let (uploaded, target) = match &place {
            Place::Host(host) => (ask(host, &named, bytes)?, "--url URL".to_owned()),
            Place::Storage(pipeline) => (store(pipeline, &module, &named, bytes)?, pipeline.display().to_string()),
        };
        let mut out = std::io::stdout().lock();
        if json {
            print_json(&uploaded, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let Uploaded { new, release: Release { name, version, sha256, size, .. }, remark } = &uploaded;
        let what = if *new { "pushed" } else { "was there already" };
        writeln!(out, "{name}@{version} {what}: {} bytes, sha256 {}", grouped(*size as u64), registry::short(sha256))?;
        if let Some(remark) = remark {
            writeln!(out, "  note: without settings, and for this pipeline's events, it says: {remark}")?;
        }
        writeln!(out, "  next: wasmill deploy {target} {name}@{version}")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn store(pipeline: &Path, module: &Path, named: &Named, bytes: Vec<u8>) -> Result<Uploaded> {
    let desk = Desk::open(pipeline)?;
    let vetted = vet::in_another_process(pipeline, module)?;
    let (name, version) = named.or_as_it_says(&vetted)?;
    let by = super::operator();
    let push = desk.registry.push(Bytes::from(bytes), &vetted.module, (&name, version), named.signature.clone(), &by);
    Ok(Uploaded::of(desk.tokio.block_on(push)?, vetted))
}

fn ask(host: &Remote, named: &Named, bytes: Vec<u8>) -> Result<Uploaded> {
    let signature = named.signature.as_ref().map(serde_json::to_string).transpose();
    let signature = signature.map_err(|error| Error::fatal("the signature cannot be sent").because(error))?;
    let parts = [
        ("name", named.name.clone()),
        ("version", named.version.as_ref().map(Version::to_string)),
        ("signature", signature),
    ];
    let query: Vec<_> = parts.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    host.send("v1/transforms", &query, bytes)
}

//! `wasmill keygen FILE` and `wasmill sign KEY MODULE`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use semver::Version;
use wasmill::error::{Error, Result};
use wasmill::registry::parse_version;
use wasmill::signature::{SecretKey, Signature, Statement};
use wasmill::transform::inspect;

/// Make a key pair for signing modules: FILE is secret, FILE.pub goes into pipeline files.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill keygen release.key")]
pub(crate) struct Keygen {
    /// Where to write the secret key. It must not exist.
    file: PathBuf,
}

/// Sign a module: that these bytes are this version of this transform. Writes MODULE.sig, which `push` takes with it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  wasmill sign release.key target/transforms/keep_plays.wasm")]
pub(crate) struct Sign {
    /// The secret key, as `wasmill keygen` wrote it.
    key: PathBuf,
    /// The module's file.
    module: PathBuf,
    /// The transform's name. Default: what the module says of itself.
    #[arg(long)]
    name: Option<String>,
    /// Its version. Default: what the module says of itself.
    #[arg(long, value_name = "X.Y.Z", value_parser = parse_version)]
    version: Option<Version>,
}

impl Keygen {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let key = SecretKey::generate();
        write_new(&self.file, &key.to_text(), 0o600)?;
        let public = beside_with(&self.file, "pub");
        write_new(&public, &key.public().to_string(), 0o644)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}: the secret key; keep it to yourself", self.file.display())?;
        writeln!(out, "{}: {}", public.display(), key.public())?;
        writeln!(out, "  next: keys = [\"{}\"] under [registry] of each host's pipeline file", key.public())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Sign {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let key: SecretKey = read(&self.key)?.parse()?;
        let info = inspect::look(&self.module)?;
        let name = self.name.unwrap_or(info.name);
        let version = match self.version {
            Some(version) => version,
            None => parse_version(&info.version)?,
        };
        let signature = key.sign(&Statement { name: &name, version: &version, sha256: &info.sha256 });
        let path = beside_with(&self.module, "sig");
        std::fs::write(&path, serde_json::to_string_pretty(&signature)? + "\n")
            .map_err(|error| cannot(&path, error))?;
        writeln!(std::io::stdout().lock(), "{}: {name}@{version} signed by {}", path.display(), signature.key)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The signature that lies beside a module, if there is one.
pub(super) fn beside(module: &Path) -> Result<Option<Signature>> {
    let path = beside_with(module, "sig");
    if !path.is_file() {
        return Ok(None);
    }
    serde_json::from_str(&read(&path)?).map(Some).map_err(|error| {
        Error::config(format!("{} is no signature", path.display())).because(error).hint("sign the module again")
    })
}

fn beside_with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::config(format!("cannot read {}", path.display())).because(error))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| writeln!(file, "{text}")).map_err(|error| cannot(path, error))
}

fn cannot(path: &Path, error: std::io::Error) -> Error {
    Error::config(format!("cannot write {}", path.display())).because(error)
}

//! Uploaded transforms: modules by their hash, and names with versions that never change.
//!
//! ```text
//! <registry>/modules/<sha256>.wasm
//! <registry>/transforms/<name>/<version>.json     a Release: which module that is
//! <registry>/transforms/<name>/<version>.withdrawn  it may not be deployed any more
//! <registry>/deployments/<pipeline>/<number>.json   see the module `deployment`
//! ```
//!
//! It lives in the pipeline's storage, so every host sees it and there is no server for it. Every file is created once and
//! never changed, so of writers that race one wins and the others are told what won. Modules are never deleted: a rollback
//! may need any of them.

mod reference;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::reference::check_name;
pub use self::reference::{Reference, parse_version};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::runtime::Runtime;
use crate::signature::{self, PublicKey, Signature, Statement};
use crate::storage::{self, Location, StorageError, StorageErrorKind, create_once};
use crate::transform::{ModuleInfo, hex};

/// The newest format of a release's file that this program reads, and the one that it writes.
const FORMAT: u64 = 1;

/// No push takes this long, by clocks that differ by hours.
const LEFTOVER_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A version of a transform, as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Release {
    /// The format of this file.
    pub format: u64,
    /// The transform's name.
    pub name: String,
    /// Its version.
    #[schema(value_type = String)]
    pub version: Version,
    /// sha256 of its module, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Bytes of its module.
    pub size: usize,
    /// The version of the interface that it was built against.
    pub interface: String,
    /// Milliseconds since 1970.
    pub pushed_at_ms: i64,
    /// `user@machine`.
    pub pushed_by: String,
    /// Who vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Release {
    /// What a signature of it is of.
    pub fn statement(&self) -> Statement<'_> {
        Statement { name: &self.name, version: &self.version, sha256: &self.sha256 }
    }
}

/// A release, and whether it may still be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Listed {
    /// The release.
    #[serde(flatten)]
    pub release: Release,
    /// Who withdrew it, when and why.
    pub withdrawn: Option<Withdrawal>,
}

/// A release may not be deployed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Withdrawal {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// `user@machine`.
    pub by: String,
    /// Why.
    pub note: String,
}

/// How a push went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is there now.
    New(Release),
    /// The same bytes were there already under this name and version.
    AlreadyThere(Release),
}

/// The registry of a storage.
#[derive(Clone)]
pub struct Registry {
    location: Location,
    runtime: Arc<dyn Runtime>,
    keys: Vec<PublicKey>,
}

impl Registry {
    /// The registry of a pipeline, which need not exist yet.
    ///
    /// # Errors
    /// The storage that the pipeline file names cannot be opened.
    pub fn open(config: &Config, runtime: Arc<dyn Runtime>) -> Result<Self> {
        Ok(Self::new(storage::open(&config.registry.location, &config.storage)?, runtime, config.registry.keys.clone()))
    }

    /// The registry at `location`. `keys`: whose signatures are good; empty: none is needed.
    pub fn new(location: Location, runtime: Arc<dyn Runtime>, keys: Vec<PublicKey>) -> Self {
        Self { location, runtime, keys }
    }

    /// Where it lies.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Time and randomness.
    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// What a push of a checked module under a name and version would come to. Nothing is stored.
    ///
    /// # Errors
    /// The version has other bytes already, or was withdrawn; the name is not one; nobody vouches for it; the storage does not
    /// answer.
    pub async fn would_push(
        &self,
        module: &Bytes,
        info: &ModuleInfo,
        (name, version): (&str, Version),
        signature: Option<Signature>,
        by: &str,
    ) -> Result<Pushed> {
        check_name(name)?;
        if hex(&Sha256::digest(module)) != info.sha256 {
            return Err(Error::config("the module changed while it was looked at").hint("push it again"));
        }
        let release = Release {
            format: FORMAT,
            name: name.to_owned(),
            version,
            sha256: info.sha256.clone(),
            size: info.size,
            interface: info.wit_version.clone(),
            pushed_at_ms: self.runtime.now_ms(),
            pushed_by: by.to_owned(),
            signature,
        };
        signature::require(&self.keys, release.signature.as_ref(), &release.statement())?;
        match self.release(&release.name, &release.version).await? {
            Some(found) => self.already(found, &release).await,
            None => Ok(Pushed::New(release)),
        }
    }

    /// Stores a checked module under a name and version.
    ///
    /// # Errors
    /// As [`Registry::would_push`].
    pub async fn push(
        &self,
        module: Bytes,
        info: &ModuleInfo,
        named: (&str, Version),
        signature: Option<Signature>,
        by: &str,
    ) -> Result<Pushed> {
        let release = match self.would_push(&module, info, named, signature, by).await? {
            Pushed::New(release) => release,
            there => return Ok(there),
        };
        // The module first: a release names nothing that is not there.
        let path = self.module_path(&release.sha256);
        if create_once(self.storage(), &path, module, self.runtime.random())
            .await
            .map_err(|error| self.unanswered(error))?
            .is_some()
        {
            return Err(Error::fatal(format!("{path} is damaged: its bytes are not those of its name"))
                .hint("move it away and push again"));
        }
        let path = self.release_path(&release.name, &release.version);
        let written = create_once(self.storage(), &path, to_json(&release), self.runtime.random());
        self.sweep(&release.name).await;
        match written.await.map_err(|error| self.unanswered(error))? {
            None => Ok(Pushed::New(release)),
            Some(other) => self.already(parse(&path, &other)?, &release).await,
        }
    }

    /// Deletes what pushes that crashed left behind: temporary files (see [`create_once`]) that are older than any push takes.
    /// Best effort: the next push tries again.
    async fn sweep(&self, name: &str) {
        let before = self.runtime.now_ms() - LEFTOVER_AFTER.as_millis() as i64;
        for directory in [self.location.join("modules"), self.location.join(&format!("transforms/{name}"))] {
            let entries = self.storage().list(&directory).await.unwrap_or_default();
            let is_leftover = |entry: &&storage::Entry| {
                entry.name.starts_with('_') && entry.name.ends_with(".tmp") && entry.modified_ms < before
            };
            for entry in entries.iter().filter(is_leftover) {
                let path = format!("{directory}/{}", entry.name);
                match self.storage().delete(&path).await {
                    Ok(_) => tracing::info!(path, "deleted what a push that crashed left behind"),
                    Err(error) => tracing::debug!(path, %error, "cannot delete what a push left behind"),
                }
            }
        }
    }

    async fn already(&self, found: Release, wanted: &Release) -> Result<Pushed> {
        let Release { name, version, .. } = &found;
        if let Some(withdrawal) = self.withdrawal(name, version).await? {
            return Err(withdrawn(&found, &withdrawal).hint("push it as another version"));
        }
        if found.sha256 == wanted.sha256 {
            return Ok(Pushed::AlreadyThere(found));
        }
        let when = time(found.pushed_at_ms);
        let message = format!(
            "{name} {version} is there already with other bytes (sha256 {}, pushed {when} by {}; yours is {})",
            short(&found.sha256),
            found.pushed_by,
            short(&wanted.sha256)
        );
        Err(Error::config(message).hint("a version never changes: raise `version` in Cargo.toml, or give --version"))
    }

    /// All releases, by name and version.
    ///
    /// # Errors
    /// The storage does not answer, or a release cannot be read.
    pub async fn list(&self) -> Result<Vec<Listed>> {
        let directory = self.location.join("transforms");
        let entries = self.storage().list(&directory).await.map_err(|error| self.unanswered(error))?;
        let mut all = Vec::new();
        for entry in entries.iter().filter(|entry| entry.is_directory && check_name(&entry.name).is_ok()) {
            all.extend(self.versions(&entry.name).await?);
        }
        all.sort_by(|a, b| (&a.release.name, &a.release.version).cmp(&(&b.release.name, &b.release.version)));
        Ok(all)
    }

    /// All versions of one transform, oldest first; empty when there is none.
    ///
    /// # Errors
    /// As [`Registry::list`].
    pub async fn versions(&self, name: &str) -> Result<Vec<Listed>> {
        let directory = self.location.join(&format!("transforms/{name}"));
        let entries = self.storage().list(&directory).await.map_err(|error| self.unanswered(error))?;
        let mut found = Vec::new();
        for entry in &entries {
            let Some(version) = entry.name.strip_suffix(".json").and_then(|text| Version::parse(text).ok()) else {
                continue;
            };
            let Some(release) = self.release(name, &version).await? else { continue };
            let is_withdrawn = entries.iter().any(|other| other.name == format!("{version}.withdrawn"));
            let withdrawn = if is_withdrawn { self.withdrawal(name, &version).await? } else { None };
            found.push(Listed { release, withdrawn });
        }
        found.sort_by(|a, b| a.release.version.cmp(&b.release.version));
        Ok(found)
    }

    /// The versions that a reference means: that one, or all, those that were withdrawn among them; at least one.
    ///
    /// # Errors
    /// There is none; and as [`Registry::list`].
    pub async fn matching(&self, reference: &Reference) -> Result<Vec<Listed>> {
        let known = self.versions(&reference.name).await?;
        let is_meant =
            |listed: &&Listed| reference.version.as_ref().is_none_or(|wanted| listed.release.version == *wanted);
        let found: Vec<Listed> = known.iter().filter(is_meant).cloned().collect();
        if found.is_empty() { Err(self.unknown(reference, &known).await) } else { Ok(found) }
    }

    /// The release that a reference means: that version, or the newest that may be deployed.
    ///
    /// # Errors
    /// There is none, or it was withdrawn; and as [`Registry::list`].
    pub async fn find(&self, reference: &Reference) -> Result<Release> {
        let known = self.versions(&reference.name).await?;
        let wanted = match &reference.version {
            Some(version) => known.iter().find(|listed| listed.release.version == *version),
            None => {
                known.iter().rev().find(|listed| listed.withdrawn.is_none() && listed.release.version.pre.is_empty())
            }
        };
        match wanted {
            Some(Listed { release, withdrawn: None }) => Ok(release.clone()),
            Some(Listed { release, withdrawn: Some(withdrawal) }) => {
                Err(withdrawn(release, withdrawal).hint("deploy another version"))
            }
            None => Err(self.unknown(reference, &known).await),
        }
    }

    async fn unknown(&self, reference: &Reference, known: &[Listed]) -> Error {
        let message = format!("{reference} was never pushed to {}", self.location.url);
        if known.is_empty() {
            let names: Vec<String> =
                self.list().await.unwrap_or_default().into_iter().map(|l| l.release.name).collect();
            let near = names.iter().filter(|name| strsim::jaro_winkler(name, &reference.name) > 0.8).max();
            return Error::config(message).hint(match near {
                Some(name) => format!("did you mean {name}? `wasmill transforms list PIPELINE` shows what there is"),
                None => "push it first: wasmill push PIPELINE MODULE.wasm".to_owned(),
            });
        }
        let versions: Vec<String> = known.iter().map(|listed| listed.release.version.to_string()).collect();
        Error::config(message).hint(format!("there is {}", versions.join(", ")))
    }

    /// The module of a version with this hash: checked against it, and vouched for if this pipeline wants that. Also of a
    /// version that was withdrawn.
    ///
    /// # Errors
    /// It is missing or damaged, or nobody vouches for it, or the storage does not answer.
    pub async fn module_of(&self, name: &str, version: &Version, sha256: &str) -> Result<Bytes> {
        if !self.keys.is_empty() {
            let release = self.release(name, version).await?;
            let signature = release.as_ref().and_then(|release| release.signature.as_ref());
            signature::require(&self.keys, signature, &Statement { name, version, sha256 })?;
        }
        self.module(sha256).await
    }

    async fn module(&self, sha256: &str) -> Result<Bytes> {
        let path = self.module_path(sha256);
        let bytes = match self.storage().read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                return Err(Error::fatal(format!("the module {path} is missing")).hint("push it again"));
            }
            Err(error) => return Err(self.unanswered(error)),
        };
        if hex(&Sha256::digest(&bytes)) == sha256 {
            return Ok(bytes);
        }
        Err(Error::fatal(format!("the module {path} is damaged: its bytes are not those of its name"))
            .hint("move it away and push it again"))
    }

    /// Withdraws a version: it can be deployed no more. Deployments that have it keep it.
    ///
    /// # Errors
    /// There is no such version, or it was withdrawn already; and as [`Registry::list`].
    pub async fn withdraw(&self, name: &str, version: &Version, by: &str, note: &str) -> Result<Release> {
        let reference = Reference { name: name.to_owned(), version: Some(version.clone()) };
        let release = self.find(&reference).await?;
        let withdrawal = Withdrawal { at_ms: self.runtime.now_ms(), by: by.to_owned(), note: note.to_owned() };
        let path = self.withdrawal_path(name, version);
        let written = create_once(self.storage(), &path, to_json(&withdrawal), self.runtime.random());
        match written.await.map_err(|error| self.unanswered(error))? {
            None => Ok(release),
            Some(other) => Err(withdrawn(&release, &parse(&path, &other)?)),
        }
    }

    async fn release(&self, name: &str, version: &Version) -> Result<Option<Release>> {
        let Some(release) = self.read::<Release>(&self.release_path(name, version)).await? else { return Ok(None) };
        if release.format > FORMAT {
            return Err(Error::fatal(format!("{name} {version} was pushed by a newer wasmill"))
                .hint("use that version of wasmill"));
        }
        Ok(Some(release))
    }

    async fn withdrawal(&self, name: &str, version: &Version) -> Result<Option<Withdrawal>> {
        self.read(&self.withdrawal_path(name, version)).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.storage().read(path).await {
            Ok(bytes) => parse(path, &bytes).map(Some),
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unanswered(error)),
        }
    }

    fn storage(&self) -> &dyn storage::Storage {
        self.location.storage.as_ref()
    }

    fn module_path(&self, sha256: &str) -> String {
        self.location.join(&format!("modules/{sha256}.wasm"))
    }

    fn release_path(&self, name: &str, version: &Version) -> String {
        self.location.join(&format!("transforms/{name}/{version}.json"))
    }

    fn withdrawal_path(&self, name: &str, version: &Version) -> String {
        self.location.join(&format!("transforms/{name}/{version}.withdrawn"))
    }

    /// The storage did not do what was asked.
    pub(crate) fn unanswered(&self, error: StorageError) -> Error {
        Error::transient(format!("the registry {} does not answer", self.location.url))
            .because(error)
            .hint("is the address right, does the server answer, and may this user write there?")
    }
}

/// JSON with a line end, as people read it.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    Bytes::from(bytes)
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::fatal(format!("cannot read {path}"))
            .because(error)
            .hint("it was written by a newer wasmill, or changed by hand: nothing here is ever edited")
    })
}

fn withdrawn(release: &Release, withdrawal: &Withdrawal) -> Error {
    let Release { name, version, .. } = release;
    let Withdrawal { at_ms, by, note } = withdrawal;
    let why = if note.is_empty() { String::new() } else { format!(": {note}") };
    Error::config(format!("{name} {version} was withdrawn {} by {by}{why}", time(*at_ms)))
}

/// The first digits of a hash, as people compare them.
pub fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Milliseconds since 1970 as people read them.
pub fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests;

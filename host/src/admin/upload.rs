//! Modules over HTTP: looked at, and stored, as `wasmill push` does it; or only looked at.

use std::io::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::Office;
use super::answer::{Problem, Refusal};
use super::caller::Caller;
use super::orders::refusal;
use super::tokens::Role;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{Pushed, Release, parse_version};
use crate::signature::Signature;
use crate::transform::vet::Vetted;
use crate::transform::{MAX_MODULE_BYTES, ModuleInfo};

/// How the module is to be called.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Naming {
    /// The transform's name; by default what the module says of itself.
    name: Option<String>,
    /// Its version; by default what the module says of itself.
    version: Option<String>,
    /// Who vouches for it: what `wasmill sign` writes, as JSON.
    signature: Option<String>,
}

impl Naming {
    fn named(self) -> std::result::Result<Named, Refusal> {
        let Self { name, version, signature } = self;
        let version =
            version.as_deref().map(parse_version).transpose().map_err(|error| Refusal::Wrong(error.to_string()))?;
        let signature = signature.as_deref().map(serde_json::from_str).transpose();
        let signature = signature.map_err(|error| Refusal::Wrong(format!("the signature is none: {error}")))?;
        Ok(Named { name, version, signature })
    }
}

/// A module that was looked at, and not stored.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Looked {
    /// What it is and says about itself.
    module: ModuleInfo,
    /// Why it does not describe itself without settings, or for this pipeline's columns; it may do so in a deployment.
    remark: Option<String>,
    /// The name that an upload would give it; `null`: the module says none, and none was given.
    name: Option<String>,
    /// The version, likewise.
    version: Option<String>,
    /// Whether the same bytes are there already under this name and version.
    is_there: bool,
    /// Why an upload would be refused.
    would_be_refused: Option<Problem>,
}

/// What became of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Uploaded {
    /// `false`: the same bytes were there already under this name and version.
    pub new: bool,
    /// What stands in the registry.
    pub release: Release,
    /// Why it does not describe itself without settings, or for this pipeline's columns; it may do so in a deployment.
    pub remark: Option<String>,
}

/// The name and version that are asked for, where they are.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// The transform's name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<Version>,
    /// Who vouches for it.
    pub signature: Option<Signature>,
}

impl Named {
    /// Name and version, from what a module says of itself where nothing was asked for.
    ///
    /// # Errors
    /// It does not say it, or what it says is no version.
    pub fn or_as_it_says(&self, vetted: &Vetted) -> Result<(String, Version)> {
        let said = |own: &str, what: &str| {
            let missing =
                || Error::config(format!("the module does not say its {what}")).hint(format!("give its {what}"));
            if own.is_empty() { Err(missing()) } else { Ok(own.to_owned()) }
        };
        let name = self.name.clone().map_or_else(|| said(&vetted.module.name, "name"), Ok)?;
        let version = match &self.version {
            Some(version) => version.clone(),
            None => parse_version(&said(&vetted.module.version, "version")?)?,
        };
        Ok((name, version))
    }
}

impl Uploaded {
    /// What a push came to.
    pub fn of(pushed: Pushed, vetted: Vetted) -> Self {
        let (new, release) = match pushed {
            Pushed::New(release) => (true, release),
            Pushed::AlreadyThere(release) => (false, release),
        };
        Self { new, release, remark: vetted.remark }
    }
}

/// Uploads a module, so that it can be deployed. It is looked at first: interface, imports, size, whether it compiles and
/// describes itself. A version never changes: the same version with other bytes is refused. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/transforms", params(Naming), security(("token" = [])),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The module"),
    responses((status = OK, body = Uploaded))
)]
pub(super) async fn push(
    State(office): State<Arc<Office>>,
    caller: Caller,
    naming: std::result::Result<Query<Naming>, QueryRejection>,
    body: Body,
) -> std::result::Result<Json<Uploaded>, Refusal> {
    caller.must(Role::Deployer)?;
    let named = naming?.0.named()?;
    let (turn, module) = receive(&office, &caller, body).await?;
    let what = format!(
        "push {} {} ({} bytes)",
        named.name.as_deref().unwrap_or("-"),
        named.version.as_ref().map_or_else(|| "-".into(), Version::to_string),
        module.len()
    );
    let change = office.audit.asked(&caller.by(), caller.address(), &what, "").await?;
    // Also when whoever sent it goes away meanwhile.
    let done = tokio::spawn(async move {
        let _turn = turn;
        let done = store(&office, module, &named, &caller.by()).await;
        let outcome = match &done {
            Ok(Uploaded { new, release: Release { name, version, sha256, .. }, .. }) => {
                format!("{name}@{version} {}, sha256 {sha256}", if *new { "pushed" } else { "was there already" })
            }
            Err(error) => format!("not done: {error}"),
        };
        office.audit.ended(change, outcome).await;
        done
    });
    let done = done.await.map_err(|_| Refusal::Failed(Error::fatal("the push panicked; this is a bug in wasmill")))?;
    done.map(Json).map_err(refusal)
}

/// Looks at a module as an upload does, and stores nothing: what it is, and what an upload would come to. Needs the role
/// deployer.
#[utoipa::path(
    post, path = "/v1/vet", params(Naming), security(("token" = [])),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The module"),
    responses((status = OK, body = Looked))
)]
pub(super) async fn vet(
    State(office): State<Arc<Office>>,
    caller: Caller,
    naming: std::result::Result<Query<Naming>, QueryRejection>,
    body: Body,
) -> std::result::Result<Json<Looked>, Refusal> {
    caller.must(Role::Deployer)?;
    let named = naming?.0.named()?;
    let (turn, module) = receive(&office, &caller, body).await?;
    // Also when whoever sent it goes away meanwhile: the turn is as long as the other process.
    let done = tokio::spawn(async move {
        let _turn = turn;
        let vetted = look(&office, &module).await?;
        let or_said =
            |asked: Option<String>, said: &String| asked.or_else(|| Some(said.clone())).filter(|text| !text.is_empty());
        let name = or_said(named.name.clone(), &vetted.module.name);
        let version = or_said(named.version.as_ref().map(Version::to_string), &vetted.module.version);
        let pushed = match named.or_as_it_says(&vetted) {
            Ok((name, version)) => {
                let (signature, by) = (named.signature.clone(), caller.by());
                office.registry.would_push(&module, &vetted.module, (&name, version), signature, &by).await
            }
            Err(error) => Err(error),
        };
        let (is_there, would_be_refused) = match pushed {
            Ok(pushed) => (matches!(pushed, Pushed::AlreadyThere(_)), None),
            Err(error) if error.kind() == ErrorKind::Config => (false, Some(Problem::of(&error))),
            Err(error) => return Err(error),
        };
        let Vetted { module, remark } = vetted;
        Ok(Looked { module, remark, name, version, is_there, would_be_refused })
    });
    let done = done.await.map_err(|_| Refusal::Failed(Error::fatal("looking at the module was cut off")))?;
    done.map(Json).map_err(refusal)
}

/// The module that comes, for somebody whose turn it is.
async fn receive(
    office: &Office,
    caller: &Caller,
    body: Body,
) -> std::result::Result<(OwnedSemaphorePermit, Bytes), Refusal> {
    office.uploads.check_key(&caller.address().ip()).map_err(|_| Refusal::TooMany)?;
    // One at a time: each is compiled.
    let turn = Arc::clone(&office.orders).try_acquire_owned().map_err(|_| {
        Refusal::Conflict(
            Error::config("another module or deployment is being looked at").hint("try again in a moment"),
        )
    })?;
    let module = to_bytes(body, MAX_MODULE_BYTES).await;
    let module = module
        .map_err(|error| Refusal::Wrong(format!("no module of at most {MAX_MODULE_BYTES} bytes came: {error}")))?;
    Ok((turn, module))
}

async fn look(office: &Office, module: &Bytes) -> Result<Vetted> {
    let (vetting, copy) = (Arc::clone(&office.vetting), module.clone());
    let vetted = tokio::task::spawn_blocking(move || {
        let cannot = |error| Error::fatal("the module cannot be put into a file to be looked at").because(error);
        let mut file = tempfile::NamedTempFile::new().map_err(cannot)?;
        file.write_all(&copy).map_err(cannot)?;
        vetting(file.path())
    });
    vetted.await.unwrap_or_else(|_| Err(Error::fatal("looking at the module panicked")))
}

async fn store(office: &Office, module: Bytes, named: &Named, by: &str) -> Result<Uploaded> {
    let vetted = look(office, &module).await?;
    let (name, version) = named.or_as_it_says(&vetted)?;
    let push = office.registry.push(module, &vetted.module, (&name, version), named.signature.clone(), by);
    Ok(Uploaded::of(push.await?, vetted))
}

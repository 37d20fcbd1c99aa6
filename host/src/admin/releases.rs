//! What was pushed: lists, modules, and versions that are taken out of use.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::orders::{check_note, refusal};
use super::routes::Why;
use super::tokens::Role;
use crate::error::{Error, ErrorKind};
use crate::registry::{Listed, Reference, Release};

/// The transforms that were pushed, all versions. Needs the role viewer.
#[utoipa::path(get, path = "/v1/transforms", security(("token" = [])), responses((status = OK, body = Vec<Listed>)))]
pub(super) async fn all(State(office): State<Arc<Office>>, caller: Caller) -> Result<Json<Vec<Listed>>, Refusal> {
    caller.must(Role::Viewer)?;
    Ok(Json(office.registry.list().await?))
}

/// The versions of one transform (`NAME`), or one of them (`NAME@VERSION`). Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/transforms/{transform}", security(("token" = [])),
    params(("transform" = String, Path, description = "NAME or NAME@VERSION")),
    responses((status = OK, body = Vec<Listed>))
)]
pub(super) async fn versions(
    State(office): State<Arc<Office>>,
    caller: Caller,
    transform: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<Listed>>, Refusal> {
    caller.must(Role::Viewer)?;
    let reference = reference(transform)?;
    Ok(Json(office.registry.matching(&reference).await.map_err(missing)?))
}

/// The module of a version: of `NAME@VERSION`, or the newest of `NAME`. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/transforms/{transform}/module", security(("token" = [])),
    params(("transform" = String, Path, description = "NAME or NAME@VERSION")),
    responses((status = OK, body = Vec<u8>, content_type = "application/wasm"))
)]
pub(super) async fn module(
    State(office): State<Arc<Office>>,
    caller: Caller,
    transform: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    caller.must(Role::Viewer)?;
    let reference = reference(transform)?;
    let Release { name, version, sha256, .. } = office.registry.find(&reference).await.map_err(missing)?;
    let module = office.registry.module_of(&name, &version, &sha256).await.map_err(refusal)?;
    let file = format!("attachment; filename=\"{name}-{version}.wasm\"");
    Ok(([(CONTENT_TYPE, "application/wasm".to_owned()), (CONTENT_DISPOSITION, file)], module).into_response())
}

/// Withdraws `NAME@VERSION`: it can be deployed no more. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/transforms/{transform}/withdraw", request_body = Why, security(("token" = [])),
    params(("transform" = String, Path, description = "NAME@VERSION")),
    responses((status = OK, body = Release))
)]
pub(super) async fn withdraw(
    State(office): State<Arc<Office>>,
    caller: Caller,
    transform: Result<Path<String>, PathRejection>,
    why: Result<Json<Why>, JsonRejection>,
) -> Result<Json<Release>, Refusal> {
    caller.must(Role::Deployer)?;
    let reference = reference(transform)?;
    let Json(Why { note }) = why?;
    check_note(&note)?;
    let Reference { name, version: Some(version) } = &reference else {
        return Err(Refusal::Wrong("which version? Give NAME@VERSION".to_owned()));
    };
    let what = format!("withdraw {reference}");
    let change = office.audit.asked(&caller.by(), caller.address(), &what, &note).await?;
    let done = office.registry.withdraw(name, version, &caller.by(), &note).await;
    let outcome = done.as_ref().map_or_else(|error| format!("not done: {error}"), |_| "withdrawn".to_owned());
    office.audit.ended(change, outcome).await;
    done.map(Json).map_err(refusal)
}

/// A name in a path becomes one in the storage: only what can be one is looked for.
fn reference(transform: Result<Path<String>, PathRejection>) -> Result<Reference, Refusal> {
    let Path(text) = transform?;
    text.parse().map_err(|error: Error| Refusal::Wrong(error.to_string()))
}

fn missing(error: Error) -> Refusal {
    match error.kind() {
        ErrorKind::Config => Refusal::Missing(error.to_string()),
        _ => Refusal::Failed(error),
    }
}

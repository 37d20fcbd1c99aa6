//! The console: a page in the browser over this API. Its files are embedded (`build.rs`); here they are served, and people
//! sign in with the same tokens as programs do.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_http::limit::RequestBodyLimitLayer;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::tokens::Role;

/// What `npm run build` made, by name; empty when this was built without it.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console_files.rs"));

/// What is shown instead then.
const MISSING: &str = include_str!("console_missing.html");

/// A sign-in is one token.
const BODY_BYTES: usize = 4 << 10;

/// Nothing but the host's own files, and nothing written inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page, its files, and sessions. No part of the API that programs use, so not in its document.
pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new()
        .route("/console", get(|| async { file("index.html") }))
        .route("/console/", get(|| async { file("index.html") }))
        .route("/console/session", get(who).post(sign_in).delete(sign_out))
        .route("/console/{*file}", get(|Path(name): Path<String>| async move { file(&name) }))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES))
}

fn file(name: &str) -> Response {
    let (status, kind, body) = match FILES.iter().find(|(one, _)| *one == name) {
        Some((_, bytes)) => (StatusCode::OK, kind(name), *bytes),
        None if FILES.is_empty() => (StatusCode::NOT_FOUND, kind("index.html"), MISSING.as_bytes()),
        None => return Refusal::Missing("the console has no such file".to_owned()).into_response(),
    };
    // All but the page itself have a hash of their content in their names.
    let kept = if name == "index.html" { "no-cache" } else { "public, max-age=31536000, immutable" };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, if status == StatusCode::OK { kept } else { "no-store" }),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, body).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

/// Somebody who is signed in, as the page needs it.
#[derive(Serialize)]
struct Session<'a> {
    pipeline: &'a str,
    version: &'static str,
    name: &'a str,
    /// All that they may do, `viewer` included.
    roles: Vec<&'static str>,
    /// Goes with each change; `null`: no sign-in is needed here.
    csrf: Option<&'a str>,
}

impl<'a> Session<'a> {
    fn of(office: &'a Office, caller: &'a Caller) -> Self {
        let all = [Role::Viewer, Role::Payloads, Role::Deployer, Role::Admin];
        Self {
            pipeline: office.door.pipeline(),
            version: env!("CARGO_PKG_VERSION"),
            name: &caller.holder().name,
            roles: all.into_iter().filter(|role| caller.holder().may(*role)).map(Role::as_str).collect(),
            csrf: caller.csrf(),
        }
    }
}

async fn who(State(office): State<Arc<Office>>, caller: Caller) -> Response {
    Json(Session::of(&office, &caller)).into_response()
}

async fn sign_in(
    State(office): State<Arc<Office>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    asked: Result<Json<SignIn>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(SignIn { token }) = asked?;
    let (caller, cookie) = office.door.sign_in(&token, address)?;
    tracing::info!(by = caller.by(), from = %address, "signed in to the console");
    Ok((AppendHeaders([(SET_COOKIE, cookie)]), Json(Session::of(&office, &caller))).into_response())
}

async fn sign_out(State(office): State<Arc<Office>>, _caller: Caller, headers: HeaderMap) -> Response {
    (StatusCode::NO_CONTENT, AppendHeaders([(SET_COOKIE, office.door.sign_out(&headers))])).into_response()
}

//! Replays over HTTP: the same request as `wasmill replay` makes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use indicatif::ProgressBar;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::orders::{check_note, refusal};
use super::tokens::Role;
use crate::error::{Error, Result};
use crate::replay::{self, Answer, Request};
use crate::transform::TransformEngine;

/// Sends dead letters through the present deployment once more; without `why` nothing is written, and the answer says what
/// would become of them. What takes longer than an answer may goes on, and the audit says how it ended. Needs the role
/// deployer.
#[utoipa::path(
    post, path = "/v1/replays", request_body = Request, security(("token" = [])),
    responses((status = OK, body = Answer))
)]
pub(super) async fn replay(
    State(office): State<Arc<Office>>,
    caller: Caller,
    asked: std::result::Result<Json<Request>, JsonRejection>,
) -> std::result::Result<Json<Answer>, Refusal> {
    caller.must(Role::Deployer)?;
    let Json(request) = asked?;
    check_note(request.why.as_deref().unwrap_or_default())?;
    let turn = Arc::clone(&office.orders).try_acquire_owned();
    let turn = turn.map_err(|_| {
        Refusal::Conflict(Error::config("another deployment or replay is going on").hint("try again in a moment"))
    })?;
    let change = match &request.why {
        Some(why) => Some(office.audit.asked(&caller.by(), caller.address(), "replay dead letters", why).await?),
        None => None,
    };
    let done = tokio::spawn(async move {
        let _turn = turn;
        let (blocking, by) = (Arc::clone(&office), caller.by());
        // Letters go through the transforms on the thread that asks.
        let done = tokio::task::spawn_blocking(move || carry_out(&blocking, &request, &by)).await;
        let done = done.unwrap_or_else(|_| Err(Error::fatal("the replay panicked; this is a bug in wasmill")));
        if let Some(change) = change {
            let outcome = match &done {
                Ok(answer) if answer.is_whole() => format!("{} replayed", answer.total.replayed),
                Ok(answer) => format!("{} replayed, not all that match", answer.total.replayed),
                Err(error) => format!("not done: {error}"),
            };
            office.audit.ended(change, outcome).await;
        }
        done
    });
    let done = done.await.map_err(|_| Refusal::Failed(Error::fatal("the replay was cut off")))?;
    done.map(Json).map_err(refusal)
}

fn carry_out(office: &Office, request: &Request, by: &str) -> Result<Answer> {
    let engine = TransformEngine::new(office.module_cache.as_deref())?;
    let progress = ProgressBar::hidden();
    office.tokio.block_on(replay::replay(&office.config, request, by, &engine, &office.runtime, &progress))
}

//! Rebuilding a range over HTTP: the same request as `wasmill reprocess` makes, carried out by this host.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::orders::refusal;
use super::tokens::Role;
use crate::error::{Error, Result};
use crate::pipeline::RunOptions;
use crate::report::{Progress, Summary};
use crate::reprocess::{self, Plan, Prepared, Request};

/// What is to be rebuilt, and into which location.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rebuild {
    /// Where to begin: one time for all topic partitions (or `earliest`), or `TOPIC/N=OFFSET` for each that is meant.
    #[schema(max_items = 1000)]
    from: Vec<String>,
    /// Where to end, before it; the same. By default where the pipeline stands.
    #[serde(default)]
    to: Vec<String>,
    /// The location: empty, or begun by the same request.
    into: String,
    /// The number of a deployment; by default the present one.
    #[serde(default)]
    deployment: Option<u64>,
    /// Only tell what would be rebuilt.
    #[serde(default)]
    dry_run: bool,
}

/// Rebuilds a range of the topics with a given deployment into another location. The answer says what is rebuilt; it goes on
/// behind it, one at a time, and the audit says how it ended. The same request goes on where a host that ended stopped. Needs
/// the role admin: it writes wherever the host may.
#[utoipa::path(
    post, path = "/v1/reprocesses", request_body = Rebuild, security(("token" = [])),
    responses((status = OK, body = Plan))
)]
pub(super) async fn reprocess(
    State(office): State<Arc<Office>>,
    caller: Caller,
    asked: std::result::Result<Json<Rebuild>, JsonRejection>,
) -> std::result::Result<Json<Plan>, Refusal> {
    caller.must(Role::Admin)?;
    let Json(Rebuild { from, to, into, deployment, dry_run }) = asked?;
    let turn = Arc::clone(&office.rebuilding).try_acquire_owned().map_err(|_| {
        Refusal::Conflict(
            Error::config("another range is being rebuilt by this host").hint("GET /v1/audit tells when it ended"),
        )
    })?;
    let options = RunOptions {
        until_caught_up: true,
        module_cache: office.module_cache.clone(),
        stop: Arc::clone(&office.over),
        progress: Arc::new(Progress::default()),
        operator: caller.by(),
        vetting: Arc::clone(&office.vetting),
    };
    let what = format!("reprocess from {} to {} into {into}", from.join(" "), to.join(" "));
    let request = Request { from, to, into, deployment };
    let (asking, for_plan) = (Arc::clone(&office), options.clone());
    let prepare = move || {
        reprocess::prepare(&asking.config, &request, &for_plan)
            .map(|prepared| (prepared.plan.clone(), Some(prepared).filter(|_| !dry_run)))
    };
    let prepared = tokio::task::spawn_blocking(prepare).await;
    let prepared = prepared.unwrap_or_else(|_| Err(Error::fatal("the request panicked; this is a bug in wasmill")));
    let (plan, prepared) = prepared.map_err(refusal)?;
    if let Some(prepared) = prepared {
        let change = office.audit.asked(&caller.by(), caller.address(), &what, "").await?;
        tokio::spawn(async move {
            let _turn = turn;
            let done = tokio::task::spawn_blocking(move || carry_out(prepared, &options)).await;
            let done = done.unwrap_or_else(|_| Err(Error::fatal("it panicked; this is a bug in wasmill")));
            let outcome = match done {
                Ok(summary) if summary.stopped.is_empty() => format!("done: {} messages read", summary.read),
                Ok(summary) => {
                    format!("{} topic partitions stopped, {} messages read", summary.stopped.len(), summary.read)
                }
                Err(error) => format!("not done: {error}"),
            };
            office.audit.ended(change, outcome).await;
        });
    }
    Ok(Json(plan))
}

/// On a thread that may wait: what is prepared has threads of its own.
fn carry_out(prepared: Prepared, options: &RunOptions) -> Result<Summary> {
    prepared.carry_out(options)
}

//! Deployments over HTTP: the same orders as on the command line.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::tokens::Role;
use crate::deployment::difference::Difference;
use crate::deployment::judge::Bounds;
use crate::deployment::order::{Order, Outcome, Place, Wish, share_of};
use crate::deployment::{Deployment, Entry, Placement, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::source;
use crate::transform::TransformEngine;

/// The most events that a deployment is tried on.
const MOST_EVENTS: usize = 100_000;

/// The longest note.
const NOTE_BYTES: usize = 4 << 10;

/// A note is a line that others will read.
pub(super) fn check_note(note: &str) -> Result<(), Refusal> {
    if note.len() > NOTE_BYTES || note.chars().any(char::is_control) {
        return Err(Refusal::Wrong(format!("a note is one line of at most {NOTE_BYTES} bytes")));
    }
    Ok(())
}

/// The whole chain that is to run, as `wasmill deploy` takes it.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deploy {
    /// In order: `NAME`, `NAME@VERSION` or `OTHER=NAME@VERSION`.
    #[schema(max_items = 100)]
    transforms: Vec<String>,
    /// `TRANSFORM.SETTING=VALUE`. Naming a secret (`env:VARIABLE`, `file:/PATH`) needs the role admin.
    #[serde(default)]
    set: Vec<String>,
    /// `TRANSFORM.SETTING`.
    #[serde(default)]
    unset: Vec<String>,
    /// `TRANSFORM.LIMIT=VALUE`.
    #[serde(default)]
    limits: Vec<String>,
    /// `TRANSFORM=POLICY`.
    #[serde(default)]
    on_failure: Vec<String>,
    /// On one in so many of the topic partitions, on trial.
    #[serde(default)]
    #[schema(minimum = 2)]
    canary: Option<u32>,
    /// How much worse a canary may do: `failed=0.001,rejected=0.02,slower=3`.
    #[serde(default)]
    bounds: Option<String>,
    /// Why; it is recorded. At most 4 KiB.
    #[serde(default)]
    #[schema(max_length = 1024)]
    note: String,
    /// Recent events to try it on; by default none.
    #[serde(default)]
    #[schema(maximum = 100_000)]
    sample: usize,
    /// Also if readers of the table would lose a column, or see another type.
    #[serde(default)]
    allow_schema_change: bool,
    /// Only tell what it would mean.
    #[serde(default)]
    dry_run: bool,
}

/// Back to an earlier deployment.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// Which one; by default the one that ran before the present one, or the end of a trial.
    #[serde(default)]
    to: Option<u64>,
    /// Why; it is recorded. At most 4 KiB.
    #[serde(default)]
    #[schema(max_length = 1024)]
    note: String,
    /// Recent events to try it on; by default none.
    #[serde(default)]
    #[schema(maximum = 100_000)]
    sample: usize,
    /// Also if readers of the table would lose a column, or see another type.
    #[serde(default)]
    allow_schema_change: bool,
    /// Only tell what it would mean.
    #[serde(default)]
    dry_run: bool,
}

/// When an order is accepted.
struct How {
    note: String,
    sample: usize,
    allow_schema_change: bool,
    dry_run: bool,
}

/// What became of an order.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Ordered {
    /// What it means: deployment, difference, and what became of recent events.
    #[schema(value_type = Object, nullable)]
    proposal: Value,
    /// The entry of the log; `null`: nothing was done.
    accepted: Option<Entry>,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be_refused: Option<String>,
}

/// What a deployment is compared with.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Compared {
    /// The number of the other deployment.
    from: u64,
}

/// What changes from another deployment to this one, as `wasmill diff`. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/deployments/{number}/difference", security(("token" = [])),
    params(("number" = u64, Path, description = "Its number"), Compared),
    responses((status = OK, body = Difference))
)]
pub(super) async fn difference(
    State(office): State<Arc<Office>>,
    caller: Caller,
    number: Result<Path<u64>, PathRejection>,
    compared: Result<Query<Compared>, QueryRejection>,
) -> Result<Json<Difference>, Refusal> {
    caller.must(Role::Viewer)?;
    let (Path(to), Query(Compared { from })) = (number?, compared?);
    let (from, to) = (find(&office, from).await?, find(&office, to).await?);
    Ok(Json(Difference::between(Some(&from), &to)))
}

/// The deployment of that number.
pub(super) async fn find(office: &Office, number: u64) -> Result<Deployment, Refusal> {
    office.log.deployment(number).await.map_err(|error| match error.kind() {
        ErrorKind::Config => Refusal::Missing(error.to_string()),
        _ => Refusal::Failed(error),
    })
}

/// Runs other transforms, versions or settings. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/deployments", request_body = Deploy, security(("token" = [])),
    responses((status = OK, body = Ordered))
)]
pub(super) async fn deploy(
    State(office): State<Arc<Office>>,
    caller: Caller,
    asked: Result<Json<Deploy>, JsonRejection>,
) -> Result<Json<Ordered>, Refusal> {
    caller.must(Role::Deployer)?;
    let Json(asked) = asked?;
    let Deploy { transforms, set, unset, limits, on_failure, canary, bounds, .. } = asked;
    let Deploy { note, sample, allow_schema_change, dry_run, .. } = asked;
    let how = How { note, sample, allow_schema_change, dry_run };
    let names_secret = |set: &String| {
        let value = set.split_once('=').map_or("", |(_, value)| value);
        value.starts_with("env:") || value.starts_with("file:")
    };
    if set.iter().any(names_secret) {
        // Whoever chooses the module and the secret could have any file of a host.
        caller.must(Role::Admin)?;
    }
    let wrong = |error: Error| Refusal::Wrong(error.to_string());
    let placements: Result<Vec<Placement>> = transforms.iter().map(|text| text.parse()).collect();
    let request = Request { transforms: placements.map_err(wrong)?, set, unset, limits, on_failure };
    let bounds: Bounds = match bounds.as_deref() {
        None | Some("") => Bounds::default(),
        Some(text) => text.parse().map_err(wrong)?,
    };
    if request.transforms.is_empty() || canary.is_some_and(|nth| nth < 2) {
        return Err(Refusal::Wrong("transforms must name some, and canary be 2 or more".to_owned()));
    }
    let wish = move |office: &Office| match canary {
        None => Ok(Wish::Deploy(request)),
        Some(nth) => {
            let all = source::topic_partitions(&office.config.source, &office.tokio)?;
            Ok(Wish::Try { request, topic_partitions: share_of(all, nth), bounds })
        }
    };
    order(office, caller, format!("deploy {}", transforms.join(" ")), how, wish).await
}

/// Goes back to an earlier deployment, or ends a trial. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/rollback", request_body = Rollback, security(("token" = [])),
    responses((status = OK, body = Ordered))
)]
pub(super) async fn rollback(
    State(office): State<Arc<Office>>,
    caller: Caller,
    asked: Result<Json<Rollback>, JsonRejection>,
) -> Result<Json<Ordered>, Refusal> {
    caller.must(Role::Deployer)?;
    let Json(Rollback { to, note, sample, allow_schema_change, dry_run }) = asked?;
    let how = How { note, sample, allow_schema_change, dry_run };
    let what = to.map_or_else(|| "rollback".to_owned(), |to| format!("rollback to {to}"));
    order(office, caller, what, how, move |_| Ok(Wish::Rollback(to))).await
}

/// Carries an order out, also when whoever gave it goes away meanwhile.
async fn order(
    office: Arc<Office>,
    caller: Caller,
    what: String,
    how: How,
    wish: impl FnOnce(&Office) -> Result<Wish> + Send + 'static,
) -> Result<Json<Ordered>, Refusal> {
    office.must_be_deployed()?;
    check_note(&how.note)?;
    if how.sample > MOST_EVENTS {
        return Err(Refusal::Wrong(format!("the sample may have {MOST_EVENTS} events")));
    }
    // One at a time: each compiles, and may read from Kafka.
    let turn = Arc::clone(&office.orders).try_acquire_owned();
    let turn = turn.map_err(|_| {
        Refusal::Conflict(Error::config("another deployment is being looked at").hint("try again in a moment"))
    })?;
    let change = office.audit.asked(&caller.by(), caller.address(), &what, &how.note).await?;
    let sees_payloads = caller.must(Role::Payloads).is_ok();
    let done = tokio::spawn(async move {
        let _turn = turn;
        let (blocking, by) = (Arc::clone(&office), caller.by());
        let done = tokio::task::spawn_blocking(move || carry_out(&blocking, how, wish, &by)).await;
        let done = done.unwrap_or_else(|_| Err(Error::fatal("the deployment panicked; this is a bug in wasmill")));
        let outcome = match &done {
            Ok(outcome) => told(outcome),
            Err(error) => format!("not done: {error}"),
        };
        office.audit.ended(change, outcome).await;
        done
    });
    let done = done.await.map_err(|_| Refusal::Failed(Error::fatal("the deployment was cut off")))?;
    match done {
        Ok(outcome) => answer(outcome, sees_payloads).map(Json),
        Err(error) => Err(refusal(error)),
    }
}

fn carry_out(
    office: &Office,
    how: How,
    wish: impl FnOnce(&Office) -> Result<Wish>,
    by: &str,
) -> Result<(Outcome, bool)> {
    let sample = match how.sample {
        0 => Vec::new(),
        count => source::sample(&office.config.source, &office.tokio, count)?,
    };
    let engine = TransformEngine::new(office.module_cache.as_deref())?;
    let wish = wish(office)?;
    let place = Place {
        config: &office.config,
        registry: &office.registry,
        log: &office.log,
        engine: &engine,
        sample: &sample,
    };
    let How { note, allow_schema_change, dry_run, .. } = how;
    let order = Order { wish, allow_schema_change, dry_run, note };
    Ok((office.tokio.block_on(order.carry_out(&place, by))?, dry_run))
}

fn told((outcome, _): &(Outcome, bool)) -> String {
    match outcome {
        Outcome::TrialEnded(entry) => format!("entry {}", entry.number),
        Outcome::Proposed { accepted: Some(entry), .. } => format!("entry {}", entry.number),
        Outcome::Proposed { refused: Some(error), .. } => format!("not done: {error}"),
        Outcome::Proposed { .. } => "nothing changes, or it was only tried".to_owned(),
    }
}

fn answer((outcome, dry_run): (Outcome, bool), sees_payloads: bool) -> Result<Ordered, Refusal> {
    let (mut proposal, accepted, refused) = match outcome {
        Outcome::TrialEnded(entry) => {
            return Ok(Ordered { proposal: Value::Null, accepted: Some(*entry), would_be_refused: None });
        }
        Outcome::Proposed { proposal, accepted, refused } => (proposal, accepted, refused),
    };
    if let (Some(rehearsal), false) = (&mut proposal.rehearsal, sees_payloads) {
        // Its examples hold values of events.
        rehearsal.changed = None;
        rehearsal.sampled.clear();
    }
    let would_be_refused = match refused {
        Some(error) if !dry_run => return Err(Refusal::Conflict(error)),
        refused => refused.map(|error| error.to_string()),
    };
    let proposal = serde_json::to_value(&proposal);
    let proposal = proposal.map_err(|error| Error::fatal("the proposal cannot be written").because(error))?;
    Ok(Ordered { proposal, accepted: accepted.map(|entry| *entry), would_be_refused })
}

/// What an order was refused for: what somebody asked for is wrong, or does not fit what is there.
pub(super) fn refusal(error: Error) -> Refusal {
    match error.kind() {
        ErrorKind::Config | ErrorKind::Guest => Refusal::Conflict(error),
        ErrorKind::Transient | ErrorKind::Fatal => Refusal::Failed(error),
    }
}

//! `wasmill verify` with its progress, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::events::event;
use super::tokens::Role;
use crate::audit::{self, Options, Report, Subject};
use crate::error::{Error, Result};
use crate::source;

/// How often it is told how far it is.
const GLANCE: Duration = Duration::from_millis(300);

/// How to verify.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// Read offsets row by row where rows carry them, and compare with what the source has.
    deep: Option<bool>,
    /// Files in the table that other programs wrote are in order.
    foreign_files: Option<bool>,
}

struct Verification {
    work: JoinHandle<Result<Report>>,
    progress: ProgressBar,
    is_over: bool,
    /// Dropped with the stream: whoever went away needs no report.
    _listener: oneshot::Sender<()>,
    _turns: [OwnedSemaphorePermit; 2],
}

/// Checks that the table is what its checkpoints say: events called `progress` (`message`, `position`, `length`), then one
/// called `report` (as `wasmill verify --json`) or `failed` (`error`, `hint`). One at a time. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/verify/events", params(How), security(("token" = [])),
    responses((status = OK, body = String, content_type = "text/event-stream"))
)]
pub(super) async fn verify(
    State(office): State<Arc<Office>>,
    caller: Caller,
    how: std::result::Result<Query<How>, QueryRejection>,
) -> std::result::Result<Response, Refusal> {
    caller.must(Role::Viewer)?;
    let Query(How { deep, foreign_files }) = how?;
    let turn = Arc::clone(&office.verifying).try_acquire_owned().map_err(|_| {
        Refusal::Conflict(Error::config("the table is being verified already").hint("try again when that is over"))
    })?;
    let stream_turn = Arc::clone(&office.streams).try_acquire_owned().map_err(|_| Refusal::TooMany)?;
    let progress = ProgressBar::hidden();
    let (deep, foreign_files) = (deep.unwrap_or(false), foreign_files.unwrap_or(false));
    let options = Options { deep, foreign_files, progress: progress.clone() };
    let (listener, gone) = oneshot::channel();
    let work = tokio::task::spawn_blocking(move || carry_out(&office, &options, gone));
    let one = Verification { work, progress, is_over: false, _listener: listener, _turns: [turn, stream_turn] };
    let events = stream::unfold(one, |mut one| async move {
        let event = one.next().await?;
        Some((Ok::<_, Infallible>(event), one))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

impl Verification {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let Ok(done) = tokio::time::timeout(GLANCE, &mut self.work).await else {
            let (position, length) = (self.progress.position(), self.progress.length());
            let told = json!({ "message": self.progress.message(), "position": position, "length": length });
            return Some(event("progress", &told));
        };
        self.is_over = true;
        Some(match done.unwrap_or_else(|_| Err(Error::fatal("it panicked; this is a bug in wasmill"))) {
            Ok(report) => event("report", &report),
            Err(error) => event("failed", &json!({ "error": error.to_string(), "hint": error.what_to_do() })),
        })
    }
}

/// On a thread that may wait. Ends when whoever asked goes away.
fn carry_out(office: &Office, options: &Options, gone: oneshot::Receiver<()>) -> Result<Report> {
    let subject = Subject::open(&office.config)?;
    let gathered = office.tokio.block_on(async {
        tokio::select! {
            gathered = audit::gather(&subject, options) => gathered,
            _ = gone => Err(Error::transient("whoever asked went away")),
        }
    });
    let mut facts = gathered?;
    if options.deep {
        options.progress.set_message("asking the source");
        let all: Vec<_> = facts.chains.keys().cloned().collect();
        facts.source = source::known_offsets(&office.config.source, &all)?;
    }
    Ok(audit::judge(&facts))
}

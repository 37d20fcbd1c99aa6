//! Dead letters: what `wasmill dead-letters` shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use indicatif::ProgressBar;
use serde::Deserialize;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::tokens::Role;
use crate::audit::Subject;
use crate::error::Result;
use crate::replay;
use crate::table::dead_letters::{self, Coordinates, DAY_MS, LetterList, Letters, ListFilter, Replayed};

/// As many are listed at most.
const SHOWN: usize = 1_000;

/// Spans of time that are told apart, about.
const SPANS: i64 = 100;

/// Which dead letters.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only of this reason.
    reason: Option<String>,
    /// Only of this transform.
    transform: Option<String>,
    /// Only those recorded from here on, in milliseconds since 1970. They are counted by spans from a minute to a day that
    /// follow from it; by default, all of them, by day.
    since_ms: Option<i64>,
    /// How many of the latest to list; all are counted. By default 20, at most 1000.
    #[param(maximum = 1000)]
    limit: Option<usize>,
    /// Those that were replayed, too.
    replayed: Option<bool>,
}

/// One message.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Message {
    /// Its topic.
    topic: String,
    /// The topic partition's number.
    topic_partition: i32,
    /// Its offset.
    offset: i64,
}

/// Dead letters by reason and over time, and the latest of them. What was found in an event (`message`) is empty for a token
/// without the role payloads. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/dead-letters", params(Which), security(("token" = [])),
    responses((status = OK, body = LetterList))
)]
pub(super) async fn list(
    State(office): State<Arc<Office>>,
    caller: Caller,
    which: std::result::Result<Query<Which>, QueryRejection>,
) -> std::result::Result<Json<LetterList>, Refusal> {
    caller.must(Role::Viewer)?;
    let Query(Which { reason, transform, since_ms, limit, replayed }) = which?;
    let limit = limit.unwrap_or(ListFilter::default().limit);
    if limit > SHOWN {
        return Err(Refusal::Wrong(format!("the limit is at most {SHOWN}")));
    }
    let every_ms = span(since_ms, office.runtime.now_ms());
    let filter = ListFilter { reason, transform, since_ms, limit, replayed: replayed.unwrap_or(false), every_ms };
    let found = office.look(move |office| {
        let (subject, replayed) = open(office)?;
        let progress = ProgressBar::hidden();
        office.tokio.block_on(dead_letters::list(&subject.dead_letters, &filter, &replayed, &progress))
    });
    let mut found = found.await?;
    if caller.must(Role::Payloads).is_err() {
        found.latest.iter_mut().for_each(|line| line.message.clear());
    }
    Ok(Json(found))
}

/// The dead letters of one message with all that they hold. Needs the role payloads.
#[utoipa::path(
    get, path = "/v1/dead-letters/message", params(Message), security(("token" = [])),
    responses((status = OK, body = Letters))
)]
pub(super) async fn show(
    State(office): State<Arc<Office>>,
    caller: Caller,
    message: std::result::Result<Query<Message>, QueryRejection>,
) -> std::result::Result<Json<Letters>, Refusal> {
    caller.must(Role::Payloads)?;
    let Query(Message { topic, topic_partition, offset }) = message?;
    let message = Coordinates { topic, topic_partition, offset };
    let found = office.look(move |office| {
        let (subject, replayed) = open(office)?;
        let progress = ProgressBar::hidden();
        office.tokio.block_on(dead_letters::show(&subject.dead_letters, &message, &replayed, &progress))
    });
    Ok(Json(found.await?))
}

/// The places, and which dead letters were replayed.
fn open(office: &Office) -> Result<(Subject, Replayed)> {
    let subject = Subject::open(&office.config)?;
    let replayed = office.tokio.block_on(replay::replayed(&subject, &ProgressBar::hidden()))?;
    Ok((subject, replayed))
}

/// The shortest span of which about [`SPANS`] lead from `since_ms` to `now_ms`, in milliseconds.
fn span(since_ms: Option<i64>, now_ms: i64) -> i64 {
    const MINUTE_MS: i64 = 60_000;
    let Some(since_ms) = since_ms else { return DAY_MS };
    let shortest = now_ms.saturating_sub(since_ms) / SPANS;
    let spans = [MINUTE_MS, 10 * MINUTE_MS, 60 * MINUTE_MS, 6 * 60 * MINUTE_MS];
    spans.into_iter().find(|span| *span >= shortest).unwrap_or(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_grow_with_the_time_that_is_looked_at() {
        let now = 1_795_480_200_000;
        let hour = 3_600_000;
        let of = |hours: i64| span(Some(now - hours * hour), now) / 60_000;
        assert_eq!([of(1), of(6), of(24), of(7 * 24), of(365 * 24)], [1, 10, 60, 6 * 60, 24 * 60]);
        assert_eq!((span(None, now), span(Some(i64::MIN), now), span(Some(i64::MAX), now)), (DAY_MS, DAY_MS, 60_000));
    }
}

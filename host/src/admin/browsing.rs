//! Messages of topics: a page of them, and those that come.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::events::event;
use super::tokens::Role;
use super::topics::{no_topic, topic_name};
use crate::browse::{self, MOST_SCANNED, MOST_SHOWN, Page, Start, Tail, Viewer, Wanted};

/// The longest text that is looked for.
const TEXT_BYTES: usize = 1_000;

/// Who follows a topic for so long may ask again.
const FOLLOWED: Duration = Duration::from_secs(30 * 60);

/// Which messages.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only of this topic partition.
    topic_partition: Option<i32>,
    /// From this offset on, of one topic partition. Without one of `offset`, `time_ms` and `from`, the latest.
    offset: Option<i64>,
    /// From the first message at or after this time on, in milliseconds since 1970.
    time_ms: Option<i64>,
    /// From these places on, as `next` of an answer has them: `0:1200,1:1187`, each a topic partition's number and an offset.
    from: Option<String>,
    /// Only messages in whose key, headers or payload (as it came, or decoded) this text stands, as it is written.
    contains: Option<String>,
    /// How many are shown, by default 100; of all topic partitions in equal shares.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// How many are looked through, by default 10000.
    #[param(minimum = 1, maximum = 100_000)]
    scan: Option<usize>,
    /// Show long messages as a whole, up to a megabyte; for one message (`limit=1`).
    whole: Option<bool>,
}

/// Which messages are followed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Followed {
    /// Only of this topic partition.
    topic_partition: Option<i32>,
    /// Only messages in whose key, headers or payload this text stands.
    contains: Option<String>,
}

impl Which {
    fn wanted(self, topic: String) -> Result<Wanted, Refusal> {
        let wrong = |why: String| Err(Refusal::Wrong(why));
        let (limit, scan) = (self.limit.unwrap_or(100), self.scan.unwrap_or(10_000));
        let whole = self.whole.unwrap_or(false);
        if limit == 0 || limit > MOST_SHOWN || scan == 0 || scan > MOST_SCANNED {
            return wrong(format!("limit is from 1 to {MOST_SHOWN}, scan from 1 to {MOST_SCANNED}"));
        }
        if whole && limit != 1 {
            return wrong("one message is shown as a whole: limit=1".to_owned());
        }
        let from = match (self.offset, self.time_ms, self.from) {
            (None, None, None) => Start::Latest,
            (Some(offset), None, None) if self.topic_partition.is_some() => Start::Offset(offset),
            (Some(_), None, None) => {
                return wrong("an offset is one of a topic partition: topic_partition=0".to_owned());
            }
            (None, Some(time_ms), None) => Start::Time(time_ms),
            (None, None, Some(from)) => match places(&from) {
                Some(places) => Start::Places(places),
                None => return wrong("from is like 0:1200,1:1187".to_owned()),
            },
            _ => return wrong("of offset, time_ms and from only one can be given".to_owned()),
        };
        let contains = contains(self.contains)?;
        Ok(Wanted { topic, topic_partition: self.topic_partition, from, contains, limit, scan, whole })
    }
}

fn contains(text: Option<String>) -> Result<Option<String>, Refusal> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > TEXT_BYTES => {
            Err(Refusal::Wrong(format!("a text that is looked for has at most {TEXT_BYTES} bytes")))
        }
        text => Ok(text),
    }
}

fn places(text: &str) -> Option<BTreeMap<i32, i64>> {
    let place = |text: &str| {
        let (number, offset) = text.split_once(':')?;
        Some((number.parse().ok()?, offset.parse().ok()?))
    };
    text.split(',').map(place).collect()
}

/// Events of a pipeline need the role payloads. The pipeline's user may see topics that are none of the token's business.
fn must_read(office: &Office, caller: &Caller, topic: &str) -> Result<(), Refusal> {
    caller.must(if office.reads(topic) { Role::Payloads } else { Role::Admin })
}

fn viewer(office: &Office, topic: &str) -> crate::error::Result<Viewer> {
    Viewer::new(&office.config, office.schemas.clone(), topic)
}

type Asked = State<Arc<Office>>;
type Named = Result<Path<String>, PathRejection>;

/// Messages of a topic, decoded where they name a schema, looked through for a text. Bounded in messages, bytes and time; the
/// answer says how many were looked through, and where to go on. Needs the role payloads for the pipeline's topics, and admin
/// for others.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages", security(("token" = [])),
    params(("topic" = String, Path, description = "Its name"), Which),
    responses((status = OK, body = Page))
)]
pub(super) async fn messages(
    State(office): Asked,
    caller: Caller,
    topic: Named,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Page>, Refusal> {
    caller.must(Role::Payloads)?;
    let topic = topic_name(topic)?;
    must_read(&office, &caller, &topic)?;
    let wanted = which?.0.wanted(topic.clone())?;
    let found = office.ask_kafka(move |office, kafka| {
        let mut viewer = viewer(office, &wanted.topic)?;
        browse::read(kafka, &mut viewer, &wanted, &|| office.over.load(Ordering::Acquire))
    });
    found.await?.map(Json).ok_or_else(|| no_topic(&topic))
}

/// Messages of a topic as they come, from now on: events called `messages` every second (`messages`, `scanned`,
/// `passed_over`: how many were not looked at, as more came than is shown), after half an hour one called `ended`; `failed`
/// (`error`, `hint`) ends it, too. Needs the roles that the messages need.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages/events", security(("token" = [])),
    params(("topic" = String, Path, description = "Its name"), Followed),
    responses((status = OK, body = String, content_type = "text/event-stream"))
)]
pub(super) async fn follow(
    State(office): Asked,
    caller: Caller,
    topic: Named,
    which: Result<Query<Followed>, QueryRejection>,
) -> Result<Response, Refusal> {
    caller.must(Role::Payloads)?;
    let topic = topic_name(topic)?;
    must_read(&office, &caller, &topic)?;
    let Query(Followed { topic_partition, contains: text }) = which?;
    let text = contains(text)?;
    let turn = Arc::clone(&office.tails).try_acquire_owned().map_err(|_| Refusal::TooMany)?;
    let name = topic.clone();
    let tail =
        office.ask_kafka(move |office, kafka| Tail::open(kafka, viewer(office, &name)?, &name, topic_partition, text));
    let tail = tail.await?.ok_or_else(|| no_topic(&topic))?;
    let (told, telling) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || tell(&office, tail, &told, turn));
    let events = stream::unfold(telling, |mut telling| async move {
        let event: Event = telling.recv().await?;
        Some((Ok::<_, Infallible>(event), telling))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Tells what comes until whoever listens is gone, the run is over, or it was long enough.
fn tell(office: &Office, mut tail: Tail, told: &mpsc::Sender<Event>, _turn: OwnedSemaphorePermit) {
    let begun = Instant::now();
    let is_over = || told.is_closed() || office.over.load(Ordering::Acquire);
    while !is_over() {
        let next = tail.next(&is_over);
        let is_last = next.is_err();
        let event = match next {
            Ok(tick) => event("messages", &tick),
            Err(error) => event("failed", &json!({ "error": error.to_string(), "hint": error.what_to_do() })),
        };
        if told.blocking_send(event).is_err() || is_last {
            return;
        }
        if begun.elapsed() > FOLLOWED {
            // Whoever is gone needs not be told.
            let _ = told.blocking_send(self::event("ended", &json!({})));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(query: &str) -> Result<Wanted, Refusal> {
        let uri = format!("/?{query}").parse().unwrap();
        let Query(which) = Query::<Which>::try_from_uri(&uri).map_err(Refusal::from)?;
        which.wanted("t".to_owned())
    }

    #[test]
    fn what_is_wanted_is_clear_and_bounded() {
        let plain = which("").ok().unwrap();
        assert_eq!((plain.limit, plain.scan, plain.contains), (100, 10_000, None));
        assert!(matches!(plain.from, Start::Latest));
        let from = which("from=0:12,3:9").ok().unwrap().from;
        assert!(matches!(from, Start::Places(places) if places == BTreeMap::from([(0, 12), (3, 9)])));
        assert!(matches!(which("topic_partition=1&offset=5").ok().unwrap().from, Start::Offset(5)));
        assert!(matches!(which("time_ms=5").ok().unwrap().from, Start::Time(5)));
        for wrong in [
            "limit=0",
            "limit=1001",
            "scan=100001",
            "whole=true",
            "offset=5",
            "time_ms=5&from=0:1",
            "from=0",
            "from=a:1",
            "from=",
            "more=1",
            &format!("contains={}", "x".repeat(TEXT_BYTES + 1)),
        ] {
            assert!(which(wrong).is_err(), "{wrong}");
        }
    }
}

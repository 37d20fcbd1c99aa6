//! Server-sent events: what is asked for again and again, sent as it comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::Office;
use crate::error::Result;
use crate::status::lines::LineReader;

/// How often storage is looked at for a stream.
const GLANCE: Duration = Duration::from_secs(2);

/// How long it takes at most to see that the run is over.
const NAP: Duration = Duration::from_millis(100);

/// What a stream tells.
pub(super) enum Feed {
    /// The statuses of all hosts, every time.
    Hosts,
    /// Guests' lines, each once.
    Lines(Box<LineReader>),
}

struct Open {
    office: Arc<Office>,
    feed: Feed,
    waiting: VecDeque<Event>,
    is_first: bool,
    /// Given back when the stream is dropped.
    _turn: OwnedSemaphorePermit,
}

/// Sends `feed` until the caller goes or the run is over.
pub(super) fn stream(
    office: Arc<Office>,
    feed: Feed,
    turn: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let open = Open { office, feed, waiting: VecDeque::new(), is_first: true, _turn: turn };
    let events = stream::unfold(open, |mut open| async move {
        loop {
            if let Some(event) = open.waiting.pop_front() {
                return Some((Ok(event), open));
            }
            if !std::mem::take(&mut open.is_first) && !open.wait().await {
                return None;
            }
            open.waiting = match open.look().await {
                Ok(events) => events,
                Err(error) => [Event::default().event("error").data(error.to_string())].into(),
            };
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Open {
    /// `false`: the run is over.
    async fn wait(&self) -> bool {
        for _ in 0..GLANCE.as_millis() / NAP.as_millis() {
            if self.office.over.load(Ordering::Acquire) {
                return false;
            }
            tokio::time::sleep(NAP).await;
        }
        !self.office.over.load(Ordering::Acquire)
    }

    async fn look(&mut self) -> Result<VecDeque<Event>> {
        match &mut self.feed {
            Feed::Hosts => {
                let hosts = self.office.post.read(self.office.runtime.now_ms()).await?;
                Ok([event("hosts", &hosts)].into())
            }
            Feed::Lines(reader) => Ok(reader.next().await?.iter().map(|line| event("line", line)).collect()),
        }
    }
}

/// One event.
pub(super) fn event(name: &str, value: &impl Serialize) -> Event {
    // What is sent was read as JSON before.
    Event::default().event(name).data(serde_json::to_string(value).unwrap_or_default())
}

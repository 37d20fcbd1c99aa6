//! Messages as they come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::shown::{Shown, Viewer};
use super::{PAGE_BYTES, WAIT};
use crate::config::KafkaConfig;
use crate::error::Result;
use crate::source::Messages as _;
use crate::source::kafka::{Browser, Found};

/// How often what has come is told.
const TICK: Duration = Duration::from_secs(1);

/// Messages that are shown, and looked through, in that time at most. What comes beyond is passed over.
const SHOWN: usize = 200;
const SCANNED: usize = 5_000;

/// So far before the end of each topic partition it goes on then.
const BEHIND: i64 = 50;

/// Follows a topic.
pub struct Tail {
    browser: Browser,
    viewer: Viewer,
    contains: Option<String>,
    next: BTreeMap<i32, i64>,
}

/// What has come in about a second.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Tick {
    /// In the order in which they came.
    pub messages: Vec<Shown>,
    /// How many were looked through.
    pub scanned: usize,
    /// How many offsets were passed over, as more came than is shown.
    pub passed_over: i64,
}

impl Tail {
    /// Follows a topic, or one of its topic partitions, from its end; `None`: there is none. Blocking.
    ///
    /// # Errors
    /// The brokers do not answer, or do not let the user look.
    pub fn open(
        kafka: &KafkaConfig,
        viewer: Viewer,
        topic: &str,
        topic_partition: Option<i32>,
        contains: Option<String>,
    ) -> Result<Option<Self>> {
        let Some(browser) = Browser::open(kafka, topic, topic_partition)? else { return Ok(None) };
        let next: BTreeMap<i32, i64> = browser.spans().iter().map(|(number, span)| (*number, span.high)).collect();
        browser.begin(&next)?;
        Ok(Some(Self { browser, viewer, contains, next }))
    }

    /// What comes within a second. Blocking. `is_over`: it need not be waited for.
    ///
    /// # Errors
    /// The brokers do not answer, or do not let the user read.
    pub fn next(&mut self, is_over: &dyn Fn() -> bool) -> Result<Tick> {
        let begun = Instant::now();
        let mut tick = Tick { messages: Vec::new(), scanned: 0, passed_over: 0 };
        let mut bytes = 0;
        self.viewer.renew();
        while begun.elapsed() < TICK && !is_over() {
            if tick.messages.len() >= SHOWN || tick.scanned >= SCANNED || bytes >= PAGE_BYTES {
                // No more is fetched while nothing is taken.
                self.browser.begin(&BTreeMap::new())?;
                while begun.elapsed() < TICK && !is_over() {
                    std::thread::sleep(WAIT);
                }
                tick.passed_over = self.catch_up()?;
                break;
            }
            let Found::Message(number, message) = self.browser.next(WAIT)? else { continue };
            let Some(next) = self.next.get_mut(&number) else { continue };
            let offset = message.get(0).offset;
            if offset < *next {
                continue;
            }
            *next = offset + 1;
            tick.scanned += 1;
            bytes += message.get(0).payload.map_or(0, <[u8]>::len);
            tick.messages.extend(self.viewer.show(number, message, self.contains.as_deref(), false));
        }
        Ok(tick)
    }

    /// Goes on where it was, or near the ends where too much has come; how many offsets that passes over.
    fn catch_up(&mut self) -> Result<i64> {
        self.browser.look_again()?;
        let mut passed_over = 0;
        for (number, next) in &mut self.next {
            let Some(span) = self.browser.spans().get(number) else { continue };
            let nearest = (span.high - BEHIND).max(span.low);
            if *next < nearest {
                passed_over += nearest - *next;
                *next = nearest;
            }
        }
        self.browser.begin(&self.next)?;
        Ok(passed_over)
    }
}

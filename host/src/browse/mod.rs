//! Messages of topics for people who look at them: a page of them, or those that come.
//!
//! Everything is bounded (messages, bytes, time), so that whoever looks cannot hurt the host, and reads with a client of its
//! own, outside of every group. Nothing here knows of positions, ranges or rows.

mod shown;
mod tail;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use self::shown::{Content, NamedContent, Shown, Viewer, WhyNot};
pub use self::tail::{Tail, Tick};
use crate::config::KafkaConfig;
use crate::error::Result;
use crate::source::Messages as _;
use crate::source::kafka::{Browser, Found, Span};

/// Messages of one page at most.
pub const MOST_SHOWN: usize = 1_000;

/// Messages that are looked through for one page at most.
pub const MOST_SCANNED: usize = 100_000;

/// Bytes of messages that are looked through for one page at most.
const SCANNED_BYTES: usize = 64 << 20;

/// Bytes of what a page shows, about.
const PAGE_BYTES: usize = 4 << 20;

/// How long looking for one page may take; what was found by then is shown.
const TIME: Duration = Duration::from_secs(10);

/// How long the client waits in one call.
const WAIT: Duration = Duration::from_millis(100);

/// Which messages.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Their topic.
    pub topic: String,
    /// Only of this topic partition.
    pub topic_partition: Option<i32>,
    /// Where to begin.
    pub from: Start,
    /// Only those in whose key, headers or payload (as it came, or decoded) this text stands.
    pub contains: Option<String>,
    /// How many are shown at most, of all topic partitions in equal shares.
    pub limit: usize,
    /// How many are looked through at most, in equal shares.
    pub scan: usize,
    /// Show long ones as a whole, up to a megabyte.
    pub whole: bool,
}

/// Where to begin.
#[derive(Debug, Clone, Default)]
pub enum Start {
    /// So far before the ends that the latest are shown (or looked through, when only some are wanted).
    #[default]
    Latest,
    /// At this offset, or at the nearest that there is.
    Offset(i64),
    /// At the first message at or after this time, in milliseconds since 1970.
    Time(i64),
    /// At these offsets of these topic partitions.
    Places(BTreeMap<i32, i64>),
}

/// One place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Place {
    /// The topic partition's number.
    pub topic_partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What was found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page {
    /// By time, then topic partition and offset.
    pub messages: Vec<Shown>,
    /// How many were looked through.
    pub scanned: usize,
    /// Where it began.
    pub from: Vec<Place>,
    /// Where to go on.
    pub next: Vec<Place>,
    /// Why it ended.
    pub ended: Ended,
}

/// Why a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// At the end of each topic partition.
    End,
    /// As many are shown as were wanted.
    Limit,
    /// As many were looked through as may be: messages or bytes.
    Scanned,
    /// It took too long, or the host ends.
    Time,
}

/// A topic partition that is read.
struct Open {
    next: i64,
    end: i64,
    shown: usize,
    scanned: usize,
}

/// A page of messages; `None`: there is no such topic or topic partition. Blocking. `is_over`: whoever asked is gone.
///
/// # Errors
/// The brokers do not answer, or do not let the user read.
pub fn read(
    kafka: &KafkaConfig,
    viewer: &mut Viewer,
    wanted: &Wanted,
    is_over: &dyn Fn() -> bool,
) -> Result<Option<Page>> {
    let begun = Instant::now();
    let Some(browser) = Browser::open(kafka, &wanted.topic, wanted.topic_partition)? else { return Ok(None) };
    let starts = starts(&browser, wanted)?;
    let count = starts.len().max(1);
    let share = |whole: usize| whole.div_ceil(count).max(1);
    let (share_shown, share_scanned) = (share(wanted.limit), share(wanted.scan));
    let mut open: BTreeMap<i32, Open> = BTreeMap::new();
    let mut next = starts.clone();
    for (number, from) in &starts {
        let end = browser.spans().get(number).map_or(*from, |span| span.high);
        if *from < end {
            open.insert(*number, Open { next: *from, end, shown: 0, scanned: 0 });
        }
    }
    browser.begin(&open.iter().map(|(number, one)| (*number, one.next)).collect())?;
    let (mut messages, mut scanned, mut bytes, mut shown_bytes) = (Vec::new(), 0, 0, 0);
    let mut ended = Ended::End;
    while !open.is_empty() {
        if begun.elapsed() > TIME || is_over() {
            ended = Ended::Time;
            break;
        }
        if bytes > SCANNED_BYTES || shown_bytes > PAGE_BYTES {
            ended = Ended::Scanned;
            break;
        }
        let (number, message) = match browser.next(WAIT)? {
            Found::Message(number, message) => (number, message),
            Found::End(number) => {
                // Behind the last message stand only marks of transactions.
                if let Some(one) = open.remove(&number) {
                    next.insert(number, one.end.max(one.next));
                }
                continue;
            }
            Found::Nothing => continue,
        };
        let Some(one) = open.get_mut(&number) else { continue };
        let offset = message.get(0).offset;
        if offset >= one.next && offset < one.end {
            scanned += 1;
            one.scanned += 1;
            one.next = offset + 1;
            bytes += message.get(0).payload.map_or(0, <[u8]>::len);
            if let Some(shown) = viewer.show(number, message, wanted.contains.as_deref(), wanted.whole) {
                one.shown += 1;
                shown_bytes += shown.size();
                messages.push(shown);
            }
            next.insert(number, one.next);
        }
        let full = if one.shown >= share_shown { Some(Ended::Limit) } else { None };
        let full = full.or((one.scanned >= share_scanned).then_some(Ended::Scanned));
        if offset + 1 >= one.end || full.is_some() {
            if let Some(why) = full.filter(|_| offset + 1 < one.end) {
                ended = why;
            }
            open.remove(&number);
            browser.pause(number)?;
        }
    }
    messages.sort_by_key(|one: &Shown| (one.timestamp_ms, one.topic_partition, one.offset));
    Ok(Some(Page { messages, scanned, from: places(&starts), next: places(&next), ended }))
}

fn places(of: &BTreeMap<i32, i64>) -> Vec<Place> {
    of.iter().map(|(topic_partition, offset)| Place { topic_partition: *topic_partition, offset: *offset }).collect()
}

/// Where each topic partition is read from, within what there is.
fn starts(browser: &Browser, wanted: &Wanted) -> Result<BTreeMap<i32, i64>> {
    let spans = browser.spans();
    let within = |span: &Span, offset: i64| offset.clamp(span.low, span.high.max(span.low));
    let of = |offset: &dyn Fn(i32, &Span) -> i64| {
        spans.iter().map(|(number, span)| (*number, within(span, offset(*number, span)))).collect()
    };
    Ok(match &wanted.from {
        Start::Latest => {
            let all = if wanted.contains.is_some() { wanted.scan } else { wanted.limit };
            let share = i64::try_from((all / spans.len().max(1)).max(1)).unwrap_or(i64::MAX);
            of(&|_, span| span.high.saturating_sub(share))
        }
        Start::Offset(offset) => of(&|_, _| *offset),
        Start::Time(timestamp_ms) => {
            let found = browser.at(*timestamp_ms)?;
            of(&|number, span| found.get(&number).copied().unwrap_or(span.high))
        }
        Start::Places(places) => {
            let mut starts: BTreeMap<i32, i64> = of(&|number, span| places.get(&number).copied().unwrap_or(span.high));
            starts.retain(|number, _| places.contains_key(number));
            starts
        }
    })
}

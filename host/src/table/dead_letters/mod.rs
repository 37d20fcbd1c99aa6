//! `wasmill dead-letters`: what was set aside, and why.
//!
//! The dead letters are a table like any other, in hive partitions `day=`; `docs/dead-letters.md` tells what its columns
//! mean. [`list`] counts and shows the latest without fetching a payload; [`show`] fetches everything about one.

pub mod expiry;
mod list;
pub(crate) mod read;
mod replayed;
mod rows;
mod show;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

pub use self::list::{DAY_MS, LetterCount, LetterLine, LetterList, LetterSpan, ListFilter, list};
pub use self::replayed::Replayed;
pub use self::show::{Content, Letter, Letters, show};
use crate::error::{Error, Result};

/// Which message: its topic, topic partition and offset, written `TOPIC/PARTITION@OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct Coordinates {
    /// The topic.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// The message's offset.
    pub offset: i64,
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.topic_partition, self.offset)
    }
}

impl FromStr for Coordinates {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            // From the right: the name of a source may hold anything (a file's path does).
            let (place, offset) = text.rsplit_once('@')?;
            let (topic, topic_partition) = place.rsplit_once('/')?;
            let (topic_partition, offset) = (topic_partition.parse().ok()?, offset.parse().ok()?);
            (!topic.is_empty()).then(|| Self { topic: topic.to_owned(), topic_partition, offset })
        };
        parse().ok_or_else(|| {
            Error::config(format!("{text:?} names no message"))
                .hint("write TOPIC/PARTITION@OFFSET, as `wasmill dead-letters list` shows it: listen_events/3@1284")
        })
    }
}

/// The moment that `--since` means, in milliseconds since 1970: a time span before now (`90m`, `2h`, `3days`), a day
/// (`2026-11-24`, from its start in UTC), or a moment (RFC 3339).
///
/// # Errors
/// None of these.
pub fn parse_since(text: &str, now_ms: i64) -> Result<i64> {
    let text = text.trim();
    let span = |span: Duration| now_ms.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    let day = || {
        let day: jiff::civil::Date = (text.len() == 10).then(|| text.parse().ok())??;
        let start = day.to_datetime(jiff::civil::Time::midnight());
        Some(jiff::tz::Offset::UTC.to_timestamp(start).ok()?.as_millisecond())
    };
    let moment = || Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond());
    humantime::parse_duration(text).ok().map(span).or_else(day).or_else(moment).ok_or_else(|| {
        Error::config(format!("{text:?} is no time")).hint("write 90m, 2h, 3days, 2026-11-24, or 2026-11-24T08:30:00Z")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coordinates_are_read_from_the_right() {
        let read = |text: &str| text.parse::<Coordinates>().map(|it| (it.topic, it.topic_partition, it.offset));
        assert_eq!(read("listen_events/3@1284").unwrap(), ("listen_events".into(), 3, 1284));
        assert_eq!(read("/data/a@b.jsonl/0@7").unwrap(), ("/data/a@b.jsonl".into(), 0, 7));
        for wrong in ["", "listen_events", "listen_events/3", "t/3@", "t/x@1", "/3@1", "t@1/3"] {
            let error = read(wrong).unwrap_err();
            assert!(error.what_to_do().unwrap().contains("TOPIC/PARTITION@OFFSET"), "{wrong}");
        }
    }

    #[test]
    fn since_takes_spans_days_and_moments() {
        let now = 1_795_480_200_000; // 2026-11-24T00:30:00Z
        let cases = [
            ("90m", now - 5_400_000),
            ("2h", now - 7_200_000),
            ("2026-11-24", now - 1_800_000),
            ("2026-11-23T23:30:00Z", now - 3_600_000),
            ("2026-11-24T01:00:00+01:00", now - 1_800_000),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_since(text, now).unwrap(), wanted, "{text}");
        }
        for wrong in ["", "yesterday", "2026-13-01", "5"] {
            assert!(parse_since(wrong, now).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(topic in "[a-z/@._-]{1,20}", topic_partition in any::<i32>(), offset in any::<i64>()) {
            let coordinates = Coordinates { topic, topic_partition, offset };
            prop_assert_eq!(coordinates.to_string().parse::<Coordinates>().unwrap(), coordinates);
        }
    }
}

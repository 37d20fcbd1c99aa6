//! How many dead letters of which reason, and the latest of them.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};
use indicatif::ProgressBar;
use parquet::arrow::ProjectionMask;
use serde::Serialize;

use super::super::part::{self, PartError, PartRows};
use super::super::scan::{DataFile, scan};
use super::super::{FILES_SIDE_BY_SIDE, Problem, cell};
use super::Coordinates;
use super::replayed::Replayed;
use super::rows::Rows;
use crate::error::Result;
use crate::storage::{Location, Storage};

/// What is read of each row: no payload.
const COLUMNS: [&str; 9] =
    ["topic", "topic_partition", "offset", "stage", "transform", "version", "reason", "message", "recorded_at"];

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    /// Only of this reason.
    pub reason: Option<String>,
    /// Only of this transform.
    pub transform: Option<String>,
    /// Only those recorded from here on, in milliseconds since 1970 ([`parse_since`](super::parse_since)).
    pub since_ms: Option<i64>,
    /// How many of the latest to show. Default 20. All are counted.
    pub limit: usize,
    /// Those that were replayed, too.
    pub replayed: bool,
    /// Over how long they are counted together in [`LetterList::over_time`], in milliseconds. Default one day.
    pub every_ms: i64,
}

/// One day.
pub const DAY_MS: i64 = 86_400_000;

impl Default for ListFilter {
    fn default() -> Self {
        Self { reason: None, transform: None, since_ms: None, limit: 20, replayed: false, every_ms: DAY_MS }
    }
}

/// Dead letters by reason, and the latest of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LetterList {
    /// The location as the user wrote it.
    pub location: String,
    /// How many match.
    pub count: u64,
    /// How many more would, but were replayed; those that were, where they are listed as well.
    pub replayed: u64,
    /// How many of each kind, the most frequent first.
    pub by_reason: Vec<LetterCount>,
    /// How many of each reason were set aside when, by time.
    pub over_time: Vec<LetterSpan>,
    /// The latest first.
    pub latest: Vec<LetterLine>,
    /// Files that are no readable dead letters.
    pub problems: Vec<Problem>,
}

/// Dead letters of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LetterCount {
    /// The reason's code.
    pub reason: String,
    /// `decode`, `transform` or `table`.
    pub stage: String,
    /// The transform, where the stage is one.
    pub transform: Option<String>,
    /// How many.
    pub count: u64,
}

/// Dead letters of one reason and one span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LetterSpan {
    /// When the span begins, in milliseconds since 1970.
    pub from_ms: i64,
    /// When it ends.
    pub to_ms: i64,
    /// The reason's code.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// One dead letter, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LetterLine {
    /// Which message.
    #[serde(flatten)]
    pub coordinates: Coordinates,
    /// When it was set aside, as RFC 3339.
    pub recorded_at: String,
    /// `decode`, `transform` or `table`.
    pub stage: String,
    /// The transform, where the stage is one.
    pub transform: Option<String>,
    /// The transform's version.
    pub version: Option<String>,
    /// The reason's code.
    pub reason: String,
    /// What was found and what was wanted.
    pub message: String,
    /// Whether it was replayed since.
    pub replayed: bool,
    #[serde(skip)]
    recorded_us: i64,
}

/// Counts the dead letters that match and picks the latest.
///
/// # Errors
/// The storage does not answer.
pub async fn list(
    location: &Location,
    filter: &ListFilter,
    replayed: &Replayed,
    progress: &ProgressBar,
) -> Result<LetterList> {
    let first_day = filter.since_ms.and_then(day);
    let enter = |path: &str| match (path.strip_prefix("day="), &first_day) {
        (Some(day), Some(first)) if is_day(day) => day >= first.as_str(),
        _ => true,
    };
    let partitions = scan(location, None, enter, progress).await?;
    let files: Vec<DataFile> = partitions.into_iter().flat_map(|partition| partition.files).collect();
    progress.set_message("reading dead letters");
    progress.set_length(files.len() as u64);
    let mut found = Found::default();
    let mut problems = Vec::new();
    let reads = files.iter().map(|file| async move { (file, read(&*location.storage, file, filter, replayed).await) });
    let mut read = stream::iter(reads).buffered(FILES_SIDE_BY_SIDE);
    while let Some((file, part)) = read.next().await {
        progress.inc(1);
        if let Some(part) = part::readable(file, part, &mut problems)? {
            found.merge(part, filter.limit);
        }
    }
    let mut by_reason: Vec<LetterCount> = found
        .counts
        .iter()
        .map(|((reason, stage, transform), count)| LetterCount {
            reason: reason.clone(),
            stage: stage.clone(),
            transform: transform.clone(),
            count: *count,
        })
        .collect();
    by_reason.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    let count = by_reason.iter().map(|kind| kind.count).sum();
    let Found { latest, replayed, spans, .. } = found;
    let span = |((from_ms, reason), count)| LetterSpan { from_ms, to_ms: from_ms + filter.every_ms, reason, count };
    let over_time = spans.into_iter().map(span).collect();
    Ok(LetterList { location: location.url.clone(), count, replayed, by_reason, over_time, latest, problems })
}

/// The day of a moment, as it stands in the path.
fn day(ms: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(time).date().to_string())
}

fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// By reason, stage and transform.
    counts: BTreeMap<(String, String, Option<String>), u64>,
    /// By the start of their span and their reason.
    spans: BTreeMap<(i64, String), u64>,
    /// The latest first, at most as many as are wanted.
    latest: Vec<LetterLine>,
    replayed: u64,
}

impl Found {
    fn merge(&mut self, other: Self, limit: usize) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        for (span, count) in other.spans {
            *self.spans.entry(span).or_default() += count;
        }
        self.replayed += other.replayed;
        self.latest.extend(other.latest);
        self.keep_latest(limit);
    }

    fn keep_latest(&mut self, limit: usize) {
        self.latest.sort_by(|a, b| b.recorded_us.cmp(&a.recorded_us).then_with(|| a.coordinates.cmp(&b.coordinates)));
        self.latest.truncate(limit);
    }
}

async fn read(
    storage: &dyn Storage,
    file: &DataFile,
    filter: &ListFilter,
    replayed: &Replayed,
) -> std::result::Result<Found, PartError> {
    let footer = part::footer(storage, file).await?;
    let mut rows = PartRows::new(storage, file, footer, |builder| {
        let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
        builder.with_projection(mask)
    })?;
    let mut found = Found::default();
    let mut first = 0;
    while let Some(batch) = rows.next().await? {
        let is_replayed = |row: usize| replayed.holds(&file.absolute, first + row as u64);
        add(&mut found, &Rows(&batch), filter, is_replayed)?;
        first += batch.num_rows() as u64;
        found.keep_latest(filter.limit);
    }
    Ok(found)
}

fn add(
    found: &mut Found,
    rows: &Rows<'_>,
    filter: &ListFilter,
    is_replayed: impl Fn(usize) -> bool,
) -> std::result::Result<(), PartError> {
    let (topics, topic_partitions) = (rows.text("topic")?, rows.numbers("topic_partition")?);
    let (offsets, stages, transforms) = (rows.numbers("offset")?, rows.text("stage")?, rows.text("transform")?);
    let (versions, reasons, messages) = (rows.text("version")?, rows.text("reason")?, rows.text("message")?);
    let recorded = rows.times("recorded_at")?;
    for row in 0..rows.len() {
        let recorded_us = recorded.get(row).unwrap_or_default();
        let transform = transforms.get(row);
        let matches = filter.reason.as_deref().is_none_or(|reason| reasons.get(row) == Some(reason))
            && filter.transform.as_deref().is_none_or(|wanted| transform == Some(wanted))
            && filter.since_ms.is_none_or(|since| recorded_us >= since.saturating_mul(1_000));
        if !matches {
            continue;
        }
        let replayed = is_replayed(row);
        found.replayed += u64::from(replayed);
        if replayed && !filter.replayed {
            continue;
        }
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (reason, stage) = (owned(reasons.get(row)), owned(stages.get(row)));
        let transform = transform.map(str::to_owned);
        let recorded_ms = recorded_us.div_euclid(1_000);
        let from_ms = recorded_ms - recorded_ms.rem_euclid(filter.every_ms.max(1));
        *found.spans.entry((from_ms, reason.clone())).or_default() += 1;
        *found.counts.entry((reason.clone(), stage.clone(), transform.clone())).or_default() += 1;
        found.latest.push(LetterLine {
            coordinates: Coordinates {
                topic: owned(topics.get(row)),
                topic_partition: topic_partitions.get(row).and_then(|n| i32::try_from(n).ok()).unwrap_or(-1),
                offset: offsets.get(row).unwrap_or(-1),
            },
            recorded_at: cell::time(recorded_us),
            stage,
            transform,
            version: versions.owned(row),
            reason,
            message: owned(messages.get(row)),
            replayed,
            recorded_us,
        });
    }
    Ok(())
}

//! What guests logged, in the pipeline's storage: `<registry>/logs/<pipeline>/<last ms>-<host>-<number>.jsonl`.
//!
//! A host writes the lines of the last minutes into one file, anew under the next number whenever there are more, and deletes
//! the one before; a file that is large or old is left as it is, and the next one begun. So files never change, their number
//! stays small, and a reader may see a line twice, which its number tells. Each host keeps its newest [`MOST_FILES`]; files
//! whose last line is older than [`KEPT`] are swept by any host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::registry::parse;
use crate::source::TopicPartition;
use crate::storage::{Location, StorageError, StorageErrorKind, create_once};

/// How long guests' lines are kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Files that a host keeps; with [`FILE_BYTES`] about 32 MB.
const MOST_FILES: usize = 128;

/// A file this large is left, ...
const FILE_BYTES: usize = 256 << 10;

/// ... and one whose first line is this old.
const FILE_AGE: Duration = Duration::from_secs(600);

/// Lines that wait for a storage that does not answer; then the oldest are given up.
const WAITING_LINES: usize = 5_000;

/// Between two sweeps of one host.
const SWEEP_EVERY: Duration = Duration::from_secs(1800);

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineLevel {
    /// Least.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What is normal.
    Info,
    /// What is not.
    Warn,
    /// Most.
    Error,
}

impl LineLevel {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl From<tracing::Level> for LineLevel {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }
}

/// One line of a guest, or a host's remark that some were dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The host's id, ...
    pub host: String,
    /// ... and `user@machine`.
    pub machine: String,
    /// Its number among the host's lines.
    pub number: u64,
    /// The deployment that the transform ran in.
    pub deployment: u64,
    /// The transform's name in the pipeline, ...
    pub transform: String,
    /// ... and its version.
    pub version: String,
    /// The topic partition whose events it was given, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub topic_partition: Option<TopicPartition>,
    /// How important it is.
    pub level: LineLevel,
    /// The line: control characters are escaped.
    pub text: String,
    /// Not a guest's line, but the remark that this many were dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where the lines of one pipeline's guests stand.
#[derive(Clone)]
pub struct Lines {
    location: Location,
    pipeline: String,
}

impl Lines {
    /// The lines of `pipeline` in the registry at `location`.
    pub fn new(location: Location, pipeline: &str) -> Self {
        Self { location, pipeline: pipeline.to_owned() }
    }

    fn directory(&self) -> String {
        self.location.join(&format!("logs/{}", self.pipeline))
    }

    /// All files with the time of their last line, by that time.
    async fn files(&self) -> Result<Vec<(i64, String)>> {
        let entries = self.location.storage.list(&self.directory()).await.map_err(|error| self.unanswered(error))?;
        let named = |name: &str| {
            let last = name.strip_suffix(".jsonl")?.split('-').next()?.parse().ok()?;
            Some((last, name.to_owned()))
        };
        let mut files: Vec<_> = entries.iter().filter_map(|entry| named(&entry.name)).collect();
        files.sort();
        Ok(files)
    }

    fn unanswered(&self, error: StorageError) -> Error {
        Error::transient(format!("the guests' logs in {} cannot be read or written", self.location.url))
            .because(error)
            .hint("does the server answer, and may this user write there?")
    }
}

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Of this transform only.
    pub transform: Option<String>,
    /// Of this importance at least.
    pub level: LineLevel,
    /// Not older than this, in milliseconds since 1970.
    pub since_ms: i64,
}

impl Wanted {
    fn includes(&self, line: &Line) -> bool {
        line.at_ms >= self.since_ms
            && line.level >= self.level
            && self.transform.as_ref().is_none_or(|transform| *transform == line.transform)
    }
}

/// Reads lines of all hosts, each once.
pub struct LineReader {
    lines: Lines,
    wanted: Wanted,
    /// Files that were read: they never change.
    read: BTreeSet<String>,
    /// The last line of each host that was seen.
    seen: BTreeMap<String, u64>,
}

impl LineReader {
    /// Nothing was read yet.
    pub fn new(lines: Lines, wanted: Wanted) -> Self {
        Self { lines, wanted, read: BTreeSet::new(), seen: BTreeMap::new() }
    }

    /// What is wanted and there, and was not given before, by time.
    ///
    /// # Errors
    /// The storage does not answer, or a file cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Line>> {
        let files = self.lines.files().await?;
        self.read.retain(|name| files.iter().any(|(_, file)| file == name));
        let mut found = Vec::new();
        for (_, name) in files.iter().filter(|(last, _)| *last >= self.wanted.since_ms) {
            if self.read.contains(name) {
                continue;
            }
            let path = format!("{}/{name}", self.lines.directory());
            let bytes = match self.lines.location.storage.read(&path).await {
                Ok(bytes) => bytes,
                // Its host has just written the next one.
                Err(error) if error.kind == StorageErrorKind::NotFound => continue,
                Err(error) => return Err(self.lines.unanswered(error)),
            };
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                found.push(parse::<Line>(&path, line)?);
            }
            self.read.insert(name.clone());
        }
        let is_new = |line: &Line| self.seen.get(&line.host).is_none_or(|seen| line.number > *seen);
        found.retain(is_new);
        found.sort_by(|a, b| (a.at_ms, &a.host, a.number).cmp(&(b.at_ms, &b.host, b.number)));
        let mut given = BTreeSet::new();
        found.retain(|line| given.insert((line.host.clone(), line.number)));
        for line in &found {
            let seen = self.seen.entry(line.host.clone()).or_default();
            *seen = (*seen).max(line.number);
        }
        found.retain(|line| self.wanted.includes(line));
        Ok(found)
    }
}

/// Writes the lines of one host.
pub struct LineWriter {
    lines: Lines,
    host: String,
    /// The lines of the file that is not left yet.
    open: VecDeque<Line>,
    /// Whether some of them stand in no file.
    fresh: bool,
    /// The file that holds the others.
    present: Option<String>,
    /// Files that are left, oldest first.
    left: VecDeque<String>,
    written: u64,
    swept_at_ms: i64,
}

impl LineWriter {
    /// Nothing is written yet by `host`.
    pub fn new(lines: Lines, host: &str) -> Self {
        let (open, left) = (VecDeque::new(), VecDeque::new());
        Self { lines, host: host.to_owned(), open, fresh: false, present: None, left, written: 0, swept_at_ms: 0 }
    }

    /// Writes these lines, and those that could not be written before. `now_ms`: milliseconds since 1970.
    ///
    /// # Errors
    /// The storage does not answer: the lines wait for the next time.
    pub async fn write(&mut self, lines: Vec<Line>, now_ms: i64) -> Result<()> {
        self.fresh |= !lines.is_empty();
        self.open.extend(lines);
        self.give_up_oldest();
        if let (true, Some(last)) = (self.fresh, self.open.back()) {
            let mut bytes = Vec::new();
            for line in &self.open {
                bytes.extend(serde_json::to_vec(line).unwrap_or_default());
                bytes.push(b'\n');
            }
            let length = bytes.len();
            // A number is never used again: whether an attempt that was not answered came to something is not known.
            self.written += 1;
            let name = format!("{:013}-{}-{}.jsonl", last.at_ms.max(0), self.host, self.written);
            let path = format!("{}/{name}", self.lines.directory());
            let storage = self.lines.location.storage.as_ref();
            let written = create_once(storage, &path, Bytes::from(bytes), u128::from(self.written)).await;
            written.map_err(|error| self.lines.unanswered(error))?;
            self.fresh = false;
            let before = self.present.replace(path);
            let first_ms = self.open.front().map_or(now_ms, |line| line.at_ms);
            if length >= FILE_BYTES || now_ms - first_ms >= FILE_AGE.as_millis() as i64 {
                self.open.clear();
                self.left.extend(self.present.take());
            }
            let old = if self.left.len() > MOST_FILES { self.left.pop_front() } else { None };
            for path in before.into_iter().chain(old) {
                self.lines.location.storage.delete(&path).await.map_err(|error| self.lines.unanswered(error))?;
            }
        }
        self.sweep(now_ms).await
    }

    /// Of too many lines the oldest give way to a remark that says how many they were.
    fn give_up_oldest(&mut self) {
        let mut dropped = 0;
        while self.open.len() >= WAITING_LINES {
            let Some(oldest) = self.open.pop_front() else { return };
            dropped += oldest.dropped.max(1);
            if self.open.len() < WAITING_LINES {
                let text = format!("{dropped} lines of all transforms dropped: the storage did not take them in time");
                self.open.push_front(Line { level: LineLevel::Warn, text, dropped, ..oldest });
                return;
            }
        }
    }

    /// Deletes what is older than [`KEPT`], of whatever host.
    async fn sweep(&mut self, now_ms: i64) -> Result<()> {
        if now_ms - self.swept_at_ms < SWEEP_EVERY.as_millis() as i64 {
            return Ok(());
        }
        self.swept_at_ms = now_ms;
        let oldest = now_ms - KEPT.as_millis() as i64;
        for (_, name) in self.lines.files().await?.iter().filter(|(last, _)| *last < oldest) {
            let path = format!("{}/{name}", self.lines.directory());
            self.lines.location.storage.delete(&path).await.map_err(|error| self.lines.unanswered(error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{StorageOptions, open};

    fn line(host: &str, number: u64, at_ms: i64, level: LineLevel) -> Line {
        Line {
            at_ms,
            host: host.to_owned(),
            machine: "ann@here".to_owned(),
            number,
            deployment: 3,
            transform: if number.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
            version: "1.0.0".to_owned(),
            topic_partition: None,
            level,
            text: format!("line {number}"),
            dropped: 0,
        }
    }

    fn lines(directory: &std::path::Path) -> Lines {
        Lines::new(open(directory.to_str().unwrap(), &StorageOptions::default()).unwrap(), "plays")
    }

    fn files(directory: &std::path::Path) -> usize {
        std::fs::read_dir(directory.join("logs/plays")).map_or(0, Iterator::count)
    }

    fn wanted(since_ms: i64) -> Wanted {
        Wanted { transform: None, level: LineLevel::Trace, since_ms }
    }

    #[tokio::test]
    async fn lines_of_all_hosts_are_read_once_by_time() {
        let directory = tempfile::tempdir().unwrap();
        let now = 1_700_000_000_000;
        let (mut one, mut other) =
            (LineWriter::new(lines(directory.path()), "a"), LineWriter::new(lines(directory.path()), "b"));
        one.write(vec![line("a", 1, now, LineLevel::Info), line("a", 2, now + 20, LineLevel::Warn)], now)
            .await
            .unwrap();
        other.write(vec![line("b", 1, now + 10, LineLevel::Error)], now).await.unwrap();
        let mut reader = LineReader::new(lines(directory.path()), wanted(0));
        let shown = |lines: Vec<Line>| -> Vec<(String, u64)> {
            lines.into_iter().map(|line| (line.host, line.number)).collect()
        };
        let of = |host: &str, number| (host.to_owned(), number);
        assert_eq!(shown(reader.next().await.unwrap()), [of("a", 1), of("b", 1), of("a", 2)]);
        one.write(vec![line("a", 3, now + 30, LineLevel::Info)], now).await.unwrap();
        one.write(vec![], now).await.unwrap();
        assert_eq!(shown(reader.next().await.unwrap()), [of("a", 3)], "the file was written anew with all lines");
        assert!(reader.next().await.unwrap().is_empty());
        assert_eq!(files(directory.path()), 2, "each host has one file");
        let some = Wanted { transform: Some("even".to_owned()), level: LineLevel::Warn, since_ms: now + 15 };
        assert_eq!(shown(LineReader::new(lines(directory.path()), some).next().await.unwrap()), [of("a", 2)]);
    }

    #[tokio::test]
    async fn lines_that_storage_does_not_take_give_way_to_a_remark() {
        let directory = tempfile::tempdir().unwrap();
        // A file where the directory is to be.
        std::fs::write(directory.path().join("logs"), "").unwrap();
        let mut writer = LineWriter::new(lines(directory.path()), "a");
        for batch in 0..3 {
            let some = (0..2_000).map(|n| line("a", batch * 2_000 + n + 1, 5, LineLevel::Info)).collect();
            assert!(writer.write(some, 5).await.is_err());
        }
        std::fs::remove_file(directory.path().join("logs")).unwrap();
        writer.write(vec![], 5).await.unwrap();
        let read = LineReader::new(lines(directory.path()), wanted(0)).next().await.unwrap();
        let plain = read.iter().filter(|line| line.dropped == 0).count() as u64;
        assert_eq!(plain + read.iter().map(|line| line.dropped).sum::<u64>(), 6_000);
        assert_eq!((read.len(), read[0].level), (WAITING_LINES, LineLevel::Warn));
    }

    #[tokio::test]
    async fn files_are_left_when_they_are_old_or_large_and_swept_after_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LineWriter::new(lines(directory.path()), "a");
        let (start, minute) = (1_700_000_000_000, 60_000);
        for number in 0..25 {
            let now = start + number * minute;
            writer.write(vec![line("a", number as u64 + 1, now, LineLevel::Info)], now).await.unwrap();
        }
        assert_eq!(files(directory.path()), 3, "two are left, one is written anew");
        let all = LineReader::new(lines(directory.path()), wanted(0)).next().await.unwrap();
        assert_eq!(all.len(), 25);
        let large = |number| Line { text: "x".repeat(1_000), ..line("a", number, start, LineLevel::Info) };
        for number in 26..26 + 40_000 / 40 {
            writer.open.push_back(large(number));
        }
        writer.write(vec![large(9_999)], start).await.unwrap();
        assert!(writer.open.is_empty(), "a large file is left");
        let later = start + KEPT.as_millis() as i64 + 15 * minute;
        let mut other = LineWriter::new(lines(directory.path()), "b");
        other.write(vec![], later).await.unwrap();
        let left = LineReader::new(lines(directory.path()), wanted(0)).next().await.unwrap();
        assert!(left.iter().all(|line| line.number > 11 && line.number < 26), "{left:?}");
    }
}

//! Guests' log lines: bounded in size and rate, made harmless, passed on to `tracing`.
//!
//! Lines that were let through are kept until a host writes them where `wasmill logs` finds them; what was not is counted.
//! The last lines of each call are kept beside, whatever the rate: they are what explains a trap in a dead letter (the
//! SDK's panic hook writes the panic's text here).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::Level;

use crate::config::GuestLimits;

/// A longer line is cut.
const MAX_LINE_BYTES: usize = 1024;
/// Lines kept for the details of a failure.
const KEPT_LINES: usize = 10;
/// What all instances of one transform may write at once: as much as in this many seconds.
const BURST_SECONDS: u32 = 10;
/// Lines of a transform that wait to be taken, whatever its limits: a host without storage forgets the oldest.
const WAITING_LINES: usize = 1000;

/// The allowance of one transform, shared by all its instances.
#[derive(Debug, Clone)]
pub(crate) struct GuestLog {
    transform: Arc<str>,
    /// As a remark about dropped lines says it.
    limit: Arc<str>,
    allowance: Arc<Mutex<Allowance>>,
}

#[derive(Debug)]
struct Allowance {
    lines: Tokens,
    bytes: Tokens,
    refilled: Instant,
    suppressed: u64,
    /// Lines that waited and gave way to newer ones.
    forgotten: u64,
    counts: LogCounts,
    waiting: VecDeque<GuestLine>,
}

/// What became of a transform's lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogCounts {
    /// Let through.
    pub(crate) lines: u64,
    /// Not let through, ...
    pub(crate) lines_dropped: u64,
    /// ... and their bytes.
    pub(crate) bytes_dropped: u64,
}

/// A line that a guest logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLine {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How important it is.
    pub level: Level,
    /// The line, harmless to print.
    pub text: String,
    /// Not the guest's line, but the host's remark that this many were dropped.
    pub dropped: u64,
}

/// A token bucket.
#[derive(Debug)]
struct Tokens {
    per_second: f64,
    left: f64,
}

impl GuestLog {
    /// The log of the transform called `transform` in the pipeline.
    pub(crate) fn new(transform: Arc<str>, limits: &GuestLimits) -> Self {
        let allowance = Allowance {
            lines: Tokens::full(f64::from(limits.log_lines)),
            bytes: Tokens::full(limits.log_bytes as f64),
            refilled: Instant::now(),
            suppressed: 0,
            forgotten: 0,
            counts: LogCounts::default(),
            waiting: VecDeque::new(),
        };
        let limit = format!("{} lines or {} bytes a second", limits.log_lines, limits.log_bytes).into();
        Self { transform, limit, allowance: Arc::new(Mutex::new(allowance)) }
    }

    /// Writes one line, which was made harmless by [`harmless`].
    pub(crate) fn write(&self, level: Level, line: &str) {
        let suppressed = {
            let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
            match allowance.take(line.len(), Instant::now()) {
                Some(suppressed) => {
                    self.keep(&mut allowance, suppressed, Some((level, line)));
                    suppressed
                }
                None => return,
            }
        };
        let transform = &*self.transform;
        if suppressed > 0 {
            tracing::warn!(target: "wasmill::guest", transform, suppressed, "the transform logs too much");
        }
        match level {
            Level::ERROR => tracing::error!(target: "wasmill::guest", transform, "{line}"),
            Level::WARN => tracing::warn!(target: "wasmill::guest", transform, "{line}"),
            Level::INFO => tracing::info!(target: "wasmill::guest", transform, "{line}"),
            Level::DEBUG => tracing::debug!(target: "wasmill::guest", transform, "{line}"),
            Level::TRACE => tracing::trace!(target: "wasmill::guest", transform, "{line}"),
        }
    }
}

impl GuestLog {
    /// What became of the lines so far.
    pub(crate) fn counts(&self) -> LogCounts {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    /// The lines since they were taken last, oldest first.
    pub(crate) fn take(&self) -> Vec<GuestLine> {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let suppressed = std::mem::take(&mut allowance.suppressed);
        self.keep(&mut allowance, suppressed, None);
        if suppressed > 0 {
            let transform = &*self.transform;
            tracing::warn!(target: "wasmill::guest", transform, suppressed, "the transform logs too much");
        }
        let mut lines: Vec<GuestLine> = std::mem::take(&mut allowance.waiting).into();
        let forgotten = std::mem::take(&mut allowance.forgotten);
        if let (true, Some(first)) = (forgotten > 0, lines.first()) {
            let text = format!("{forgotten} lines before this were forgotten: they were not taken in time");
            let remark = GuestLine { at_ms: first.at_ms, level: Level::WARN, text, dropped: forgotten };
            lines.insert(0, remark);
        }
        lines
    }

    /// Keeps a line, and before it that others were dropped.
    fn keep(&self, allowance: &mut Allowance, dropped: u64, line: Option<(Level, &str)>) {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        if dropped > 0 {
            let text = format!("{dropped} lines dropped: over the limit of {}", self.limit);
            allowance.wait(GuestLine { at_ms, level: Level::WARN, text, dropped });
        }
        if let Some((level, line)) = line {
            allowance.wait(GuestLine { at_ms, level, text: line.to_owned(), dropped: 0 });
        }
    }
}

impl Allowance {
    fn wait(&mut self, line: GuestLine) {
        if self.waiting.len() == WAITING_LINES
            && let Some(oldest) = self.waiting.pop_front()
        {
            // What a remark tells of was counted when it was dropped.
            let is_remark = oldest.dropped > 0;
            self.forgotten += oldest.dropped.max(1);
            self.counts.lines_dropped += u64::from(!is_remark);
            self.counts.bytes_dropped += if is_remark { 0 } else { oldest.text.len() as u64 };
        }
        self.waiting.push_back(line);
    }

    /// One line of `bytes` bytes. `None`: not allowed; else how many were suppressed since the last allowed one.
    fn take(&mut self, bytes: usize, now: Instant) -> Option<u64> {
        let seconds = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.lines.refill(seconds);
        self.bytes.refill(seconds);
        let bytes = bytes as f64;
        if self.lines.left < 1.0 || self.bytes.left < bytes {
            self.suppressed += 1;
            self.counts.lines_dropped += 1;
            self.counts.bytes_dropped += bytes as u64;
            return None;
        }
        self.lines.left -= 1.0;
        self.bytes.left -= bytes;
        self.counts.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl Tokens {
    fn full(per_second: f64) -> Self {
        Self { per_second, left: per_second * f64::from(BURST_SECONDS) }
    }

    fn refill(&mut self, seconds: f64) {
        self.left = (self.left + seconds * self.per_second).min(self.per_second * f64::from(BURST_SECONDS));
    }
}

/// The last lines of one call of one instance.
#[derive(Debug, Default)]
pub(crate) struct LastLines(VecDeque<String>);

impl LastLines {
    /// Forgets the lines of the call before.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps `line`, and forgets the oldest when there are too many.
    pub(crate) fn push(&mut self, line: String) {
        if self.0.len() == KEPT_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// The lines, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// `text` cut to the length of a line, with control characters escaped: a guest must not be able to move the cursor of
/// whoever reads its lines, or to forge a second one.
pub(crate) fn harmless(text: &str) -> String {
    bounded(text, MAX_LINE_BYTES)
}

/// Whether a character could move the cursor of whoever sees it, or make text look like another one: control
/// characters, and those that break lines, change the direction of writing or cannot be seen.
pub(crate) fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` cut to about `limit` bytes, with control characters escaped.
pub(crate) fn bounded(text: &str, limit: usize) -> String {
    cut_and_escaped(text, limit, misleads)
}

/// The same for texts of several lines: their ends stay.
pub(crate) fn paragraph(text: &str, limit: usize) -> String {
    cut_and_escaped(text, limit, |character| misleads(character) && character != '\n')
}

fn cut_and_escaped(text: &str, limit: usize, escape: impl Fn(char) -> bool) -> String {
    let end = text.floor_char_boundary(limit);
    let mut line = String::with_capacity(end);
    for character in text[..end].chars() {
        if escape(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if end < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn control_characters_and_length_are_bounded() {
        assert_eq!(harmless("a\nb\u{1b}[2Jc"), "a\\nb\\u{1b}[2Jc");
        assert_eq!(harmless("a\u{202e}b\u{200b}c\u{2028}"), "a\\u{202e}b\\u{200b}c\\u{2028}");
        let long = harmless(&"ä".repeat(4000));
        assert!(long.ends_with('…') && long.len() <= MAX_LINE_BYTES + '…'.len_utf8(), "{}", long.len());
    }

    #[test]
    fn a_burst_is_allowed_then_lines_are_counted_instead() {
        let start = Instant::now();
        let allowance = |per_second_lines, per_second_bytes| Allowance {
            lines: Tokens::full(per_second_lines),
            bytes: Tokens::full(per_second_bytes),
            refilled: start,
            suppressed: 0,
            forgotten: 0,
            counts: LogCounts::default(),
            waiting: VecDeque::new(),
        };
        let mut few = allowance(10.0, 1e6);
        assert_eq!((0..107).filter(|_| few.take(20, start).is_some()).count(), 100);
        let later = start + Duration::from_millis(150);
        assert_eq!((few.take(20, later), few.take(20, later)), (Some(7), None));
        let mut short = allowance(1e6, 100.0);
        assert_eq!((0..60).filter(|_| short.take(20, start).is_some()).count(), 50);
        assert_eq!(short.take(1, start + Duration::from_secs(3600)), Some(10), "an hour of silence saves up no more");
        assert_eq!((0..60).filter(|_| short.take(20, start + Duration::from_secs(3600)).is_some()).count(), 49);
    }

    #[test]
    fn lines_wait_until_they_are_taken_and_what_was_dropped_is_said() {
        let limits = GuestLimits { log_lines: 1, ..GuestLimits::default() };
        let log = GuestLog::new("noisy".into(), &limits);
        (0..15).for_each(|n| log.write(Level::INFO, &format!("line {n}")));
        let lines = log.take();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!((texts[0], texts[9], lines.len()), ("line 0", "line 9", 11));
        assert_eq!(texts[10], "5 lines dropped: over the limit of 1 lines or 8192 bytes a second");
        assert_eq!((lines[10].dropped, log.counts().lines, log.counts().lines_dropped), (5, 10, 5));
        assert!(log.take().is_empty(), "each line is taken once");
    }

    #[test]
    fn lines_that_nobody_takes_give_way_and_are_counted() {
        let limits = GuestLimits { log_lines: 1_000, log_bytes: 1 << 20, ..GuestLimits::default() };
        let log = GuestLog::new("alone".into(), &limits);
        (0..WAITING_LINES + 3).for_each(|n| log.write(Level::INFO, &format!("line {n}")));
        let lines = log.take();
        assert_eq!((lines.len(), lines[0].dropped, lines[1].text.as_str()), (WAITING_LINES + 1, 3, "line 3"));
        assert_eq!((log.counts().lines_dropped, log.counts().bytes_dropped), (3, 18));
        assert!(log.take().is_empty(), "it is said once");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut lines = LastLines::default();
        (0..KEPT_LINES + 2).for_each(|n| lines.push(n.to_string()));
        assert_eq!(lines.iter().next(), Some("2"));
        assert_eq!(lines.iter().count(), KEPT_LINES);
    }
}

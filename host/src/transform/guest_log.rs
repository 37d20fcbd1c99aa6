//! Guests' log lines: bounded in size and rate, made harmless, passed on to `tracing`.
//!
//! The last lines of each call are kept beside, whatever the rate: they are what explains a trap in a dead letter (the
//! SDK's panic hook writes the panic's text here).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::Level;

use crate::config::GuestLimits;

/// A longer line is cut.
const MAX_LINE_BYTES: usize = 1024;
/// Lines kept for the details of a failure.
const KEPT_LINES: usize = 10;
/// What all instances of one transform may write at once: as much as in this many seconds.
const BURST_SECONDS: u32 = 10;

/// The allowance of one transform, shared by all its instances.
#[derive(Debug, Clone)]
pub(crate) struct GuestLog {
    transform: Arc<str>,
    allowance: Arc<Mutex<Allowance>>,
}

#[derive(Debug)]
struct Allowance {
    lines: Tokens,
    bytes: Tokens,
    refilled: Instant,
    suppressed: u64,
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
        };
        Self { transform, allowance: Arc::new(Mutex::new(allowance)) }
    }

    /// Writes one line, which was made harmless by [`harmless`].
    pub(crate) fn write(&self, level: Level, line: &str) {
        let suppressed = {
            let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
            match allowance.take(line.len(), Instant::now()) {
                Some(suppressed) => suppressed,
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

impl Allowance {
    /// One line of `bytes` bytes. `None`: not allowed; else how many were suppressed since the last allowed one.
    fn take(&mut self, bytes: usize, now: Instant) -> Option<u64> {
        let seconds = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.lines.refill(seconds);
        self.bytes.refill(seconds);
        let bytes = bytes as f64;
        if self.lines.left < 1.0 || self.bytes.left < bytes {
            self.suppressed += 1;
            return None;
        }
        self.lines.left -= 1.0;
        self.bytes.left -= bytes;
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
    fn only_the_last_lines_are_kept() {
        let mut lines = LastLines::default();
        (0..KEPT_LINES + 2).for_each(|n| lines.push(n.to_string()));
        assert_eq!(lines.iter().next(), Some("2"));
        assert_eq!(lines.iter().count(), KEPT_LINES);
    }
}

//! Guests' log lines: bounded in size and rate, made harmless, passed on to `tracing`.
//!
//! The last lines of each call are kept beside, whatever the rate: they are what explains a trap in a dead letter (the
//! SDK's panic hook writes the panic's text here).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

/// A longer line is cut.
const MAX_LINE_BYTES: usize = 1024;
/// Lines kept for the details of a failure.
const KEPT_LINES: usize = 5;
/// Lines that all instances of one transform may write at once ...
const BURST: u32 = 100;
/// ... and how long it takes until one more is allowed.
const REFILL: Duration = Duration::from_millis(100);

/// The allowance of one transform, shared by all its instances.
#[derive(Debug, Clone)]
pub(crate) struct GuestLog {
    transform: Arc<str>,
    allowance: Arc<Mutex<Allowance>>,
}

#[derive(Debug)]
struct Allowance {
    left: u32,
    refilled: Instant,
    suppressed: u64,
}

impl GuestLog {
    /// The log of the transform called `transform` in the pipeline.
    pub(crate) fn new(transform: Arc<str>) -> Self {
        let allowance = Allowance { left: BURST, refilled: Instant::now(), suppressed: 0 };
        Self { transform, allowance: Arc::new(Mutex::new(allowance)) }
    }

    /// Writes one line, which was made harmless by [`harmless`].
    pub(crate) fn write(&self, level: Level, line: &str) {
        let suppressed = {
            let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
            match allowance.take(Instant::now()) {
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
    /// One line. `None`: not allowed; else how many were suppressed since the last allowed one.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let refills = now.saturating_duration_since(self.refilled).as_millis() / REFILL.as_millis();
        if refills > 0 {
            self.left = self.left.saturating_add(u32::try_from(refills).unwrap_or(BURST)).min(BURST);
            self.refilled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.suppressed))
            }
            None => {
                self.suppressed += 1;
                None
            }
        }
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
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// `text` cut to the length of a line, with control characters escaped: a guest must not be able to move the cursor of
/// whoever reads its lines, or to forge a second one.
pub(crate) fn harmless(text: &str) -> String {
    bounded(text, MAX_LINE_BYTES)
}

/// `text` cut to about `limit` bytes, with control characters escaped.
pub(crate) fn bounded(text: &str, limit: usize) -> String {
    cut_and_escaped(text, limit, char::is_control)
}

/// The same for texts of several lines: their ends stay.
pub(crate) fn paragraph(text: &str, limit: usize) -> String {
    cut_and_escaped(text, limit, |character| character.is_control() && character != '\n')
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
    use super::*;

    #[test]
    fn control_characters_and_length_are_bounded() {
        assert_eq!(harmless("a\nb\u{1b}[2Jc"), "a\\nb\\u{1b}[2Jc");
        let long = harmless(&"ä".repeat(4000));
        assert!(long.ends_with('…') && long.len() <= MAX_LINE_BYTES + '…'.len_utf8(), "{}", long.len());
    }

    #[test]
    fn a_burst_is_allowed_then_lines_are_counted_instead() {
        let start = Instant::now();
        let mut allowance = Allowance { left: BURST, refilled: start, suppressed: 0 };
        let allowed = (0..BURST + 7).filter(|_| allowance.take(start).is_some()).count();
        assert_eq!(allowed, BURST as usize);
        assert_eq!(allowance.take(start + REFILL), Some(7));
        assert_eq!(allowance.take(start + REFILL), None);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut lines = LastLines::default();
        (0..KEPT_LINES + 2).for_each(|n| lines.push(n.to_string()));
        assert_eq!(lines.iter().next(), Some("2"));
        assert_eq!(lines.iter().count(), KEPT_LINES);
    }
}

//! Cutting a stream of bytes into lines, each with the offset at which it begins.
//!
//! Guarantee: every byte belongs to one line; no more than [`LONGEST_LINE`] bytes of a line and one block are held.

use memchr::memchr;

use crate::source::{Message, OwnedMessages};

/// Bytes of a line that are kept. A longer one stays a message, cut so that it is no JSON: a dead letter.
pub const LONGEST_LINE: usize = 4 << 20;

/// Bytes that are fed but not yet taken as lines.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the line that is next begins in `buffer`.
    head: usize,
    /// No line feed stands before here.
    scanned: usize,
    /// The offset of `buffer[head]`.
    offset: i64,
    /// Bytes of the next line that were thrown away, because it is too long.
    thrown: usize,
    longest: usize,
}

impl Lines {
    /// Nothing fed; the next byte has `offset`.
    pub(super) fn at(offset: i64) -> Self {
        Self::with_longest(offset, LONGEST_LINE)
    }

    fn with_longest(offset: i64, longest: usize) -> Self {
        Self { buffer: Vec::new(), head: 0, scanned: 0, offset, thrown: 0, longest }
    }

    /// The offset at which the next line begins.
    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    /// Appends `bytes`.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.head > 0 {
            self.buffer.drain(..self.head);
            self.scanned -= self.head;
            self.head = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Moves up to `limit` lines that are not empty to `messages`. `ended`: nothing more will be fed, so what is left is
    /// a line too.
    pub(super) fn take(&mut self, limit: usize, ended: bool, messages: &mut OwnedMessages) {
        let mut taken = 0;
        while taken < limit {
            let end = match memchr(b'\n', &self.buffer[self.scanned..]) {
                Some(index) => self.scanned + index,
                None if ended && self.head < self.buffer.len() => self.buffer.len(),
                None => return self.wait_for_more(),
            };
            taken += usize::from(self.emit(end, messages));
            let next = (end + 1).min(self.buffer.len());
            self.offset += (next - self.head + self.thrown) as i64;
            (self.head, self.scanned, self.thrown) = (next, next, 0);
        }
    }

    fn wait_for_more(&mut self) {
        let longest = self.head + self.longest;
        if self.buffer.len() > longest {
            self.thrown += self.buffer.len() - longest;
            self.buffer.truncate(longest);
        }
        self.scanned = self.buffer.len();
    }

    /// The line that ends before `end`, unless it is empty.
    fn emit(&self, end: usize, messages: &mut OwnedMessages) -> bool {
        let line = &self.buffer[self.head..end];
        let length = line.len() + self.thrown;
        if length > self.longest {
            let kept = &line[..line.len().min(self.longest)];
            messages.push_with(self.offset, None, |out| {
                out.extend_from_slice(kept);
                // Words outside a string and without a quote: no prefix of a JSON text becomes one by them.
                out.extend_from_slice(format!(" cut here: the line has {length} bytes").as_bytes());
            });
            return true;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return false;
        }
        messages.push(Message { offset: self.offset, timestamp_ms: None, key: None, payload: Some(line) });
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::Messages;

    fn lines(text: &[u8], block: usize, limit: usize, longest: usize) -> (Vec<(i64, Vec<u8>)>, i64) {
        let mut lines = Lines::with_longest(0, longest);
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines, ended| {
            loop {
                let mut messages = OwnedMessages::default();
                lines.take(limit, ended, &mut messages);
                for index in 0..messages.len() {
                    let message = messages.get(index);
                    found.push((message.offset, message.payload.unwrap_or_default().to_vec()));
                }
                if messages.is_empty() {
                    break;
                }
            }
        };
        for block in text.chunks(block) {
            lines.feed(block);
            take(&mut lines, false);
        }
        take(&mut lines, true);
        let end = lines.offset();
        (found, end)
    }

    #[test]
    fn carriage_returns_empty_lines_and_a_last_line_without_end() {
        let (found, end) = lines(b"a\r\n\n\r\nbc\n d", 2, 10, 100);
        assert_eq!(found, [(0, b"a".to_vec()), (6, b"bc".to_vec()), (9, b" d".to_vec())]);
        assert_eq!(end, 11);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        for block in [1, 3, 100] {
            let (found, end) = lines(b"{\"a\":1}      x\n[2]\n", block, 10, 8);
            assert_eq!(found.len(), 2, "block of {block}");
            assert_eq!(found[0], (0, b"{\"a\":1}  cut here: the line has 14 bytes".to_vec()));
            assert_eq!(found[1], (15, b"[2]".to_vec()));
            assert_eq!(end, 19);
        }
    }

    proptest! {
        #[test]
        fn the_same_lines_whatever_the_blocks(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            block in 1_usize..50,
            limit in 1_usize..5,
        ) {
            let mut expected = Vec::new();
            let mut offset = 0;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                let content = line.strip_suffix(b"\n").unwrap_or(line);
                let content = content.strip_suffix(b"\r").unwrap_or(content);
                if !content.is_empty() {
                    expected.push((offset, content.to_vec()));
                }
                offset += line.len() as i64;
            }
            prop_assert_eq!(lines(&text, block, limit, 1000), (expected, text.len() as i64));
        }

        #[test]
        fn memory_is_bounded(pieces in proptest::collection::vec(0_usize..300, 1..50)) {
            let mut lines = Lines::with_longest(0, 256);
            for piece in pieces {
                lines.feed(&vec![b'x'; piece]);
                lines.take(10, false, &mut OwnedMessages::default());
                prop_assert!(lines.buffer.len() <= 256);
            }
        }
    }
}

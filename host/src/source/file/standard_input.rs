//! Standard input: a thread of its own reads it, because a read from a pipe or terminal waits.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use super::{BLOCK, BYTES_PER_READ, Lines, found};
use crate::error::{Error, Result};
use crate::source::{Messages, OwnedMessages, PartitionReader, Read, TopicPartition, Wake};

/// Blocks that wait for the worker; then the thread waits, and whoever writes into the pipe.
const BLOCKS_AHEAD: usize = 16;

/// Standard input, not yet read.
pub(super) struct StandardInput {
    input: Box<dyn std::io::Read + Send>,
}

impl StandardInput {
    pub(super) fn new(input: impl std::io::Read + Send + 'static) -> Self {
        Self { input: Box::new(input) }
    }

    /// Begins to read; the first byte counts as `offset`.
    pub(super) fn begin(self, topic_partition: TopicPartition, offset: i64, wake: Wake) -> Result<StandardInputReader> {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        let mut input = self.input;
        let read = {
            let wake = Wake::clone(&wake);
            move || {
                loop {
                    let mut block = vec![0; BLOCK];
                    let block = match input.read(&mut block) {
                        Ok(0) => break,
                        Ok(bytes) => {
                            block.truncate(bytes);
                            Ok(block)
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                        Err(error) => Err(error),
                    };
                    let failed = block.is_err();
                    if sender.send(block).is_err() || failed {
                        break;
                    }
                    wake();
                }
                drop(sender);
                wake();
            }
        };
        let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(read);
        thread.map_err(|error| Error::fatal("cannot start the thread that reads standard input").because(error))?;
        Ok(StandardInputReader { topic_partition, blocks, lines: Lines::at(offset), ended: false, wake })
    }
}

/// Reads standard input.
pub(super) struct StandardInputReader {
    topic_partition: TopicPartition,
    blocks: Receiver<std::io::Result<Vec<u8>>>,
    lines: Lines,
    ended: bool,
    wake: Wake,
}

impl PartitionReader for StandardInputReader {
    fn read(&mut self, limit: usize) -> Result<Read> {
        let mut messages = OwnedMessages::default();
        for _ in 0..BYTES_PER_READ / BLOCK {
            self.lines.take(limit - messages.len(), self.ended, &mut messages);
            if messages.len() >= limit {
                break;
            }
            if self.ended {
                if messages.is_empty() {
                    return Ok(Read::Finished { next: self.lines.offset() });
                }
                break;
            }
            match self.blocks.try_recv() {
                Ok(Ok(block)) => self.lines.feed(&block),
                Ok(Err(error)) => return Err(Error::fatal("cannot read standard input").because(error)),
                // The thread wakes the worker after the next block.
                Err(TryRecvError::Empty) => return Ok(found(&self.topic_partition, messages, &self.lines, None)),
                Err(TryRecvError::Disconnected) => self.ended = true,
            }
        }
        Ok(found(&self.topic_partition, messages, &self.lines, Some(&self.wake)))
    }
}

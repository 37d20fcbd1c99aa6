//! JSON lines from files or standard input.
//!
//! Each file is one topic partition: the topic is named after the file, the offset of a message is the byte at which
//! its line begins. A file may grow between two runs; it may not shrink or be replaced. The files are those that exist
//! at the start; each is read to the end that it has when the reader gets there.
//!
//! Standard input has no positions to return to: what was read and not committed is gone after a crash (at most once),
//! and the source says so. Its offsets go on counting where the last run ended.
//!
//! Knows nothing of compression, of directories that fill while it runs, or of what a line means.

mod lines;
mod standard_input;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use self::lines::LONGEST_LINE;
use self::lines::Lines;
use self::standard_input::StandardInput;
use super::{Messages, OwnedMessages, PartitionReader, Read, Source, SourceBatch, SourceEvent, TopicPartition, Wake};
use crate::config::FileConfig;
use crate::error::{Error, Result};

/// Bytes read from a file at a time.
const BLOCK: usize = 256 << 10;

/// Bytes that one call of a reader goes through at most, so that a line of gigabytes does not hold its worker.
const BYTES_PER_READ: usize = 8 << 20;

/// Bytes of a file's head that its identity covers at most.
const HEAD: usize = 4 << 10;

/// Characters of a file's name that its topic keeps.
const LONGEST_STEM: usize = 100;

/// A file or standard input.
enum Origin {
    File(PathBuf),
    StandardInput(Option<StandardInput>),
}

/// JSON lines from files or standard input.
pub struct FileSource {
    origins: BTreeMap<TopicPartition, Origin>,
    announced: bool,
}

impl FileSource {
    /// The files that `path` stands for now. Files without a line are left out.
    ///
    /// # Errors
    /// No file matches, one cannot be read, or none has a line.
    pub fn new(config: &FileConfig) -> Result<Self> {
        if config.path == "-" {
            return Ok(Self::standard_input(io::stdin()));
        }
        let mut origins = BTreeMap::new();
        let mut empty = 0;
        for path in matching(&config.path)? {
            if head(&path)?.is_none() {
                tracing::warn!(path = %path.display(), "left out: the file has no line");
                empty += 1;
                continue;
            }
            origins.insert(topic_partition_of(&path), Origin::File(path));
        }
        if origins.is_empty() {
            let path = &config.path;
            let (what, hint) = match empty {
                0 => (format!("no file matches {path}"), "correct path = \"...\" in [source.file]"),
                _ => (format!("no file of {path} has a line"), "there is nothing to do before there is an event"),
            };
            return Err(Error::config(what).hint(hint));
        }
        Ok(Self { origins, announced: false })
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.origins.len()
    }

    fn standard_input(input: impl io::Read + Send + 'static) -> Self {
        tracing::warn!("standard input is read at most once: after a crash, lines that were not committed are lost");
        let origin = Origin::StandardInput(Some(StandardInput::new(input)));
        Self { origins: BTreeMap::from([(TopicPartition::new("stdin", 0), origin)]), announced: false }
    }

    fn origin(&mut self, topic_partition: &TopicPartition) -> Result<&mut Origin> {
        let unknown = || Error::fatal(format!("{topic_partition} is no file of this source"));
        self.origins.get_mut(topic_partition).ok_or_else(unknown)
    }
}

impl Source for FileSource {
    fn poll(&mut self, wait: Duration) -> Result<Option<SourceEvent>> {
        if !std::mem::replace(&mut self.announced, true) {
            return Ok(Some(SourceEvent::Assigned(self.origins.keys().cloned().collect())));
        }
        std::thread::sleep(wait);
        Ok(None)
    }

    fn identity(&mut self, topic_partition: &TopicPartition) -> Result<String> {
        match self.origin(topic_partition)? {
            Origin::StandardInput(_) => Ok("standard input".to_owned()),
            Origin::File(path) => {
                let head = head(path)?.unwrap_or_default();
                let digest = hex(&Sha256::digest(head));
                Ok(format!("{} {}", path.display(), &digest[..32]))
            }
        }
    }

    fn first_positions(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        Ok(vec![0; topic_partitions.len()])
    }

    fn ends(&mut self, topic_partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        Ok(vec![None; topic_partitions.len()])
    }

    fn begin(&mut self, from: &[(TopicPartition, i64)], wakes: &[Wake]) -> Result<Vec<Box<dyn PartitionReader>>> {
        let mut readers: Vec<Box<dyn PartitionReader>> = Vec::with_capacity(from.len());
        for ((topic_partition, offset), wake) in from.iter().zip(wakes) {
            match self.origin(topic_partition)? {
                Origin::File(path) => {
                    readers.push(Box::new(FileReader::open(topic_partition, path, *offset, Wake::clone(wake))?));
                }
                Origin::StandardInput(input) => {
                    let input = input.take().ok_or_else(|| {
                        Error::fatal("standard input cannot be read again")
                            .hint("write the events to a file, and read that")
                    })?;
                    readers.push(Box::new(input.begin(topic_partition.clone(), *offset, Wake::clone(wake))?));
                }
            }
        }
        Ok(readers)
    }

    fn release(&mut self, _topic_partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    fn acknowledge(&mut self, _next: &[(TopicPartition, i64)]) -> Result<()> {
        Ok(())
    }

    fn still_assigned(&mut self, topic_partition: &TopicPartition, _next: i64) -> Option<bool> {
        Some(self.origins.contains_key(topic_partition))
    }

    fn lag(&self, _topic_partition: &TopicPartition) -> Option<i64> {
        None
    }
}

/// The files that a path or glob stands for, sorted.
fn matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let literal = Path::new(pattern);
    if literal.is_file() {
        return Ok(vec![absolute(literal)?]);
    }
    if literal.is_dir() {
        return Err(Error::config(format!("{pattern} is a directory"))
            .hint(format!("name its files with a glob: path = \"{}/*.jsonl\"", pattern.trim_end_matches('/'))));
    }
    let wrong = |error| Error::config(format!("{pattern} is no path and no glob")).because(error);
    let mut paths = Vec::new();
    for path in glob::glob(pattern).map_err(wrong)? {
        let path = path.map_err(|error| Error::config(format!("cannot look for {pattern}")).because(error))?;
        if path.is_file() {
            paths.push(absolute(&path)?);
        }
    }
    paths.sort();
    Ok(paths)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| cannot_read(path, error))
}

fn cannot_read(path: &Path, error: io::Error) -> Error {
    Error::fatal(format!("cannot read {}", path.display())).because(error)
}

/// `plays-2026.jsonl` becomes `plays-2026-` and eight digits that tell it from files of the same name elsewhere.
fn topic_partition_of(path: &Path) -> TopicPartition {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let stem: String = stem.chars().map(clean).take(LONGEST_STEM).collect();
    let digest = hex(&Sha256::digest(path.as_os_str().as_encoded_bytes()));
    TopicPartition::new(format!("{stem}-{}", &digest[..8]), 0)
}

/// The bytes up to the end of the first line that is not empty, at most [`HEAD`]: they stay as they are while the file
/// grows. `None`: there is no such line yet.
fn head(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|error| cannot_read(path, error))?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(|error| cannot_read(path, error))?;
    let Some(start) = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else { return Ok(None) };
    let end = head[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).map_or(head.len(), |end| start + end);
    head.truncate(end);
    Ok(Some(head))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads one file.
struct FileReader {
    topic_partition: TopicPartition,
    path: PathBuf,
    file: File,
    block: Vec<u8>,
    lines: Lines,
    ended: bool,
    wake: Wake,
}

impl FileReader {
    fn open(topic_partition: &TopicPartition, path: &Path, offset: i64, wake: Wake) -> Result<Self> {
        let failed = |error| cannot_read(path, error);
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let start = u64::try_from(offset).ok().filter(|start| *start <= length).ok_or_else(|| {
            Error::fatal(format!("{} has {length} bytes, but was read up to byte {offset} before", path.display()))
                .hint("a file may grow, but not shrink: put the old one back, or give the new one another name")
        })?;
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let topic_partition = topic_partition.clone();
        let block = vec![0; BLOCK];
        Ok(Self { topic_partition, path: path.to_owned(), file, block, lines: Lines::at(offset), ended: false, wake })
    }
}

impl PartitionReader for FileReader {
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
            let bytes = self.file.read(&mut self.block).map_err(|error| cannot_read(&self.path, error))?;
            self.ended = bytes == 0;
            self.lines.feed(&self.block[..bytes]);
        }
        Ok(found(&self.topic_partition, messages, &self.lines, Some(&self.wake)))
    }
}

/// A batch, if there is a message in it. Otherwise nothing, and with `more` the waker is called, because there is more.
fn found(topic_partition: &TopicPartition, messages: OwnedMessages, lines: &Lines, more: Option<&Wake>) -> Read {
    if messages.is_empty() {
        if let Some(wake) = more {
            wake();
        }
        return Read::Empty;
    }
    let topic_partition = topic_partition.clone();
    Read::Batch(SourceBatch { topic_partition, messages: Box::new(messages), next: lines.offset() })
}

#[cfg(test)]
mod tests;

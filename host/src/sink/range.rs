//! The open files of one range of one topic partition, from the first row to the staged range.
//!
//! One offset range falls into several hive partitions and into the dead letters; all its files end with it, so that
//! one record names them all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::dead_letter::{self, DeadLetter};
use super::hive::Piece;
use super::part_file::{PartFile, PartFileOptions};
use super::stage::{Held, Memory, Queued, StagedFile, Staging, Upload, stage_whole};
use crate::checkpoint::{DeploymentRecord, FileRecord, Id, Occasion, RowCounts, StagedRange, target_name};
use crate::error::Result;
use crate::report::DeadLetterCause;
use crate::source::TopicPartition;
use crate::storage::{Storage, StorageResult};

/// Dead letters that are collected before they are encoded.
const DEAD_LETTERS_AT_ONCE: usize = 256;

/// Files of a range that are closed at a time: a range of a thousand hive partitions must not ask storage for a thousand
/// files at once.
const CLOSED_AT_ONCE: usize = 64;

/// What all ranges of one take-over and one deployment share.
#[derive(Clone)]
pub struct RangeContext {
    /// Whose range it is.
    pub topic_partition: TopicPartition,
    /// The pipeline's name, for the footers.
    pub pipeline: String,
    /// The take-over, for the footers.
    pub take_over: Id,
    /// On which occasion its rows come: a part of the files' names.
    pub occasion: Occasion,
    /// Which transforms make the rows.
    pub deployment: DeploymentRecord,
    /// How the table's files are encoded.
    pub options: PartFileOptions,
    /// How the dead letters' files are encoded.
    pub dead_letter_options: PartFileOptions,
    /// Hive partitions of the table that one range may have open.
    pub max_open_hive_partitions: usize,
    /// The table's directory.
    pub table: String,
    /// Where the table's files are staged.
    pub staging: Staging,
    /// The dead letters' directory.
    pub dead_letters: String,
    /// Where the dead letters' files are staged.
    pub dead_letter_staging: Staging,
}

struct OpenFile {
    part: PartFile,
    /// Started with the first bytes that leave the encoder: most small files have none before their end.
    upload: Option<Upload>,
    held: Held,
    rows: u64,
    min_event_time_us: Option<i64>,
    max_event_time_us: Option<i64>,
}

/// A range that is being filled.
pub struct OpenRange {
    context: Arc<RangeContext>,
    memory: Arc<Memory>,
    start: i64,
    /// Next offset to read after what was put in.
    pub next: i64,
    /// When its first message arrived, by the runtime's clock.
    pub opened: Duration,
    /// What became of its messages so far.
    pub rows: RowCounts,
    /// Dead letters by cause.
    pub causes: BTreeMap<DeadLetterCause, u64>,
    files: HashMap<Arc<str>, OpenFile>,
    dead_letter_files: HashMap<Arc<str>, OpenFile>,
    waiting_dead_letters: Vec<DeadLetter>,
    /// What they hold.
    waiting_held: Held,
    largest_file: u64,
}

impl OpenRange {
    /// An empty range that starts at `start`.
    pub fn new(context: &Arc<RangeContext>, start: i64, now: Duration) -> Self {
        Self {
            context: Arc::clone(context),
            memory: Arc::clone(&context.staging.memory),
            start,
            next: start,
            opened: now,
            rows: RowCounts::default(),
            causes: BTreeMap::new(),
            files: HashMap::new(),
            dead_letter_files: HashMap::new(),
            waiting_dead_letters: Vec::new(),
            waiting_held: Held::new(&context.staging.memory),
            largest_file: 0,
        }
    }

    /// Whether rows of this hive partition can be written: its file is open, or one more may be opened.
    pub fn has_room_for(&self, hive_partition: &str) -> bool {
        self.files.len() < self.context.max_open_hive_partitions || self.files.contains_key(hive_partition)
    }

    /// Appends rows of one hive partition.
    pub fn write(&mut self, piece: &Piece) -> Result<()> {
        let file = match self.files.get_mut(&piece.hive_partition) {
            Some(file) => file,
            None => {
                let file = OpenFile::new(&self.context.options, &self.memory);
                self.files.entry(Arc::clone(&piece.hive_partition)).or_insert(file)
            }
        };
        file.write(&piece.rows, &self.context.staging)?;
        file.min_event_time_us =
            Some(file.min_event_time_us.map_or(piece.min_event_time_us, |min| min.min(piece.min_event_time_us)));
        file.max_event_time_us = file.max_event_time_us.max(Some(piece.max_event_time_us));
        self.rows.written += piece.rows.num_rows() as u64;
        self.largest_file = self.largest_file.max(file.part.size_bytes());
        Ok(())
    }

    /// Sets a dead letter aside.
    pub fn set_aside(&mut self, dead_letter: DeadLetter) -> Result<()> {
        let transform = dead_letter.transform.as_ref().map(|(name, _)| name.clone());
        let cause = DeadLetterCause { transform, reason: dead_letter.reason.clone() };
        *self.causes.entry(cause).or_default() += 1;
        self.rows.dead_lettered += 1;
        self.waiting_held.change(self.waiting_held.bytes() + dead_letter.held_bytes());
        self.waiting_dead_letters.push(dead_letter);
        if self.waiting_dead_letters.len() >= DEAD_LETTERS_AT_ONCE { self.encode_dead_letters() } else { Ok(()) }
    }

    fn encode_dead_letters(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting_dead_letters);
        self.waiting_held = Held::new(&self.memory);
        let mut by_day: BTreeMap<String, Vec<DeadLetter>> = BTreeMap::new();
        for dead_letter in waiting {
            by_day.entry(dead_letter.hive_partition()).or_default().push(dead_letter);
        }
        for (day, dead_letters) in by_day {
            let day: Arc<str> = day.into();
            let file = match self.dead_letter_files.get_mut(&day) {
                Some(file) => file,
                None => {
                    let file = OpenFile::new(&self.context.dead_letter_options, &self.memory);
                    self.dead_letter_files.entry(day).or_insert(file)
                }
            };
            file.write(&dead_letter::to_batch(&dead_letters)?, &self.context.dead_letter_staging)?;
            self.largest_file = self.largest_file.max(file.part.size_bytes());
        }
        Ok(())
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        self.files.len() + self.dead_letter_files.len()
    }

    /// Size so far of its largest file, in bytes.
    pub fn largest_file_bytes(&self) -> u64 {
        self.largest_file
    }

    /// Bytes that its encoders hold.
    pub fn memory_bytes(&self) -> usize {
        self.waiting_held.bytes() + self.all_files().map(|file| file.held.bytes()).sum::<usize>()
    }

    fn all_files(&self) -> impl Iterator<Item = &OpenFile> {
        self.files.values().chain(self.dead_letter_files.values())
    }

    /// Ends the row groups of the files that hold most until they held `bytes` together, which frees them; how many bytes
    /// they held.
    pub fn flush_largest(&mut self, bytes: usize) -> Result<usize> {
        self.encode_dead_letters()?;
        let context = &self.context;
        let of_table = self.files.values_mut().map(|file| (file, &context.staging));
        let aside = self.dead_letter_files.values_mut().map(|file| (file, &context.dead_letter_staging));
        let mut files: Vec<_> = of_table.chain(aside).filter(|(file, _)| file.held.bytes() > 0).collect();
        files.sort_unstable_by_key(|(file, _)| Reverse(file.held.bytes()));
        let mut flushed = 0;
        for (file, staging) in files {
            if flushed >= bytes {
                break;
            }
            flushed += file.held.bytes();
            file.flush(staging)?;
        }
        Ok(flushed)
    }

    /// Nothing is put in any more: what its encoders hold counts as waiting for storage.
    pub fn end(&mut self) {
        self.files.values_mut().chain(self.dead_letter_files.values_mut()).for_each(|file| file.held.end());
        if !self.waiting_dead_letters.is_empty() {
            self.waiting_held.end();
        }
    }

    /// Ends the range: encodes what is left and the footers, which takes the processor for a while, and hands the last bytes
    /// over. What remains is only waiting for storage.
    pub fn close(mut self) -> Result<ClosingRange> {
        self.encode_dead_letters()?;
        self.end();
        let files = std::mem::take(&mut self.files);
        let dead_letter_files = std::mem::take(&mut self.dead_letter_files);
        let max_event_time_us = files.values().filter_map(|file| file.max_event_time_us).max();
        Ok(ClosingRange {
            files: self.close_files(files, &self.context.table, &self.context.staging)?,
            dead_letter_files: self.close_files(
                dead_letter_files,
                &self.context.dead_letters,
                &self.context.dead_letter_staging,
            )?,
            start: self.start,
            next: self.next,
            rows: self.rows,
            deployment: self.context.deployment.clone(),
            max_event_time_us,
            storage: Arc::clone(&self.context.staging.storage),
            dead_letter_storage: Arc::clone(&self.context.dead_letter_staging.storage),
        })
    }

    fn close_files(
        &self,
        files: HashMap<Arc<str>, OpenFile>,
        table: &str,
        staging: &Staging,
    ) -> Result<Vec<ClosingFile>> {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let of = files.len();
        let close = |(number, (hive_partition, file)): (usize, (Arc<str>, OpenFile))| {
            let name = target_name(&self.context.topic_partition, self.start, number, self.context.occasion);
            let target = if hive_partition.is_empty() {
                format!("{table}/{name}")
            } else {
                format!("{table}/{hive_partition}/{name}")
            };
            drop(file.held);
            let tail = file.part.finish(&self.footer(number, of))?;
            let tail_bytes = Queued::new(tail.bytes, &self.memory);
            let staging = match file.upload {
                Some(upload) => {
                    upload.send(tail_bytes);
                    FileStaging::Uploading(upload)
                }
                None => FileStaging::Whole(staging.clone(), tail_bytes),
            };
            let (min, max) = (file.min_event_time_us, file.max_event_time_us);
            Ok(ClosingFile { staging, target, rows: file.rows, bytes: tail.length, min, max })
        };
        files.into_iter().enumerate().map(close).collect()
    }

    /// What every file says of where it comes from.
    fn footer(&self, number: usize, of: usize) -> Vec<(String, String)> {
        let context = &self.context;
        let transforms: Vec<String> =
            context.deployment.transforms.iter().map(|t| format!("{}@{}", t.name, t.version)).collect();
        let pairs = [
            ("pipeline", context.pipeline.clone()),
            ("topic", context.topic_partition.topic.to_string()),
            ("topic_partition", context.topic_partition.partition.to_string()),
            ("start", self.start.to_string()),
            ("next", self.next.to_string()),
            ("file", number.to_string()),
            ("files", of.to_string()),
            ("deployment", context.deployment.number.to_string()),
            ("transforms", transforms.join(",")),
            ("take_over", context.take_over.to_string()),
        ];
        let replay = match context.occasion {
            Occasion::Replay(record) => Some(("replay", record.to_string())),
            Occasion::Pass(_) => None,
        };
        pairs.into_iter().chain(replay).map(|(key, value)| (format!("wasmill.{key}"), value)).collect()
    }
}

impl OpenFile {
    fn new(options: &PartFileOptions, memory: &Arc<Memory>) -> Self {
        Self {
            part: PartFile::new(options),
            upload: None,
            held: Held::new(memory),
            rows: 0,
            min_event_time_us: None,
            max_event_time_us: None,
        }
    }

    fn write(&mut self, rows: &RecordBatch, staging: &Staging) -> Result<()> {
        self.part.write(rows)?;
        self.rows += rows.num_rows() as u64;
        self.ship(staging)
    }

    fn flush(&mut self, staging: &Staging) -> Result<()> {
        self.part.flush_row_group()?;
        self.ship(staging)
    }

    fn ship(&mut self, staging: &Staging) -> Result<()> {
        if let Some(bytes) = self.part.take_encoded()? {
            self.upload.get_or_insert_with(|| Upload::start(staging)).send(Queued::new(bytes, &staging.memory));
        }
        self.held.change(self.part.memory_bytes());
        Ok(())
    }
}

/// How a file that ended gets to storage.
enum FileStaging {
    /// Parts of it are there already.
    Uploading(Upload),
    /// All of it is still here.
    Whole(Staging, Queued),
}

struct ClosingFile {
    staging: FileStaging,
    target: String,
    rows: u64,
    bytes: u64,
    min: Option<i64>,
    max: Option<i64>,
}

impl ClosingFile {
    async fn staged(self) -> StorageResult<FileRecord> {
        let StagedFile { path, bytes } = match self.staging {
            FileStaging::Uploading(upload) => upload.finish().await?,
            FileStaging::Whole(staging, bytes) => stage_whole(staging, bytes).await?,
        };
        debug_assert_eq!(bytes, self.bytes);
        Ok(FileRecord {
            staged: path,
            target: self.target,
            rows: self.rows,
            bytes,
            min_event_time_us: self.min,
            max_event_time_us: self.max,
        })
    }
}

/// A range that was ended and waits for storage.
pub struct ClosingRange {
    files: Vec<ClosingFile>,
    dead_letter_files: Vec<ClosingFile>,
    start: i64,
    next: i64,
    rows: RowCounts,
    deployment: DeploymentRecord,
    max_event_time_us: Option<i64>,
    storage: Arc<dyn Storage>,
    dead_letter_storage: Arc<dyn Storage>,
}

impl ClosingRange {
    /// Waits until all files are staged.
    pub async fn staged(self) -> StorageResult<StagedRange> {
        let (files, dead_letter_files) =
            futures::future::try_join(all_staged(self.files), all_staged(self.dead_letter_files)).await?;
        Ok(StagedRange {
            start: self.start,
            next: self.next,
            rows: self.rows,
            files,
            dead_letter_files,
            deployment: self.deployment,
            max_event_time_us: self.max_event_time_us,
        })
    }

    /// What became of its messages.
    pub fn rows(&self) -> RowCounts {
        self.rows
    }

    /// The storages of the table and of the dead letters.
    pub fn storages(&self) -> (Arc<dyn Storage>, Arc<dyn Storage>) {
        (Arc::clone(&self.storage), Arc::clone(&self.dead_letter_storage))
    }
}

async fn all_staged(files: Vec<ClosingFile>) -> StorageResult<Vec<FileRecord>> {
    stream::iter(files.into_iter().map(ClosingFile::staged)).buffered(CLOSED_AT_ONCE).try_collect().await
}

/// Deletes the staged files of a range that no record can name. Best effort: a sweep finds the rest.
pub async fn discard(range: &StagedRange, storages: &(Arc<dyn Storage>, Arc<dyn Storage>)) {
    for (storage, files) in [(&storages.0, &range.files), (&storages.1, &range.dead_letter_files)] {
        for file in files {
            let _ = storage.delete(&file.staged).await;
        }
    }
}

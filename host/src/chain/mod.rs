//! The checkpoint chain of one topic partition: take over, create, publish, mark, prune.
//!
//! This is the exactly-once protocol, on any [`Storage`]. Its steps read in the order in which they happen; each step
//! that must survive a crash is one function, used by the normal path and by recovery alike. `ARCHITECTURE.md` holds the
//! argument for each.
//!
//! A future of this module may be dropped at any point: that is a crash, and the next take-over puts it right. For the
//! same reason a storage that does not answer ends an attempt with [`ChainError::Storage`] and no clean-up at all: what
//! was asked may still be applied, and only the next take-over can tell.

mod create;
pub mod operator;
mod prune;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::checkpoint::{
    BadRecord, ChainName, DeploymentRecord, FileRecord, Id, Note, Occasion, Protocol, Record, RecordKind,
    ReplayedLetters, Retention, RowCounts, StagedRange, mark_name, newest, parse_name, record_name, staging_name,
    topic_partition_directory,
};
use crate::error::Error;
use crate::runtime::Runtime;
use crate::sink::publish::{PublishError, publish_files};
use crate::source::TopicPartition;
use crate::storage::{Location, StorageError, StorageErrorKind, StorageResult};

/// How often one attempt looks again at a storage that gave no clear answer before it gives up.
const TRIES: u32 = 5;

/// First pause between two looks; it doubles.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a take-over starts over because the chain moved under it.
const STARTS: u32 = 100;

/// Why a step of the chain did not succeed.
#[derive(Debug)]
pub enum ChainError {
    /// Another take-over owns the chain now: this one is over.
    Lost(String),
    /// The storage did not answer clearly: drop everything, and take over again later.
    Storage(StorageError),
    /// The source did not answer, or it reads something else now.
    Source(Error),
    /// An operator is needed; this topic partition stops.
    Stopped(Error),
}

impl From<StorageError> for ChainError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Result of a step of the chain.
pub type ChainResult<T> = Result<T, ChainError>;

/// The places and names that all take-overs of one topic partition share.
pub struct Chain {
    /// Whose chain it is.
    pub topic_partition: TopicPartition,
    /// What the topic is beyond its name; another identity in the chain stops the topic partition.
    pub topic_identity: String,
    /// The pipeline's name; another name in the chain stops the topic partition.
    pub pipeline: String,
    /// The checkpoint directory of the pipeline.
    pub checkpoints: Location,
    /// The table.
    pub table: Location,
    /// The dead letters' table.
    pub dead_letters: Location,
    /// The rules.
    pub protocol: Protocol,
    /// The newest record format that this host knows ([`crate::checkpoint::FORMAT`], but for a host of an earlier version).
    pub newest_format: u32,
    /// How much is kept.
    pub retention: Retention,
    /// Time and randomness.
    pub runtime: Arc<dyn Runtime>,
}

/// One assignment of a topic partition to this process, fenced: it may create records until somebody else fences it.
pub struct TakeOver {
    chain: Arc<Chain>,
    /// Its random id.
    pub id: Id,
    /// Sequence of its fence.
    pub fence: u64,
    /// Where reading goes on.
    pub next: i64,
    /// Which pass over the offsets it is.
    pub pass: u32,
    /// When its newest record counted, by the runtime's clock.
    pub committed_at: Duration,
    /// The files of the newest record before its fence.
    pub found_files: Vec<FileRecord>,
    sequence: u64,
    newest: Id,
    watermark_us: Option<i64>,
    /// The chain's directory as the fence found it, until somebody folds what is old in it.
    found: Vec<String>,
    /// Held by whoever folds for this take-over.
    folding: Arc<()>,
}

/// How an attempt to take over ended.
pub enum Taken {
    /// It holds.
    Over(Box<TakeOver>),
    /// The chain is empty, and no first position was given: find one and try again.
    NeedsFirstPosition,
}

impl Chain {
    /// The directory of the records.
    pub fn directory(&self) -> String {
        self.checkpoints.join(&topic_partition_directory(&self.topic_partition))
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory())
    }

    /// The directory in which all take-overs of this topic partition stage, below a table's location.
    pub fn staging_root(&self, table: &Location) -> String {
        table.join(&format!("_staging/{}", topic_partition_directory(&self.topic_partition)))
    }

    /// Takes the topic partition over: publishes what the newest record left unpublished, then fences it.
    ///
    /// `first` is where an empty chain starts.
    pub async fn take_over(self: &Arc<Self>, first: Option<i64>) -> ChainResult<Taken> {
        let id = if self.protocol.fresh_take_over_ids { Id(self.runtime.random()) } else { Id(7) };
        for _ in 0..STARTS {
            let names = self.list().await?;
            let Some(sequence) = newest(names.iter().map(String::as_str)) else {
                self.check_really_empty(&names)?;
                let Some(first) = first else { return Ok(Taken::NeedsFirstPosition) };
                let fence = self.fence(0, None, id, first, (None, 0));
                return self.confirm_fence(fence).await.map(|taken| Taken::Over(Box::new(taken)));
            };
            let Some(record) = self.read_newest(sequence).await? else { continue };
            // Between listing and reading, others may have gone on: only the newest record's files may be published.
            if self.protocol.list_again_before_publish {
                let again = self.list().await?;
                if newest(again.iter().map(String::as_str)) != Some(sequence) {
                    continue;
                }
            }
            let unpublished = !self.is_marked(&names, &record);
            if unpublished && self.protocol.publish_before_fence {
                match self.publish(&record).await {
                    Err(ChainError::Lost(_)) => continue,
                    other => other?,
                }
            }
            let carried = (record.watermark_us, record.pass);
            let fence = self.fence(sequence + 1, Some(record.id), id, record.next, carried);
            let mut taken = self.confirm_fence(fence).await?;
            if unpublished && !self.protocol.publish_before_fence {
                self.publish(&record).await?;
            }
            taken.found_files = record.files;
            return Ok(Taken::Over(Box::new(taken)));
        }
        Err(ChainError::Lost(format!("the chain moved on {STARTS} times while it was read")))
    }

    /// `carried`: the watermark and the pass, which a record takes over from its predecessor.
    fn fence(
        &self,
        sequence: u64,
        predecessor: Option<Id>,
        take_over: Id,
        at: i64,
        carried: (Option<i64>, u32),
    ) -> Record {
        let (watermark_us, pass) = carried;
        let mut fence = Record {
            format: 1,
            sequence,
            id: Id(self.runtime.random()),
            predecessor,
            take_over,
            pipeline: self.pipeline.clone(),
            topic: self.topic_partition.topic.to_string(),
            topic_partition: self.topic_partition.partition,
            topic_identity: self.topic_identity.clone(),
            start: at,
            next: at,
            rows: RowCounts::default(),
            files: Vec::new(),
            dead_letter_files: Vec::new(),
            deployment: DeploymentRecord::default(),
            watermark_us,
            written_at_ms: self.runtime.now_ms(),
            kind: RecordKind::Messages,
            note: None,
            pass,
            replayed: Vec::new(),
        };
        fence.format = fence.lowest_format();
        fence
    }

    async fn confirm_fence(self: &Arc<Self>, fence: Record) -> ChainResult<TakeOver> {
        let mut taken = TakeOver {
            chain: Arc::clone(self),
            id: fence.take_over,
            fence: fence.sequence,
            next: fence.next,
            pass: fence.pass,
            committed_at: self.runtime.elapsed(),
            found_files: Vec::new(),
            sequence: fence.sequence,
            newest: fence.id,
            watermark_us: fence.watermark_us,
            found: Vec::new(),
            folding: Arc::default(),
        };
        if !self.protocol.sweep_after_fence {
            sweep::sweep(self, &taken, &[]).await;
        }
        let names = create::create(self, &fence, self.protocol.list_after_fence).await?;
        sweep::sweep(self, &taken, &names).await;
        taken.found = names;
        Ok(taken)
    }

    /// Names in the directory of the records; asked again a few times.
    async fn list(&self) -> StorageResult<Vec<String>> {
        let directory = self.directory();
        let entries = self.until_answered(|| self.checkpoints.storage.list(&directory)).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// The bytes of record `sequence`; `None` when there is no such record.
    async fn look(&self, sequence: u64) -> StorageResult<Option<Bytes>> {
        let path = self.path(&record_name(sequence));
        let read = || async {
            match self.checkpoints.storage.read(&path).await {
                Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
                other => other.map(Some),
            }
        };
        self.until_answered(read).await
    }

    /// Asks `TRIES` times, with growing pauses, as long as the storage gives no clear answer. Only for questions.
    async fn until_answered<T, F>(&self, ask: impl Fn() -> F) -> StorageResult<T>
    where
        F: Future<Output = StorageResult<T>>,
    {
        let mut tries = 0;
        loop {
            match ask().await {
                Err(error) if error.kind == StorageErrorKind::Unknown && tries < TRIES => {
                    self.pause(tries).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn pause(&self, tries: u32) {
        self.runtime.sleep(PAUSE * 2_u32.pow(tries)).await;
    }

    async fn read_newest(&self, sequence: u64) -> ChainResult<Option<Record>> {
        let Some(bytes) = self.look(sequence).await? else { return Ok(None) };
        let known = |record: Record| match record.format {
            format if format > self.newest_format => Err(BadRecord::UnknownFormat(format.into())),
            _ => Ok(record),
        };
        let record = Record::from_bytes(sequence, &bytes).and_then(known);
        let record = record.map_err(|bad| self.stop_at_bad_record(sequence, &bad))?;
        self.check_owner(&record)?;
        Ok(Some(record))
    }

    fn stop_at_bad_record(&self, sequence: u64, bad: &BadRecord) -> ChainError {
        let path = self.path(&record_name(sequence));
        let hint = match bad {
            BadRecord::UnknownFormat(_) => "run the version of wasmill that wrote it, or a later one",
            _ => {
                "restore the file from a snapshot or a copy; its content cannot be guessed, and starting without it \
                  would lose or double rows"
            }
        };
        let message = format!("cannot use the newest record of {}, {path}: {bad}", self.topic_partition);
        ChainError::Stopped(Error::fatal(message).hint(hint))
    }

    fn check_owner(&self, record: &Record) -> ChainResult<()> {
        let directory = self.directory();
        if record.pipeline != self.pipeline {
            let message = format!(
                "the checkpoints in {directory} belong to pipeline `{}`, not `{}`",
                record.pipeline, self.pipeline
            );
            let hint = "give each pipeline its own [checkpoint] location, or its old name back";
            return Err(ChainError::Stopped(Error::fatal(message).hint(hint)));
        }
        if record.topic_identity != self.topic_identity {
            return Err(ChainError::Stopped(self.another_topic(&record.topic_identity, &self.topic_identity)));
        }
        Ok(())
    }

    /// Whether the topic is still the one that the chain was taken over for.
    ///
    /// # Errors
    /// It was deleted and created anew since.
    pub fn check_identity(&self, now: &str) -> Result<(), Error> {
        if now == self.topic_identity { Ok(()) } else { Err(self.another_topic(&self.topic_identity, now)) }
    }

    fn another_topic(&self, recorded: &str, now: &str) -> Error {
        let message = format!(
            "{} is not what its checkpoints in {} were made of: they say `{recorded}`, the source says `{now}`",
            self.topic_partition,
            self.directory()
        );
        Error::fatal(message).hint(
            "the topic was deleted and created anew (or the file replaced): offsets of one mean nothing in the other. \
             Start a new pipeline with its own [checkpoint] and [table] locations",
        )
    }

    /// A directory with an archive or marks but without records was tampered with: starting anew would double rows.
    fn check_really_empty(&self, names: &[String]) -> ChainResult<()> {
        let ours = |name: &String| name == "archive" || matches!(parse_name(name), Some(ChainName::Mark(..)));
        let Some(name) = names.iter().find(|name| ours(name)) else { return Ok(()) };
        let message = format!("{} holds `{name}` but no record: the newest record was deleted", self.directory());
        let hint =
            "restore the newest record, or move the whole directory away if this topic partition is to start anew";
        Err(ChainError::Stopped(Error::fatal(message).hint(hint)))
    }

    fn is_marked(&self, names: &[String], record: &Record) -> bool {
        let mark = mark_name(record.sequence, record.id);
        self.protocol.published_mark && names.contains(&mark)
    }

    /// Publishes all files of a record that counts and is the newest, then marks it. Fine to do again.
    async fn publish(&self, record: &Record) -> ChainResult<()> {
        if !self.protocol.mark_after_publish {
            self.mark(record).await?;
        }
        for (location, files) in [(&self.table, &record.files), (&self.dead_letters, &record.dead_letter_files)] {
            match publish_files(location.storage.as_ref(), self.runtime.as_ref(), self.protocol, files).await {
                Ok(()) => {}
                Err(PublishError::Storage(error)) => return Err(error.into()),
                Err(error @ PublishError::WrongLength { .. }) => return Err(self.stop_at_file(record, &error)),
                Err(error @ PublishError::Missing { .. }) => {
                    if !self.protocol.list_before_lost {
                        return Err(self.stop_at_file(record, &error));
                    }
                    let names = self.list().await?;
                    if newest(names.iter().map(String::as_str)) != Some(record.sequence) {
                        return Err(ChainError::Lost(format!("record {} is not the newest any more", record.sequence)));
                    }
                    // With its mark there, all was published once, and a job downstream has moved the file since.
                    if self.is_marked(&names, record) {
                        return Ok(());
                    }
                    return Err(self.stop_at_file(record, &error));
                }
            }
        }
        self.mark(record).await
    }

    fn stop_at_file(&self, record: &Record, error: &PublishError) -> ChainError {
        let message = format!("cannot publish record {} of {}: {error}", record.sequence, self.topic_partition);
        let hint = "restore the file at one of the two paths. If it was removed on purpose, that is an operator's decision: \
                    its rows are counted as committed";
        ChainError::Stopped(Error::fatal(message).hint(hint))
    }

    async fn mark(&self, record: &Record) -> ChainResult<()> {
        if !self.protocol.published_mark || record.is_fence() {
            return Ok(());
        }
        let path = self.path(&mark_name(record.sequence, record.id));
        let mut tries = 0;
        loop {
            let made = async { self.checkpoints.storage.create(&path).await?.close().await };
            match made.await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == StorageErrorKind::AlreadyExists => return Ok(()),
                Err(error) if error.kind == StorageErrorKind::Unknown && tries < TRIES => {
                    self.pause(tries).await;
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl TakeOver {
    /// The chain that was taken over.
    pub fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// The newest record that it created.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What files are named after that are replayed into the next record.
    pub fn replay(&self) -> Occasion {
        if self.chain.protocol.replay_names { Occasion::Replay(self.sequence + 1) } else { Occasion::Pass(self.pass) }
    }

    /// Where this take-over stages files of the table at `table`.
    pub fn staging(&self, table: &Location) -> String {
        format!("{}/{}", self.chain.staging_root(table), staging_name(self.fence, self.id))
    }

    /// What a take-over leaves for later, so that nobody waits for it who wants to read: old records that it found are
    /// folded. It may run beside the take-over's commits and may be dropped; a later commit folds what it has left.
    pub fn housekeeping(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (chain, found) = (Arc::clone(&self.chain), std::mem::take(&mut self.found));
        let folding = Arc::clone(&self.folding);
        async move {
            prune::prune(&chain, &found).await;
            drop(folding);
        }
    }

    /// Commits a staged range, publishes its files and marks it. On success all of it is visible and durable, and
    /// `self.next` is where the next range starts.
    pub async fn commit(&mut self, range: StagedRange) -> ChainResult<()> {
        self.commit_record(self.record_of(range)).await
    }

    /// Commits what dead letters turned into, as [`TakeOver::commit`] does a range: `letters` are consumed by it, for ever.
    /// No letter may stand in a record that counts up to [`TakeOver::sequence`]; as this take-over creates the next one or
    /// none, there is no other that could name it.
    pub async fn commit_replay(
        &mut self,
        staged: StagedRange,
        letters: Vec<ReplayedLetters>,
        note: Note,
    ) -> ChainResult<()> {
        let range = self.record_of(staged);
        let mut record = Record { kind: RecordKind::Replayed, replayed: letters, note: Some(note), ..range };
        record.format = record.lowest_format();
        self.commit_record(record).await
    }

    async fn commit_record(&mut self, mut record: Record) -> ChainResult<()> {
        if !self.chain.protocol.count_own_records {
            let names = self.chain.list().await?;
            record.sequence = newest(names.iter().map(String::as_str)).map_or(0, |newest| newest + 1);
        }
        if !self.chain.protocol.commit_before_publish {
            self.chain.publish(&record).await?;
        }
        let names = self.create(record).await?;
        if Arc::strong_count(&self.folding) == 1 {
            prune::prune(&self.chain, &names).await;
        }
        Ok(())
    }

    /// Commits a record without files: a gap in the source, or what an operator decided. On success `self.next` is `next`.
    pub async fn note(&mut self, kind: RecordKind, next: i64, note: Option<Note>) -> ChainResult<()> {
        let start = self.next;
        let pass = if next < start { self.pass + 1 } else { self.pass };
        let carried = (self.watermark_us, pass);
        let fence = self.chain.fence(self.sequence + 1, Some(self.newest), self.id, start, carried);
        let mut record = Record { kind, next, note, ..fence };
        record.format = record.lowest_format();
        self.create(record).await.map(|_| ())
    }

    /// Returns the names in the chain's directory, listed after the record was created.
    async fn create(&mut self, record: Record) -> ChainResult<Vec<String>> {
        let names = create::create(&self.chain, &record, self.chain.protocol.list_after_commit).await?;
        self.committed_at = self.chain.runtime.elapsed();
        self.sequence = record.sequence;
        self.newest = record.id;
        self.next = record.next;
        self.watermark_us = record.watermark_us;
        self.pass = record.pass;
        self.chain.publish(&record).await?;
        Ok(names)
    }

    fn record_of(&self, range: StagedRange) -> Record {
        let chain = &self.chain;
        Record {
            rows: range.rows,
            start: range.start,
            next: range.next,
            files: range.files,
            dead_letter_files: range.dead_letter_files,
            deployment: range.deployment,
            ..chain.fence(
                self.sequence + 1,
                Some(self.newest),
                self.id,
                range.next,
                (self.watermark_us.max(range.max_event_time_us), self.pass),
            )
        }
    }
}

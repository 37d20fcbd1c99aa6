//! One topic partition under one take-over: what its worker knows of it between two batches.
//!
//! A lane fills one range while the last one is being staged, committed and published. It never has two checkpoints in
//! flight, because the take-over itself travels with the checkpoint and comes back with its outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::chain::{Chain, ChainError, TakeOver};
use crate::checkpoint::{DeploymentRecord, RowCounts};
use crate::error::{Error, Result};
use crate::report::DeadLetterCause;
use crate::runtime::Runtime;
use crate::sink::hive_path;
use crate::sink::part_file::PartFileOptions;
use crate::sink::range::{OpenRange, RangeContext, discard};
use crate::source::{PartitionReader, SourceBatch, TopicPartition, Wake};

/// Why a lane ended.
#[derive(Debug)]
pub enum LaneEnd {
    /// It was told to finish, and its last range is committed.
    Finished,
    /// It reached the end it was given (or its source's), and its last range is committed.
    CaughtUp,
    /// What it was to read next has expired in the source; what was open is committed.
    Expired {
        /// The offset that was to be read next.
        position: i64,
    },
    /// It was told to drop what is open.
    Dropped,
    /// Another take-over owns the chain, or the storage does not answer, or an operator is needed.
    Chain(ChainError),
    /// The source, a guest or the encoder failed.
    Failed(Error),
}

/// A committed range, as the rest of the process hears of it.
#[derive(Debug, Default)]
pub struct Committed {
    /// Next offset to read.
    pub next: i64,
    /// The number of the deployment that made its rows.
    pub deployment: u64,
    /// What became of its messages.
    pub rows: RowCounts,
    /// Dead letters by cause.
    pub causes: BTreeMap<DeadLetterCause, u64>,
    /// Files published in the table.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The hive partitions that they lie in.
    pub hive_partitions: BTreeSet<String>,
    /// The offset of its first message.
    pub start: i64,
    /// When its checkpoint was where.
    pub steps: Steps,
}

/// When the steps of a checkpoint ended, by the runtime's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// The range ended.
    pub began: Duration,
    /// All files were staged.
    pub staged: Duration,
    /// The record counted.
    pub committed: Duration,
    /// All files stood in the table.
    pub published: Duration,
}

/// What a checkpoint's task sends back: whose, and how it went.
pub(super) struct Completion {
    pub(super) topic_partition: TopicPartition,
    pub(super) lane: u64,
    pub(super) outcome: std::result::Result<(Box<TakeOver>, Committed), LaneEnd>,
}

/// What a lane is given to start with.
pub struct LaneStart {
    /// The fenced chain.
    pub take_over: Box<TakeOver>,
    /// Reads from the fence's `next`.
    pub reader: Box<dyn PartitionReader>,
    /// Where the lane ends by itself.
    pub until: Option<i64>,
}

/// Why no more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    KeepOn,
    Finish,
    CatchUp,
    GoOnAfterLoss,
}

pub(super) struct Lane {
    pub(super) topic_partition: TopicPartition,
    /// Told apart from earlier lanes of the same topic partition by this number.
    pub(super) number: u64,
    pub(super) reader: Box<dyn PartitionReader>,
    /// Read, but not put in yet: the schemas of its messages are still being fetched. It lies before `next`, so it is read
    /// again should the lane end.
    pub(super) held: Option<SourceBatch>,
    /// `None` while a checkpoint is in flight.
    take_over: Option<Box<TakeOver>>,
    pub(super) context: Arc<RangeContext>,
    pub(super) range: Option<OpenRange>,
    /// Next offset to read; where the next range starts when none is open.
    pub(super) next: i64,
    /// Messages have come since the take-over.
    pub(super) has_read: bool,
    /// When the last messages were put in, by the runtime's clock.
    pub(super) last_batch: Option<Duration>,
    /// Under another deployment than the last messages.
    pub(super) swapped: bool,
    range_start: i64,
    until: Option<i64>,
    goal: Goal,
    /// The open range is to end, whatever its age and size.
    due: bool,
}

impl Lane {
    pub(super) fn new(number: u64, start: LaneStart, context: Arc<RangeContext>) -> Self {
        let next = start.take_over.next;
        let mut lane = Self {
            topic_partition: context.topic_partition.clone(),
            number,
            reader: start.reader,
            held: None,
            take_over: Some(start.take_over),
            context,
            range: None,
            next,
            has_read: false,
            last_batch: None,
            swapped: false,
            range_start: next,
            until: start.until,
            goal: Goal::KeepOn,
            due: false,
        };
        lane.reached(next);
        lane
    }

    /// The open range, opened now if there is none.
    pub(super) fn open(&mut self, now: Duration) -> &mut OpenRange {
        let (context, start) = (&self.context, self.range_start);
        self.range.get_or_insert_with(|| OpenRange::new(context, start, now))
    }

    /// Everything before `next` was put in or does not exist.
    pub(super) fn reached(&mut self, next: i64) {
        self.next = self.next.max(next);
        if let Some(range) = &mut self.range {
            range.next = self.next;
        }
        if self.goal == Goal::KeepOn && self.until.is_some_and(|until| self.next >= until) {
            self.goal = Goal::CatchUp;
        }
    }

    /// The source has no more.
    pub(super) fn exhausted(&mut self) {
        if self.goal == Goal::KeepOn {
            self.goal = Goal::CatchUp;
        }
    }

    /// What is to be read next is gone from the source.
    pub(super) fn expired(&mut self) {
        if self.goal == Goal::KeepOn {
            self.goal = Goal::GoOnAfterLoss;
        }
    }

    /// No more is read; what is open will be committed.
    pub(super) fn finish(&mut self) {
        self.goal = Goal::Finish;
    }

    /// The open range ends as soon as the last one is committed.
    pub(super) fn end_range(&mut self) {
        self.due = self.range.is_some();
    }

    /// Moves towards `deployment`, which is not the lane's: at once when no range is open; else the open range ends, but not
    /// before the last one is committed, so that reading never waits for storage.
    pub(super) fn swap(&mut self, deployment: &DeploymentRecord, options: &PartFileOptions) {
        if self.range.is_none() {
            let context = RangeContext {
                deployment: deployment.clone(),
                options: options.clone(),
                ..RangeContext::clone(&self.context)
            };
            self.context = Arc::new(context);
            self.swapped = true;
        } else if self.take_over.is_some() {
            self.end_range();
        }
    }

    /// Whether more may be read now.
    pub(super) fn wants_messages(&self) -> bool {
        self.goal == Goal::KeepOn && !self.due
    }

    /// Whether a checkpoint can start now.
    pub(super) fn can_checkpoint(&self) -> bool {
        (self.due || self.goal != Goal::KeepOn) && self.range.is_some() && self.take_over.is_some()
    }

    /// How the lane ended, if nothing is open and nothing in flight any more.
    pub(super) fn ended(&self) -> Option<LaneEnd> {
        if self.range.is_some() || self.take_over.is_none() {
            return None;
        }
        match self.goal {
            Goal::KeepOn => None,
            Goal::Finish => Some(LaneEnd::Finished),
            Goal::CatchUp => Some(LaneEnd::CaughtUp),
            Goal::GoOnAfterLoss => Some(LaneEnd::Expired { position: self.next }),
        }
    }

    /// Ends the open range and starts its checkpoint: stage, commit, publish, in the background.
    ///
    /// Most of what is encoded is encoded when files end, so that is no work for the worker: it reads on at once.
    pub(super) fn checkpoint(&mut self, runtime: &dyn Runtime, done: Sender<Completion>, wake: Wake) -> Result<()> {
        let (Some(mut range), Some(mut take_over)) = (self.range.take(), self.take_over.take()) else { return Ok(()) };
        self.due = false;
        let start = std::mem::replace(&mut self.range_start, range.next);
        let (topic_partition, lane) = (self.topic_partition.clone(), self.number);
        let (deployment, table) = (self.context.deployment.number, self.context.table.clone());
        let mut committed = Committed { start, next: range.next, deployment, rows: range.rows, ..Committed::default() };
        committed.steps.began = runtime.elapsed();
        committed.causes.clone_from(&range.causes);
        let discard_only_lost = self.context.staging.protocol.discard_only_lost;
        range.end();
        let (close, closing) = oneshot::channel();
        let closed = runtime.compute(Box::new(move || drop(close.send(range.close()))));
        // Asked after the last message of the range was read, answered while its files are closed.
        let identity = self.reader.identity();
        runtime.spawn(Box::pin(async move {
            let staged = async {
                closed.await;
                let panicked = |_| Err(Error::fatal("ending a file panicked; this is a bug in wasmill"));
                let closing = closing.await.unwrap_or_else(panicked).map_err(LaneEnd::Failed)?;
                let (rows, storages) = (closing.rows(), closing.storages());
                let staged = closing.staged().await.map_err(|error| LaneEnd::Chain(ChainError::Storage(error)))?;
                Ok((staged, rows, storages))
            };
            let outcome = match futures::join!(staged, unchanged(identity, take_over.chain())) {
                (Err(end), _) => Err(end),
                (_, Err(error)) => Err(LaneEnd::Chain(ChainError::Source(error))),
                (Ok((staged, rows, storages)), Ok(())) => {
                    committed.steps.staged = take_over.chain().runtime.elapsed();
                    committed.rows = rows;
                    committed.files = staged.files.len() as u64;
                    committed.bytes = staged.files.iter().map(|file| file.bytes).sum();
                    committed.hive_partitions = hive_path::of_files(&table, &staged.files);
                    let outcome = take_over.commit(staged.clone()).await;
                    committed.steps.committed = take_over.committed_at;
                    committed.steps.published = take_over.chain().runtime.elapsed();
                    // A lost range can be named by no record that counts. After anything unclear it may be: hands off.
                    let lost = matches!(outcome, Err(ChainError::Lost(_)));
                    if lost || (outcome.is_err() && !discard_only_lost) {
                        discard(&staged, &storages).await;
                    }
                    outcome.map_err(LaneEnd::Chain)
                }
            };
            let outcome = outcome.map(|()| (take_over, committed));
            // The worker is gone only when the process ends.
            let _ = done.send(Completion { topic_partition, lane, outcome });
            wake();
        }));
        Ok(())
    }

    /// The checkpoint in flight succeeded.
    pub(super) fn committed(&mut self, take_over: Box<TakeOver>) {
        self.take_over = Some(take_over);
    }
}

/// A range may be committed only if all of it was read from the topic that the chain belongs to.
async fn unchanged(identity: Option<BoxFuture<'static, Result<Option<String>>>>, chain: &Chain) -> Result<()> {
    let Some(identity) = identity else { return Ok(()) };
    identity.await?.map_or(Ok(()), |now| chain.check_identity(&now))
}

//! A worker: some topic partitions, one thread, no waiting for storage.
//!
//! [`Worker::step`] does a little of everything that can be done now and says whether there was anything. Who calls it,
//! how often, and where it waits in between is not known here: a thread in production, the simulation in its tests.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::lane::{Committed, Completion, Lane, LaneEnd, LaneStart};
use super::pauses::Pauses;
use super::stages::Stages;
use crate::checkpoint::DeploymentRecord;
use crate::error::{Error, Result};
use crate::report::Progress;
use crate::runtime::Runtime;
use crate::sink::part_file::PartFileOptions;
use crate::sink::range::RangeContext;
use crate::sink::stage::Memory;
use crate::source::{Read, SourceBatch, TopicPartition, Wake};

/// For how long a swap may wait until storage has less to do.
const SWAP_PATIENCE: Duration = Duration::from_secs(5);

/// How much room is made at once, or half of what a range holds where that is less. Whoever makes room reads nothing for
/// that long: some 20 ms.
const ROOM_BYTES: usize = 4 << 20;

/// When ranges end, and how much is read at once.
#[derive(Debug, Clone)]
pub struct WorkerLimits {
    /// A range ends at this age.
    pub interval: Duration,
    /// A range ends when one of its files reaches this size, in bytes.
    pub target_file_size: u64,
    /// The oldest range ends when the worker has more files open.
    pub open_files: usize,
    /// Who holds fewer bytes than this leaves it to the other workers to make room.
    pub memory_share: usize,
    /// Messages of one batch.
    pub batch_rows: usize,
}

/// What a worker is told.
pub enum Command {
    /// Work on this topic partition.
    Start(TopicPartition, LaneStart, Arc<RangeContext>),
    /// Commit what is open, then end.
    Finish(TopicPartition),
    /// Drop what is open, and end.
    Drop(TopicPartition),
    /// Ranges may be made by these from now on.
    Prepare(Box<WorkerDeployment>),
    /// Which deployment makes the ranges that begin from now on. All were prepared before.
    Target(Arc<Targets>),
}

/// Which deployment makes the ranges of which topic partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The number of the one that runs everywhere but on a canary's topic partitions.
    pub deployment: u64,
    /// The number of the one on trial, and where.
    pub canary: Option<(u64, BTreeSet<TopicPartition>)>,
}

impl Targets {
    /// One deployment everywhere.
    pub fn everywhere(deployment: u64) -> Self {
        Self { deployment, canary: None }
    }

    fn of(&self, topic_partition: &TopicPartition) -> u64 {
        match &self.canary {
            Some((number, topic_partitions)) if topic_partitions.contains(topic_partition) => *number,
            _ => self.deployment,
        }
    }

    fn name(&self, number: u64) -> bool {
        self.deployment == number || self.canary.as_ref().is_some_and(|(canary, _)| *canary == number)
    }
}

/// A deployment, as one worker runs it.
pub struct WorkerDeployment {
    /// What records say of it.
    pub record: DeploymentRecord,
    /// How its files are encoded.
    pub options: PartFileOptions,
    /// Instances of this worker's own.
    pub stages: Stages,
}

/// What a worker reports.
#[derive(Debug)]
pub enum Notice {
    /// A range is committed and published.
    Committed(TopicPartition, Committed),
    /// The lane is gone, and its reader with it.
    Ended(TopicPartition, LaneEnd),
}

/// Some topic partitions and the stages that their events pass.
pub struct Worker {
    runtime: Arc<dyn Runtime>,
    limits: WorkerLimits,
    /// What ranges that begin now, or are still open, are made by.
    deployments: Vec<WorkerDeployment>,
    targets: Arc<Targets>,
    memory: Arc<Memory>,
    progress: Arc<Progress>,
    commands: Receiver<Command>,
    notices: Sender<Notice>,
    completions: Receiver<Completion>,
    completed: Sender<Completion>,
    wake: Wake,
    lanes: VecDeque<Lane>,
    started: u64,
    open_files: usize,
    pauses: Pauses,
    /// When the targets changed last, by the runtime's clock.
    retargeted: Duration,
}

impl Worker {
    /// A worker without topic partitions. `wake` makes whoever calls [`Worker::step`] call it again soon.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        limits: WorkerLimits,
        deployment: WorkerDeployment,
        memory: Arc<Memory>,
        progress: Arc<Progress>,
        (commands, notices): (Receiver<Command>, Sender<Notice>),
        wake: Wake,
    ) -> Self {
        let (completed, completions) = channel();
        Self {
            runtime,
            limits,
            targets: Arc::new(Targets::everywhere(deployment.record.number)),
            deployments: vec![deployment],
            memory,
            progress,
            commands,
            notices,
            completions,
            completed,
            wake,
            lanes: VecDeque::new(),
            started: 0,
            open_files: 0,
            pauses: Pauses::default(),
            retargeted: Duration::ZERO,
        }
    }

    /// Does what can be done now. `false`: nothing could.
    pub fn step(&mut self) -> bool {
        let mut busy = false;
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
            busy = true;
        }
        while let Ok(completion) = self.completions.try_recv() {
            self.complete(completion);
            busy = true;
        }
        // Each lane gets one batch in its turn, so that none starves.
        for _ in 0..self.lanes.len() {
            let Some(mut lane) = self.lanes.pop_front() else { break };
            match self.advance(&mut lane) {
                Ok(advanced) => busy |= advanced,
                Err(error) => {
                    self.end(lane, LaneEnd::Failed(error));
                    busy = true;
                    continue;
                }
            }
            match lane.ended() {
                Some(end) => {
                    self.end(lane, end);
                    busy = true;
                }
                None => self.lanes.push_back(lane),
            }
        }
        self.relieve_memory();
        busy
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start(_, start, context) => {
                self.started += 1;
                self.lanes.push_back(Lane::new(self.started, start, context));
            }
            Command::Finish(topic_partition) => match self.lane(&topic_partition) {
                Some(lane) => lane.finish(),
                None => self.notify(Notice::Ended(topic_partition, LaneEnd::Finished)),
            },
            Command::Drop(topic_partition) => {
                self.lanes.retain(|lane| lane.topic_partition != topic_partition);
                self.count_open_files();
                self.notify(Notice::Ended(topic_partition, LaneEnd::Dropped));
            }
            Command::Prepare(deployment) => {
                self.deployments.retain(|known| known.record.number != deployment.record.number);
                self.deployments.push(*deployment);
            }
            Command::Target(targets) => {
                self.targets = targets;
                self.pauses.begin();
                self.retargeted = self.runtime.elapsed();
            }
        }
    }

    /// Brings a lane to the deployment that is meant for it, and lets go of those that nobody has any more.
    fn swap(&mut self, lane: &mut Lane) {
        let (now, target) = (lane.context.deployment.number, self.targets.of(&lane.topic_partition));
        if now == target {
            return;
        }
        // All lanes want to end their ranges now. One after the other, or what waits for storage stops reading.
        let may_wait = self.runtime.elapsed().saturating_sub(self.retargeted) < SWAP_PATIENCE;
        if lane.range.is_some() && may_wait && self.memory.is_storage_busy() {
            return;
        }
        let Some(deployment) = self.deployments.iter().find(|known| known.record.number == target) else { return };
        lane.swap(&deployment.record, &deployment.options);
        // This lane is not in the list while it is stepped.
        let is_used = |number| self.lanes.iter().chain([&*lane]).any(|lane| lane.context.deployment.number == number);
        let targets = &self.targets;
        self.deployments.retain(|known| targets.name(known.record.number) || is_used(known.record.number));
    }

    /// The stages that make the rows of a lane's ranges.
    fn stages(&mut self, lane: &Lane) -> Result<&mut Stages> {
        let number = lane.context.deployment.number;
        let found = self.deployments.iter_mut().find(|known| known.record.number == number);
        let missing = || Error::fatal(format!("deployment {number} is not prepared; this is a bug in wasmill"));
        found.map(|known| &mut known.stages).ok_or_else(missing)
    }

    fn lane(&mut self, topic_partition: &TopicPartition) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.topic_partition == *topic_partition)
    }

    fn complete(&mut self, completion: Completion) {
        let ours = |lane: &Lane| lane.topic_partition == completion.topic_partition && lane.number == completion.lane;
        let Some(index) = self.lanes.iter().position(ours) else {
            // The lane was dropped meanwhile; what was committed is committed all the same.
            if let Ok((_, committed)) = completion.outcome {
                self.notify(Notice::Committed(completion.topic_partition, committed));
            }
            return;
        };
        match completion.outcome {
            Ok((take_over, committed)) => {
                self.lanes[index].committed(take_over);
                self.progress.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.notify(Notice::Committed(completion.topic_partition, committed));
            }
            Err(error) => {
                if let Some(lane) = self.lanes.remove(index) {
                    self.end(lane, error);
                }
            }
        }
    }

    fn end(&mut self, lane: Lane, end: LaneEnd) {
        let topic_partition = lane.topic_partition.clone();
        drop(lane);
        self.count_open_files();
        self.notify(Notice::Ended(topic_partition, end));
    }

    fn notify(&self, notice: Notice) {
        // Nobody listens any more only when the process ends.
        let _ = self.notices.send(notice);
    }

    /// Reads and processes at most one batch of a lane, and starts its checkpoint when it is time.
    fn advance(&mut self, lane: &mut Lane) -> Result<bool> {
        let mut busy = false;
        self.swap(lane);
        if lane.wants_messages() && !self.memory.is_storage_behind() {
            self.pauses.asked(self.runtime.as_ref());
            let read = match lane.held.take() {
                Some(batch) => Read::Batch(batch),
                None => lane.reader.read(self.limits.batch_rows)?,
            };
            busy = match read {
                Read::Batch(batch) => self.process(lane, batch)?,
                Read::Empty => false,
                Read::End { next } => {
                    lane.reached(next);
                    true
                }
                Read::Expired { .. } => {
                    lane.expired();
                    true
                }
                Read::Finished { next } => {
                    lane.reached(next);
                    lane.exhausted();
                    true
                }
            };
        }
        self.end_range_when_due(lane);
        if lane.can_checkpoint() {
            if !lane.context.staging.protocol.acknowledge_after_publish {
                let early = Committed { next: lane.next, ..Committed::default() };
                self.notify(Notice::Committed(lane.topic_partition.clone(), early));
            }
            lane.checkpoint(self.runtime.as_ref(), self.completed.clone(), Arc::clone(&self.wake))?;
            self.count_open_files();
            busy = true;
        }
        Ok(busy)
    }

    /// `false`: the lane holds the batch until its schemas are known.
    fn process(&mut self, lane: &mut Lane, batch: SourceBatch) -> Result<bool> {
        // What was put in already is not put in again, should a source deliver it twice.
        let protocol = lane.context.staging.protocol;
        let first = if protocol.skip_redelivered { lane.next } else { 0 };
        let Some(batch) = batch.starting_at(first) else { return Ok(true) };
        // Before a range is opened: one without messages could not be committed.
        if !self.stages(lane)?.is_ready(&batch) {
            lane.held = Some(batch);
            return Ok(false);
        }
        if !std::mem::replace(&mut lane.has_read, true) {
            tracing::info!(topic_partition = %lane.topic_partition, offset = lane.next, "first messages");
        }
        let messages = batch.messages.len() as u64;
        let next = if protocol.next_from_source { batch.next } else { lane.next + messages as i64 };
        let now = self.runtime.elapsed();
        if std::mem::take(&mut lane.swapped) {
            let deployment = lane.context.deployment.number;
            let ms = |duration: Duration| duration.as_millis() as u64;
            let Pauses { longest, longest_before, .. } = &self.pauses;
            let (pause_ms, before_ms) = (ms(longest.own), ms(longest_before.own));
            let (pause_wall_ms, before_wall_ms) = (ms(longest.wall), ms(longest_before.wall));
            let unread_ms = lane.last_batch.map(|last| ms(now.saturating_sub(last)));
            let topic_partition = &lane.topic_partition;
            tracing::info!(
                %topic_partition, offset = lane.next, deployment, pause_ms, pause_wall_ms, before_ms, before_wall_ms,
                unread_ms, "swapped"
            );
        }
        let open_before = lane.range.as_ref().map_or(0, |range| range.open_files());
        let now_ms = self.runtime.now_ms();
        // Opened before the stages are borrowed.
        let before = lane.open(now).rows;
        let stages = self.stages(lane)?;
        let range = lane.open(now);
        stages.process(&batch, range, now_ms)?;
        range.rows.messages += messages;
        let after = range.rows;
        self.open_files += range.open_files() - open_before;
        lane.last_batch = Some(self.runtime.elapsed());
        lane.reached(next);
        let progress = &self.progress;
        progress.read.fetch_add(messages, Ordering::Relaxed);
        progress.written.fetch_add(after.written - before.written, Ordering::Relaxed);
        progress.filtered.fetch_add(after.filtered - before.filtered, Ordering::Relaxed);
        progress.dead_lettered.fetch_add(after.dead_lettered - before.dead_lettered, Ordering::Relaxed);
        Ok(true)
    }

    fn end_range_when_due(&self, lane: &mut Lane) {
        let Some(range) = &lane.range else { return };
        let age = self.runtime.elapsed().saturating_sub(range.opened);
        let full = range.largest_file_bytes() >= self.limits.target_file_size;
        if age >= self.limits.interval || full || range.open_files() > self.limits.open_files {
            lane.end_range();
        }
    }

    /// Keeps the process within its budget: first row groups are ended early, largest first; what is still too much
    /// ends the range that holds most.
    fn relieve_memory(&mut self) {
        if self.open_files > self.limits.open_files
            && let Some(oldest) = self
                .lanes
                .iter_mut()
                .filter(|lane| lane.range.is_some())
                .min_by_key(|lane| lane.range.as_ref().map(|range| range.opened))
        {
            oldest.end_range();
        }
        // What waits for storage is not freed by handing it more: then reading stops instead.
        if !self.memory.is_over() || self.memory.is_storage_behind() {
            return;
        }
        let held = |lane: &Lane| lane.range.as_ref().map_or(0, |range| range.memory_bytes());
        if self.lanes.iter().map(held).sum::<usize>() < self.limits.memory_share {
            return;
        }
        let Some(largest) = self.lanes.iter_mut().max_by_key(|lane| held(lane)) else { return };
        let Some(range) = &mut largest.range else { return };
        let before = range.memory_bytes();
        match range.flush_largest(self.memory.excess().max(ROOM_BYTES).min(before.div_ceil(2))) {
            Ok(flushed) if before.saturating_sub(range.memory_bytes()) >= flushed / 2 => {}
            Ok(_) => largest.end_range(),
            Err(error) => {
                tracing::warn!(%error, "ending row groups early failed");
                largest.end_range();
            }
        }
    }

    fn count_open_files(&mut self) {
        let open = |lane: &Lane| lane.range.as_ref().map_or(0, |range| range.open_files());
        self.open_files = self.lanes.iter().map(open).sum();
    }
}

//! Which topic partitions are ours, and what becomes of each: take over, begin, hand to a worker, hand back.
//!
//! | state | what it waits for |
//! |---|---|
//! | `Queued` | a place among the take-overs that run side by side |
//! | `TakingOver` | the chain |
//! | `Ready` | the others of the assignment, so that the source begins with all of them at once |
//! | `Running` | its worker |
//! | `Ending` | its worker, which commits (or drops) what is open |
//! | `Waiting` | a pause after a failure; then the group is asked whether the topic partition is still ours |
//! | `Done` | nothing: caught up, exhausted, or stopped by an error |
//!
//! [`Membership::step`] does what can be done now. It is the only caller of the [`Source`], whose calls may block for a
//! bounded time; it never touches storage itself.

mod change;
mod failures;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

pub use self::change::Change;
use super::account::Account;
use super::lane::{LaneEnd, LaneStart};
use super::places::Places;
use super::worker::{Command, Notice};
use crate::chain::{Chain, ChainResult, TakeOver, Taken};
use crate::checkpoint::RecordKind;
use crate::error::Result;
use crate::report::Ended;
use crate::runtime::Runtime;
use crate::sink::hive_path;
use crate::source::{PartitionReader, Source, SourceEvent, TopicPartition, Wake};

/// Take-overs that run side by side: each costs a dozen calls to the storage.
const TAKE_OVERS_AT_ONCE: usize = 64;

/// How long a revoked topic partition may take to commit what is open before it is dropped.
const REVOKE_GRACE: Duration = Duration::from_secs(15);

/// How long a member that the group gives nothing waits for more before a run that only catches up ends: longer than
/// another host may take to give up what is meant for us. The others hold everything, and reach the end by themselves.
const EMPTY_HANDED: Duration = Duration::from_secs(20);

/// A worker as the membership sees it.
pub struct WorkerHandle {
    /// Where it takes commands.
    pub commands: Sender<Command>,
    /// Makes it look.
    pub wake: Wake,
}

enum State {
    Queued,
    TakingOver,
    Ready(Box<TakeOver>),
    Running {
        worker: usize,
    },
    /// `again`: only the pipeline is paused, so it waits to be taken over once more.
    Ending {
        worker: usize,
        drop_at: Duration,
        again: bool,
    },
    Waiting {
        until: Duration,
    },
    Done,
}

struct Member {
    state: State,
    chain: Arc<Chain>,
    /// Tells the take-over that runs from earlier ones.
    attempt: u64,
    first: Option<i64>,
    /// The messages before this offset have expired: a gap is recorded before reading goes on.
    gap_until: Option<i64>,
    until: Option<i64>,
    next: i64,
    /// The deployment of the last range that was committed here.
    deployment: Option<u64>,
    /// When that was.
    committed_at_ms: Option<i64>,
    failures: u32,
    /// Given up by the group: released as soon as its lane is gone.
    revoked: bool,
}

type TakenOver = (TopicPartition, u64, ChainResult<Taken>);

async fn take_over(chain: &Arc<Chain>, first: Option<i64>, gap_until: Option<i64>) -> ChainResult<Taken> {
    let mut taken = chain.take_over(first).await?;
    if let (Taken::Over(take_over), Some(until)) = (&mut taken, gap_until)
        && take_over.next < until
    {
        let (topic_partition, position) = (&chain.topic_partition, take_over.next);
        take_over.note(RecordKind::Gap, until, None).await?;
        let lost = until - position;
        tracing::error!(%topic_partition, position, first = until, lost, "messages expired before they were read; recorded as a gap");
    }
    Ok(taken)
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Busy,
    /// There was nothing to do.
    Idle,
    /// The run is over.
    Ended(Ended),
}

/// Our share of the topic partitions.
pub struct Membership {
    source: Box<dyn Source>,
    places: Places,
    runtime: Arc<dyn Runtime>,
    workers: Vec<WorkerHandle>,
    notices: Receiver<Notice>,
    taken: Receiver<TakenOver>,
    took: Sender<TakenOver>,
    members: BTreeMap<TopicPartition, Member>,
    events: VecDeque<SourceEvent>,
    /// To be released once their lanes are gone.
    revoked: Vec<TopicPartition>,
    changes: Receiver<Change>,
    /// Nothing is read until the pipeline is resumed.
    paused: bool,
    attempts: u64,
    until_caught_up: bool,
    stopping: bool,
    /// The group has told us our share, which may be nothing, and has not thrown us out since.
    assigned: bool,
    /// Since when our share is nothing.
    empty_since: Option<Duration>,
    /// What the run has done so far.
    pub account: Account,
}

impl Membership {
    /// A membership without topic partitions.
    pub fn new(
        source: Box<dyn Source>,
        places: Places,
        runtime: Arc<dyn Runtime>,
        workers: Vec<WorkerHandle>,
        notices: Receiver<Notice>,
        changes: Receiver<Change>,
        until_caught_up: bool,
    ) -> Self {
        let (took, taken) = channel();
        Self {
            source,
            places,
            runtime,
            workers,
            notices,
            taken,
            took,
            members: BTreeMap::new(),
            events: VecDeque::new(),
            revoked: Vec::new(),
            changes,
            paused: false,
            attempts: 0,
            until_caught_up,
            stopping: false,
            assigned: false,
            empty_since: None,
            account: Account::default(),
        }
    }

    /// Begins to end the run: everything open is committed, nothing new is begun.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let all: Vec<_> = self.members.keys().cloned().collect();
        for topic_partition in all {
            self.finish(&topic_partition, false);
        }
    }

    /// Does what can be done now, waiting at most `wait` for the source.
    pub fn step(&mut self, wait: Duration) -> Result<Step> {
        let mut busy = false;
        while let Ok(notice) = self.notices.try_recv() {
            self.note(notice)?;
            busy = true;
        }
        while let Ok((topic_partition, attempt, outcome)) = self.taken.try_recv() {
            self.taken_over(&topic_partition, attempt, outcome)?;
            busy = true;
        }
        while let Ok(change) = self.changes.try_recv() {
            self.change(change);
            busy = true;
        }
        busy |= self.launch() | self.retry() | self.drop_overdue() | self.begin()?;
        if let Some(event) = self.source.poll(if busy { Duration::ZERO } else { wait })? {
            self.events.push_back(event);
        }
        busy |= self.source_events()? | self.release()?;
        Ok(match self.ended() {
            Some(ended) => Step::Ended(ended),
            None if busy => Step::Busy,
            None => Step::Idle,
        })
    }

    /// Messages between our positions and the ends, where the source knows them.
    pub fn lag(&self) -> Option<i64> {
        self.members.keys().map(|topic_partition| self.source.lag(topic_partition)).sum()
    }

    /// Topic partitions that are ours now.
    pub fn topic_partitions(&self) -> usize {
        self.members.len()
    }

    fn ended(&mut self) -> Option<Ended> {
        let all_done = self.members.values().all(|member| matches!(member.state, State::Done));
        if self.stopping {
            return all_done.then_some(Ended::Stopped);
        }
        let empty_handed = self.until_caught_up && self.is_empty_handed();
        let over = empty_handed || (self.assigned && !self.members.is_empty() && all_done);
        over.then_some(if self.until_caught_up { Ended::CaughtUp } else { Ended::Finished })
    }

    /// Whether the group has given us nothing for a while, although we belong to it.
    fn is_empty_handed(&mut self) -> bool {
        if !self.assigned || !self.members.is_empty() {
            self.empty_since = None;
            return false;
        }
        let now = self.runtime.elapsed();
        now.saturating_sub(*self.empty_since.get_or_insert(now)) >= EMPTY_HANDED
    }

    /// What is assigned waits until all that was revoked is given back: it may be the same topic partition.
    fn source_events(&mut self) -> Result<bool> {
        let mut busy = false;
        while let Some(event) = self.events.pop_front() {
            if !self.revoked.is_empty() && matches!(event, SourceEvent::Assigned(_)) {
                self.events.push_front(event);
                break;
            }
            self.source_event(event)?;
            busy = true;
        }
        Ok(busy)
    }

    fn source_event(&mut self, event: SourceEvent) -> Result<()> {
        match event {
            SourceEvent::Assigned(topic_partitions) => self.assigned(topic_partitions),
            SourceEvent::Revoked(topic_partitions) => {
                tracing::info!(count = topic_partitions.len(), "topic partitions revoked");
                for topic_partition in topic_partitions {
                    self.finish(&topic_partition, false);
                    self.revoke(topic_partition);
                }
                Ok(())
            }
            SourceEvent::Lost(topic_partitions) => {
                tracing::warn!(count = topic_partitions.len(), "topic partitions lost: the session expired");
                self.assigned = false;
                for topic_partition in topic_partitions {
                    self.drop_lane(&topic_partition);
                    self.revoke(topic_partition);
                }
                Ok(())
            }
        }
    }

    fn revoke(&mut self, topic_partition: TopicPartition) {
        if let Some(member) = self.members.get_mut(&topic_partition) {
            member.revoked = true;
        }
        self.revoked.push(topic_partition);
    }

    fn assigned(&mut self, topic_partitions: Vec<TopicPartition>) -> Result<()> {
        tracing::info!(count = topic_partitions.len(), "topic partitions assigned");
        self.assigned = true;
        if topic_partitions.is_empty() {
            // The source must hear of it all the same: the group waits for an answer.
            self.source.begin(&[], &[])?;
            return Ok(());
        }
        let ends = if self.until_caught_up {
            self.source.ends(&topic_partitions)?
        } else {
            vec![None; topic_partitions.len()]
        };
        for (topic_partition, until) in topic_partitions.into_iter().zip(ends) {
            let identity = self.source.identity(&topic_partition)?;
            let chain = self.places.chain(&topic_partition, identity);
            let state = if self.stopping { State::Done } else { State::Queued };
            let member = Member {
                state,
                chain,
                attempt: 0,
                first: None,
                gap_until: None,
                until,
                next: 0,
                deployment: None,
                committed_at_ms: None,
                failures: 0,
                revoked: false,
            };
            self.members.insert(topic_partition, member);
            self.account.owned();
        }
        Ok(())
    }

    /// Starts queued take-overs, as many as there are places.
    fn launch(&mut self) -> bool {
        if self.paused {
            return false;
        }
        let running = self.members.values().filter(|member| matches!(member.state, State::TakingOver)).count();
        let mut places = TAKE_OVERS_AT_ONCE.saturating_sub(running);
        let mut busy = false;
        for (topic_partition, member) in &mut self.members {
            if places == 0 {
                break;
            }
            if !matches!(member.state, State::Queued) {
                continue;
            }
            places -= 1;
            busy = true;
            self.attempts += 1;
            member.attempt = self.attempts;
            member.state = State::TakingOver;
            let (chain, first, took) = (Arc::clone(&member.chain), member.first, self.took.clone());
            let (topic_partition, attempt, gap) = (topic_partition.clone(), member.attempt, member.gap_until);
            self.runtime.spawn(Box::pin(async move {
                let mut outcome = take_over(&chain, first, gap).await;
                let housekeeping = match &mut outcome {
                    Ok(Taken::Over(take_over)) => Some(take_over.housekeeping()),
                    _ => None,
                };
                let _ = took.send((topic_partition, attempt, outcome));
                // A start does not wait for it, however much there is to do.
                if let Some(housekeeping) = housekeeping {
                    housekeeping.await;
                }
            }));
        }
        busy
    }

    fn taken_over(
        &mut self,
        topic_partition: &TopicPartition,
        attempt: u64,
        outcome: ChainResult<Taken>,
    ) -> Result<()> {
        let current = |member: &Member| member.attempt == attempt && matches!(member.state, State::TakingOver);
        if !self.members.get(topic_partition).is_some_and(current) {
            return Ok(());
        }
        match outcome {
            Ok(Taken::Over(take_over)) => self.set(topic_partition, State::Ready(take_over)),
            Ok(Taken::NeedsFirstPosition) => match self.source.first_positions(std::slice::from_ref(topic_partition)) {
                Ok(first) => {
                    if let Some(member) = self.members.get_mut(topic_partition) {
                        member.first = first.first().copied();
                        member.state = State::Queued;
                    }
                }
                Err(error) => self.failed(topic_partition, error),
            },
            Err(error) => self.chain_failed(topic_partition, error),
        }
        Ok(())
    }

    /// Begins to read all that are ready, once no take-over runs any more.
    fn begin(&mut self) -> Result<bool> {
        let pending = |member: &Member| matches!(member.state, State::Queued | State::TakingOver);
        let ready = |member: &Member| matches!(member.state, State::Ready(_));
        if self.paused || self.members.values().any(pending) || !self.members.values().any(ready) {
            return Ok(false);
        }
        let mut from = Vec::new();
        let mut take_overs = Vec::new();
        for (topic_partition, member) in &mut self.members {
            if !matches!(member.state, State::Ready(_)) {
                continue;
            }
            let State::Ready(take_over) = std::mem::replace(&mut member.state, State::Done) else { continue };
            member.next = take_over.next;
            from.push((topic_partition.clone(), take_over.next));
            take_overs.push((topic_partition.clone(), take_over));
        }
        let workers: Vec<usize> = self.place(&from);
        let wakes: Vec<Wake> = workers.iter().map(|worker| Arc::clone(&self.workers[*worker].wake)).collect();
        let readers = self.source.begin(&from, &wakes)?;
        for (((topic_partition, take_over), reader), worker) in take_overs.into_iter().zip(readers).zip(workers) {
            self.start(topic_partition, take_over, reader, worker);
        }
        Ok(true)
    }

    /// The worker of each: the one with the fewest topic partitions.
    fn place(&self, from: &[(TopicPartition, i64)]) -> Vec<usize> {
        let mut loads = vec![0_usize; self.workers.len()];
        for member in self.members.values() {
            if let State::Running { worker } | State::Ending { worker, .. } = member.state {
                loads[worker] += 1;
            }
        }
        let place = |_: &(TopicPartition, i64)| {
            let worker = (0..loads.len()).min_by_key(|worker| loads[*worker]).unwrap_or(0);
            loads[worker] += 1;
            worker
        };
        from.iter().map(place).collect()
    }

    fn start(
        &mut self,
        topic_partition: TopicPartition,
        take_over: Box<TakeOver>,
        reader: Box<dyn PartitionReader>,
        worker: usize,
    ) {
        let context = self.places.context(&take_over);
        // Whoever committed it may have died before others were told.
        self.account.news.hive_partitions.extend(hive_path::of_files(&context.table, &take_over.found_files));
        tracing::info!(%topic_partition, offset = take_over.next, fence = take_over.fence, "begins");
        let until = self.members.get(&topic_partition).and_then(|member| member.until);
        let start = LaneStart { take_over, reader, until };
        self.command(worker, Command::Start(topic_partition.clone(), start, context));
        self.set(&topic_partition, State::Running { worker });
    }

    fn command(&self, worker: usize, command: Command) {
        // A worker that is gone has panicked; the run notices when it joins the threads.
        let _ = self.workers[worker].commands.send(command);
        (self.workers[worker].wake)();
    }

    fn set(&mut self, topic_partition: &TopicPartition, state: State) {
        if let Some(member) = self.members.get_mut(topic_partition) {
            member.state = state;
        }
    }

    /// No new range; what is open is committed if there is a worker on it. `again`: it will be taken over once more.
    fn finish(&mut self, topic_partition: &TopicPartition, again: bool) {
        let drop_at = self.runtime.elapsed() + REVOKE_GRACE;
        match self.members.get(topic_partition).map(|member| &member.state) {
            Some(State::Running { worker }) => {
                let worker = *worker;
                self.command(worker, Command::Finish(topic_partition.clone()));
                self.set(topic_partition, State::Ending { worker, drop_at, again });
            }
            Some(State::Ending { .. }) | None => {}
            Some(_) => self.set(topic_partition, State::Done),
        }
    }

    fn drop_lane(&mut self, topic_partition: &TopicPartition) {
        match self.members.get(topic_partition).map(|member| &member.state) {
            Some(State::Running { worker } | State::Ending { worker, .. }) => {
                let worker = *worker;
                self.command(worker, Command::Drop(topic_partition.clone()));
                self.set(topic_partition, State::Ending { worker, drop_at: Duration::MAX, again: false });
            }
            Some(_) => self.set(topic_partition, State::Done),
            None => {}
        }
    }

    /// A revoked topic partition must not hold the group up for ever.
    fn drop_overdue(&mut self) -> bool {
        let now = self.runtime.elapsed();
        let overdue =
            |member: &Member| member.revoked && matches!(member.state, State::Ending { drop_at, .. } if drop_at <= now);
        let late: Vec<_> =
            self.members.iter().filter(|(_, member)| overdue(member)).map(|(tp, _)| tp.clone()).collect();
        for topic_partition in &late {
            tracing::warn!(%topic_partition, "did not finish in time after it was revoked; its open range is dropped");
            self.drop_lane(topic_partition);
        }
        !late.is_empty()
    }

    /// Gives what was revoked back as soon as all of its lanes are gone.
    fn release(&mut self) -> Result<bool> {
        let here = |tp: &TopicPartition| self.members.get(tp).is_some_and(|m| !matches!(m.state, State::Done));
        if self.revoked.is_empty() || self.revoked.iter().any(here) {
            return Ok(false);
        }
        let revoked = std::mem::take(&mut self.revoked);
        for topic_partition in &revoked {
            self.members.remove(topic_partition);
        }
        self.source.release(&revoked)?;
        Ok(true)
    }

    fn note(&mut self, notice: Notice) -> Result<()> {
        match notice {
            Notice::Committed(topic_partition, committed) => {
                if let Some(member) = self.members.get_mut(&topic_partition) {
                    member.next = committed.next;
                    member.deployment = Some(committed.deployment);
                    member.committed_at_ms = Some(self.runtime.now_ms());
                    member.failures = 0;
                    if !member.revoked {
                        self.source.acknowledge(&[(topic_partition.clone(), committed.next)])?;
                    }
                }
                self.account.committed(topic_partition, committed);
            }
            Notice::Ended(topic_partition, end) => self.lane_ended(&topic_partition, end),
        }
        Ok(())
    }

    fn lane_ended(&mut self, topic_partition: &TopicPartition, end: LaneEnd) {
        let ending = self.members.get(topic_partition).is_some_and(|m| matches!(m.state, State::Ending { .. }));
        let again = |m: &Member| !m.revoked && matches!(m.state, State::Ending { again: true, .. });
        if !self.stopping && self.members.get(topic_partition).is_some_and(again) && !matches!(end, LaneEnd::CaughtUp) {
            self.set(topic_partition, State::Queued);
            return;
        }
        match end {
            LaneEnd::Finished | LaneEnd::Dropped | LaneEnd::CaughtUp => self.set(topic_partition, State::Done),
            LaneEnd::Chain(error) if ending => {
                tracing::warn!(%topic_partition, ?error, "its last range was not committed and will be read again");
                self.set(topic_partition, State::Done);
            }
            LaneEnd::Expired { .. } if ending => self.set(topic_partition, State::Done),
            LaneEnd::Expired { position } => match self.after_loss(topic_partition, position) {
                Ok(first) => {
                    tracing::warn!(%topic_partition, position, first, "what was to be read next has expired; a gap is to be recorded");
                    if let Some(member) = self.members.get_mut(topic_partition) {
                        member.gap_until = Some(first);
                        member.state = State::Queued;
                    }
                }
                Err(error) => self.failed(topic_partition, error),
            },
            LaneEnd::Chain(error) => self.chain_failed(topic_partition, error),
            LaneEnd::Failed(error) => self.failed(topic_partition, error),
        }
    }
}

//! One take-over: the steps of `chain/` and `sink/publish.rs`, one operation of the storage each.
//!
//! There is no step for a crash: a crashed process is one that never takes its next step, and every run that stops short
//! is part of the search. What it had asked for may have been applied or not: that is whether the step was taken. For
//! the same reason a zombie is a take-over whose next step comes late.

use std::hash::{Hash, Hasher};

use crate::folding::Folding;
use crate::parameters::Parameters;
use crate::store::{Held, NONE, Op, Store, is_fence, members, record_id, take_over_of, violation};

/// The next operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Step {
    #[default]
    NotStarted,
    // Chain::take_over
    List,
    Read,
    ListAgain,
    // create::create
    SweepBeforeFence,
    ListForNumber,
    CreateTemporary,
    CloseTemporary,
    RenameRecord,
    WhoIsThere,
    DropTemporary,
    CancelDelete,
    CancelStat,
    CancelLook,
    Confirm,
    DeleteVoid,
    // sweep::sweep
    SweepTemporaries,
    SweepStaging,
    // prune::prune, where it is waited for
    Fold,
    // Chain::publish
    FirstTarget,
    LookStaged,
    LookTarget,
    Rename,
    DeleteStaged,
    ListMissing,
    Mark,
    // the lane
    Ready,
    Discard,
    // the ends
    Done,
    Lost,
    Failed,
    Stopped,
}

/// How an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// Applied (or refused), and answered so.
    Clean,
    /// No answer: it is applied at once, later, or never.
    Unclear,
    /// Applied, but the client sent it again by itself, and the answer is the refusal of the second.
    Echo,
    /// Applied and answered, but the client had sent it before as well, and that one is still on its way.
    Duplicate,
    /// After nobody was found under the record's name: the process does not ask again.
    GiveUp,
    /// The storage says that it took all, and keeps less.
    Short,
}

/// Why files are being published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Why {
    #[default]
    Nothing,
    /// What the newest record left, before it is fenced.
    Recovery,
    /// The same after the fence (a rule removed).
    LateRecovery,
    /// Before the commit (a rule removed).
    TooEarly,
    /// A record of our own.
    Commit,
}

/// Where a take-over stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TakeOver {
    pub(crate) step: Step,
    pub(crate) why: Why,
    /// The record that is read, created or published.
    pub(crate) record: u8,
    /// The newest number when it was listed.
    listed: u8,
    /// Marks that the first listing showed.
    pub(crate) marks: u16,
    /// Records (numbers) and temporary files (names) in the listing that confirmed the last record.
    pub(crate) sequences: u16,
    pub(crate) temporaries: u16,
    /// What is being folded, perhaps beside the rest.
    pub(crate) folding: Folding,
    /// The file that is being published, and whether the first of two looks found it.
    pub(crate) file: u8,
    pub(crate) seen: bool,
    /// Whether the fence counts and ranges may be staged.
    pub(crate) running: bool,
    /// Number and id of the last record.
    sequence: u8,
    pub(crate) newest: u8,
    /// Place of the record under way, or of the last one, among our own.
    pub(crate) made: u8,
    /// Where the next range starts.
    pub(crate) next: u8,
    /// Ranges that are staged, where the next one starts, and whether it is half written.
    staged: u8,
    staged_next: u8,
    half: bool,
}

impl Hash for TakeOver {
    fn hash<H: Hasher>(&self, state: &mut H) {
        #[rustfmt::skip]
        let Self {
            step, why, record, listed, marks, sequences, temporaries, folding, file, seen, running, sequence, newest, made,
            next, staged, staged_next, half,
        } = *self;
        let fold = folding.step as u8;
        let small =
            [step as u8, why as u8, record, listed, file, sequence, newest, made, next, staged, staged_next, fold];
        let flags = u8::from(seen) | u8::from(running) << 1 | u8::from(half) << 2;
        let small = small.iter().fold(u128::from(flags), |all, byte| all << 8 | u128::from(*byte));
        state.write_u128(small);
        let sets = [marks, sequences, temporaries, folding.records];
        state.write_u64(sets.iter().fold(0, |all, set| all << 16 | u64::from(*set)));
    }
}

/// One take-over at its next step.
pub(crate) struct Actor<'a> {
    pub(crate) parameters: &'a Parameters,
    pub(crate) store: &'a mut Store,
    pub(crate) number: usize,
    pub(crate) at: TakeOver,
}

/// What a changing operation answered.
#[derive(PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
    Unclear,
}

impl TakeOver {
    /// A take-over that begins.
    pub(crate) fn begin() -> Self {
        Self { step: Step::List, ..Self::default() }
    }

    /// Whether it takes no further step.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.step, Step::NotStarted | Step::Done | Step::Lost | Step::Failed | Step::Stopped)
    }

    /// Whether the next step is taken by itself, and how it may go.
    pub(crate) fn ways(&self, faults: bool, duplicates: bool) -> &'static [How] {
        let changes = match self.step {
            Step::NotStarted | Step::Ready | Step::Done | Step::Lost | Step::Failed | Step::Stopped => return &[],
            Step::WhoIsThere => return &[How::Clean, How::GiveUp],
            Step::Fold => self.folding.changes(),
            // A create that was answered is not on its way a second time: see `Parameters::duplicates`.
            Step::CreateTemporary if faults => return &[How::Clean, How::Unclear, How::Echo],
            Step::RenameRecord
            | Step::DropTemporary
            | Step::CancelDelete
            | Step::Rename
            | Step::DeleteStaged
            | Step::Mark => true,
            _ => false,
        };
        ways(changes && faults, changes && duplicates)
    }

    /// The same for the next step of folding, where it goes on beside the rest.
    pub(crate) fn ways_to_fold(&self, faults: bool, duplicates: bool) -> &'static [How] {
        let beside = self.folding.goes_on() && self.step != Step::Fold;
        let changes = self.folding.changes();
        if beside { ways(changes && faults, changes && duplicates) } else { &[] }
    }

    /// Whether a range can be staged (or closed) now.
    pub(crate) fn may_stage(&self, parameters: &Parameters) -> bool {
        let ahead = if parameters.pipelined { self.staged <= self.made } else { self.step == Step::Ready };
        self.running && !self.has_ended() && ahead && self.staged_next < parameters.offsets
    }

    pub(crate) fn is_half_staged(&self) -> bool {
        self.half
    }

    /// Offsets that are left to stage.
    pub(crate) fn left(&self, parameters: &Parameters) -> u8 {
        parameters.offsets - self.staged_next
    }
}

fn ways(faults: bool, duplicates: bool) -> &'static [How] {
    match (faults, duplicates) {
        (true, true) => &[How::Clean, How::Unclear, How::Echo, How::Duplicate],
        (true, false) => &[How::Clean, How::Unclear, How::Echo],
        (false, true) => &[How::Clean, How::Duplicate],
        (false, false) => &[How::Clean],
    }
}

impl Actor<'_> {
    /// Takes the next step.
    pub(crate) fn step(&mut self, how: How) {
        match self.at.step {
            Step::List => self.list(),
            Step::Read => self.read(),
            Step::ListAgain if self.store.newest() != Some(self.at.listed) => self.start_over(),
            Step::ListAgain => self.recover(),
            Step::FirstTarget | Step::LookStaged | Step::LookTarget => self.look(),
            Step::Rename => self.rename(how),
            Step::DeleteStaged => self.delete_staged(how),
            Step::ListMissing => self.list_missing(),
            Step::Mark => self.mark(how),
            Step::SweepBeforeFence | Step::SweepStaging | Step::SweepTemporaries => self.sweep(),
            Step::Fold => self.fold(how),
            Step::Discard => self.discard(),
            _ => self.create(how),
        }
    }

    pub(crate) fn mutate(&mut self, op: Op, how: How) -> Answer {
        match how {
            How::Unclear => {
                self.store.send(op);
                Answer::Unclear
            }
            How::Echo => {
                self.store.apply(op, self.parameters);
                Answer::Refused
            }
            How::Duplicate => {
                let done = self.store.apply(op, self.parameters);
                self.store.send(op);
                if done { Answer::Done } else { Answer::Refused }
            }
            _ if self.store.apply(op, self.parameters) => Answer::Done,
            _ => Answer::Refused,
        }
    }

    pub(crate) fn stop(&mut self, justly: bool) {
        if !justly {
            self.store.violate(violation::FALSE_STOP);
        }
        self.end(Step::Stopped);
    }

    pub(crate) fn end(&mut self, step: Step) {
        // Nothing of what an ended take-over knew matters any more; what it folds goes on.
        self.at = TakeOver { step, folding: self.at.folding, ..TakeOver::default() };
    }

    // Chain::take_over

    pub(crate) fn start_over(&mut self) {
        self.at = TakeOver::begin();
    }

    pub(crate) fn list(&mut self) {
        match self.store.newest() {
            Some(newest) => {
                self.at.listed = newest;
                self.at.marks = self.store.marks;
                self.at.step = Step::Read;
            }
            None if self.store.archive != 0 || self.store.marks != 0 => self.stop(false),
            None => self.begin_fence(0, NONE, 0),
        }
    }

    fn read(&mut self) {
        match self.store.record(self.at.listed) {
            Held::Nothing => self.start_over(),
            Held::Part => self.stop(false),
            Held::Record(id) => {
                let topic = |take_over: usize| self.store.topic(take_over);
                if self.parameters.beyond.check_topic && topic(take_over_of(id)) != topic(self.number) {
                    return self.stop(true);
                }
                self.at.record = id;
                self.at.seen = self.parameters.rules.published_mark && self.at.marks & 1 << id != 0;
                self.at.marks = 0;
                if self.parameters.rules.list_again_before_publish {
                    self.at.step = Step::ListAgain;
                } else {
                    self.recover();
                }
            }
        }
    }

    fn recover(&mut self) {
        let marked = std::mem::take(&mut self.at.seen);
        if !marked && self.parameters.rules.publish_before_fence {
            self.begin_publishing(Why::Recovery);
        } else {
            self.at.why = if marked { Why::Nothing } else { Why::LateRecovery };
            self.fence_what_was_read();
        }
    }

    pub(crate) fn fence_what_was_read(&mut self) {
        let (sequence, record) = (self.at.listed + 1, self.at.record);
        self.begin_fence(sequence, record, self.store.content(record).next);
    }

    fn begin_fence(&mut self, sequence: u8, predecessor: u8, next: u8) {
        self.at.listed = 0;
        let id = record_id(self.number, 0);
        let content = &mut self.store.contents[usize::from(id)];
        (content.sequence, content.predecessor, content.start, content.next) = (sequence, predecessor, next, next);
        self.at.record = id;
        let sweeps_first = !self.parameters.rules.sweep_after_fence;
        self.at.step = if sweeps_first { Step::SweepBeforeFence } else { Step::CreateTemporary };
    }

    // TakeOver::commit

    /// Goes on with the next range if it is staged.
    pub(crate) fn ready(&mut self) {
        self.at.step = Step::Ready;
        if self.at.staged > self.at.made {
            self.begin_commit();
        } else if self.at.next == self.parameters.offsets {
            self.end(Step::Done);
        }
    }

    fn begin_commit(&mut self) {
        // Asked after the last message of the range was read: if the topic is the same still, all of it came from there.
        if self.parameters.beyond.check_topic_again && !self.store.is_current(self.number) {
            return self.stop(true);
        }
        self.at.made += 1;
        let id = record_id(self.number, self.at.made);
        let content = &mut self.store.contents[usize::from(id)];
        (content.sequence, content.predecessor) = (self.at.sequence + 1, self.at.newest);
        let next = content.next;
        self.at.record = id;
        let rules = &self.parameters.rules;
        if !rules.acknowledge_after_publish {
            self.store.acknowledge(next, self.parameters);
        }
        if !rules.count_own_records {
            self.at.step = Step::ListForNumber;
        } else if !rules.commit_before_publish {
            self.begin_publishing(Why::TooEarly);
        } else {
            self.at.step = Step::CreateTemporary;
        }
    }

    // create::create

    fn create(&mut self, how: How) {
        let (id, rules) = (self.at.record, self.parameters.rules);
        let sequence = self.store.content(id).sequence;
        let name = if rules.unique_temporary_names { id } else { sequence };
        match self.at.step {
            Step::ListForNumber => {
                let number = self.store.newest().map_or(0, |newest| newest + 1);
                self.store.contents[usize::from(id)].sequence = number;
                self.at.step = Step::CreateTemporary;
            }
            Step::CreateTemporary => match self.mutate(Op::CreateTemporary { name, id }, how) {
                Answer::Done if rules.unique_temporary_names => {
                    // Nobody can see how far a file of a unique name was written: one step is enough.
                    self.store.apply(Op::CloseTemporary { name, id }, self.parameters);
                    self.at.step = Step::RenameRecord;
                }
                Answer::Done => self.at.step = Step::CloseTemporary,
                _ => self.fail(),
            },
            Step::CloseTemporary => {
                self.store.apply(Op::CloseTemporary { name, id }, self.parameters);
                self.at.step = Step::RenameRecord;
            }
            Step::RenameRecord => match self.mutate(Op::RenameRecord { name, sequence }, how) {
                Answer::Done => self.created(),
                _ => self.at.step = Step::WhoIsThere,
            },
            Step::WhoIsThere => match self.holder(sequence) {
                Holder::Us => self.created(),
                Holder::Another => self.at.step = Step::DropTemporary,
                Holder::Nobody if how != How::GiveUp => self.at.step = Step::RenameRecord,
                Holder::Nobody if rules.confirm_cancel => self.at.step = Step::CancelDelete,
                Holder::Nobody => self.lose(),
            },
            Step::DropTemporary => {
                self.mutate(Op::DeleteTemporary { name }, how);
                self.lose();
            }
            Step::CancelDelete => match self.mutate(Op::DeleteTemporary { name }, how) {
                Answer::Unclear => self.fail(),
                _ => self.at.step = Step::CancelStat,
            },
            Step::CancelStat if self.store.has_temporary(name) => self.fail(),
            Step::CancelStat => self.at.step = Step::CancelLook,
            Step::CancelLook => match self.holder(sequence) {
                Holder::Us => self.created(),
                _ => self.lose(),
            },
            Step::Confirm => self.confirm(sequence),
            Step::DeleteVoid => {
                self.store.apply(Op::DeleteRecord { sequence }, self.parameters);
                self.lose();
            }
            _ => unreachable!("{:?} is no step of create", self.at.step),
        }
    }

    fn holder(&self, sequence: u8) -> Holder {
        match self.store.record(sequence) {
            Held::Nothing => Holder::Nobody,
            Held::Record(id) if id == self.at.record || !self.parameters.rules.fresh_take_over_ids => Holder::Us,
            Held::Record(_) | Held::Part => Holder::Another,
        }
    }

    fn created(&mut self) {
        let rules = &self.parameters.rules;
        let confirm = if is_fence(self.at.record) { rules.list_after_fence } else { rules.list_after_commit };
        if confirm {
            self.at.step = Step::Confirm;
        } else {
            self.counts();
        }
    }

    fn confirm(&mut self, sequence: u8) {
        if self.store.newest().is_some_and(|newest| newest > sequence) {
            if self.parameters.rules.keep_void_records {
                self.lose();
            } else {
                self.at.step = Step::DeleteVoid;
            }
            return;
        }
        self.at.sequences = self.store.sequences();
        self.at.temporaries = self.store.temporaries();
        self.counts();
    }

    /// The record counts, as far as its writer knows.
    fn counts(&mut self) {
        let content = self.store.content(self.at.record);
        (self.at.sequence, self.at.newest, self.at.next) = (content.sequence, self.at.record, content.next);
        if is_fence(self.at.record) {
            self.at.staged_next = content.next;
            self.at.step = if self.at.temporaries == 0 { Step::SweepStaging } else { Step::SweepTemporaries };
        } else {
            self.begin_publishing(Why::Commit);
        }
    }

    pub(crate) fn lose(&mut self) {
        if self.at.made == 0 {
            self.end(Step::Lost);
        } else {
            self.at.step = Step::Discard;
        }
    }

    /// The storage gave no clear answer: everything is dropped, nothing is cleaned up.
    fn fail(&mut self) {
        if self.at.made > 0 && !self.parameters.rules.discard_only_lost {
            self.discard_files();
        }
        self.end(Step::Failed);
    }

    fn discard(&mut self) {
        self.discard_files();
        self.end(Step::Lost);
    }

    fn discard_files(&mut self) {
        for index in self.at.made..=self.at.staged {
            for file in 0..self.parameters.files {
                self.store.apply(Op::DeleteStaged { id: record_id(self.number, index), file }, self.parameters);
            }
        }
    }

    // sweep::sweep

    /// The deletions of one sweep are one step: the names are never used again, so one that comes late is a sweep that
    /// comes late.
    fn sweep(&mut self) {
        let unique = self.parameters.rules.unique_temporary_names;
        match self.at.step {
            Step::SweepTemporaries => {
                for name in members(std::mem::take(&mut self.at.temporaries)) {
                    if self.store.sequence_of_temporary(name, unique) <= self.fence(self.number) {
                        self.store.apply(Op::DeleteTemporary { name }, self.parameters);
                    }
                }
                self.at.step = Step::SweepStaging;
            }
            Step::SweepBeforeFence => {
                self.sweep_staging();
                self.at.step = Step::CreateTemporary;
            }
            _ => {
                self.sweep_staging();
                self.fold_after_fence();
            }
        }
    }

    /// The number of a take-over's fence: it stands in the name of its staging directory.
    fn fence(&self, take_over: usize) -> u8 {
        self.store.content(record_id(take_over, 0)).sequence
    }

    fn sweep_staging(&mut self) {
        let own = self.fence(self.number);
        for id in self.store.staged_ids().collect::<Vec<_>>() {
            let theirs = if self.parameters.rules.sweep_lower_fences_only {
                self.fence(take_over_of(id)) < own
            } else {
                take_over_of(id) != self.number
            };
            if theirs {
                for file in 0..self.parameters.files {
                    self.store.apply(Op::DeleteStaged { id, file }, self.parameters);
                }
            }
        }
    }

    // The lane: staging

    /// Stages the next range, of `length` offsets; what is half written is closed.
    pub(crate) fn stage(&mut self, length: u8, how: How) {
        let index = self.at.staged + 1;
        let id = record_id(self.number, index);
        if self.at.half {
            if how == How::Unclear {
                return self.fail();
            }
            self.store.apply(Op::CloseStaged { id }, self.parameters);
        } else {
            let content = &mut self.store.contents[usize::from(id)];
            (content.start, content.next) = (self.at.staged_next, self.at.staged_next + length);
            if !self.store.is_current(self.number) {
                self.store.foreign |= 1 << id;
            }
            match self.mutate(Op::CreateStaged { id }, how) {
                Answer::Done if self.parameters.half_written => {
                    self.at.half = true;
                    return;
                }
                Answer::Done => {
                    self.store.apply(Op::CloseStaged { id }, self.parameters);
                }
                Answer::Refused => return self.fail(),
                // The same name again, if the rule is removed; else another one: the unclear create can only leave an
                // empty file that nobody names.
                Answer::Unclear => return,
            }
        }
        if how == How::Short {
            self.store.shorten_staged(id);
        }
        self.at.half = false;
        self.at.staged = index;
        self.at.staged_next = self.store.content(id).next;
        if self.at.step == Step::Ready {
            self.ready();
        }
    }
}

/// Who holds a record's name.
enum Holder {
    Us,
    Another,
    Nobody,
}

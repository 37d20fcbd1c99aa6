//! `chain/prune.rs`: old records go into the archive, then they are deleted. After a take-over nobody waits for it: it runs
//! beside the ranges (`Parameters::folds_beside`), or is done before them, which is one of the orders in which that may go.
//! A commit waits for its own, unless one is still going on.

use crate::store::{Held, NONE, Op, is_fence, members, record_id};
use crate::take_over::{Actor, Answer, How, Step, Why};

/// The next operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FoldStep {
    #[default]
    Nothing,
    ReadOld,
    Archive,
    DeleteMark,
    DeleteRecord,
}

/// What a take-over folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Folding {
    pub(crate) step: FoldStep,
    /// Numbers of the records that a listing showed; once they are read, ids of those that go down.
    pub(crate) records: u16,
}

impl Folding {
    pub(crate) fn goes_on(self) -> bool {
        self.step != FoldStep::Nothing
    }

    /// Whether the next operation changes something, and so may go wrong.
    pub(crate) fn changes(self) -> bool {
        matches!(self.step, FoldStep::DeleteMark | FoldStep::DeleteRecord)
    }
}

impl Actor<'_> {
    /// The fence counts, and what lay about is swept.
    pub(crate) fn fold_after_fence(&mut self) {
        self.begin_folding();
        match self.parameters.folds_beside {
            true => self.begin_after_fence(),
            false => self.wait_for_folding(),
        }
    }

    /// A range is committed and published.
    pub(crate) fn fold_after_commit(&mut self) {
        if self.at.folding.goes_on() {
            self.at.sequences = 0;
            return self.committed();
        }
        self.begin_folding();
        self.wait_for_folding();
    }

    fn begin_folding(&mut self) {
        let records = std::mem::take(&mut self.at.sequences);
        if records.count_ones() > u32::from(self.parameters.keep) {
            self.at.folding = Folding { step: FoldStep::ReadOld, records };
        }
    }

    fn wait_for_folding(&mut self) {
        self.at.step = Step::Fold;
        if !self.at.folding.goes_on() {
            self.folded();
        }
    }

    /// Takes the next step of folding, beside whatever else the take-over is at.
    pub(crate) fn fold(&mut self, how: How) {
        match self.at.folding.step {
            FoldStep::Nothing => {}
            FoldStep::ReadOld => self.read_old(),
            FoldStep::Archive => self.archive(),
            FoldStep::DeleteMark => match self.oldest() {
                None => self.folded(),
                Some(id) => match self.mutate(Op::DeleteMark { id }, how) {
                    Answer::Unclear => self.folded(),
                    _ => self.at.folding.step = FoldStep::DeleteRecord,
                },
            },
            FoldStep::DeleteRecord => match self.oldest() {
                None => self.folded(),
                Some(id) => {
                    let sequence = self.store.content(id).sequence;
                    let answer = self.mutate(Op::DeleteRecord { sequence }, how);
                    self.at.folding.records &= !(1 << id);
                    if answer == Answer::Unclear { self.folded() } else { self.fold_next() }
                }
            },
        }
    }

    fn archive(&mut self) {
        let archived = |id: u8| self.store.content(id).sequence;
        let last = members(self.store.archive).map(archived).max();
        let last = last.filter(|_| self.parameters.rules.fold_by_predecessor);
        let fresh = |id: &u8| last.is_none_or(|last| self.store.content(*id).sequence > last);
        let ids = members(self.at.folding.records).filter(fresh).fold(0, |set, id| set | 1 << id);
        self.store.apply(Op::Archive { ids }, self.parameters);
        self.fold_next();
    }

    fn oldest(&self) -> Option<u8> {
        members(self.at.folding.records).min_by_key(|&id| self.store.content(id).sequence)
    }

    fn fold_next(&mut self) {
        match self.oldest() {
            None => self.folded(),
            // A fence has no mark: deleting it would change nothing.
            Some(id) if is_fence(id) => self.at.folding.step = FoldStep::DeleteRecord,
            Some(_) => self.at.folding.step = FoldStep::DeleteMark,
        }
    }

    /// Reads from the newest record that goes down to the oldest, following predecessors.
    fn read_old(&mut self) {
        let sequences: Vec<u8> = members(std::mem::take(&mut self.at.folding.records)).collect();
        let old = sequences.len() - usize::from(self.parameters.keep);
        let Held::Record(successor) = self.store.record(sequences[old]) else { return self.folded() };
        let mut expected = self.store.content(successor).predecessor;
        let mut fold = 0;
        for &sequence in sequences[..old].iter().rev() {
            let Held::Record(id) = self.store.record(sequence) else { return self.folded() };
            if expected == NONE || id != expected && self.parameters.rules.fold_by_predecessor {
                break;
            }
            fold |= 1 << id;
            expected = self.store.content(id).predecessor;
        }
        self.at.folding.records = fold;
        match fold {
            0 => self.folded(),
            _ if self.parameters.rules.archive_before_delete => self.at.folding.step = FoldStep::Archive,
            _ => self.fold_next(),
        }
    }

    fn folded(&mut self) {
        self.at.folding = Folding::default();
        if self.at.step != Step::Fold {
            return;
        }
        if is_fence(self.at.record) { self.begin_after_fence() } else { self.committed() }
    }

    fn begin_after_fence(&mut self) {
        if self.at.why == Why::LateRecovery {
            let fence = self.store.content(record_id(self.number, 0));
            self.at.record = fence.predecessor;
            self.begin_publishing(Why::LateRecovery);
        } else {
            self.begin_ranges();
        }
    }

    fn committed(&mut self) {
        self.store.acknowledge(self.at.next, self.parameters);
        self.ready();
    }

    pub(crate) fn begin_ranges(&mut self) {
        self.at.running = true;
        self.at.record = self.at.newest;
        self.ready();
    }
}

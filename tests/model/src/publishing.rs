//! The steps of a take-over after a record counts: `sink/publish.rs` and the mark.

use crate::store::{File, Op, is_fence};
use crate::take_over::{Actor, Answer, How, Step, Why};

impl Actor<'_> {
    pub(crate) fn begin_publishing(&mut self, why: Why) {
        self.at.why = why;
        self.at.file = 0;
        if is_fence(self.at.record) {
            self.published();
        } else if self.parameters.rules.published_mark && !self.parameters.rules.mark_after_publish {
            self.at.step = Step::Mark;
        } else {
            self.begin_file();
        }
    }

    fn begin_file(&mut self) {
        self.at.seen = false;
        let rules = &self.parameters.rules;
        self.at.step = if self.at.file == self.parameters.files {
            if !rules.published_mark {
                return self.published();
            }
            Step::Mark
        } else if !rules.publish_every_file {
            Step::FirstTarget
        } else {
            self.first_look()
        };
    }

    fn next_file(&mut self) {
        self.at.file += 1;
        self.begin_file();
    }

    fn first_look(&self) -> Step {
        if self.parameters.rules.staged_before_target { Step::LookStaged } else { Step::LookTarget }
    }

    pub(crate) fn look(&mut self) {
        let (id, file) = (self.at.record, self.at.file);
        let at_target = self.at.step != Step::LookStaged;
        let found = if at_target { self.store.target(id, file) } else { self.store.staged(id, file) };
        if self.at.step == Step::FirstTarget {
            if found == File::Absent {
                self.at.step = self.first_look();
            } else {
                self.at.file = self.parameters.files;
                self.begin_file();
            }
            return;
        }
        let wrong = matches!(found, File::Half | File::Short);
        if wrong && self.parameters.beyond.check_length {
            // Justly, where the storage kept less than it said; a file that is empty is our own doing.
            return self.stop(found == File::Short && !at_target);
        }
        let there = found != File::Absent;
        if self.at.step == self.first_look() {
            self.at.seen = there;
            self.at.step = if at_target { Step::LookStaged } else { Step::LookTarget };
            return;
        }
        let (staged, target) = if at_target { (self.at.seen, there) } else { (there, self.at.seen) };
        self.at.seen = false;
        match (staged, target) {
            (true, false) => self.at.step = Step::Rename,
            (true, true) => self.at.step = Step::DeleteStaged,
            (false, true) => self.next_file(),
            (false, false) if self.parameters.rules.list_before_lost => self.at.step = Step::ListMissing,
            (false, false) => self.stop(false),
        }
    }

    pub(crate) fn rename(&mut self, how: How) {
        let (id, file) = (self.at.record, self.at.file);
        let atomic = self.parameters.beyond.atomic_rename;
        let op = if atomic { Op::Publish { id, file } } else { Op::Link { id, file } };
        match self.mutate(op, how) {
            Answer::Done => {
                if !atomic {
                    self.store.send(Op::DeleteStaged { id, file });
                }
                self.next_file();
            }
            _ => self.at.step = self.first_look(),
        }
    }

    pub(crate) fn delete_staged(&mut self, how: How) {
        match self.mutate(Op::DeleteStaged { id: self.at.record, file: self.at.file }, how) {
            Answer::Unclear => self.at.step = self.first_look(),
            _ => self.next_file(),
        }
    }

    /// A file is in neither place: that says nothing before the directory is listed.
    pub(crate) fn list_missing(&mut self) {
        let content = self.store.content(self.at.record);
        if self.store.newest() != Some(content.sequence) {
            match self.at.why {
                Why::Recovery => self.start_over(),
                _ => self.lose(),
            }
        } else if self.parameters.rules.published_mark && self.store.marks & 1 << self.at.record != 0 {
            self.published();
        } else {
            self.stop(false);
        }
    }

    pub(crate) fn mark(&mut self, how: How) {
        let first = self.at.file < self.parameters.files;
        match self.mutate(Op::Mark { id: self.at.record }, how) {
            Answer::Unclear => {}
            // Refused: it is there already, which is as good.
            Answer::Done | Answer::Refused if first => self.begin_file(),
            Answer::Done | Answer::Refused => self.published(),
        }
    }

    fn published(&mut self) {
        self.at.file = 0;
        match std::mem::take(&mut self.at.why) {
            Why::Recovery => self.fence_what_was_read(),
            Why::TooEarly => self.at.step = Step::CreateTemporary,
            Why::LateRecovery => self.begin_ranges(),
            Why::Commit | Why::Nothing => self.fold_after_commit(),
        }
    }
}

//! What the storage holds, what may still land late, and the truth that no process knows.
//!
//! Names that are never used twice (record ids, staged files, temporary files) are small numbers; a set of them is a bitset.

use crate::parameters::Parameters;

/// Records that one take-over may create: its fence (index 0) and its ranges.
const RECORDS: u8 = 4;
/// Take-overs, at most.
pub(crate) const TAKE_OVERS: usize = 4;
const IDS: usize = TAKE_OVERS * RECORDS as usize;
const SEQUENCES: usize = 16;
/// Offsets of the topic partition, at most.
pub(crate) const OFFSETS: usize = 3;
/// Files of a range, at most.
pub(crate) const FILES: usize = 2;
/// Operations that may be on their way at the same time.
const LATE: usize = 4;
/// No record.
pub(crate) const NONE: u8 = u8::MAX;
/// Set in the number of a record, or of a temporary file, of which only a part was written.
const PART: u8 = 0x80;

/// The id of a record: its take-over and its place among the records of that one.
pub(crate) fn record_id(take_over: usize, index: u8) -> u8 {
    take_over as u8 * RECORDS + index
}

/// The take-over that made a record.
pub(crate) fn take_over_of(id: u8) -> usize {
    usize::from(id / RECORDS)
}

/// Whether a record is a fence.
pub(crate) fn is_fence(id: u8) -> bool {
    id.is_multiple_of(RECORDS)
}

/// The members of a bitset.
pub(crate) fn members(set: u16) -> impl DoubleEndedIterator<Item = u8> {
    (0..16).filter(move |member| set & 1 << member != 0)
}

/// What a record says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    pub(crate) sequence: u8,
    pub(crate) predecessor: u8,
    pub(crate) start: u8,
    pub(crate) next: u8,
}

/// A data file, in staging or where readers look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum File {
    #[default]
    Absent,
    /// Created, not closed; or created by a late duplicate: empty.
    Half,
    /// Closed, and shorter than its writer was told.
    Short,
    Whole,
}

/// What a name of the chain's directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Nothing,
    Part,
    Record(u8),
}

/// An operation that changes the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Op {
    CreateTemporary {
        name: u8,
        id: u8,
    },
    CloseTemporary {
        name: u8,
        id: u8,
    },
    DeleteTemporary {
        name: u8,
    },
    RenameRecord {
        name: u8,
        sequence: u8,
    },
    DeleteRecord {
        sequence: u8,
    },
    Archive {
        ids: u16,
    },
    Mark {
        id: u8,
    },
    DeleteMark {
        id: u8,
    },
    CreateStaged {
        id: u8,
    },
    CloseStaged {
        id: u8,
    },
    DeleteStaged {
        id: u8,
        file: u8,
    },
    Publish {
        id: u8,
        file: u8,
    },
    /// The first half of a rename that is not atomic.
    Link {
        id: u8,
        file: u8,
    },
}

/// What must never be, as bits.
pub(crate) mod violation {
    pub(crate) const TWICE: u16 = 1;
    pub(crate) const PARTIAL: u16 = 2;
    pub(crate) const VOID: u16 = 4;
    pub(crate) const LOST: u16 = 8;
    pub(crate) const FALSE_STOP: u16 = 16;
    pub(crate) const MIXED: u16 = 32;
    pub(crate) const UNACCOUNTED: u16 = 64;
    pub(crate) const ACKNOWLEDGED: u16 = 128;
    pub(crate) const STUCK: u16 = 256;
}

/// The storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    /// By number: 0, or a record's id + 1.
    records: [u8; SEQUENCES],
    /// By id: what a record says. It stands here from the moment at which its writer has put it together.
    pub(crate) contents: [Content; IDS],
    /// By name: 0, or a record's id + 1.
    temporaries: [u8; IDS],
    /// Ids of records whose published mark exists.
    pub(crate) marks: u16,
    /// Ids of records in the archive.
    pub(crate) archive: u16,
    /// By id.
    staged: [[File; FILES]; IDS],
    /// By the start of the range, which is the target's name: 0, or the record's id + 1.
    targets: [[u8; FILES]; OFFSETS],
    /// Operations on their way, sorted.
    pub(crate) late: [Option<Op>; LATE],
    /// The truth: ids of the records that were the newest when they appeared. All others are void.
    pub(crate) counted: u16,
    /// The truth: one more than the highest number that was ever used.
    highest: u8,
    /// The truth: rows that readers were shown, be the file still there or moved by a job.
    shown: [[bool; FILES]; OFFSETS],
    /// The truth: by id, a bit for each file that was published.
    published: [u8; IDS],
    /// The truth: bit t says which topic (of two of that name) take-over t reads.
    pub(crate) topics: u8,
    /// The offset that the group was told.
    acknowledged: u8,
    pub(crate) violations: u16,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            records: [0; SEQUENCES],
            contents: [Content::default(); IDS],
            temporaries: [0; IDS],
            marks: 0,
            archive: 0,
            staged: [[File::Absent; FILES]; IDS],
            targets: [[0; FILES]; OFFSETS],
            late: [None; LATE],
            counted: 0,
            highest: 0,
            shown: [[false; FILES]; OFFSETS],
            published: [0; IDS],
            topics: 0,
            acknowledged: 0,
            violations: 0,
        }
    }
}

fn held(number: u8) -> Held {
    match number {
        0 => Held::Nothing,
        part if part & PART != 0 => Held::Part,
        whole => Held::Record(whole - 1),
    }
}

impl Store {
    /// What a reader of record `sequence` finds.
    pub(crate) fn record(&self, sequence: u8) -> Held {
        held(self.records[usize::from(sequence)])
    }

    /// Numbers of the records in the directory.
    pub(crate) fn sequences(&self) -> u16 {
        (0..SEQUENCES).filter(|&k| self.records[k] != 0).fold(0, |set, k| set | 1 << k)
    }

    /// The newest record's number.
    pub(crate) fn newest(&self) -> Option<u8> {
        self.records.iter().rposition(|&record| record != 0).map(|k| k as u8)
    }

    /// Names of the temporary files in the directory.
    pub(crate) fn temporaries(&self) -> u16 {
        (0..IDS).filter(|&name| self.temporaries[name] != 0).fold(0, |set, name| set | 1 << name)
    }

    pub(crate) fn has_temporary(&self, name: u8) -> bool {
        self.temporaries[usize::from(name)] != 0
    }

    /// The number that a temporary file's name shows.
    pub(crate) fn sequence_of_temporary(&self, name: u8, unique: bool) -> u8 {
        if unique { self.contents[usize::from(name)].sequence } else { name }
    }

    pub(crate) fn content(&self, id: u8) -> Content {
        self.contents[usize::from(id)]
    }

    pub(crate) fn staged(&self, id: u8, file: u8) -> File {
        self.staged[usize::from(id)][usize::from(file)]
    }

    /// Ids with anything staged.
    pub(crate) fn staged_ids(&self) -> impl Iterator<Item = u8> {
        (0..IDS as u8).filter(|&id| self.staged[usize::from(id)] != [File::Absent; FILES])
    }

    /// What a look at the target of a file finds: whose file it is does not show, only its length.
    pub(crate) fn target(&self, id: u8, file: u8) -> File {
        let content = self.content(id);
        let there = self.targets[usize::from(content.start)][usize::from(file)];
        let length = |id: u8| self.content(id).next - self.content(id).start;
        match there {
            0 => File::Absent,
            there if length(there - 1) == length(id) => File::Whole,
            _ => File::Short,
        }
    }

    pub(crate) fn violate(&mut self, what: u16) {
        self.violations |= what;
    }

    /// Puts an operation on its way.
    pub(crate) fn send(&mut self, op: Op) {
        let free = self.late.iter().position(Option::is_none).expect("fewer faults than places");
        self.late[free] = Some(op);
        self.sort_late();
    }

    /// An operation on its way arrives; whether it still does anything is its own affair.
    pub(crate) fn land(&mut self, place: usize, parameters: &Parameters) {
        if let Some(op) = self.late[place].take() {
            self.sort_late();
            self.apply(op, parameters);
        }
    }

    fn sort_late(&mut self) {
        self.late.sort_unstable_by_key(|op| (op.is_none(), *op));
    }

    /// Applies an operation, atomically; `false`: refused (no source, or the name is taken).
    pub(crate) fn apply(&mut self, op: Op, parameters: &Parameters) -> bool {
        let place = |name: u8| usize::from(name);
        match op {
            Op::CreateTemporary { name, id } => {
                let free = self.temporaries[place(name)] == 0;
                if free {
                    self.temporaries[place(name)] = (id + 1) | PART;
                }
                free
            }
            // Its writer holds it open: where it was deleted meanwhile, the bytes go nowhere.
            Op::CloseTemporary { name, id } => {
                if self.temporaries[place(name)] == (id + 1) | PART {
                    self.temporaries[place(name)] = id + 1;
                }
                true
            }
            Op::DeleteTemporary { name } => std::mem::take(&mut self.temporaries[place(name)]) != 0,
            Op::RenameRecord { name, sequence } => self.rename_record(name, sequence, parameters),
            Op::DeleteRecord { sequence } => self.delete_record(sequence),
            Op::Archive { ids } => {
                self.archive |= ids;
                if self.archive & !self.counted != 0 {
                    self.violate(violation::UNACCOUNTED);
                }
                true
            }
            Op::Mark { id } => {
                let fresh = self.marks & 1 << id == 0;
                self.marks |= 1 << id;
                fresh
            }
            Op::DeleteMark { id } => {
                self.marks &= !(1 << id);
                true
            }
            Op::CreateStaged { id } => self.create_staged(id, parameters),
            Op::CloseStaged { id } => {
                for file in self.staged[place(id)].iter_mut().filter(|file| **file == File::Half) {
                    *file = File::Whole;
                }
                true
            }
            Op::DeleteStaged { id, file } => self.delete_staged(id, file),
            Op::Publish { id, file } => self.publish(id, file) && self.delete_staged(id, file),
            Op::Link { id, file } => self.publish(id, file),
        }
    }

    fn rename_record(&mut self, name: u8, sequence: u8, parameters: &Parameters) -> bool {
        let (from, to) = (usize::from(name), usize::from(sequence));
        if self.temporaries[from] == 0 || self.records[to] != 0 {
            return false;
        }
        self.records[to] = std::mem::take(&mut self.temporaries[from]);
        if sequence < self.highest {
            return true;
        }
        self.highest = sequence + 1;
        if let Held::Record(id) = self.record(sequence) {
            self.begins_to_count(id, parameters);
        }
        true
    }

    /// A record became the newest: from now on its rows must not be lost.
    fn begins_to_count(&mut self, id: u8, parameters: &Parameters) {
        self.counted |= 1 << id;
        let content = self.content(id);
        let topic = |id: u8| self.topics >> take_over_of(id) & 1;
        if content.predecessor != NONE && topic(content.predecessor) != topic(id) {
            self.violate(violation::MIXED);
        }
        if !is_fence(id) && (0..parameters.files).any(|file| !self.is_safe(id, file)) {
            self.violate(violation::LOST);
        }
    }

    /// Whether a file of a record that counts was published, or waits to be. A short file is lost already, and no fault
    /// of the protocol.
    fn is_safe(&self, id: u8, file: u8) -> bool {
        self.published[usize::from(id)] & 1 << file != 0 || matches!(self.staged(id, file), File::Whole | File::Short)
    }

    fn delete_record(&mut self, sequence: u8) -> bool {
        let held = self.record(sequence);
        self.records[usize::from(sequence)] = 0;
        let Held::Record(id) = held else { return held != Held::Nothing };
        // Its deleter may crash now: there is no later step that would still archive it.
        if self.counted & !self.archive & 1 << id != 0 {
            self.violate(violation::UNACCOUNTED);
        }
        true
    }

    fn create_staged(&mut self, id: u8, parameters: &Parameters) -> bool {
        let files = &mut self.staged[usize::from(id)];
        let free = files.iter().all(|file| *file == File::Absent);
        if free {
            files[..usize::from(parameters.files)].fill(File::Half);
        }
        free
    }

    /// The storage took less than it said.
    pub(crate) fn shorten_staged(&mut self, id: u8) {
        self.staged[usize::from(id)][0] = File::Short;
    }

    fn delete_staged(&mut self, id: u8, file: u8) -> bool {
        let was = std::mem::take(&mut self.staged[usize::from(id)][usize::from(file)]);
        if self.counted & 1 << id != 0 && !is_fence(id) && was == File::Whole && !self.is_safe(id, file) {
            self.violate(violation::LOST);
        }
        was != File::Absent
    }

    fn publish(&mut self, id: u8, file: u8) -> bool {
        let content = self.content(id);
        let (start, place) = (usize::from(content.start), usize::from(file));
        let staged = self.staged(id, file);
        if staged == File::Absent || self.targets[start][place] != 0 {
            return false;
        }
        self.targets[start][place] = id + 1;
        self.published[usize::from(id)] |= 1 << file;
        if staged != File::Whole {
            self.violate(violation::PARTIAL);
        }
        if self.counted & 1 << id == 0 {
            self.violate(violation::VOID);
        }
        for offset in start..usize::from(content.next) {
            if std::mem::replace(&mut self.shown[offset][place], true) {
                self.violate(violation::TWICE);
            }
        }
        true
    }

    /// The group is told that all before `next` is done.
    pub(crate) fn acknowledge(&mut self, next: u8, parameters: &Parameters) {
        self.acknowledged = self.acknowledged.max(next);
        if !self.all_shown_before(next, parameters) {
            self.violate(violation::ACKNOWLEDGED);
        }
    }

    /// Whether readers were shown all rows before `next`.
    pub(crate) fn all_shown_before(&self, next: u8, parameters: &Parameters) -> bool {
        let shown = |row: &[bool; FILES]| row[..usize::from(parameters.files)].iter().all(|shown| *shown);
        self.shown[..usize::from(next)].iter().all(shown)
    }

    /// Whether a job downstream may touch a target: a higher record or its mark exists. Without marks it can only go by
    /// the offset that the group was told.
    pub(crate) fn may_move(&self, start: u8, file: u8, parameters: &Parameters) -> bool {
        let there = self.targets[usize::from(start)][usize::from(file)];
        if there == 0 {
            return false;
        }
        let (id, content) = (there - 1, self.content(there - 1));
        let higher = self.newest().is_some_and(|newest| newest > content.sequence);
        let done =
            if parameters.rules.published_mark { self.marks & 1 << id != 0 } else { self.acknowledged >= content.next };
        higher || done
    }

    pub(crate) fn move_away(&mut self, start: u8, file: u8) {
        self.targets[usize::from(start)][usize::from(file)] = 0;
    }
}

//! How large the world is, and which rules hold in it.

use crate::protocol::Protocol;

/// One world of the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters {
    /// The rules: the very value that the host runs with.
    pub(crate) rules: Protocol,
    /// Rules of the host and of the storage that are not values of [`Protocol`].
    pub(crate) beyond: Beyond,
    /// Take-overs, by as many processes or by one again.
    pub(crate) take_overs: u8,
    /// Offsets that are to be written.
    pub(crate) offsets: u8,
    /// Longest range, in offsets: each range takes one, or as many.
    pub(crate) longest: u8,
    /// Files of each range.
    pub(crate) files: u8,
    /// Operations that may go wrong.
    pub(crate) faults: u8,
    /// Renames, deletions and marks that the client sent twice, so that one is still on its way when the other was
    /// answered. Not so for creates: an empty file could then appear under a name that was used before, and the next
    /// take-over would stop at it. No client of ours sends a change again after an unclear answer.
    pub(crate) duplicates: u8,
    /// Newest records that pruning leaves.
    pub(crate) keep: u8,
    /// Whether what a take-over found is folded beside its ranges, not before them.
    pub(crate) folds_beside: bool,
    /// Files that a job downstream moves away.
    pub(crate) moves: u8,
    /// Whether a range is staged while the one before is committed.
    pub(crate) pipelined: bool,
    /// Whether a data file can be seen half written.
    pub(crate) half_written: bool,
    /// Whether the storage may keep less of a file than it said.
    pub(crate) short: bool,
    /// Violations after which a run is not followed further.
    pub(crate) ends: u16,
    /// Whether the topic may be deleted and created anew.
    pub(crate) recreated: bool,
}

/// What has to hold besides [`Protocol`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beyond {
    /// V13: a rename that refuses to overwrite is one step, not a link that is answered and an unlink some time later.
    pub(crate) atomic_rename: bool,
    /// The topic's identity in the newest record is compared with the source's.
    pub(crate) check_topic: bool,
    /// The same once more before each commit, with the source asked anew.
    pub(crate) check_topic_again: bool,
    /// A file is published only in the length that its record says.
    pub(crate) check_length: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            rules: Protocol::default(),
            beyond: Beyond { atomic_rename: true, check_topic: true, check_topic_again: true, check_length: true },
            take_overs: 2,
            offsets: 1,
            longest: 1,
            files: 1,
            faults: 0,
            duplicates: 0,
            keep: 1,
            folds_beside: false,
            moves: 0,
            pipelined: false,
            half_written: false,
            short: false,
            ends: u16::MAX,
            recreated: false,
        }
    }
}

impl Parameters {
    /// These, with some set by their names: `faults=2`.
    pub(crate) fn with(mut self, changes: &[&str]) -> Result<Self, String> {
        for change in changes {
            let parsed = change.split_once('=').and_then(|(name, number)| Some((name, number.parse::<u8>().ok()?)));
            let (name, number) = parsed.ok_or_else(|| format!("{change} is not NAME=NUMBER"))?;
            match name {
                "take_overs" => self.take_overs = number,
                "offsets" => self.offsets = number,
                "longest" => self.longest = number,
                "files" => self.files = number,
                "faults" => self.faults = number,
                "duplicates" => self.duplicates = number,
                "keep" => self.keep = number,
                "folds_beside" => self.folds_beside = number > 0,
                "moves" => self.moves = number,
                "pipelined" => self.pipelined = number > 0,
                "half_written" => self.half_written = number > 0,
                "short" => self.short = number > 0,
                "recreated" => self.recreated = number > 0,
                _ => return Err(format!("there is no parameter {name}")),
            }
        }
        Ok(self)
    }
}

//! What an audit can find: stable codes, what each means, what to do. `docs/verify.md` lists them for operators.

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The table is not what its chain says, or the chain is not whole: exit code 1.
    Wrong,
    /// Worth knowing, and in order.
    Note,
}

macro_rules! codes {
    ($($variant:ident, $code:literal, $severity:ident, $means:literal, $do:literal;)*) => {
        /// The code of a finding. Codes never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $means] $variant,)*
        }

        impl Code {
            /// All of them, those that are wrong first.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it stands in reports: `file-missing`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),* }
            }

            /// What it means.
            pub fn means(self) -> &'static str {
                match self { $(Self::$variant => $means),* }
            }

            /// What to do.
            pub fn what_to_do(self) -> &'static str {
                match self { $(Self::$variant => $do),* }
            }
        }
    };
}

codes! {
    RecordDamaged, "record-damaged", Wrong,
        "A record cannot be read, was changed after it was written, or lies under another number than its own.",
        "Restore the file from a snapshot or a copy. If it is a copy under a wrong number, remove that copy.";
    RecordUnknownFormat, "record-unknown-format", Wrong,
        "A record was written by a later version of wasmill; this one cannot judge what it names.",
        "Run `verify` of the version that wrote it, or of a later one.";
    RecordMissing, "record-missing", Wrong,
        "A record that must have been there is gone: its neighbours, its mark, or the archive prove it.",
        "Restore it from a snapshot. Do not run the pipeline before, if it is the newest: its rows would be written again.";
    RecordForeign, "record-foreign", Wrong,
        "A record is of another pipeline, another topic partition, or of a topic that was made anew since.",
        "Give each pipeline its own checkpoint location; put the records back where they belong.";
    ChainBroken, "chain-broken", Wrong,
        "Two neighbouring records do not fit together: the later one names another predecessor or another offset.",
        "Restore both from a snapshot; one of them was replaced.";
    ArchiveDamaged, "archive-damaged", Wrong,
        "An archive file, or a line of it, cannot be read or was changed after it was written.",
        "Restore the archive file from a snapshot. Runs go on without it; only the audit needs it.";
    CheckpointTooOld, "checkpoint-too-old", Wrong,
        "The table holds files of offsets behind the newest record: the checkpoints are older than the table.",
        "Stop the pipeline and restore the newer checkpoints: the next run would write these rows again.";
    OffsetsGap, "offsets-gap", Wrong,
        "Offsets between two ranges are in no record, and no gap or moved position explains it.",
        "Restore the records; otherwise these messages are in neither the table nor the dead letters.";
    OffsetsOverlap, "offsets-overlap", Wrong,
        "Offsets are covered by two records, and no moved position explains it: their rows are there twice.",
        "Restore the records from a snapshot and compare the files of both ranges.";
    RowsDoNotClose, "rows-do-not-close", Wrong,
        "A record accounts for other counts than it read: messages that are neither written, filtered nor dead letters.",
        "This is a defect of wasmill or a record written by hand: report it with the record.";
    FileMissing, "file-missing", Wrong,
        "A published file is gone.",
        "Restore it, or, if it was removed on purpose, tell so: `wasmill repair PIPELINE --accept-removed PATH --why TEXT`.";
    FileLost, "file-lost", Wrong,
        "A file of the newest record is neither staged nor at its target: its topic partition stops there.",
        "Restore it at one of the two paths; or give its rows up with `wasmill repair PIPELINE --accept-removed PATH --why TEXT`.";
    FileMoved, "file-moved", Wrong,
        "A published file lies under another name or in another hive partition than its record says.",
        "Move it back.";
    FileDoubled, "file-doubled", Wrong,
        "A file is a copy of another one in the same table: readers see its rows twice.",
        "Remove the copy (the path of this finding).";
    FileWrongLength, "file-wrong-length", Wrong,
        "A file is shorter or longer than its record says.",
        "Restore it from a snapshot; readers fail at it or see other rows.";
    FileUnreadable, "file-unreadable", Wrong,
        "A file of the table is no readable Parquet file.",
        "Restore it from a snapshot, or move it out of the table: readers fail at it.";
    FooterContradicts, "footer-contradicts", Wrong,
        "What a file says of itself (rows, offsets, origin) is not what its record says.",
        "Restore the file, or the record, whichever was replaced.";
    FileUnknown, "file-unknown", Wrong,
        "A file that wasmill wrote lies in the table, and no record that counts names it.",
        "Find out who put it there; if its rows are there twice, remove it.";
    FileForeign, "file-foreign", Wrong,
        "A file in the table was not written by this pipeline.",
        "If a job of yours made it (compaction), `--foreign-files` lets it pass; otherwise move it out of the table.";
    LettersContradict, "letters-contradict", Wrong,
        "Rows with coordinates of a message lie in a file of other offsets, or cannot be read.",
        "Restore the file from a snapshot.";
    ReplayContradicts, "replay-contradicts", Wrong,
        "A replay claims dead letters that no record set aside, or that an earlier replay has claimed: their rows are there twice.",
        "Restore the records from a snapshot; compare the files of both replays.";
    TopicMadeAnew, "topic-made-anew", Wrong,
        "The topic was deleted and created anew since its checkpoints were written: offsets mean something else now.",
        "Start a new pipeline with its own checkpoint and table locations.";
    BehindRetention, "behind-retention", Wrong,
        "Kafka has deleted messages that were not read yet.",
        "Raise the topic's retention; `on_data_loss` in the pipeline file says how to go on.";
    BeyondEnd, "beyond-end", Wrong,
        "The chain goes further than Kafka's topic partition: the topic was truncated or made anew.",
        "Find out what happened to the topic; `wasmill offsets set` moves the position.";
    InFlight, "in-flight", Note,
        "The newest record's files are not all published yet: a run is at it, or the next one finishes it.",
        "Nothing; `wasmill repair` publishes them if no run is going to.";
    StagedLeftover, "staged-leftover", Note,
        "Staged or temporary files of a take-over that was fenced. No reader sees them.",
        "Nothing; the next take-over sweeps them, or `wasmill repair`.";
    RecordVoid, "record-void", Note,
        "A record that never counted: its writer had been fenced. Nothing of it is in the table.",
        "Nothing; it is never deleted.";
    RecordedGap, "recorded-gap", Note,
        "Messages had expired in Kafka before they were read; the loss was recorded.",
        "Nothing more can be done; raise the topic's retention.";
    PositionMoved, "position-moved", Note,
        "An operator moved the position: forwards leaves messages out, backwards brings rows in again.",
        "Nothing.";
    LettersReplayed, "letters-replayed", Note,
        "Dead letters were sent through a deployment once more; they count as what they became.",
        "Nothing.";
    RemovalAccepted, "removal-accepted", Note,
        "An operator accepted that published files are gone.",
        "Nothing.";
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What was found.
    pub code: Code,
    /// Whose: `listen_events/3`; empty where that cannot be told.
    pub topic_partition: String,
    /// The file or record that it is about.
    pub path: String,
    /// What was found exactly.
    pub message: String,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 6)?;
        fields.serialize_field("code", self.code.name())?;
        fields.serialize_field("topic_partition", &self.topic_partition)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("means", self.code.means())?;
        fields.serialize_field("what_to_do", self.code.what_to_do())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_lists_every_code_with_the_same_words() {
        let document = include_str!("../../docs/verify.md");
        let rows: Vec<[&str; 3]> = document
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
                Some([cells.first()?.trim_end_matches('`'), cells.get(1)?, cells.get(2)?])
            })
            .collect();
        let wanted: Vec<[&str; 3]> =
            Code::ALL.iter().map(|code| [code.name(), code.means(), code.what_to_do()]).collect();
        if rows != wanted {
            let lines = |of: Severity| {
                let codes = Code::ALL.iter().filter(|code| code.severity() == of);
                let row = |code: &Code| format!("| `{}` | {} | {} |\n", code.name(), code.means(), code.what_to_do());
                codes.map(row).collect::<String>()
            };
            panic!(
                "docs/verify.md lists other findings. Wrong:\n{}\nNotes:\n{}",
                lines(Severity::Wrong),
                lines(Severity::Note)
            );
        }
    }

    #[test]
    fn codes_are_told_apart() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}

//! The rules of the exactly-once protocol, as values. This file names nothing else: the model of the protocol
//! (`tests/model`) compiles it as it is, so that model, simulation and host go by the same rules.

/// The rules that keep the chain right, as values: the simulation removes them one by one and must be caught each time.
/// Production always uses [`Protocol::default`], which is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// V1: list the directory after creating a record; a higher number means that it does not count.
    pub list_after_commit: bool,
    /// V2: the same for a fence.
    pub list_after_fence: bool,
    /// V3: list, read, list again before anything of the newest record is published.
    pub list_again_before_publish: bool,
    /// V4: never delete a record that lost.
    pub keep_void_records: bool,
    /// V5: sweep only the staging directories of lower fence sequences.
    pub sweep_lower_fences_only: bool,
    /// V6: a create that is given up is cancelled, and the cancel confirmed.
    pub confirm_cancel: bool,
    /// V7: every take-over has an id of its own.
    pub fresh_take_over_ids: bool,
    /// V8: every attempt writes a temporary file of its own.
    pub unique_temporary_names: bool,
    /// V9: after losing, take over again while the group still assigns the topic partition to us.
    pub take_over_again: bool,
    /// V10: a published mark follows the last published file.
    pub published_mark: bool,
    /// V11: list before calling a file lost.
    pub list_before_lost: bool,
    /// V12: look at the staged file before the target.
    pub staged_before_target: bool,
    /// V14: a staged name whose create was not clean is abandoned.
    pub abandon_unclear_creates: bool,
    /// Commit before publish.
    pub commit_before_publish: bool,
    /// Acknowledge after publish.
    pub acknowledge_after_publish: bool,
    /// Publish every file, whatever was found of an earlier one.
    pub publish_every_file: bool,
    /// Publish what the newest record left before fencing it: afterwards it is not the newest any more.
    pub publish_before_fence: bool,
    /// Mark after the last file is published, not before the first.
    pub mark_after_publish: bool,
    /// Sweep after the fence counts: before, the one who is swept may still commit what is swept.
    pub sweep_after_fence: bool,
    /// A record's number is one more than the last that its take-over created, never taken from a new listing.
    pub count_own_records: bool,
    /// Staged files are deleted only when no record can name them, never after an unknown outcome.
    pub discard_only_lost: bool,
    /// Where a range ends is what the source says: offsets have gaps, so it is not the start plus the messages.
    pub next_from_source: bool,
    /// What was put in already is not put in again when the source delivers it twice.
    pub skip_redelivered: bool,
    /// Only records that their successor names are folded: another is void.
    pub fold_by_predecessor: bool,
    /// Records are archived before they are deleted.
    pub archive_before_delete: bool,
    /// Which dead letters are left is asked once more under the fence of who replays them.
    pub replay_under_fence: bool,
    /// A replay counts also once its record is folded.
    pub replay_reads_archive: bool,
    /// Files of a replay are named after its record: a range may start where it stands.
    pub replay_names: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            list_after_commit: true,
            list_after_fence: true,
            list_again_before_publish: true,
            keep_void_records: true,
            sweep_lower_fences_only: true,
            confirm_cancel: true,
            fresh_take_over_ids: true,
            unique_temporary_names: true,
            take_over_again: true,
            published_mark: true,
            list_before_lost: true,
            staged_before_target: true,
            abandon_unclear_creates: true,
            commit_before_publish: true,
            acknowledge_after_publish: true,
            publish_every_file: true,
            publish_before_fence: true,
            mark_after_publish: true,
            sweep_after_fence: true,
            count_own_records: true,
            discard_only_lost: true,
            next_from_source: true,
            skip_redelivered: true,
            fold_by_predecessor: true,
            archive_before_delete: true,
            replay_under_fence: true,
            replay_reads_archive: true,
            replay_names: true,
        }
    }
}

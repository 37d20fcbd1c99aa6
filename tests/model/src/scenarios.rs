//! Which worlds are searched, and in which the removal of a rule shows.

use crate::parameters::Parameters;
use crate::protocol::Protocol;
use crate::store::violation;

/// A world in which everything holds.
pub(crate) struct Holding {
    pub(crate) name: &'static str,
    pub(crate) parameters: Parameters,
}

/// A rule, and a world in which its removal shows.
pub(crate) struct Removal {
    pub(crate) rule: &'static str,
    pub(crate) remove: fn(&mut Parameters),
    pub(crate) parameters: Parameters,
    /// What does not hold without it.
    pub(crate) breaks: u16,
}

/// The worlds of the test command: each leaves out what another one has.
pub(crate) fn small() -> Vec<Holding> {
    let world = Parameters { moves: 1, ..Parameters::default() };
    let with = |name, parameters| Holding { name, parameters };
    let files = Parameters { offsets: 2, longest: 2, files: 2, faults: 1, moves: 2, ..world };
    let pipelined = Parameters { offsets: 2, pipelined: true, half_written: true, faults: 1, ..world };
    vec![
        with("three take-overs", Parameters { take_overs: 3, ..world }),
        with(
            "two faults, half-written and short files",
            Parameters { faults: 2, half_written: true, short: true, ..world },
        ),
        with("a fault, and ranges of one or two offsets in two files", files),
        with("a fault, and a range staged while another is committed", pipelined),
        with("a fault, and a change sent twice", Parameters { faults: 1, duplicates: 1, ..world }),
        with("a fault, and a topic created anew", Parameters { faults: 1, recreated: true, ..world }),
        with(
            "a fault, and ranges of which nothing is written",
            Parameters { offsets: 2, files: 0, faults: 1, moves: 0, ..world },
        ),
        with("a fault, and two records kept", Parameters { offsets: 2, keep: 2, faults: 1, ..world }),
        with(
            "a fault, and old records folded beside the ranges",
            Parameters { offsets: 2, folds_beside: true, faults: 1, ..world },
        ),
    ]
}

/// The worlds of the long run.
pub(crate) fn large() -> Vec<Holding> {
    let world = Parameters { moves: 1, ..Parameters::default() };
    let with = |name, parameters| Holding { name, parameters };
    let three = Parameters { take_overs: 3, ..world };
    let files = Parameters { offsets: 3, longest: 2, files: 2, faults: 1, moves: 2, pipelined: true, ..world };
    let two_faults = Parameters { offsets: 2, faults: 2, half_written: true, short: true, pipelined: true, ..world };
    vec![
        with("three take-overs and two faults", Parameters { faults: 2, ..three }),
        with("three take-overs of two ranges", Parameters { offsets: 2, pipelined: true, ..three }),
        with("three take-overs, a fault, and a topic created anew", Parameters { faults: 1, recreated: true, ..three }),
        with("three take-overs, and a change sent twice", Parameters { duplicates: 1, ..three }),
        with(
            "three take-overs and a fault, and old records folded beside the ranges",
            Parameters { faults: 1, folds_beside: true, ..three },
        ),
        with("ranges of one or two of three offsets, in two files", files),
        with("two ranges and two faults, with half-written and short files", two_faults),
    ]
}

/// Every rule, with the smallest world in which the search finds what goes wrong without it.
pub(crate) fn removals() -> Vec<Removal> {
    let world = Parameters::default();
    let without = |rule, breaks, remove: fn(&mut Parameters), parameters| Removal { rule, remove, parameters, breaks };
    let two = Parameters { offsets: 2, ..world };
    let fault = Parameters { faults: 1, ..world };
    let job = Parameters { moves: 1, ..world };
    let three = Parameters { take_overs: 3, offsets: 1, moves: 1, ..world };
    vec![
        without("V1 list_after_commit", violation::VOID, |p| p.rules.list_after_commit = false, three),
        without(
            "V2 list_after_fence",
            violation::LOST,
            |p| p.rules.list_after_fence = false,
            Parameters { offsets: 3, ..world },
        ),
        without("V3 list_again_before_publish", violation::VOID, |p| p.rules.list_again_before_publish = false, three),
        without("V4 keep_void_records", violation::UNACCOUNTED, |p| p.rules.keep_void_records = false, world),
        without("V5 sweep_lower_fences_only", violation::LOST, |p| p.rules.sweep_lower_fences_only = false, world),
        without("V6 confirm_cancel", violation::LOST, |p| p.rules.confirm_cancel = false, fault),
        without("V7 fresh_take_over_ids", violation::VOID, |p| p.rules.fresh_take_over_ids = false, world),
        without(
            "V8 unique_temporary_names",
            violation::FALSE_STOP,
            |p| p.rules.unique_temporary_names = false,
            Parameters { take_overs: 3, ..fault },
        ),
        without(
            "V9 take_over_again",
            violation::STUCK,
            |p| p.rules.take_over_again = false,
            Parameters { take_overs: 3, ..world },
        ),
        without("V10 published_mark", violation::FALSE_STOP, |p| p.rules.published_mark = false, job),
        without("V11 list_before_lost", violation::FALSE_STOP, |p| p.rules.list_before_lost = false, job),
        without("V12 staged_before_target", violation::FALSE_STOP, |p| p.rules.staged_before_target = false, world),
        without(
            "V13 atomic rename",
            violation::TWICE,
            |p| p.beyond.atomic_rename = false,
            Parameters { take_overs: 3, ..job },
        ),
        without(
            "V14 abandon_unclear_creates",
            violation::FALSE_STOP,
            |p| p.rules.abandon_unclear_creates = false,
            fault,
        ),
        without("commit_before_publish", violation::VOID, |p| p.rules.commit_before_publish = false, world),
        without(
            "acknowledge_after_publish",
            violation::ACKNOWLEDGED,
            |p| p.rules.acknowledge_after_publish = false,
            world,
        ),
        without(
            "publish_every_file",
            violation::LOST,
            |p| p.rules.publish_every_file = false,
            Parameters { files: 2, ..world },
        ),
        without("publish_before_fence", violation::LOST, |p| p.rules.publish_before_fence = false, world),
        without("mark_after_publish", violation::LOST, |p| p.rules.mark_after_publish = false, world),
        without("sweep_after_fence", violation::LOST, |p| p.rules.sweep_after_fence = false, world),
        without("count_own_records", violation::TWICE, |p| p.rules.count_own_records = false, job),
        without(
            "discard_only_lost",
            violation::LOST,
            |p| p.rules.discard_only_lost = false,
            Parameters { faults: 2, ..world },
        ),
        without("fold_by_predecessor", violation::UNACCOUNTED, |p| p.rules.fold_by_predecessor = false, three),
        without("archive_before_delete", violation::UNACCOUNTED, |p| p.rules.archive_before_delete = false, two),
        without(
            "the topic's identity is asked again before a commit",
            violation::MIXED,
            |p| p.beyond.check_topic_again = false,
            Parameters { recreated: true, ..world },
        ),
        without(
            "the topic's identity is compared",
            violation::MIXED,
            |p| p.beyond.check_topic = false,
            Parameters { recreated: true, ..world },
        ),
        without(
            "lengths are compared",
            violation::PARTIAL,
            |p| p.beyond.check_length = false,
            Parameters { short: true, ..fault },
        ),
    ]
}

/// Rules of the host that the model has nothing to say about: they are the source's, and those of replays.
const ELSEWHERE: [&str; 5] =
    ["next_from_source", "skip_redelivered", "replay_under_fence", "replay_reads_archive", "replay_names"];

/// Rules of the host that no removal takes away, and that are not named as being elsewhere.
pub(crate) fn forgotten() -> Vec<String> {
    // The text of a value names its rules, so that one that is added later is not missed.
    let rules = |protocol: &Protocol| -> Vec<String> {
        let text = format!("{protocol:?}");
        text.trim_end_matches([' ', '}']).split([',', '{']).skip(1).map(|rule| rule.trim().to_owned()).collect()
    };
    let mut left = rules(&Protocol::default());
    for removal in removals() {
        let mut parameters = removal.parameters;
        (removal.remove)(&mut parameters);
        let kept = rules(&parameters.rules);
        left.retain(|rule| kept.contains(rule));
    }
    left.retain(|rule| !ELSEWHERE.iter().any(|name| rule.starts_with(name)));
    left
}

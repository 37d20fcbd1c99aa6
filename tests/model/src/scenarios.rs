//! Which worlds are searched, and in which the removal of a rule shows.

use crate::model::property;
use crate::parameters::Parameters;

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
    pub(crate) breaks: &'static str,
}

/// The worlds of the test command.
pub(crate) fn small() -> Vec<Holding> {
    let world = Parameters::default();
    let with = |name, parameters| Holding { name, parameters };
    vec![
        with("a fault", Parameters { faults: 1, offsets: 1, moves: 1, ..world }),
        with("two ranges", Parameters { offsets: 2, moves: 1, ..world }),
        with("three take-overs", Parameters { take_overs: 3, moves: 1, ..world }),
    ]
}

/// The worlds of the long run.
pub(crate) fn large() -> Vec<Holding> {
    let world = Parameters::default();
    let with = |name, parameters| Holding { name, parameters };
    vec![with("two faults", Parameters { take_overs: 2, faults: 2, offsets: 1, moves: 1, ..world })]
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
        without("V1 list_after_commit", property::VOID, |p| p.rules.list_after_commit = false, three),
        without(
            "V2 list_after_fence",
            property::LOST,
            |p| p.rules.list_after_fence = false,
            Parameters { offsets: 3, ..world },
        ),
        without("V3 list_again_before_publish", property::VOID, |p| p.rules.list_again_before_publish = false, three),
        without("V4 keep_void_records", property::UNACCOUNTED, |p| p.rules.keep_void_records = false, world),
        without("V5 sweep_lower_fences_only", property::LOST, |p| p.rules.sweep_lower_fences_only = false, world),
        without("V6 confirm_cancel", property::LOST, |p| p.rules.confirm_cancel = false, fault),
        without("V7 fresh_take_over_ids", property::VOID, |p| p.rules.fresh_take_over_ids = false, world),
        without(
            "V8 unique_temporary_names",
            property::FALSE_STOP,
            |p| p.rules.unique_temporary_names = false,
            Parameters { take_overs: 3, ..fault },
        ),
        without(
            "V9 take_over_again",
            property::STUCK,
            |p| p.rules.take_over_again = false,
            Parameters { take_overs: 3, ..world },
        ),
        without("V10 published_mark", property::FALSE_STOP, |p| p.rules.published_mark = false, job),
        without("V11 list_before_lost", property::FALSE_STOP, |p| p.rules.list_before_lost = false, job),
        without("V12 staged_before_target", property::FALSE_STOP, |p| p.rules.staged_before_target = false, world),
        without(
            "V13 atomic rename",
            property::TWICE,
            |p| p.beyond.atomic_rename = false,
            Parameters { take_overs: 3, ..job },
        ),
        without(
            "V14 abandon_unclear_creates",
            property::FALSE_STOP,
            |p| p.rules.abandon_unclear_creates = false,
            fault,
        ),
        without("commit_before_publish", property::VOID, |p| p.rules.commit_before_publish = false, world),
        without(
            "acknowledge_after_publish",
            property::ACKNOWLEDGED,
            |p| p.rules.acknowledge_after_publish = false,
            world,
        ),
        without(
            "publish_every_file",
            property::LOST,
            |p| p.rules.publish_every_file = false,
            Parameters { files: 2, ..world },
        ),
        without("publish_before_fence", property::LOST, |p| p.rules.publish_before_fence = false, world),
        without("mark_after_publish", property::LOST, |p| p.rules.mark_after_publish = false, world),
        without("sweep_after_fence", property::LOST, |p| p.rules.sweep_after_fence = false, world),
        without("count_own_records", property::TWICE, |p| p.rules.count_own_records = false, job),
        without(
            "discard_only_lost",
            property::LOST,
            |p| p.rules.discard_only_lost = false,
            Parameters { faults: 2, ..world },
        ),
        without(
            "fold_by_predecessor",
            property::UNACCOUNTED,
            |p| {
                p.rules.fold_by_predecessor = false;
                p.beyond.archive_only_later = false;
            },
            three,
        ),
        without("archive_before_delete", property::UNACCOUNTED, |p| p.rules.archive_before_delete = false, two),
        without(
            "the topic's identity is compared",
            property::MIXED,
            |p| p.beyond.check_topic = false,
            Parameters { recreated: true, ..world },
        ),
        without(
            "lengths are compared",
            property::PARTIAL,
            |p| p.beyond.check_length = false,
            Parameters { short: true, ..fault },
        ),
    ]
}

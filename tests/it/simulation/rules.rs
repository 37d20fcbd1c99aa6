//! Proof that the proof works: each rule of the protocol is removed, and the simulation must notice, for a reason that the
//! rule is there to prevent.

use wasmill::checkpoint::Protocol;

use super::books::Kind::{Acknowledged, Doubled, Ledger, Lost, Partial, Stopped};
use super::books::{Kind, Violation};
use super::profile::named;
use super::world::{Case, run};

/// A rule, and where its absence shows.
pub(super) struct Rule {
    pub(super) name: &'static str,
    remove: fn(&mut Case),
    profile: &'static str,
    /// Within so many runs.
    within: u64,
    /// As one of these.
    shows_as: &'static [Kind],
}

macro_rules! rule {
    ($name:literal, $field:ident, $profile:literal, $within:literal, $kinds:expr) => {
        Rule {
            name: $name,
            remove: |case| case.protocol = Protocol { $field: false, ..case.protocol },
            profile: $profile,
            within: $within,
            shows_as: &$kinds,
        }
    };
}

/// All of them. V13 is a rule of the storage, so the simulated disk breaks it.
pub(super) const RULES: [Rule; 29] = [
    rule!("V1", list_after_commit, "zombies", 2_000, [Doubled]),
    rule!("V2", list_after_fence, "zombies", 5_000, [Doubled, Stopped, Lost, Ledger]),
    rule!("V3", list_again_before_publish, "zombies", 5_000, [Doubled]),
    rule!("V4", keep_void_records, "zombies", 2_000, [Ledger, Stopped]),
    rule!("V5", sweep_lower_fences_only, "zombies", 2_000, [Stopped, Lost]),
    rule!("V6", confirm_cancel, "troubled", 2_000, [Stopped]),
    rule!("V7", fresh_take_over_ids, "zombies", 2_000, [Doubled, Stopped, Lost]),
    rule!("V8", unique_temporary_names, "late", 2_000, [Stopped, Ledger, Lost]),
    rule!("V9", take_over_again, "zombies", 2_000, [Lost]),
    rule!("V10", published_mark, "downstream", 2_000, [Stopped]),
    rule!("V11", list_before_lost, "downstream", 2_000, [Stopped]),
    rule!("V12", staged_before_target, "downstream", 2_000, [Stopped]),
    Rule {
        name: "V13",
        remove: |case| case.atomic_rename = false,
        profile: "downstream",
        within: 2_000,
        shows_as: &[Doubled],
    },
    rule!("V14", abandon_unclear_creates, "late", 2_000, [Stopped, Partial]),
    rule!("commit-before-publish", commit_before_publish, "crashing", 2_000, [Doubled]),
    rule!("acknowledge-after-publish", acknowledge_after_publish, "mixed", 2_000, [Acknowledged]),
    rule!("publish-every-file", publish_every_file, "crashing", 2_000, [Acknowledged, Lost, Ledger]),
    rule!("publish-before-fence", publish_before_fence, "crashing", 2_000, [Acknowledged, Lost, Ledger]),
    rule!("mark-after-publish", mark_after_publish, "crashing", 2_000, [Acknowledged, Lost]),
    rule!("sweep-after-fence", sweep_after_fence, "zombies", 2_000, [Stopped, Lost]),
    rule!("count-own-records", count_own_records, "zombies", 2_000, [Doubled, Ledger]),
    rule!("discard-only-lost", discard_only_lost, "troubled", 2_000, [Stopped, Lost]),
    rule!("next-from-source", next_from_source, "mixed", 2_000, [Doubled, Acknowledged, Ledger]),
    rule!("skip-redelivered", skip_redelivered, "mixed", 2_000, [Doubled]),
    rule!("fold-by-predecessor", fold_by_predecessor, "zombies", 2_000, [Ledger]),
    rule!("archive-before-delete", archive_before_delete, "crashing", 2_000, [Ledger]),
    rule!("replay-under-fence", replay_under_fence, "replays", 2_000, [Doubled, Ledger]),
    rule!("replay-reads-archive", replay_reads_archive, "replays", 2_000, [Doubled, Ledger]),
    rule!("replay-names", replay_names, "replays", 2_000, [Stopped, Ledger, Lost]),
];

/// A run that shows that a rule is needed.
pub(super) struct Caught {
    pub(super) case: Case,
    pub(super) violation: Violation,
    /// How many runs it took.
    pub(super) runs: u64,
}

impl Rule {
    pub(super) fn named(name: &str) -> &'static Self {
        RULES.iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("there is no rule {name:?}"))
    }

    /// Takes the rule out of a case.
    pub(super) fn remove(&self, case: &mut Case) {
        (self.remove)(case);
    }

    /// The first run that shows it. What else its absence may lead to (another of the kinds above all rules) does not count.
    pub(super) fn catch(&self, first: u64) -> Result<Caught, String> {
        let mut others = std::collections::BTreeMap::<Kind, u64>::new();
        for runs in 1..=self.within {
            let mut case = Case::new(first + runs, &named(self.profile));
            self.remove(&mut case);
            match run(&case, false).violation {
                Some(violation) if self.shows_as.contains(&violation.kind) => {
                    return Ok(Caught { case, violation, runs });
                }
                Some(violation) => *others.entry(violation.kind).or_default() += 1,
                None => {}
            }
        }
        Err(format!("{} was removed, and {} runs noticed nothing of it ({others:?})", self.name, self.within))
    }
}

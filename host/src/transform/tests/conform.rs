//! The rules of the contract: what keeps them all, and for each a module that breaks it.

use super::guest::{Guest, if_any_is};
use super::*;
use crate::transform::conform::{Conformance, judge};

fn judged(config: &TransformConfig, module: &[u8]) -> Conformance {
    judge(&TransformEngine::new(None).unwrap(), config, module, &events_schema()).unwrap()
}

/// The rules that are broken.
fn broken(guest: &Guest) -> Vec<String> {
    // Half of the usual deadline of tests may pass on a busy machine.
    let mut config = config("guest");
    config.limits.deadline = Duration::from_secs(10);
    let found = judged(&config, &guest.build());
    let is_broken = found.rules.iter().filter(|judged| judged.broken.is_some());
    is_broken.map(|judged| judged.rule.id.clone()).collect()
}

/// A guest that answers `describe` with an error when a setting is there, as one of the SDK does for those it does not know.
fn strict(mut guest: Guest) -> Guest {
    let text = guest.memory.text("an unknown setting");
    let error = guest.memory.put(&[1u32, text[0], text[1]].map(u32::to_le_bytes).concat());
    guest.describe = format!("(select (i32.const {error}) {} (local.get 1))", guest.describe);
    guest
}

#[test]
fn what_the_sdk_makes_keeps_every_rule() {
    let mut config = config("keep-plays");
    config.limits.deadline = Duration::from_secs(10);
    let found = judged(&config, &shipped::module("keep-plays"));
    assert!(found.conforms(), "{found}");
    let kept = found.rules.iter().filter(|judged| judged.broken.is_none() && !judged.skipped).count();
    assert_eq!(kept, found.rules.len(), "{found}");
    assert!(found.to_string().ends_with(&format!("{kept} rules kept, 0 broken, 0 not judged\n")), "{found}");
}

#[test]
fn a_guest_in_the_text_format_keeps_them_too() {
    assert_eq!(broken(&strict(Guest::new())), Vec::<String>::new());
}

#[test]
fn what_cannot_be_loaded_is_judged_no_further() {
    let found = judged(&config("guest"), b"hello");
    assert!(!found.conforms());
    assert_eq!(found.rules.iter().filter(|judged| judged.skipped).count(), found.rules.len() - 1, "{found}");
}

#[test]
fn each_broken_rule_is_told() {
    let counting = |then: &str| {
        let mut guest = strict(Guest::new());
        guest.fields = "(global $calls (mut i32) (i32.const 0))".into();
        guest.process =
            format!("(global.set $calls (i32.add (global.get $calls) (i32.const 1))) {then} {}", guest.process);
        guest
    };

    let mut guest = strict(Guest::new());
    guest.describe = "(unreachable)".into();
    assert_eq!(broken(&guest), ["describes"]);

    let mut guest = Guest::new();
    let other = guest.memory.descriptor(&["n"], &[], &[], &[]);
    guest.fields = "(global $asked (mut i32) (i32.const 0))".into();
    guest.describe = format!(
        "(global.set $asked (i32.add (global.get $asked) (i32.const 1)))
         (select {} (i32.const {other}) (i32.eq (global.get $asked) (i32.const 1)))",
        guest.describe
    );
    assert!(broken(&strict(guest)).contains(&"describe-is-pure".to_owned()));

    let guest = strict(Guest::describing(&["n"], &[], &[], &[]));
    assert_eq!(broken(&guest), ["missing-columns-are-told"]);

    assert_eq!(broken(&Guest::new()), ["unknown-settings-are-told"]);

    let mut guest = strict(Guest::new());
    guest.start = "(unreachable)".into();
    assert_eq!(broken(&guest), ["starts"]);

    let mut guest = strict(Guest::describing(&["n"], &[], &[], &[]));
    guest.process = format!("{} {}", if_any_is(3, "(unreachable)"), guest.process);
    assert_eq!(broken(&guest), ["missing-columns-are-told", "batches-are-answered"]);

    let mut guest = strict(Guest::describing(&["n"], &[], &[], &[]));
    let text = guest.memory.text("no");
    let error = guest.memory.put(&[1u32, text[0], text[1]].map(u32::to_le_bytes).concat());
    guest.process = format!("{} {}", if_any_is(3, &format!("(return (i32.const {error}))")), guest.process);
    assert_eq!(broken(&guest), ["missing-columns-are-told", "batches-are-not-refused"]);

    // Every other call keeps nothing.
    let mut guest = counting("");
    let everything = guest.memory.output((0, [0, 0]), &[], (&[], &[]), None);
    let nothing = guest.memory.output((1, [0, 0]), &[], (&[], &[]), None);
    guest.process = format!(
        "(drop {}) (select (i32.const {nothing}) (i32.const {everything}) (i32.and (global.get $calls) (i32.const 1)))",
        guest.process
    );
    assert!(broken(&guest).contains(&"same-batch-same-output".to_owned()));

    // Large batches keep nothing.
    let mut guest = strict(Guest::new());
    let nothing = guest.memory.output((1, [0, 0]), &[], (&[], &[]), None);
    guest.process =
        format!("(select (i32.const {nothing}) {} (i32.gt_u (local.get $rows) (i32.const 6)))", guest.process);
    assert_eq!(broken(&guest), ["rows-stand-alone"]);

    let guest = counting("(drop (memory.grow (i32.const 1)))");
    assert_eq!(broken(&guest), ["memory-is-steady"]);
}

//! The failure policy `skip`: rows on which a transform fails go on unchanged, where a row still fits without it.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;

use super::guest::{Guest, if_any_is};
use super::*;
use crate::error::ErrorKind;

fn skipping() -> TransformConfig {
    TransformConfig { on_failure: FailurePolicy::Skip, ..config("optional") }
}

/// Writes what it reads under another name, and traps on row 11.
fn echoing(reads: &[&str], writes: &[(&str, &str, bool)]) -> Guest {
    let mut guest = Guest::echoing(reads, writes);
    guest.process = format!("{} {}", if_any_is(11, "unreachable"), guest.process);
    guest
}

/// Why a transform that writes so cannot be skipped.
#[track_caller]
fn refused(writes: &[(&str, &str, bool)], expected: &str) {
    let module = Guest::describing(&[], writes, &[], &[]).build();
    assert!(link(&[(config("needed"), module.clone())], events_schema()).is_ok(), "only the policy is wrong");
    let error = link(&[(skipping(), module)], events_schema()).err().expect("the policy must be refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("on_failure = \"skip\"") && text.contains(expected), "{text}");
}

#[test]
fn added_columns_are_null_in_rows_that_go_on_unchanged() {
    let guest = echoing(&["n"], &[("copy", "i", true)]);
    let chain = link(&[(skipping(), guest.build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 64).unwrap();
    assert_eq!((output.rows.num_rows(), output.rejected.len(), output.filtered), (64, 0, 0));
    let copies = output.rows.column(3).as_primitive::<Int32Type>();
    let expected: Int32Array = (0..64).map(|n| (n != 11).then_some(n)).collect();
    assert_eq!(copies, &expected);
    let [failure] = &output.failures[..] else { panic!("{:?}", output.failures) };
    assert_eq!((failure.skipped, failure.rows), (1, 0));
    assert_eq!(failure.kind, Some(super::super::FailureKind::Trapped));
    assert!(failure.detail.contains("unreachable"), "{failure:?}");
}

#[test]
fn replaced_columns_keep_what_they_had_and_dropped_ones_are_gone() {
    let mut guest = Guest::describing(&["n"], &[("n", "i", false)], &["auth"], &[]);
    // Sevens for all rows.
    let sevens = guest.memory.words(&[7; 64]);
    let column = guest.memory.put(&[1, 0, sevens[0], 0].iter().flat_map(|w: &u32| w.to_le_bytes()).collect::<Vec<_>>());
    guest.memory.put(&[0; 64]);
    let answer = guest.memory.output((0, [0, 0]), &[], (&[], &[]), None);
    guest.process = format!(
        "{}
         (i32.store (i32.const {column}) (i32.const 1))
         (i32.store offset=4 (i32.const {column}) (i32.const {}))
         (i32.store offset=8 (i32.const {column}) (local.get $rows))
         (i32.store offset=16 (i32.const {answer}) (i32.const {column}))
         (i32.store offset=20 (i32.const {answer}) (i32.const 1))
         (i32.const {answer})",
        if_any_is(11, "unreachable"),
        sevens[0]
    );
    let chain = link(&[(skipping(), guest.build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 64).unwrap();
    assert_eq!((output.rows.num_rows(), output.rows.num_columns()), (64, 2));
    let numbers = output.rows.column(1).as_primitive::<Int32Type>();
    assert!((0..64).all(|n| numbers.value(n) == if n == 11 { 11 } else { 7 }), "{numbers:?}");
    assert_eq!(numbers.null_count(), 0);
}

#[test]
fn rows_beside_those_that_go_on_unchanged_may_be_repeated() {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    let list = guest.memory.words(&[0, 0]);
    let answer = guest.memory.output((4, list), &[], (&[], &[]), None);
    guest.process = format!("{} (i32.const {answer})", if_any_is(1, "unreachable"));
    let chain = link(&[(skipping(), guest.build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 3).unwrap();
    assert_eq!(output.messages, [0, 0, 1, 2, 2]);
}

#[test]
fn what_a_later_transform_rejects_is_rejected_all_the_same() {
    let skipped = echoing(&["n"], &[("copy", "i", true)]);
    let mut strict = Guest::describing(&["n"], &[], &[], &[]);
    strict.process = format!("{} {}", if_any_is(11, "unreachable"), strict.process);
    let chain = link(&[(skipping(), skipped.build()), (config("strict"), strict.build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 20).unwrap();
    assert_eq!(output.rejected.iter().map(|rejected| rejected.message).collect::<Vec<_>>(), [11]);
    assert_eq!(output.failures.iter().map(|failure| failure.skipped).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn a_transform_that_the_table_needs_cannot_be_skipped() {
    refused(&[("new", "u", false)], "adds column `new`, which is never null");
    refused(&[("n", "l", true)], "makes Int64 of column `n`, which is Int32");
    refused(&[("auth", "u", false)], "says that column `auth` is never null");
    let both = "adds column `a`, which is never null; it adds column `b`";
    refused(&[("a", "u", false), ("c", "u", true), ("b", "i", false)], both);
}

//! What becomes of rows when a transform fails: which are found, what is said of them, and what the policies do.

use super::guest::{FOREVER, Guest, Memory, column, if_any_is};
use super::*;
use crate::error::ErrorKind;
use crate::reason;

/// Links `guest` alone.
fn alone(guest: &Guest) -> Result<TransformChain> {
    link(&[(config("guest"), guest.build())], events_schema())
}

/// Why `guest` cannot be linked.
fn refusal(guest: &Guest) -> String {
    let error = alone(guest).err().expect("the guest must be refused");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

/// The messages that were rejected for `reason`.
fn rejected<'a>(output: &'a ChainOutput, reason: &'a str) -> impl Iterator<Item = u32> + 'a {
    output.rejected.iter().filter(move |rejected| rejected.reason == reason).map(|rejected| rejected.message)
}

#[test]
fn a_guest_that_does_nothing_changes_nothing() {
    let chain = alone(&Guest::new()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 100).unwrap();
    assert_eq!(output.rows, events(100).0.rows);
}

#[test]
fn rows_that_trap_are_found_and_all_others_go_on() {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    guest.process = format!("{} {} {}", if_any_is(37, "unreachable"), again(500, "unreachable"), guest.process);
    let mut chain = alone(&guest).unwrap().instantiate().unwrap();
    let output = run(&mut chain, 1000).unwrap();
    assert_eq!(rejected(&output, reason::TRANSFORM_TRAP).collect::<Vec<_>>(), [37, 500]);
    assert_eq!(output.rows.num_rows(), 998);
    let [failure] = &output.failures[..] else { panic!("{:?}", output.failures) };
    assert_eq!(failure.rows, 2);
    // Ten halvings of a thousand rows, two calls each, for each of two rows.
    assert!(failure.failed_calls <= 2 * 11, "{failure:?}");
    assert!(failure.detail.contains("unreachable"), "{failure:?}");
    assert_eq!(run(&mut chain, 30).unwrap().rows.num_rows(), 30, "the chain goes on after a failure");
}

/// `if_any_is` a second time in one function.
fn again(number: i32, then: &str) -> String {
    format!("(local.set $i (i32.const 0)) {}", if_any_is(number, then).replace("$next", "$next2"))
}

#[test]
fn a_row_that_never_ends_is_found_by_its_deadline() {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    guest.process = format!("{} {}", if_any_is(3, FOREVER), guest.process);
    let output = run(&mut alone(&guest).unwrap().instantiate().unwrap(), 8).unwrap();
    assert!(rejected(&output, reason::TRANSFORM_DEADLINE).any(|message| message == 3));
    assert_eq!(rejected(&output, reason::TRANSFORM_DEADLINE).count(), output.rejected.len());
}

#[test]
fn the_search_for_poison_rows_ends() {
    let mut guest = Guest::new();
    guest.process = format!("{FOREVER} {}", guest.process);
    // One by one, these would take two minutes.
    let output = run(&mut alone(&guest).unwrap().instantiate().unwrap(), 1024).unwrap();
    assert_eq!(output.rejected.len(), 1024);
}

#[test]
fn under_the_policy_stop_a_poison_row_is_an_error_that_names_it() {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    guest.process = format!("{} {}", if_any_is(5, "unreachable"), guest.process);
    let config = TransformConfig { on_failure: FailurePolicy::Stop, ..config("strict") };
    let mut chain = link(&[(config, guest.build())], events_schema()).unwrap().instantiate().unwrap();
    let error = run(&mut chain, 10).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Guest);
    for part in ["`strict`", "offset 105", "events/3", "unreachable"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_guests_own_error_rejects_its_rows_with_the_text() {
    let mut guest = Guest::new();
    let text = guest.memory.text("no such\u{1b} table");
    let answer = guest.memory.put(&words(&[1, text[0], text[1]]));
    let output = run(&mut alone(&guest.answering(answer)).unwrap().instantiate().unwrap(), 2).unwrap();
    assert_eq!(rejected(&output, reason::TRANSFORM_ERROR).count(), 2);
    assert_eq!(output.rejected[0].detail, "no such\\u{1b} table");
}

#[test]
fn descriptions_that_do_not_fit_are_refused_with_every_problem() {
    let writes =
        [("b", "u", true), ("b", "i", true), ("$offset", "l", true), ("c", "no-format", true), ("", "u", true)];
    let guest = Guest::describing(&["artist", "n", "n"], &writes, &["song", "b"], &["ok", "not ok", "transform-trap"]);
    let text = refusal(&guest);
    for part in [
        "`guest`",
        "reads column `artist`",
        "reads column `n` twice",
        "writes column `b` twice",
        "`$offset`",
        "`no-format`",
        "drops column `song`",
        "both writes and drops column `b`",
        "`not ok`",
        "`transform-trap`",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn the_last_log_lines_explain_a_trap_and_cannot_move_the_cursor() {
    let mut guest = Guest::new();
    guest.imports = r#"(import "wasmill:transform/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#.to_owned();
    let [address, length] = guest.memory.text("row 7:\u{1b}[2J broken\nERROR forged");
    guest.process = format!("(call $log (i32.const 4) (i32.const {address}) (i32.const {length})) unreachable");
    let output = run(&mut alone(&guest).unwrap().instantiate().unwrap(), 1).unwrap();
    let detail = &output.rejected[0].detail;
    assert!(detail.contains("log: row 7:\\u{1b}[2J broken\\nERROR forged"), "{detail}");
}

#[test]
fn metrics_are_summed_over_instances() {
    let mut guest = Guest::new();
    guest.imports =
        r#"(import "wasmill:transform/metrics@0.1.0" "counter" (func $counter (param i32 i32) (result i32)))
                       (import "wasmill:transform/metrics@0.1.0" "add" (func $add (param i32 i64)))"#
            .to_owned();
    let [address, length] = guest.memory.text("rows");
    guest.process = format!(
        "(call $add (call $counter (i32.const {address}) (i32.const {length})) (i64.extend_i32_u (local.get $rows)))
         (call $add (i32.const 77777) (i64.const 1))
         {}",
        guest.process
    );
    let chain = alone(&guest).unwrap();
    run(&mut chain.instantiate().unwrap(), 10).unwrap();
    run(&mut chain.instantiate().unwrap(), 5).unwrap();
    let [metric] = &chain.metrics()[..] else { panic!("{:?}", chain.metrics()) };
    assert_eq!((metric.transform.as_str(), metric.name.as_str()), ("guest", "rows"));
    assert_eq!(metric.value, super::super::MetricValue::Counter(15));
}

/// A column of one string, given by its offsets and bytes.
fn string(memory: &mut Memory, offsets: &[u32], bytes: &[u8]) -> [u32; 10] {
    let values = [memory.words(offsets), memory.text(bytes)].concat();
    column(5, &values, None)
}

const ALL: (u32, [u32; 2]) = (0, [0, 0]);

#[test]
fn more_than_the_allowed_bytes_cannot_be_handed_back() {
    let mut guest = Guest::describing(&[], &[("s", "u", false)], &[], &[]);
    let column = string(&mut guest.memory, &[0, 200_000], &[b'a'; 200_000]);
    let answer = guest.memory.output(ALL, &[column], (&[], &[]), None);
    let module = guest.answering(answer).build();
    let mut config = config("guest");
    let kept = |config: &TransformConfig| {
        let chain = link(&[(config.clone(), module.clone())], events_schema()).unwrap();
        run(&mut chain.instantiate().unwrap(), 1).unwrap()
    };
    assert_eq!(kept(&config).rows.num_rows(), 1);
    config.limits.output_bytes = 100_000;
    assert_eq!(rejected(&kept(&config), reason::TRANSFORM_OUTPUT).count(), 1);
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

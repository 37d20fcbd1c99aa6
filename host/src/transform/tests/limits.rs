//! Limits that are no matter of one call: the high-water mark, log and metrics, and what failures and repeated rows may
//! take.

use arrow::array::{Array, ListArray};

use super::guest::{Guest, Memory};
use super::*;
use crate::reason;

/// Grows by thirty pages with each batch, from sixteen on, and traps at the third batch of an instance.
fn growing() -> Vec<u8> {
    let mut guest = Guest::new();
    guest.fields = "(global $batches (mut i32) (i32.const 0))".to_owned();
    guest.process = format!(
        "(drop (memory.grow (i32.const 30)))
         (global.set $batches (i32.add (global.get $batches) (i32.const 1)))
         (if (i32.gt_u (global.get $batches) (i32.const 2)) (then unreachable))
         {}",
        guest.process
    );
    guest.build()
}

/// Batches of ten on which an instance of `growing` failed.
fn failed_batches(high_water_bytes: Option<usize>) -> usize {
    let limits = GuestLimits { high_water_bytes, ..config("").limits };
    let chain = link(&[(TransformConfig { limits, ..config("growing") }, growing())], events_schema()).unwrap();
    let mut instance = chain.instantiate().unwrap();
    let failed = |_: &usize| {
        let output = run(&mut instance, 5).unwrap();
        assert_eq!(output.rows.num_rows(), 5, "no row is lost, whichever instance sees it");
        !output.failures.is_empty()
    };
    (0..10).filter(failed).count()
}

#[test]
fn above_its_high_water_mark_an_instance_is_replaced() {
    assert_eq!(failed_batches(Some(64 << 16)), 0);
    assert!(failed_batches(None) > 0, "three quarters of 128 pages come too late for this guest");
}

#[test]
fn a_mark_below_what_the_guest_starts_with_is_refused() {
    let limits = GuestLimits { high_water_bytes: Some(8 << 16), ..config("").limits };
    let error = link(&[(TransformConfig { limits, ..config("guest") }, Guest::new().build())], events_schema());
    let error = error.err().expect("it would be replaced after each batch").to_string();
    assert!(error.contains("1048576 bytes") && error.contains("524288"), "{error}");
}

#[test]
fn the_mark_leaves_room_to_guests_that_are_large_from_the_start() {
    let limits = GuestLimits::default();
    assert_eq!(limits.high_water(1 << 20), 48 << 20);
    assert_eq!(limits.high_water(60 << 20), 62 << 20);
    assert_eq!(GuestLimits { high_water_bytes: Some(7), ..limits }.high_water(5), 7);
}

#[test]
fn workers_share_the_instances_that_there_may_be() {
    let limits = GuestLimits { instances: Some(1), ..config("").limits };
    let guest = (TransformConfig { limits, ..config("guest") }, Guest::new().build());
    let chain = link(&[guest], events_schema()).unwrap();
    let used = || chain.counts().remove(0).used.unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut worker = chain.instantiate().unwrap();
                for _ in 0..20 {
                    assert_eq!(run(&mut worker, 5).unwrap().rows.num_rows(), 5);
                    assert!(used().instances <= 1);
                }
            });
        }
    });
    assert_eq!((used().instances, used().instances_limit), (1, Some(1)));
}

#[test]
fn metrics_beyond_the_limit_count_nothing() {
    let mut guest = Guest::new();
    guest.imports =
        r#"(import "wasmill:transform/metrics@0.1.0" "counter" (func $counter (param i32 i32) (result i32)))
           (import "wasmill:transform/metrics@0.1.0" "add" (func $add (param i32 i64)))"#
            .to_owned();
    let names = guest.memory.text("abcdefgh");
    let count =
        |n: u32| format!("(call $add (call $counter (i32.const {}) (i32.const 1)) (i64.const 1))", names[0] + n);
    guest.process = format!("{} {}", (0..8).map(count).collect::<String>(), guest.process);
    let limits = GuestLimits { metrics: 3, ..config("").limits };
    let chain = link(&[(TransformConfig { limits, ..config("guest") }, guest.build())], events_schema()).unwrap();
    run(&mut chain.instantiate().unwrap(), 2).unwrap();
    assert_eq!(chain.metrics().iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

/// A guest that logs forty numbered lines of 300 bytes, and then does `last` in `$inner`, called by `$outer`.
fn logging(last: &str) -> Guest {
    let mut guest = Guest::describing(&["n"], &[("s", "u", false)], &[], &[]);
    guest.imports = r#"(import "wasmill:transform/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#.to_owned();
    let line = |guest: &mut Memory, n: u32| {
        let [address, length] = guest.text(format!("line {n} {}", "x".repeat(300)));
        format!("(call $log (i32.const 4) (i32.const {address}) (i32.const {length}))")
    };
    let lines: String = (0..40).map(|n| line(&mut guest.memory, n)).collect();
    guest.fields = format!("(func $inner {last}) (func $outer (call $inner))");
    guest.process = format!("{lines} (call $outer) {}", guest.process);
    guest
}

fn only_detail(guest: &Guest, reason: &str) -> String {
    let chain = link(&[(config("guest"), guest.build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 1).unwrap();
    let [rejected] = &output.rejected[..] else { panic!("{:?}", output.rejected) };
    assert_eq!(rejected.reason, reason, "{rejected:?}");
    assert!(rejected.detail.len() <= 4096 + '…'.len_utf8(), "{} bytes", rejected.detail.len());
    rejected.detail.clone()
}

#[test]
fn a_dead_letter_carries_the_trap_the_backtrace_and_the_last_log_lines() {
    let detail = only_detail(&logging("unreachable"), reason::TRANSFORM_TRAP);
    let parts = ["unreachable", "; at inner+", "; at outer+", "; at process+", "; log: line 37 ", "; log: line 39 "];
    let places: Vec<_> = parts.map(|part| detail.find(part).unwrap_or_else(|| panic!("{part}: {detail}"))).to_vec();
    assert!(places.is_sorted(), "{detail}");
    assert!(!detail.contains("line 30 "), "there is no room for all: {detail}");
}

#[test]
fn a_deep_backtrace_does_not_crowd_out_the_log() {
    let mut guest = logging("");
    let name = "f".repeat(150);
    guest.fields.push_str(&format!(
        "(func ${name} (param i32) (if (local.get 0) (then (call ${name} (i32.sub (local.get 0) (i32.const 1)))))
           (if (i32.eqz (local.get 0)) (then unreachable)))"
    ));
    guest.process = guest.process.replace("(call $outer)", &format!("(call ${name} (i32.const 100))"));
    let detail = only_detail(&guest, reason::TRANSFORM_TRAP);
    assert!(detail.contains("; at fff") && detail.contains("; log: line 39 "), "{detail}");
}

#[test]
fn a_bad_output_is_explained_by_the_log_too() {
    let detail = only_detail(&logging(""), reason::TRANSFORM_OUTPUT);
    assert!(detail.contains("0 columns, and the transform writes 1; log: line"), "{detail}");
}

#[test]
fn an_endless_loop_says_where_it_was() {
    let detail = only_detail(&logging("(loop $l (br $l))"), reason::TRANSFORM_DEADLINE);
    assert!(detail.contains("stopped at its deadline; at inner+"), "{detail}");
    assert!(detail.contains("; log: line 39 "), "{detail}");
}

#[test]
fn only_the_poison_rows_are_given_up_however_slow_they_are() {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    let forever = super::guest::FOREVER;
    let poison = [3, 40].map(|n| {
        let label = format!("$next{n}");
        format!("(local.set $i (i32.const 0)) {}", super::guest::if_any_is(n, forever).replace("$next", &label))
    });
    guest.process = format!("{} {}", poison.concat(), guest.process);
    let limits = GuestLimits { deadline: Duration::from_millis(200), ..config("").limits };
    let chain = link(&[(TransformConfig { limits, ..config("guest") }, guest.build())], events_schema()).unwrap();
    // Both together take fifteen deadlines to find, and the search has twelve for each.
    let output = run(&mut chain.instantiate().unwrap(), 256).unwrap();
    assert_eq!(output.rejected.iter().map(|rejected| rejected.message).collect::<Vec<_>>(), [3, 40]);
}

/// A guest that makes sixty thousand rows of the first one.
fn repeating() -> Vec<u8> {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    let list = guest.memory.words(&vec![0; 60_000]);
    let answer = guest.memory.output((4, list), &[], (&[], &[]), None);
    guest.answering(answer).build()
}

/// Limits as a pipeline has them by default.
fn default_limits(name: &str) -> TransformConfig {
    TransformConfig { limits: GuestLimits::default(), ..config(name) }
}

#[test]
fn repeated_rows_are_bounded_when_only_one_of_a_thousand_lists_is_long() {
    let lists = (0..1000).map(|n| Some(if n == 0 { "x".repeat(1 << 20) } else { String::new() }));
    let items = Arc::new(StringArray::from_iter(lists)) as arrow::array::ArrayRef;
    let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([1; 1000]);
    let lists = Arc::new(ListArray::new(field, offsets, items, None));
    let (events, source) = events(1000);
    let columns = [events.rows.columns(), &[lists.clone() as _]].concat();
    let list = Field::new("l", lists.data_type().clone(), true);
    let fields: Vec<_> = events_schema().fields().iter().cloned().chain([Arc::new(list)]).collect();
    let schema = Arc::new(Schema::new(fields));
    let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let decoded = Decoded { rows, messages: events.messages, undecodable: Vec::new() };
    let chain = link(&[(default_limits("repeating"), repeating())], schema).unwrap();
    let output = chain.instantiate().unwrap().process(&decoded, &source).unwrap();
    assert!(output.rejected.iter().any(|rejected| rejected.message == 0 && rejected.detail.contains("grow to")));
    assert!(output.rows.get_array_memory_size() < 1 << 30, "{}", output.rows.get_array_memory_size());
}

#[test]
fn repeated_rows_are_bounded_by_the_keys_that_a_later_transform_reads() {
    let (decoded, mut source) = events(1);
    let mut messages = OwnedMessages::default();
    let key = vec![b'k'; 1 << 20];
    messages.push(Message { offset: 100, timestamp_ms: None, key: Some(&key), payload: None });
    source.messages = Box::new(messages);
    let reading = Guest::describing(&["$key"], &[], &[], &[]).build();
    let modules = [(default_limits("repeating"), repeating()), (default_limits("reading"), reading)];
    let chain = link(&modules, events_schema()).unwrap();
    let output = chain.instantiate().unwrap().process(&decoded, &source).unwrap();
    let [rejected] = &output.rejected[..] else { panic!("{:?}", output.rejected) };
    assert!(rejected.transform == 0 && rejected.detail.contains("grow to"), "{rejected:?}");
}

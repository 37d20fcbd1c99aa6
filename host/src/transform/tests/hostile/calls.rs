//! Calls that do not end, and calls that end in a trap or an error.

use std::time::Instant;

use super::super::guest::{FOREVER, if_any_is};
use super::Expected::*;
use super::*;
use crate::reason::{TRANSFORM_DEADLINE, TRANSFORM_ERROR, TRANSFORM_OUTPUT, TRANSFORM_TRAP};

/// A guest that reads `n` and does `code` before it answers.
pub(super) fn in_process(code: &str) -> Vec<u8> {
    with_fields("", code)
}

/// The same with further fields of the module.
pub(super) fn with_fields(fields: &str, code: &str) -> Vec<u8> {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    guest.fields = fields.to_owned();
    guest.process = format!("{code} {}", guest.process);
    guest.build()
}

fn in_describe(code: &str) -> Vec<u8> {
    let mut guest = Guest::new();
    guest.describe = format!("{code} {}", guest.describe);
    guest.build()
}

fn in_start(code: &str) -> Vec<u8> {
    let mut guest = Guest::new();
    guest.start = format!("{code} {}", guest.start);
    guest.build()
}

/// Code that runs while the module is instantiated.
fn in_start_function(code: &str) -> Vec<u8> {
    with_fields(&format!("(func $begin {code}) (start $begin)"), "")
}

/// A guest whose allocator does `code` once the first batch has come.
fn in_realloc(code: &str) -> Vec<u8> {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    guest.fields = "(global $traffic (mut i32) (i32.const 0))".to_owned();
    guest.start = format!("(global.set $traffic (i32.const 1)) {}", guest.start);
    guest.realloc = format!("(if (global.get $traffic) (then {code})) {}", guest.realloc);
    guest.build()
}

/// A guest that does `code` when its answer was taken.
fn in_post_return(code: &str) -> Vec<u8> {
    let name = "cabi_post_wasmill:transform/transform@0.1.0#process";
    with_fields(&format!("(func (export \"{name}\") (param i32) {code})"), "")
}

/// `describe` that counts, and answers otherwise from the second call on.
fn counting_calls() -> Vec<u8> {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    let other = guest.memory.descriptor(&[], &[("other", "u", false)], &["auth"], &[]);
    guest.fields = "(global $calls (mut i32) (i32.const 0))".to_owned();
    guest.describe = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (select {} (i32.const {other}) (i32.eq (global.get $calls) (i32.const 1)))",
        guest.describe
    );
    guest.build()
}

/// Answers with an error whose text is `bytes`.
fn error(bytes: &[u8]) -> Vec<u8> {
    let mut guest = Guest::new();
    let [address, length] = guest.memory.text(bytes);
    let words: Vec<u8> = [1, address, length].iter().flat_map(|word| word.to_le_bytes()).collect();
    let answer = guest.memory.put(&words);
    guest.answering(answer).build()
}

/// A loop of so many rounds.
fn rounds(count: u32) -> String {
    format!(
        "(local.set $i (i32.const {count}))
         (loop $round (br_if $round (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"
    )
}

/// A loop that takes about this share of what a call may.
fn about_the_deadline(share: f64) -> String {
    let many = 1_000_000_000;
    let mut config = config("measured");
    config.limits.deadline = Duration::from_secs(60);
    let chain = link(&[(config, in_process(&rounds(many)))], events_schema()).unwrap();
    let mut instance = chain.instantiate().unwrap();
    let started = Instant::now();
    run(&mut instance, 1).unwrap();
    let allowed = Edge(TRANSFORM_DEADLINE).deadline().as_secs_f64() * share;
    rounds((f64::from(many) * allowed / started.elapsed().as_secs_f64()) as u32)
}

/// Fails on rows that are not the first of their instance.
fn failing_when_used() -> Vec<u8> {
    with_fields(
        "(global $used (mut i32) (i32.const 0))",
        "(if (global.get $used) (then unreachable)) (global.set $used (i32.const 1))",
    )
}

fn guest(name: &'static str, does: &'static str, expected: Expected, make: fn() -> Vec<u8>) -> Hostile {
    Hostile { name, does, make, expected }
}

pub(super) fn guests() -> Vec<Hostile> {
    let late = || Rejected(TRANSFORM_DEADLINE, "");
    let trap = |text| Rejected(TRANSFORM_TRAP, text);
    vec![
        guest("loop-in-process", "never ends in `process`", late(), || in_process(FOREVER)),
        guest("loop-on-one-row", "never ends when it sees one row", Poison(TRANSFORM_DEADLINE), || {
            in_process(&if_any_is(POISON, FOREVER))
        }),
        guest("loop-in-describe", "never ends in `describe`", Refused("deadline"), || in_describe(FOREVER)),
        guest("loop-in-start", "never ends in `start`", Refused("deadline"), || in_start(FOREVER)),
        guest("loop-in-start-function", "never ends when it is instantiated", Refused("deadline"), || {
            in_start_function(FOREVER)
        }),
        guest("loop-in-realloc", "never ends when it is asked for memory", late(), || in_realloc(FOREVER)),
        guest("loop-in-post-return", "never ends when its answer was taken", late(), || in_post_return(FOREVER)),
        guest("loop-of-tail-calls", "calls itself in place of returning, for ever", late(), || {
            with_fields("(func $again (return_call $again))", "(call $again)")
        }),
        guest("loop-of-fills", "fills its memory again and again with one instruction each", late(), || {
            in_process("(loop $more (memory.fill (i32.const 600000) (i32.const 1) (i32.const 400000)) (br $more))")
        }),
        guest("loop-of-host-calls", "asks for the log's level for ever", late(), || {
            let mut guest = Guest::describing(&["n"], &[], &[], &[]);
            guest.imports = host_calls::LOG.to_owned();
            guest.process = format!("(loop $more (drop (call $enabled (i32.const 0))) (br $more)) {}", guest.process);
            guest.build()
        }),
        guest("process-at-the-deadline", "takes as long as it may in `process`", Edge(TRANSFORM_DEADLINE), || {
            in_process(&about_the_deadline(1.0))
        }),
        guest("describe-at-the-deadline", "takes as long as it may in `describe`", Edge(TRANSFORM_DEADLINE), || {
            let code = about_the_deadline(1.0).replace("$i", "$j");
            in_describe(&format!("(local $j i32) {code}"))
        }),
        guest("start-that-takes-long", "takes a fifth of what it may in `start`", Edge(TRANSFORM_DEADLINE), || {
            let code = about_the_deadline(0.2).replace("$i", "$j");
            in_start(&format!("(local $j i32) {code}"))
        }),
        guest("describe-differs", "describes something else at the second call", Kept, counting_calls),
        guest("trap-in-process", "traps in `process`", trap("unreachable"), || in_process("unreachable")),
        guest("trap-on-one-row", "traps when it sees one row", Poison(TRANSFORM_TRAP), || {
            in_process(&if_any_is(POISON, "unreachable"))
        }),
        guest("trap-in-describe", "traps in `describe`", Refused("unreachable"), || in_describe("unreachable")),
        guest("trap-in-start", "traps in `start`", Refused("unreachable"), || in_start("unreachable")),
        guest("trap-in-start-function", "traps when it is instantiated", Refused("unreachable"), || {
            in_start_function("unreachable")
        }),
        guest("trap-in-realloc", "traps when it is asked for memory", trap("unreachable"), || {
            in_realloc("unreachable")
        }),
        guest("trap-in-post-return", "traps when its answer was taken", trap("unreachable"), || {
            in_post_return("unreachable")
        }),
        guest("trap-when-used", "keeps state, and fails on an instance that saw rows before", Kept, failing_when_used),
        guest("recursion", "calls itself without end", trap("stack"), || {
            with_fields(
                "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))",
                "(drop (call $deep (i32.const 1)))",
            )
        }),
        guest("recursion-through-table", "calls itself without end through a table", trap("stack"), || {
            with_fields(
                "(type $f (func (param i64 i64 i64 i64)))
                 (table 1 1 funcref) (elem (i32.const 0) $deep)
                 (func $deep (type $f)
                   (call_indirect (type $f) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 0))
                   (call_indirect (type $f) (local.get 3) (local.get 2) (local.get 1) (local.get 0) (i32.const 0)))",
                "(call $deep (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))",
            )
        }),
        guest("division-by-zero", "divides by zero", trap("divide by zero"), || {
            in_process("(drop (i32.div_u (local.get $rows) (i32.const 0)))")
        }),
        guest("integer-overflow", "divides the smallest number by -1", trap("overflow"), || {
            in_process("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))")
        }),
        guest("nan-to-integer", "makes an integer of what is not a number", trap("invalid conversion"), || {
            in_process("(drop (i32.trunc_f64_s (f64.const nan)))")
        }),
        guest("load-out-of-bounds", "reads past its memory", trap("out of bounds memory"), || {
            in_process("(drop (i32.load offset=0xffffffff (i32.const 0xfffffff0)))")
        }),
        guest("store-out-of-bounds", "writes past its memory", trap("out of bounds memory"), || {
            in_process("(i64.store (i32.const 1048575) (i64.const -1))")
        }),
        guest("call-of-nothing", "calls an empty entry of a table", trap("uninitialized element"), || {
            with_fields("(type $f (func)) (table 1 1 funcref)", "(call_indirect (type $f) (i32.const 0))")
        }),
        guest("call-of-another-type", "calls a function by another type", trap("indirect call type mismatch"), || {
            with_fields(
                "(type $f (func)) (type $g (func (param i64))) (table 1 1 funcref) (elem (i32.const 0) $h)
                 (func $h (type $g))",
                "(call_indirect (type $f) (i32.const 0))",
            )
        }),
        guest("error", "answers with an error", Rejected(TRANSFORM_ERROR, "no"), || error(b"no")),
        guest(
            "error-that-moves-the-cursor",
            "answers with an error full of control characters",
            Rejected(TRANSFORM_ERROR, "\\u{1b}[2J\\u{202e}"),
            || error("\u{1b}[2J\u{202e}\r\0 forged".as_bytes()),
        ),
        guest("error-of-a-megabyte", "answers with an error of 400 kB", Rejected(TRANSFORM_ERROR, "aaa"), || {
            error(&[b'a'; 400_000])
        }),
        guest(
            "error-that-is-no-text",
            "answers with an error that is not UTF-8",
            Rejected(TRANSFORM_OUTPUT, "utf-8"),
            || error(b"a\xff"),
        ),
        guest(
            "answer-out-of-bounds",
            "answers with an address past its memory",
            Rejected(TRANSFORM_OUTPUT, ""),
            || Guest::new().answering(0xffff_fff0).build(),
        ),
        guest("answer-not-aligned", "answers with an odd address", Rejected(TRANSFORM_OUTPUT, "aligned"), || {
            Guest::new().answering(65_537).build()
        }),
        guest(
            "answer-of-no-case",
            "answers neither with a result nor with an error",
            Rejected(TRANSFORM_OUTPUT, ""),
            || {
                let mut guest = Guest::new();
                let answer = guest.memory.put(&[7; 64]);
                guest.answering(answer).build()
            },
        ),
        guest(
            "realloc-out-of-bounds",
            "says that its memory goes on where it does not",
            Rejected(TRANSFORM_OUTPUT, ""),
            || in_realloc("(return (i32.const 0x7ffffff0))"),
        ),
        guest(
            "realloc-at-the-last-byte",
            "gives memory that ends after its memory's end",
            Rejected(TRANSFORM_OUTPUT, ""),
            || in_realloc("(return (i32.const 1048576))"),
        ),
        guest("realloc-not-aligned", "gives memory at an odd address", Rejected(TRANSFORM_OUTPUT, "aligned"), || {
            in_realloc("(return (i32.const 600001))")
        }),
        guest("realloc-of-minus-one", "gives memory at the highest address", Rejected(TRANSFORM_OUTPUT, ""), || {
            in_realloc("(return (i32.const -1))")
        }),
        guest("realloc-always-the-same", "gives the same memory for everything", Kept, || {
            in_realloc("(return (i32.const 600000))")
        }),
        guest("realloc-over-itself", "gives the memory where its answers lie", Edge("transform-"), || {
            let mut guest = Guest::describing(&["n"], &[], &[], &[]);
            guest.fields = "(global $traffic (mut i32) (i32.const 0))".to_owned();
            guest.start = format!("(global.set $traffic (i32.const 1)) {}", guest.start);
            let answer = guest.process.clone();
            guest.realloc = format!("(if (global.get $traffic) (then (return {answer}))) {}", guest.realloc);
            guest.build()
        }),
    ]
}

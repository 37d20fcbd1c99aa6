//! Memory, tables and state.

use super::Expected::*;
use super::calls::{in_process, with_fields};
use super::*;
use crate::reason::{TRANSFORM_OUTPUT, TRANSFORM_TRAP};

const GROW_TO_THE_LIMIT: &str = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";

/// Hands back `kilobytes` of one dictionary entry for each row, when a batch has one row; else it traps.
fn large_when_alone(kilobytes: usize) -> Vec<u8> {
    let mut guest = Guest::describing(&[], &[("s", "u", false)], &[], &[]);
    let text = vec![b'a'; kilobytes * 1000];
    let values = [guest.memory.words(&[0, text.len() as u32]), guest.memory.text(&text)].concat();
    let column = super::super::guest::column(5, &values, None);
    let answer = guest.memory.output((0, [0, 0]), &[column], (&[], &[]), None);
    guest.process = format!("(if (i32.ne (local.get $rows) (i32.const 1)) (then unreachable)) (i32.const {answer})");
    guest.build()
}

fn pages(pages: u32) -> Vec<u8> {
    let mut guest = Guest::new();
    guest.pages = pages;
    guest.build()
}

pub(super) fn guests() -> Vec<Hostile> {
    let guest = |name, does, expected, make| Hostile { name, does, make, expected };
    vec![
        guest("memory-at-the-limit", "grows its memory as far as it can, and works on", Kept, || {
            in_process(GROW_TO_THE_LIMIT)
        }),
        guest(
            "memory-beyond-the-limit",
            "traps when it cannot have more memory than it may",
            Rejected(TRANSFORM_TRAP, "unreachable"),
            || in_process("(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))"),
        ),
        guest("memory-asked-in-vain", "asks for impossible growth for a hundred thousand times", Kept, || {
            in_process(
                "(loop $more (drop (memory.grow (i32.const 65535))) (drop (memory.grow (i32.const 0)))
                   (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))",
            )
        }),
        guest("memory-large-at-once", "wants 64 MB from the start", Refused("memory"), || pages(1000)),
        guest("memory-of-4-gigabytes", "wants all memory that there can be", Refused("memory"), || pages(65_536)),
        guest(
            "memories-by-the-dozen",
            "wants many small memories, each of which reserves 4 GiB of addresses",
            Refused("memor"),
            || with_fields(&"(memory 0)".repeat(60), ""),
        ),
        guest("memories-together-too-large", "spreads 15 MB over ten memories", Refused("memory"), || {
            with_fields(&"(memory 23)".repeat(10), "")
        }),
        guest("leak", "leaks a page with every batch", Kept, || in_process("(drop (memory.grow (i32.const 1)))")),
        guest("leak-within-a-batch", "leaks a page with every row, and traps when there is no more", Kept, || {
            in_process(
                "(loop $more
                   (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable))
                   (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $rows))))",
            )
        }),
        guest("table-at-the-limit", "grows a table as far as it can, and works on", Kept, || {
            with_fields(
                "(table $t 0 funcref)",
                "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 5000)) (i32.const -1))))",
            )
        }),
        guest("table-too-large", "wants a table of ten million entries", Refused("table"), || {
            with_fields("(table 10000000 funcref)", "")
        }),
        guest("tables-by-the-dozen", "spreads nine million entries over ninety tables", Refused("table"), || {
            with_fields(&"(table 100000 funcref)".repeat(90), "")
        }),
        guest(
            "data-out-of-bounds",
            "initialises memory that it does not have",
            Refused("out of bounds memory"),
            || with_fields("(data (i32.const 0x7fffffff) \"a\")", ""),
        ),
        guest(
            "elements-out-of-bounds",
            "initialises entries that its table does not have",
            Refused("out of bounds table"),
            || with_fields("(table 1 funcref) (elem (i32.const 9) $f) (func $f)", ""),
        ),
        guest(
            "large-when-alone",
            "fails on batches, and answers single rows with 400 kB each",
            Edge(TRANSFORM_OUTPUT),
            || large_when_alone(400),
        ),
        guest(
            "state-of-a-tenant",
            "writes what it saw into its memory, and traps when somebody else's is there",
            Kept,
            || {
                // Each transform of each chain has memory of its own, whatever else runs the same code.
                with_fields(
                    "(global $mine (mut i32) (i32.const 0))",
                    "(if (i32.and (i32.eqz (global.get $mine)) (i32.load (i32.const 32))) (then unreachable))
                 (global.set $mine (i32.const 1)) (i32.store (i32.const 32) (i32.const 1))",
                )
            },
        ),
        guest("state-left-behind", "fails as soon as its memory is not what a new one is", Kept, || {
            // The instance that failed is gone with all that it wrote.
            with_fields(
                "(global $calls (mut i32) (i32.const 0))",
                "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                 (memory.fill (i32.const 900000) (i32.const 255) (i32.const 1000))
                 (if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable))",
            )
        }),
    ]
}

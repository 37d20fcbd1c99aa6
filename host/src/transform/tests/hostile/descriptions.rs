//! Descriptions that do not fit, or that attack whoever checks or prints them.

use super::Expected::*;
use super::*;

fn describing(reads: &[&str], writes: &[(&str, &str, bool)], drops: &[&str], reasons: &[&str]) -> Vec<u8> {
    Guest::describing(reads, writes, drops, reasons).build()
}

fn writing(name: &str, format: &str) -> Vec<u8> {
    describing(&[], &[(name, format, true)], &[], &[])
}

/// A descriptor of four lists, given as address and count.
fn of_lists(lists: impl FnOnce(&mut super::super::guest::Memory) -> [u32; 8]) -> Vec<u8> {
    let mut guest = Guest::new();
    let lists = lists(&mut guest.memory);
    let answer = guest.memory.ok(&lists);
    guest.describe = format!("(i32.const {answer})");
    guest.pages = 120;
    guest.build()
}

/// A descriptor that the guest fills at run time: a million written columns, and 2,000 dropped ones.
fn many_against_many() -> Vec<u8> {
    let mut guest = Guest::new();
    let names: Vec<u32> = (0..2000).flat_map(|n| guest.memory.text(format!("{n:04}"))).collect();
    let [drops, dropped] = guest.memory.words(&names);
    let [format, _] = guest.memory.text("u");
    let answer = guest.memory.ok(&[0, 0, 600_000, 15_000, drops, dropped / 2, 0, 0]);
    guest.describe = format!(
        "(local $at i32)
         (local.set $at (i32.const 600000))
         (loop $next
           (i32.store (local.get $at) (i32.const {format}))
           (i32.store offset=4 (local.get $at) (i32.const 1))
           (i32.store offset=8 (local.get $at) (i32.const {format}))
           (i32.store offset=12 (local.get $at) (i32.const 1))
           (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 20))) (i32.const 900000))))
         (i32.const {answer})"
    );
    guest.build()
}

pub(super) fn guests() -> Vec<Hostile> {
    let guest = |name, does, says, make| Hostile { name, does, make, expected: Refused(says) };
    vec![
        guest("reads-what-is-not-there", "reads a column that does not reach it", "reads column `artist`", || {
            describing(&["artist"], &[], &[], &[])
        }),
        guest("reads-twice", "reads a column twice", "reads column `n` twice", || {
            describing(&["n", "n"], &[], &[], &[])
        }),
        guest("writes-metadata", "writes over Kafka's offset", "reserved for Kafka's metadata", || {
            writing("$offset", "l")
        }),
        guest("writes-twice", "writes a column twice", "writes column `b` twice", || {
            describing(&[], &[("b", "u", true), ("b", "i", true)], &[], &[])
        }),
        guest("writes-and-drops", "drops the column that it writes", "both writes and drops", || {
            describing(&[], &[("auth", "u", true)], &["auth"], &[])
        }),
        guest("drops-what-is-not-there", "drops a column that does not reach it", "drops column `song`", || {
            describing(&[], &[], &["song"], &[])
        }),
        guest("name-empty", "writes a column without a name", "a name has 1 to 255 bytes", || writing("", "u")),
        guest("name-too-long", "writes a column whose name has 100,000 bytes", "a name has 1 to 255 bytes", || {
            writing(&"a".repeat(100_000), "u")
        }),
        guest("name-with-control-characters", "names a column so that it clears the screen", "\\u{1b}[2J", || {
            writing("\u{1b}[2J\r\nOK", "u")
        }),
        guest("name-written-backwards", "names a column so that what follows reads backwards", "\\u{202e}", || {
            writing("\u{202e}cba", "u")
        }),
        guest(
            "name-with-nothing-to-see",
            "names a column like another, with a character that is not seen",
            "\\u{200b}",
            || writing("auth\u{200b}", "u"),
        ),
        guest("name-that-is-no-text", "names a column in bytes that are no text", "utf-8", || {
            of_lists(|memory| {
                let [address, length] = memory.text(b"\xff\xfe");
                let [reads, _] = memory.words(&[address, length]);
                [reads, 1, 0, 0, 0, 0, 0, 0]
            })
        }),
        guest("format-unknown", "writes a column of a format that does not exist", "`no-format`", || {
            writing("c", "no-format")
        }),
        guest("format-nested-deep", "writes a list of lists, two thousand deep", "which does not exist", || {
            writing("c", &("+l<".repeat(2000) + "i" + &">".repeat(2000)))
        }),
        guest("format-decimal-impossible", "writes decimals of 200 digits", "which does not exist", || {
            writing("c", "d:200,5")
        }),
        guest("reason-with-control-characters", "has a reason that moves the cursor", "\\u{1b}", || {
            describing(&[], &[], &[], &["\u{1b}[1A"])
        }),
        guest("reason-of-the-host", "has a reason that only the host may give", "are reserved", || {
            describing(&[], &[], &[], &["transform-trap"])
        }),
        guest("reasons-by-the-hundred", "has a thousand reasons", "at most 256", || {
            let reasons: Vec<String> = (0..1000).map(|n| format!("r{n}")).collect();
            describing(&[], &[], &[], &reasons.iter().map(String::as_str).collect::<Vec<_>>())
        }),
        guest("columns-by-the-ten-thousand", "reads ten thousand columns", "at most 2000", || {
            of_lists(|memory| {
                let [address, length] = memory.text("n");
                let [reads, words] = memory.words(&[address, length].repeat(10_000));
                [reads, words / 2, 0, 0, 0, 0, 0, 0]
            })
        }),
        guest(
            "many-against-many",
            "describes 15,000 columns to write and 2,000 to drop, all to be compared",
            "at most 2000",
            many_against_many,
        ),
        guest("list-length-wraps", "describes a list whose length in bytes is 2^32", "out of bounds", || {
            of_lists(|_| [1 << 16, 1 << 29, 0, 0, 0, 0, 0, 0])
        }),
        guest(
            "lists-over-each-other",
            "describes hundreds of names that are all the same 5 MB",
            "too much data",
            || {
                of_lists(|memory| {
                    let [reads, words] = memory.words(&[600_000, 5_000_000].repeat(500));
                    [reads, words / 2, 0, 0, 0, 0, 0, 0]
                })
            },
        ),
    ]
}

//! Answers that break the contract: columns, selections, rejected rows.
//!
//! Most answer every batch with the same, made for one row; so batches are taken apart down to single rows, and each of
//! those fails for the reason that the row of the table says.

use super::super::guest::{Memory, column};
use super::Expected::*;
use super::*;
use crate::reason::TRANSFORM_OUTPUT;

const ALL: (u32, [u32; 2]) = (0, [0, 0]);

/// A guest that writes `s` (string, never null), has one reason, and always answers with what `prepare` makes.
fn answering(prepare: impl FnOnce(&mut Memory) -> u32) -> Vec<u8> {
    let mut guest = Guest::describing(&["auth"], &[("s", "u", false)], &[], &["why"]);
    let answer = prepare(&mut guest.memory);
    guest.answering(answer).build()
}

/// One that answers with these columns.
fn with_columns(prepare: impl FnOnce(&mut Memory) -> Vec<[u32; 10]>) -> Vec<u8> {
    answering(|memory| {
        let columns = prepare(memory);
        memory.output(ALL, &columns, (&[], &[]), None)
    })
}

/// One that answers with strings, given by offsets and bytes.
fn with_strings(offsets: &[u32], bytes: &[u8]) -> Vec<u8> {
    with_columns(|memory| vec![string(memory, offsets, bytes)])
}

fn string(memory: &mut Memory, offsets: &[u32], bytes: &[u8]) -> [u32; 10] {
    let values = [memory.words(offsets), memory.text(bytes)].concat();
    column(5, &values, None)
}

/// One that answers with a sound string whose validity is `bitmap`.
fn with_validity(bitmap: &[u8]) -> Vec<u8> {
    with_columns(|memory| {
        let mut column = string(memory, &[0, 1], b"a");
        let [address, count] = memory.text(bitmap);
        column[7..].copy_from_slice(&[1, address, count]);
        vec![column]
    })
}

/// One that selects, beside a sound column.
fn keeping(case: u32, list: impl FnOnce(&mut Memory) -> [u32; 2]) -> Vec<u8> {
    answering(|memory| {
        let column = string(memory, &[0, 1], b"a");
        let list = list(memory);
        memory.output((case, list), &[column], (&[], &[]), None)
    })
}

/// One that rejects rows, beside a sound column.
fn rejecting(rows: &[u32], reasons: &[u16], detail: Option<(&[u32], &[u8])>) -> Vec<u8> {
    answering(|memory| {
        let column = string(memory, &[0, 1], b"a");
        let detail = detail.map(|(offsets, bytes)| (memory.words(offsets), memory.text(bytes)));
        memory.output(ALL, &[column], (rows, reasons), detail)
    })
}

/// A guest that writes `x` in `format`, and answers with a column of so many values as there are rows: `words` of it, of
/// which the one at `counted` is the number of values.
fn of_every_row(format: &str, counted: u32, words: impl FnOnce(&mut Memory) -> [u32; 10]) -> Vec<u8> {
    let mut guest = Guest::describing(&[], &[("x", format, true)], &[], &[]);
    let words = words(&mut guest.memory);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let column = guest.memory.put(&bytes);
    let answer = guest.memory.output(ALL, &[], (&[], &[]), None);
    guest.process = format!(
        "(i32.store (i32.const {}) (local.get $rows))
         (i32.store offset=16 (i32.const {answer}) (i32.const {column}))
         (i32.store offset=20 (i32.const {answer}) (i32.const 1))
         (i32.const {answer})",
        column + 4 * counted
    );
    guest.build()
}

/// A guest that writes `x` in `format` and answers single rows with one value, and traps on more.
fn of_one_row(format: &str, words: impl FnOnce(&mut Memory) -> [u32; 10]) -> Vec<u8> {
    let mut guest = Guest::describing(&[], &[("x", format, true)], &[], &[]);
    let words = words(&mut guest.memory);
    let answer = guest.memory.output(ALL, &[words], (&[], &[]), None);
    guest.process = format!("(if (i32.ne (local.get $rows) (i32.const 1)) (then unreachable)) (i32.const {answer})");
    guest.build()
}

/// An Arrow stream with one list of one number.
fn stream() -> Vec<u8> {
    use arrow::array::{ArrayRef, ListArray};
    use arrow::datatypes::Int64Type;
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(7)])]));
    super::super::super::columns::nested::to_ipc(&list).unwrap()
}

fn guest(name: &'static str, does: &'static str, says: &'static str, make: fn() -> Vec<u8>) -> Hostile {
    Hostile { name, does, make, expected: Rejected(TRANSFORM_OUTPUT, says) }
}

pub(super) fn guests() -> Vec<Hostile> {
    let kept = |name, does, make| Hostile { name, does, make, expected: Kept };
    let mut all = strings();
    all.extend(columns());
    all.extend(selections());
    all.extend(rejects());
    all.extend([
        kept("nan-in-a-column", "writes numbers that are none, with bits of its own choice", || {
            of_every_row("g", 2, |memory| {
                let nans: Vec<u8> = (0..64_u64).flat_map(|n| (0x7ff8_dead_0000_0000 | n).to_le_bytes()).collect();
                column(4, &memory.list(&nans, 64), None)
            })
        }),
        kept("timestamp-at-the-end-of-time", "writes times that no calendar has", || {
            of_every_row("tsu:UTC", 2, |memory| {
                let times: Vec<u8> = (0..64_u64).flat_map(|_| i64::MAX.to_le_bytes()).collect();
                column(2, &memory.list(&times, 64), None)
            })
        }),
        kept("dictionary-that-grows-with-the-batch", "repeats an entry of 100 kB for every row", || {
            of_every_row("z", 2, |memory| {
                let entry = vec![b'a'; 100_000];
                let keys = memory.words(&[0; 64]);
                let values = [keys, memory.words(&[0, 100_000]), memory.text(&entry)].concat();
                column(6, &values, None)
            })
        })
        .ending(Edge(TRANSFORM_OUTPUT)),
    ]);
    all
}

fn strings() -> Vec<Hostile> {
    vec![
        guest("offsets-not-from-zero", "begins its strings at 1", "the first offset is 1", || {
            with_strings(&[1, 1], b"abc")
        }),
        guest("offsets-negative", "lets a string end at -1", "decreases", || with_strings(&[0, u32::MAX], b"abc")),
        guest("offsets-past-the-bytes", "lets a string end past its bytes", "past its 3 bytes", || {
            with_strings(&[0, 4], b"abc")
        }),
        guest("offsets-too-few", "leaves out the last offset", "1 offsets for 1 rows", || with_strings(&[0], b"abc")),
        guest("offsets-too-many", "gives one offset too many", "4 offsets for 1 rows", || {
            with_strings(&[0, 1, 2, 3], b"abc")
        }),
        guest("offsets-none", "gives no offsets at all", "0 offsets for 1 rows", || with_strings(&[], b"")),
        guest("utf8-invalid", "writes bytes that are no text", "UTF-8", || with_strings(&[0, 3], b"a\xff\xfe")),
        guest("utf8-surrogate", "writes half a pair of UTF-16", "UTF-8", || with_strings(&[0, 3], b"\xed\xa0\x80")),
        guest("utf8-cut", "ends its text inside a character", "", || with_strings(&[0, 1], "ä".as_bytes())),
    ]
}

fn columns() -> Vec<Hostile> {
    vec![
        guest("column-of-another-type", "gives numbers for a string", "cannot be given as int32", || {
            with_columns(|memory| vec![column(1, &memory.words(&[1]), None)])
        }),
        guest("columns-missing", "gives no columns", "0 columns, and the transform writes 1", || {
            with_columns(|_| vec![])
        }),
        guest("columns-too-many", "gives one column too many", "2 columns", || {
            with_columns(|memory| vec![string(memory, &[0, 1], b"a"); 2])
        }),
        guest("columns-by-the-thousand", "gives nine thousand columns", "", || {
            with_columns(|memory| vec![string(memory, &[0, 1], b"a"); 9_000])
        }),
        guest("column-of-no-case", "gives a column of a kind that does not exist", "", || {
            with_columns(|_| vec![column(17, &[], None)])
        }),
        guest("column-out-of-bounds", "gives a column that lies past its memory", "out of bounds", || {
            with_columns(|_| vec![column(5, &[0xffff_0000, 2, 0, 0], None)])
        }),
        guest("column-length-wraps", "gives a list whose length in bytes is 2^32", "", || {
            with_columns(|_| vec![column(5, &[1 << 16, 1 << 30, 0, 0], None)])
        }),
        guest("column-of-4-gigabytes", "gives a list of 2^32 - 1 bytes", "", || {
            with_columns(|memory| {
                let [offsets, count] = memory.words(&[0, 1]);
                vec![column(5, &[offsets, count, 8, u32::MAX], None)]
            })
        }),
        guest("column-of-all-memory", "gives its whole memory for a string", "", || {
            with_columns(|memory| {
                let [offsets, count] = memory.words(&[0, 1 << 20]);
                vec![column(5, &[offsets, count, 0, 1 << 20], None)]
            })
        }),
        guest("null-never-allowed", "gives a null in a column that is never null", "null in row 0", || {
            with_validity(&[0])
        }),
        guest("validity-past-the-rows", "sets bits of a validity past its rows", "bits set past its 1 rows", || {
            with_validity(&[0xff])
        }),
        guest("validity-too-long", "gives a byte of validity too many", "a bitmap of 2 bytes", || {
            with_validity(&[1, 0])
        }),
        guest("validity-too-short", "gives no byte of validity", "a bitmap of 0 bytes", || with_validity(&[])),
        guest("dictionary-key-out-of-range", "names an entry that its dictionary lacks", "dictionary key 9", || {
            with_columns(|memory| {
                let values = [memory.words(&[9]), memory.words(&[0, 1]), memory.text("a")].concat();
                vec![column(6, &values, None)]
            })
        }),
        guest(
            "dictionary-offsets-fall",
            "lets the entries of its dictionary run backwards",
            "dictionary entries",
            || {
                with_columns(|memory| {
                    let values = [memory.words(&[0]), memory.words(&[0, 3, 1]), memory.text("abc")].concat();
                    vec![column(6, &values, None)]
                })
            },
        ),
        guest("bits-past-the-rows", "sets bits of a boolean column past its rows", "bits set past", || {
            of_one_row("b", |memory| column(0, &memory.text([0b11]), None))
        }),
        guest("numbers-too-few", "gives no number for a row", "0 values for 1 rows", || {
            of_one_row("l", |_| column(2, &[1 << 16, 0], None))
        }),
        guest("decimal-of-another-width", "gives decimals of 15 bytes", "width 15", || {
            of_one_row("d:6,2", |memory| {
                let [address, count] = memory.text([0; 15]);
                column(7, &[15, address, count], None)
            })
        }),
        guest("decimal-too-large", "gives a decimal with more digits than it said", "", || {
            of_one_row("d:6,2", |memory| {
                let [address, count] = memory.text(i128::MAX.to_le_bytes());
                column(7, &[16, address, count], None)
            })
        }),
        guest("stream-of-noise", "gives noise for a list", "IPC stream", || {
            of_one_row("+l<l>", |memory| column(8, &memory.text([0xff; 64]), None))
        }),
        guest("stream-cut", "gives a list that breaks off", "IPC stream", || {
            of_one_row("+l<l>", |memory| {
                let stream = stream();
                column(8, &memory.text(&stream[..stream.len() / 2]), None)
            })
        }),
        guest("stream-of-another-type", "gives a list of numbers for a list of strings", "IPC stream has type", || {
            of_one_row("+l<u>", |memory| column(8, &memory.text(stream()), None))
        }),
        guest("stream-twice", "gives two lists in a row for one", "", || {
            of_one_row("+l<l>", |memory| column(8, &memory.text([stream(), stream()].concat()), None))
        }),
        guest("stream-of-lies", "gives a list whose offsets point far past its items", "IPC stream", || {
            of_one_row("+l<l>", |memory| {
                let mut stream = stream();
                let at = stream.windows(8).rposition(|bytes| bytes == [0, 0, 0, 0, 1, 0, 0, 0]).unwrap();
                stream[at + 4..at + 8].copy_from_slice(&i32::MAX.to_le_bytes());
                column(8, &memory.text(&stream), None)
            })
        }),
        guest("more-than-allowed", "hands back more bytes than it may", "", || {
            let mut guest = Guest::describing(&[], &[("s", "u", false)], &[], &[]);
            guest.pages = 100;
            let offsets = guest.memory.words(&[0, 2_000_000]);
            let column = column(5, &[offsets[0], offsets[1], 600_000, 2_000_000], None);
            let answer = guest.memory.output(ALL, &[column], (&[], &[]), None);
            guest.answering(answer).build()
        }),
    ]
}

fn selections() -> Vec<Hostile> {
    vec![
        guest("mask-past-the-rows", "sets bits of its mask past the rows", "bits set past its 1 rows", || {
            keeping(2, |memory| memory.text([0b11]))
        }),
        guest("mask-too-short", "gives an empty mask", "a bitmap of 0 bytes", || keeping(2, |memory| memory.text([]))),
        guest("mask-too-long", "gives a mask of two bytes for one row", "a bitmap of 2 bytes", || {
            keeping(2, |memory| memory.text([1, 0]))
        }),
        guest("kept-twice", "keeps a row twice", "do not increase", || keeping(3, |memory| memory.words(&[0, 0]))),
        guest("kept-out-of-order", "keeps rows in another order", "do not increase", || {
            keeping(3, |memory| memory.words(&[1, 0]))
        }),
        guest("kept-beyond-the-batch", "keeps a row that it did not get", "row 1 of 1", || {
            keeping(3, |memory| memory.words(&[1]))
        }),
        guest("kept-the-last-number", "keeps row 2^32 - 1", "row 4294967295 of 1", || {
            keeping(3, |memory| memory.words(&[u32::MAX]))
        }),
        guest("gather-out-of-order", "repeats rows in another order", "decrease", || {
            keeping(4, |memory| memory.words(&[1, 0]))
        }),
        guest("gather-beyond-the-batch", "repeats a row that it did not get", "row 1 of 1", || {
            keeping(4, |memory| memory.words(&[0, 1]))
        }),
        guest("gather-too-many", "makes 66,000 rows of one", "at most", || {
            keeping(4, |memory| memory.words(&[0; 66_000]))
        }),
        guest("gather-length-wraps", "gives a list of row numbers whose length in bytes is 2^32", "", || {
            keeping(4, |_| [1 << 16, 1 << 30])
        }),
        guest("gather-without-columns", "makes three rows of one, with values for one", "2 offsets for 3 rows", || {
            keeping(4, |memory| memory.words(&[0; 3]))
        }),
        guest("selection-of-no-case", "selects in a way that does not exist", "", || keeping(9, |_| [0, 0])),
    ]
}

fn rejects() -> Vec<Hostile> {
    vec![
        guest("rejects-beyond-the-batch", "rejects a row that it did not get", "row 1 of 1", || {
            rejecting(&[1], &[0], None)
        }),
        guest("rejects-twice", "rejects a row twice", "do not increase", || rejecting(&[0, 0], &[0, 0], None)),
        guest("rejects-without-reason", "rejects a row without a reason", "0 reasons for 1 rows", || {
            rejecting(&[0], &[], None)
        }),
        guest("rejects-for-no-reason", "rejects a row for a reason that it did not describe", "reason 1", || {
            rejecting(&[0], &[1], None)
        }),
        guest("rejects-for-the-last-number", "rejects a row for reason 65535", "reason 65535", || {
            rejecting(&[0], &[u16::MAX], None)
        }),
        guest(
            "rejects-with-long-offsets",
            "explains a rejected row with bytes that it does not give",
            "detail",
            || rejecting(&[0], &[0], Some((&[0, 2], b"a"))),
        ),
        guest("rejects-with-no-text", "explains a rejected row with what is no text", "detail", || {
            rejecting(&[0], &[0], Some((&[0, 1], b"\xff")))
        }),
        guest(
            "rejects-with-control-characters",
            "explains a rejected row with a text that moves the cursor",
            "red\\u{1b}[2J",
            || rejecting(&[0], &[0], Some((&[0, 7], b"red\x1b[2J"))),
        )
        .ending(Rejected("why", "red\\u{1b}[2J")),
        guest("rejects-with-a-book", "explains a rejected row with 200 kB", "", || {
            rejecting(&[0], &[0], Some((&[0, 200_000], &[b'a'; 200_000])))
        })
        .ending(Rejected("why", "aaaa")),
    ]
}

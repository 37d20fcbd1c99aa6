//! What a guest may call: log, metrics, look-ups.

use super::Expected::*;
use super::*;
use crate::reason::TRANSFORM_TRAP;

pub(super) const LOG: &str = r#"
    (import "wasmill:transform/log@0.1.0" "write" (func $write (param i32 i32 i32)))
    (import "wasmill:transform/log@0.1.0" "enabled" (func $enabled (param i32) (result i32)))"#;

pub(super) const METRICS: &str = r#"
    (import "wasmill:transform/metrics@0.1.0" "counter" (func $counter (param i32 i32) (result i32)))
    (import "wasmill:transform/metrics@0.1.0" "add" (func $add (param i32 i64)))
    (import "wasmill:transform/metrics@0.1.0" "histogram" (func $histogram (param i32 i32) (result i32)))
    (import "wasmill:transform/metrics@0.1.0" "observe" (func $observe (param i32 i32 i32)))"#;

const LOOKUP: &str = r#"
    (import "wasmill:transform/lookup@0.1.0" "[static]table.open" (func $open (param i32 i32 i32)))
    (import "wasmill:transform/lookup@0.1.0" "[method]table.fields" (func $fields (param i32 i32)))
    (import "wasmill:transform/lookup@0.1.0" "[resource-drop]table" (func $drop (param i32)))"#;

/// A guest with `imports` that does `code` in `process`; `text` lies where `code` says `TEXT` (address and length), or
/// `ADDRESS`.
fn calling(imports: &str, text: &[u8], code: &str) -> Vec<u8> {
    let mut guest = Guest::describing(&["n"], &[], &[], &[]);
    guest.imports = imports.to_owned();
    let [address, length] = guest.memory.text(text);
    let code = code.replace("TEXT", "ADDRESS LENGTH").replace("ADDRESS", &format!("(i32.const {address})"));
    let code = code.replace("LENGTH", &format!("(i32.const {length})"));
    guest.process = format!("{code} {}", guest.process);
    guest.build()
}

/// `code` this many times; it may use `$i`.
fn times(count: u32, code: &str) -> String {
    format!(
        "(loop $more {code}
           (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))"
    )
}

pub(super) fn guests() -> Vec<Hostile> {
    let guest = |name, does, expected, make| Hostile { name, does, make, expected };
    vec![
        guest("log-flood", "logs a hundred thousand lines with every batch", Kept, || {
            calling(LOG, b"again", &times(100_000, "(call $write (i32.const 4) TEXT)"))
        }),
        guest("log-of-long-lines", "logs a thousand lines of 400 kB", Kept, || {
            calling(LOG, &[b'a'; 400_000], &times(1_000, "(call $write (i32.const 4) TEXT)"))
        }),
        guest(
            "log-of-control-characters",
            "logs lines that forge others, then traps",
            Rejected(TRANSFORM_TRAP, "log: ok\\r\\nERROR forged\\u{1b}[2J\\u{202e}"),
            || {
                let text = "ok\r\nERROR forged\u{1b}[2J\u{202e}";
                calling(LOG, text.as_bytes(), "(call $write (i32.const 4) TEXT) unreachable")
            },
        ),
        guest("log-out-of-bounds", "logs a line that lies past its memory", Rejected(TRANSFORM_TRAP, ""), || {
            calling(LOG, b"", "(call $write (i32.const 0) (i32.const 0x7fffffff) (i32.const 100))")
        }),
        guest("log-of-no-text", "logs what is no text", Rejected(TRANSFORM_TRAP, ""), || {
            calling(LOG, b"\xff\xff", "(call $write (i32.const 0) TEXT)")
        }),
        guest("log-of-no-level", "logs at a level that does not exist", Rejected(TRANSFORM_TRAP, ""), || {
            calling(LOG, b"a", "(call $write (i32.const 99) TEXT)")
        }),
        guest("metrics-flood", "counts under a hundred thousand names", Kept, || {
            let name = times(
                100_000,
                "(i32.store8 (i32.const 600000) (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26))))
                 (i32.store8 (i32.const 600001) (i32.add (i32.const 97)
                   (i32.rem_u (i32.div_u (local.get $i) (i32.const 26)) (i32.const 26))))
                 (i32.store8 (i32.const 600002) (i32.add (i32.const 97)
                   (i32.rem_u (i32.div_u (local.get $i) (i32.const 676)) (i32.const 26))))
                 (call $add (call $counter (i32.const 600000) (i32.const 3)) (i64.const 1))",
            );
            calling(METRICS, b"", &name)
        }),
        guest("metrics-with-control-characters", "counts under a name that moves the cursor", Kept, || {
            calling(METRICS, b"\x1b[2J", "(call $add (call $counter TEXT) (i64.const 1))")
        }),
        guest("metrics-without-limit", "counts past the largest number", Kept, || {
            calling(METRICS, b"rows", &times(1000, "(call $add (call $counter TEXT) (i64.const -1))"))
        }),
        guest("metrics-of-nobody", "counts by handles that it was not given", Kept, || {
            calling(
                METRICS,
                b"",
                &times(
                    1000,
                    "(call $add (local.get $i) (i64.const 1))
                (call $observe (i32.sub (i32.const -1) (local.get $i)) (i32.const 0) (i32.const 1))",
                ),
            )
        }),
        guest("metrics-of-two-kinds", "uses a counter as a histogram", Kept, || {
            calling(
                METRICS,
                b"a",
                "(call $observe (call $counter TEXT) (i32.const 0) (i32.const 9))
                (call $add (call $histogram TEXT) (i64.const 1))",
            )
        }),
        guest("metrics-that-are-no-numbers", "observes infinities and what is no number", Kept, || {
            let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MAX, -0.0];
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let code = "(i32.store8 (i32.const 600000) (i32.const 104))
                (call $observe (call $histogram (i32.const 600000) (i32.const 1)) ADDRESS (i32.const 6))";
            calling(METRICS, &bytes, code)
        }),
        guest("metrics-of-a-million-values", "observes its whole memory, a thousand times", Kept, || {
            let observe = "(call $observe (call $histogram TEXT) (i32.const 0) (i32.const 120000))";
            calling(METRICS, b"h", &times(1000, observe))
        }),
        guest("look-up-without-a-grant", "opens a table that it was not granted, and traps when it may", Kept, || {
            calling(
                LOOKUP,
                b"secrets",
                "(call $open TEXT (i32.const 600000))
                 (if (i32.eqz (i32.load8_u (i32.const 600000))) (then unreachable))",
            )
        }),
        guest(
            "look-up-by-a-forged-handle",
            "asks a table by a handle that it made up",
            Rejected(TRANSFORM_TRAP, "handle"),
            || calling(LOOKUP, b"", "(call $fields (i32.const 7) (i32.const 600000))"),
        ),
        guest(
            "handle-dropped-twice",
            "gives back a handle that it never had",
            Rejected(TRANSFORM_TRAP, "handle"),
            || calling(LOOKUP, b"", "(call $drop (i32.const 1))"),
        ),
        guest(
            "look-up-names-control-characters",
            "asks for a table whose name moves the cursor, and passes the refusal on",
            Rejected(crate::reason::TRANSFORM_ERROR, "\\u{1b}"),
            || {
                // The refusal's layout (case, address, length) is what `process` answers an error with.
                let mut guest = Guest::new();
                guest.imports = LOOKUP.to_owned();
                let [address, length] = guest.memory.text("\u{1b}[2J");
                guest.process = format!(
                    "(call $open (i32.const {address}) (i32.const {length}) (i32.const 600000)) (i32.const 600000)"
                );
                guest.build()
            },
        ),
        guest(
            "log-while-it-answers",
            "logs when its answer was taken",
            Rejected(TRANSFORM_TRAP, "cannot leave"),
            || {
                let mut guest = Guest::describing(&["n"], &[], &[], &[]);
                guest.imports = LOG.to_owned();
                guest.fields = "(func (export \"cabi_post_wasmill:transform/transform@0.1.0#process\") (param i32)
                (call $write (i32.const 0) (i32.const 0) (i32.const 1)))"
                    .to_owned();
                guest.build()
            },
        ),
        guest("log-while-it-allocates", "logs when it is asked for memory", Edge(TRANSFORM_TRAP), || {
            let mut guest = Guest::describing(&["n"], &[], &[], &[]);
            guest.imports = LOG.to_owned();
            guest.fields = "(global $traffic (mut i32) (i32.const 0))".to_owned();
            guest.start = format!("(global.set $traffic (i32.const 1)) {}", guest.start);
            guest.realloc = format!(
                "(if (global.get $traffic) (then (call $write (i32.const 0) (i32.const 0) (i32.const 1)))) {}",
                guest.realloc
            );
            guest.build()
        }),
    ]
}

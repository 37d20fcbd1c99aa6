//! Files that are no transforms, or that attack whoever parses, checks or compiles them.

use wasm_encoder::{Component, ComponentTypeSection, CustomSection, RawSection, Section};

use super::super::guest::typed;
use super::Expected::*;
use super::calls::with_fields;
use super::*;

fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// An honest module, and a custom section behind it.
fn with_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut module = Guest::new().build();
    let section = CustomSection { name: name.into(), data: data.into() };
    module.push(section.id());
    wasm_encoder::Encode::encode(&section, &mut module);
    module
}

/// An honest module, and a section of which only the head is there.
fn with_head(id: u8, length: &[u8]) -> Vec<u8> {
    [&Guest::new().build(), &[id][..], length].concat()
}

/// An honest module in which `from` is replaced by `to`, both in the text format.
fn replaced(from: &str, to: &str) -> Vec<u8> {
    let guest = Guest::new();
    let text = guest.text();
    assert!(text.contains(from), "{from}");
    typed(&text.replace(from, to))
}

/// Types of components in types of components, `levels` deep: three bytes each.
fn types_in_types(levels: usize) -> Vec<u8> {
    let mut data = vec![1];
    for _ in 0..levels {
        data.extend([0x41, 1, 1]);
    }
    data.extend([0x41, 0]);
    let mut component = Component::new();
    component.section(&RawSection { id: 7, data: &data });
    component.finish()
}

/// Lists of lists, each a type of its own.
fn lists_of_lists(levels: u32) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.defined_type().list(wasm_encoder::PrimitiveValType::U8);
    for level in 0..levels {
        types.defined_type().list(wasm_encoder::ComponentValType::Type(level));
    }
    let mut component = Component::new();
    component.section(&types);
    component.finish()
}

/// Components in components, `levels` deep.
fn components_in_components(levels: usize) -> Vec<u8> {
    let mut inner = Component::new().finish();
    for _ in 0..levels {
        let mut outer = Component::new();
        outer.section(&RawSection { id: 4, data: &inner });
        inner = outer.finish();
    }
    inner
}

/// Components that instantiate the one before twice: two to the power of `levels` instances.
fn doubling(levels: usize) -> String {
    let twice = |n: usize| {
        let next = n + 1;
        format!(
            "(component $c{next} (alias outer 1 $c{n} (component $b))
               (instance (instantiate $b)) (instance (instantiate $b)))"
        )
    };
    let all: String = (0..levels).map(twice).collect();
    format!("(component (component $c0) {all} (instance (instantiate $c{levels})))")
}

/// An honest component that instantiates `inner` beside.
fn with_component(inner: &str) -> Vec<u8> {
    use wasm_encoder::ComponentInstanceSection;
    let mut component = super::super::super::module::ModuleFile::parse(&Guest::new().build()).unwrap().component;
    let own = wasmparser::Parser::new(0).parse_all(&component);
    let nested = own.filter(|payload| matches!(payload, Ok(wasmparser::Payload::ComponentSection { .. }))).count();
    let append = |component: &mut Vec<u8>, id: u8, section: &dyn wasm_encoder::Encode| {
        component.push(id);
        section.encode(component);
    };
    // Sections of a component and of instances.
    append(&mut component, 4, &text(inner).as_slice());
    let mut instances = ComponentInstanceSection::new();
    instances.instantiate(nested as u32, Vec::<(&str, wasm_encoder::ComponentExportKind, u32)>::new());
    append(&mut component, 5, &instances);
    component
}

/// A function with so many locals, set in each of so many blocks.
fn locals_and_blocks(locals: usize, blocks: usize) -> String {
    let (declared, set) = ("i32 ".repeat(locals), (0..locals).map(|n| format!("(local.set {n} (i32.const 1))")));
    let set: String = set.collect();
    format!(
        "(func (local {declared}) {} {set} {})",
        "loop (br_if 0 (local.get 0)) ".repeat(blocks),
        "end (drop (local.get 1)) ".repeat(blocks)
    )
}

pub(super) fn guests() -> Vec<Hostile> {
    let mut all = strangers();
    all.extend(bombs());
    all.extend(names());
    all
}

fn refused(name: &'static str, does: &'static str, says: &'static str, make: fn() -> Vec<u8>) -> Hostile {
    Hostile { name, does, make, expected: Refused(says) }
}

/// Files that are something else.
fn strangers() -> Vec<Hostile> {
    vec![
        refused("file-empty", "is an empty file", "not a WebAssembly module", Vec::new),
        refused("file-of-text", "is a text file", "not a WebAssembly module", || b"fn main() {}".to_vec()),
        refused("file-too-large", "is a file of 64 MiB and a byte", "at most", || {
            [b"\0asm\x01\0\0\0".as_slice(), &vec![0; 64 << 20]].concat()
        }),
        refused("file-of-another-version", "is WebAssembly of a version that does not exist", "damaged", || {
            b"\0asm\x63\0\0\0".to_vec()
        }),
        refused("file-cut", "is a module whose second half is missing", "damaged", || {
            let module = Guest::new().build();
            module[..module.len() / 2].to_vec()
        }),
        refused("file-with-a-tail", "is a module with noise behind it", "damaged", || {
            [Guest::new().build(), vec![0xff; 1000]].concat()
        }),
        refused("module-without-type", "is plain WebAssembly", "without a component type", || text("(module)")),
        refused(
            "module-with-a-fake-type",
            "is plain WebAssembly with an empty component type",
            "cannot be made",
            || {
                let mut module = text("(module)");
                module.extend(b"\0\x0f\x0ecomponent-type");
                module
            },
        ),
        refused("component-empty", "is an empty component", "does not export", || text("(component)")),
        refused("component-of-another-world", "exports a function of its own", "does not export", || {
            text(
                r#"(component
                  (core module $m (func (export "run")))
                  (core instance $i (instantiate $m))
                  (func $run (canon lift (core func $i "run")))
                  (instance $r (export "run" (func $run)))
                  (export "wasi:cli/run@0.2.0" (instance $r)))"#,
            )
        }),
        refused(
            "component-that-lies-about-its-type",
            "exports our interface with nothing in it",
            "does not fit",
            || {
                text(
                    r#"(component (instance $nothing)
                  (export "wasmill:transform/transform@0.1.0" (instance $nothing)))"#,
                )
            },
        ),
        refused("interface-of-another-version", "exports our interface in version 9", "no exported instance", || {
            text(r#"(component (instance $nothing) (export "wasmill:transform/transform@9.0.0" (instance $nothing)))"#)
        }),
        refused("wasi-preview-1", "wants files from WASI", "wasi_snapshot_preview1", || {
            let import = r#"(import "wasi_snapshot_preview1" "path_open" (func (param i32) (result i32)))"#;
            replaced("(memory (export \"memory\")", &format!("{import} (memory (export \"memory\")"))
        }),
        refused("wasi-preview-2", "wants sockets from WASI", "wasi:sockets/tcp@0.2.0", || {
            text(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance (export "connect" (func)))))"#)
        }),
        refused("imports-the-environment", "wants a function of nobody", "env", || {
            let import = r#"(import "env" "system" (func (param i32) (result i32)))"#;
            replaced("(memory (export \"memory\")", &format!("{import} (memory (export \"memory\")"))
        }),
        refused("imports-what-we-lack", "wants a function that our log does not have", "cannot be made", || {
            let import = r#"(import "wasmill:transform/log@0.1.0" "erase" (func))"#;
            replaced("(memory (export \"memory\")", &format!("{import} (memory (export \"memory\")"))
        }),
        refused("imports-by-another-type", "wants our log with other parameters", "cannot be made", || {
            let import = r#"(import "wasmill:transform/log@0.1.0" "write" (func (param i64)))"#;
            replaced("(memory (export \"memory\")", &format!("{import} (memory (export \"memory\")"))
        }),
        refused("process-missing", "exports no `process`", "cannot be made", || {
            replaced("@0.1.0#process", "@0.1.0#progress")
        }),
        refused("realloc-missing", "exports no allocator", "cannot be made", || {
            replaced("\"cabi_realloc\"", "\"no_realloc\"")
        }),
        refused("memory-missing", "exports no memory", "cannot be made", || {
            replaced("(memory (export \"memory\")", "(memory (export \"memo\")")
        }),
        refused("memory-shared", "shares its memory between threads", "shared", || {
            replaced("(memory (export \"memory\") 16)", "(memory (export \"memory\") 16 16 shared)")
        }),
        refused("memory-of-64-bits", "has a memory of 64 bits", "memory64", || with_fields("(memory i64 1)", "")),
        refused("garbage-collected", "has objects that a collector must free", "gc", || {
            with_fields("(type $s (struct (field i32))) (func (drop (struct.new_default $s)))", "")
        }),
        refused("exceptions", "throws an exception", "exceptions", || {
            with_fields("(tag $t) (func $throws (throw $t))", "(call $throws)")
        }),
        refused("relaxed-simd", "computes what differs from machine to machine", "relaxed", || {
            with_fields(
                "(func (param v128) (result v128)
                   (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))",
                "",
            )
        }),
        refused("stack-not-balanced", "leaves numbers on the stack", "values remaining on stack", || {
            with_fields("(func (i32.const 1))", "")
        }),
    ]
}

/// Small files that want much time or memory.
fn bombs() -> Vec<Hostile> {
    vec![
        refused("section-of-4-gigabytes", "announces a section of 4 GB", "damaged", || {
            with_head(0, &[0xff, 0xff, 0xff, 0xff, 0x0f])
        }),
        refused("section-with-endless-length", "announces a section whose length does not end", "damaged", || {
            with_head(0, &[0x80; 100])
        }),
        refused("functions-of-4-billion", "announces four billion functions", "damaged", || {
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            module.extend([3, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
            module
        }),
        refused("locals-of-4-billion", "has a function with four billion locals", "too long to compile", || {
            // One type, one function of it, and its code: a group of 2^32 - 1 locals.
            let code = [1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b];
            let sections = [&[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, code.len() as u8][..], &code];
            [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
        }),
        refused(
            "functions-by-the-million",
            "has three hundred thousand empty functions",
            "too long to compile",
            || with_fields(&"(func)".repeat(300_000), ""),
        ),
        refused("branches-by-the-million", "chooses among two million branches", "too long to compile", || {
            let targets = "0 ".repeat(2_000_000);
            with_fields(
                &format!(
                    "(func (param i32 i64 f64 i32 i32 i32 i32 i32 i32) (block (br_table {targets} 0 (local.get 0))))"
                ),
                "",
            )
        }),
        refused("blocks-nested-deep", "nests three million blocks", "too long to compile", || {
            let blocks = 3_000_000;
            with_fields(
                &format!("(func (param i32 i32 i32) {} {})", "block ".repeat(blocks), "end ".repeat(blocks)),
                "",
            )
        }),
        Hostile {
            name: "blocks-nested-as-deep-as-allowed",
            does: "nests a hundred thousand blocks",
            make: || {
                let blocks = 100_000;
                with_fields(&format!("(func {} {})", "block ".repeat(blocks), "end ".repeat(blocks)), "")
            },
            expected: Kept,
        },
        refused(
            "locals-in-every-block",
            "joins ten thousand locals in ten thousand blocks",
            "too long to compile",
            || with_fields(&locals_and_blocks(10_000, 10_000), ""),
        ),
        Hostile {
            name: "locals-in-blocks-as-allowed",
            does: "joins 2,500 locals in 1,000 loops",
            make: || with_fields(&locals_and_blocks(2_500, 1_000), ""),
            expected: Kept,
        },
        refused(
            "calls-of-a-thousand-values",
            "passes a thousand values on, a hundred thousand times",
            "too long to compile",
            || {
                let many = "i32 ".repeat(1000);
                let (push, pop) = ("(i32.const 0)".repeat(1000), "drop ".repeat(1000));
                with_fields(
                    &format!(
                        "(type $f (func (param {many}) (result {many}))) (func $f (type $f) unreachable)
                     (func {push} {} {pop})",
                        "call $f ".repeat(100_000)
                    ),
                    "",
                )
            },
        ),
        refused(
            "instances-doubled",
            "instantiates components that instantiate each other, 2^30 times",
            "instances of components",
            || with_component(&doubling(30)),
        ),
        refused(
            "instances-by-import",
            "instantiates what it is given, so that nobody can count it",
            "instances of components",
            || {
                text(
                    r#"(component (import "c" (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))"#,
                )
            },
        ),
        refused("components-nested-deep", "nests three thousand components", "nests components deeper", || {
            components_in_components(3_000)
        }),
        refused("types-nested-deep", "nests a million types of components", "nests types deeper", || {
            types_in_types(1_000_000)
        }),
        refused(
            "types-nested-by-number",
            "makes lists of lists, a hundred thousand deep",
            "type nesting is too deep",
            || lists_of_lists(100_000),
        ),
        refused("instances-of-cores", "instantiates five hundred core modules", "instance count too high", || {
            let cores = "(core instance (instantiate $m))".repeat(500);
            with_component(&format!("(component (core module $m) {cores})"))
        }),
        refused(
            "imports-by-the-hundred-thousand",
            "imports from two hundred thousand modules",
            "imports from more than",
            || {
                let imports: String = (0..200_000).map(|n| format!("(import \"m{n}\" \"f\" (func))")).collect();
                text(&format!("(module {imports})"))
            },
        ),
        refused(
            "exports-by-the-hundred-thousand",
            "exports a hundred thousand functions beside ours",
            "nothing",
            || {
                let exports: String = (0..100_000).map(|n| format!("(export \"f{n}\" (func $f))")).collect();
                with_fields(&format!("(func $f) {exports}"), "")
            },
        )
        .ending(Kept),
        refused("data-by-the-thousand", "initialises each byte by itself, fifty thousand times", "", || {
            with_fields(&"(data (i32.const 900000) \"a\")".repeat(50_000), "")
        })
        .ending(Kept),
    ]
}

/// What a module says of itself.
fn names() -> Vec<Hostile> {
    vec![
        refused("signature-no-json", "says what it is in noise", "section `wasmill` is not valid", || {
            with_section("wasmill", b"{\"name\": \"\x1b[2J")
        }),
        refused("signature-nested-deep", "says what it is in a hundred thousand brackets", "is not valid", || {
            with_section("wasmill", &[b'['; 100_000])
        }),
        refused("signature-of-a-megabyte", "has a version of a megabyte, for every dead letter", "at most 100", || {
            let version = "1".repeat(1_000_000);
            with_section("wasmill", format!("{{\"name\":\"a\",\"version\":\"{version}\"}}").as_bytes())
        }),
        refused("signature-that-moves-the-cursor", "has a name that clears the screen", "\\u{1b}", || {
            with_section("wasmill", br#"{"name":"\u001b[2J","version":"1.0.0"}"#)
        }),
        refused("signature-that-is-a-path", "has a version that leads out of a directory", "letters, digits", || {
            with_section("wasmill", br#"{"name":"a","version":"../../etc/passwd"}"#)
        }),
        refused(
            "import-that-moves-the-cursor",
            "imports from a module whose name clears the screen",
            "wasi\\u{1b}[2J",
            || text("(module (import \"wasi\\1b[2J\\e2\\80\\ae\" \"f\" (func)))"),
        ),
        refused("import-of-a-long-name", "imports from modules whose names have a megabyte together", "wasi", || {
            let names: String =
                (0..900).map(|n| format!("(import \"wasi{n}{}\" \"f\" (func))", "a".repeat(1_000))).collect();
            text(&format!("(module {names})"))
        }),
        refused("name-section-of-noise", "names its functions in noise", "cannot be made", || {
            with_section("name", &[0xff; 1000])
        }),
        Hostile {
            name: "function-with-control-characters",
            does: "traps in a function whose name moves the cursor",
            make: || {
                let fields = "(func $\"\\1b[2J\\e2\\80\\ae\" unreachable)";
                with_fields(fields, "(call $\"\\1b[2J\\e2\\80\\ae\")")
            },
            expected: Rejected(reason::TRANSFORM_TRAP, "at \\u{1b}[2J\\u{202e}+"),
        },
        Hostile {
            name: "debug-information-of-noise",
            does: "traps, with debug information that is noise",
            make: || {
                let mut module = with_fields("", "unreachable");
                for name in [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_ranges"] {
                    let section = CustomSection { name: name.into(), data: vec![0xa5; 10_000].into() };
                    module.push(section.id());
                    wasm_encoder::Encode::encode(&section, &mut module);
                }
                module
            },
            expected: Rejected(reason::TRANSFORM_TRAP, "unreachable"),
        },
    ]
}

//! The house rules that can be read off the source: who may name whom, how long a file may be, what may not stand there.

use std::path::{Path, PathBuf};

use crate::binary::root;

/// All Rust files below a directory of the project, by their paths from its root.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != ".cache") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file is text");
                found.push((from_root(&path), text));
            }
        }
    }
    assert!(!found.is_empty(), "no source under {below}");
    found
}

fn from_root(path: &Path) -> String {
    path.strip_prefix(root()).expect("it lies in the project").to_string_lossy().into_owned()
}

/// The code of a file without its comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// The module of the host that a file belongs to: `host/src/sink/hive.rs` is of `sink`.
fn module(path: &str) -> &str {
    let path = path.trim_start_matches("host/src/");
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

#[test]
fn each_big_library_is_named_in_one_place() {
    let places = [
        ("rdkafka::", vec!["host/src/source/kafka"]),
        ("wasmtime::", vec!["host/src/transform/"]),
        ("hdfs_native::", vec!["host/src/storage/hdfs.rs"]),
        ("clap::", vec!["host/src/cli/", "host/src/main.rs"]),
    ];
    for (path, text) in sources("host/src") {
        for (name, allowed) in &places {
            let named = code(&text).any(|line| line.contains(name));
            assert!(!named || allowed.iter().any(|place| path.starts_with(place)), "{path} names {name}");
        }
    }
}

#[test]
fn modules_know_only_what_the_architecture_says() {
    // What a module of the host may name of the others; a module that is not listed may name all.
    let arrows: [(&str, &[&str]); 17] = [
        ("error", &["kerberos"]),
        ("kerberos", &["error"]),
        ("runtime", &[]),
        ("reason", &[]),
        ("checkpoint", &["source"]),
        ("eventsim", &["error"]),
        ("decode", &["decode", "source", "reason", "error", "eventsim", "schema_registry"]),
        ("schema_registry", &["schema_registry", "config", "runtime", "error"]),
        ("storage", &["error", "kerberos"]),
        ("source", &["source", "config", "error", "eventsim", "kerberos", "storage"]),
        ("transform", &["transform", "config", "decode", "source", "reason", "error"]),
        ("signature", &["error"]),
        ("registry", &["registry", "signature", "config", "runtime", "storage", "transform", "error"]),
        // Of the sink only how much memory open files hold.
        (
            "status",
            &[
                "status",
                "checkpoint",
                "registry",
                "report",
                "schema_registry",
                "sink",
                "source",
                "storage",
                "transform",
                "error",
            ],
        ),
        (
            "replay",
            &[
                "replay",
                "audit",
                "chain",
                "checkpoint",
                "config",
                "pipeline",
                "report",
                "runtime",
                "sink",
                "source",
                "table",
                "transform",
                "error",
            ],
        ),
        (
            "reprocess",
            &[
                "reprocess",
                "audit",
                "checkpoint",
                "config",
                "pipeline",
                "report",
                "runtime",
                "source",
                "storage",
                "table",
                "transform",
                "error",
            ],
        ),
        // Of the sink only whether the columns fit the table, of the table how one value is shown.
        (
            "deployment",
            &[
                "deployment",
                "checkpoint",
                "config",
                "decode",
                "registry",
                "report",
                "schema_registry",
                "sink",
                "source",
                "status",
                "storage",
                "table",
                "transform",
                "error",
                "runtime",
            ],
        ),
    ];
    for (path, text) in sources("host/src") {
        let Some((_, known)) = arrows.iter().find(|(name, _)| *name == module(&path)) else { continue };
        for line in code(&text) {
            for rest in line.split("crate::").skip(1) {
                let named: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let fine = named.is_empty() || named == module(&path) || known.contains(&named.as_str());
                assert!(fine, "{path} names crate::{named}");
            }
        }
    }
}

#[test]
fn the_chain_knows_nothing_of_parquet_and_the_sink_nothing_of_kafka() {
    for (path, text) in sources("host/src/chain").into_iter().chain(sources("host/src/sink")) {
        let foreign = if path.contains("/chain/") { "parquet::" } else { "kafka" };
        assert!(!code(&text).any(|line| line.to_lowercase().contains(foreign)), "{path} names {foreign}");
    }
    for (path, text) in sources("host/src/source").into_iter().chain(sources("host/src/decode")) {
        assert!(!code(&text).any(|line| line.contains("parquet::")), "{path} names parquet");
    }
}

#[test]
fn unsafe_code_stands_where_it_is_allowed() {
    let allowed = ["host/src/allocator.rs", "host/src/source/kafka_ffi.rs", "host/src/transform/cached_code.rs"];
    for (path, text) in sources("host/src") {
        let words = ["unsafe ", "unsafe("];
        let is_unsafe = |line: &str| words.iter().any(|word| line.contains(word));
        assert!(!code(&text).any(is_unsafe) || allowed.contains(&path.as_str()), "{path} has unsafe code");
    }
}

#[test]
fn files_are_short_and_rooms_have_names() {
    for part in ["host/src", "guest-sdk", "transforms", "tests/it", "tests/model"] {
        for (path, text) in sources(part) {
            assert!(text.lines().count() <= 600, "{path} has more than 600 lines");
            let rooms = ["utils", "util", "common", "helpers", "helper", "misc", "types"];
            let named = |part: &str| rooms.contains(&part.trim_end_matches(".rs"));
            assert!(!path.split('/').any(named), "{path}: a room whose name says nothing");
            assert!(!text.contains("#[ignore") || path.ends_with("tidy.rs"), "{path} ignores a test");
        }
    }
}

#[test]
fn the_root_holds_what_is_given() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "Makefile",
        "README.md",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "host",
        "guest-sdk",
        "transforms",
        "wit",
        "tests",
        "target",
    ];
    let entries = std::fs::read_dir(root()).expect("the root can be read");
    let names: Vec<PathBuf> = entries.map(|entry| PathBuf::from(entry.expect("an entry").file_name())).collect();
    for name in names {
        let name = name.to_string_lossy();
        assert!(name.starts_with('.') || known.contains(&name.as_ref()), "{name} does not belong into the root");
    }
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    assert!(readme.contains("make test") && readme.contains("make demo"));
}

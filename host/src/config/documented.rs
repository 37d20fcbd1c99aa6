//! `host/docs/pipeline-file.md` describes what is read, neither less nor more; the shipped pipelines are read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::load::examine;
use super::{SchemaRegistryConfig, Surroundings, TableSchema};
use crate::decode::schema::{EventField, EventSchema, EventType};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pipeline-file.md");
const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");

/// The keys that the tables of the document name, with dots: `source.kafka.brokers`, `transforms[].name`.
fn documented(text: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = match title.trim_matches('`').strip_prefix("[[") {
                Some(name) => format!("{}[]", name.trim_end_matches("]]")),
                None => title.trim_matches(|c| matches!(c, '`' | '[' | ']')).to_owned(),
            };
        }
        if let Some((key, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

/// The blocks of TOML in the document.
fn examples(text: &str) -> Vec<&str> {
    text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect()
}

fn surroundings(directory: &Path) -> Surroundings {
    Surroundings { variable: Arc::new(|_| None), working_directory: directory.to_owned(), registered: no_registry }
}

/// What the document's schema says, whatever is asked for.
fn no_registry(_: &SchemaRegistryConfig, _: &TableSchema) -> Result<EventSchema, String> {
    let field = |name: &str, kind| EventField { name: name.to_owned(), kind, required: false };
    EventSchema::new(vec![field("ts", EventType::Long), field("level", EventType::String)])
}

#[test]
fn the_document_names_every_key() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for file in ["keep_plays.wasm", "tokens.toml", "host.pem", "host.key", "clients.pem", "registry.pem"] {
        std::fs::write(directory.path().join(file), b"").unwrap();
    }
    let blocks = examples(&text);
    let starts = [
        "start = \"earliest\"",
        "start = { timestamp = \"2026-01-01T00:00:00Z\" }",
        "start = { spark_checkpoint = \"/spark\" }",
    ];
    let mut asked = BTreeSet::new();
    let sources = ["[source.kafka]", "[source.file]", "[source.eventsim]"];
    for (source, start) in sources.into_iter().flat_map(|source| starts.map(|start| (source, start))) {
        for columns in ["[schema]", "table = \"latest\""] {
            // The one kind of file fixes the transforms, the other runs what is deployed; each has a section of its own.
            for (of_the_other, name) in
                [("[breaker]", "name = "), ("[[transforms]]", "transforms = \"deployed\"\nname = ")]
            {
                let is_registered = columns != "[schema]";
                let is_other = |block: &&&str| {
                    block.starts_with(of_the_other)
                        || (block.starts_with("[source.") && !block.starts_with(source))
                        || (block.starts_with("[schema]") && is_registered)
                };
                let file: String = blocks.iter().filter(|block| !is_other(block)).copied().collect();
                let of_registry = |line: &&str| {
                    is_registered || !["table = ", "subject = ", "evolution = "].iter().any(|key| line.starts_with(key))
                };
                let file: String = file.lines().filter(of_registry).map(|line| format!("{line}\n")).collect();
                let file = file.replacen(starts[0], start, 1).replacen("name = ", name, 1);
                let path = directory.path().join("p.toml");
                let (config, mistakes, keys) = examine(&path, &file, &surroundings(directory.path()));
                assert!(config.is_some() && mistakes.is_empty(), "{mistakes:?}\n{file}");
                asked.extend(keys);
            }
        }
    }
    let inside = |key: &String, other: &String| {
        other.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
    };
    // `schema.*` and `start` are values and tables at once; other tables are described by what is in them.
    let is_value = |key: &String| ["schema.*", "source.kafka.start"].contains(&key.as_str());
    let keys: BTreeSet<String> =
        asked.iter().filter(|key| is_value(key) || !asked.iter().any(|other| inside(key, other))).cloned().collect();
    assert_eq!(documented(&text), keys);
    for key in &keys {
        let name = key.rsplit('.').next().unwrap();
        assert!(name == "*" || text.contains(&format!("{name} = ")), "no example of {key}");
    }
}

#[test]
fn the_shipped_pipelines_are_read() {
    let mut count = 0;
    for entry in std::fs::read_dir(PIPELINES).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // The modules are built by `make`; whether they are there is not asked here.
        let (_, mistakes, _) = examine(&path, &text, &surroundings(Path::new("/work")));
        let others: Vec<_> =
            mistakes.iter().filter(|mistake| !mistake.message.starts_with("there is no file")).collect();
        assert!(others.is_empty(), "{}: {others:?}", path.display());
        count += 1;
    }
    assert!(count >= 2);
}

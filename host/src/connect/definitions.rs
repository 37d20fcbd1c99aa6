//! The keys of a connector: those of the pipeline file that a served pipeline may have, by their names with dots, and those
//! that each sink connector has. What they mean is read off `host/docs/pipeline-file.md`, which a test holds complete.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::serve::SECRETS;

const DOCUMENT: &str = include_str!("../../docs/pipeline-file.md");

/// The sections that a served pipeline may have.
const SECTIONS: [&str; 11] = [
    "source.kafka",
    "schema_registry",
    "schema",
    "table",
    "dead_letters",
    "checkpoint",
    "registry",
    "breaker",
    "webhook",
    "storage",
    "limits",
];

/// Keys whose values are lists.
const LISTS: [&str; 4] = ["topics", "table.partition_by", "dead_letters.redact", "registry.keys"];
/// Keys whose values are whole numbers.
const NUMBERS: [&str; 6] = [
    "table.max_open_hive_partitions",
    "breaker.failures",
    "storage.replication",
    "limits.workers",
    "limits.batch_rows",
    "tasks.max",
];
/// Keys whose values are whole numbers or text.
const NUMBERS_OR_TEXT: [&str; 2] = ["source.kafka.start.timestamp", "schema_registry.table"];
/// Keys whose values are `true` or `false`.
const SWITCHES: [&str; 1] = ["storage.sync_on_close"];
/// Keys that a connector may leave out though a pipeline file may not.
const FILLED_IN: [&str; 2] = ["source.kafka.brokers", "source.kafka.group"];
/// Sections that each pipeline has; of others, nothing is required.
const ALWAYS: [&str; 4] = ["source.kafka", "table", "dead_letters", "checkpoint"];

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    List,
    Number,
    NumberOrText,
    Switch,
    Secret,
}

/// One key, as Connect's clients get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Definition {
    pub(super) name: String,
    /// `STRING`, `LIST`, `INT`, `BOOLEAN` or `PASSWORD`.
    r#type: &'static str,
    pub(super) required: bool,
    default_value: Option<String>,
    importance: &'static str,
    documentation: String,
    group: String,
    order_in_group: usize,
    width: &'static str,
    display_name: String,
    dependents: [String; 0],
    #[serde(skip)]
    pub(super) kind: Kind,
}

impl Definition {
    /// The section that it stands in.
    pub(super) fn group(&self) -> &str {
        &self.group
    }
}

/// All keys, in the order of the document.
pub(super) fn all() -> &'static [Definition] {
    static ALL: LazyLock<Vec<Definition>> = LazyLock::new(|| {
        let mut all = common();
        for section in SECTIONS {
            all.extend(section_keys(section));
        }
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for definition in &mut all {
            let place = places.entry(definition.group.clone()).or_default();
            *place += 1;
            definition.order_in_group = *place;
        }
        all
    });
    &ALL
}

/// Those that are one key each.
pub(super) fn single() -> impl Iterator<Item = &'static Definition> {
    all().iter().filter(|definition| !definition.name.contains('*'))
}

/// The key of that name, for those that stand for many too: `source.kafka.options.*`, `schema.*`.
pub(super) fn of(key: &str) -> Option<&'static Definition> {
    let exact = all().iter().find(|definition| definition.name == key);
    exact.or_else(|| {
        all().iter().find(|definition| {
            let prefix = definition.name.strip_suffix('*');
            prefix.is_some_and(|prefix| key.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
        })
    })
}

/// What a value of this key is.
pub(super) fn kind(key: &str) -> Kind {
    match key {
        _ if LISTS.contains(&key) => Kind::List,
        _ if NUMBERS.contains(&key) => Kind::Number,
        _ if NUMBERS_OR_TEXT.contains(&key) => Kind::NumberOrText,
        _ if SWITCHES.contains(&key) => Kind::Switch,
        _ if SECRETS.contains(&key) => Kind::Secret,
        _ => Kind::Text,
    }
}

/// The name that a connector has for a key of the pipeline file.
pub(super) fn name(key: &str) -> &str {
    match key {
        "pipeline.name" => "name",
        "source.kafka.topics" => "topics",
        key => key,
    }
}

fn definition(name: &str, group: &str, documentation: String) -> Definition {
    let kind = kind(name);
    let r#type = match kind {
        Kind::Text | Kind::NumberOrText => "STRING",
        Kind::List => "LIST",
        Kind::Number => "INT",
        Kind::Switch => "BOOLEAN",
        Kind::Secret => "PASSWORD",
    };
    Definition {
        name: name.to_owned(),
        r#type,
        required: false,
        default_value: None,
        importance: "MEDIUM",
        documentation,
        group: group.to_owned(),
        order_in_group: 0,
        width: "MEDIUM",
        display_name: name.to_owned(),
        dependents: [],
        kind,
    }
}

/// The keys of every sink connector.
fn common() -> Vec<Definition> {
    let common = |name: &str, required, default_value: Option<&str>, documentation: &str| Definition {
        required,
        default_value: default_value.map(str::to_owned),
        importance: "HIGH",
        ..definition(name, "Common", documentation.to_owned())
    };
    vec![
        common(
            "name",
            true,
            None,
            "The pipeline's name: letters, digits, -, _ and .; stands in records, logs and metrics.",
        ),
        common("connector.class", true, None, "wasmill."),
        common(
            "tasks.max",
            false,
            Some("1"),
            "Kept for clients that send it: each server of the storage runs one task.",
        ),
        common("topics", true, None, "The topics that are read: names separated by commas, no patterns."),
        common(
            "pipeline.transforms",
            false,
            None,
            "deployed: events go through the transforms of the newest deployment. Left out: there are none.",
        ),
        common(
            "schema",
            false,
            None,
            "The columns in their order, like ts:long!, level:string, tags:list<string>. Columns may also be given one by \
             one as schema.NAME; they are then in the order of their names.",
        ),
    ]
}

/// The keys of one section, of its tables in the document.
fn section_keys(section: &str) -> Vec<Definition> {
    let title = format!("## `[{section}]`");
    let Some((_, rest)) = DOCUMENT.split_once(&title) else { return Vec::new() };
    let text = rest.split_once("\n## ").map_or(rest, |(text, _)| text);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let (Some(key), Some(wanted)) = (cells.first(), cells.get(1)) else { continue };
        let default = cells.get(2).copied().unwrap_or_default();
        let path = format!("{section}.{}", key.trim_matches('`'));
        let key = name(&path);
        if key == "topics" {
            continue;
        }
        let mut made = definition(key, section, plain(wanted));
        made.required = default == "required" && ALWAYS.contains(&section) && !FILLED_IN.contains(&key);
        made.importance = if default == "required" { "HIGH" } else { "MEDIUM" };
        made.default_value = match key {
            "source.kafka.brokers" => Some("${env:WASMILL_BROKERS}".to_owned()),
            _ => value(default),
        };
        found.push(made);
    }
    found
}

/// A default that is a value: `` `"60s"` `` or `4096`.
fn value(text: &str) -> Option<String> {
    let code = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or(text);
    let list = code.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(items) = list {
        return Some(items.split(',').map(|item| item.trim().trim_matches('"')).collect::<Vec<_>>().join(","));
    }
    match code.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) => Some(text.to_owned()),
        None => code.parse::<u64>().ok().map(|number| number.to_string()),
    }
}

/// A line of the document without its marks.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    // Links keep their text.
    while let Some((before, after)) = rest.split_once("](") {
        let (head, text) = before.rsplit_once('[').unwrap_or(("", before));
        plain.push_str(head);
        plain.push_str(text);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.retain(|c| c != '`');
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_document_has_its_keys() {
        for section in SECTIONS {
            assert!(all().iter().any(|definition| definition.group == section), "{section}");
        }
        for special in
            LISTS.iter().chain(&NUMBERS).chain(&NUMBERS_OR_TEXT).chain(&SWITCHES).chain(&SECRETS).chain(&FILLED_IN)
        {
            assert!(all().iter().any(|definition| definition.name == *special), "{special}");
        }
        assert!(all().iter().all(|definition| definition.order_in_group > 0 && !definition.documentation.is_empty()));
    }

    #[test]
    fn a_row_of_the_document_becomes_a_key() {
        let interval = of("checkpoint.interval").unwrap();
        assert_eq!(
            (interval.r#type, interval.default_value.as_deref(), interval.required),
            ("STRING", Some("60s"), false)
        );
        assert_eq!(interval.documentation, "events become visible at least this often, 1 s to 1 h");
        assert!(of("table.location").unwrap().required);
        assert_eq!(of("table.partition_by").unwrap().default_value.as_deref(), Some("year,month,day,hour"));
        assert_eq!(of("limits.batch_rows").unwrap().default_value.as_deref(), Some("4096"));
        assert_eq!(of("source.kafka.options.client.id").unwrap().name, "source.kafka.options.*");
        assert!(of("source.kafka.topics").is_none() && of("sourcekafka").is_none() && of("transforms").is_none());
        assert!(!of("source.kafka.format").unwrap().documentation.contains(['[', '`']));
    }
}

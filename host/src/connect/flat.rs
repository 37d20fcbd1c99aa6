//! A connector's configuration, which is flat, and a pipeline file: each of the other.
//!
//! ```text
//! "checkpoint.interval": "5s"                  [checkpoint] interval = "5s"
//! "topics": "plays,clicks"                     [source.kafka] topics = ["plays", "clicks"]
//! "schema": "ts:long!, level:string"           [schema] ts = "long!"   level = "string"
//! "webhook.token": "${env:TOKEN}"              [webhook] token = { env = "TOKEN" }
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::de::DeTable;
use toml::{Table, Value};

use super::definitions::{self, Kind};
use crate::serve::BROKERS;

/// The one class of connectors.
pub(super) const CLASS: &str = "wasmill";

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) why: String,
}

/// The pipeline file that a configuration means. Whether it is a good one is not asked.
///
/// # Errors
/// All keys that are none, and values that cannot be read.
pub(super) fn to_file(config: &BTreeMap<String, String>) -> Result<String, Vec<Wrong>> {
    let (mut root, mut columns, mut wrong) = (Table::new(), Columns::default(), Vec::new());
    for (key, text) in config {
        let text = text.trim();
        let placed = match key.as_str() {
            "connector.class" | "tasks.max" => Ok(()),
            // A form that was not filled in.
            _ if text.is_empty() => Ok(()),
            "schema" => columns.list(text),
            key => match key.strip_prefix("schema.") {
                Some(name) => columns.one(name, text),
                None => place(&mut root, key, text),
            },
        };
        if let Err(why) = placed {
            wrong.push(Wrong { key: key.clone(), why });
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if let Some(name) = config.get("name") {
        put(&mut root, &["pipeline", "name"], Value::String(name.clone()));
        fill_in(&mut root, &["source", "kafka", "group"], || Value::String(default_group(name)));
    }
    fill_in(&mut root, &["source", "kafka", "brokers"], || reference("env", BROKERS));
    Ok(format!("{root}{}", columns.into_toml()))
}

/// The configuration that a checked pipeline file means.
pub(super) fn of_file(file: &str) -> BTreeMap<String, String> {
    let mut config = BTreeMap::from([("connector.class".to_owned(), CLASS.to_owned())]);
    let Ok(mut root) = file.parse::<Table>() else { return config };
    if let Some(Value::Table(columns)) = root.remove("schema") {
        flatten_columns(&columns, &order(file), &mut config);
    }
    for (key, value) in root {
        flatten(key, &value, &mut config);
    }
    if config.get("source.kafka.brokers").is_some_and(|brokers| *brokers == format!("${{env:{BROKERS}}}")) {
        config.remove("source.kafka.brokers");
    }
    let group = config.get("name").map(|name| default_group(name));
    if config.get("source.kafka.group") == group.as_ref() {
        config.remove("source.kafka.group");
    }
    config
}

/// Whether a value comes from the environment or the files of a server.
pub(super) fn is_from_outside(text: &str) -> bool {
    outside(text.trim()).is_some()
}

/// As Connect names the group of a sink.
fn default_group(name: &str) -> String {
    format!("connect-{name}")
}

fn place(root: &mut Table, key: &str, text: &str) -> Result<(), String> {
    let Some(definition) = definitions::of(key) else {
        return Err(format!("there is no such key{}", did_you_mean(key)));
    };
    let value = value(definition.kind, text)?;
    match key {
        "name" => put(root, &["pipeline", "name"], value),
        "topics" => put(root, &["source", "kafka", "topics"], value),
        key => match key.strip_prefix("source.kafka.options.") {
            // Names of options have dots of their own.
            Some(option) => put(root, &["source", "kafka", "options", option], value),
            None => put(root, &key.split('.').collect::<Vec<_>>(), value),
        },
    }
    Ok(())
}

fn did_you_mean(key: &str) -> String {
    let names = definitions::all().iter().map(|definition| definition.name.as_str());
    let near = names.map(|name| (strsim::damerau_levenshtein(name, key), name)).min();
    near.filter(|(distance, _)| *distance <= 3).map(|(_, name)| format!("; did you mean {name}?")).unwrap_or_default()
}

fn value(kind: Kind, text: &str) -> Result<Value, String> {
    if let Some(outside) = outside(text) {
        return Ok(outside);
    }
    let number = || text.replace('_', "").parse::<i64>().map(Value::Integer);
    match kind {
        Kind::Text | Kind::Secret => Ok(Value::String(text.to_owned())),
        Kind::List => Ok(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        )),
        Kind::Number => number().map_err(|_| format!("{text:?} is no whole number")),
        Kind::NumberOrText => Ok(number().unwrap_or_else(|_| Value::String(text.to_owned()))),
        Kind::Switch => text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is neither true nor false")),
    }
}

/// `${env:NAME}`, `${file:/PATH}`, or such a value as TOML writes it.
fn outside(text: &str) -> Option<Value> {
    if let Some((kind, name)) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')?.split_once(':')) {
        return ["env", "file"].contains(&kind).then(|| reference(kind, name));
    }
    if !text.starts_with('{') {
        return None;
    }
    let table: Table = format!("value = {text}").parse().ok()?;
    let value = table.get("value")?.clone();
    is_reference(&value).then_some(value)
}

fn reference(kind: &str, name: &str) -> Value {
    Value::Table(Table::from_iter([(kind.to_owned(), Value::String(name.to_owned()))]))
}

fn is_reference(value: &Value) -> bool {
    let Value::Table(table) = value else { return false };
    let is = |key: &str| table.get(key).is_some_and(Value::is_str);
    (is("env") && (table.len() == 1 || (table.len() == 2 && table.contains_key("default"))))
        || (is("file") && table.len() == 1)
}

fn put(table: &mut Table, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return;
    }
    let below = table.entry((*first).to_owned()).or_insert_with(|| Value::Table(Table::new()));
    if !below.is_table() {
        // `source.kafka.start` and `source.kafka.start.timestamp` at once: the closer one says more.
        *below = Value::Table(Table::new());
    }
    if let Value::Table(below) = below {
        put(below, rest, value);
    }
}

fn fill_in(root: &mut Table, path: &[&str], value: impl FnOnce() -> Value) {
    let mut at = Some(&*root);
    for key in &path[..path.len() - 1] {
        at = at.and_then(|table| table.get(*key)).and_then(Value::as_table);
    }
    let is_there = at.is_some_and(|table| path.last().is_some_and(|key| table.contains_key(*key)));
    if !is_there {
        put(root, path, value());
    }
}

/// The columns of a connector, in their order.
#[derive(Default)]
struct Columns(Vec<(String, Table)>);

impl Columns {
    fn column(&mut self, name: &str) -> &mut Table {
        let at = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Table::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// `ts:long!, level:string`.
    fn list(&mut self, text: &str) -> Result<(), String> {
        for column in split(text) {
            let (name, kind) =
                column.split_once(':').map(|(name, kind)| (name.trim(), kind.trim())).unwrap_or_default();
            if name.is_empty() || kind.is_empty() {
                return Err(format!(
                    "{column:?} is no column; wanted NAME:TYPE, NAME:TYPE like ts:long!, level:string"
                ));
            }
            self.column(name).insert("type".to_owned(), Value::String(kind.to_owned()));
        }
        Ok(())
    }

    /// `NAME`, or what is said of it: `NAME.type`, `NAME.format`, `NAME.required`.
    fn one(&mut self, key: &str, text: &str) -> Result<(), String> {
        let (name, what) = match key.rsplit_once('.') {
            Some((name, what @ ("type" | "format" | "required"))) => (name, what),
            _ => (key, "type"),
        };
        let value = value(if what == "required" { Kind::Switch } else { Kind::Text }, text)?;
        self.column(name).insert(what.to_owned(), value);
        Ok(())
    }

    fn into_toml(self) -> String {
        let mut text = String::new();
        if !self.0.is_empty() {
            text.push_str("\n[schema]\n");
        }
        for (name, column) in self.0 {
            let name = Value::String(name);
            let _ = match (column.len(), column.get("type")) {
                (1, Some(kind)) => writeln!(text, "{name} = {kind}"),
                _ => writeln!(text, "{name} = {}", Value::Table(column)),
            };
        }
        text
    }
}

/// At the commas that are in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[from..].trim());
    found
}

/// The columns of a file in their order, which TOML's own table does not keep.
fn order(file: &str) -> Vec<String> {
    let Ok(root) = DeTable::parse(file) else { return Vec::new() };
    let Some(schema) = root.get_ref().get("schema").and_then(|schema| schema.get_ref().as_table()) else {
        return Vec::new();
    };
    let mut keys: Vec<(usize, String)> =
        schema.keys().map(|key| (key.span().start, key.get_ref().to_string())).collect();
    keys.sort();
    keys.into_iter().map(|(_, key)| key).collect()
}

fn flatten_columns(columns: &Table, order: &[String], config: &mut BTreeMap<String, String>) {
    let is_plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '));
    let mut list = Vec::new();
    for (name, column) in order.iter().filter_map(|name| Some((name, columns.get(name)?))) {
        let of = |key: &str| column.get(key);
        let Some(kind) = column.as_str().or_else(|| of("type")?.as_str()) else {
            flatten(format!("schema.{name}"), column, config);
            continue;
        };
        let required = of("required").and_then(Value::as_bool).unwrap_or(false) && !kind.ends_with('!');
        let kind = format!("{kind}{}", if required { "!" } else { "" });
        match is_plain(name) {
            true => list.push(format!("{name}:{kind}")),
            false => drop(config.insert(format!("schema.{name}"), kind)),
        }
        if let Some(format) = of("format") {
            flatten(format!("schema.{name}.format"), format, config);
        }
    }
    if !list.is_empty() {
        config.insert("schema".to_owned(), list.join(", "));
    }
}

fn flatten(key: String, value: &Value, config: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Table(table) if is_reference(value) => match (table.len(), table.iter().next()) {
            (1, Some((kind, Value::String(name)))) => format!("${{{kind}:{name}}}"),
            _ => value.to_string(),
        },
        Value::Table(table) => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, config);
            }
            return;
        }
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            items.iter().map(text).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    config.insert(definitions::name(&key).to_owned(), text);
}

#[cfg(test)]
mod tests;

//! `[schema]`, `[table]`, `[checkpoint]`: what is stored, as what, and where.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::{DataType, Field as Column, Schema};

use super::file::{Field, Section, listed};
use super::mistake::did_you_mean;
use super::value::{self, Place};
use super::{CheckpointConfig, ColumnEncoding, Compression, EventTime, RegistryConfig, TableConfig, TimeUnit};
use crate::decode::schema::{EventField, EventSchema, EventType};
use crate::error::{Error, Result};

/// Hive partitions that come from the event time, not from a column.
pub const TIME_PARTITIONS: [&str; 4] = ["year", "month", "day", "hour"];

/// Fields of one event, in the order of the file.
pub(super) fn schema(root: &Section<'_>) -> Option<EventSchema> {
    let section = root.required_section("schema")?;
    let all = section.all();
    let expected = all.len();
    let fields: Vec<EventField> = all.iter().filter_map(|(name, field)| event_field(name, field)).collect();
    if fields.len() < expected {
        return None;
    }
    EventSchema::new(fields).map_err(|why| section.mistake("", why)).ok()
}

fn event_field(name: &str, field: &Field<'_>) -> Option<EventField> {
    let parsed = if let Some(section) = field.section("schema.*") {
        let kind = section.required("type", "\"timestamp(us)\"");
        let format = section.optional("format");
        let required = section.optional("required");
        section.finish();
        let kind = value::text(&kind?)?;
        let parsed = match format {
            Some(format) => EventType::parse_with_format(&kind, &value::text(&format)?),
            None => EventType::parse(&kind),
        };
        let required = match required {
            Some(field) => value::boolean(&field)?,
            None => false,
        };
        parsed.map(|(kind, marked)| (kind, marked || required))
    } else {
        match field.as_text() {
            Some(text) => EventType::parse(text),
            None => {
                field.wanted("a type in quotes like \"string\" or \"long!\", or { type = \"...\", format = \"...\" }");
                return None;
            }
        }
    };
    match parsed {
        Ok((kind, required)) => Some(EventField { name: name.to_owned(), kind, required }),
        Err(why) => {
            field.mistake(if field.is_secret() { "is not a type".to_owned() } else { why });
            None
        }
    }
}

/// `[table]`, and where it lies. `is_final`: no transform changes the columns of `schema`, so columns can be checked now.
pub(super) fn table(root: &Section<'_>, schema: Option<&EventSchema>, is_final: bool) -> Option<(TableConfig, Place)> {
    let section = root.required_section("table")?;
    let location = section.required("location", "\"hdfs://host:port/path\"").and_then(|field| value::location(&field));
    let event_time = event_time(&section, schema, is_final);
    let partition_by = partition_by(&section, schema, is_final);
    let compression = match section.optional("compression") {
        Some(field) => value::choice(
            &field,
            &[("zstd", Compression::Zstd), ("snappy", Compression::Snappy), ("none", Compression::Uncompressed)],
        ),
        None => Some(Compression::Zstd),
    };
    let encodings = encodings(&section);
    let max_open = match section.optional("max_open_hive_partitions") {
        Some(field) => value::integer(&field, 1..=100_000),
        None => Some(1_000),
    };
    let max_future = match section.optional("max_future") {
        Some(field) => value::duration(&field, Duration::ZERO..=Duration::from_secs(365 * 86_400)),
        None => Some(Duration::from_secs(86_400)),
    };
    section.finish();
    let location = location?;
    let table = TableConfig {
        location: location.location(),
        event_time: event_time?,
        partition_by: partition_by?,
        compression: compression?,
        encodings: encodings?,
        max_open_hive_partitions: max_open.and_then(|count| usize::try_from(count).ok())?,
        max_future: max_future?,
    };
    Some((table, location))
}

/// `encodings = { column = "plain" }`; empty where all is left to the first rows.
fn encodings(table: &Section<'_>) -> Option<BTreeMap<String, ColumnEncoding>> {
    let Some(section) = table.section("encodings") else {
        return if table.has("encodings") { None } else { Some(BTreeMap::new()) };
    };
    let choices = [
        ("plain", ColumnEncoding::Plain),
        ("dictionary", ColumnEncoding::Dictionary),
        ("delta", ColumnEncoding::Delta),
        ("byte-stream-split", ColumnEncoding::ByteStreamSplit),
    ];
    let all = section.all();
    let chosen = all.iter().map(|(name, field)| Some(((*name).to_owned(), value::choice(field, &choices)?)));
    chosen.collect()
}

fn event_time(table: &Section<'_>, schema: Option<&EventSchema>, is_final: bool) -> Option<EventTime> {
    const EXAMPLE: &str = "{ column = \"ts\", unit = \"ms\" }";
    let field = table.required("event_time", EXAMPLE)?;
    let Some(section) = field.section("table.event_time") else {
        field.wanted(EXAMPLE);
        return None;
    };
    let column = section.required("column", "\"ts\"");
    let unit = section.optional("unit");
    section.finish();
    let units = [("s", TimeUnit::Seconds), ("ms", TimeUnit::Milliseconds), ("us", TimeUnit::Microseconds)];
    let given = unit.as_ref().map(|field| value::choice(field, &units));
    let column_field = column?;
    let column = value::text(&column_field)?;
    if given == Some(None) {
        // The unit is wrong and told; the column may be as well.
        let why = schema.filter(|_| is_final).and_then(|schema| why_no_event_time(&schema.arrow, &column));
        why.into_iter().for_each(|why| column_field.mistake(why));
        return None;
    }
    let given = given.flatten();
    let Some(schema) = schema else {
        return Some(EventTime { column, unit: given.unwrap_or(TimeUnit::Milliseconds) });
    };
    let found = schema.arrow.fields().iter().find(|field| *field.name() == column);
    let unit = match (found.map(|field| field.data_type()), given, unit) {
        (Some(DataType::Timestamp(_, Some(_))), Some(_), Some(field)) => {
            field.mistake(format!("the column {column:?} is a timestamp and has its own unit; leave unit out"));
            return None;
        }
        (Some(DataType::Timestamp(_, Some(_))), ..) => TimeUnit::Microseconds,
        (Some(DataType::Int32 | DataType::Int64), None, _) => {
            let kind = "a whole number, so its unit is needed";
            column_field.mistake(format!("the column {column:?} is {kind}: unit = one of \"s\", \"ms\", \"us\""));
            return None;
        }
        (Some(DataType::Int32 | DataType::Int64), Some(unit), _) => unit,
        (Some(_), ..) => {
            column_field.mistake(why_no_event_time(&schema.arrow, &column).unwrap_or_default());
            return None;
        }
        // A transform may write the column: checked again when the transforms are described.
        (None, given, _) if !is_final => given.unwrap_or(TimeUnit::Milliseconds),
        (None, ..) => {
            column_field.mistake(why_no_event_time(&schema.arrow, &column).unwrap_or_default());
            return None;
        }
    };
    Some(EventTime { column, unit })
}

fn partition_by(table: &Section<'_>, schema: Option<&EventSchema>, is_final: bool) -> Option<Vec<String>> {
    let Some(field) = table.optional("partition_by") else { return Some(TIME_PARTITIONS.map(str::to_owned).to_vec()) };
    let names = value::texts(&field, "[\"year\", \"month\", \"day\", \"hour\"]")?;
    if let Some(schema) = schema {
        let columns = || schema.arrow.fields().iter();
        let is_there = |name: &String| columns().any(|column| column.name() == name);
        let mistakes: Vec<String> = names
            .iter()
            .filter(|name| is_final || is_there(name))
            .filter_map(|name| why_no_partition(&schema.arrow, name))
            .collect();
        if !mistakes.is_empty() {
            mistakes.into_iter().for_each(|mistake| field.mistake(mistake));
            return None;
        }
    }
    Some(names)
}

/// Why `column` cannot be the event time of rows with `schema`, if it cannot.
fn why_no_event_time(schema: &Schema, column: &str) -> Option<String> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let Some(field) = schema.fields().iter().find(|field| field.name() == column) else {
        let hint = did_you_mean(column, names());
        return Some(format!("there is no column {column:?}{hint}; columns: {}", listed(names())));
    };
    match field.data_type() {
        DataType::Int32 | DataType::Int64 | DataType::Timestamp(_, Some(_)) => None,
        other => Some(format!("the column {column:?} is {}, wanted int, long or a timestamp", type_name(other))),
    }
}

/// Why rows with `schema` cannot be split by `name`, if they cannot.
fn why_no_partition(schema: &Schema, name: &str) -> Option<String> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let is_time = TIME_PARTITIONS.contains(&name);
    let column = schema.fields().iter().find(|field| field.name() == name);
    match (is_time, column.map(|column: &std::sync::Arc<Column>| column.data_type())) {
        (true, None) => None,
        (true, Some(_)) => Some(format!(
            "{name:?} is a part of the event time, but there is a column of that name too: readers would see two; rename \
             the column"
        )),
        (false, None) => {
            let hint = did_you_mean(name, names().chain(TIME_PARTITIONS));
            Some(format!(
                "there is no column {name:?}{hint}; possible: {}",
                listed(TIME_PARTITIONS.into_iter().chain(names()))
            ))
        }
        (false, Some(DataType::Utf8 | DataType::Int32 | DataType::Int64 | DataType::Boolean)) => None,
        (false, Some(other)) => {
            let found = type_name(other);
            Some(format!("the column {name:?} is {found}; a hive partition needs string, int, long or boolean"))
        }
    }
}

/// An Arrow type by the word that a pipeline file has for it, where it has one.
pub fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 => "string".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Binary => "binary".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Timestamp(_, None) => "local-timestamp(us)".into(),
        DataType::Timestamp(..) => "timestamp(us)".into(),
        DataType::Date32 => "date".into(),
        DataType::Struct(fields) => {
            let mark = |field: &Column| if field.is_nullable() { "" } else { "!" };
            let field = |field: &std::sync::Arc<Column>| {
                format!("{}:{}{}", field.name(), type_name(field.data_type()), mark(field))
            };
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => format!("map<string,{}>", type_name(entry[1].data_type())),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

impl TableConfig {
    /// Checks that rows with `schema`, the columns behind the last transform, can be split as `[table]` says. Called when
    /// the transforms have been described; without transforms the file's own check has said the same.
    pub fn check_columns(&self, schema: &Schema) -> Result<()> {
        let mut mistakes: Vec<String> = why_no_event_time(schema, &self.event_time.column)
            .into_iter()
            .map(|why| format!("table.event_time: {why}"))
            .chain(
                self.partition_by
                    .iter()
                    .filter_map(|name| Some(format!("table.partition_by: {}", why_no_partition(schema, name)?))),
            )
            .collect();
        if schema.fields().iter().all(|column| self.partition_by.contains(column.name())) {
            mistakes
                .push("table.partition_by: every column is a hive partition; the files would have no column".into());
        }
        if mistakes.is_empty() { Ok(()) } else { Err(Error::config(mistakes.join("; "))) }
    }
}

/// `[checkpoint]`, and where it lies.
pub(super) fn checkpoint(root: &Section<'_>) -> Option<(CheckpointConfig, Place)> {
    let section = root.required_section("checkpoint")?;
    let location = section.required("location", "\"hdfs://host:port/path\"").and_then(|field| value::location(&field));
    let interval = match section.optional("interval") {
        Some(field) => value::duration(&field, Duration::from_secs(1)..=Duration::from_secs(3600)),
        None => Some(Duration::from_secs(60)),
    };
    let target_file_size = match section.optional("target_file_size") {
        Some(field) => value::size(&field, 1_000_000..=10_000_000_000),
        None => Some(128_000_000),
    };
    section.finish();
    let location = location?;
    let checkpoint =
        CheckpointConfig { location: location.location(), interval: interval?, target_file_size: target_file_size? };
    Some((checkpoint, location))
}

/// `[registry]`, and where it lies: by default beside the checkpoints, whose own directory holds one directory for each
/// topic.
pub(super) fn registry(root: &Section<'_>, checkpoint: Option<&Place>) -> Option<(RegistryConfig, Place)> {
    let default = checkpoint.map(|checkpoint| checkpoint.beside("_registry"));
    let (mut place, mut keys) = (default, Vec::new());
    if let Some(section) = root.section("registry") {
        if let Some(field) = section.optional("location") {
            place = value::location(&field);
        }
        if let Some(field) = section.optional("keys") {
            for text in value::texts(&field, "[\"wasmill-public:...\"]")? {
                match text.parse() {
                    Ok(key) => keys.push(key),
                    Err(_) => {
                        field.wanted("public keys as wasmill keygen writes them into FILE.pub: wasmill-public:...")
                    }
                }
            }
        }
        section.finish();
    }
    let place = place?;
    Some((RegistryConfig { location: place.location(), keys }, place))
}

/// Locations that contain each other would sweep, list or publish each other's files.
pub(super) fn check_apart(root: &Section<'_>, places: &[(&'static str, &Place)]) {
    for (index, (name, place)) in places.iter().enumerate() {
        for (other_name, other) in &places[..index] {
            let how = if place == other {
                "is the same directory as"
            } else if place.contains(other) {
                "contains"
            } else if other.contains(place) {
                "lies in"
            } else {
                continue;
            };
            let message = format!("{how} {other_name}.location; wanted directories apart");
            match root.section(name) {
                Some(section) => section.mistake("location", message),
                None => root.mistake(name, message),
            }
        }
    }
}

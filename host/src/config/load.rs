//! From a file to a [`Config`], or to all its mistakes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::file::{Reader, Section, Surroundings};
use super::mistake::{Mistake, Mistakes};
use super::{
    BreakerConfig, Config, LimitsConfig, SourceConfig, Then, admin, dead_letters, registered, schema_registry, source,
    table, transform, value, webhook,
};
use crate::decode::Format;
use crate::decode::schema::EventSchema;
use crate::error::{Error, Result};
use crate::storage::StorageOptions;

/// A pipeline file is written by people; a larger one is some other file.
const FILE_BYTES: u64 = 1 << 20;

impl Config {
    /// Reads and checks the pipeline file at `path`, with this process's environment and working directory.
    ///
    /// The error is of the kind `Config` and holds every mistake with its line and key.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let surroundings = Surroundings::of_this_process()?;
        Self::parse(path, &text, &surroundings).map_err(|mistakes| {
            Error::config(mistakes.to_string()).hint("every key is described in host/docs/pipeline-file.md")
        })
    }

    /// The same from text: `path` names the file in mistakes, and its directory is where modules are looked for.
    pub fn parse(path: &Path, text: &str, surroundings: &Surroundings) -> Result<Self, Mistakes> {
        let (config, mistakes, _) = examine(path, text, surroundings);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes { file: path.display().to_string(), mistakes }),
        }
    }
}

/// The `[schema]` table of a pipeline file, or of a file that holds nothing else. Other tables are not looked at.
///
/// The error is of the kind `Config` and holds every mistake with its line and key.
pub fn load_schema(path: &Path) -> Result<EventSchema> {
    let text = read(path)?;
    let surroundings = Surroundings::of_this_process()?;
    let reader = Reader::new(&text, Path::new(""), &surroundings);
    let (document, errors) = DeTable::parse_recoverable(&text);
    let schema = match errors.is_empty() {
        true => table::schema(&Section::root(&reader, document.get_ref())),
        false => None,
    };
    not_toml(&reader, &errors);
    match (schema, reader.into_findings().0) {
        (Some(schema), mistakes) if mistakes.is_empty() => Ok(schema),
        (_, mistakes) => Err(Error::config(Mistakes { file: path.display().to_string(), mistakes }.to_string())),
    }
}

/// Notes what is wrong with the text as TOML.
fn not_toml(reader: &Reader<'_>, errors: &[toml::de::Error]) {
    for error in errors {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        reader.mistake(error.span().map(|span| span.start), "", format!("not TOML: {message}"));
    }
}

impl Surroundings {
    /// The environment variables and working directory of this process.
    pub fn of_this_process() -> Result<Self> {
        let working_directory = std::env::current_dir()
            .map_err(|error| Error::fatal("cannot tell the working directory").because(error))?;
        let variable = Arc::new(|name: &str| std::env::var(name).ok());
        Ok(Self { variable, working_directory, registered: registered::fetch })
    }
}

fn read(path: &Path) -> Result<String> {
    let name = path.display();
    let cannot = |error: std::io::Error| Error::config(format!("cannot read the pipeline file {name}")).because(error);
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > FILE_BYTES {
        return Err(Error::config(format!(
            "{name} is not a pipeline file: it has {length} bytes, more than {FILE_BYTES}"
        )));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    String::from_utf8(bytes)
        .map_err(|error| Error::config(format!("{name} is not a pipeline file: it is not UTF-8 text")).because(error))
}

/// The configuration if there is one, the mistakes, and all keys that were asked for.
pub(super) fn examine(
    path: &Path,
    text: &str,
    surroundings: &Surroundings,
) -> (Option<Config>, Vec<Mistake>, BTreeSet<String>) {
    let directory = path.parent().unwrap_or(Path::new(""));
    let directory = surroundings.working_directory.join(directory);
    let reader = Reader::new(text, &directory, surroundings);
    let (document, errors) = DeTable::parse_recoverable(text);
    let config = if errors.is_empty() {
        let root = Section::root(&reader, document.get_ref());
        config(root)
    } else {
        not_toml(&reader, &errors);
        None
    };
    let (mistakes, asked) = reader.into_findings();
    (config, mistakes, asked)
}

fn config(root: Section<'_>) -> Option<Config> {
    let mut deployed = false;
    let name = root.required_section("pipeline").and_then(|section| {
        let name = section.required("name", "\"listen-events\"").and_then(|field| value::name(&field));
        if let Some(field) = section.optional("transforms") {
            deployed = value::choice(&field, &[("deployed", true)]).unwrap_or_default();
            if deployed && root.has("transforms") {
                field.mistake("the file has [[transforms]] of its own; wanted one of the two");
            }
        }
        section.finish();
        name
    });
    let source = source::source(&root);
    let format = source.as_ref().map_or(Format::Json, |(_, format)| *format);
    let topic = match &source {
        Some((SourceConfig::Kafka(kafka), _)) => kafka.topics.first().map(String::as_str),
        _ => None,
    };
    let schema_registry = schema_registry::schema_registry(&root, topic);
    if format.needs_registry() && !root.has("schema_registry") {
        let missing = "missing; the messages of this format name their schemas: wanted url = \"http://localhost:8081\"";
        root.mistake("schema_registry", missing);
    }
    let of_registry = schema_registry.as_ref().and_then(|registry| Some((registry, registry.table.as_ref()?)));
    let schema = match of_registry {
        None => table::schema(&root),
        Some(_) if root.has("schema") => {
            root.mistake("schema", "stands beside table in [schema_registry]; wanted one of the two");
            None
        }
        Some((registry, wanted)) => match (root.reader.surroundings.registered)(registry, wanted) {
            Ok(schema) => Some(schema),
            Err(why) => {
                root.mistake("schema_registry.table", why);
                None
            }
        },
    };
    let transforms = transform::transforms(&root);
    // Transforms with mistakes are not in the list, but the file means them to be.
    let is_final = !deployed && root.sections("transforms").is_empty();
    let table = table::table(&root, schema.as_ref(), is_final);
    let dead_letters = dead_letters::dead_letters(&root);
    let checkpoint = table::checkpoint(&root);
    let registry = table::registry(&root, checkpoint.as_ref().map(|(_, place)| place));
    let breaker = breaker(&root);
    if !deployed && root.has("breaker") {
        root.mistake("breaker", "the transforms stand in this file, so no deployment can be paused or replaced");
    }
    let admin = admin::admin(&root);
    let webhook = webhook::webhook(&root);
    let storage = storage(&root);
    let limits = limits(&root);
    let places = [
        ("table", table.as_ref().map(|(_, place)| place)),
        ("dead_letters", dead_letters.as_ref().map(|(_, place)| place)),
        ("checkpoint", checkpoint.as_ref().map(|(_, place)| place)),
        ("registry", registry.as_ref().map(|(_, place)| place)),
    ];
    let places: Vec<_> = places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
    table::check_apart(&root, &places);
    root.finish();
    Some(Config {
        name: name?,
        source: source?.0,
        format,
        schema_registry,
        schema: schema?,
        transforms,
        deployed,
        registry: registry?.0,
        breaker: breaker?,
        admin,
        table: table?.0,
        dead_letters: dead_letters?.0,
        checkpoint: checkpoint?.0,
        webhook: webhook?,
        storage,
        limits: limits?,
    })
}

fn storage(root: &Section<'_>) -> StorageOptions {
    let Some(section) = root.section("storage") else { return StorageOptions::default() };
    let file_mode = section.optional("file_mode").and_then(|field| value::file_mode(&field));
    let group = section.optional("group").and_then(|field| value::text(&field));
    let replication = section.optional("replication").and_then(|field| value::integer(&field, 1..=512));
    let sync_on_close = section.optional("sync_on_close").and_then(|field| value::boolean(&field));
    section.finish();
    let replication = replication.and_then(|copies| u32::try_from(copies).ok());
    StorageOptions { file_mode, group, replication, sync_on_close }
}

fn breaker(root: &Section<'_>) -> Option<BreakerConfig> {
    let mut breaker = BreakerConfig::default();
    let Some(section) = root.section("breaker") else { return Some(breaker) };
    if let Some(field) = section.optional("failures") {
        breaker.failures = value::integer(&field, 0..=1 << 50).unwrap_or_default();
    }
    if let Some(field) = section.optional("within") {
        let range = Duration::from_secs(5)..=Duration::from_secs(86_400);
        breaker.within = value::duration(&field, range).unwrap_or_default();
    }
    if let Some(field) = section.optional("then") {
        let choices = [("pause", Then::Pause), ("fall-back", Then::FallBack), ("go-on", Then::GoOn)];
        breaker.then = value::choice(&field, &choices).unwrap_or(breaker.then);
    }
    section.finish();
    Some(breaker)
}

fn limits(root: &Section<'_>) -> Option<LimitsConfig> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut limits = LimitsConfig {
        workers: cores,
        memory_budget: 256_000_000,
        // Columns are encoded batch by batch, and each brings its dictionary into the cache anew: 1,024 rows cost 5 to 10 % more.
        batch_rows: 4_096,
        shutdown: Duration::from_secs(30),
    };
    let Some(section) = root.section("limits") else { return Some(limits) };
    let as_usize = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    if let Some(field) = section.optional("workers") {
        limits.workers = as_usize(value::integer(&field, 1..=1_024)).unwrap_or_default();
    }
    if let Some(field) = section.optional("memory_budget") {
        limits.memory_budget = as_usize(value::size(&field, 16_000_000..=1 << 40)).unwrap_or_default();
    }
    if let Some(field) = section.optional("batch_rows") {
        limits.batch_rows = as_usize(value::integer(&field, 1..=65_536)).unwrap_or_default();
    }
    if let Some(field) = section.optional("shutdown") {
        let range = Duration::from_secs(1)..=Duration::from_secs(600);
        limits.shutdown = value::duration(&field, range).unwrap_or_default();
    }
    section.finish();
    Some(limits)
}

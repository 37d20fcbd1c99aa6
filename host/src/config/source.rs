//! `[source.kafka]`, `[source.file]`, `[source.eventsim]`: exactly one of them.

use toml::de::DeValue;

use super::file::{Field, Section};
use super::mistake::did_you_mean;
use super::secret::Settings;
use super::value;
use super::{EventsimConfig, FileConfig, KafkaConfig, OnDataLoss, SourceConfig, StartPosition};
use crate::decode::Format;

/// The topics that the simulator writes.
pub const EVENTSIM_TOPICS: [&str; 4] = ["listen_events", "page_view_events", "auth_events", "status_change_events"];

/// librdkafka options that the user may not set, and why. A name that ends in `*` stands for all that begin so.
const PROTECTED: [(&str, &str); 22] = [
    ("bootstrap.servers", "write brokers = \"...\" in [source.kafka] instead"),
    ("metadata.broker.list", "write brokers = \"...\" in [source.kafka] instead"),
    ("group.id", "write group = \"...\" in [source.kafka] instead"),
    ("enable.auto.*", "offsets are committed after a checkpoint, never by the clock: exactly once depends on it"),
    ("auto.commit.*", "offsets are committed after a checkpoint, never by the clock: exactly once depends on it"),
    ("offset.store.*", "offsets are stored in the checkpoints: exactly once depends on it"),
    (
        "auto.offset.reset",
        "a lost position must stop the topic partition, not skip events; write start = \"...\" instead",
    ),
    ("isolation.level", "messages of aborted transactions must not reach the table: it is always read_committed"),
    ("enable.partition.eof", "the end of a topic partition is how a run knows that it has caught up"),
    ("check.crcs", "damaged messages must be noticed: it is always true"),
    (
        "max.poll.interval.ms",
        "wasmill polls all the time, also while storage is slow; the limit would only throw it out",
    ),
    ("queuing.strategy", "messages must come in offset order"),
    ("consume.callback.max.messages", "wasmill uses no callbacks to consume"),
    ("opaque", "it is a pointer for programs"),
    ("default_topic_conf", "it is a pointer for programs"),
    ("enabled_events", "it is for programs"),
    ("interceptors", "foreign code in the consumer could change what is read"),
    ("plugin.library.paths", "foreign code in the consumer could change what is read"),
    ("transactional.id", "it is an option of producers"),
    ("transaction.timeout.ms", "it is an option of producers"),
    ("enable.idempotence", "it is an option of producers"),
    ("allow.auto.create.topics", "a misspelt topic must be an error, not a new topic"),
];

const NO_SOURCE: &str = "no source; wanted one table [source.kafka], [source.file] or [source.eventsim]";

/// The one source and what its messages are, or `None` with mistakes noted.
pub(super) fn source(root: &Section<'_>) -> Option<(SourceConfig, Format)> {
    let Some(section) = root.section("source") else {
        root.mistake("source", NO_SOURCE);
        return None;
    };
    let kafka = section.section("kafka");
    let file = section.section("file");
    let eventsim = section.section("eventsim");
    let found: Vec<&str> = [("kafka", kafka.is_some()), ("file", file.is_some()), ("eventsim", eventsim.is_some())]
        .into_iter()
        .filter_map(|(name, is_there)| is_there.then_some(name))
        .collect();
    match found.len() {
        0 => section.mistake("", NO_SOURCE),
        1 => {}
        _ => section.mistake("", format!("found {} sources ({}), wanted one", found.len(), found.join(", "))),
    }
    let only = found.len() == 1;
    section.finish();
    let json = |source| (source, Format::Json);
    let kafka = kafka.and_then(kafka_source).map(|(kafka, format)| (SourceConfig::Kafka(kafka), format));
    let file = file.and_then(|section| file_source(section).map(SourceConfig::File)).map(json);
    let eventsim = eventsim.and_then(|section| eventsim_source(section).map(SourceConfig::Eventsim)).map(json);
    kafka.or(file).or(eventsim).filter(|_| only)
}

fn kafka_source(section: Section<'_>) -> Option<(KafkaConfig, Format)> {
    let brokers = section.required("brokers", "\"host:9092,host:9092\"").and_then(|field| brokers(&field));
    let topics = section.required("topics", "[\"listen_events\"]").and_then(|field| topics(&field));
    let group = section.required("group", "\"wasmill-listen-events\"").and_then(|field| value::text(&field));
    let start = match section.optional("start") {
        Some(field) => start(&field),
        None => Some(StartPosition::Earliest),
    };
    let on_data_loss = match section.optional("on_data_loss") {
        Some(field) => value::choice(&field, &[("stop", OnDataLoss::Stop), ("record", OnDataLoss::Record)]),
        None => Some(OnDataLoss::Stop),
    };
    let format = match section.optional("format") {
        Some(field) => value::choice(&field, &Format::ALL.map(|format| (format.name(), format))),
        None => Some(Format::Json),
    };
    let options = section.section("options").map(options).unwrap_or_default();
    section.finish();
    let kafka = KafkaConfig {
        brokers: brokers?,
        topics: topics?,
        group: group?,
        start: start?,
        on_data_loss: on_data_loss?,
        options,
    };
    Some((kafka, format?))
}

fn brokers(field: &Field<'_>) -> Option<String> {
    let text = value::text(field)?;
    let is_broker = |broker: &str| {
        broker.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !text.split(',').all(is_broker) {
        field.wanted("one or more host:port, separated by commas, like \"kafka-1:9092,kafka-2:9092\"");
        return None;
    }
    Some(text)
}

fn topics(field: &Field<'_>) -> Option<Vec<String>> {
    let topics = value::texts(field, "[\"listen_events\"]")?;
    let is_topic = |topic: &String| {
        topic.len() <= 249
            && topic != "."
            && topic != ".."
            && topic.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if let Some(wrong) = topics.iter().find(|topic| !is_topic(topic)) {
        let shown = if field.is_secret() { field.found() } else { format!("{wrong:?}") };
        field.mistake(format!("found {shown}, wanted names of topics: letters, digits, '-', '_' and '.', no patterns"));
        return None;
    }
    Some(topics)
}

const START_WANTED: &str = "\"earliest\", \"latest\", \"group\", { timestamp = \"2026-01-01T00:00:00Z\" } (or in ms) or \
                            { spark_checkpoint = \"hdfs://...\" }";

fn start(field: &Field<'_>) -> Option<StartPosition> {
    if let Some(section) = field.section("source.kafka.start") {
        let timestamp = section.optional("timestamp");
        let spark = section.optional("spark_checkpoint");
        section.finish();
        return match (timestamp, spark) {
            (Some(field), None) => timestamp_ms(&field).map(StartPosition::Timestamp),
            (None, Some(field)) => {
                value::location(&field).map(|place| StartPosition::SparkCheckpoint(place.location()))
            }
            _ => {
                field.wanted(START_WANTED);
                None
            }
        };
    }
    match field.as_text() {
        Some("earliest") => Some(StartPosition::Earliest),
        Some("latest") => Some(StartPosition::Latest),
        Some("group") => Some(StartPosition::Group),
        other => {
            let words = ["earliest", "latest", "group"];
            let hint = other.filter(|_| !field.is_secret()).map(|text| did_you_mean(text, words)).unwrap_or_default();
            field.wanted(format!("{START_WANTED}{hint}"));
            None
        }
    }
}

fn timestamp_ms(field: &Field<'_>) -> Option<i64> {
    let from_text = |text: &str| text.trim().parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond());
    let ms = match (field.toml(), field.as_text()) {
        (Some(DeValue::Integer(number)), _) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        (Some(DeValue::Datetime(time)), _) => from_text(&time.to_string()),
        (_, Some(text)) => text.trim().parse().ok().or_else(|| from_text(text)),
        _ => None,
    };
    let ms = ms.filter(|ms| *ms >= 0);
    if ms.is_none() {
        field.wanted("a time with its zone, like \"2026-01-01T00:00:00Z\", or milliseconds since 1970");
    }
    ms
}

fn options(section: Section<'_>) -> Settings {
    let mut options = Settings::default();
    for (name, field) in section.all() {
        let protected = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        if let Some((_, why)) = PROTECTED.iter().find(|(pattern, _)| protected(pattern)) {
            field.mistake(format!("may not be set: {why}"));
            continue;
        }
        if name.ends_with("_cb") {
            field.mistake("may not be set: it is a function pointer for programs");
            continue;
        }
        match (field.toml(), field.referred()) {
            (_, Some(text)) => options.insert_secret(name, text),
            (Some(DeValue::String(text)), _) => options.insert(name, text.as_ref()),
            (Some(DeValue::Integer(number)), _) => options.insert(name, number.as_str()),
            (Some(DeValue::Float(number)), _) => options.insert(name, number.as_str()),
            (Some(DeValue::Boolean(value)), _) => options.insert(name, value.to_string()),
            _ => field.wanted(
                "text, a number, true or false; a name with dots needs quotes: \"security.protocol\" = \"SASL_SSL\"",
            ),
        }
    }
    options
}

fn file_source(section: Section<'_>) -> Option<FileConfig> {
    let path = section.required("path", "\"events/*.jsonl\"").and_then(|field| {
        let text = value::text(&field)?;
        if text == "-" {
            return Some(text);
        }
        if let Err(error) = glob::Pattern::new(&text) {
            field.wanted(format!("a path, a glob like \"events/*.jsonl\", or \"-\" ({})", error.msg));
            return None;
        }
        let path = field.reader().surroundings.working_directory.join(&text);
        path.to_str().map(str::to_owned)
    });
    section.finish();
    Some(FileConfig { path: path? })
}

fn eventsim_source(section: Section<'_>) -> Option<EventsimConfig> {
    let topic = match section.optional("topic") {
        Some(field) => value::choice(&field, &EVENTSIM_TOPICS.map(|topic| (topic, topic))),
        None => Some(EVENTSIM_TOPICS[0]),
    };
    let integer = |name, default, range| match section.optional(name) {
        Some(field) => value::integer(&field, range),
        None => Some(default),
    };
    let topic_partitions = integer("topic_partitions", 4, 1..=1024);
    let seed = integer("seed", 1, 0..=u64::MAX);
    let events = section.required("events", "1_000_000").and_then(|field| value::integer(&field, 1..=1 << 50));
    let faults = match section.optional("faults") {
        Some(field) => value::share(&field),
        None => Some(0.0),
    };
    section.finish();
    Some(EventsimConfig {
        topic: topic?.to_owned(),
        topic_partitions: topic_partitions.and_then(|count| i32::try_from(count).ok())?,
        events: events?,
        seed: seed?,
        faults: faults?,
    })
}

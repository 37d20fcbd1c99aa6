//! `wasmill eventsim`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use wasmill::config::{OnIncompatible, RegistryAuth, SchemaRegistryConfig, Secret, Settings};
use wasmill::error::Error;
use wasmill::eventsim::output::{self, Key, MessageOptions, OutputOptions, OutputSummary, Transactions};
use wasmill::eventsim::rate::Rate;
use wasmill::eventsim::{EventFormat, Fault, FaultShares, Framing, SimulatorOptions, Topic};
use wasmill::report::grouped;
use wasmill::schema_registry::{Client, Kind};
use wasmill::source::kafka_producer::{self, ProducerOptions};

use super::stop;

/// Simulate listening events: to standard output, a file, or Kafka.
///
/// Users of a music service that exists nowhere; the same seed makes the same events, byte for byte.
#[derive(Args)]
#[command(after_help = "Examples:
  wasmill eventsim --events 1000 | head -3
  wasmill eventsim --events 1000000 --faults 0.01 --output events.jsonl
  wasmill eventsim --brokers localhost:9092 --topic listen_events --topic-partitions 4 --rate 5000
  wasmill eventsim --brokers localhost:9092 --format avro --registry http://localhost:8081 --events 1000")]
pub(crate) struct Arguments {
    /// A topic to simulate; again for more: listen_events, page_view_events, auth_events, status_change_events.
    #[arg(long = "topic", value_name = "TOPIC", value_parser = topic, default_value = "listen_events")]
    topics: Vec<Topic>,
    /// How many events to write. Without it: until --end, or for ever.
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Events to pass over first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// max, a number of events a second, realtime, or a multiple of it like 10x.
    #[arg(long, value_name = "RATE", value_parser = Rate::parse, default_value = "max")]
    rate: Rate,
    /// Where to write lines: a file, or - for standard output. {topic} in it stands for the topic.
    #[arg(long, short, value_name = "FILE", default_value = "-", conflicts_with = "brokers")]
    output: PathBuf,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    kafka: Kafka,
}

#[derive(Args)]
#[command(next_help_heading = "The model")]
struct Model {
    /// The same seed makes the same events.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Users at the start.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    users: u32,
    /// Event time of the first event.
    #[arg(long, value_name = "TIME", default_value = "2025-01-01T00:00:00Z")]
    start: jiff::Timestamp,
    /// Event time at which the events end.
    #[arg(long, value_name = "TIME")]
    end: Option<jiff::Timestamp>,
    /// Mean gap between two pages of a session.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "90s")]
    alpha: Duration,
    /// Mean gap between two sessions of a user.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "7d")]
    beta: Duration,
    /// How fast the number of users grows in a year: 0.2 is by a factor of e^0.2.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    growth: f64,
    /// How many users leave in a year: 0.1 is about one in ten.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    attrition: f64,
    /// How much fewer sessions start at night, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.6)]
    damping: f64,
    /// How much fewer sessions start at weekends, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    weekend_damping: f64,
    /// Which of several parallel instances this is, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    instance: u32,
    /// How many parallel instances there are; their users and sessions are disjoint.
    #[arg(long, value_name = "N", default_value_t = 1)]
    instances: u32,
    /// The share of events with a fault (0 to 1), spread over all kinds; or NAME=SHARE for one kind, again for more:
    /// malformed, missing-user, bad-coordinates, wrong-type, late, duplicate, tombstone.
    #[arg(long, value_name = "SHARE", value_parser = fault)]
    faults: Vec<FaultArgument>,
}

#[derive(Args)]
#[command(next_help_heading = "To Kafka")]
struct Kafka {
    /// Send to these brokers instead: host:port, more separated by commas.
    #[arg(long, value_name = "HOSTS")]
    brokers: Option<String>,
    /// Another name for the topic; of a single one.
    #[arg(long, value_name = "NAME", requires = "brokers")]
    as_topic: Option<String>,
    /// Make topics with so many topic partitions, or require them to have so many.
    #[arg(long, value_name = "N", requires = "brokers")]
    topic_partitions: Option<i32>,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, value_name = "CODEC", requires = "brokers")]
    compression: Option<String>,
    /// The key of each message.
    #[arg(long, value_enum, default_value_t = KeyArgument::None, requires = "brokers")]
    key: KeyArgument,
    /// Send in transactions of so many events.
    #[arg(long, value_name = "N", requires = "brokers")]
    transaction_events: Option<u64>,
    /// The share of transactions that are aborted and sent again, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, requires = "transaction_events")]
    abort_share: f64,
    /// What messages are: avro, protobuf or json-schema, framed, with their schemas registered as TOPIC-value. Without it:
    /// JSON.
    #[arg(long, value_name = "FORMAT", requires = "registry")]
    format: Option<EventFormat>,
    /// The schema registry's URL.
    #[arg(long, value_name = "URL", requires = "format")]
    registry: Option<String>,
    /// Who asks the schema registry; the password is taken from WASMILL_REGISTRY_PASSWORD.
    #[arg(long, value_name = "NAME", requires = "registry")]
    registry_username: Option<String>,
    /// Any option of librdkafka; again for more.
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = super::pair, requires = "brokers")]
    options: Vec<(String, String)>,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyArgument {
    /// No key: by turns to all topic partitions.
    None,
    /// The user's number.
    User,
}

/// `0.01`, or `late=0.01`.
#[derive(Clone)]
struct FaultArgument {
    kind: Option<Fault>,
    share: f64,
}

fn topic(text: &str) -> Result<Topic, Error> {
    Topic::from_name(text)
}

fn fault(text: &str) -> Result<FaultArgument, String> {
    let (kind, share) = match text.split_once('=') {
        Some((name, share)) => {
            let kind = Fault::ALL.into_iter().find(|fault| fault.name() == name);
            (Some(kind.ok_or_else(|| format!("there is no fault {name:?}"))?), share)
        }
        None => (None, text),
    };
    let share = share.parse().map_err(|_| format!("{share:?} is not a number"))?;
    Ok(FaultArgument { kind, share })
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let stop = stop::flag()?;
        let options = OutputOptions {
            simulator: self.model.options(self.topics)?,
            skip: self.skip,
            events: self.events,
            rate: self.rate,
            progress: true,
        };
        let to_stdout = self.kafka.brokers.is_none() && self.output.as_os_str() == "-";
        let framing = self.kafka.framing(&options.simulator.topics)?;
        let summary = match self.kafka.options(framing) {
            Some(kafka) => kafka_producer::produce(&options, &kafka, &stop)?,
            None if to_stdout => output::to_stdout(&options, &stop)?,
            None => output::to_file(&options, &self.output, &stop)?,
        };
        let text = if self.json { format!("{}\n", json(&summary)) } else { text(&summary) };
        // Events and their account do not mix.
        if self.json && !to_stdout {
            std::io::stdout().write_all(text.as_bytes())?;
        } else {
            std::io::stderr().write_all(text.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Model {
    fn options(self, topics: Vec<Topic>) -> Result<SimulatorOptions, Error> {
        let mut faults = FaultShares::default();
        for FaultArgument { kind, share } in self.faults {
            match kind {
                None => faults = FaultShares::spread(share),
                Some(kind) => faults.set(kind, share),
            }
        }
        let options = SimulatorOptions {
            seed: self.seed,
            topics,
            users: self.users,
            start_ms: self.start.as_millisecond(),
            end_ms: self.end.map(jiff::Timestamp::as_millisecond),
            instance: self.instance,
            instances: self.instances,
            alpha: self.alpha,
            beta: self.beta,
            growth_per_year: self.growth,
            attrition_per_year: self.attrition,
            damping: self.damping,
            weekend_damping: self.weekend_damping,
            faults,
        };
        options.check()?;
        Ok(options)
    }
}

impl Kafka {
    /// Registers the schemas of the topics.
    fn framing(&self, topics: &[Topic]) -> Result<Option<Framing>, Error> {
        let (Some(format), Some(url)) = (self.format, &self.registry) else { return Ok(None) };
        let auth = match &self.registry_username {
            None => RegistryAuth::None,
            Some(username) => {
                let password = std::env::var("WASMILL_REGISTRY_PASSWORD").unwrap_or_default();
                RegistryAuth::Basic { username: username.clone(), password: Secret::new(password) }
            }
        };
        let registry = Client::new(&SchemaRegistryConfig {
            url: url.clone(),
            auth,
            ca: None,
            table: None,
            on_incompatible: OnIncompatible::default(),
            cache: None,
        })?;
        let kind = match format {
            EventFormat::Avro => Kind::Avro,
            EventFormat::Protobuf => Kind::Protobuf,
            EventFormat::JsonSchema => Kind::Json,
        };
        let mut ids = [0; 4];
        for topic in topics {
            let name = self.as_topic.as_deref().unwrap_or(topic.name());
            ids[*topic as usize] =
                super::block_on(registry.register(&format!("{name}-value"), kind, &format.schema(*topic)))?;
        }
        Ok(Some(Framing { format, ids }))
    }

    fn options(self, framing: Option<Framing>) -> Option<ProducerOptions> {
        let transactions = self.transaction_events.map(|events| Transactions { events, abort_share: self.abort_share });
        let key = match self.key {
            KeyArgument::None => Key::None,
            KeyArgument::User => Key::User,
        };
        Some(ProducerOptions {
            brokers: self.brokers?,
            topic: self.as_topic,
            topic_partitions: self.topic_partitions,
            compression: self.compression,
            options: self.options.into_iter().collect::<Settings>(),
            messages: MessageOptions { key, transactions },
            framing,
        })
    }
}

fn text(summary: &OutputSummary) -> String {
    let seconds = summary.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { summary.events as f64 / seconds } else { 0.0 };
    let mut text = format!(
        "{} events, {} bytes in {seconds:.1} s ({} events/s)\n",
        grouped(summary.events),
        grouped(summary.bytes),
        grouped(rate as u64)
    );
    for (topic, count) in &summary.topics {
        text += &format!("  {:<22} {:>14}\n", topic.name(), grouped(*count));
    }
    for (fault, count) in &summary.faults {
        text += &format!("  fault {:<16} {:>14}\n", fault.name(), grouped(*count));
    }
    text
}

fn json(summary: &OutputSummary) -> serde_json::Value {
    let topics: serde_json::Map<_, _> =
        summary.topics.iter().map(|(topic, count)| (topic.name().to_owned(), (*count).into())).collect();
    let faults: serde_json::Map<_, _> =
        summary.faults.iter().map(|(fault, count)| (fault.name().to_owned(), (*count).into())).collect();
    serde_json::json!({
        "events": summary.events,
        "bytes": summary.bytes,
        "topics": topics,
        "faults": faults,
        "transactions_committed": summary.committed,
        "transactions_aborted": summary.aborted,
        "first_time_ms": summary.times_ms.map(|(first, _)| first),
        "last_time_ms": summary.times_ms.map(|(_, last)| last),
        "elapsed_seconds": summary.elapsed.as_secs_f64(),
    })
}

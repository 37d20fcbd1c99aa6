//! The pipeline file, from text to configuration and to mistakes. (A directory of wrong files with their whole output is
//! in the `tests` package.)

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::decode::Format;
use crate::decode::schema::{EventField, EventSchema, EventType};
use crate::signature::SecretKey;

const BASE: &str = r#"
[pipeline]
name = "listen-events"
[source.kafka]
brokers = "localhost:9092"
topics = ["listen_events"]
group = "wasmill"
[schema]
ts = "long!"
level = "string"
lat = "double"
[table]
location = "hdfs://localhost:9000/user/events/bronze"
event_time = { column = "ts", unit = "ms" }
partition_by = ["level", "day"]
[dead_letters]
location = "hdfs://localhost:9000/user/events/dead_letters"
[checkpoint]
location = "hdfs://localhost:9000/user/checkpoints/events"
"#;

/// What a registry has: two columns of the base file in its latest version, nothing in any other.
fn two_columns(_: &SchemaRegistryConfig, wanted: &TableSchema) -> Result<EventSchema, String> {
    if (wanted.subject.as_str(), wanted.version) != ("listen_events-value", Version::Latest) {
        return Err(format!("no version {} of {}", wanted.version, wanted.subject));
    }
    let field = |name: &str, kind| EventField { name: name.to_owned(), kind, required: true };
    EventSchema::new(vec![field("ts", EventType::Long), field("level", EventType::String)])
}

fn surroundings() -> Surroundings {
    let variable = |name: &str| match name {
        "BROKERS" => Some("kafka:9092".to_owned()),
        "PASSWORD" => Some("hunter2".to_owned()),
        "WORKERS" => Some("3".to_owned()),
        "TOPICS" => Some("a, b".to_owned()),
        _ => None,
    };
    Surroundings { variable: Arc::new(variable), working_directory: PathBuf::from("/work"), registered: two_columns }
}

fn parse(text: &str) -> Result<Config, Mistakes> {
    Config::parse(Path::new("p.toml"), text, &surroundings())
}

fn with(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "the base file has no {from:?}");
    BASE.replacen(from, to, 1)
}

#[test]
fn defaults_are_filled_in() {
    let config = parse(BASE).unwrap();
    assert_eq!(config.checkpoint.interval, Duration::from_secs(60));
    assert_eq!(config.checkpoint.target_file_size, 128_000_000);
    assert_eq!(config.table.compression, Compression::Zstd);
    assert_eq!(config.limits.memory_budget, 256_000_000);
    assert_eq!(config.limits.batch_rows, 4_096);
    let SourceConfig::Kafka(kafka) = config.source else { panic!("kafka is the source") };
    assert_eq!(kafka.start, StartPosition::Earliest);
    assert_eq!(config.schema.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["ts", "level", "lat"]);
}

#[test]
fn the_columns_may_be_those_of_a_registered_schema() {
    let registry = |keys: &str| format!("[schema_registry]\nurl = \"http://r\"\n{keys}\n[table]");
    let without = BASE.replace("[schema]\nts = \"long!\"\nlevel = \"string\"\nlat = \"double\"\n", "");
    let config = parse(&without.replace("[table]", &registry("table = \"latest\""))).unwrap();
    let names: Vec<_> = config.schema.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["ts", "level"]);
    for (text, told) in [
        (BASE.replace("[table]", &registry("table = \"latest\"")), "schema: stands beside table in [schema_registry]"),
        (
            without.replace("[table]", &registry("table = 7")),
            "schema_registry.table: no version 7 of listen_events-value",
        ),
        (without.replace("[table]", &registry("table = \"newest\"")), "wanted \"latest\" or the number of a version"),
        (without.replace("[table]", &registry("table = \"latest\"\nsubject = \"x\"")), "no version latest of x"),
        (BASE.replace("[table]", &registry("subject = \"x\"")), "subject: has no table beside it"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(told), "{told}\n{error}");
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    for (from, to, told) in [
        ("[schema]", "[schemas]", "p.toml: schema: missing"),
        ("[schema]", "[schemas]", "p.toml:8: schemas: unknown key; did you mean \"schema\"?"),
        ("topics =", "topic =", "p.toml:6: source.kafka.topic: unknown key; did you mean \"topics\"?"),
        ("topics =", "topic =", "p.toml:4: source.kafka.topics: missing"),
        (
            "[\"listen_events\"]",
            "\"listen_events\"",
            "p.toml:6: source.kafka.topics: found \"listen_events\", wanted a list",
        ),
        ("[\"listen_events\"]", "[\"a\", \"a\"]", "a stands in the list twice"),
        ("[\"listen_events\"]", "[\"^all.*\"]", "no patterns"),
        ("localhost:9092", "localhost", "wanted one or more host:port"),
        ("ts = \"long!\"", "ts = \"integer\"", "p.toml:9: schema.ts: unknown type \"integer\""),
        ("ts = \"long!\"", "ts = 5", "p.toml:9: schema.ts: found 5"),
        (
            "column = \"ts\"",
            "column = \"st\"",
            "table.event_time.column: there is no column \"st\"; did you mean \"ts\"?",
        ),
        ("column = \"ts\"", "column = \"lat\"", "the column \"lat\" is double, wanted int, long or a timestamp"),
        (", unit = \"ms\"", "", "so its unit is needed"),
        ("\"ms\"", "\"m\"", "found \"m\", wanted one of \"s\", \"ms\", \"us\""),
        ("\"long!\"", "\"timestamp(ms)!\"", "is a timestamp and has its own unit"),
        ("[\"level\", \"day\"]", "[\"lewel\"]", "there is no column \"lewel\"; did you mean \"level\"?"),
        ("[\"level\", \"day\"]", "[\"lat\"]", "a hive partition needs string"),
        ("level = \"string\"", "day = \"string\"", "there is a column of that name too"),
        ("events/dead_letters", "events/bronze/dead", "dead_letters.location: lies in table.location"),
        ("checkpoints/events", "events", "contains table.location"),
        ("checkpoints/events", "events/bronze", "is the same directory as table.location"),
        ("hdfs://localhost:9000/user/events/bronze", "s3://bucket/x", "wanted a directory as hdfs://host:port/path"),
        ("group = \"wasmill\"", "group = \"g\"\nstart = \"earlist\"", "did you mean \"earliest\"?"),
        ("group = \"wasmill\"", "group = \"g\"\nstart = { timestamp = \"yesterday\" }", "wanted a time with its zone"),
        ("group = \"wasmill\"", "group = \"g\"\nstart = { }", "wanted \"earliest\""),
        (
            "group = \"wasmill\"",
            "group = \"g\"\nformat = \"arvo\"",
            "p.toml:8: source.kafka.format: found \"arvo\", wanted one of \"json\", \"avro\", \"protobuf\", \"json-schema\"; did you mean \"avro\"?",
        ),
        ("[dead_letters]", "[webhook]\n[dead_letters]", "webhook.url: missing"),
        (
            "[dead_letters]",
            "[webhook]\nurl = \"catalog\"\n[dead_letters]",
            "webhook.url: found \"catalog\", wanted a URL like",
        ),
        (
            "[dead_letters]",
            "[webhook]\nurl = \"http://u:hunter2@c\"\n[dead_letters]",
            "webhook.url: holds a user or a password",
        ),
        ("group = \"wasmill\"", "group = \"g\"\nformat = \"avro\"", "p.toml: schema_registry: missing"),
        ("group = \"wasmill\"", "group = \"g\"\n[schema_registry]", "p.toml:8: schema_registry.url: missing"),
        ("group = \"wasmill\"", "group = \"g\"\n[schema_registry]\nurl = \"registry:8081\"", "wanted a URL like"),
        (
            "group = \"wasmill\"",
            "group = \"g\"\n[schema_registry]\nurl = \"http://u:hunter2@r\"",
            "schema_registry.url: holds a user, a password or a query",
        ),
        (
            "group = \"wasmill\"",
            "group = \"g\"\n[schema_registry]\nurl = \"http://r\"\nusername = \"u\"",
            "schema_registry.username: has no password",
        ),
        (
            "group = \"wasmill\"",
            "group = \"g\"\n[schema_registry]\nurl = \"http://r\"\npassword = \"p\"",
            "schema_registry.password: has no username",
        ),
        (
            "group = \"wasmill\"",
            "group = \"g\"\n[schema_registry]\nurl = \"http://r\"\nusername = \"u\"\npassword = \"p\"\ntoken = \"t\"",
            "schema_registry.token: stands beside",
        ),
        (
            "group = \"wasmill\"",
            "group = \"g\"\n[schema_registry]\nurl = \"http://r\"\nca = \"nope.pem\"",
            "schema_registry.ca: there is no file",
        ),
        ("level = \"string\"", "level = \"struct<a>\"", "write each field as name:type"),
        ("\"long!\"", "\"local-timestamp(us)!\"", "is local-timestamp(us), wanted int, long or a timestamp"),
        ("group = \"wasmill\"", "group = { env = \"NOPE\" }", "the environment variable NOPE is not set"),
        ("group = \"wasmill\"", "group = { file = \"nope\" }", "cannot read the file nope"),
        (
            "group = \"wasmill\"",
            "group = \"g\"\noptions = { \"enable.auto.commit\" = true }",
            "may not be set: offsets are committed",
        ),
        ("group = \"wasmill\"", "group = \"g\"\noptions = { \"isolation.level\" = \"x\" }", "read_committed"),
        ("group = \"wasmill\"", "group = \"g\"\noptions = { \"group.id\" = \"x\" }", "write group"),
        (
            "group = \"wasmill\"",
            "group = \"g\"\noptions = { security.protocol = \"x\" }",
            "a name with dots needs quotes",
        ),
        (
            "[dead_letters]",
            "[source.file]\npath = \"x\"\n[dead_letters]",
            "source: found 2 sources (kafka, file), wanted one",
        ),
        ("[source.kafka]", "[source.kafak]", "source: no source"),
        ("[checkpoint]", "[checkpoint]\ninterval = \"60\"", "wanted a duration in quotes with its unit"),
        ("[checkpoint]", "[checkpoint]\ninterval = 60", "found 60, wanted a duration in quotes"),
        ("[checkpoint]", "[checkpoint]\ninterval = \"2h\"", "from 1s to 1h"),
        ("[checkpoint]", "[checkpoint]\ntarget_file_size = \"128\"", "wanted a size in quotes"),
        (
            "[checkpoint]",
            "[limits]\nworkers = 0\n[checkpoint]",
            "p.toml:19: limits.workers: found 0, wanted a whole number from 1",
        ),
        (
            "[checkpoint]",
            "[[transforms]]\nname = \"a b\"\nmodule = \"nope.wasm\"\n[checkpoint]",
            "there is no file /work/nope.wasm",
        ),
        (
            "[checkpoint]",
            "[[transforms]]\nname = \"a b\"\nmodule = \"nope.wasm\"\n[checkpoint]",
            "transforms[a b].name: found \"a b\", wanted a name",
        ),
        ("[checkpoint]", "[storage]\nfile_mode = 644\n[checkpoint]", "found 644, wanted permission bits in octal"),
        ("[checkpoint]", "[transforms]\n[checkpoint]", "wanted tables [[transforms]]"),
        ("name = \"listen-events\"", "name = \"a\" \"b\"", "p.toml:3: not TOML"),
        ("name = \"listen-events\"", "name = \"a\"\nname = \"b\"", "p.toml:4: not TOML: duplicate key"),
    ] {
        let mistakes = parse(&with(from, to)).expect_err(to).to_string();
        assert!(mistakes.contains(told), "{to}\nwanted: {told}\nfound:  {mistakes}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = BASE.replace("\"ms\"", "\"m\"").replace("localhost:9092", "x").replace("\"wasmill\"", "\"\"");
    let mistakes = parse(&text).unwrap_err();
    assert_eq!(mistakes.mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [Some(5), Some(7), Some(14)]);
    assert_eq!(parse("").unwrap_err().mistakes.len(), 6, "{}", parse("").unwrap_err());
}

#[test]
fn names_of_transforms_differ() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.wasm"), b"").unwrap();
    let transforms = "[[transforms]]\nname = \"a\"\nmodule = \"m.wasm\"\n".repeat(2);
    let file = directory.path().join("p.toml");
    let mistakes = Config::parse(&file, &format!("{BASE}{transforms}"), &surroundings()).unwrap_err().to_string();
    assert!(mistakes.contains("another transform is called \"a\" already"), "{mistakes}");
}

#[test]
fn values_come_from_outside_and_stay_secret() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.wasm"), b"").unwrap();
    std::fs::write(directory.path().join("salt"), b"pepper\n").unwrap();
    let text = with("\"localhost:9092\"", "{ env = \"BROKERS\", default = \"localhost:9092\" }")
        .replace("[\"listen_events\"]", "{ env = \"TOPICS\" }")
        .replace(
            "\"wasmill\"",
            "{ env = \"GROUP\", default = \"g\" }\noptions = { \"ssl.x\" = { env = \"PASSWORD\" }, \"linger\" = 5 }",
        );
    let text = format!(
        "{text}[limits]\nworkers = {{ env = \"WORKERS\" }}\n[[transforms]]\nname = \"mask\"\nmodule = \"m.wasm\"\n\
         settings = {{ salt = {{ file = \"salt\" }}, list = [1, {{ a = 0x10 }}], deep = {{ b = {{ env = \"PASSWORD\" }} }} }}\n"
    );
    let config = Config::parse(&directory.path().join("p.toml"), &text, &surroundings()).unwrap();
    assert_eq!(config.limits.workers, 3);
    let settings = &config.transforms[0].settings;
    assert_eq!(settings["salt"], "pepper");
    assert_eq!(settings["list"], "[1,{\"a\":16}]");
    assert_eq!(settings["deep"], "{\"b\":\"hunter2\"}");
    let SourceConfig::Kafka(kafka) = &config.source else { panic!("kafka is the source") };
    assert_eq!((kafka.brokers.as_str(), kafka.group.as_str()), ("kafka:9092", "g"));
    assert_eq!(kafka.topics, ["a", "b"]);
    assert_eq!(kafka.options["ssl.x"], "hunter2");
    let printed = format!("{config:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("pepper"), "{printed}");

    let wrong = text.replace("{ env = \"WORKERS\" }", "{ env = \"PASSWORD\" }");
    let mistakes = Config::parse(&directory.path().join("p.toml"), &wrong, &surroundings()).unwrap_err().to_string();
    assert!(mistakes.contains("the value of the environment variable PASSWORD"), "{mistakes}");
    assert!(!mistakes.contains("hunter2"), "{mistakes}");
}

#[test]
fn a_transform_may_write_what_the_table_needs() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.wasm"), b"").unwrap();
    let text = with("[\"level\", \"day\"]", "[\"region\"]") + "[[transforms]]\nname = \"geo\"\nmodule = \"m.wasm\"\n";
    let config = Config::parse(&directory.path().join("p.toml"), &text, &surroundings()).unwrap();
    let error = config.table.check_columns(&config.schema.arrow).unwrap_err().to_string();
    assert!(error.contains("there is no column \"region\""), "{error}");
}

#[test]
fn start_positions() {
    for (text, start) in [
        ("\"group\"", StartPosition::Group),
        ("\"latest\"", StartPosition::Latest),
        ("{ timestamp = \"1970-01-01T00:00:01Z\" }", StartPosition::Timestamp(1_000)),
        ("{ timestamp = 1970-01-01T00:00:01+00:00 }", StartPosition::Timestamp(1_000)),
        ("{ timestamp = 1_000 }", StartPosition::Timestamp(1_000)),
        ("{ spark_checkpoint = \"hdfs://n/c/\" }", StartPosition::SparkCheckpoint("hdfs://n/c".into())),
    ] {
        let config = parse(&with("group = \"wasmill\"", &format!("group = \"g\"\nstart = {text}"))).unwrap();
        let SourceConfig::Kafka(kafka) = config.source else { panic!("kafka is the source") };
        assert_eq!(kafka.start, start, "{text}");
    }
}

/// A configuration as a pipeline file.
fn written(config: &Config) -> String {
    let mut text = format!("[pipeline]\nname = {:?}\n", config.name);
    if config.deployed {
        text += "transforms = \"deployed\"\n";
    }
    match &config.source {
        SourceConfig::Kafka(kafka) => {
            let start = match &kafka.start {
                StartPosition::Earliest => "\"earliest\"".to_owned(),
                StartPosition::Latest => "\"latest\"".to_owned(),
                StartPosition::Group => "\"group\"".to_owned(),
                StartPosition::Timestamp(ms) => format!("{{ timestamp = {ms} }}"),
                StartPosition::SparkCheckpoint(at) => format!("{{ spark_checkpoint = {at:?} }}"),
            };
            let KafkaConfig { brokers, topics, group, .. } = kafka;
            writeln!(
                text,
                "[source.kafka]\nbrokers = {brokers:?}\ntopics = {topics:?}\ngroup = {group:?}\nstart = {start}\n\
                 on_data_loss = \"{}\"",
                if kafka.on_data_loss == OnDataLoss::Stop { "stop" } else { "record" }
            )
            .unwrap();
            writeln!(text, "format = \"{}\"", config.format.name()).unwrap();
            text += "[source.kafka.options]\n";
            kafka.options.iter().for_each(|(name, value)| writeln!(text, "{name:?} = {value:?}").unwrap());
        }
        SourceConfig::File(file) => writeln!(text, "[source.file]\npath = {:?}", file.path).unwrap(),
        SourceConfig::Eventsim(sim) => writeln!(
            text,
            "[source.eventsim]\ntopic = {:?}\ntopic_partitions = {}\nevents = {}\nseed = {}\nfaults = {:?}",
            sim.topic, sim.topic_partitions, sim.events, sim.seed, sim.faults
        )
        .unwrap(),
    }
    if let Some(WebhookConfig { url, token }) = &config.webhook {
        writeln!(text, "[webhook]\nurl = {url:?}").unwrap();
        token.iter().for_each(|token| writeln!(text, "token = {:?}", token.expose()).unwrap());
    }
    if let Some(registry) = &config.schema_registry {
        let SchemaRegistryConfig { url, auth, ca: _, table: _, on_incompatible: _, cache } = registry;
        writeln!(text, "[schema_registry]\nurl = {url:?}\non_incompatible = \"stop\"").unwrap();
        match auth {
            RegistryAuth::None => {}
            RegistryAuth::Basic { username, password } => {
                writeln!(text, "username = {username:?}\npassword = {:?}", password.expose()).unwrap();
            }
            RegistryAuth::Bearer(token) => writeln!(text, "token = {:?}", token.expose()).unwrap(),
        }
        cache.iter().for_each(|cache| writeln!(text, "cache = {cache:?}").unwrap());
    }
    text += "[schema]\n";
    for field in &config.schema.fields {
        writeln!(text, "{} = \"{}{}\"", field.name, field.kind, if field.required { "!" } else { "" }).unwrap();
    }
    let table = &config.table;
    let units = [(TimeUnit::Seconds, "s"), (TimeUnit::Milliseconds, "ms"), (TimeUnit::Microseconds, "us")];
    let (_, unit) = units.into_iter().find(|(unit, _)| *unit == table.event_time.unit).unwrap();
    let compression = match table.compression {
        Compression::Zstd => "zstd",
        Compression::Snappy => "snappy",
        Compression::Uncompressed => "none",
    };
    writeln!(
        text,
        "[table]\nlocation = {:?}\nevent_time = {{ column = {:?}, unit = {unit:?} }}\npartition_by = {:?}\n\
         compression = {compression:?}\nencodings.at = \"delta\"\nmax_open_hive_partitions = {}\nmax_future = \"{}\"",
        table.location,
        table.event_time.column,
        table.partition_by,
        table.max_open_hive_partitions,
        humantime::format_duration(table.max_future)
    )
    .unwrap();
    let CheckpointConfig { location, interval, target_file_size } = &config.checkpoint;
    let interval = humantime::format_duration(*interval);
    let DeadLettersConfig { location: dead_letters, redact, retention } = &config.dead_letters;
    writeln!(text, "[dead_letters]\nlocation = {dead_letters:?}").unwrap();
    if *redact != Redaction::default() {
        writeln!(text, "redact = {:?}", redact.names()).unwrap();
    }
    if let Some(retention) = retention {
        writeln!(text, "retention = \"{}\"", humantime::format_duration(*retention)).unwrap();
    }
    // The default is not written, so that it is seen to be the default.
    let registry = &config.registry;
    text += "[registry]\n";
    if registry.location != format!("{location}_registry") {
        writeln!(text, "location = {:?}", registry.location).unwrap();
    }
    if !registry.keys.is_empty() {
        let keys: Vec<String> = registry.keys.iter().map(ToString::to_string).collect();
        writeln!(text, "keys = {keys:?}").unwrap();
    }
    if config.deployed {
        let BreakerConfig { failures, within, then } = &config.breaker;
        let then = match then {
            Then::Pause => "pause",
            Then::FallBack => "fall-back",
            Then::GoOn => "go-on",
        };
        let within = humantime::format_duration(*within);
        writeln!(text, "[breaker]\nfailures = {failures}\nwithin = \"{within}\"\nthen = \"{then}\"").unwrap();
    }
    if let Some(admin) = &config.admin {
        writeln!(text, "[admin]\nlisten = \"{}\"", admin.listen).unwrap();
    }
    writeln!(
        text,
        "[checkpoint]\nlocation = {location:?}\ninterval = \"{interval}\"\ntarget_file_size = \"{target_file_size}B\""
    )
    .unwrap();
    let StorageOptions { file_mode, group, replication, sync_on_close } = &config.storage;
    text += "[storage]\n";
    file_mode.iter().for_each(|mode| writeln!(text, "file_mode = \"{mode:o}\"").unwrap());
    group.iter().for_each(|group| writeln!(text, "group = {group:?}").unwrap());
    replication.iter().for_each(|copies| writeln!(text, "replication = {copies}").unwrap());
    sync_on_close.iter().for_each(|sync| writeln!(text, "sync_on_close = {sync}").unwrap());
    let LimitsConfig { workers, memory_budget, batch_rows, shutdown } = &config.limits;
    let shutdown = humantime::format_duration(*shutdown);
    writeln!(
        text,
        "[limits]\nworkers = {workers}\nmemory_budget = \"{memory_budget}B\"\nbatch_rows = {batch_rows}\nshutdown = \"{shutdown}\""
    )
    .unwrap();
    text
}

fn any_source() -> impl Strategy<Value = SourceConfig> {
    let start = prop_oneof![
        Just(StartPosition::Earliest),
        Just(StartPosition::Latest),
        Just(StartPosition::Group),
        (0..i64::MAX).prop_map(StartPosition::Timestamp),
        "hdfs://[a-z]{1,8}/[a-z]{1,8}".prop_map(StartPosition::SparkCheckpoint),
    ];
    let on_data_loss = prop_oneof![Just(OnDataLoss::Stop), Just(OnDataLoss::Record)];
    let options = proptest::collection::btree_map("x\\.[a-z.]{1,12}", "[ -~]{0,12}", 0..4);
    let topics = proptest::collection::btree_set("[a-z][a-z0-9_.-]{0,12}", 1..4);
    prop_oneof![
        ("[a-z]{1,8}:[1-9][0-9]{0,3}", topics, "[a-z]{1,8}", (start, on_data_loss), options).prop_map(
            |(brokers, topics, group, (start, on_data_loss), options)| {
                let (topics, options) = (topics.into_iter().collect(), options.into_iter().collect());
                SourceConfig::Kafka(KafkaConfig { brokers, topics, group, start, on_data_loss, options })
            }
        ),
        "/[a-z]{1,8}/[a-z*]{1,8}".prop_map(|path| SourceConfig::File(FileConfig { path })).prop_filter(
            "a glob",
            |source| matches!(source, SourceConfig::File(file) if glob::Pattern::new(&file.path).is_ok())
        ),
        (0..4usize, 1..1024i32, 1..1u64 << 50, any::<u32>(), 0.0..=1.0f64).prop_map(
            |(topic, topic_partitions, events, seed, faults)| {
                let (topic, seed) = (EVENTSIM_TOPICS[topic].to_owned(), seed.into());
                SourceConfig::Eventsim(EventsimConfig { topic, topic_partitions, events, seed, faults })
            }
        ),
    ]
}

fn any_schema() -> impl Strategy<Value = EventSchema> {
    let kind = prop_oneof![
        Just(EventType::String),
        Just(EventType::Int),
        Just(EventType::Double),
        Just(EventType::TimestampMillis),
        Just(EventType::Decimal(10, 2)),
        Just(EventType::List(Box::new(EventType::Boolean))),
    ];
    proptest::collection::btree_map("f[a-z]{1,6}", (kind, any::<bool>()), 1..8).prop_map(|fields| {
        let mut fields: Vec<_> =
            fields.into_iter().map(|(name, (kind, required))| EventField { name, kind, required }).collect();
        fields.push(EventField { name: "at".into(), kind: EventType::Long, required: true });
        EventSchema::new(fields).expect("unique names")
    })
}

fn any_config() -> impl Strategy<Value = Config> {
    let numbers = (1..=100_000usize, 0..=86_400u64, 1..=3_600u64, 1_000_000..=10_000_000_000u64);
    let limits = (1..=1024usize, 16_000_000..=1usize << 40, 1..=65_536usize, 1..=600u64);
    let unit = prop_oneof![Just(TimeUnit::Seconds), Just(TimeUnit::Milliseconds), Just(TimeUnit::Microseconds)];
    let compression = prop_oneof![Just(Compression::Zstd), Just(Compression::Snappy), Just(Compression::Uncompressed)];
    ("[a-z0-9][a-z0-9._-]{0,20}", any_source(), any_schema(), "[a-z]{1,6}", numbers, limits, unit, compression)
        .prop_map(|(name, source, schema, place, numbers, limits, unit, compression)| Config {
            name,
            format: match source {
                SourceConfig::Kafka(_) => Format::ALL[limits.0 % 4],
                _ => Format::Json,
            },
            source,
            schema_registry: Some(SchemaRegistryConfig {
                url: format!("https://{place}:8081/a/b"),
                auth: match limits.0 % 3 {
                    0 => RegistryAuth::None,
                    1 => RegistryAuth::Basic { username: place.clone(), password: Secret::new("s e c") },
                    _ => RegistryAuth::Bearer(Secret::new("t")),
                },
                ca: None,
                table: None,
                on_incompatible: OnIncompatible::Stop,
                cache: Some(format!("/{place}/cache").into()),
            }),
            schema,
            transforms: vec![],
            deployed: limits.0 % 2 == 1,
            registry: RegistryConfig {
                location: format!("/{place}/{}", if limits.0 % 3 == 0 { "chain_registry" } else { "uploads" }),
                keys: (0..limits.0 % 3).map(|_| SecretKey::generate().public()).collect(),
            },
            breaker: match limits.0 % 2 {
                // Of a file with transforms of its own, it is what it is by default.
                0 => BreakerConfig::default(),
                _ => BreakerConfig {
                    failures: numbers.3,
                    within: Duration::from_secs(4 + numbers.2),
                    then: [Then::Pause, Then::FallBack, Then::GoOn][limits.0 % 3],
                },
            },
            admin: (limits.0 % 5 > 0).then(|| AdminConfig {
                listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), limits.0 as u16),
                tokens: None,
                tls: None,
            }),
            webhook: (limits.0 % 3 > 0).then(|| WebhookConfig {
                url: format!("http://{place}/told?a=b"),
                token: (limits.0 % 3 == 1).then(|| Secret::new("t o k")),
            }),
            table: TableConfig {
                location: format!("hdfs://{place}/table"),
                event_time: EventTime { column: "at".into(), unit },
                partition_by: vec!["year".into(), "at".into()],
                compression,
                encodings: [("at".to_owned(), ColumnEncoding::Delta)].into(),
                max_open_hive_partitions: numbers.0,
                max_future: Duration::from_secs(numbers.1),
            },
            dead_letters: DeadLettersConfig {
                location: format!("/{place}/dead"),
                redact: Redaction { payload: limits.0 % 2 == 0, key: limits.0 % 3 == 0, ..Redaction::default() },
                retention: (limits.0 % 4 > 0).then(|| Duration::from_secs(86_400 + numbers.2)),
            },
            checkpoint: CheckpointConfig {
                location: format!("/{place}/chain"),
                interval: Duration::from_secs(numbers.2),
                target_file_size: numbers.3,
            },
            storage: StorageOptions {
                file_mode: Some(limits.0 as u32 % 0o1000),
                group: unit.ne(&TimeUnit::Seconds).then(|| place.clone()),
                replication: Some(1 + limits.0 as u32 % 9),
                sync_on_close: Some(limits.0 % 2 == 0),
            },
            limits: LimitsConfig {
                workers: limits.0,
                memory_budget: limits.1,
                batch_rows: limits.2,
                shutdown: Duration::from_secs(limits.3),
            },
        })
}

proptest! {
    #[test]
    fn a_written_configuration_reads_back(config in any_config()) {
        let text = written(&config);
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, config, "{}", text),
            Err(mistakes) => prop_assert!(false, "{}\n{}", text, mistakes),
        }
    }

    #[test]
    fn a_damaged_file_is_a_mistake_not_a_panic(
        config in any_config(), at in any::<prop::sample::Index>(), length in 0..20usize, patch in "\\PC{0,6}|[\\[\\]{}=\"'.,#\n0-9-]{0,6}"
    ) {
        let text: Vec<char> = written(&config).chars().collect();
        let at = at.index(text.len());
        let end = text.len().min(at + length);
        let damaged: String = text[..at].iter().copied().chain(patch.chars()).chain(text[end..].iter().copied()).collect();
        if let Err(mistakes) = parse(&damaged) {
            prop_assert!(!mistakes.mistakes.is_empty(), "{}", damaged);
            let lines = damaged.lines().count() + 1;
            prop_assert!(mistakes.mistakes.iter().all(|m| m.line.is_none_or(|line| (1..=lines).contains(&line))));
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }
}

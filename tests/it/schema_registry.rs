//! Avro and Protobuf from Kafka through a real schema registry: another client's serializer wrote it, another reader reads the table.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{self, root, run, stderr, stdout};
use crate::deployments::end;
use crate::kafka::broker;
use crate::servers;

/// One at a time: one of them makes the registry silent.
pub(crate) static REGISTRY: Mutex<()> = Mutex::new(());

const PATIENCE: Duration = Duration::from_secs(60);

/// A pipeline that reads one of the formats into a local table.
pub(crate) struct Job {
    pub(crate) topic: String,
    format: &'static str,
    pub(crate) directory: tempfile::TempDir,
}

impl Job {
    pub(crate) fn new(name: &str, format: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let job = Self { topic: broker::topic(name, 2, &[]), format, directory };
        let (base, topic) = (job.directory.path().display(), &job.topic);
        let (brokers, registry) = (servers::kafka(), servers::registry());
        let text = format!(
            "[pipeline]\nname = \"{format}\"\n\
             [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nformat = \"{format}\"\n\
             [schema_registry]\nurl = \"{registry}\"\ncache = \"{base}/schemas\"\n\
             [schema]\nn = \"long!\"\ncount = \"long!\"\nname = \"string\"\nprice = \"decimal(9,2)\"\nday = \"date\"\n\
             at = \"timestamp(us)!\"\nid = \"string\"\nlevel = \"string\"\ntags = \"list<string>\"\n\
             counts = \"map<string,long>\"\nplace = \"struct<lon:double!,city:string>\"\nmore = \"string\"\n\
             [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"at\" }}\npartition_by = [\"year\", \"month\"]\n\
             [dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"1s\"\n"
        );
        std::fs::write(job.pipeline(), text).expect("the pipeline file can be written");
        job
    }

    /// Makes the table's columns of a registered schema: `keys` of `[schema_registry]` in place of `[schema]`.
    pub(crate) fn follows(&self, keys: &str) {
        let text = std::fs::read_to_string(self.pipeline()).expect("the pipeline file");
        let (head, rest) = text.split_once("[schema]\n").expect("a schema");
        let (_, tail) = rest.split_once("[table]").expect("a table");
        std::fs::write(self.pipeline(), format!("{head}{keys}\n[table]{tail}")).expect("a pipeline file");
    }

    pub(crate) fn pipeline(&self) -> PathBuf {
        self.directory.path().join("pipeline.toml")
    }

    fn python(&self, words: &[&str]) {
        let mut command = Command::new(servers::python());
        command.arg(root().join(format!("tests/python/{}_events.py", self.format))).args(words);
        let output = command.output().expect("python can be started");
        assert!(output.status.success(), "{words:?}: {}{}", stdout(&output), stderr(&output));
    }

    pub(crate) fn produce(&self, first: usize, count: usize, how: &[&str]) {
        let (brokers, registry) = (servers::kafka(), servers::registry());
        let (first, count) = (first.to_string(), count.to_string());
        let mut words = vec!["produce", "--brokers", &brokers, "--registry", &registry, "--topic", &self.topic];
        words.extend(["--from", &first, "--count", &count]);
        self.python(&[&words[..], how].concat());
    }

    pub(crate) fn check(&self, older: usize, newer: usize) {
        let table = self.directory.path().join("table");
        let (older, newer) = (older.to_string(), newer.to_string());
        self.python(&["check", "--table", table.to_str().expect("a path"), "--older", &older, "--newer", &newer]);
    }

    pub(crate) fn wasmill(&self, verb: &[&str], more: &[&str]) -> Value {
        let pipeline = self.pipeline();
        let words = [verb, &[pipeline.to_str().expect("a path"), "--json"], more].concat();
        let output = run(&words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    pub(crate) fn host(&self) -> Child {
        let log = std::fs::File::create(self.directory.path().join("host.log")).expect("a log file");
        let mut command = binary::command();
        command.arg("run").arg(self.pipeline()).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("the host can be started")
    }

    pub(crate) fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let log = || std::fs::read_to_string(self.directory.path().join("host.log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

#[test]
fn avro_of_two_schemas_becomes_rows_and_what_is_bad_becomes_dead_letters() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("avro", "avro");
    job.produce(0, 3_000, &[]);
    job.produce(3_000, 2_000, &["--newer"]);
    job.produce(0, 30, &["--bad"]);
    let summary = job.wasmill(&["run"], &["--until", "caught-up"]);
    assert_eq!((&summary["written"], &summary["dead_lettered"]), (&5_000.into(), &30.into()), "{summary}");
    job.check(3_000, 2_000);
    let letters = job.wasmill(&["dead-letters", "list"], &[]).to_string();
    for reason in ["malformed-avro", "unknown-schema", "not-framed"] {
        assert!(letters.contains(reason), "{reason}: {letters}");
    }
    let verified = job.wasmill(&["verify"], &["--deep"]);
    assert_eq!(verified["findings"].as_array().map(Vec::len), Some(0), "{verified}");
}

#[test]
fn the_table_is_made_of_the_registered_schema() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("avro-table", "avro");
    job.produce(0, 300, &[]);
    job.produce(300, 200, &["--newer"]);
    job.follows("table = \"latest\"");
    assert_eq!(job.wasmill(&["run"], &["--until", "caught-up"])["written"], 500);
    job.check(300, 200);
    // Without the registry, the table is what it was.
    servers::cluster(&["stop", "registry"]);
    let seen = std::panic::catch_unwind(|| job.wasmill(&["verify"], &[])["total"]["rows"]["written"].clone());
    servers::cluster(&["cont", "registry"]);
    assert_eq!(seen.expect("the last schema is noted"), 500);
    // A version that is not there is told, with what there is.
    let text = std::fs::read_to_string(job.pipeline()).expect("the pipeline file");
    std::fs::write(job.pipeline(), text.replace("\"latest\"", "9")).expect("a pipeline file");
    let output = run(&["check", job.pipeline().to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stdout(&output).contains("no version 9 of subject"), "{}", stdout(&output));
}

#[test]
fn a_new_version_is_checked_before_it_is_used() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("contract", "avro");
    let pipeline = job.pipeline();
    let pipeline = pipeline.to_str().expect("a path");
    // What is shown is what the file says, and an Avro schema that is registered as it is.
    let shown = stdout(&run(&["schema", "show", pipeline]));
    assert!(shown.contains("\nplace = \"struct<lon:double!,city:string>\"\n"), "{shown}");
    let avro: Value = serde_json::from_slice(&run(&["schema", "show", pipeline, "--avro"]).stdout).expect("JSON");
    assert_eq!(avro["fields"][0], serde_json::json!({ "name": "n", "type": "long" }));
    let first = job.wasmill(&["schema", "register"], &[]);
    assert_eq!(first["subject"], format!("{}-value", job.topic));
    assert_eq!(job.wasmill(&["schema", "register"], &[]), first, "again it is the same");
    assert_eq!(job.wasmill(&["schema", "check"], &[])["compatible"], true);

    let check = |name: &str, text: String| {
        let path = job.directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let output = run(&["schema", "check", pipeline, path.to_str().expect("a path"), "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert_eq!(output.status.code(), Some(i32::from(found["compatible"] != true)), "{found}");
        found["findings"].as_array().expect("findings").clone()
    };
    let with = |field: Value| {
        let mut avro = avro.clone();
        let fields = avro["fields"].as_array_mut().expect("fields");
        fields.retain(|old| old["name"] != field["name"]);
        fields.push(field);
        avro.to_string()
    };
    let string = |name: &str| serde_json::json!({ "name": name, "type": ["null", "string"], "default": null });
    assert_eq!(check("more.avsc", with(string("later"))), Vec::<Value>::new());
    let found = check("other.avsc", with(string("count")));
    let parties: Vec<_> = found.iter().map(|finding| finding["party"].as_str().expect("a party")).collect();
    assert!(parties.contains(&"table"), "{found:?}");
    assert!(found.iter().any(|finding| finding["why"].to_string().contains("string cannot become long")), "{found:?}");

    // Where the table follows the subject, its columns must stay.
    job.follows("table = \"latest\"");
    assert_eq!(check("more.avsc", with(string("later"))), Vec::<Value>::new());
    let mut without = avro.clone();
    without["fields"].as_array_mut().expect("fields").retain(|field| field["name"] != "name");
    let found = check("less.avsc", without.to_string());
    assert!(found.iter().any(|finding| finding["why"] == "column \"name\" would be gone"), "{found:?}");
    let output = run(&["schema", "check", pipeline, "nothing.avsc"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn protobuf_of_two_schemas_becomes_rows_and_what_is_bad_becomes_dead_letters() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("protobuf", "protobuf");
    job.produce(0, 3_000, &[]);
    job.produce(3_000, 2_000, &["--newer"]);
    job.produce(0, 40, &["--bad"]);
    let summary = job.wasmill(&["run"], &["--until", "caught-up"]);
    assert_eq!((&summary["written"], &summary["dead_lettered"]), (&5_000.into(), &40.into()), "{summary}");
    job.check(3_000, 2_000);
    let letters = job.wasmill(&["dead-letters", "list"], &[]).to_string();
    for reason in ["malformed-protobuf", "unknown-schema", "not-framed"] {
        assert!(letters.contains(reason), "{reason}: {letters}");
    }
    let verified = job.wasmill(&["verify"], &["--deep"]);
    assert_eq!(verified["findings"].as_array().map(Vec::len), Some(0), "{verified}");
}

#[test]
fn a_registry_that_is_silent_holds_up_only_what_is_not_known() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("avro-silent", "avro");
    job.produce(0, 500, &[]);
    job.wasmill(&["run"], &["--until", "caught-up"]);

    // What the cache knows goes on without the registry. What it does not know waits, and says so.
    job.produce(500, 500, &[]);
    job.produce(1_000, 500, &["--newer"]);
    servers::cluster(&["stop", "registry"]);
    let host = job.host();
    let status = || {
        let pipeline = job.pipeline();
        let output = run(&["status", pipeline.to_str().expect("a path"), "--json"]);
        let hosts: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        hosts[0]["schema_registry"]["waiting_count"].as_u64()
    };
    job.wait("the status tells what is waited for", || status() >= Some(1));
    let written = || job.wasmill(&["verify"], &[])["total"]["rows"]["written"].as_u64();
    assert!(written() < Some(1_500), "nothing is decoded without its schema");
    servers::cluster(&["cont", "registry"]);
    job.wait("everything is written", || written() == Some(1_500));
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
    job.check(1_000, 500);
}

/// The simulator's events in each format make the same table as in JSON.
#[test]
fn simulated_events_are_the_same_in_every_format() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let (brokers, registry) = (servers::kafka(), servers::registry());
    let directory = tempfile::tempdir().expect("a directory");
    let mut tables = Vec::new();
    for format in ["json", "avro", "protobuf", "json-schema"] {
        let topic = broker::topic(&format!("simulated-{format}"), 2, &[]);
        let mut words = vec!["eventsim", "--brokers", &brokers, "--as-topic", &topic, "--topic", "page_view_events"];
        words.extend(["--events", "4000", "--users", "300", "--faults", "malformed=0.01"]);
        if format != "json" {
            words.extend(["--format", format, "--registry", &registry]);
        }
        let output = run(&words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        let base = directory.path().join(format);
        let (file, base) = (base.with_extension("toml"), base.display());
        let text = format!(
            "[pipeline]\nname = \"simulated\"\n\
             [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nformat = \"{format}\"\n\
             [schema_registry]\nurl = \"{registry}\"\n\
             [schema]\nts = \"long!\"\nsessionId = \"int\"\npage = \"string!\"\nauth = \"string\"\nmethod = \"string\"\n\
             status = \"int\"\nlevel = \"string\"\nitemInSession = \"int\"\ncity = \"string\"\nuserAgent = \"string\"\n\
             lon = \"double\"\nlat = \"double\"\nuserId = \"int\"\nfirstName = \"string\"\nregistration = \"long\"\n\
             song = \"string\"\nduration = \"double\"\n\
             [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\npartition_by = [\"day\"]\n\
             [dead_letters]\nlocation = \"{base}/dead\"\n[checkpoint]\nlocation = \"{base}/chain\"\n"
        );
        std::fs::write(&file, text).expect("the pipeline file can be written");
        let file = file.to_string_lossy();
        let output = run(&["run", &file, "--until", "caught-up", "--json"]);
        assert!(output.status.success(), "{format}: {}", stderr(&output));
        let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(summary["read"], 4_000, "{summary}");
        let output = run(&["table", "head", &file, "--rows", "5000", "--json"]);
        assert!(output.status.success(), "{format}: {}", stderr(&output));
        let mut rows: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
        rows.sort_unstable();
        assert!(rows.len() > 3_900 && rows.len() < 4_000, "{format}: {} rows", rows.len());
        tables.push(rows);
    }
    for (table, format) in tables[1..].iter().zip(["avro", "protobuf", "json-schema"]) {
        assert!(*table == tables[0], "{format} makes another table than JSON");
    }
}

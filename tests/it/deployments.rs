//! Uploaded transforms as their users see them: push, deploy, roll back, pause; and hosts that swap while events flow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer as _};
use serde_json::Value;

use crate::binary::{self, run, stderr, stdout};
use crate::kafka::broker;
use crate::servers;
use crate::simulation::guest;

const PATIENCE: Duration = Duration::from_secs(60);

/// Builds a shipped transform from source, once.
pub(crate) fn module(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deployments");
        std::fs::create_dir_all(&directory).expect("a directory for the modules");
        for name in ["keep-plays", "mask-pii", "validate-events"] {
            let module = directory.join(format!("{name}.wasm"));
            let project = format!("transforms/{name}");
            let output = run(&["transform", "build", &project, "-o", &module.to_string_lossy()]);
            assert!(output.status.success(), "{name}: {}", stderr(&output));
        }
        directory
    });
    directory.join(format!("{name}.wasm"))
}

/// A pipeline whose transforms are deployed, on a local disk.
pub(crate) struct Job {
    directory: tempfile::TempDir,
}

impl Job {
    pub(crate) fn new(source: &str) -> Self {
        let job = Self { directory: tempfile::tempdir().expect("a directory") };
        let base = job.directory.path().display().to_string();
        let text = format!(
            "[pipeline]\nname = \"plays\"\ntransforms = \"deployed\"\n{source}\n\
             [schema]\nn = \"long!\"\nauth = \"string\"\nduration = \"double\"\nfirstName = \"string\"\n\
             lastName = \"string\"\nuserId = \"int\"\nlat = \"double\"\nlon = \"double\"\nts = \"long\"\n\
             [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"n\", unit = \"ms\" }}\npartition_by = [\"day\"]\n\
             [dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"1s\"\n"
        );
        std::fs::write(job.pipeline(), text).expect("the pipeline file can be written");
        job
    }

    /// JSON lines in a file: one event for each duration.
    pub(crate) fn of_lines(durations: &[f64]) -> Self {
        let job = Self::new("[source.file]\npath = \"EVENTS\"");
        let events = job.path("events.jsonl");
        let lines: Vec<String> = (0..).zip(durations).map(|(n, duration)| event(n, *duration)).collect();
        std::fs::write(&events, lines.join("\n")).expect("the events can be written");
        let text = std::fs::read_to_string(job.pipeline()).expect("the pipeline file");
        std::fs::write(job.pipeline(), text.replace("EVENTS", &events.to_string_lossy())).expect("the pipeline file");
        job
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn pipeline(&self) -> PathBuf {
        self.path("pipeline.toml")
    }

    /// `wasmill VERB PIPELINE ARGUMENTS...`
    pub(crate) fn wasmill(&self, verb: &[&str], arguments: &[&str]) -> Output {
        let pipeline = self.pipeline();
        let mut all = verb.to_vec();
        all.push(pipeline.to_str().expect("a path"));
        all.extend(arguments);
        run(&all)
    }

    /// The same, which must succeed; what it printed.
    pub(crate) fn done(&self, verb: &[&str], arguments: &[&str]) -> String {
        let output = self.wasmill(verb, arguments);
        assert!(output.status.success(), "{verb:?} {arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// The same, which must be refused as the user's mistake; what it said.
    pub(crate) fn refused(&self, verb: &[&str], arguments: &[&str]) -> String {
        let output = self.wasmill(verb, arguments);
        assert_eq!(output.status.code(), Some(2), "{verb:?} {arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    pub(crate) fn push(&self, name: &str) {
        self.done(&["push"], &[module(name).to_str().expect("a path")]);
    }

    pub(crate) fn json(&self, verb: &[&str], arguments: &[&str]) -> Value {
        let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let text = self.done(verb, &all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A run to the end; its summary.
    pub(crate) fn catch_up(&self) -> Value {
        self.json(&["run"], &["--until", "caught-up"])
    }

    /// Starts a host that runs until it is told to end.
    pub(crate) fn host(&self, log: &str) -> Child {
        let log = std::fs::File::create(self.path(log)).expect("a log file");
        let mut command = binary::command();
        command.arg("run").arg(self.pipeline()).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("the host can be started")
    }

    /// Every record of every chain: of deployment N, what became of how many messages.
    pub(crate) fn records(&self) -> Vec<Value> {
        records(&self.path("checkpoints"))
    }

    /// What stands in all files but one.
    pub(crate) fn everything_but(&self, one: &Path) -> String {
        let mut everything = String::new();
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if path != one {
                    everything += &String::from_utf8_lossy(&std::fs::read(&path).expect("a file"));
                }
            }
        }
        everything
    }

    /// Waits until no more is committed; how many messages are.
    pub(crate) fn is_still(&self) -> u64 {
        let (begun, mut before) = (Instant::now(), messages(&self.records()));
        loop {
            std::thread::sleep(Duration::from_secs(3));
            let now = messages(&self.records());
            if now == before {
                return now;
            }
            assert!(begun.elapsed() < PATIENCE, "a paused pipeline goes on reading");
            before = now;
        }
    }

    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let begun = Instant::now();
        while !holds(&self.records()) {
            let logs = || ["a.log", "b.log"].map(|log| std::fs::read_to_string(self.path(log)).unwrap_or_default());
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", logs().join("\n---\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Every record of every chain below a directory.
pub(crate) fn records(checkpoints: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    let mut open = vec![checkpoints.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = std::fs::read(&path).expect("a record");
                found.push(serde_json::from_slice(&bytes).expect("a record is JSON"));
            }
        }
    }
    found
}

fn event(n: i64, duration: f64) -> String {
    format!(r#"{{"n":{n},"auth":"Logged In","duration":{duration},"firstName":"Ann"}}"#)
}

pub(crate) fn end(mut host: Child) -> Option<i32> {
    let sent = std::process::Command::new("kill").args(["-TERM", &host.id().to_string()]).status();
    assert!(sent.expect("kill can be started").success());
    host.wait().expect("the host ends").code()
}

#[test]
fn from_a_module_to_rows_and_back() {
    let job = Job::of_lines(&[10.0, 40.0, 50.0, 100.0]);
    assert!(job.refused(&["run"], &[]).contains("nothing is deployed"));
    assert!(job.refused(&["deploy"], &["keep-plays"]).contains("never pushed"));

    let told = job.done(&["push"], &[module("keep-plays").to_str().expect("a path")]);
    assert!(told.contains("keep-plays@0.1.0 pushed") && told.contains("next: wasmill deploy"), "{told}");
    assert!(job.done(&["push"], &[module("keep-plays").to_str().expect("a path")]).contains("was there already"));
    // Other bytes under the same version.
    let other = job.refused(&["push"], &[module("mask-pii").to_str().expect("a path"), "--name", "keep-plays"]);
    assert!(other.contains("other bytes") && other.contains("--version"), "{other}");

    let told = job.done(&["deploy"], &["keep-plays", "--note", "first", "--set", "keep-plays.min_seconds=45"]);
    assert!(told.contains("+ keep-plays: keep-plays@0.1.0") && told.contains("deployment 1 is accepted"), "{told}");
    assert!(told.contains("tried on 4 events"), "{told}");
    assert_eq!(job.catch_up()["written"], 2);
    let deployments: Vec<i64> = job.records().iter().filter_map(|r| r["deployment"]["number"].as_i64()).collect();
    assert!(deployments.contains(&1), "{deployments:?}");

    let again = job.done(&["deploy"], &["keep-plays"]);
    assert!(
        again.contains("nothing changes") && again.contains("this is what runs already"),
        "settings are kept: {again}"
    );
    let trial = job.json(&["deploy"], &["keep-plays", "--set", "keep-plays.min_seconds=30", "--dry-run"]);
    assert_eq!(trial["accepted"], Value::Null);
    let rehearsal = &trial["proposal"]["rehearsal"];
    assert_eq!((&rehearsal["present"]["kept"], &rehearsal["new"]["kept"]), (&2.into(), &3.into()), "{rehearsal}");
    assert_eq!(rehearsal["changed"]["kept_now"]["count"], 1);
    assert!(rehearsal["new"]["memory_bytes"].as_u64() > Some(0), "{rehearsal}");
    assert!(rehearsal["changed"]["kept_now"]["first"][0].as_str().expect("an example").contains('@'));
    single_events(rehearsal);

    job.done(&["deploy"], &["keep-plays", "--set", "keep-plays.min_seconds=30"]);
    let difference = job.done(&["diff"], &["1", "2"]);
    assert!(difference.contains("setting min_seconds 45 -> 30"), "{difference}");
    job.done(&["rollback"], &["--note", "too short"]);
    let all = job.json(&["deployments"], &[]);
    let actions: Vec<_> = all.as_array().expect("a list").iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["deploy".into(), "deploy".into(), serde_json::json!({ "rollback": { "to": 1 } })]);
    assert_eq!(all[2]["deployment"]["transforms"], all[0]["deployment"]["transforms"]);
    assert!(job.done(&["deployments"], &[]).contains("rollback to 1"), "it is told");
}

/// Of the durations 10, 40, 50 and 100, the present deployment keeps what is at least 45 and the new one what is at least 30.
fn single_events(rehearsal: &Value) {
    let sampled = rehearsal["sampled"].as_array().expect("a list");
    let fates = |side: &str| -> Vec<(f64, &str)> {
        let duration = |one: &Value| one["event"]["duration"].as_f64().expect("a number");
        let mut fates: Vec<_> = sampled.iter().map(|one| (duration(one), side_of(one, side))).collect();
        fates.sort_by(|a, b| a.0.total_cmp(&b.0));
        fates
    };
    assert_eq!(fates("present"), [(10.0, "filtered"), (40.0, "filtered"), (50.0, "kept"), (100.0, "kept")]);
    assert_eq!(fates("new"), [(10.0, "filtered"), (40.0, "kept"), (50.0, "kept"), (100.0, "kept")]);
    let differing: Vec<&Value> = sampled.iter().map(|one| &one["differs"]).collect();
    assert_eq!(differing, [true, false, false, false], "those that differ come first");
    assert_eq!(sampled[0]["new"]["rows"], serde_json::json!([sampled[0]["event"]]), "a filter changes nothing");
    let transforms = &rehearsal["new"]["transforms"];
    assert_eq!(
        (&transforms[0]["name"], &transforms[0]["events"], &transforms[0]["kept"]),
        (&"keep-plays".into(), &4.into(), &3.into())
    );
}

fn side_of<'v>(sampled: &'v Value, side: &str) -> &'v str {
    sampled[side]["fate"].as_str().expect("what became of it")
}

#[test]
fn what_a_transform_logs_is_shown() {
    let job = Job::of_lines(&[10.0, 40.0]);
    let output = run(&["transform", "new", "chatty", "--into", job.directory.path().to_str().expect("a path")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let project = job.path("chatty");
    let project = project.to_str().expect("a path");
    let source = r#"
        use wasmill_sdk::prelude::*;

        #[derive(Reads)]
        pub struct Play {
            n: i64,
            duration: Option<f64>,
        }

        /// Says what it sees.
        #[filter]
        pub fn chatty(play: &Play) -> bool {
            match play.duration {
                Some(seconds) if seconds < 30.0 => wasmill_sdk::log::warn!("{} is short:\n{seconds} s", play.n),
                _ => wasmill_sdk::log::info!("{} is long", play.n),
            }
            true
        }"#;
    std::fs::write(job.path("chatty/src/lib.rs"), source).expect("the source can be written");
    let module = job.path("chatty.wasm");
    let module = module.to_str().expect("a path");
    // What it depends on was built with the shipped transforms.
    let mut build = binary::command();
    build.env("CARGO_TARGET_DIR", binary::root().join("target")).args(["transform", "build", project, "-o", module]);
    let output = build.output().expect("the binary can be started");
    assert!(output.status.success(), "{}", stderr(&output));
    job.done(&["push"], &[module, "--version", "2.5.0"]);
    job.done(&["deploy"], &["chatty", "--sample", "0"]);
    assert_eq!(job.catch_up()["written"], 2);
    let named = |record: &Value| record["deployment"]["transforms"][0]["version"] == "2.5.0";
    assert!(job.records().iter().any(named), "records name the version that was pushed");

    let told = job.done(&["logs"], &[]);
    // A guest cannot forge a line of its own.
    assert!(told.contains("warn  chatty@2.5.0 (1)") && told.contains(": 0 is short:\\n10 s\n"), "{told}");
    assert!(told.contains(": 1 is long\n"), "{told}");
    let warned = job.done(&["logs"], &["chatty", "--level", "warn", "--json"]);
    let lines: Vec<Value> = warned.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &"warn".into()), "{warned}");
    assert_eq!(job.done(&["logs"], &["another"]), "");
}

#[test]
fn a_change_of_columns_that_breaks_readers_needs_a_word() {
    let job = Job::of_lines(&[40.0]);
    job.push("keep-plays");
    job.push("mask-pii");
    job.done(&["deploy"], &["keep-plays"]);
    // The key is a secret: it is named, not written down.
    let refused = job.refused(&["deploy"], &["mask-pii", "--set", "mask-pii.key=no-such-text-in-any-module"]);
    assert!(
        refused.contains("is a secret by its name") && !refused.contains("no-such-text-in-any-module"),
        "{refused}"
    );
    let key = job.path("key");
    std::fs::write(&key, "no-such-text-in-any-module\n").expect("the key can be written");
    let set = format!("mask-pii.key=file:{}", key.display());
    let refused = job.refused(&["deploy"], &["keep-plays", "mask-pii", "--set", &set]);
    assert!(refused.contains("column userId int would become userId long"), "{refused}");
    assert!(refused.contains("--allow-schema-change"), "{refused}");
    job.done(&["deploy"], &["keep-plays", "mask-pii", "--set", &set, "--allow-schema-change"]);
    assert_eq!(job.catch_up()["written"], 1);
    let everything = job.everything_but(&key);
    assert!(everything.contains("\"file\""), "the deployment names where the key is");
    assert!(!everything.contains("no-such-text-in-any-module"), "a secret stands in a file");
}

#[test]
fn modules_that_may_not_run_are_refused_before_they_are_stored() {
    let job = Job::of_lines(&[40.0]);
    let path = job.path("wrong.wasm");
    for (bytes, told) in [
        (&b"hello"[..], "not a WebAssembly module"),
        (b"\0asm\x01\0\0\0", "without a component type"),
        (&std::fs::read(module("keep-plays")).expect("a module")[..3_000], "damaged or cut short"),
    ] {
        std::fs::write(&path, bytes).expect("the module can be written");
        let said = job.refused(&["push"], &[path.to_str().expect("a path")]);
        assert!(said.contains(told), "{said}");
    }
    assert!(!job.path("checkpoints_registry").exists(), "nothing was stored");
}

/// Sends events to all topic partitions until it is told to stop; how many.
pub(crate) fn produce_until(topic: String, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<i64> {
    std::thread::spawn(move || {
        let producer = broker::producer(&[]);
        let mut n = 0;
        while !stop.load(Ordering::Acquire) {
            for _ in 0..50 {
                let payload = event(n, 60.0);
                let partition = (n % 4) as i32;
                let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload(&payload);
                producer.send(record).map_err(|(error, _)| error).expect("there is room");
                n += 1;
            }
            producer.flush(broker::WAIT).expect("the broker takes the messages");
            std::thread::sleep(Duration::from_millis(20));
        }
        n
    })
}

/// Messages, written and filtered rows by deployment.
pub(crate) fn by_deployment(records: &[Value]) -> BTreeMap<u64, (u64, u64, u64)> {
    let mut found: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for record in records {
        let (Some(number), Some(rows)) = (record["deployment"]["number"].as_u64(), record["rows"].as_object()) else {
            continue;
        };
        let count = |name: &str| rows[name].as_u64().expect("a count");
        let sums = found.entry(number).or_default();
        *sums = (sums.0 + count("messages"), sums.1 + count("written"), sums.2 + count("filtered"));
    }
    found
}

/// Messages that the records account for.
pub(crate) fn messages(records: &[Value]) -> u64 {
    by_deployment(records).values().map(|sums| sums.0).sum()
}

/// Topic partitions with records of this deployment.
pub(crate) fn swapped(records: &[Value], deployment: u64) -> usize {
    let of =
        |record: &&Value| record["deployment"]["number"] == deployment && record["rows"]["messages"].as_u64() > Some(0);
    let mut found: Vec<_> = records.iter().filter(of).map(|record| record["topic_partition"].as_i64()).collect();
    found.sort_unstable();
    found.dedup();
    found.len()
}

/// Both hosts say that they run this deployment.
fn status(job: &Job, deployment: u64) {
    let begun = Instant::now();
    loop {
        let hosts: Value = serde_json::from_str(&stdout(&job.wasmill(&["status"], &["--json"]))).expect("JSON");
        let hosts = hosts.as_array().expect("a list");
        let owned = hosts.iter().map(|host| host["topic_partitions"].as_array().expect("a list").len()).sum::<usize>();
        if hosts.len() == 2 && owned == 4 && hosts.iter().all(|host| host["deployment"] == deployment) {
            let key = deployment.to_string();
            let transform = |host: &Value| host["transforms"][&key][0].clone();
            assert!(hosts.iter().all(|host| transform(host)["name"] == "keep-plays"), "{hosts:?}");
            assert!(job.done(&["status"], &[]).contains("keep-plays@0.1.0"), "people read it, too");
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{hosts:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn hosts_swap_while_events_flow_and_lose_and_double_nothing() {
    let topic = broker::topic("swap", 4, &[]);
    let brokers = servers::kafka();
    let job = Job::new(&format!(
        "[source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\n\
         [source.kafka.options]\n\"session.timeout.ms\" = \"6000\""
    ));
    job.push("keep-plays");
    let deploy = |seconds: &str| {
        let set = format!("keep-plays.min_seconds={seconds}");
        job.done(&["deploy"], &["keep-plays", "--set", &set, "--sample", "100"]);
    };
    deploy("1");
    let stop = Arc::new(AtomicBool::new(false));
    let producing = produce_until(topic.clone(), Arc::clone(&stop));
    let hosts = [job.host("a.log"), job.host("b.log")];
    job.wait("all topic partitions under deployment 1", |records| swapped(records, 1) == 4);

    // Keeps nothing, keeps everything, goes back to nothing: each range shows which one made it.
    let asked = Instant::now();
    deploy("1000");
    job.wait("all topic partitions under deployment 2", |records| swapped(records, 2) == 4);
    eprintln!(
        "from the command to committed rows of all topic partitions on two hosts: {:.1} s",
        asked.elapsed().as_secs_f64()
    );
    deploy("1");
    job.wait("all topic partitions under deployment 3", |records| swapped(records, 3) == 4);
    job.done(&["rollback"], &["--sample", "0"]);
    job.wait("all topic partitions under deployment 4", |records| swapped(records, 4) == 4);

    // On trial: one that rejects everything (there is no user in these events) is ended by the hosts themselves.
    job.push("validate-events");
    let trial =
        ["keep-plays", "validate-events", "--set", "keep-plays.min_seconds=1", "--sample", "0", "--canary", "1/4"];
    assert!(job.done(&["deploy"], &trial).contains("deployment 5 is on trial on"), "it is told");
    job.wait("one topic partition under deployment 5", |records| swapped(records, 5) == 1);
    let begun = Instant::now();
    let newest = || job.json(&["deployments"], &[]).as_array().and_then(|all| all.last().cloned()).expect("an entry");
    while newest()["number"] != 6 {
        assert!(begun.elapsed() < PATIENCE, "nobody ends the trial");
        std::thread::sleep(Duration::from_millis(500));
    }
    let abort = newest();
    assert_eq!((&abort["action"], &abort["canary"]), (&"abort".into(), &Value::Null), "{abort}");
    assert!(abort["note"].as_str().is_some_and(|note| note.contains("rejects 100.00 %")), "{abort}");

    // One that is as good is promoted, and keeps its number.
    let trial = ["keep-plays", "--set", "keep-plays.min_seconds=1", "--sample", "0", "--canary", "1/4"];
    job.done(&["deploy"], &[&trial[..], &["--bounds", "slower=100"]].concat());
    job.wait("one topic partition under deployment 7", |records| swapped(records, 7) == 1);
    job.done(&["promote"], &[]);
    job.wait("all topic partitions under deployment 7", |records| swapped(records, 7) == 4);
    status(&job, 7);

    // A pause holds; a resumption goes on.
    job.done(&["pause"], &["--note", "for a while"]);
    let before = job.is_still();
    job.done(&["resume"], &[]);
    job.wait("more after the pause", |records| messages(records) > before);

    stop.store(true, Ordering::Release);
    let produced = producing.join().expect("the producer ends") as u64;
    job.wait("everything", |records| messages(records) == produced);
    for host in hosts {
        assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
    }
    let sums = by_deployment(&job.records());
    assert_eq!(sums.values().map(|sums| sums.0).sum::<u64>(), produced, "each message once");
    for (deployment, (messages, written, filtered)) in &sums {
        let keeps = match deployment {
            5 => (0, 0),
            odd if odd % 2 == 1 => (*messages, 0),
            _ => (0, *messages),
        };
        assert_eq!((*written, *filtered), keeps, "deployment {deployment} made them");
    }
    let verified = job.json(&["verify"], &["--deep"]);
    assert_eq!(verified["findings"].as_array().map(Vec::len), Some(0), "{verified}");

    let logs = ["a.log", "b.log"].map(|log| std::fs::read_to_string(job.path(log)).expect("a log")).concat();
    assert!(logs.contains("swapped"), "it is told:\n{logs}");
}

#[test]
fn a_deployment_that_keeps_failing_is_taken_out_of_use() {
    let topic = broker::topic("breaker", 4, &[]);
    let brokers = servers::kafka();
    let job = Job::new(&format!(
        "[breaker]\nfailures = 20\nwithin = \"10m\"\nthen = \"fall-back\"\n\
         [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\""
    ));
    job.push("keep-plays");
    let failing = job.path("failing.wasm");
    std::fs::write(&failing, guest::trapping()).expect("the module can be written");
    job.done(&["push"], &[failing.to_str().expect("a path"), "--name", "failing", "--version", "1.0.0"]);
    job.done(&["deploy"], &["keep-plays", "--sample", "0"]);
    let stop = Arc::new(AtomicBool::new(false));
    let producing = produce_until(topic, Arc::clone(&stop));
    let host = job.host("a.log");
    job.wait("rows under deployment 1", |records| swapped(records, 1) == 4);

    let newest = || job.json(&["deployments"], &[]).as_array().and_then(|all| all.last().cloned()).expect("an entry");
    let judged = |number: i64, action: Value| {
        let begun = Instant::now();
        while newest()["number"] != number {
            let log = || std::fs::read_to_string(job.path("a.log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "nothing follows from its failures: {}\n{}", newest(), log());
            std::thread::sleep(Duration::from_millis(500));
        }
        let entry = newest();
        assert_eq!(entry["action"], action, "{entry}");
        let note = entry["note"].as_str().unwrap_or_default();
        assert!(note.contains("keeps failing") && note.contains("failing@1.0.0"), "{entry}");
        assert!(entry["by"].as_str().is_some_and(|by| by.starts_with("host ")), "{entry}");
    };
    job.done(&["deploy"], &["keep-plays", "failing", "--sample", "0"]);
    judged(3, serde_json::json!({ "fall-back": { "to": 1 } }));
    job.wait("rows under the one before", |records| swapped(records, 3) == 4);
    assert!(job.done(&["deployments"], &[]).contains("fall back to 1 by host "), "it is told");

    // What it falls back to fails as well: the pipeline is paused.
    job.done(&["pause"], &[]);
    job.done(&["deploy"], &["failing", "--sample", "0"]);
    job.done(&["deploy"], &["failing", "keep-plays", "--sample", "0"]);
    job.done(&["resume"], &[]);
    judged(8, serde_json::json!({ "fall-back": { "to": 5 } }));
    judged(9, "pause".into());
    let told = || {
        let hosts: Value = serde_json::from_str(&stdout(&job.wasmill(&["status"], &["--json"]))).expect("JSON");
        hosts[0]["problems"].to_string()
    };
    let begun = Instant::now();
    while !told().contains("deployment 8 keeps failing") {
        assert!(begun.elapsed() < PATIENCE, "the status says nothing of it: {}", told());
        std::thread::sleep(Duration::from_millis(500));
    }

    job.done(&["rollback"], &["3", "--sample", "0"]);
    job.done(&["resume"], &[]);
    stop.store(true, Ordering::Release);
    let produced = producing.join().expect("the producer ends") as u64;
    job.wait("everything", |records| messages(records) == produced);
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
    let dead = |sums: &(u64, u64, u64)| sums.0 - sums.1 - sums.2;
    for (deployment, sums) in by_deployment(&job.records()) {
        let fails = matches!(deployment, 2 | 5 | 6 | 8);
        assert_eq!(dead(&sums), if fails { sums.0 } else { 0 }, "deployment {deployment} made them");
    }
}

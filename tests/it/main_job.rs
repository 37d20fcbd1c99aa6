//! The main job on a real Kafka and a real HDFS: three transforms, transactions some of which are aborted, every kind of
//! bad message; crashes, restarts, two hosts. Each time an independent reader (Python, pyarrow, DuckDB, another Kafka
//! client) compares record by record: nothing lost, nothing doubled, nothing unaccounted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{binary, servers};

const SCHEMA: &str = r#"
[schema]
artist = "string"
song = "string"
duration = "double"
ts = "long!"
sessionId = "int"
auth = "string"
level = "string"
itemInSession = "int"
city = "string"
zip = "string"
state = "string"
userAgent = "string"
lon = "double"
lat = "double"
userId = "int"
lastName = "string"
firstName = "string"
gender = "string"
registration = "long"
"#;

/// Builds the three transforms of the main job from source, once.
fn modules() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("main-job");
        std::fs::create_dir_all(&directory).expect("a directory for the modules");
        for name in ["keep-plays", "validate-events", "enrich-geo"] {
            let module = directory.join(format!("{name}.wasm"));
            let project = format!("transforms/{name}");
            let output = binary::run(&["transform", "build", &project, "-o", &module.to_string_lossy()]);
            assert!(output.status.success(), "{name}: {}", binary::stderr(&output));
        }
        directory
    })
}

/// One topic, one table, one pipeline file.
struct Job {
    topic: String,
    /// Path on HDFS.
    base: String,
    scratch: tempfile::TempDir,
}

impl Job {
    fn new(name: &str) -> Self {
        let topic = format!("main-job-{name}-{:08x}", rand::random::<u32>());
        servers::cluster(&["topic", "create", &topic, "--partitions", "4"]);
        let job = Self { base: format!("/tests/{topic}"), topic, scratch: tempfile::tempdir().expect("a directory") };
        std::fs::write(job.pipeline(), job.pipeline_file()).expect("the pipeline file can be written");
        job
    }

    fn pipeline(&self) -> PathBuf {
        self.scratch.path().join("pipeline.toml")
    }

    fn pipeline_file(&self) -> String {
        let (topic, brokers, modules) = (&self.topic, servers::kafka(), modules().display());
        let base = format!("{}{}", servers::hdfs(), self.base);
        let transform = |name: &str| format!("[[transforms]]\nname = \"{name}\"\nmodule = \"{modules}/{name}.wasm\"\n");
        format!(
            "[pipeline]\nname = \"{topic}\"\n\
             [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nstart = \"earliest\"\n\
             [source.kafka.options]\n\"session.timeout.ms\" = \"6000\"\n{SCHEMA}{}{}{}\
             [table]\nlocation = \"{base}/bronze\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
             partition_by = [\"year\", \"month\", \"day\", \"hour\"]\ncompression = \"zstd\"\n\
             [dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"1s\"\n",
            transform("keep-plays"),
            transform("validate-events"),
            transform("enrich-geo"),
        )
    }

    fn produce(&self, first: usize, events: usize, rate: Option<usize>) -> Child {
        let mut command = self.python("produce");
        command.args(["--first-id", &first.to_string(), "--events", &events.to_string()]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        command.spawn().expect("python can be started")
    }

    fn python(&self, verb: &str) -> Command {
        let mut command = Command::new(servers::python());
        let script = binary::root().join("tests/python/listen_events.py");
        command.arg(script).args([verb, "--brokers", &servers::kafka(), "--topic", &self.topic]);
        command
    }

    fn log(&self, host: &str) -> PathBuf {
        self.scratch.path().join(format!("{host}.log"))
    }

    /// Starts a host that runs until it is told to end.
    fn host(&self, name: &str) -> Child {
        let log = std::fs::File::create(self.log(name)).expect("a log file");
        let mut command = binary::command();
        command.args(["run", &self.pipeline().to_string_lossy()]).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("the host can be started")
    }

    /// Waits until a host has logged `text` that often.
    fn wait_for(&self, host: &str, text: &str, times: usize) {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let log = std::fs::read_to_string(self.log(host)).unwrap_or_default();
            if log.matches(text).count() >= times {
                return;
            }
            assert!(Instant::now() < patience, "{host} did not log `{text}` {times} times:\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a host until it has caught up; its summary.
    fn catch_up(&self) -> Value {
        let pipeline = self.pipeline();
        let output = binary::run(&["run", &pipeline.to_string_lossy(), "--until", "caught-up", "--json"]);
        assert!(output.status.success(), "{}", binary::stderr(&output));
        serde_json::from_slice(&output.stdout).expect("the summary is JSON")
    }

    /// Fetches the table and the dead letters from HDFS and lets the independent reader compare them with Kafka.
    fn check(&self) -> Value {
        let local = self.scratch.path().join("fetched");
        // What an earlier check fetched is out of date.
        let _ = std::fs::remove_dir_all(&local);
        std::fs::create_dir_all(&local).expect("a directory");
        let (from, to) = (format!("{}{}", servers::hdfs(), self.base), local.to_string_lossy().into_owned());
        for part in ["bronze", "dead_letters"] {
            let arguments = ["-copyToLocal", &format!("{from}/{part}"), &to];
            servers::hdfs_tool("org.apache.hadoop.fs.FsShell", &arguments);
        }
        let mut command = self.python("check");
        command.arg("--table").arg(local.join("bronze")).arg("--dead-letters").arg(local.join("dead_letters"));
        let output = command.output().expect("python can be started");
        let said = format!("{}{}", binary::stdout(&output), binary::stderr(&output));
        assert!(output.status.success(), "{said}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
        self.verify(&report);
        report
    }

    /// Our own audit comes to the same counts as the independent reader.
    fn verify(&self, report: &Value) {
        let pipeline = self.pipeline();
        let output = binary::run(&["verify", &pipeline.to_string_lossy(), "--deep", "--json"]);
        let said = format!("{}{}", binary::stdout(&output), binary::stderr(&output));
        assert!(output.status.success(), "{said}");
        let audit: Value = serde_json::from_slice(&output.stdout).expect("the audit is JSON");
        let rows = &audit["total"]["rows"];
        assert_eq!(rows["written"], report["table"], "{said}");
        assert_eq!(rows["dead_lettered"], report["dead_letters"], "{said}");
        assert_eq!(rows["filtered"], report["filtered"], "{said}");
        assert_eq!(audit["deployments"][0]["transforms"].as_array().map(Vec::len), Some(3), "{said}");
        // Offsets of transactions' markers lie between the last message and the end.
        let of = &audit["topic_partitions"][0];
        assert!(of["source"]["latest"].as_i64() >= of["next"].as_i64(), "{said}");
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {name}");
}

fn finished(mut child: Child) {
    assert!(child.wait().expect("a child can be waited for").success());
}

#[test]
fn kafka_to_hdfs_is_what_an_independent_reader_expects() {
    let job = Job::new("whole");
    finished(job.produce(0, 20_000, None));
    let summary = job.catch_up();
    let report = job.check();
    assert_eq!(summary["written"], report["table"]);
    assert_eq!(summary["filtered"], report["filtered"]);
    assert_eq!(summary["dead_lettered"], report["dead_letters"]);
    assert_eq!(report["reasons"].as_array().map(Vec::len), Some(12), "{report}");
    // Caught up already: a second run reads nothing, writes nothing, and ends by itself.
    assert_eq!(job.catch_up()["read"], 0);
    assert_eq!(job.check()["table"], report["table"]);
}

#[test]
fn killed_and_stopped_hosts_lose_and_double_nothing() {
    let job = Job::new("killed");
    let producer = job.produce(0, 30_000, Some(2_000));
    for round in 0..5_u64 {
        let mut host = job.host(&format!("host-{round}"));
        std::thread::sleep(Duration::from_millis(1_500 + 700 * round));
        if round % 2 == 0 {
            signal(&host, "KILL");
            host.wait().expect("a killed host ends");
        } else {
            signal(&host, "TERM");
            assert!(host.wait().expect("a stopped host ends").success(), "SIGTERM is a clean end");
        }
    }
    finished(producer);
    job.catch_up();
    job.check();
}

#[test]
fn two_hosts_share_the_topic_partitions_and_hand_them_over() {
    let job = Job::new("shared");
    let producer = job.produce(0, 24_000, Some(2_000));
    let mut first = job.host("first");
    job.wait_for("first", "begins", 4);
    let mut second = job.host("second");
    job.wait_for("second", "begins", 1);
    job.wait_for("first", "revoked", 1);
    signal(&first, "TERM");
    assert!(first.wait().expect("a stopped host ends").success());
    job.wait_for("second", "begins", 4);
    finished(producer);
    signal(&second, "TERM");
    assert!(second.wait().expect("a stopped host ends").success());
    job.catch_up();
    job.check();
}

#[test]
fn an_operator_moves_a_position_beside_a_living_host() {
    let job = Job::new("moved");
    finished(job.produce(0, 4_000, None));
    let read = job.catch_up()["read"].as_u64().expect("a number");
    let mut host = job.host("host");
    job.wait_for("host", "begins", 4);
    let pipeline = job.pipeline();
    let command = |words: &[&str], arguments: &[&str]| -> Value {
        let path = pipeline.to_string_lossy();
        let all = [words, &[&*path, "--json"], arguments].concat();
        let output = binary::run(&all);
        assert!(output.status.success(), "{all:?}: {}", binary::stderr(&output));
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    };
    let of = format!("{}/0", job.topic);
    let first = command(&["offsets", "show"], &[])["topic_partitions"][0].clone();
    assert_eq!(first["lag"].as_i64().map(|lag| lag < 10), Some(true), "{first}");
    assert_eq!(first["source"]["earliest"], 0, "{first}");
    let arguments = ["--topic-partition", &of, "--to", "earliest", "--why", "a test", "--allow-duplicates", "--yes"];
    let moved = command(&["offsets", "set"], &arguments);
    assert_eq!((&moved["from"], moved["to"].as_i64()), (&first["next"], Some(0)), "{moved}");
    // The host has nothing open there, so it hears of it with the next message.
    finished(job.produce(4_000, 1_000, None));
    job.wait_for("host", "begins", 5);
    signal(&host, "TERM");
    assert!(host.wait().expect("a stopped host ends").success());
    job.catch_up();
    let report = command(&["verify"], &["--deep"]);
    assert_eq!(report["notes"][0]["code"], "position-moved", "{report:#}");
    assert_eq!(report["topic_partitions"][0]["overlaps"][0]["start"], 0, "{report:#}");
    let messages = report["total"]["rows"]["messages"].as_u64().expect("a number");
    assert!(messages > read + 1_000, "{messages} messages were read, {read} of them before a thousand more came");
}

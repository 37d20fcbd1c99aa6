//! A range made anew into another location, by the command itself: exactly the range, exactly once, and nothing of the
//! pipeline is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::binary::{self, run, stderr, stdout};
use crate::kafka::broker;
use crate::servers;

/// A pipeline on a local disk.
struct Pipeline {
    directory: tempfile::TempDir,
}

impl Pipeline {
    fn new(source: &str) -> Self {
        let pipeline = Self { directory: tempfile::tempdir().expect("a directory") };
        pipeline.write(source, "string");
        pipeline
    }

    fn write(&self, source: &str, artist: &str) {
        let base = self.directory.path().display();
        let text = format!(
            "[pipeline]\nname = \"rebuilt\"\n{source}\n[schema]\nts = \"long!\"\nartist = \"{artist}\"\n\
             [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
             partition_by = [\"year\"]\n[dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"1s\"\n"
        );
        std::fs::write(self.file(), text).expect("it can be written");
    }

    fn file(&self) -> PathBuf {
        self.path("pipeline.toml")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn wasmill(&self, verb: &[&str], arguments: &[&str]) -> Output {
        let file = self.file();
        run(&[verb, &[&*file.to_string_lossy()], arguments].concat())
    }

    fn json(&self, verb: &[&str], arguments: &[&str]) -> Value {
        let output = self.wasmill(verb, &[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{verb:?} {arguments:?}: {}", stderr(&output));
        serde_json::from_str(&stdout(&output)).expect("JSON")
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.wasmill(&["reprocess"], arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stderr(&output)
    }

    /// What an audit says of the new location.
    fn verified(&self, into: &Path) -> Value {
        self.json(&["verify"], &["--deep", "--reprocessed", &into.to_string_lossy()])
    }
}

/// All files below a directory with what they hold.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn eventsim(events: u64) -> String {
    format!(
        "[source.eventsim]\ntopic = \"listen_events\"\ntopic_partitions = 2\nevents = {events}\nseed = 7\nfaults = 0.02"
    )
}

#[test]
fn a_range_is_rebuilt_beside_the_pipeline() {
    let pipeline = Pipeline::new(&eventsim(4_000));
    pipeline.json(&["run"], &[]);
    let parts = ["table", "dead_letters", "checkpoints"];
    let before: Vec<_> = parts.iter().map(|part| contents(&pipeline.path(part))).collect();
    let into = pipeline.path("anew");
    let into_text = into.to_string_lossy().into_owned();
    let command = ["--from", "listen_events/0=500", "--from", "listen_events/1=1990", "--into", &into_text];
    let planned = pipeline.json(&["reprocess"], &[&command[..], &["--dry-run"]].concat());
    assert!(planned["summary"].is_null() && !into.exists(), "{planned:#}");
    let done = pipeline.json(&["reprocess"], &command);
    assert_eq!((&done["plan"]["resumed"], &done["summary"]["read"]), (&Value::Bool(false), &Value::from(1_510)));
    let report = pipeline.verified(&into);
    let covered: Vec<Value> =
        report["topic_partitions"].as_array().expect("a list").iter().map(|of| of["covered"][0].clone()).collect();
    let range = |start: i64, next: i64| serde_json::json!({ "start": start, "next": next });
    assert_eq!(covered, [range(500, 2_000), range(1_990, 2_000)]);

    // The same again finds that all is done; anything else is refused.
    let again = pipeline.json(&["reprocess"], &command);
    assert_eq!((&again["plan"]["resumed"], &again["summary"]["read"]), (&Value::Bool(true), &Value::from(0)));
    assert_eq!(pipeline.verified(&into)["total"]["rows"], report["total"]["rows"]);
    let other = pipeline.refused(&["--from", "listen_events/0=501", "--into", &into_text]);
    assert!(other.contains("was begun with other --from"), "{other}");
    pipeline.write(&eventsim(4_000), "string!");
    assert!(pipeline.refused(&command).contains("other fields"));
    pipeline.write(&eventsim(4_000), "string");
    for (part, told) in
        [("table", "lie in each other"), ("table/deeper", "lie in each other"), ("", "lie in each other")]
    {
        let own = pipeline.path(part).to_string_lossy().into_owned();
        let said = pipeline.refused(&["--from", "earliest", "--into", &own]);
        assert!(said.contains(told), "{part}: {said}");
    }
    std::fs::create_dir(pipeline.path("others")).expect("a directory");
    std::fs::write(pipeline.path("others/notes.txt"), "mine").expect("a file");
    let others = pipeline.path("others").to_string_lossy().into_owned();
    assert!(pipeline.refused(&["--from", "earliest", "--into", &others]).contains("it holds notes.txt"));
    let none = pipeline.path("none").to_string_lossy().into_owned();
    assert!(pipeline.refused(&["--from", "2h", "--into", &none]).contains("only Kafka finds offsets by time"));
    assert!(
        pipeline.refused(&["--from", "earliest", "--into", &none, "--deployment", "3"]).contains("no deployment 3")
    );
    let after: Vec<_> = parts.iter().map(|part| contents(&pipeline.path(part))).collect();
    assert!(before == after, "the pipeline was touched");
}

#[test]
fn one_that_is_killed_goes_on_where_it_stopped() {
    let pipeline = Pipeline::new(&eventsim(400_000));
    let into = pipeline.path("anew");
    let into_text = into.to_string_lossy().into_owned();
    let arguments = [
        "--from",
        "earliest",
        "--to",
        "listen_events/0=200000",
        "--to",
        "listen_events/1=199000",
        "--into",
        &into_text,
    ];
    let records = || {
        let directory = into.join("_reprocess/checkpoints/listen_events/0");
        std::fs::read_dir(directory).map_or(0, |entries| entries.count())
    };
    let mut command = binary::command();
    command.arg("reprocess").arg(pipeline.file()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = command.spawn().expect("it can be started");
    let begun = Instant::now();
    while records() < 3 && first.try_wait().expect("it can be asked").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no range was committed");
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill().expect("it can be killed");
    first.wait().expect("it ends");
    let done = pipeline.json(&["reprocess"], &arguments);
    let rest = done["summary"]["read"].as_u64().expect("a number");
    assert!(done["plan"]["resumed"] == true && rest < 399_000, "{done:#}");
    let report = pipeline.verified(&into);
    assert_eq!(report["total"]["rows"]["messages"], 399_000);
}

/// On a real broker: between two times, with messages of transactions that were aborted in between, beside a running host.
#[test]
fn kafka_is_read_without_the_group() {
    let topic = broker::topic("reprocess", 2, &[]);
    let now_ms = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as i64;
    let send = |producer: &BaseProducer, first: usize, count: usize, timestamp_ms: i64| {
        for n in first..first + count {
            let payload = format!("{{\"ts\":{},\"artist\":\"a{n}\"}}", 1_700_000_000_000_i64 + n as i64);
            let record = BaseRecord::<(), str>::to(&topic).partition((n % 2) as i32).timestamp(timestamp_ms);
            producer.send(record.payload(&payload)).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(broker::WAIT).expect("the broker takes the messages");
    };
    let (plain, transactional) = (broker::producer(&[]), broker::transactional());
    send(&plain, 0, 600, now_ms - 7_200_000);
    transactional.begin_transaction().expect("a transaction begins");
    send(&transactional, 0, 20, now_ms - 3_600_000 * 3 / 2);
    transactional.abort_transaction(broker::WAIT).expect("it is aborted");
    send(&plain, 600, 400, now_ms);
    let middle = "1h";
    let source = format!(
        "[source.kafka]\nbrokers = \"{}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nstart = \"earliest\"",
        servers::kafka()
    );
    let pipeline = Pipeline::new(&source);
    pipeline.json(&["run"], &["--until", "caught-up"]);
    let host = {
        let mut command: Command = binary::command();
        command.arg("run").arg(pipeline.file()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the host can be started")
    };
    let positions = pipeline.json(&["offsets", "show"], &[]);
    let (early, late) = (pipeline.path("early"), pipeline.path("late"));
    let (early_text, late_text) = (early.to_string_lossy().into_owned(), late.to_string_lossy().into_owned());
    let done = pipeline.json(&["reprocess"], &["--from", "earliest", "--to", middle, "--into", &early_text]);
    assert_eq!(done["summary"]["read"], 600, "{done:#}");
    let done = pipeline.json(&["reprocess"], &["--from", middle, "--into", &late_text]);
    assert_eq!(done["summary"]["read"], 400, "{done:#}");
    for (into, count) in [(&early, 600), (&late, 400)] {
        assert_eq!(pipeline.verified(into)["total"]["rows"]["written"], count);
    }
    let after = pipeline.json(&["offsets", "show"], &[]);
    for at in 0..2 {
        let of = |positions: &Value, name: &str| positions["topic_partitions"][at][name].clone();
        assert_eq!(of(&positions, "next"), of(&after, "next"));
        assert_eq!(
            of(&positions, "source")["committed"],
            of(&after, "source")["committed"],
            "the group is the pipeline's"
        );
    }
    let latest = positions["topic_partitions"][0]["source"]["latest"].as_i64().expect("an offset");
    let beyond = format!("{topic}/0={}", latest + 1);
    let from = format!("{topic}/0=0");
    let none = pipeline.path("none").to_string_lossy().into_owned();
    assert!(pipeline.refused(&["--from", &from, "--to", &beyond, "--into", &none]).contains("ends at"));
    end(host);
    assert_eq!(pipeline.json(&["verify"], &["--deep"])["total"]["rows"]["messages"], 1_000);
}

fn end(mut host: std::process::Child) {
    let sent = Command::new("kill").args(["-TERM", &host.id().to_string()]).status();
    assert!(sent.expect("kill can be started").success());
    assert!(host.wait().expect("the host ends").success());
}

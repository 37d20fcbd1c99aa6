//! Dead letters sent through the present deployment once more, by the command itself: once, recorded, beside a running host.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::binary::{self, run, stderr, stdout};
use crate::deployments::Job;

/// Simulated events on a local disk, one in twenty with a fault.
struct Pipeline {
    directory: tempfile::TempDir,
}

impl Pipeline {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    /// A pipeline file of that name. `user`: the type of the column that some events lack.
    fn write(&self, name: &str, user: &str, events: u64) -> PathBuf {
        let base = self.directory.path().display();
        let path = self.directory.path().join(format!("{name}.toml"));
        let text = format!(
            "[pipeline]\nname = \"again\"\n[source.eventsim]\ntopic = \"listen_events\"\ntopic_partitions = 2\n\
             events = {events}\nseed = 7\nfaults = 0.05\n[schema]\nts = \"long!\"\nuserId = \"{user}\"\n\
             artist = \"string\"\n[table]\nlocation = \"{base}/table\"\n\
             event_time = {{ column = \"ts\", unit = \"ms\" }}\npartition_by = [\"year\"]\n\
             [dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"1s\"\n[limits]\nworkers = 1\n"
        );
        std::fs::write(&path, text).expect("it can be written");
        path
    }
}

/// `wasmill VERB PIPELINE ARGUMENTS... --json`, which must end with this code.
fn json(verb: &[&str], pipeline: &Path, arguments: &[&str], wanted: i32) -> Value {
    let output = wasmill(verb, pipeline, &[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(wanted), "{verb:?} {arguments:?}: {}", stderr(&output));
    let text = stdout(&output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn wasmill(verb: &[&str], pipeline: &Path, arguments: &[&str]) -> Output {
    let pipeline = pipeline.to_string_lossy();
    run(&[verb, &[&*pipeline], arguments].concat())
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number {pointer} in {value:#}"))
}

const MISSING: [&str; 3] = ["--dead-letters", "--where", "reason=missing-field"];

#[test]
fn letters_are_replayed_once_and_count_as_what_they_became() {
    let pipeline = Pipeline::new();
    let (strict, lenient) = (pipeline.write("strict", "int!", 6_000), pipeline.write("lenient", "int", 6_000));
    json(&["run"], &strict, &[], 0);
    let before = json(&["verify"], &strict, &["--deep"], 0);
    let letters = json(&["dead-letters", "list"], &strict, &[], 0);
    let by_reason = letters["by_reason"].as_array().expect("a list");
    let missing = by_reason.iter().find(|kind| kind["reason"] == "missing-field").expect("some have no user");
    let (all, missing) = (number(&letters, "/count"), number(missing, "/count"));
    assert_eq!(number(&before, "/total/rows/dead_lettered"), all);

    // The same deployment would bring nothing; another one would. Trying changes nothing.
    let tried = json(&["replay"], &strict, &MISSING, 0);
    assert_eq!((number(&tried, "/total/written"), number(&tried, "/total/again/missing-field")), (0, missing));
    let tried = json(&["replay"], &lenient, &[&MISSING[..], &["--dry-run"]].concat(), 0);
    let written = number(&tried, "/total/written");
    assert!(tried["done"] == false && written > 0 && number(&tried, "/total/replayed") == missing, "{tried:#}");
    assert_eq!(json(&["verify"], &strict, &[], 0)["total"], before["total"]);
    let refused = wasmill(&["replay"], &lenient, &[&MISSING[..], &["--yes"]].concat());
    assert!(refused.status.code() == Some(2) && stderr(&refused).contains("--why"), "{}", stderr(&refused));

    let sent = [&MISSING[..], &["--why", "users are optional now", "--yes"]].concat();
    let done = json(&["replay"], &lenient, &sent, 0);
    assert_eq!((&done["done"], number(&done, "/total/written")), (&Value::Bool(true), written));
    let again = missing - written;
    assert_eq!((number(&done, "/total/replayed"), number(&done, "/total/dead_lettered")), (missing, again));
    let after = json(&["verify"], &strict, &["--deep"], 0);
    let rows =
        |name: &str| (number(&before, &format!("/total/rows/{name}")), number(&after, &format!("/total/rows/{name}")));
    assert_eq!(number(&after, "/total/replayed"), missing);
    assert_eq!(rows("messages").0, rows("messages").1);
    assert_eq!((rows("written").1, rows("dead_lettered").1), (rows("written").0 + written, all - written));
    assert!(after["notes"].as_array().expect("notes").iter().any(|note| note["code"] == "letters-replayed"));
    let table = json(&["table", "ls"], &strict, &[], 0);
    assert_eq!(number(&table, "/total/rows"), rows("written").1, "readers see them, each once");

    // A second time there is nothing to do.
    let nothing = json(&["replay"], &lenient, &[&sent[..], &["--where", "until=2000-01-01"]].concat(), 0);
    assert_eq!(number(&nothing, "/total/replayed"), 0);
    let twice = json(&["replay"], &lenient, &sent, 0);
    assert_eq!((number(&twice, "/total/written"), number(&twice, "/total/replayed")), (0, again));
    let left = json(&["dead-letters", "list"], &strict, &[], 0);
    assert_eq!((number(&left, "/count"), number(&left, "/replayed")), (all - written, missing + again));
    let listed = json(&["dead-letters", "list"], &strict, &["--all", "--limit", "100000"], 0);
    assert_eq!(number(&listed, "/count"), all + 2 * again);
    let line = listed["latest"].as_array().expect("a list").iter().find(|line| line["replayed"] == true);
    let line = line.expect("one that was replayed");
    let message =
        format!("{}/{}@{}", line["topic"].as_str().expect("a topic"), line["topic_partition"], line["offset"]);
    let shown = json(&["dead-letters", "show"], &strict, &[&message], 0);
    assert_eq!(shown["letters"][0]["replayed"], true);
    // The host goes on behind it.
    let strict = pipeline.write("strict", "int!", 8_000);
    assert_eq!(number(&json(&["run"], &strict, &[], 0), "/read"), 2_000);
    assert_eq!(number(&json(&["verify"], &strict, &["--deep"], 0), "/total/rows/messages"), 8_000);
}

#[test]
fn a_limit_and_a_topic_partition_bound_what_is_replayed() {
    let pipeline = Pipeline::new();
    let (strict, lenient) = (pipeline.write("strict", "int!", 4_000), pipeline.write("lenient", "int", 4_000));
    json(&["run"], &strict, &[], 0);
    let conditions = ["--where", "topic_partition=listen_events/1", "--limit", "7", "--why", "a few first", "--yes"];
    let sent = [&MISSING[..], &conditions].concat();
    let done = json(&["replay"], &lenient, &sent, 0);
    assert_eq!(number(&done, "/total/replayed"), 7);
    let parts = done["topic_partitions"].as_array().expect("a list");
    assert!(parts.len() == 1 && parts[0]["topic_partition"] == 1, "{done:#}");
    assert_eq!(number(&json(&["replay"], &lenient, &sent, 0), "/total/replayed"), 7);
    assert_eq!(number(&json(&["verify"], &strict, &["--deep"], 0), "/total/replayed"), 14);
}

#[test]
fn a_host_goes_on_beside_a_replay() {
    let pipeline = Pipeline::new();
    let (strict, lenient) = (pipeline.write("strict", "int!", 300_000), pipeline.write("lenient", "int", 300_000));
    let mut command = binary::command();
    command.arg("run").arg(&strict).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut host = command.spawn().expect("the host can be started");
    let (mut replayed, mut beside) = (0, 0);
    while host.try_wait().expect("the host can be asked").is_none() {
        let done = wasmill(&["replay"], &lenient, &[&MISSING[..], &["--why", "beside", "--yes", "--json"]].concat());
        let told = stderr(&done);
        assert!(done.status.success(), "{told}");
        let done: Value = serde_json::from_str(&stdout(&done)).expect("JSON");
        replayed += number(&done, "/total/replayed");
        beside += 1;
        let report = json(&["verify"], &strict, &[], 0);
        assert_eq!(number(&report, "/total/replayed"), replayed);
    }
    let output = host.wait_with_output().expect("the host ends");
    assert!(output.status.success(), "{}", stderr(&output));
    replayed += number(
        &json(&["replay"], &lenient, &[&MISSING[..], &["--why", "after", "--yes"]].concat(), 0),
        "/total/replayed",
    );
    let report = json(&["verify"], &strict, &["--deep"], 0);
    assert_eq!((number(&report, "/total/rows/messages"), number(&report, "/total/replayed")), (300_000, replayed));
    assert!(replayed > 100 && beside > 1, "{replayed} replayed, {beside} times beside the host");
}

#[test]
fn what_one_deployment_rejects_another_takes() {
    let job = Job::of_lines(&[]);
    let event =
        |n: usize, duration: f64| format!(r#"{{"n":{n},"auth":"Guest","duration":{duration},"ts":1700000000000}}"#);
    let lines: Vec<String> = [10.0, 60.0, -1.0, 70.0].into_iter().enumerate().map(|(n, d)| event(n, d)).collect();
    std::fs::write(job.path("events.jsonl"), lines.join("\n")).expect("the events can be written");
    job.push("validate-events");
    job.done(&["deploy"], &["validate-events", "--set", "validate-events.max_seconds=50"]);
    assert_eq!(job.catch_up()["written"], 1);
    let replay = |arguments: &[&str]| job.json(&["replay"], &[&["--dead-letters"], arguments].concat());
    assert_eq!(replay(&[])["total"]["again"]["duration-out-of-range"], 3);
    job.done(&["deploy"], &["validate-events", "--set", "validate-events.max_seconds=100"]);
    let done = replay(&["--where", "transform=validate-events", "--why", "longer plays are fine", "--yes"]);
    assert_eq!((number(&done, "/deployment"), number(&done, "/total/written")), (2, 2));
    assert_eq!(number(&done, "/total/dead_lettered"), 1);
    let text = job.done(&["replay"], &["--dead-letters", "--where", "stage=decode"]);
    assert!(text.contains("no dead letters that match are left"), "{text}");
    assert!(job.refused(&["replay"], &["--dead-letters", "--where", "colour=red"]).contains("no \"colour\""));
    let report = job.json(&["verify"], &["--deep"]);
    let deployments = report["deployments"].as_array().expect("a list");
    let written: Vec<u64> = deployments.iter().map(|of| number(of, "/rows/written")).collect();
    assert_eq!((written, number(&report, "/total/rows/dead_lettered")), (vec![1, 2], 1));
}

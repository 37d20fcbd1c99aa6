//! Being wrong loudly, on a real broker: whatever stops a topic partition says what was found, where, and what to do; the
//! other topic partitions go on; nothing is skipped silently.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{self, run, stderr};
use crate::kafka::broker;
use crate::servers;

/// One topic, and a table on local disk.
struct Job {
    topic: String,
    directory: tempfile::TempDir,
}

impl Job {
    fn new(name: &str, topic_partitions: i32) -> Self {
        let topic = broker::topic(name, topic_partitions, &[]);
        let job = Self { topic, directory: tempfile::tempdir().expect("a directory") };
        job.write_pipeline("pipeline.toml", &job.topic, "checkpoints", "");
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A pipeline that reads the topic into the one table.
    fn write_pipeline(&self, file: &str, pipeline: &str, checkpoints: &str, in_source: &str) {
        let (topic, brokers, base) = (&self.topic, servers::kafka(), self.directory.path().display());
        let text = format!(
            "[pipeline]\nname = \"{pipeline}\"\n\
             [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\n{in_source}\n\
             [source.kafka.options]\n\"session.timeout.ms\" = \"6000\"\n\"topic.metadata.refresh.interval.ms\" = \"1000\"\n\
             [schema]\nn = \"long!\"\n\
             [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"n\", unit = \"ms\" }}\npartition_by = [\"day\"]\n\
             [dead_letters]\nlocation = \"{base}/dead_letters\"\n\
             [checkpoint]\nlocation = \"{base}/{checkpoints}\"\ninterval = \"1s\"\n"
        );
        std::fs::write(self.path(file), text).expect("the pipeline file can be written");
    }

    fn run(&self, file: &str, flags: &[&str]) -> Output {
        let path = self.path(file);
        let mut arguments = vec!["run", path.to_str().expect("a path"), "--until", "caught-up", "--json"];
        arguments.extend(flags);
        run(&arguments)
    }

    /// A run that succeeds; its summary.
    fn catch_up(&self, file: &str) -> Value {
        let output = self.run(file, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        summary(&output)
    }

    /// Starts a host that runs until it is told to end.
    fn host(&self) -> Child {
        let log = std::fs::File::create(self.path("host.log")).expect("a log file");
        let mut command = binary::command();
        command.arg("run").arg(self.path("pipeline.toml")).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("the host can be started")
    }

    fn wait_for(&self, text: &str) {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let log = std::fs::read_to_string(self.path("host.log")).unwrap_or_default();
            if log.contains(text) {
                return;
            }
            assert!(Instant::now() < patience, "the host did not log `{text}`:\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// All records of a topic partition, in order.
    fn records(&self, topic_partition: i32) -> Vec<(PathBuf, Value)> {
        let directory = self.path("checkpoints").join(&self.topic).join(topic_partition.to_string());
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory)
            .expect("the chain's directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        let read = |path: PathBuf| {
            let record = serde_json::from_slice(&std::fs::read(&path).expect("a record")).expect("a record is JSON");
            (path, record)
        };
        paths.into_iter().map(read).collect()
    }
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

/// What the summary says of the topic partitions that stopped.
fn stopped(summary: &Value) -> Vec<(i64, String)> {
    let all = summary["stopped"].as_array().expect("a list").iter();
    all.map(|one| (one["topic_partition"].as_i64().expect("a number"), one["error"].to_string())).collect()
}

/// Ends a host by SIGTERM; its exit code.
fn end(mut host: Child) -> Option<i32> {
    let sent = std::process::Command::new("kill").args(["-TERM", &host.id().to_string()]).status();
    assert!(sent.expect("kill can be started").success());
    host.wait().expect("the host ends").code()
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a record");
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).expect("the record can be written");
}

/// Two topic partitions, read to the end; then something happens to topic partition 0, and both get more.
fn one_of_two_stops(name: &str, happens: impl FnOnce(&Job), told: &[&str]) {
    let job = Job::new(name, 2);
    (0..2).for_each(|partition| broker::produce(&job.topic, partition, 0..10));
    assert_eq!(job.catch_up("pipeline.toml")["written"], 20);
    (0..2).for_each(|partition| broker::produce(&job.topic, partition, 10..15));
    happens(&job);
    let output = job.run("pipeline.toml", &[]);
    assert!(output.status.success(), "the other one went on, and nobody asked for more: {}", stderr(&output));
    let summary = summary(&output);
    assert_eq!(summary["written"], 5, "topic partition 1 goes on");
    let stopped = stopped(&summary);
    assert_eq!(stopped.len(), 1, "{stopped:?}");
    assert_eq!(stopped[0].0, 0);
    for text in told {
        assert!(stopped[0].1.contains(text), "`{text}` is not in {}", stopped[0].1);
    }
    let asked = job.run("pipeline.toml", &["--fail-if-stopped"]);
    assert_eq!(asked.status.code(), Some(1), "{}", stderr(&asked));
}

#[test]
fn expired_messages_stop_their_topic_partition() {
    let expire = |job: &Job| broker::expire(&job.topic, 0, 12);
    one_of_two_stops("stop-expired", expire, &["offsets 10 to 11 of", "2 offsets", "on_data_loss"]);
}

#[test]
fn a_record_that_cannot_be_read_stops_its_topic_partition() {
    let damage = |job: &Job| {
        let (path, _) = job.records(0).pop().expect("a record");
        std::fs::write(path, b"{\"format\": 1, ").expect("the record can be written");
    };
    one_of_two_stops("stop-damaged", damage, &["cannot use the newest record", "00001.json", "restore the file"]);
}

#[test]
fn a_record_of_a_later_format_stops_its_topic_partition() {
    let later = |job: &Job| edit(&job.records(0).pop().expect("a record").0, "\"format\": 1", "\"format\": 9");
    one_of_two_stops("stop-later", later, &["it has format 9", "run the version of wasmill that wrote it"]);
}

#[test]
fn a_lost_file_stops_its_topic_partition() {
    let lose = |job: &Job| {
        let (path, record) = job.records(0).pop().expect("a record");
        let mark = path.with_extension(format!("{}.published", record["id"].as_str().expect("an id")));
        std::fs::remove_file(mark).expect("the mark of the last record");
        std::fs::remove_file(record["files"][0]["target"].as_str().expect("a path")).expect("the file");
    };
    one_of_two_stops("stop-lost", lose, &["neither", "part-stop-lost", "_staging", "restore the file"]);
}

#[test]
fn a_run_in_which_nothing_goes_on_fails() {
    let job = Job::new("stop-all", 1);
    broker::produce(&job.topic, 0, 0..10);
    broker::expire(&job.topic, 0, 4);
    // Nothing was lost yet: `earliest` is what Kafka still has.
    assert_eq!(job.catch_up("pipeline.toml")["written"], 6);
    broker::produce(&job.topic, 0, 10..20);
    broker::expire(&job.topic, 0, 15);
    assert_eq!(job.run("pipeline.toml", &[]).status.code(), Some(1));
}

#[test]
fn a_gap_is_recorded_where_the_user_wants_it() {
    let job = Job::new("stop-gap", 1);
    job.write_pipeline("pipeline.toml", "gap", "checkpoints", "on_data_loss = \"record\"");
    broker::produce(&job.topic, 0, 0..10);
    assert_eq!(job.catch_up("pipeline.toml")["written"], 10);
    assert!(job.records(0).iter().all(|(_, record)| record["format"] == 1), "hosts before this one can read them");
    broker::produce(&job.topic, 0, 10..20);
    broker::expire(&job.topic, 0, 15);
    let summary = job.catch_up("pipeline.toml");
    assert_eq!((&summary["written"], &summary["stopped"]), (&Value::from(5), &Value::Array(vec![])));
    let records = job.records(0);
    let gaps: Vec<_> = records.iter().map(|(_, record)| record).filter(|record| record["kind"] == "gap").collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!((&gaps[0]["start"], &gaps[0]["next"], &gaps[0]["format"]), (&10.into(), &15.into(), &2.into()));
    assert_eq!(records.last().expect("a record").1["format"], 1, "only the gap needs the new format");
}

#[test]
fn a_topic_that_was_made_anew_is_not_mixed_with_the_old_one() {
    let job = Job::new("stop-anew", 1);
    broker::produce(&job.topic, 0, 0..10);
    assert_eq!(job.catch_up("pipeline.toml")["written"], 10);
    broker::delete_topic(&job.topic);
    broker::make_again(&job.topic, 1);
    broker::produce(&job.topic, 0, 100..120);
    let output = job.run("pipeline.toml", &[]);
    assert_eq!(output.status.code(), Some(1), "no topic partition is left");
    let stopped = stopped(&summary(&output));
    assert!(stopped[0].1.contains("deleted and created anew"), "{stopped:?}");
}

/// The new topic has messages at the very offsets that the host is about to read.
#[test]
fn a_topic_that_is_made_anew_under_a_running_host_is_not_mixed_either() {
    let job = Job::new("stop-anew-live", 1);
    broker::produce(&job.topic, 0, 0..10);
    let host = job.host();
    job.wait_for("begins");
    let patience = Instant::now() + Duration::from_secs(30);
    while !job.records(0).iter().any(|(_, record)| record["next"] == 10) {
        assert!(Instant::now() < patience, "the first ten are committed");
        std::thread::sleep(Duration::from_millis(100));
    }
    broker::delete_topic(&job.topic);
    broker::make_again(&job.topic, 1);
    broker::produce(&job.topic, 0, 100..150);
    std::thread::sleep(Duration::from_secs(10));
    // 1 where the topic partition stopped, 0 where the group took it away before.
    assert!(matches!(end(host), Some(0 | 1)), "SIGTERM is an end in good order");
    let log = std::fs::read_to_string(job.path("host.log")).expect("a log");
    let beyond: Vec<_> = job.records(0).into_iter().filter(|(_, record)| record["next"].as_i64() > Some(10)).collect();
    assert!(beyond.is_empty(), "offsets of the new topic stand in the old one's chain: {beyond:?}\n{log}");
    assert!(log.contains("ERROR") || log.contains("revoked"), "it is told: {log}");
}

#[test]
fn topic_partitions_that_are_added_are_read() {
    let job = Job::new("stop-added", 1);
    broker::produce(&job.topic, 0, 0..10);
    let host = job.host();
    job.wait_for("begins");
    broker::add_topic_partitions(&job.topic, 3);
    (1..3).for_each(|partition| broker::produce(&job.topic, partition, 0..10));
    let patience = Instant::now() + Duration::from_secs(60);
    let read = |partition: i32| {
        let chain = job.path("checkpoints").join(&job.topic).join(partition.to_string());
        chain.is_dir() && job.records(partition).iter().any(|(_, record)| record["next"] == 10)
    };
    while !(0..3).all(read) {
        assert!(Instant::now() < patience, "{}", std::fs::read_to_string(job.path("host.log")).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
}

#[test]
fn a_table_has_one_owner() {
    let job = Job::new("stop-owner", 1);
    broker::produce(&job.topic, 0, 0..10);
    assert_eq!(job.catch_up("pipeline.toml")["written"], 10);
    // Another pipeline on the same table; the same pipeline with empty checkpoints; another one on the same checkpoints.
    job.write_pipeline("other.toml", "other", "other-checkpoints", "");
    job.write_pipeline("anew.toml", &job.topic, "new-checkpoints", "");
    job.write_pipeline("renamed.toml", "renamed", "checkpoints", "");
    for file in ["other.toml", "anew.toml", "renamed.toml"] {
        for verb in ["run", "check"] {
            let output = run(&[verb, job.path(file).to_str().expect("a path")]);
            let told = format!("{}{}", stderr(&output), binary::stdout(&output));
            assert_eq!(output.status.code(), Some(2), "{verb} {file}: {told}");
            assert!(told.contains("belongs to pipeline"), "{verb} {file}: {told}");
        }
    }
    // Without the owner's note the checkpoints themselves still know whose they are.
    std::fs::remove_file(job.path("table/_owner.json")).expect("the note");
    std::fs::remove_file(job.path("dead_letters/_owner.json")).expect("the note");
    let output = job.run("renamed.toml", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stopped(&summary(&output))[0].1.contains("belong to pipeline"), "{}", stderr(&output));
}

//! What dead letters show of an event, and for how long they are kept.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer as _};

use crate::deployments::{Job, end};
use crate::kafka::broker;
use crate::servers;

const PATIENCE: Duration = Duration::from_secs(60);

/// A job on a topic of its own that holds `messages`.
fn job(name: &str, dead_letters: &str, messages: &[&str]) -> Job {
    let topic = broker::topic(name, 1, &[]);
    let brokers = servers::kafka();
    let job =
        Job::new(&format!("[source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\""));
    let pipeline = job.path("pipeline.toml");
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline file");
    std::fs::write(&pipeline, text.replace("[dead_letters]\n", &format!("[dead_letters]\n{dead_letters}\n")))
        .expect("the pipeline file");
    let producer = broker::producer(&[]);
    for payload in messages {
        let record = BaseRecord::to(&topic).partition(0).key("the key").payload(*payload);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
    }
    producer.flush(broker::WAIT).expect("the broker takes the messages");
    job.push("keep-plays");
    job.done(&["deploy"], &["keep-plays", "--sample", "0"]);
    job
}

/// The files of dead letters.
fn files(job: &Job) -> Vec<PathBuf> {
    let days = std::fs::read_dir(job.path("dead_letters")).into_iter().flatten();
    let inside = days.flat_map(|day| std::fs::read_dir(day.expect("an entry").path()).into_iter().flatten());
    let paths = inside.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

#[test]
fn what_is_redacted_stands_nowhere_and_is_not_replayed() {
    let job =
        job("redacted", "redact = [\"payload\", \"key\", \"message\"]", &[r#"{"n":"planted-31415"}"#, "planted-31415"]);
    assert_eq!(job.catch_up()["dead_lettered"], 2);
    for file in files(&job) {
        let bytes = std::fs::read(&file).expect("a file");
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds("planted-31415") && !holds("the key") && holds("(redacted)"), "{}", file.display());
    }
    let list = job.json(&["dead-letters", "list"], &[]);
    let reasons: Vec<_> = list["by_reason"].as_array().expect("a list").iter().map(|of| of["reason"].clone()).collect();
    assert!(reasons.contains(&"wrong-type".into()) && reasons.contains(&"not-json".into()), "{list}");
    let tried = job.json(&["replay"], &["--dead-letters"]);
    assert_eq!(
        (&tried["total"]["replayed"], &tried["total"]["left_alone"]["no_payload"]),
        (&0.into(), &2.into()),
        "{tried}"
    );
}

#[test]
fn what_has_expired_is_removed_and_not_missed() {
    let job = job("expiring", "retention = \"1d\"", &["not JSON"]);
    assert_eq!(job.catch_up()["dead_lettered"], 1);
    let [young] = &files(&job)[..] else { panic!("one file") };
    // As if it had been written long ago; and a file of somebody else.
    let old = job.path("dead_letters").join("day=2020-01-01");
    std::fs::create_dir_all(&old).expect("a directory");
    let old_file = old.join(young.file_name().expect("a name"));
    std::fs::copy(young, &old_file).expect("a copy");
    std::fs::write(old.join("notes.txt"), "mine").expect("a file");
    let host = job.host("a.log");
    let begun = Instant::now();
    while old_file.exists() {
        let log = || std::fs::read_to_string(job.path("a.log")).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "it is still there:\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(end(host), Some(0));
    assert!(young.exists() && old.join("notes.txt").exists(), "nothing else goes");
    job.done(&["verify"], &["--foreign-files"]);
}

//! Where reading begins, and where it ends.

use rdkafka::producer::Producer;
use wasmill::config::{KafkaConfig, OnDataLoss, StartPosition};
use wasmill::error::ErrorKind;
use wasmill::source::{Source, SourceEvent, TopicPartition};

use super::broker::{self, WAIT, config, produce, send, topic, transactional};
use super::member::{Member, open, tokio_runtime, until};

/// The first positions of a topic with two topic partitions.
fn first(topic: &str, start: StartPosition) -> wasmill::error::Result<Vec<i64>> {
    let tokio = tokio_runtime();
    let mut source = open(&config(&[topic], start, &[]), &tokio)?;
    source.first_positions(&both(topic))
}

fn both(topic: &str) -> [TopicPartition; 2] {
    [TopicPartition::new(topic, 0), TopicPartition::new(topic, 1)]
}

#[test]
fn earliest_is_the_first_offset_that_kafka_still_has() {
    let topic = topic("earliest", 2, &[]);
    produce(&topic, 0, 0..10);
    broker::expire(&topic, 0, 4);
    assert_eq!(first(&topic, StartPosition::Earliest).unwrap(), [4, 0]);
}

#[test]
fn latest_and_the_end_are_the_last_stable_offset() {
    let topic = topic("latest", 2, &[]);
    let producer = transactional();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, 0..5);
    producer.commit_transaction(WAIT).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, 5..8);
    producer.flush(WAIT).unwrap();

    // Five messages and the marker of their commit; what is open does not count.
    assert_eq!(first(&topic, StartPosition::Latest).unwrap(), [6, 0]);
    let tokio = tokio_runtime();
    let mut source = open(&config(&[&topic], StartPosition::Latest, &[]), &tokio).unwrap();
    assert_eq!(source.ends(&both(&topic)).unwrap(), [Some(6), Some(0)]);
    producer.abort_transaction(WAIT).unwrap();
    // The broker writes the marker after it has answered.
    let started = std::time::Instant::now();
    while source.ends(&both(&topic)).unwrap() != [Some(10), Some(0)] {
        assert!(started.elapsed() < WAIT, "the end does not move");
    }
}

#[test]
fn a_time_is_its_first_message_or_the_end() {
    let topic = topic("times", 2, &[]);
    for (number, timestamp) in [(0, 1_700_000_000_000), (1, 1_700_000_000_500), (2, 1_700_000_001_000)] {
        broker::produce_one(&topic, Some(number.to_string().as_bytes()), None, timestamp);
    }
    assert_eq!(first(&topic, StartPosition::Timestamp(1_700_000_000_001)).unwrap(), [1, 0]);
    assert_eq!(first(&topic, StartPosition::Timestamp(1_700_000_000_500)).unwrap(), [1, 0]);
    assert_eq!(first(&topic, StartPosition::Timestamp(1_800_000_000_000)).unwrap(), [3, 0]);
    assert_eq!(first(&topic, StartPosition::Timestamp(0)).unwrap(), [0, 0]);
}

#[test]
fn the_group_starts_where_it_committed_and_nowhere_else() {
    let topic = topic("group-start", 2, &[]);
    produce(&topic, 0, 0..10);
    let config = config(&[&topic], StartPosition::Group, &[]);
    let mut reads_from_the_start = config.clone();
    reads_from_the_start.start = StartPosition::Earliest;
    let mut member = Member::alone(&reads_from_the_start);
    until("ten messages", &mut [&mut member], |members| members[0].read.len() == 10 && members[0].is_settled());
    let all = both(&topic);
    member.source.acknowledge(&[(all[0].clone(), 7)]).unwrap();
    // The commit above goes first on the same connection.
    until("an answer", &mut [&mut member], |_| true);
    assert_eq!(member.source.still_assigned(&all[1], 0), Some(true));
    member.leave();

    let tokio = tokio_runtime();
    let mut source = open(&config, &tokio).unwrap();
    assert_eq!(source.first_positions(&all).unwrap(), [7, 0]);
    drop(source);

    let mut other = config;
    other.group = crate::servers::unique("group");
    let mut source = open(&other, &tokio).unwrap();
    let error = source.first_positions(&all[1..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(&format!("{topic}/1")) && error.to_string().contains(&other.group), "{error}");
}

#[test]
fn a_spark_checkpoint_goes_on_after_its_last_committed_batch() {
    let topic = topic("spark", 2, &[]);
    produce(&topic, 1, 0..3);
    broker::expire(&topic, 1, 2);
    let checkpoint = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = checkpoint.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let location = || StartPosition::SparkCheckpoint(checkpoint.path().to_str().unwrap().to_owned());
    assert!(first(&topic, location()).unwrap_err().to_string().contains("is no checkpoint of Spark"));

    let offsets = |offset: i64| format!("v1\n{{\"batchWatermarkMs\":0}}\n{{\"{topic}\":{{\"0\":{offset}}}}}");
    for (batch, offset) in [(8, 80), (9, 90), (10, 100)] {
        write(&format!("offsets/{batch}"), &offsets(offset));
        write(&format!("offsets/.{batch}.crc"), "x");
    }
    assert!(first(&topic, location()).unwrap_err().to_string().contains("no batch was committed"));

    write("commits/8", "v1\n{\"nextBatchWatermarkMs\":0}");
    write("commits/9", "v1\n{\"nextBatchWatermarkMs\":0}");
    // Batch 10 was begun and not committed; topic partition 1 is unknown to the query.
    assert_eq!(first(&topic, location()).unwrap(), [90, 2]);
}

#[test]
fn a_topic_that_does_not_exist_or_a_broker_that_does_not_answer_is_told_at_once() {
    let tokio = tokio_runtime();
    let missing = config(&["no-such-topic-of-wasmill"], StartPosition::Earliest, &[]);
    let error = open(&missing, &tokio).err().expect("there is no such topic");
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().contains("no-such-topic-of-wasmill"), "{error}");
    assert!(error.what_to_do().is_some_and(|hint| hint.contains("topics")), "{error:?}");

    let mut wrong = missing.clone();
    wrong.options = [("fetch.wait.max.ms", "often")].into_iter().collect();
    let error = open(&wrong, &tokio).err().expect("that is no number");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("fetch.wait.max.ms"), "{error}");

    let mut nowhere = missing;
    nowhere.brokers = "localhost:1".to_owned();
    let error = open(&nowhere, &tokio).err().expect("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("localhost:1") && error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_topic_made_anew_has_another_identity() {
    let topic = topic("identity", 1, &[]);
    let tokio = tokio_runtime();
    let config = config(&[&topic], StartPosition::Earliest, &[]);
    let identity = || {
        let mut source: Box<dyn Source> = open(&config, &tokio).unwrap();
        source.identity(&TopicPartition::new(topic.as_str(), 0)).unwrap()
    };
    let before = identity();
    assert_eq!(before.len(), 22, "a topic id in base64: {before}");
    assert_eq!(identity(), before);
    broker::delete_topic(&topic);
    broker::make_again(&topic, 1);
    assert_ne!(identity(), before);
}

#[test]
fn lost_positions_stop_the_topic_partition() {
    let topic = topic("expired", 1, &[]);
    produce(&topic, 0, 0..10);
    broker::expire(&topic, 0, 5);
    let mut member = Member::alone(&config(&[&topic], StartPosition::Latest, &[]));
    until("the assignment", &mut [&mut member], |members| members[0].owned().len() == 1);
    assert!(matches!(&member.events[..], [SourceEvent::Assigned(_)]));
    let expected = [
        (2, format!("offsets 2 to 4 of {topic}/0 have expired"), "on_data_loss"),
        (11, format!("offset 11 of {topic}/0 lies beyond its end, 10"), "wasmill offsets set"),
    ];
    for (offset, message, hint) in expected {
        let error = member.after_loss_at(&TopicPartition::new(topic.as_str(), 0), offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert!(error.to_string().contains(&message), "{error}");
        assert!(error.what_to_do().is_some_and(|text| text.contains(hint)));
    }
}

#[test]
fn a_user_may_want_lost_positions_recorded() {
    let topic = topic("expired-recorded", 1, &[]);
    produce(&topic, 0, 0..10);
    broker::expire(&topic, 0, 5);
    let config = KafkaConfig { on_data_loss: OnDataLoss::Record, ..config(&[&topic], StartPosition::Latest, &[]) };
    let mut member = Member::alone(&config);
    until("the assignment", &mut [&mut member], |members| members[0].owned().len() == 1);
    let topic_partition = TopicPartition::new(topic.as_str(), 0);
    assert_eq!(member.after_loss_at(&topic_partition, 2).unwrap(), 5);
    let error = member.after_loss_at(&topic_partition, 11).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "what lies beyond the end is no gap: {error}");
}

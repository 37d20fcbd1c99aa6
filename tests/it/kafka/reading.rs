//! What a reader hands out.

use std::sync::atomic::Ordering;

use rdkafka::producer::Producer;
use wasmill::config::StartPosition;
use wasmill::source::{Read, SourceEvent, TopicPartition, Wake};

use super::broker::{self, WAIT, config, produce, producer, send, topic, transactional};
use super::member::{Member, open, tokio_runtime, until};
use crate::servers::kafka_sasl_ssl;

/// Reads all of a topic with one topic partition.
fn read_all(topic: &str, options: &[(&str, &str)]) -> Member {
    let mut member = Member::alone(&config(&[topic], StartPosition::Earliest, options));
    until("the end", &mut [&mut member], |members| members[0].end(0).is_some());
    member
}

#[test]
fn a_message_keeps_its_parts() {
    let topic = topic("parts", 1, &[]);
    broker::produce_one(&topic, Some(b"{}"), Some(b"key"), 1_700_000_000_000);
    broker::produce_one(&topic, None, None, 1_700_000_000_001);
    broker::produce_one(&topic, Some(b""), Some(b""), 1_700_000_000_002);
    let tokio = tokio_runtime();
    let mut source = open(&config(&[&topic], StartPosition::Earliest, &[]), &tokio).unwrap();
    let assigned = loop {
        if let Some(SourceEvent::Assigned(all)) = source.poll(WAIT).unwrap() {
            break all;
        }
    };
    let wake: Wake = std::sync::Arc::new(|| {});
    let mut reader = source.begin(&[(assigned[0].clone(), 0)], &[wake]).unwrap().remove(0);
    let mut batches = Vec::new();
    while batches.len() < 3 {
        if let Read::Batch(batch) = reader.read(1).unwrap() {
            batches.push(batch.messages);
        }
        source.poll(std::time::Duration::from_millis(5)).unwrap();
    }
    // Messages outlive reader and source, on another thread.
    drop(reader);
    let closing = std::thread::spawn(move || drop(source));
    closing.join().unwrap();
    let check = std::thread::spawn(move || {
        let first = batches[0].get(0);
        assert_eq!((first.offset, first.timestamp_ms), (0, Some(1_700_000_000_000)));
        assert_eq!((first.key, first.payload), (Some(&b"key"[..]), Some(&b"{}"[..])));
        assert_eq!(batches[0].headers(0), [("trace".into(), Some(b"abc".to_vec())), ("none".into(), None)]);
        assert_eq!((batches[1].get(0).key, batches[1].get(0).payload), (None, None));
        assert_eq!((batches[2].get(0).key, batches[2].get(0).payload), (Some(&b""[..]), Some(&b""[..])));
    });
    check.join().unwrap();
}

#[test]
fn aborted_transactions_are_gaps_and_the_end_lies_after_their_markers() {
    let topic = topic("transactions", 1, &[]);
    let producer = transactional();
    for (numbers, commit) in [(0..10, true), (10..20, false), (20..25, true), (25..40, false)] {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, numbers);
        producer.flush(WAIT).unwrap();
        let ended = if commit { producer.commit_transaction(WAIT) } else { producer.abort_transaction(WAIT) };
        ended.unwrap();
    }
    let mut member = read_all(&topic, &[]);
    until("the last marker", &mut [&mut member], |members| members[0].end(0) == Some(44));
    // 10 messages, marker 10; 11..21 aborted, marker 21; 22..27, marker 27; 28..43 aborted, marker 43.
    let expected: Vec<i64> = (0..10).chain(22..27).collect();
    assert_eq!(member.offsets(0), expected);
    let topic_partition = TopicPartition::new(topic.as_str(), 0);
    assert_eq!(member.source.ends(&[topic_partition]).unwrap(), [Some(44)]);
}

#[test]
fn the_end_is_known_while_a_transaction_is_open() {
    let topic = topic("open-transaction", 1, &[]);
    produce(&topic, 0, 0..3);
    let producer = transactional();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, 3..5);
    producer.flush(WAIT).unwrap();
    let mut member = read_all(&topic, &[]);
    assert_eq!((member.end(0), member.offsets(0)), (Some(3), vec![0, 1, 2]));
    producer.commit_transaction(WAIT).unwrap();
    until("the rest", &mut [&mut member], |members| members[0].end(0) == Some(6));
    assert_eq!(member.offsets(0), [0, 1, 2, 3, 4]);
}

#[test]
fn the_worker_is_woken_when_messages_come() {
    let topic = topic("wake", 1, &[]);
    let mut member = read_all(&topic, &[]);
    for round in 0..5 {
        let before = member.woken.load(Ordering::SeqCst);
        produce(&topic, 0, [round]);
        let started = std::time::Instant::now();
        while member.woken.load(Ordering::SeqCst) == before {
            // Nothing is read meanwhile: the wake alone says that there is something.
            member.source.poll(std::time::Duration::from_millis(10)).unwrap();
            assert!(started.elapsed() < WAIT, "not woken in round {round}");
        }
        until("the message", &mut [&mut member], |members| {
            members[0].end(0) == Some(round + 1) && members[0].read.len() as i64 == round + 1
        });
    }
}

#[test]
fn compressed_topics() {
    for codec in ["zstd", "lz4", "snappy", "gzip"] {
        let topic = topic(codec, 1, &[("compression.type", codec)]);
        let producer = producer(&[("compression.codec", codec), ("linger.ms", "50")]);
        send(&producer, &topic, 0, 0..2000);
        producer.flush(WAIT).unwrap();
        let member = read_all(&topic, &[]);
        assert_eq!(member.read.len(), 2000, "{codec}");
        assert!(member.read.iter().all(|(_, offset, payload)| *payload == format!("{{\"n\":{offset}}}").into_bytes()));
    }
}

#[test]
fn tls_with_scram() {
    let topic = topic("sasl-ssl", 1, &[]);
    produce(&topic, 0, 0..10);
    let server = kafka_sasl_ssl();
    let options = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", &server.ca),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", &server.user),
        ("sasl.password", &server.password),
    ];
    let mut config = config(&[&topic], StartPosition::Earliest, &options);
    config.brokers = server.brokers.clone();
    let mut member = Member::alone(&config);
    until("ten messages", &mut [&mut member], |members| members[0].end(0) == Some(10));
    assert_eq!(member.read.len(), 10);

    let mut wrong = config.clone();
    wrong.options = options
        .map(|(name, value)| (name, if name == "sasl.password" { "guess" } else { value }))
        .into_iter()
        .collect();
    let error = open(&wrong, &tokio_runtime()).err().expect("the password is wrong");
    assert_eq!(error.kind(), wasmill::error::ErrorKind::Fatal);
    assert!(error.to_string().contains("uthentication"), "{error}");
    assert!(!format!("{error:?}").contains("guess"));
}

#[test]
fn reading_begins_again_at_another_offset() {
    for options in [&[][..], &[("group.protocol", "consumer")], &[("partition.assignment.strategy", "range")]] {
        let topic = topic("again", 2, &[]);
        for partition in 0..2 {
            produce(&topic, partition, 0..100);
        }
        let mut member = Member::alone(&config(&[&topic], StartPosition::Earliest, options));
        until("both ends", &mut [&mut member], |members| members[0].owned().len() == 2 && members[0].is_at_end());
        for offset in [40, 90, 100, 0] {
            member.read.clear();
            member.begin(&TopicPartition::new(topic.as_str(), 1), offset);
            until("the end again", &mut [&mut member], |members| members[0].is_at_end());
            assert_eq!(member.offsets(1), (offset..100).collect::<Vec<_>>(), "{options:?} from {offset}");
            assert_eq!(member.offsets(0), Vec::<i64>::new(), "{options:?}: the other one is not read again");
        }
        produce(&topic, 0, 100..110);
        until("news", &mut [&mut member], |members| members[0].end(0) == Some(110));
        assert_eq!(member.offsets(0), (100..110).collect::<Vec<_>>(), "{options:?}");
    }
}

#[test]
fn messages_come_in_large_batches_and_the_lag_is_known() {
    let topic = topic("batches", 1, &[]);
    let producer = producer(&[("linger.ms", "50")]);
    send(&producer, &topic, 0, 0..200_000);
    producer.flush(WAIT).unwrap();
    let started = std::time::Instant::now();
    let member = read_all(&topic, &[]);
    println!("{:.0} messages/s", 200_000.0 / started.elapsed().as_secs_f64());
    assert_eq!(member.offsets(0), (0..200_000).collect::<Vec<_>>());
    assert!(member.batches < 2000, "{} batches", member.batches);
    assert_eq!(member.source.lag(&TopicPartition::new(topic.as_str(), 0)), Some(0));
    assert_eq!(member.source.lag(&TopicPartition::new(topic.as_str(), 1)), None);
}

#[test]
fn a_deleted_topic_is_taken_away_or_an_error() {
    let topic = topic("deleted", 1, &[]);
    produce(&topic, 0, 0..10);
    let mut member = read_all(&topic, &[("topic.metadata.refresh.interval.ms", "500")]);
    broker::delete_topic(&topic);
    let failure = member.until_revoked_or_failed();
    if let Some(error) = failure {
        assert_eq!(error.kind(), wasmill::error::ErrorKind::Fatal);
        assert!(error.to_string().contains(&format!("{topic}/0")), "{error}");
    }
}

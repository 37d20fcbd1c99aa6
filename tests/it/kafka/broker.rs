//! Topics and producers on the broker under test.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use wasmill::config::{KafkaConfig, OnDataLoss, StartPosition};

use crate::servers::{kafka, unique};

pub(crate) const WAIT: Duration = Duration::from_secs(30);

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", kafka()).create().expect("an admin client")
}

/// Makes a topic of its own for a test.
pub(crate) fn topic(name: &str, topic_partitions: i32, options: &[(&str, &str)]) -> String {
    let name = unique(name);
    let mut topic = NewTopic::new(&name, topic_partitions, TopicReplication::Fixed(1));
    for (key, value) in options {
        topic = topic.set(key, value);
    }
    let made = block_on(admin().create_topics([&topic], &AdminOptions::new())).expect("the broker answers");
    made[0].as_ref().expect("the topic is made");
    until_known(&name);
    name
}

pub(crate) fn delete_topic(name: &str) {
    let deleted = block_on(admin().delete_topics(&[name], &AdminOptions::new())).expect("the broker answers");
    deleted[0].as_ref().expect("the topic is deleted");
}

/// The broker answers before its own metadata say so.
fn until_known(name: &str) {
    let started = std::time::Instant::now();
    loop {
        let metadata = admin().inner().fetch_metadata(Some(name), WAIT).expect("the broker answers");
        if metadata.topics().iter().all(|topic| topic.error().is_none() && !topic.partitions().is_empty()) {
            return;
        }
        assert!(started.elapsed() < WAIT, "{name} does not appear");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Adds topic partitions until there are `count`.
pub(crate) fn add_topic_partitions(topic: &str, count: usize) {
    let made = block_on(admin().create_partitions(&[NewPartitions::new(topic, count)], &AdminOptions::new()));
    made.expect("the broker answers")[0].as_ref().expect("topic partitions are added");
}

/// Forgets all messages before `offset`, as retention does.
pub(crate) fn expire(topic: &str, topic_partition: i32, offset: i64) {
    let mut until = rdkafka::TopicPartitionList::new();
    until.add_partition_offset(topic, topic_partition, rdkafka::Offset::Offset(offset)).expect("an offset");
    block_on(admin().delete_records(&until, &AdminOptions::new())).expect("the broker answers");
}

pub(crate) fn producer(options: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka()).set("linger.ms", "5").set("queue.buffering.max.messages", "1000000");
    for (name, value) in options {
        config.set(*name, *value);
    }
    config.create().expect("a producer")
}

/// A producer of transactions.
pub(crate) fn transactional() -> BaseProducer {
    let producer = producer(&[("transactional.id", &unique("transactions"))]);
    producer.init_transactions(WAIT).expect("transactions begin");
    producer
}

/// Queues messages with payloads `{"n":..}` for the numbers given.
pub(crate) fn send(producer: &BaseProducer, topic: &str, topic_partition: i32, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        let payload = format!("{{\"n\":{number}}}");
        let mut record = BaseRecord::<(), _>::to(topic).partition(topic_partition).payload(&payload);
        while let Err((error, again)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
}

/// Sends messages and waits for the broker.
pub(crate) fn produce(topic: &str, topic_partition: i32, numbers: impl IntoIterator<Item = i64>) {
    let producer = producer(&[]);
    send(&producer, topic, topic_partition, numbers);
    producer.flush(WAIT).expect("the broker takes the messages");
}

/// Sends one message with everything that a message may have.
pub(crate) fn produce_one(topic: &str, payload: Option<&[u8]>, key: Option<&[u8]>, timestamp_ms: i64) {
    let producer = producer(&[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("abc") })
        .insert(Header { key: "none", value: None::<&str> });
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).timestamp(timestamp_ms).headers(headers);
    record.payload = payload;
    record.key = key;
    producer.send(record).map_err(|(error, _)| error).expect("there is room");
    producer.flush(WAIT).expect("the broker takes the message");
}

/// A configuration with a group of its own.
pub(crate) fn config(topics: &[&str], start: StartPosition, options: &[(&str, &str)]) -> KafkaConfig {
    KafkaConfig {
        brokers: kafka(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        group: unique("group"),
        start,
        on_data_loss: OnDataLoss::Stop,
        options: options.iter().copied().collect(),
    }
}

/// Makes a topic that was deleted again, under the same name.
pub(crate) fn make_again(name: &str, topic_partitions: i32) {
    let topic = NewTopic::new(name, topic_partitions, TopicReplication::Fixed(1));
    let started = std::time::Instant::now();
    loop {
        let made = block_on(admin().create_topics([&topic], &AdminOptions::new())).expect("the broker answers");
        match &made[0] {
            Ok(_) => return until_known(name),
            // The broker deletes in the background.
            Err(error) => assert!(started.elapsed() < WAIT, "{error:?}"),
        }
    }
}

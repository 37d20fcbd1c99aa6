//! Sends simulated events to Kafka.
//!
//! The producer side of librdkafka, narrowed to what the simulator needs: topics made where they are missing, messages, and
//! transactions. Idempotent by default, so nothing comes twice or out of order within a topic partition. A message that
//! could not be delivered fails the run: a topic with silent gaps would be worse. It knows nothing of how events come about.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::kafka::set_tickets;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::eventsim::output::{self, Delivery, MessageOptions, Outgoing, OutputOptions, OutputSummary};
use crate::eventsim::{Framing, Topic};

/// How long the first broker may take to answer.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a broker may take to make a topic, and for one step of a transaction.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last messages may take.
const FLUSH_PATIENCE: Duration = Duration::from_secs(120);
/// Delivery reports are taken after so many messages.
const POLL_EVERY: u32 = 512;

/// Where to send, and how.
#[derive(Debug, Clone, Default)]
pub struct ProducerOptions {
    /// `host:port,host:port`.
    pub brokers: String,
    /// Another name for the topic; only where a single one is simulated.
    pub topic: Option<String>,
    /// Topic partitions of each topic: the topic is made with so many, or must have so many. `None`: as it is, or as
    /// the broker makes it.
    pub topic_partitions: Option<i32>,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: Option<String>,
    /// Any librdkafka setting; they win over all others.
    pub options: Settings,
    /// Keys and transactions.
    pub messages: MessageOptions,
    /// How events are framed; `None`: JSON as it is.
    pub framing: Option<Framing>,
}

/// Simulates events and sends them, until enough were sent, the stream ends or `stop` is set; returns when the brokers
/// have all of them.
pub fn produce(options: &OutputOptions, kafka: &ProducerOptions, stop: &AtomicBool) -> Result<OutputSummary> {
    options.simulator.check()?;
    if kafka.topic.is_some() && options.simulator.topics.len() != 1 {
        return Err(Error::config("several topics cannot have one name")
            .hint("simulate a single topic, or leave the topics their own names"));
    }
    if kafka.topic_partitions.is_some_and(|count| count < 1) {
        return Err(Error::config("a topic needs at least one topic partition"));
    }
    let start = Instant::now();
    let mut sender = KafkaSender::connect(options, kafka)?;
    let mut partitions = [0; 4];
    for &topic in &options.simulator.topics {
        partitions[topic as usize] = sender.ensure_topic(topic, kafka.topic_partitions)?;
    }
    let mut framed = Vec::new();
    let mut deliver = |delivery: Delivery<'_>| match (kafka.framing, delivery) {
        (Some(framing), Delivery::Send(outgoing @ Outgoing { topic, payload: Some(payload), .. })) => {
            framed.clear();
            framing.encode(topic, payload, &mut framed);
            sender.deliver(Delivery::Send(Outgoing { payload: Some(&framed), ..outgoing }))
        }
        (_, delivery) => sender.deliver(delivery),
    };
    let summary = output::to_topics(options, &kafka.messages, partitions, stop, &mut deliver);
    // What was sent is brought to its end also after a failure, within reason; the first error is the one to tell.
    let flushed = sender.flush();
    let mut summary = summary?;
    flushed?;
    summary.elapsed = start.elapsed();
    Ok(summary)
}

/// Keeps the first message that could not be delivered.
#[derive(Default)]
struct Failures {
    first: Mutex<Option<KafkaError>>,
}

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert_with(|| error.clone());
        }
    }
}

struct KafkaSender {
    brokers: String,
    config: ClientConfig,
    producer: BaseProducer<Failures>,
    /// Of each topic: its name in Kafka.
    names: [String; 4],
    unpolled: u32,
}

impl KafkaSender {
    fn connect(options: &OutputOptions, kafka: &ProducerOptions) -> Result<Self> {
        let config = client_config(options, kafka);
        let producer = BaseProducer::from_config_and_context(&config, Failures::default()).map_err(|error| {
            Error::config("the producer cannot be set up")
                .because(error)
                .hint("check the compression and the options against librdkafka's CONFIGURATION.md")
        })?;
        let names = Topic::ALL.map(|topic| kafka.topic.clone().unwrap_or_else(|| topic.name().to_owned()));
        let sender = Self { brokers: kafka.brokers.clone(), config, producer, names, unpolled: 0 };
        if sender.producer.client().fetch_cluster_id(FIRST_PATIENCE).is_none() {
            return Err(Error::fatal(format!("no broker answers at {}", kafka.brokers))
                .hint("check the address, that a broker runs there, and the security.*, sasl.* and ssl.* options"));
        }
        if kafka.messages.transactions.is_some() {
            sender.producer.init_transactions(PATIENCE).map_err(|error| {
                sender.failed("cannot begin with transactions", error).hint("transactions need a broker that has them")
            })?;
        }
        Ok(sender)
    }

    /// Makes the topic where it is missing. Returns how many topic partitions it has.
    fn ensure_topic(&mut self, topic: Topic, wanted: Option<i32>) -> Result<i32> {
        let name = &self.names[topic as usize];
        if let Some(wanted) = wanted {
            self.create_topic(name, wanted)?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Right after it was made, a broker may not know the topic yet.
            let metadata = self.producer.client().fetch_metadata(Some(name), PATIENCE);
            let metadata = metadata.map_err(|error| self.failed("no broker answers", error))?;
            let found = metadata.topics().iter().find(|known| known.name() == name);
            let count = found.filter(|found| found.error().is_none()).map_or(0, |found| found.partitions().len());
            match (i32::try_from(count).unwrap_or(i32::MAX), wanted) {
                (0, _) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
                (0, _) => {
                    return Err(Error::config(format!("topic \"{name}\" does not exist at {}", self.brokers))
                        .hint("make it, or say how many topic partitions it should have"));
                }
                (count, Some(wanted)) if count != wanted => {
                    return Err(Error::config(format!("topic \"{name}\" has {count} topic partitions, not {wanted}"))
                        .hint("leave the number away to take the topic as it is, or use another topic"));
                }
                (count, _) => return Ok(count),
            }
        }
    }

    fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            self.config.create().map_err(|error| self.failed("cannot set up", error))?;
        // -1: the broker's own default.
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Error::fatal("cannot set up a runtime").because(error))?;
        let made = runtime.block_on(admin.create_topics([&topic], &options));
        let made = made.map_err(|error| self.failed(&format!("cannot make topic \"{name}\""), error))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    let error = KafkaError::AdminOp(code);
                    return Err(self.failed(&format!("cannot make topic \"{name}\""), error));
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: Delivery<'_>) -> Result<()> {
        match delivery {
            Delivery::Send(message) => self.send(&message),
            Delivery::Idle => {
                self.producer.poll(Duration::ZERO);
                self.check()
            }
            Delivery::Begin => {
                self.producer.begin_transaction().map_err(|error| self.failed("cannot begin a transaction", error))
            }
            Delivery::Commit => {
                self.flush()?;
                let committed = self.producer.commit_transaction(PATIENCE);
                committed.map_err(|error| self.failed("cannot commit a transaction", error))
            }
            Delivery::Abort => {
                // Sent first, so that what is aborted really lies in the log.
                self.flush()?;
                let aborted = self.producer.abort_transaction(PATIENCE);
                aborted.map_err(|error| self.failed("cannot abort a transaction", error))
            }
        }
    }

    fn send(&mut self, message: &Outgoing<'_>) -> Result<()> {
        self.unpolled += 1;
        if self.unpolled >= POLL_EVERY {
            self.unpolled = 0;
            self.producer.poll(Duration::ZERO);
            self.check()?;
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.names[message.topic as usize]).timestamp(message.timestamp_ms);
        record.partition = message.partition;
        record.key = message.key;
        record.payload = message.payload;
        let mut waited_since = None;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(10));
                    self.check()?;
                    if waited_since.get_or_insert_with(Instant::now).elapsed() > FLUSH_PATIENCE {
                        return Err(Error::fatal(format!("the brokers {} take no messages", self.brokers))
                            .hint("check that they run and that the addresses they advertise can be reached"));
                    }
                }
                Err((error, _)) => return Err(self.failed("cannot send", error)),
            }
        }
    }

    /// Waits until the brokers have everything.
    fn flush(&mut self) -> Result<()> {
        let flushed = self.producer.flush(FLUSH_PATIENCE);
        self.check()?;
        flushed.map_err(|error| self.failed("the last messages were not delivered", error))
    }

    /// Fails if a message could not be delivered.
    fn check(&self) -> Result<()> {
        let mut first = self.producer.context().first.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match first.take() {
            Some(error) => Err(self.failed("a message was not delivered", error)),
            None => Ok(()),
        }
    }

    fn failed(&self, what: &str, error: KafkaError) -> Error {
        Error::fatal(format!("{what} (brokers {})", self.brokers)).because(error)
    }
}

fn client_config(options: &OutputOptions, kafka: &ProducerOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "wasmill-eventsim")
        .set("enable.idempotence", "true")
        // Large batches: the simulator is faster than the network, and nobody waits for a single message.
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "131072");
    if let Some(compression) = &kafka.compression {
        config.set("compression.codec", compression);
    }
    if kafka.messages.transactions.is_some() {
        let simulator = &options.simulator;
        // An instance that is started again takes over from the one before, as transactions want it.
        config.set("transactional.id", format!("wasmill-eventsim-{}-{}", simulator.seed, simulator.instance));
    }
    set_tickets(&mut config, &kafka.options);
    for (name, value) in &kafka.options {
        config.set(name, value);
    }
    config
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::Message;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::eventsim::SimulatorOptions;
    use crate::eventsim::output::{Key, Transactions};

    fn options(events: u64) -> OutputOptions {
        let simulator = SimulatorOptions { users: 200, ..Default::default() };
        OutputOptions { simulator, events: Some(events), ..Default::default() }
    }

    fn go() -> AtomicBool {
        AtomicBool::new(false)
    }

    /// The payloads of each topic partition, in order; reads until `count` have come.
    /// Keys and payloads of each topic partition.
    type Found = BTreeMap<i32, Vec<(Option<Vec<u8>>, Vec<u8>)>>;

    fn read(brokers: &str, topic: &str, count: usize) -> Found {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let mut found: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        for _ in 0..count {
            let message = loop {
                assert!(Instant::now() < deadline, "the messages do not come");
                if let Some(message) = consumer.poll(Duration::from_millis(500)) {
                    break message.unwrap();
                }
            };
            let pair = (message.key().map(<[u8]>::to_vec), message.payload().unwrap_or_default().to_vec());
            found.entry(message.partition()).or_default().push(pair);
        }
        found
    }

    fn simulated(options: &OutputOptions) -> Vec<Vec<u8>> {
        let mut simulator = crate::eventsim::Simulator::new(options.simulator.clone()).unwrap();
        let event = |_| {
            let mut payload = Vec::new();
            simulator.next_event(&mut payload);
            payload
        };
        (0..options.events.unwrap()).map(event).collect()
    }

    #[test]
    fn all_events_arrive_in_order_by_turns() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("plays", 3, 1).unwrap();
        let kafka = ProducerOptions {
            brokers: cluster.bootstrap_servers(),
            topic: Some("plays".into()),
            compression: Some("zstd".into()),
            ..Default::default()
        };
        let options = options(3_000);
        assert_eq!(produce(&options, &kafka, &go()).unwrap().events, 3_000);
        let found = read(&kafka.brokers, "plays", 3_000);
        let wanted = simulated(&options);
        for (partition, messages) in found {
            let mine = wanted.iter().skip(partition as usize).step_by(3);
            assert!(messages.iter().map(|(_, payload)| payload).eq(mine));
        }
    }

    #[test]
    fn a_user_keeps_to_one_topic_partition() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("listen_events", 4, 1).unwrap();
        let messages = MessageOptions { key: Key::User, transactions: None };
        let kafka = ProducerOptions { brokers: cluster.bootstrap_servers(), messages, ..Default::default() };
        produce(&options(1_000), &kafka, &go()).unwrap();
        let mut home: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for (partition, messages) in read(&kafka.brokers, "listen_events", 1_000) {
            for (key, _) in messages {
                assert_eq!(*home.entry(key.unwrap()).or_insert(partition), partition);
            }
        }
        assert!(home.len() > 20);
    }

    #[test]
    fn transactions_are_committed_and_aborted() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("listen_events", 1, 1).unwrap();
        let messages =
            MessageOptions { key: Key::None, transactions: Some(Transactions { events: 100, abort_share: 0.5 }) };
        let kafka = ProducerOptions { brokers: cluster.bootstrap_servers(), messages, ..Default::default() };
        let summary = produce(&options(1_000), &kafka, &go()).unwrap();
        assert_eq!(summary.committed, 10);
        assert!(summary.aborted > 0, "{summary:?}");
    }

    #[test]
    fn wrong_settings_are_the_users_mistake() {
        let check = |kafka: ProducerOptions, words: &str| {
            let error = produce(&options(1), &kafka, &go()).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Config, "{error}");
            assert!(format!("{error} {:?}", error.what_to_do()).contains(words), "{error}");
        };
        let brokers = "localhost:1".to_owned();
        check(
            ProducerOptions { compression: Some("rar".into()), brokers: brokers.clone(), ..Default::default() },
            "compression",
        );
        let unknown = [("no.such.option", "1")].into_iter().collect();
        check(ProducerOptions { options: unknown, brokers: brokers.clone(), ..Default::default() }, "options");
        check(ProducerOptions { topic_partitions: Some(0), brokers: brokers.clone(), ..Default::default() }, "one");
        let mut several = options(1);
        several.simulator.topics = Topic::ALL.to_vec();
        let named = ProducerOptions { topic: Some("x".into()), brokers, ..Default::default() };
        assert!(produce(&several, &named, &go()).unwrap_err().to_string().contains("several topics"));
    }
}

//! The client's settings: what the protocol needs, what measurements showed, and what the user adds.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::{KafkaConfig, Settings};

/// Bytes of messages that all topic partitions together may hold ahead of their workers.
const FETCHED_AHEAD: usize = 256 << 20;

/// Bytes that one topic partition may hold ahead: more does not fetch faster (measured), and is cold when it is decoded.
const MOST_AHEAD: usize = 8 << 20;

/// Less than this makes fetches so small that their cost shows.
const LEAST_AHEAD: usize = 1 << 20;

/// Bytes of one fetch, for one topic partition and for all that one broker leads. The client's default for all, 50 MB, makes
/// answers that jemalloc gives back to the system at once (8 MB and more): a tenth of all CPU time went into new pages.
const FETCH: usize = 4 << 20;

/// Bytes of one fetch of a topic partition that people look at.
const BROWSED_AHEAD: usize = 1 << 20;

/// How often the client tells which brokers it is connected to.
const TELLS_EVERY_MS: &str = "10000";

/// Settings that the protocol depends on. They are set last; the pipeline file may not name them.
const FIXED: [(&str, &str); 7] = [
    // The group's offsets are a hint: they are committed after a checkpoint.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A position that is gone must stop the topic partition, not move it.
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "false"),
];

/// Whether assignments are changed by single topic partitions (`true`), or given up and given anew as a whole.
pub(super) fn is_cooperative(config: &KafkaConfig) -> bool {
    let strategy = config.options.get("partition.assignment.strategy");
    is_by_broker(config) || strategy.is_none_or(|strategy| strategy.contains("cooperative"))
}

/// Whether the broker assigns (`group.protocol = "consumer"`), not a member of the group.
pub(super) fn is_by_broker(config: &KafkaConfig) -> bool {
    config.options.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
}

/// Settings of the client that belongs to the group. `topic_partitions`: how many there are, of which all may come to
/// this process.
pub(super) fn group_client(config: &KafkaConfig, topic_partitions: usize) -> ClientConfig {
    let ahead = (FETCHED_AHEAD / topic_partitions.max(1)).clamp(LEAST_AHEAD, MOST_AHEAD);
    let mut client = ClientConfig::new();
    client.set("group.id", &config.group);
    // Queues are split, so this counts for each topic partition; it can be set at creation only.
    client.set("queued.max.messages.kbytes", (ahead >> 10).to_string());
    client.set("fetch.message.max.bytes", ahead.min(FETCH).to_string());
    client.set("fetch.max.bytes", FETCH.to_string());
    // Once a queue is full, fetching pauses this long; by default for a second, which costs a factor of 13.
    client.set("fetch.queue.backoff.ms", "5");
    client.set("statistics.interval.ms", TELLS_EVERY_MS);
    // The broker's own assignors know no strategy of the client, and the client refuses the setting then.
    if !is_by_broker(config) {
        client.set("partition.assignment.strategy", "cooperative-sticky");
    }
    with_options(client, config)
}

/// Settings of a client that only asks: it joins no group and reads nothing.
pub(super) fn asking_client(config: &KafkaConfig) -> ClientConfig {
    without_membership(with_options(ClientConfig::new(), config))
}

/// Settings of a client that reads topic partitions as it is told, and belongs to no group. It has the group's name, without
/// which the client assigns nothing; nobody joins who does not subscribe.
pub(super) fn lone_client(config: &KafkaConfig, topic_partitions: usize) -> ClientConfig {
    without_membership(group_client(config, topic_partitions))
}

/// Settings of a client that asks as an administrator does. What only readers know is left out.
pub(super) fn administering_client(config: &KafkaConfig) -> ClientConfig {
    let mut client = asking_client(config);
    for (name, _) in FIXED {
        client.remove(name);
    }
    client
}

/// Settings of a client that reads a topic for people: it holds little ahead, belongs to no group and commits nothing.
pub(super) fn browsing_client(config: &KafkaConfig) -> ClientConfig {
    let mut client = asking_client(config);
    // The client assigns only what has a group's name; without a subscription nobody joins.
    client.set("group.id", &config.group);
    client.remove("max.partition.fetch.bytes");
    client.set("fetch.message.max.bytes", BROWSED_AHEAD.to_string());
    client.set("fetch.max.bytes", FETCH.to_string());
    client.set("queued.max.messages.kbytes", (FETCH >> 10).to_string());
    client
}

fn without_membership(mut client: ClientConfig) -> ClientConfig {
    for name in ["group.instance.id", "group.protocol", "group.remote.assignor", "partition.assignment.strategy"] {
        client.remove(name);
    }
    client
}

/// Leaves Kerberos tickets to its library, which takes them from the cache or by itself from the keytab of `KRB5_CLIENT_KTNAME`, as
/// for HDFS, unless the user wants them by the client's own way: a `kinit` in a shell, once a minute, which needs
/// `sasl.kerberos.keytab`.
pub(in crate::source) fn set_tickets(client: &mut ClientConfig, options: &Settings) {
    let own = ["sasl.kerberos.keytab", "sasl.kerberos.kinit.cmd", "sasl.kerberos.min.time.before.relogin"];
    if own.into_iter().all(|name| options.get(name).is_none()) {
        client.set("sasl.kerberos.min.time.before.relogin", "0");
    }
}

fn with_options(mut client: ClientConfig, config: &KafkaConfig) -> ClientConfig {
    client.set_log_level(RDKafkaLogLevel::Info);
    client.set("client.id", "wasmill");
    set_tickets(&mut client, &config.options);
    for (name, value) in &config.options {
        // The client takes one setting by two names, and the order in which it sees them is not ours.
        if name == "max.partition.fetch.bytes" {
            client.remove("fetch.message.max.bytes");
        }
        client.set(name, value);
    }
    client.set("bootstrap.servers", &config.brokers);
    for (name, value) in FIXED {
        client.set(name, value);
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OnDataLoss, StartPosition};

    fn config(options: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig {
            brokers: "localhost:9092".into(),
            topics: vec!["listen_events".into()],
            group: "g".into(),
            start: StartPosition::Earliest,
            on_data_loss: OnDataLoss::Stop,
            options: options.iter().copied().collect(),
        }
    }

    #[test]
    fn many_topic_partitions_share_the_memory() {
        let cases = [(0, "8192", "4194304"), (64, "4096", "4194304"), (2000, "1024", "1048576")];
        for (topic_partitions, kbytes, fetch) in cases {
            let client = group_client(&config(&[]), topic_partitions);
            assert_eq!(client.get("queued.max.messages.kbytes"), Some(kbytes), "{topic_partitions}");
            assert_eq!(client.get("fetch.message.max.bytes"), Some(fetch), "{topic_partitions}");
            assert_eq!(client.get("fetch.max.bytes"), Some("4194304"), "{topic_partitions}");
        }
    }

    #[test]
    fn options_pass_but_never_over_what_the_protocol_needs() {
        let options = [
            ("client.id", "mine"),
            ("auto.offset.reset", "latest"),
            ("fetch.queue.backoff.ms", "7"),
            ("max.partition.fetch.bytes", "1000"),
        ];
        let client = group_client(&config(&options), 4);
        assert_eq!(client.get("max.partition.fetch.bytes"), Some("1000"));
        assert_eq!(client.get("fetch.message.max.bytes"), None, "another name of the same setting");
        assert_eq!(client.get("client.id"), Some("mine"));
        assert_eq!(client.get("fetch.queue.backoff.ms"), Some("7"));
        assert_eq!(client.get("auto.offset.reset"), Some("error"));
        assert_eq!(client.get("bootstrap.servers"), Some("localhost:9092"));
    }

    #[test]
    fn kinit_runs_only_for_who_names_a_keytab_for_it() {
        let name = "sasl.kerberos.min.time.before.relogin";
        assert_eq!(group_client(&config(&[]), 4).get(name), Some("0"));
        assert_eq!(asking_client(&config(&[("sasl.kerberos.keytab", "k")])).get(name), None);
        assert_eq!(asking_client(&config(&[(name, "7000")])).get(name), Some("7000"));
    }

    #[test]
    fn assignments_are_incremental_unless_the_user_wants_an_eager_strategy() {
        for (options, cooperative, strategy) in [
            (&[][..], true, Some("cooperative-sticky")),
            (&[("group.protocol", "consumer")][..], true, None),
            (&[("partition.assignment.strategy", "range")][..], false, Some("range")),
            (&[("group.protocol", "classic")][..], true, Some("cooperative-sticky")),
        ] {
            let config = config(options);
            assert_eq!(is_cooperative(&config), cooperative, "{options:?}");
            assert_eq!(group_client(&config, 4).get("partition.assignment.strategy"), strategy, "{options:?}");
        }
    }
}

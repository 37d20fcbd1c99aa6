//! Statuses on a local disk.

use std::sync::Arc;

use super::*;
use crate::checkpoint::Id;
use crate::report::Progress;
use crate::schema_registry::RegistryHealth;
use crate::source::Reach;
use crate::storage::{self, Health, StorageOptions};
use crate::transform::{MetricSnapshot, MetricValue, TransformCounts, TransformUse};

fn post(directory: &std::path::Path) -> Post {
    Post::new(storage::open(directory.to_str().unwrap(), &StorageOptions::default()).unwrap(), "plays")
}

fn board(host: u128) -> Board {
    Board::new(Id(host), "ann@here", 1_000, Arc::new(Progress::default()))
}

#[tokio::test]
async fn everybody_sees_the_newest_of_each_host_that_lives() {
    let directory = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let (mut first, mut second, mut dead) = (post(directory.path()), post(directory.path()), post(directory.path()));
    for age in [25_000, 15_000, 5_000] {
        first.write(&board(1).status(now - age)).await.unwrap();
    }
    second.write(&board(2).status(now - 1_000)).await.unwrap();
    dead.write(&board(3).status(now - 40_000)).await.unwrap();
    let seen = post(directory.path()).read(now).await.unwrap();
    let shown: Vec<_> = seen.iter().map(|status| (status.host.clone(), now - status.at_ms)).collect();
    assert_eq!(shown, [(Id(1).to_string(), 5_000), (Id(2).to_string(), 1_000)]);
    let files = std::fs::read_dir(directory.path().join("hosts/plays")).unwrap().count();
    assert_eq!(files, 3, "each host has one file");
    second.remove(&Id(2).to_string()).await.unwrap();
    assert_eq!(post(directory.path()).read(now).await.unwrap().len(), 1);
}

#[test]
fn a_status_is_read_as_it_was_written() {
    let board = board(7);
    board.topic_partitions(vec![TopicPartitionStatus {
        topic_partition: TopicPartition::new("plays", 3),
        state: TopicPartitionState::Running,
        committed: Some(10),
        lag: None,
        deployment: Some(2),
        committed_at_ms: Some(3),
        error: None,
    }]);
    board.deployments(2, Some(3), true, BTreeMap::new());
    board.problem(Some("no".to_owned()));
    let status = board.status(5);
    assert!(status.memory_bytes > 0);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<HostStatus>(&text).unwrap(), status);
}

/// A host with a value of its own in every field that is counted.
fn full() -> HostStatus {
    let mut status = board(9).status(2_000);
    status.topic_partitions = vec![TopicPartitionStatus {
        topic_partition: TopicPartition::new("pl\"ays", 3),
        state: TopicPartitionState::Stopped,
        committed: Some(11),
        lag: Some(12),
        deployment: Some(2),
        committed_at_ms: Some(13_500),
        error: Some("no".to_owned()),
    }];
    let used =
        TransformUse { memory_bytes: 21, slowest_us: 2_500_000, log_lines_dropped: 23, ..TransformUse::default() };
    let counts = TransformCounts {
        name: "keep".to_owned(),
        version: "1.2.0".to_owned(),
        events: 31,
        busy_us: 32_000_000,
        used: Some(used),
        ..TransformCounts::default()
    };
    status.transforms.insert(2, vec![counts]);
    let metric = |name: &str, value| MetricSnapshot { transform: "keep".to_owned(), name: name.to_owned(), value };
    let histogram = || MetricValue::Histogram { buckets: vec![(0.5, 2), (1.0, 1)], above: 4, sum: 9.5 };
    status.guest_metrics.insert(
        2,
        vec![
            metric("songs.short", MetricValue::Counter(41)),
            metric("songs-short", MetricValue::Counter(42)),
            metric("seconds_total", MetricValue::Counter(43)),
            metric("wait", histogram()),
            // Each of these would be a sample of the histogram.
            metric("wait", MetricValue::Counter(44)),
            metric("wait_bucket", MetricValue::Counter(45)),
        ],
    );
    (status.held_bytes, status.budget_bytes, status.checkpoint_interval_s) = (71, 72, 7.5);
    status.breaker_trips = 73;
    status.kafka = Some(Reach { brokers: 3, connected: 2, ..Reach::default() });
    status.schema_registry = Some(RegistryHealth {
        known: 61,
        waiting_count: 62,
        waiting_since_ms: Some(63_000),
        failures: 64,
        ..RegistryHealth::default()
    });
    let health = Health { answered_at_ms: Some(51_000), operations: 52, failures: 53, ..Health::default() };
    status.storage.insert("table".to_owned(), health);
    status
}

#[test]
fn every_family_has_a_help_text_and_the_numbers_of_the_status() {
    let text = metrics::render(&full());
    for (sample, value) in [
        ("wasmill_topic_partitions{state=\"stopped\"}", "1.0"),
        ("wasmill_committed_offset{topic=\"pl\\\"ays\",topic_partition=\"3\"}", "11.0"),
        ("wasmill_last_commit_time_seconds{topic=\"pl\\\"ays\",topic_partition=\"3\"}", "13.5"),
        ("wasmill_transform_events_total{transform=\"keep\",version=\"1.2.0\",deployment=\"2\"}", "31"),
        ("wasmill_transform_busy_seconds_total{transform=\"keep\",version=\"1.2.0\",deployment=\"2\"}", "32.0"),
        ("wasmill_transform_memory_peak_bytes{transform=\"keep\",version=\"1.2.0\",deployment=\"2\"}", "21.0"),
        ("wasmill_transform_slowest_batch_seconds{transform=\"keep\",version=\"1.2.0\",deployment=\"2\"}", "2.5"),
        ("wasmill_transform_log_lines_dropped_total{transform=\"keep\",version=\"1.2.0\",deployment=\"2\"}", "23"),
        ("wasmill_kafka_brokers_connected", "2.0"),
        ("wasmill_storage_last_answer_time_seconds{storage=\"table\"}", "51.0"),
        ("wasmill_memory_held_bytes", "71.0"),
        ("wasmill_memory_budget_bytes", "72.0"),
        ("wasmill_checkpoint_interval_seconds", "7.5"),
        ("wasmill_breaker_trips_total", "73"),
        ("wasmill_schemas", "61.0"),
        ("wasmill_schemas_waiting", "62.0"),
        ("wasmill_schemas_waiting_since_seconds", "63.0"),
        ("wasmill_schema_registry_failures_total", "64"),
        ("wasmill_storage_failures_total{storage=\"table\"}", "53"),
        ("wasmill_guest_songs_short_total{transform=\"keep\",deployment=\"2\"}", "41"),
        ("wasmill_guest_seconds_total{transform=\"keep\",deployment=\"2\"}", "43"),
        ("wasmill_guest_wait_bucket{le=\"1.0\",transform=\"keep\",deployment=\"2\"}", "3"),
        ("wasmill_guest_wait_count{transform=\"keep\",deployment=\"2\"}", "7"),
    ] {
        assert!(text.lines().any(|line| line == format!("{sample} {value}")), "{sample} {value}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let described: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in &described {
        let lines = text.lines().filter(|line| line.starts_with(&format!("# HELP {name} "))).count();
        assert_eq!(lines, 1, "{name} has {lines} help texts");
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        let told = text.lines().any(|line| unit.is_some_and(|unit| line == format!("# UNIT {name} {unit}")));
        assert!(told || unit.is_none() || name.starts_with("wasmill_guest_"), "{name} has no unit");
    }
}

//! Statuses on a local disk.

use std::sync::Arc;

use super::*;
use crate::checkpoint::Id;
use crate::report::Progress;
use crate::storage::{self, StorageOptions};

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
        error: None,
    }]);
    board.deployments(2, Some(3), true, BTreeMap::new());
    board.problem(Some("no".to_owned()));
    let status = board.status(5);
    assert!(status.memory_bytes > 0);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<HostStatus>(&text).unwrap(), status);
}

//! A rolling update: hosts of two versions share a chain. Each takes over from the other as long as nobody uses what the
//! older one lacks; then that topic partition stops on the older host, and on no other.

use std::path::Path;
use std::sync::Arc;

use wasmill::chain::{Chain, ChainError, TakeOver, Taken};
use wasmill::checkpoint::{
    DeploymentRecord, FORMAT, Note, Protocol, RecordKind, ReplayedLetters, Retention, RowCounts, StagedRange,
};
use wasmill::runtime::TokioRuntime;
use wasmill::source::TopicPartition;
use wasmill::storage::local::LocalStorage;
use wasmill::storage::{Location, Storage};

/// The chain of topic partition `partition` as a host sees it that knows record formats up to `newest_format`.
fn chain(directory: &Path, partition: i32, newest_format: u32) -> Arc<Chain> {
    let location = |name: &str| Location {
        storage: Arc::new(LocalStorage { sync_on_close: false }) as Arc<dyn Storage>,
        path: directory.join(name).to_string_lossy().into_owned(),
        url: name.to_owned(),
    };
    Arc::new(Chain {
        topic_partition: TopicPartition::new("events", partition),
        topic_identity: "the one".to_owned(),
        pipeline: "updated".to_owned(),
        checkpoints: location("checkpoints"),
        table: location("table"),
        dead_letters: location("dead_letters"),
        protocol: Protocol::default(),
        newest_format,
        retention: Retention { keep: 2, fold: 2 },
        runtime: Arc::new(TokioRuntime::new(tokio::runtime::Handle::current())),
    })
}

async fn take_over(chain: &Arc<Chain>) -> Result<Box<TakeOver>, ChainError> {
    match chain.take_over(Some(0)).await? {
        Taken::Over(taken) => Ok(taken),
        Taken::NeedsFirstPosition => panic!("a first position was given"),
    }
}

/// A range whose rows were all filtered.
fn range(start: i64, next: i64) -> StagedRange {
    let messages = (next - start) as u64;
    StagedRange {
        start,
        next,
        rows: RowCounts { messages, filtered: messages, ..RowCounts::default() },
        files: vec![],
        dead_letter_files: vec![],
        deployment: DeploymentRecord::default(),
        max_event_time_us: None,
    }
}

#[tokio::test]
async fn hosts_of_two_versions_take_over_from_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let hosts = [chain(directory.path(), 0, FORMAT - 1), chain(directory.path(), 0, FORMAT)];
    for turn in 0..8_i64 {
        let mut taken = take_over(&hosts[turn as usize % 2]).await.expect("each reads what the other wrote");
        assert_eq!(taken.next, turn * 10);
        taken.commit(range(turn * 10, turn * 10 + 10)).await.expect("it commits");
    }
}

/// What a chain may say since which format.
async fn say(taken: &mut TakeOver, format: u32) {
    let next = taken.next;
    let done = match format {
        2 => taken.note(RecordKind::Gap, next + 5, None).await,
        _ => {
            let letters = vec![ReplayedLetters { file: "/dead_letters/part.parquet".to_owned(), rows: vec![(0, 1)] }];
            let rows = RowCounts { messages: 1, filtered: 1, ..RowCounts::default() };
            taken.commit_replay(StagedRange { rows, ..range(next, next) }, letters, Note::default()).await
        }
    };
    done.expect("it is recorded");
}

#[tokio::test]
async fn what_an_older_one_cannot_read_stops_one_topic_partition_on_that_host() {
    for format in 2..=FORMAT {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, new) = (chain(directory.path(), 0, format - 1), chain(directory.path(), 0, FORMAT));
        let mut taken = take_over(&new).await.expect("an empty chain");
        taken.commit(range(0, 10)).await.expect("it commits");
        say(&mut taken, format).await;
        let Err(ChainError::Stopped(error)) = take_over(&old).await else { panic!("the older host must stop") };
        assert!(error.to_string().contains(&format!("it has format {format}")), "{error}");
        assert!(error.what_to_do().is_some_and(|hint| hint.contains("the version of wasmill that wrote it")));
        // It has changed nothing, and its other topic partitions go on.
        let next = taken.next;
        taken.commit(range(next, 20)).await.expect("nobody has fenced the new host");
        let other = chain(directory.path(), 1, format - 1);
        take_over(&other).await.expect("another topic partition").commit(range(0, 5)).await.expect("it commits");
        // Once the newest record is of the older format again, the older host can take over as well.
        assert_eq!(take_over(&old).await.expect("what is newest is readable").next, 20);
    }
}

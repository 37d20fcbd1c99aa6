//! The storage on a real HDFS, and a table read from it.

use arrow::array::RecordBatch;
use bytes::Bytes;
use indicatif::ProgressBar;
use parquet::arrow::ArrowWriter;
use wasmill::sink::dead_letter::{DeadLetter, Stage, to_batch};
use wasmill::storage::{Location, StorageErrorKind, StorageOptions, open};
use wasmill::table::{self, dead_letters};

use crate::servers;
use crate::storage_contract::{self, put};

/// A new directory of the HDFS under test.
fn location(name: &str, options: &StorageOptions) -> Location {
    let url = format!("{}/wasmill-test/{name}-{:016x}", servers::hdfs(), rand::random::<u64>());
    open(&url, options).expect("the location can be opened")
}

#[tokio::test(flavor = "multi_thread")]
async fn hdfs_keeps_the_contract() {
    storage_contract::check(&location("contract", &StorageOptions::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_group_and_replication_are_as_set() {
    let options = StorageOptions {
        file_mode: Some(0o640),
        group: Some("readers".into()),
        replication: Some(2),
        sync_on_close: Some(true),
    };
    let location = location("mode", &options);
    let (file, directory) = (location.join("file"), location.join("directory"));
    put(&*location.storage, &file, "x").await.unwrap();
    location.storage.create_directory(&directory).await.unwrap();
    let shown = servers::hdfs_tool("org.apache.hadoop.fs.FsShell", &["-stat", "%a %g %r", &file, &directory]);
    let shown: Vec<&str> = shown.split_ascii_whitespace().collect();
    assert_eq!(shown[..4], ["640", "readers", "2", "750"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_is_no_space() {
    const DFS_ADMIN: &str = "org.apache.hadoop.hdfs.tools.DFSAdmin";
    let location = location("quota", &StorageOptions::default());
    let (names, bytes) = (location.join("names"), location.join("bytes"));
    location.storage.create_directory(&names).await.unwrap();
    location.storage.create_directory(&bytes).await.unwrap();
    // The directory itself counts as one.
    servers::hdfs_tool(DFS_ADMIN, &["-setQuota", "1", &names]);
    servers::hdfs_tool(DFS_ADMIN, &["-setSpaceQuota", "1", &bytes]);

    let error = location.storage.create(&format!("{names}/file")).await.err().expect("the names are used up");
    assert_eq!(error.kind, StorageErrorKind::NoSpace, "{error:?}");
    let mut writer = location.storage.create(&format!("{bytes}/file")).await.unwrap();
    let error = writer.write(Bytes::from_static(b"too much")).await.expect_err("the bytes are used up");
    assert_eq!(error.kind, StorageErrorKind::NoSpace, "{error:?}");
    let error = writer.close().await.expect_err("an abandoned file is not closed");
    assert_eq!(error.kind, StorageErrorKind::Unknown, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_is_told_soon() {
    let location = open("hdfs://localhost:1/events", &StorageOptions::default()).unwrap();
    let error = location.storage.list(&location.path).await.expect_err("nobody listens on port 1");
    assert_eq!(error.kind, StorageErrorKind::Unknown);
    let cause = error.source.expect("a cause").to_string();
    assert!(cause.contains("refused"), "{cause}");
}

fn letter(offset: i64) -> DeadLetter {
    DeadLetter {
        topic: "listen_events".into(),
        topic_partition: 0,
        offset,
        timestamp_ms: None,
        key: None,
        payload: Some(vec![b'x'; 50_000]),
        headers: Vec::new(),
        stage: Stage::Decode,
        transform: None,
        reason: "not-json".into(),
        message: "found 'x'".into(),
        deployment: 1,
        recorded_at_ms: 1_795_480_200_000 + offset,
    }
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_as_on_a_local_disk() {
    let location = location("table", &StorageOptions::default());
    let quiet = ProgressBar::hidden();
    for file in 0..3 {
        let letters: Vec<DeadLetter> = (0..20).map(|i| letter(file * 20 + i)).collect();
        let path = location.join(&format!("{}/part-listen_events-0-{file}-0.parquet", letters[0].hive_partition()));
        put(&*location.storage, &path, parquet(&to_batch(&letters).unwrap())).await.unwrap();
    }
    put(&*location.storage, &location.join("_staging/part"), "not Parquet").await.unwrap();

    let listing = table::ls(&location, &table::ListOptions::default(), &quiet).await.unwrap();
    assert_eq!((listing.total.files, listing.total.rows, listing.problems.len()), (3, Some(60), 0));
    assert_eq!(listing.hive_partitions[0].path, "day=2026-11-24");
    let options = table::HeadOptions { rows: 25, columns: vec!["day".into(), "offset".into()], below: None };
    let head = table::head(&location, &options, &quiet).await.unwrap();
    assert_eq!(head.rows.len(), 25);
    assert_eq!(head.rows[24], [serde_json::json!("2026-11-24"), serde_json::json!(24)]);
    let replayed = dead_letters::Replayed::default();
    let list = dead_letters::list(&location, &dead_letters::ListFilter::default(), &replayed, &quiet).await.unwrap();
    assert_eq!((list.count, list.latest[0].coordinates.offset), (60, 59));
    let found = dead_letters::show(&location, &list.latest[0].coordinates, &replayed, &quiet).await.unwrap();
    assert_eq!(found.letters.len(), 1);
    assert_eq!(found.letters[0].payload, Some(dead_letters::Content::Text("x".repeat(50_000))));
}

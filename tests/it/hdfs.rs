//! The storage on a real HDFS.

use bytes::Bytes;
use wasmill::storage::{Location, StorageErrorKind, StorageOptions, open};

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

//! What every storage must do, as one suite: run on the local disk here, on a real HDFS in `hdfs.rs`.
//!
//! Each rule has a directory of its own, so that all of them run side by side.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use wasmill::storage::{Entry, Location, Storage, StorageErrorKind, StorageOptions, StorageResult};

/// More names than a NameNode lists in one answer (1,000).
const MANY: usize = 2_300;

/// More bytes than a client's packet, and than the pieces that a large write is cut into.
const LARGE: usize = 9 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_local_disk_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let url = format!("file://{}", root.path().display());
    check(&wasmill::storage::open(&url, &StorageOptions::default()).unwrap()).await;
}

/// Checks every rule below `location`.
pub(crate) async fn check(location: &Location) {
    let storage = &location.storage;
    let place = |rule: &str| (Arc::clone(storage), location.join(rule));
    tokio::join!(
        what_was_written_is_read(place("write")),
        create_never_overwrites(place("create")),
        what_is_missing_is_told(place("missing")),
        rename_never_overwrites(place("rename")),
        of_many_renames_to_one_name_one_wins(place("race")),
        list_shows_direct_children(place("list")),
        a_long_list_is_whole(place("long")),
        directories_may_be_there(place("directory")),
        delete_takes_no_contents(place("delete")),
        a_dropped_writer_leaves_its_file(place("drop")),
        names_are_taken_as_they_are(place("names")),
    );
}

type Place = (Arc<dyn Storage>, String);

/// Writes a whole file.
pub(crate) async fn put(storage: &dyn Storage, path: &str, bytes: impl Into<Bytes>) -> StorageResult<()> {
    let mut writer = storage.create(path).await?;
    writer.write(bytes.into()).await?;
    writer.close().await
}

fn kind<T>(result: StorageResult<T>) -> StorageErrorKind {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.kind,
    }
}

async fn names(storage: &dyn Storage, path: &str) -> BTreeSet<String> {
    storage.list(path).await.unwrap().into_iter().map(|entry| entry.name).collect()
}

async fn what_was_written_is_read((storage, root): Place) {
    let path = format!("{root}/a/b/file");
    let first: Vec<u8> = (0..LARGE).map(|i| (i % 251) as u8).collect();
    let mut writer = storage.create(&path).await.unwrap();
    writer.write(first.clone().into()).await.unwrap();
    writer.sync().await.unwrap();
    writer.write(Bytes::from_static(b"tail")).await.unwrap();
    writer.close().await.unwrap();

    let whole = [first.as_slice(), b"tail"].concat();
    assert!(storage.read(&path).await.unwrap() == whole, "the file is not what was written");
    let (start, end) = (LARGE as u64 - 3, LARGE as u64 + 2);
    assert_eq!(storage.read_range(&path, start..end).await.unwrap(), whole[LARGE - 3..LARGE + 2]);
    assert_eq!(storage.read_range(&path, 7..7).await.unwrap(), Bytes::new());
    let length = whole.len() as u64;
    assert_eq!(kind(storage.read_range(&path, 0..length + 1).await), StorageErrorKind::Unknown);
    assert_eq!(kind(storage.read_range(&path, 0..u64::MAX).await), StorageErrorKind::Unknown);

    let entry = storage.stat(&path).await.unwrap().unwrap();
    assert_eq!((entry.name.as_str(), entry.length, entry.is_directory), ("file", length, false));
    assert!(entry.modified_ms > 1_700_000_000_000, "{entry:?}");
    assert_eq!(storage.list(&format!("{root}/a/b")).await.unwrap(), [entry]);

    let empty = format!("{root}/empty");
    storage.create(&empty).await.unwrap().close().await.unwrap();
    assert_eq!(storage.read(&empty).await.unwrap(), Bytes::new());
    assert_eq!(storage.stat(&empty).await.unwrap().unwrap().length, 0);
}

async fn create_never_overwrites((storage, root): Place) {
    let path = format!("{root}/file");
    let mut first = storage.create(&path).await.unwrap();
    first.write(Bytes::from_static(b"first")).await.unwrap();
    assert_eq!(kind(storage.create(&path).await), StorageErrorKind::AlreadyExists, "still open");
    first.close().await.unwrap();
    assert_eq!(kind(storage.create(&path).await), StorageErrorKind::AlreadyExists, "closed");
    assert_eq!(storage.read(&path).await.unwrap(), "first");
}

async fn what_is_missing_is_told((storage, root): Place) {
    let path = format!("{root}/nothing");
    assert_eq!(kind(storage.read(&path).await), StorageErrorKind::NotFound);
    assert_eq!(kind(storage.read_range(&path, 0..1).await), StorageErrorKind::NotFound);
    assert_eq!(storage.stat(&path).await.unwrap(), None);
    assert_eq!(storage.list(&path).await.unwrap(), []);
    assert!(!storage.delete(&path).await.unwrap());
    let target = format!("{root}/target");
    assert_eq!(kind(storage.rename(&path, &target).await), StorageErrorKind::NotFound);
}

async fn rename_never_overwrites((storage, root): Place) {
    let (from, to, directory) = (format!("{root}/from"), format!("{root}/to"), format!("{root}/directory"));
    let (a, b) = tokio::join!(put(&*storage, &from, "from"), put(&*storage, &to, "to"));
    a.unwrap();
    b.unwrap();
    storage.create_directory(&directory).await.unwrap();

    assert_eq!(kind(storage.rename(&from, &to).await), StorageErrorKind::AlreadyExists);
    assert_eq!(kind(storage.rename(&from, &from).await), StorageErrorKind::AlreadyExists);
    assert!(storage.rename(&from, &directory).await.is_err());
    assert_eq!(kind(storage.rename(&from, &format!("{root}/no/to")).await), StorageErrorKind::NotFound);
    assert_eq!(storage.stat(&format!("{root}/no")).await.unwrap(), None, "a rename creates no directory");
    assert_eq!(storage.read(&from).await.unwrap(), "from");
    assert_eq!(storage.read(&to).await.unwrap(), "to");

    let moved = format!("{directory}/moved");
    storage.rename(&from, &moved).await.unwrap();
    assert_eq!(storage.stat(&from).await.unwrap(), None);
    assert_eq!(storage.read(&moved).await.unwrap(), "from");
}

async fn of_many_renames_to_one_name_one_wins((storage, root): Place) {
    const WRITERS: usize = 20;
    let source = |i: usize| format!("{root}/{i}");
    let target = format!("{root}/target");
    let written = join_all((0..WRITERS).map(|i| {
        let (storage, path) = (Arc::clone(&storage), source(i));
        async move { put(&*storage, &path, i.to_string()).await }
    }));
    let written = written.await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");

    let tasks = (0..WRITERS).map(|i| {
        let (storage, from, to) = (Arc::clone(&storage), source(i), target.clone());
        tokio::spawn(async move { storage.rename(&from, &to).await })
    });
    let results: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<usize> = (0..WRITERS).filter(|&i| results[i].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    assert_eq!(storage.read(&target).await.unwrap(), winners[0].to_string());
    for (i, result) in results.into_iter().enumerate().filter(|(i, _)| *i != winners[0]) {
        assert_eq!(kind(result), StorageErrorKind::AlreadyExists);
        assert!(storage.stat(&source(i)).await.unwrap().is_some(), "a loser keeps its file");
    }
}

async fn list_shows_direct_children((storage, root): Place) {
    let (file, below) = (format!("{root}/file"), format!("{root}/directory/below"));
    let (a, b) = tokio::join!(put(&*storage, &file, "12345"), put(&*storage, &below, "x"));
    a.unwrap();
    b.unwrap();
    let mut entries = storage.list(&root).await.unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let shown = entries.iter().map(|Entry { name, length, is_directory, .. }| (&**name, *length, *is_directory));
    assert_eq!(shown.collect::<Vec<_>>(), [("directory", 0, true), ("file", 5, false)]);
    assert_eq!(kind(storage.list(&file).await), StorageErrorKind::Unknown, "a file is no directory");
}

async fn a_long_list_is_whole((storage, root): Place) {
    let wanted: BTreeSet<String> = (0..MANY).map(|i| format!("hour={i}")).collect();
    stream::iter(&wanted)
        .for_each_concurrent(32, |name| {
            let (storage, path) = (Arc::clone(&storage), format!("{root}/{name}"));
            async move { storage.create_directory(&path).await.unwrap() }
        })
        .await;
    assert!(names(&*storage, &root).await == wanted, "the list is not whole");
}

async fn directories_may_be_there((storage, root): Place) {
    let path = format!("{root}/year=2026/month=01");
    storage.create_directory(&path).await.unwrap();
    storage.create_directory(&path).await.unwrap();
    assert!(storage.stat(&path).await.unwrap().unwrap().is_directory);
    let many = join_all((0..8).map(|_| storage.create_directory(&root))).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");

    let file = format!("{root}/file");
    put(&*storage, &file, "x").await.unwrap();
    assert_eq!(kind(storage.create_directory(&file).await), StorageErrorKind::AlreadyExists);
}

async fn delete_takes_no_contents((storage, root): Place) {
    let (directory, file) = (format!("{root}/d"), format!("{root}/d/file"));
    put(&*storage, &file, "x").await.unwrap();
    assert!(storage.delete(&directory).await.is_err());
    assert_eq!(storage.read(&file).await.unwrap(), "x");
    assert!(storage.delete(&file).await.unwrap());
    assert!(!storage.delete(&file).await.unwrap());
    assert!(storage.delete(&directory).await.unwrap());
    assert_eq!(storage.stat(&directory).await.unwrap(), None);
}

async fn a_dropped_writer_leaves_its_file((storage, root): Place) {
    let path = format!("{root}/file");
    let mut writer = storage.create(&path).await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    drop(writer);
    assert_eq!(kind(storage.create(&path).await), StorageErrorKind::AlreadyExists);
    assert!(storage.delete(&path).await.unwrap());
    put(&*storage, &path, "whole").await.unwrap();
    assert_eq!(storage.read(&path).await.unwrap(), "whole");
}

async fn names_are_taken_as_they_are((storage, root): Place) {
    let wanted: BTreeSet<String> =
        ["a b", "city=S%C3%A3o%2FPaulo", "ä", "x+y&z#1?", "-rf", "level=__HIVE_DEFAULT_PARTITION__"]
            .map(str::to_owned)
            .into();
    for name in &wanted {
        storage.create_directory(&format!("{root}/{name}")).await.unwrap();
    }
    assert_eq!(names(&*storage, &root).await, wanted);
}

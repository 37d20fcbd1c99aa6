//! HDFS, by a client that speaks the protocols of NameNode and DataNodes itself. The only file that names it.
//!
//! Guarantees: every call ends, with an answer or with a time-out whose outcome is unknown; a mutation is sent once
//! (the client sends one again only where the NameNode cannot have carried it out); reads are answered by the active
//! NameNode, never by an observer, which may lag. A rename is `rename2` without overwrite: atomic, and of many to one
//! name one wins.
//!
//! What to know of it: `close` often takes half a second, because the NameNode has not heard of the last block yet. A
//! writer that is dropped leaves its file open for as long as this process lives; deleting the file ends that. HDFS
//! syncs no file on an erasure-coded directory: checkpoints cannot live there.
//!
//! The client's tasks run on threads of their own, so that a busy caller never delays lease renewal, and an operation
//! whose caller has gone away is still carried out to its end instead of being cut in half.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use hdfs_native::client::FileStatus;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use tokio::runtime::{Handle, Runtime};

use super::{Entry, FileWriter, Storage, StorageError, StorageErrorKind, StorageOptions, StorageResult};
use crate::error::{Error, Result};
use crate::kerberos;

/// How long one call to the NameNode may take, failover to another one included.
const ANSWER: Duration = Duration::from_secs(30);

/// How long closing a file may take: the client itself asks again for 15 s.
const CLOSE: Duration = Duration::from_secs(60);

/// How long reading or writing one piece of at most [`PIECE`] bytes may take.
const TRANSFER: Duration = Duration::from_secs(60);

/// How long a sync may take for what was written since the last one: this, and a second more for each of these bytes.
///
/// Not longer, because the client waits for ever when a pipeline breaks before the packet of the sync is acknowledged and
/// nothing more is sent (hdfs-native 0.14): this is how long a dead DataNode can hold up a commit.
const SYNC: (Duration, usize) = (Duration::from_secs(10), 1 << 20);

/// Bytes that are handed to the client at a time, so that a time-out means a stall and not a large file.
const PIECE: usize = 4 << 20;

/// Threads that carry out the client's I/O.
const IO_THREADS: usize = 2;

/// One HDFS, and how files are made in it.
pub struct HdfsStorage {
    authority: String,
    client: Client,
    io: Io,
    file: WriteOptions,
    directory_mode: u32,
    group: Option<String>,
    sync_on_close: bool,
}

/// What all storages of this process share: one client per name service, so one lease holder.
struct Shared {
    runtime: Option<Runtime>,
    clients: BTreeMap<String, Client>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { runtime: None, clients: BTreeMap::new() });

impl HdfsStorage {
    /// The storage at `authority`: `host:port`, or a name service of `$HADOOP_CONF_DIR/hdfs-site.xml`. Connects to
    /// nothing yet.
    ///
    /// # Errors
    /// A name service that no configuration describes, or a configuration that cannot be read.
    pub fn open(authority: &str, options: &StorageOptions) -> Result<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = match &shared.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => shared.runtime.insert(io_runtime()?).handle().clone(),
        };
        let client = match shared.clients.get(authority) {
            Some(client) => client.clone(),
            None => {
                let client = connect_later(authority, handle.clone())?;
                shared.clients.insert(authority.to_owned(), client.clone());
                client
            }
        };
        let file_mode = options.file_mode.unwrap_or(0o644);
        let mut file = WriteOptions::default().overwrite(false).create_parent(true).permission(file_mode);
        if let Some(replication) = options.replication {
            file = file.replication(replication);
        }
        Ok(Self {
            authority: authority.to_owned(),
            client,
            io: Io(handle),
            file,
            directory_mode: file_mode | ((file_mode & 0o444) >> 2),
            group: options.group.clone(),
            sync_on_close: options.sync_on_close.unwrap_or(false),
        })
    }
}

impl fmt::Debug for HdfsStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would print the whole Hadoop configuration.
        f.debug_struct("HdfsStorage").field("authority", &self.authority).finish_non_exhaustive()
    }
}

fn io_runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("hdfs-io")
        .enable_all()
        .build()
        .map_err(|error| Error::fatal("cannot start the threads for HDFS").because(error))
}

fn connect_later(authority: &str, handle: Handle) -> Result<Client> {
    // Set over whatever hdfs-site.xml says: an observer NameNode answers with the past.
    let service = authority.split_once(':').map_or(authority, |(host, _)| host);
    let mut settings = vec![(
        format!("dfs.client.failover.proxy.provider.{service}"),
        "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
    )];
    if service != authority {
        // One NameNode has no other to fail over to: say soon that nobody listens there.
        settings.push(("dfs.client.failover.max.attempts".to_owned(), "2"));
    }
    let url = format!("hdfs://{authority}");
    ClientBuilder::new().with_url(&url).with_config(settings).with_io_runtime(handle).build().map_err(|error| {
        Error::config(format!("cannot use {url}")).because(error).hint(
            "write hdfs://host:port/path with the port of the NameNode's RPC address, or set HADOOP_CONF_DIR to a \
             directory whose hdfs-site.xml describes the name service",
        )
    })
}

#[async_trait]
impl Storage for HdfsStorage {
    async fn create(&self, path: &str) -> StorageResult<Box<dyn FileWriter>> {
        let (client, options, group, owned) =
            (self.client.clone(), self.file.clone(), self.group.clone(), path.to_owned());
        let work = async move {
            let writer = within(ANSWER, client.create(&owned, options)).await?;
            if let Some(group) = group {
                within(ANSWER, client.set_owner(&owned, None, Some(&group))).await?;
            }
            Ok(writer)
        };
        let writer = self.io.run("create", path, work).await?;
        Ok(Box::new(HdfsWriter {
            io: self.io.clone(),
            path: path.to_owned(),
            writer: Some(writer),
            unsynced: Some(0),
            sync_on_close: self.sync_on_close,
        }))
    }

    async fn read(&self, path: &str) -> StorageResult<Bytes> {
        let (client, owned) = (self.client.clone(), path.to_owned());
        self.io.run("read", path, async move { read(&client, &owned, None).await }).await
    }

    async fn read_range(&self, path: &str, range: Range<u64>) -> StorageResult<Bytes> {
        let (client, owned) = (self.client.clone(), path.to_owned());
        self.io.run("read", path, async move { read(&client, &owned, Some(range)).await }).await
    }

    async fn stat(&self, path: &str) -> StorageResult<Option<Entry>> {
        let (client, owned) = (self.client.clone(), path.to_owned());
        let work = async move { Ok(entry(&within(ANSWER, client.get_file_info(&owned)).await?)) };
        absent_is_none(self.io.run("stat", path, work).await)
    }

    async fn list(&self, path: &str) -> StorageResult<Vec<Entry>> {
        let (client, owned) = (self.client.clone(), path.to_owned());
        let listed = self.io.run("list", path, async move { list(&client, &owned).await }).await;
        Ok(absent_is_none(listed)?.unwrap_or_default())
    }

    async fn rename(&self, from: &str, to: &str) -> StorageResult<()> {
        let (client, source, target) = (self.client.clone(), from.to_owned(), to.to_owned());
        let work = async move { within(ANSWER, client.rename(&source, &target, false)).await };
        self.io.run("rename", from, work).await
    }

    async fn create_directory(&self, path: &str) -> StorageResult<()> {
        let (client, owned, mode) = (self.client.clone(), path.to_owned(), self.directory_mode);
        let work = async move { within(ANSWER, client.mkdirs(&owned, mode, true)).await };
        self.io.run("create directory", path, work).await
    }

    async fn delete(&self, path: &str) -> StorageResult<bool> {
        let (client, owned) = (self.client.clone(), path.to_owned());
        let work = async move { within(ANSWER, client.delete(&owned, false)).await };
        Ok(absent_is_none(self.io.run("delete", path, work).await)?.unwrap_or(false))
    }
}

struct HdfsWriter {
    io: Io,
    path: String,
    /// `None` after a failure and once closed: neither is ever tried again.
    writer: Option<hdfs_native::file::FileWriter>,
    /// Bytes since the last sync; `None` once all are synced.
    unsynced: Option<usize>,
    sync_on_close: bool,
}

impl HdfsWriter {
    /// The client's writer, to be put back only after a success.
    fn take(&mut self, operation: &'static str) -> StorageResult<hdfs_native::file::FileWriter> {
        let gone = || {
            StorageError::new(StorageErrorKind::Unknown, operation, &self.path)
                .because("the file was closed, or abandoned after a failure")
        };
        self.writer.take().ok_or_else(gone)
    }
}

#[async_trait]
impl FileWriter for HdfsWriter {
    async fn write(&mut self, mut bytes: Bytes) -> StorageResult<()> {
        let mut writer = self.take("write")?;
        self.unsynced = Some(self.unsynced.unwrap_or(0) + bytes.len());
        let work = async move {
            while !bytes.is_empty() {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                within(TRANSFER, writer.write_bytes(piece)).await?;
            }
            Ok(writer)
        };
        self.writer = Some(self.io.run("write", &self.path, work).await?);
        Ok(())
    }

    async fn sync(&mut self) -> StorageResult<()> {
        let mut writer = self.take("sync")?;
        let limit = sync_limit(self.unsynced.unwrap_or(0));
        let work = async move {
            within(limit, writer.hsync()).await?;
            Ok(writer)
        };
        self.writer = Some(self.io.run("sync", &self.path, work).await?);
        self.unsynced = None;
        Ok(())
    }

    async fn close(&mut self) -> StorageResult<()> {
        let mut writer = self.take("close")?;
        let sync = self.unsynced.filter(|_| self.sync_on_close).map(sync_limit);
        let work = async move {
            if let Some(limit) = sync {
                within(limit, writer.hsync()).await?;
            }
            within(CLOSE, writer.close()).await
        };
        self.io.run("close", &self.path, work).await
    }
}

fn sync_limit(bytes: usize) -> Duration {
    SYNC.0 + Duration::from_secs((bytes / SYNC.1) as u64)
}

/// Why a call failed.
enum Failure {
    Client(HdfsError),
    NoAnswer(Duration),
    Refused(&'static str),
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = hdfs_native::Result<T>>,
) -> std::result::Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(Failure::Client),
        Err(_) => Err(Failure::NoAnswer(limit)),
    }
}

/// The threads on which the client works.
#[derive(Clone)]
struct Io(Handle);

impl Io {
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl Future<Output = std::result::Result<T, Failure>> + Send + 'static,
    ) -> StorageResult<T> {
        match self.0.spawn(work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(failure.of(operation, path)),
            // The client panicked: it does so on some answers that it cannot read.
            Err(error) => Err(StorageError::new(StorageErrorKind::Unknown, operation, path).because(error)),
        }
    }
}

impl Failure {
    fn of(self, operation: &'static str, path: &str) -> StorageError {
        let error = |kind| StorageError::new(kind, operation, path);
        match self {
            Self::NoAnswer(limit) => {
                error(StorageErrorKind::Unknown).because(format!("HDFS gave no answer within {} s", limit.as_secs()))
            }
            Self::Refused(why) => error(StorageErrorKind::Unknown).because(why),
            Self::Client(HdfsError::RPCError(exception, message) | HdfsError::FatalRPCError(exception, message)) => {
                let (kind, hint) = class_of(&exception);
                let short = exception.rsplit('.').next().unwrap_or(&exception);
                error(kind).because(format!("{hint}{short}: {}", first_line(&message)))
            }
            Self::Client(HdfsError::AlreadyExists(message)) => {
                error(StorageErrorKind::AlreadyExists).because(first_line(&message))
            }
            Self::Client(client) => {
                // Of the library's errors only the words: the rest are numbers.
                let said =
                    if let HdfsError::GSSAPIError(_, _, words) = &client { words.clone() } else { client.to_string() };
                match kerberos::advice(&said) {
                    None => error(kind_of(&client)).because(client),
                    Some(advice) => {
                        let kind = if advice.may_pass { StorageErrorKind::Unknown } else { StorageErrorKind::Denied };
                        error(kind).because(format!("{}: {said}", advice.what))
                    }
                }
            }
        }
    }
}

/// A Java message without its stack trace.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

/// What an exception of the NameNode means, and what to say before its own text.
fn class_of(exception: &str) -> (StorageErrorKind, &'static str) {
    let name = exception.rsplit(['.', '$']).next().unwrap_or(exception);
    match name {
        "FileNotFoundException" => (StorageErrorKind::NotFound, ""),
        "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => (StorageErrorKind::AlreadyExists, ""),
        "AccessControlException" | "AuthorizationException" | "SaslException" | "GSSException" | "InvalidToken" => {
            (StorageErrorKind::Denied, "")
        }
        "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaByStorageTypeExceededException" => {
            (StorageErrorKind::NoSpace, "")
        }
        "SafeModeException" => {
            (StorageErrorKind::Unknown, "the NameNode is in safe mode and takes no changes until it leaves it: ")
        }
        "StandbyException" => (
            StorageErrorKind::Unknown,
            "this NameNode is a standby; name the name service instead, with HADOOP_CONF_DIR set: ",
        ),
        _ => (StorageErrorKind::Unknown, ""),
    }
}

/// What an error of the client itself means.
fn kind_of(error: &HdfsError) -> StorageErrorKind {
    match error {
        HdfsError::FileNotFound(_) => StorageErrorKind::NotFound,
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => StorageErrorKind::Denied,
        HdfsError::DataTransferError(text) if text.contains("DiskOutOfSpaceException") => StorageErrorKind::NoSpace,
        _ => StorageErrorKind::Unknown,
    }
}

fn absent_is_none<T>(result: StorageResult<T>) -> StorageResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn entry(status: &FileStatus) -> Entry {
    Entry {
        name: status.path.rsplit('/').next().unwrap_or_default().to_owned(),
        length: if status.isdir { 0 } else { status.length as u64 },
        is_directory: status.isdir,
        modified_ms: i64::try_from(status.modification_time).unwrap_or(i64::MAX),
    }
}

async fn list(client: &Client, path: &str) -> std::result::Result<Vec<Entry>, Failure> {
    let children = client.list_status_iter(path, false);
    let mut entries = Vec::new();
    // The NameNode answers with pages of about a thousand names, one call each.
    while let Some(status) = within(ANSWER, async { children.next().await.transpose() }).await? {
        // A file lists as itself.
        if status.path == path {
            return Err(Failure::Refused("it is a file, not a directory"));
        }
        entries.push(entry(&status));
    }
    Ok(entries)
}

async fn read(client: &Client, path: &str, range: Option<Range<u64>>) -> std::result::Result<Bytes, Failure> {
    let reader = within(ANSWER, client.read(path)).await?;
    let length = reader.file_length();
    let (start, end) = match range {
        None => (0, length),
        Some(range) => (
            usize::try_from(range.start).map_err(|_| Failure::Refused("not a range"))?,
            usize::try_from(range.end).map_err(|_| Failure::Refused("not a range"))?,
        ),
    };
    // The client panics beyond the end.
    if start > end || end > length {
        return Err(Failure::Refused("the file is shorter than what was asked for"));
    }
    let mut bytes = BytesMut::with_capacity(end - start);
    if start < end {
        let mut pieces = Box::pin(reader.read_range_stream(start, end - start));
        while let Some(piece) = within(TRANSFER, async { pieces.next().await.transpose() }).await? {
            bytes.extend_from_slice(&piece);
        }
    }
    if bytes.len() != end - start {
        return Err(Failure::Refused("the file ended before its length"));
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_classed_by_what_the_caller_can_do() {
        use StorageErrorKind::{AlreadyExists, Denied, NoSpace, NotFound, Unknown};
        let cases = [
            ("java.io.FileNotFoundException", NotFound),
            ("org.apache.hadoop.fs.FileAlreadyExistsException", AlreadyExists),
            ("org.apache.hadoop.security.AccessControlException", Denied),
            ("org.apache.hadoop.security.token.SecretManager$InvalidToken", Denied),
            ("org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", NoSpace),
            ("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", NoSpace),
            ("org.apache.hadoop.hdfs.server.namenode.SafeModeException", Unknown),
            ("org.apache.hadoop.ipc.StandbyException", Unknown),
            ("java.io.IOException", Unknown),
            ("", Unknown),
        ];
        for (exception, kind) in cases {
            let failure = Failure::Client(HdfsError::RPCError(exception.into(), "first line\n\tat a.b.c".into()));
            let error = failure.of("rename", "/a");
            assert_eq!(error.kind, kind, "{exception}");
            let text = error.source.map(|source| source.to_string()).unwrap_or_default();
            assert!(text.ends_with("first line"), "{text}");
        }
    }

    #[test]
    fn a_name_service_that_nothing_describes_is_a_mistake_in_the_file() {
        let error = HdfsStorage::open("no-such-service", &StorageOptions::default()).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
        assert!(error.what_to_do().unwrap().contains("HADOOP_CONF_DIR"));
    }

    #[test]
    fn one_client_serves_all_locations_of_a_name_service() {
        let first = HdfsStorage::open("localhost:1", &StorageOptions::default()).unwrap();
        let options = StorageOptions { file_mode: Some(0o640), ..StorageOptions::default() };
        let second = HdfsStorage::open("localhost:1", &options).unwrap();
        assert_eq!(second.directory_mode, 0o750);
        assert_eq!(first.directory_mode, 0o755);
        assert_eq!(format!("{first:?}"), "HdfsStorage { authority: \"localhost:1\", .. }");
        let shared = SHARED.lock().unwrap();
        assert_eq!(shared.clients.keys().filter(|authority| *authority == "localhost:1").count(), 1);
    }

    #[tokio::test]
    async fn no_answer_is_an_unknown_outcome() {
        let Err(failure) = within::<()>(Duration::ZERO, std::future::pending()).await else { panic!("an answer") };
        let error = failure.of("rename", "/a");
        assert_eq!(error.kind, StorageErrorKind::Unknown);
        assert!(error.source.unwrap().to_string().contains("no answer within"));
    }

    #[tokio::test]
    async fn a_panic_of_the_client_is_an_unknown_outcome() {
        let io = Io(Handle::current());
        let error = io.run::<()>("stat", "/a", async { panic!("an answer that the client cannot read") }).await;
        assert_eq!(error.unwrap_err().kind, StorageErrorKind::Unknown);
    }
}

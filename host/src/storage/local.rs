//! A directory tree of this machine.
//!
//! Guarantees: a rename is one `renameat2` with `RENAME_NOREPLACE`, never link and unlink, so that no moment exists at
//! which both names or none are there; what was synced and then renamed survives a power loss, because a rename also
//! syncs the directory that it moves into, and a new directory its parent. Modes follow the umask.
//!
//! Every call runs on the blocking threads of the tokio runtime that it is made on. A call whose future is dropped goes
//! on there, as [`Storage`] allows. Nothing here is tried again, and nothing knows what the files are for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Entry, FileWriter, Storage, StorageError, StorageErrorKind, StorageResult};

/// How often a file is created again after its directory vanished in between: somebody removes empty directories.
const CREATE_TRIES: u32 = 3;

/// The local disk.
#[derive(Debug, Clone, Copy)]
pub struct LocalStorage {
    /// Whether `close` syncs what was not synced before. Default `true`: the power of one machine is lost more easily
    /// than that of all DataNodes.
    pub sync_on_close: bool,
}

impl Default for LocalStorage {
    fn default() -> Self {
        Self { sync_on_close: true }
    }
}

struct LocalWriter {
    path: String,
    /// `None` once closed.
    file: Option<Arc<File>>,
    unsynced: bool,
    sync_on_close: bool,
}

#[async_trait]
impl FileWriter for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> StorageResult<()> {
        self.unsynced = true;
        self.on_file("write", move |mut file| file.write_all(&bytes)).await
    }

    async fn sync(&mut self) -> StorageResult<()> {
        self.on_file("sync", File::sync_all).await?;
        self.unsynced = false;
        Ok(())
    }

    async fn close(&mut self) -> StorageResult<()> {
        let sync = self.sync_on_close && self.unsynced;
        let closed = self.on_file("close", move |file| if sync { file.sync_all() } else { Ok(()) }).await;
        self.file = None;
        closed
    }
}

impl LocalWriter {
    async fn on_file(
        &self,
        operation: &'static str,
        work: impl FnOnce(&File) -> io::Result<()> + Send + 'static,
    ) -> StorageResult<()> {
        let file = self.file.clone();
        blocking(operation, &self.path, move |_| match file {
            Some(file) => work(&file),
            None => Err(io::Error::other("the file was closed before")),
        })
        .await
    }
}

#[async_trait]
impl Storage for LocalStorage {
    async fn create(&self, path: &str) -> StorageResult<Box<dyn FileWriter>> {
        let file = blocking("create", path, create).await?;
        Ok(Box::new(LocalWriter {
            path: path.to_owned(),
            file: Some(Arc::new(file)),
            // An empty file is something to sync, too.
            unsynced: true,
            sync_on_close: self.sync_on_close,
        }))
    }

    async fn read(&self, path: &str) -> StorageResult<Bytes> {
        blocking("read", path, |path| fs::read(path).map(Bytes::from)).await
    }

    async fn read_range(&self, path: &str, range: Range<u64>) -> StorageResult<Bytes> {
        blocking("read", path, move |path| read_range(path, range)).await
    }

    async fn stat(&self, path: &str) -> StorageResult<Option<Entry>> {
        blocking("stat", path, |path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            absent_is_none(fs::metadata(path).map(|metadata| entry(name, &metadata)))
        })
        .await
    }

    async fn list(&self, path: &str) -> StorageResult<Vec<Entry>> {
        blocking("list", path, |path| Ok(absent_is_none(list(path))?.unwrap_or_default())).await
    }

    async fn rename(&self, from: &str, to: &str) -> StorageResult<()> {
        let target = to.to_owned();
        blocking("rename", from, move |from| rename(from, Path::new(&target))).await
    }

    async fn create_directory(&self, path: &str) -> StorageResult<()> {
        blocking("create directory", path, create_directory).await
    }

    async fn delete(&self, path: &str) -> StorageResult<bool> {
        blocking("delete", path, |path| {
            let deleted = match fs::remove_file(path) {
                Err(error) if error.kind() == ErrorKind::IsADirectory => fs::remove_dir(path),
                other => other,
            };
            Ok(absent_is_none(deleted)?.is_some())
        })
        .await
    }
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    path: &str,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> StorageResult<T> {
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || work(Path::new(&owned))).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StorageError::new(kind_of(&error), operation, path).because(error)),
        // The runtime is shutting down, or the work panicked.
        Err(error) => Err(StorageError::new(StorageErrorKind::Unknown, operation, path).because(error)),
    }
}

/// What the caller can do about an error of the operating system.
fn kind_of(error: &io::Error) -> StorageErrorKind {
    match error.kind() {
        ErrorKind::NotFound => StorageErrorKind::NotFound,
        ErrorKind::AlreadyExists => StorageErrorKind::AlreadyExists,
        // The last is this module's own: a file system without the rename that the protocol needs.
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::Unsupported => {
            StorageErrorKind::Denied
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageErrorKind::NoSpace,
        _ => StorageErrorKind::Unknown,
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn entry(name: String, metadata: &fs::Metadata) -> Entry {
    let modified_ms = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let is_directory = metadata.is_dir();
    Entry { name, length: if is_directory { 0 } else { metadata.len() }, is_directory, modified_ms }
}

fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for child in fs::read_dir(path)? {
        let child = child?;
        // Gone between the two calls: it is not there any more, which is a right answer.
        if let Some(metadata) = absent_is_none(fs::metadata(child.path()))? {
            entries.push(entry(child.file_name().to_string_lossy().into_owned(), &metadata));
        }
    }
    Ok(entries)
}

fn create(path: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        tries += 1;
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && tries <= CREATE_TRIES => {
                create_directory(path.parent().ok_or(error)?)?;
            }
            other => return other,
        }
    }
}

fn read_range(path: &Path, range: Range<u64>) -> io::Result<Bytes> {
    let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not a range"))?;
    let mut file = File::open(path)?;
    // Asked before anything is reserved: the range may come from a damaged footer.
    if range.end > file.metadata()?.len() {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file is shorter than what was asked for"));
    }
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(|errno| match errno {
        // What the kernel answers for a file system that cannot: NFS, some FUSE and network file systems.
        rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP => io::Error::new(
            ErrorKind::Unsupported,
            "this file system has no rename that refuses to overwrite (RENAME_NOREPLACE), and nothing is exactly once \
             without it: use a local disk (ext4, XFS, Btrfs, tmpfs) or hdfs://",
        ),
        errno => errno.into(),
    })?;
    sync_directory(to.parent())
}

/// Creates what is missing of `path`, and makes each new name survive a power loss.
fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => sync_directory(path.parent()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_directory(path.parent().ok_or(error)?)?;
            // Another process may have been faster, or may have removed the parent again: both are its answer.
            match fs::create_dir(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
                Err(error) => Err(error),
                Ok(()) => sync_directory(path.parent()),
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_directory(path: Option<&Path>) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // A file system that does not sync directories (some FUSE ones) orders them by itself.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        // Removed again by somebody else: there is nothing left to keep.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn errors_of_the_system_are_classed_by_what_the_caller_can_do() {
        use StorageErrorKind::{AlreadyExists, Denied, NoSpace, NotFound, Unknown};
        let cases = [
            (Errno::NOENT, NotFound),
            (Errno::EXIST, AlreadyExists),
            (Errno::ACCESS, Denied),
            (Errno::PERM, Denied),
            (Errno::ROFS, Denied),
            (Errno::NOSPC, NoSpace),
            (Errno::DQUOT, NoSpace),
            (Errno::IO, Unknown),
            (Errno::NOTEMPTY, Unknown),
            (Errno::NOTDIR, Unknown),
            (Errno::MFILE, Unknown),
        ];
        for (errno, kind) in cases {
            assert_eq!(kind_of(&errno.into()), kind, "{errno:?}");
        }
    }

    #[tokio::test]
    async fn a_file_system_without_the_rename_is_refused_with_the_way_out() {
        // Linux answers EINVAL there, as it does for a directory that is moved into itself.
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("a"), root.path().join("a/b"));
        fs::create_dir(&from).unwrap();
        let error = LocalStorage::default().rename(from.to_str().unwrap(), to.to_str().unwrap()).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Denied);
        assert!(error.source.unwrap().to_string().contains("RENAME_NOREPLACE"));
    }

    #[tokio::test]
    async fn a_closed_file_takes_nothing_more() {
        let root = tempfile::tempdir().unwrap();
        let path = format!("{}/x/y/file", root.path().display());
        let mut writer = LocalStorage { sync_on_close: false }.create(&path).await.unwrap();
        writer.write(Bytes::from_static(b"ab")).await.unwrap();
        writer.close().await.unwrap();
        assert!(writer.write(Bytes::from_static(b"c")).await.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"ab");
    }
}

//! An in-memory storage that fails in every way that a real one does: not applied, applied and not answered, applied
//! late, sent twice by the client, half written, full, gone for a while. And the reader that looks at the plain
//! directories after every single change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use wasmill::storage::{Entry, FileWriter, Storage, StorageError, StorageErrorKind, StorageResult};

use super::executor::Simulator;

/// How often each fault happens: once in so many operations, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) not_applied: u64,
    pub(super) unanswered: u64,
    pub(super) late: u64,
    pub(super) sent_twice: u64,
    pub(super) unread: u64,
}

/// A message's identity: topic partition and offset.
pub(super) type MessageId = (i32, i64);

#[derive(Debug, Clone)]
enum Mutation {
    Create(String),
    Append(String, Bytes),
    Close(String),
    Rename(String, String),
    MakeDirectory(String),
    Delete(String),
}

impl Mutation {
    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Append(..) => "write",
            Self::Close(_) => "close",
            Self::Rename(..) => "rename",
            Self::MakeDirectory(_) => "create_directory",
            Self::Delete(_) => "delete",
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Create(path) | Self::Append(path, _) | Self::Close(path) => path,
            Self::Rename(path, _) | Self::MakeDirectory(path) | Self::Delete(path) => path,
        }
    }
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    closed: bool,
}

#[derive(Default)]
struct Contents {
    files: BTreeMap<String, File>,
    directories: BTreeSet<String>,
    late: Vec<Mutation>,
    visible: HashMap<MessageId, String>,
    violations: Vec<String>,
    trace: Vec<String>,
}

/// The storage that all hosts of a world share.
pub(super) struct Disk {
    simulator: Arc<Simulator>,
    contents: Mutex<Contents>,
    faults: Mutex<Faults>,
    outage: Mutex<bool>,
    /// How often each point was hit: `rename unanswered`.
    pub(super) hits: Mutex<BTreeMap<String, u64>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub(super) fn new(simulator: &Arc<Simulator>) -> Arc<Self> {
        Arc::new(Self {
            simulator: Arc::clone(simulator),
            contents: Mutex::default(),
            faults: Mutex::default(),
            outage: Mutex::new(false),
            hits: Mutex::default(),
        })
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    pub(super) fn set_outage(&self, outage: bool) {
        *self.outage.lock().unwrap() = outage;
    }

    /// Applies one of the operations that are to land late, drawn at random.
    pub(super) fn land_late(&self) {
        let mut contents = self.contents.lock().unwrap();
        if contents.late.is_empty() {
            return;
        }
        let index = self.simulator.draw(contents.late.len() as u64) as usize;
        let mutation = contents.late.swap_remove(index);
        contents.trace.push(format!("late: {mutation:?}"));
        let _ = contents.apply(&mutation);
    }

    pub(super) fn late(&self) -> usize {
        self.contents.lock().unwrap().late.len()
    }

    pub(super) fn note(&self, text: String) {
        self.contents.lock().unwrap().trace.push(text);
    }

    /// Messages that a reader of the plain directories sees.
    pub(super) fn visible(&self) -> usize {
        self.contents.lock().unwrap().visible.len()
    }

    pub(super) fn is_visible(&self, id: &MessageId) -> bool {
        self.contents.lock().unwrap().visible.contains_key(id)
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.contents.lock().unwrap().violations.clone()
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.contents.lock().unwrap().trace.clone()
    }

    /// Files whose path contains `part`.
    pub(super) fn files_with(&self, part: &str) -> Vec<String> {
        self.contents.lock().unwrap().files.keys().filter(|path| path.contains(part)).cloned().collect()
    }

    fn hit(&self, operation: &str, fault: &str) {
        *self.hits.lock().unwrap().entry(format!("{operation} {fault}")).or_default() += 1;
    }

    async fn mutate(&self, mutation: Mutation) -> StorageResult<()> {
        self.simulator.pass().await;
        let unknown = || StorageError::new(StorageErrorKind::Unknown, mutation.name(), mutation.path());
        if *self.outage.lock().unwrap() {
            return Err(unknown());
        }
        let faults = *self.faults.lock().unwrap();
        let draw = |times| self.simulator.once_in(times);
        let fault = if draw(faults.not_applied) {
            "not applied"
        } else if draw(faults.unanswered) {
            "unanswered"
        } else if draw(faults.late) {
            "late"
        } else if draw(faults.sent_twice) {
            "sent twice"
        } else {
            "clean"
        };
        self.hit(mutation.name(), fault);
        let result = {
            let mut contents = self.contents.lock().unwrap();
            contents.trace.push(format!("{fault}: {mutation:?}"));
            match fault {
                "not applied" => Err(unknown()),
                "unanswered" => {
                    let half = match &mutation {
                        Mutation::Append(path, bytes) => Mutation::Append(path.clone(), bytes.slice(..bytes.len() / 2)),
                        other => other.clone(),
                    };
                    let _ = contents.apply(&half);
                    Err(unknown())
                }
                "late" => {
                    contents.late.push(mutation.clone());
                    Err(unknown())
                }
                "sent twice" if !matches!(mutation, Mutation::Append(..)) => {
                    let _ = contents.apply(&mutation);
                    contents.apply(&mutation)
                }
                _ => contents.apply(&mutation),
            }
        };
        self.simulator.pass().await;
        result
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        path: &str,
        answer: impl FnOnce(&Contents) -> StorageResult<T>,
    ) -> StorageResult<T> {
        self.simulator.pass().await;
        let unread = self.faults.lock().unwrap().unread;
        if *self.outage.lock().unwrap() || self.simulator.once_in(unread) {
            self.hit(operation, "unread");
            return Err(StorageError::new(StorageErrorKind::Unknown, operation, path));
        }
        self.hit(operation, "clean");
        let answer = answer(&self.contents.lock().unwrap());
        self.simulator.pass().await;
        answer
    }
}

fn is_visible(path: &str) -> bool {
    let below = path.strip_prefix("/table/").or_else(|| path.strip_prefix("/dead/"));
    below.is_some_and(|below| !below.split('/').any(|part| part.starts_with(['_', '.'])))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Contents {
    fn apply(&mut self, mutation: &Mutation) -> StorageResult<()> {
        let error = |kind| Err(StorageError::new(kind, mutation.name(), mutation.path()));
        match mutation {
            Mutation::Create(path) => {
                if self.files.contains_key(path) {
                    return error(StorageErrorKind::AlreadyExists);
                }
                self.make_directories(parent(path));
                self.files.insert(path.clone(), File::default());
                if is_visible(path) {
                    self.violations.push(format!("{path} was created where readers look"));
                }
            }
            Mutation::Append(path, bytes) => match self.files.get_mut(path) {
                Some(file) if !file.closed => file.bytes.extend_from_slice(bytes),
                _ => return error(StorageErrorKind::NotFound),
            },
            Mutation::Close(path) => match self.files.get_mut(path) {
                Some(file) => file.closed = true,
                None => return error(StorageErrorKind::NotFound),
            },
            Mutation::Rename(from, to) => {
                if !self.files.contains_key(from) || !self.directories.contains(parent(to)) {
                    return error(StorageErrorKind::NotFound);
                }
                if self.files.contains_key(to) {
                    return error(StorageErrorKind::AlreadyExists);
                }
                if let Some(file) = self.files.remove(from) {
                    if is_visible(to) {
                        self.appeared(to, &file);
                    }
                    self.files.insert(to.clone(), file);
                }
            }
            Mutation::MakeDirectory(path) => self.make_directories(path),
            Mutation::Delete(path) => {
                if is_visible(path) && self.files.contains_key(path) {
                    self.violations.push(format!("{path} was deleted where readers look"));
                }
                if self.files.remove(path).is_none() {
                    let inside = format!("{path}/");
                    if self.files.range(inside.clone()..).next().is_some_and(|(file, _)| file.starts_with(&inside)) {
                        return error(StorageErrorKind::Unknown);
                    }
                    if !self.directories.remove(path) {
                        return error(StorageErrorKind::NotFound);
                    }
                }
            }
        }
        Ok(())
    }

    fn make_directories(&mut self, path: &str) {
        let mut path = path;
        while !path.is_empty() && self.directories.insert(path.to_owned()) {
            path = parent(path);
        }
    }

    /// A file appeared where readers look: it must be whole, and hold no row that is visible already.
    fn appeared(&mut self, path: &str, file: &File) {
        let rows = if file.closed { read_rows(path, &file.bytes) } else { Err("it is still being written".to_owned()) };
        match rows {
            Err(why) => self.violations.push(format!("{path} became visible, but {why}")),
            Ok(rows) => {
                for id in rows {
                    if let Some(other) = self.visible.insert(id, path.to_owned()) {
                        self.violations.push(format!("row {id:?} is visible in {path} and in {other}"));
                    }
                }
            }
        }
    }
}

/// The messages whose rows a published file holds: `id` of the table, or the coordinates in the dead letters.
fn read_rows(path: &str, bytes: &[u8]) -> Result<Vec<MessageId>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)).and_then(|b| b.build());
    let mut rows = Vec::new();
    for batch in reader.map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        if path.starts_with("/dead/") {
            let partitions = batch.column_by_name("topic_partition").ok_or("no topic_partition")?;
            let offsets = batch.column_by_name("offset").ok_or("no offset")?;
            let partitions = partitions.as_primitive::<Int32Type>().values().iter().copied();
            rows.extend(partitions.zip(offsets.as_primitive::<Int64Type>().values().iter().copied()));
        } else {
            let ids = batch.column_by_name("id").ok_or("no id")?;
            let ids = ids.as_primitive::<Int64Type>().values().iter();
            rows.extend(ids.map(|id| ((id / 1_000_000) as i32, id % 1_000_000)));
        }
    }
    Ok(rows)
}

struct Writer {
    disk: Arc<Disk>,
    path: String,
}

#[async_trait]
impl FileWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> StorageResult<()> {
        self.disk.mutate(Mutation::Append(self.path.clone(), bytes)).await
    }

    async fn sync(&mut self) -> StorageResult<()> {
        Ok(())
    }

    async fn close(&mut self) -> StorageResult<()> {
        self.disk.mutate(Mutation::Close(self.path.clone())).await
    }
}

/// A host's view of the disk.
#[derive(Debug, Clone)]
pub(super) struct Mounted(pub(super) Arc<Disk>);

#[async_trait]
impl Storage for Mounted {
    async fn create(&self, path: &str) -> StorageResult<Box<dyn FileWriter>> {
        self.0.mutate(Mutation::Create(path.to_owned())).await?;
        Ok(Box::new(Writer { disk: Arc::clone(&self.0), path: path.to_owned() }))
    }

    async fn read(&self, path: &str) -> StorageResult<Bytes> {
        let missing = || StorageError::new(StorageErrorKind::NotFound, "read", path);
        let bytes = |c: &Contents| c.files.get(path).map(|f| Bytes::from(f.bytes.clone())).ok_or_else(missing);
        self.0.ask("read", path, bytes).await
    }

    async fn read_range(&self, path: &str, range: Range<u64>) -> StorageResult<Bytes> {
        Ok(self.read(path).await?.slice(range.start as usize..range.end as usize))
    }

    async fn stat(&self, path: &str) -> StorageResult<Option<Entry>> {
        let entry = |c: &Contents| {
            let entry = |length, is_directory| Entry { name: String::new(), length, is_directory, modified_ms: 0 };
            let file = c.files.get(path).map(|file| entry(file.bytes.len() as u64, false));
            Ok(file.or_else(|| c.directories.contains(path).then(|| entry(0, true))))
        };
        self.0.ask("stat", path, entry).await
    }

    async fn list(&self, path: &str) -> StorageResult<Vec<Entry>> {
        let entries = |c: &Contents| {
            let child = |full: &String| full.strip_prefix(path)?.strip_prefix('/').map(str::to_owned);
            let direct = |name: &String| !name.contains('/');
            let entry = |name, length, is_directory| Entry { name, length, is_directory, modified_ms: 0 };
            let files = c.files.iter().filter_map(|(full, file)| Some((child(full)?, file.bytes.len() as u64)));
            let files = files.filter(|(name, _)| direct(name)).map(|(name, length)| entry(name, length, false));
            let directories = c.directories.iter().filter_map(child).filter(direct);
            Ok(files.chain(directories.map(|name| entry(name, 0, true))).collect())
        };
        self.0.ask("list", path, entries).await
    }

    async fn rename(&self, from: &str, to: &str) -> StorageResult<()> {
        self.0.mutate(Mutation::Rename(from.to_owned(), to.to_owned())).await
    }

    async fn create_directory(&self, path: &str) -> StorageResult<()> {
        self.0.mutate(Mutation::MakeDirectory(path.to_owned())).await
    }

    async fn delete(&self, path: &str) -> StorageResult<bool> {
        match self.0.mutate(Mutation::Delete(path.to_owned())).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }
}

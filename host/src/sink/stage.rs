//! Staging: shipping the encoded bytes of a part file to storage while it is still being filled.
//!
//! A worker hands over bytes and never waits; a task writes them in order and closes the file in the end. A staged file
//! is known to nobody before a record names it, so a failure here costs only the open range, which is read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use crate::checkpoint::{Id, Protocol};
use crate::runtime::Runtime;
use crate::storage::{FileWriter, Storage, StorageError, StorageErrorKind, StorageResult};

/// How often a file is created under a new name after an unclear answer.
const TRIES: u32 = 5;

/// What the end of a file adds at most to what its encoder holds: page index and footer, which are nearly all of a small file.
const END_BYTES: usize = 4 << 10;

/// Bytes that all open files of the process hold: one budget for all of them.
#[derive(Debug)]
pub struct Memory {
    budget: usize,
    encoding: AtomicUsize,
    /// Held by encoders whose files are ended: it becomes the last bytes of so many files.
    ending: AtomicUsize,
    ends: AtomicUsize,
    shipping: AtomicUsize,
}

impl Memory {
    /// A budget of `budget` bytes, nothing of it used.
    pub fn new(budget: usize) -> Arc<Self> {
        let none = || AtomicUsize::new(0);
        Arc::new(Self { budget, encoding: none(), ending: none(), ends: none(), shipping: none() })
    }

    /// Whether open files hold more than their budget.
    pub fn is_over(&self) -> bool {
        self.used() > self.budget
    }

    /// By how many bytes the budget is passed.
    pub fn excess(&self) -> usize {
        self.used().saturating_sub(self.budget)
    }

    /// Whether storage is so far behind that reading on would only fill memory.
    pub fn is_storage_behind(&self) -> bool {
        self.waiting_for_storage() > self.budget / 2
    }

    /// Whether storage has so much to do that a range which need not end now had better wait.
    pub fn is_storage_busy(&self) -> bool {
        self.waiting_for_storage() > self.budget / 8
    }

    fn waiting_for_storage(&self) -> usize {
        let ending = self.ending.load(Ordering::Relaxed) + self.ends.load(Ordering::Relaxed) * END_BYTES;
        self.shipping.load(Ordering::Relaxed) + ending
    }

    /// Bytes that may be held.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        let held = [&self.encoding, &self.ending, &self.shipping];
        held.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// What one encoder holds of the budget.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: usize,
    /// It only waits for its end and for storage.
    ended: bool,
}

impl Held {
    /// Nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), bytes: 0, ended: false }
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// So many bytes are held now.
    pub fn change(&mut self, bytes: usize) {
        let counter = if self.ended { &self.memory.ending } else { &self.memory.encoding };
        match bytes.checked_sub(self.bytes) {
            Some(more) => counter.fetch_add(more, Ordering::Relaxed),
            None => counter.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }

    /// Nothing is put in any more: it counts as waiting for storage, so that it is reading that stops when there is too much
    /// of it.
    pub fn end(&mut self) {
        if !self.ended {
            let held = self.bytes;
            self.change(0);
            self.ended = true;
            self.memory.ends.fetch_add(1, Ordering::Relaxed);
            self.change(held);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.change(0);
        self.memory.ends.fetch_sub(usize::from(self.ended), Ordering::Relaxed);
    }
}

/// A file that was closed in a staging directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// Its absolute path.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Where and how uploads are staged.
#[derive(Clone)]
pub struct Staging {
    /// The table's storage.
    pub storage: Arc<dyn Storage>,
    /// The take-over's staging directory on it.
    pub directory: String,
    /// Tasks, time and randomness.
    pub runtime: Arc<dyn Runtime>,
    /// The rules.
    pub protocol: Protocol,
    /// The budget that queued bytes count against.
    pub memory: Arc<Memory>,
}

/// Encoded bytes that wait for storage. They count against the budget until they are written or dropped.
pub struct Queued {
    bytes: Bytes,
    memory: Arc<Memory>,
}

impl Queued {
    /// Counts `bytes` from now on.
    pub fn new(bytes: Bytes, memory: &Arc<Memory>) -> Self {
        memory.shipping.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { bytes, memory: Arc::clone(memory) }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.memory.shipping.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

enum Part {
    Bytes(Queued),
    End,
}

/// A file that goes to storage while it is being filled. Dropping it abandons the file.
pub struct Upload {
    parts: mpsc::UnboundedSender<Part>,
    staged: oneshot::Receiver<StorageResult<StagedFile>>,
}

impl Upload {
    /// Starts the task that writes a new file into `staging`.
    pub fn start(staging: &Staging) -> Self {
        let (parts, receiver) = mpsc::unbounded();
        let (answer, staged) = oneshot::channel();
        let task = Task { staging: staging.clone(), parts: receiver };
        staging.runtime.spawn(Box::pin(async move {
            // Nobody waits any more when the range was dropped meanwhile.
            let _ = answer.send(task.run().await);
        }));
        Self { parts, staged }
    }

    /// Hands bytes over, to be written after all earlier ones.
    pub fn send(&self, bytes: Queued) {
        // Without a receiver the task has failed already; `finish` says why.
        let _ = self.parts.unbounded_send(Part::Bytes(bytes));
    }

    /// Closes the file once all bytes are written.
    pub async fn finish(self) -> StorageResult<StagedFile> {
        let _ = self.parts.unbounded_send(Part::End);
        let gone = || StorageError::new(StorageErrorKind::Unknown, "stage", "a file whose upload was cancelled");
        self.staged.await.unwrap_or_else(|_| Err(gone()))
    }
}

struct Task {
    staging: Staging,
    parts: mpsc::UnboundedReceiver<Part>,
}

impl Task {
    async fn run(mut self) -> StorageResult<StagedFile> {
        let mut file: Option<(String, Box<dyn FileWriter>)> = None;
        let mut written = 0;
        while let Some(part) = self.parts.next().await {
            let (path, writer) = match &mut file {
                Some(file) => (&file.0, &mut file.1),
                none => {
                    let file = none.insert(create(&self.staging).await?);
                    (&file.0, &mut file.1)
                }
            };
            match part {
                Part::Bytes(queued) => {
                    writer.write(queued.bytes.clone()).await?;
                    written += queued.bytes.len() as u64;
                }
                Part::End => {
                    writer.close().await?;
                    return Ok(StagedFile { path: path.clone(), bytes: written });
                }
            }
        }
        // The range was dropped: the file can never be named by a record. What cannot be deleted now is swept later.
        if let Some((path, writer)) = file {
            drop(writer);
            let _ = self.staging.storage.delete(&path).await;
        }
        Err(StorageError::new(StorageErrorKind::Unknown, "stage", &self.staging.directory))
    }
}

/// Stages a file whose bytes are all there.
pub async fn stage_whole(staging: Staging, queued: Queued) -> StorageResult<StagedFile> {
    let (path, mut writer) = create(&staging).await?;
    writer.write(queued.bytes.clone()).await?;
    writer.close().await?;
    Ok(StagedFile { path, bytes: queued.bytes.len() as u64 })
}

/// Creates a staged file. A name whose create was not a clean success is abandoned: the create may land late and would
/// then empty a file that was written under the same name meanwhile.
async fn create(staging: &Staging) -> StorageResult<(String, Box<dyn FileWriter>)> {
    let name = || format!("{}/{}.staged", staging.directory, Id(staging.runtime.random()));
    let mut path = name();
    let mut tries = 0;
    loop {
        match staging.storage.create(&path).await {
            Ok(writer) => return Ok((path, writer)),
            Err(error) if error.kind == StorageErrorKind::Unknown && tries < TRIES => {
                staging.runtime.sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
                tries += 1;
                if staging.protocol.abandon_unclear_creates {
                    path = name();
                }
            }
            Err(error) => return Err(error),
        }
    }
}

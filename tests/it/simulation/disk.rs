//! An in-memory storage that fails in every way that a real one does: not applied, applied and not answered, applied
//! late, sent twice by the client, half written, full, closed to us, gone for a while, slow; and at any of its operations
//! the host that asked may end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wasmill::storage::{Entry, FileWriter, Storage, StorageError, StorageErrorKind, StorageResult};

use super::books::Books;
use super::contents::{AUDITOR, Caller, Contents, File};
use super::executor::{Blow, Simulator};
use super::faults::{Faults, Trouble};
use super::reader::is_visible;
use super::spite::{self, Wait};
use super::steps::{Mutation, StepName, of_mutation, of_question};

/// How often each fault was injected at each step.
pub(super) type Hits = BTreeMap<(StepName, &'static str), u64>;

/// The storage that all hosts of a world share.
pub(super) struct Disk {
    simulator: Arc<Simulator>,
    books: Arc<Books>,
    pub(super) contents: Mutex<Contents>,
    faults: Mutex<Faults>,
    trouble: Mutex<Option<Trouble>>,
    is_traced: bool,
    hits: Mutex<Hits>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub(super) fn new(simulator: &Arc<Simulator>, books: &Arc<Books>, is_traced: bool) -> Arc<Self> {
        Arc::new(Self {
            simulator: Arc::clone(simulator),
            books: Arc::clone(books),
            contents: Mutex::default(),
            faults: Mutex::default(),
            trouble: Mutex::new(None),
            is_traced,
            hits: Mutex::default(),
        })
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// Applies one of the operations that are to land late, drawn at random.
    pub(super) fn land_late(&self) {
        let mut contents = self.contents.lock().unwrap();
        // What makes commits late keeps them as long as it lasts.
        let is_held = *self.trouble.lock().unwrap() == Some(Trouble::CommitsLate);
        if contents.late.is_empty() || is_held {
            return;
        }
        let index = self.simulator.draw(contents.late.len() as u64) as usize;
        self.land(&mut contents, index);
    }

    fn land(&self, contents: &mut Contents, index: usize) {
        let (caller, mutation) = contents.late.swap_remove(index);
        let result = self.apply(contents, caller, &mutation);
        if self.is_traced {
            let how = if result.is_ok() { "lands late" } else { "lands late, to no effect" };
            contents.trace.push(format!("{how}: {}", shown(&mutation)));
        }
    }

    pub(super) fn late(&self) -> usize {
        self.contents.lock().unwrap().late.len()
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        if self.is_traced {
            let text = format!("{:>6} ms  == {}", self.simulator.now().as_millis(), text());
            self.contents.lock().unwrap().trace.push(text);
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.contents.lock().unwrap().trace.clone()
    }

    pub(super) fn hits(&self) -> Hits {
        self.hits.lock().unwrap().clone()
    }

    pub(super) fn hit(&self, step: StepName, fault: &'static str) {
        *self.hits.lock().unwrap().entry((step, fault)).or_default() += 1;
    }

    fn trace_answer(&self, caller: Caller, step: StepName, fault: &str, what: &str, result: &str) {
        if self.is_traced {
            let now = self.simulator.now().as_millis();
            let host = caller.host;
            let text = format!("{now:>6} ms  host {host}  {step} ({fault}): {what} -> {result}");
            self.contents.lock().unwrap().trace.push(text);
        }
    }

    async fn mutate(&self, caller: Caller, mutation: Mutation) -> StorageResult<()> {
        self.simulator.pass().await;
        let faults = *self.faults.lock().unwrap();
        let step = of_mutation(&mutation, self.contents.lock().unwrap().circumstances(caller, &mutation));
        if let Some(wait) = spite::before(step, mutation.path()) {
            self.wait_with_spite(caller, &wait, &faults).await;
        }
        if step.starts_with("stage") && faults.staging_ms.1 > 0 {
            let takes = Duration::from_millis(self.simulator.draw_between(faults.staging_ms));
            self.simulator.sleep(takes).await;
        }
        let trouble = self.trouble.lock().unwrap().and_then(|trouble| trouble.of_mutation(&mutation, &self.simulator));
        let fault = trouble.unwrap_or_else(|| faults.of_mutation(step, &mutation, &self.simulator));
        self.hit(step, fault);
        let result = match fault {
            "clean" if faults.rename_by_copy && matches!(mutation, Mutation::Rename(..)) => {
                self.rename_by_copy(caller, &mutation, &faults).await
            }
            _ => self.apply_with(fault, caller, &mutation),
        };
        if self.is_traced {
            let result = result.as_ref().map_or_else(|error| error.to_string(), |()| "done".to_owned());
            self.trace_answer(caller, step, fault, &shown(&mutation), &result);
        }
        self.go_on(caller, step, mutation.target(), fault, &faults).await;
        result
    }

    /// Sometimes: the process is cut off, and goes on only when what it knows is wrong, or after a while.
    async fn wait_with_spite(&self, caller: Caller, wait: &Wait, faults: &Faults) {
        let share = if matches!(wait, Wait::Void) { faults.spite * 5 } else { faults.spite };
        if self.simulator.draw(10_000) >= share {
            return;
        }
        self.note(|| format!("host {} is slow: {wait}", caller.host));
        self.simulator.strike(Blow::CutOff(caller.host));
        let give_up = self.simulator.now() + Duration::from_millis(self.simulator.draw_between((200, 4_000)));
        while self.simulator.now() < give_up && !wait.is_over(&self.contents.lock().unwrap()) {
            self.simulator.sleep(Duration::from_millis(20)).await;
        }
        self.note(|| format!("host {} goes on", caller.host));
    }

    /// Applies a mutation as the fault wants it, and answers as the fault wants it.
    fn apply_with(&self, fault: &'static str, caller: Caller, mutation: &Mutation) -> StorageResult<()> {
        let error = |kind| Err(StorageError::new(kind, mutation.operation(), mutation.path()));
        let mut contents = self.contents.lock().unwrap();
        let contents = &mut *contents;
        match fault {
            "crash before" | "not applied" => error(StorageErrorKind::Unknown),
            "denied" => error(StorageErrorKind::Denied),
            "unanswered" | "crash in the middle" | "no space" if !mutation.is_whole() => {
                if let Mutation::Append(path, bytes) = mutation {
                    let half = Mutation::Append(path.clone(), bytes.slice(..bytes.len() / 2));
                    let _ = self.apply(contents, caller, &half);
                }
                error(if fault == "no space" { StorageErrorKind::NoSpace } else { StorageErrorKind::Unknown })
            }
            "no space" => error(StorageErrorKind::NoSpace),
            "unanswered" => {
                let _ = self.apply(contents, caller, mutation);
                error(StorageErrorKind::Unknown)
            }
            "late" | "crash in the middle" => {
                contents.late.push((caller, mutation.clone()));
                error(StorageErrorKind::Unknown)
            }
            "sent twice" => {
                let _ = self.apply(contents, caller, mutation);
                self.apply(contents, caller, mutation)
            }
            _ => self.apply(contents, caller, mutation),
        }
    }

    /// What comes after the operation: the process ends here, or hears the answer, or hears it only much later.
    async fn go_on(&self, caller: Caller, step: StepName, path: &str, fault: &'static str, faults: &Faults) {
        if fault.starts_with("crash") {
            self.simulator.strike(Blow::Crash(caller.host));
            std::future::pending::<()>().await;
        }
        if step == "fence confirm list" && self.simulator.draw(10_000) < faults.spite {
            self.simulator.strike(Blow::CutOff(caller.host));
        }
        let wait = spite::after(step, path, &self.contents.lock().unwrap());
        if let Some(wait) = wait {
            self.wait_with_spite(caller, &wait, faults).await;
        }
        if let Some(stall) = faults.stall_after(step, &self.simulator) {
            self.hit(step, "slow");
            self.note(|| format!("host {} is slow after {step}: {stall:?}", caller.host));
            if self.simulator.once_in(2) {
                self.simulator.strike(Blow::CutOff(caller.host));
            }
            self.simulator.sleep(stall).await;
        }
        if self.simulator.once_in(2) {
            self.simulator.pass().await;
        }
    }

    /// A rename as a copy and a delete with time between them: what rule V13 forbids.
    async fn rename_by_copy(&self, caller: Caller, mutation: &Mutation, faults: &Faults) -> StorageResult<()> {
        let Mutation::Rename(from, to) = mutation else { return Ok(()) };
        let error = |kind| Err(StorageError::new(kind, "rename", from));
        let copy = {
            let contents = self.contents.lock().unwrap();
            let Some(file) = contents.files.get(from) else { return error(StorageErrorKind::NotFound) };
            if contents.files.contains_key(to) {
                return error(StorageErrorKind::AlreadyExists);
            }
            file.bytes.clone()
        };
        if faults.stall_after("rename by copy", &self.simulator).is_some() {
            let steps = self.simulator.draw_between(faults.stall_ms);
            self.simulator.sleep(Duration::from_millis(steps)).await;
        }
        self.simulator.pass().await;
        let mut contents = self.contents.lock().unwrap();
        if contents.files.contains_key(to) {
            return error(StorageErrorKind::AlreadyExists);
        }
        if is_visible(to) {
            self.books.appeared(to, &copy, true);
        }
        contents.files.insert(to.clone(), File { bytes: copy, closed: true, author: caller });
        contents.files.remove(from);
        Ok(())
    }

    fn apply(&self, contents: &mut Contents, caller: Caller, mutation: &Mutation) -> StorageResult<()> {
        contents.apply(caller, mutation, &self.books)?;
        // An operation that is still on its way lands with spite: just when the name that it wants is free again.
        if let Mutation::Rename(path, _) | Mutation::Delete(path) = mutation {
            let is_wanted = |(_, late): &(Caller, Mutation)| matches!(late, Mutation::Create(wanted) if wanted == path);
            if let Some(index) = contents.late.iter().position(is_wanted) {
                self.land(contents, index);
            }
        }
        Ok(())
    }

    async fn ask<T: Send>(
        &self,
        caller: Caller,
        operation: &'static str,
        path: &str,
        answer: impl FnOnce(&mut Contents, bool) -> StorageResult<T> + Send,
    ) -> StorageResult<T> {
        self.simulator.pass().await;
        let renamed = match operation {
            "list" => self.contents.lock().unwrap().renamed.remove(&(caller, path.to_owned())),
            _ => None,
        };
        let step = of_question(operation, path, renamed);
        // Only hosts are tormented.
        let faults = if caller == AUDITOR { Faults::default() } else { *self.faults.lock().unwrap() };
        let trouble = self.trouble.lock().unwrap().and_then(|trouble| trouble.of_question(path));
        let fault = trouble.unwrap_or_else(|| faults.of_question(step, &self.simulator));
        self.hit(step, fault);
        let result = match fault {
            "clean" | "stale" | "crash after" => answer(&mut self.contents.lock().unwrap(), fault == "stale"),
            "denied" => Err(StorageError::new(StorageErrorKind::Denied, operation, path)),
            _ => Err(StorageError::new(StorageErrorKind::Unknown, operation, path)),
        };
        if self.is_traced {
            let result = result.as_ref().map_or_else(|error| error.to_string(), |_| "answered".to_owned());
            self.trace_answer(caller, step, fault, path, &result);
        }
        if let (Err(_), Some(renamed)) = (&result, renamed) {
            self.contents.lock().unwrap().renamed.insert((caller, path.to_owned()), renamed);
        }
        self.go_on(caller, step, path, fault, &faults).await;
        result
    }
}

fn shown(mutation: &Mutation) -> String {
    match mutation {
        Mutation::Append(path, bytes) => format!("write {path}, {} bytes", bytes.len()),
        Mutation::Rename(from, to) => format!("rename {from} to {to}"),
        other => format!("{} {}", other.operation(), other.path()),
    }
}

struct Writer {
    mounted: Mounted,
    path: String,
}

#[async_trait]
impl FileWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> StorageResult<()> {
        self.mounted.disk.mutate(self.mounted.caller, Mutation::Append(self.path.clone(), bytes)).await
    }

    async fn sync(&mut self) -> StorageResult<()> {
        Ok(())
    }

    async fn close(&mut self) -> StorageResult<()> {
        self.mounted.disk.mutate(self.mounted.caller, Mutation::Close(self.path.clone())).await
    }
}

/// A host's view of the disk.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    pub(super) disk: Arc<Disk>,
    pub(super) caller: Caller,
}

#[async_trait]
impl Storage for Mounted {
    async fn create(&self, path: &str) -> StorageResult<Box<dyn FileWriter>> {
        self.disk.mutate(self.caller, Mutation::Create(path.to_owned())).await?;
        Ok(Box::new(Writer { mounted: self.clone(), path: path.to_owned() }))
    }

    async fn read(&self, path: &str) -> StorageResult<Bytes> {
        let missing = || StorageError::new(StorageErrorKind::NotFound, "read", path);
        let bytes = |c: &mut Contents, _| c.files.get(path).map(|f| Bytes::from(f.bytes.clone())).ok_or_else(missing);
        self.disk.ask(self.caller, "read", path, bytes).await
    }

    async fn read_range(&self, path: &str, range: Range<u64>) -> StorageResult<Bytes> {
        Ok(self.read(path).await?.slice(range.start as usize..range.end as usize))
    }

    async fn stat(&self, path: &str) -> StorageResult<Option<Entry>> {
        let entry = |c: &mut Contents, _| {
            let entry = |length, is_directory| Entry { name: String::new(), length, is_directory, modified_ms: 0 };
            let file = c.files.get(path).map(|file| entry(file.bytes.len() as u64, false));
            Ok(file.or_else(|| c.directories.contains(path).then(|| entry(0, true))))
        };
        self.disk.ask(self.caller, "stat", path, entry).await
    }

    async fn list(&self, path: &str) -> StorageResult<Vec<Entry>> {
        let entries = |c: &mut Contents, is_stale: bool| {
            if !path.contains("/_staging/") {
                return Ok(c.entries(path));
            }
            let now = c.entries(path);
            let before = c.listed.insert(path.to_owned(), now.clone()).unwrap_or_default();
            Ok(if is_stale { before } else { now })
        };
        self.disk.ask(self.caller, "list", path, entries).await
    }

    async fn rename(&self, from: &str, to: &str) -> StorageResult<()> {
        self.disk.mutate(self.caller, Mutation::Rename(from.to_owned(), to.to_owned())).await
    }

    async fn create_directory(&self, path: &str) -> StorageResult<()> {
        self.disk.mutate(self.caller, Mutation::MakeDirectory(path.to_owned())).await
    }

    async fn delete(&self, path: &str) -> StorageResult<bool> {
        match self.disk.mutate(self.caller, Mutation::Delete(path.to_owned())).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }
}

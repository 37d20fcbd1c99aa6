//! What lies on the simulated disk, and how one operation changes it: a rename is one step and never overwrites, and every
//! change where readers look goes through the books.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasmill::storage::{Entry, StorageError, StorageErrorKind, StorageResult};

use super::books::{Books, Kind};
use super::reader::is_visible;
use super::steps::{Circumstances, Mutation, StepName, of_mutation};

/// Which process asks: a host, in one of its lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    pub(super) host: usize,
    pub(super) life: u64,
}

/// Who audits the table beside the hosts.
pub(super) const AUDITOR: Caller = Caller { host: usize::MAX, life: 0 };

#[derive(Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) closed: bool,
    pub(super) author: Caller,
}

/// What lies on the disk.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) files: BTreeMap<String, File>,
    pub(super) directories: BTreeSet<String>,
    pub(super) late: Vec<(Caller, Mutation)>,
    /// By whom and in which directory a record was made, until it is listed.
    pub(super) renamed: HashMap<(Caller, String), StepName>,
    /// What each staging directory held when it was last listed.
    pub(super) listed: HashMap<String, Vec<Entry>>,
    pub(super) trace: Vec<String>,
}

/// What is to be known of a record.
#[derive(serde::Deserialize)]
struct Range {
    start: i64,
    next: i64,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Contents {
    pub(super) fn circumstances(&self, caller: Caller, mutation: &Mutation) -> Circumstances {
        let file = self.files.get(mutation.path());
        let is_record = matches!(mutation, Mutation::Rename(_, to) if to.ends_with(".json"));
        let range = file.filter(|_| is_record).and_then(|file| serde_json::from_slice::<Range>(&file.bytes).ok());
        Circumstances {
            is_own: file.is_some_and(|file| file.author == caller),
            is_fence: range.is_some_and(|range| range.start == range.next),
            is_directory: self.directories.contains(mutation.path()),
        }
    }

    pub(super) fn apply(&mut self, caller: Caller, mutation: &Mutation, books: &Books) -> StorageResult<()> {
        let error = |kind| Err(StorageError::new(kind, mutation.operation(), mutation.path()));
        match mutation {
            Mutation::Create(path) => {
                if self.files.contains_key(path) {
                    return error(StorageErrorKind::AlreadyExists);
                }
                self.make_directories(parent(path));
                self.files.insert(path.clone(), File { author: caller, ..File::default() });
                if is_visible(path) {
                    books.violated(Kind::Touched, format!("{path} was created where readers look"));
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
            Mutation::Rename(from, to) => return self.rename(caller, mutation, from, to, books),
            Mutation::MakeDirectory(path) => self.make_directories(path),
            Mutation::Delete(path) => {
                if is_visible(path) && self.files.contains_key(path) {
                    books.violated(Kind::Touched, format!("{path} was deleted where readers look"));
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

    fn rename(
        &mut self,
        caller: Caller,
        mutation: &Mutation,
        from: &str,
        to: &str,
        books: &Books,
    ) -> StorageResult<()> {
        let error = |kind| Err(StorageError::new(kind, "rename", from));
        let circumstances = self.circumstances(caller, mutation);
        if !self.files.contains_key(from) || !self.directories.contains(parent(to)) {
            return error(StorageErrorKind::NotFound);
        }
        if self.files.contains_key(to) {
            return error(StorageErrorKind::AlreadyExists);
        }
        if let Some(file) = self.files.remove(from) {
            if is_visible(to) {
                books.appeared(to, &file.bytes, file.closed);
            }
            if to.ends_with(".json") {
                self.renamed.insert((caller, parent(to).to_owned()), of_mutation(mutation, circumstances));
            }
            self.files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn make_directories(&mut self, path: &str) {
        let mut path = path;
        while !path.is_empty() && self.directories.insert(path.to_owned()) {
            path = parent(path);
        }
    }

    pub(super) fn entries(&self, path: &str) -> Vec<Entry> {
        let inside = format!("{path}/");
        let direct = |full: &String| {
            let name = full.strip_prefix(&inside)?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        let entry = |name, length, is_directory| Entry { name, length, is_directory, modified_ms: 0 };
        let files = self.files.range(inside.clone()..).take_while(|(full, _)| full.starts_with(&inside));
        let files = files.filter_map(|(full, file)| Some(entry(direct(full)?, file.bytes.len() as u64, false)));
        let directories = self.directories.range(inside.clone()..).take_while(|full| full.starts_with(&inside));
        let directories = directories.filter_map(|full| Some(entry(direct(full)?, 0, true)));
        files.chain(directories).collect()
    }
}

//! The names of the steps: what an operation on the storage is for, read off its path. Faults are counted by these names,
//! so that a step at which nothing was ever injected shows.

use super::reader::is_visible;

/// What an operation is for.
pub(super) type StepName = &'static str;

/// A change of the storage.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    Create(String),
    Append(String, bytes::Bytes),
    Close(String),
    Rename(String, String),
    MakeDirectory(String),
    Delete(String),
}

impl Mutation {
    /// The operation, as in the storage's errors.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Append(..) => "write",
            Self::Close(_) => "close",
            Self::Rename(..) => "rename",
            Self::MakeDirectory(_) => "create_directory",
            Self::Delete(_) => "delete",
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Create(path) | Self::Append(path, _) | Self::Close(path) => path,
            Self::Rename(path, _) | Self::MakeDirectory(path) | Self::Delete(path) => path,
        }
    }

    /// Where a rename leads; the path of anything else.
    pub(super) fn target(&self) -> &str {
        match self {
            Self::Rename(_, to) => to,
            other => other.path(),
        }
    }

    /// Whether the storage applies it as a whole or not at all.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Append(..))
    }
}

/// What is known of an operation beyond its path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// The file was made by the process that asks, in this life of it.
    pub(super) is_own: bool,
    /// The file holds a fence.
    pub(super) is_fence: bool,
    /// It is a directory.
    pub(super) is_directory: bool,
}

/// Every step that changes the storage.
pub(super) const MUTATIONS: [StepName; 21] = [
    "stage create",
    "stage write",
    "stage close",
    "temporary create",
    "temporary write",
    "temporary close",
    "record rename",
    "fence rename",
    "publish directory",
    "publish rename",
    "recovery publish rename",
    "mark create",
    "mark close",
    "discard delete",
    "sweep delete",
    "sweep directory",
    "temporary delete",
    "archive directory",
    "archive rename",
    "prune mark",
    "prune record",
];

/// Every step that asks the storage.
pub(super) const QUESTIONS: [StepName; 9] = [
    "take-over list",
    "record confirm list",
    "fence confirm list",
    "record read",
    "staged stat",
    "published stat",
    "cancel stat",
    "staging list",
    "archive list",
];

/// What a change is for.
pub(super) fn of_mutation(mutation: &Mutation, circumstances: Circumstances) -> StepName {
    let path = mutation.path();
    let is_staged = path.contains("/_staging/");
    match mutation {
        Mutation::Create(_) if is_staged => "stage create",
        Mutation::Append(..) if is_staged => "stage write",
        Mutation::Close(_) if is_staged => "stage close",
        Mutation::Create(_) if path.ends_with(".published") => "mark create",
        Mutation::Close(_) if path.ends_with(".published") => "mark close",
        Mutation::Create(_) => "temporary create",
        Mutation::Append(..) => "temporary write",
        Mutation::Close(_) => "temporary close",
        Mutation::Rename(_, to) if to.ends_with(".jsonl") => "archive rename",
        Mutation::Rename(_, to) if to.ends_with(".json") && circumstances.is_fence => "fence rename",
        Mutation::Rename(_, to) if to.ends_with(".json") => "record rename",
        Mutation::Rename(..) if circumstances.is_own => "publish rename",
        Mutation::Rename(..) => "recovery publish rename",
        Mutation::MakeDirectory(path) if is_visible(path) => "publish directory",
        Mutation::MakeDirectory(_) => "archive directory",
        Mutation::Delete(_) if is_staged && circumstances.is_directory => "sweep directory",
        Mutation::Delete(_) if is_staged && circumstances.is_own => "discard delete",
        Mutation::Delete(_) if is_staged => "sweep delete",
        Mutation::Delete(path) if path.ends_with(".published") => "prune mark",
        Mutation::Delete(path) if path.ends_with(".json") => "prune record",
        Mutation::Delete(_) => "temporary delete",
    }
}

/// What a question is for. `renamed`: the step by which the process that asks made a record since it last listed the
/// chain.
pub(super) fn of_question(operation: &str, path: &str, renamed: Option<StepName>) -> StepName {
    let is_staged = path.contains("/_staging/");
    match operation {
        "list" if is_staged => "staging list",
        "list" if path.ends_with("/archive") => "archive list",
        "list" => match renamed {
            Some("fence rename") => "fence confirm list",
            Some(_) => "record confirm list",
            None => "take-over list",
        },
        "stat" if is_staged => "staged stat",
        "stat" if is_visible(path) => "published stat",
        "stat" => "cancel stat",
        _ => "record read",
    }
}

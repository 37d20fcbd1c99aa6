//! Processes that are slow with spite: they go on at the very moment at which what they know has become wrong. Chance alone
//! finds these moments too rarely.

use std::fmt;

use wasmill::checkpoint::{ChainName, Id, Record, newest, parse_name, parse_staging_name};

use super::contents::Contents;
use super::steps::StepName;

/// What a slow process waits for.
#[derive(Debug)]
pub(super) enum Wait {
    /// Before it stages: others have taken over, and pruned the number that it is about to create.
    Pruned { directory: String, take_over: Id },
    /// Before it creates a record whose number it has settled: others have used that number and pruned it.
    Overtaken { directory: String, sequence: u64 },
    /// After it created a record that is void: it hears of it only after a while.
    Void,
    /// After it listed: the newest record that it saw was pruned, and a stale one was created in its place.
    Replaced { path: String, content: Vec<u8> },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pruned { .. } => f.write_str("until the number that it will create was used by others and pruned"),
            Self::Overtaken { sequence, .. } => write!(f, "until others have used and pruned number {sequence}"),
            Self::Void => f.write_str("and does not hear that its record is void"),
            Self::Replaced { path, .. } => write!(f, "until {path} is another record"),
        }
    }
}

/// What a process may wait for before this step.
pub(super) fn before(step: StepName, path: &str) -> Option<Wait> {
    if step != "stage create" {
        return None;
    }
    let (_, below) = path.split_once("/_staging/")?;
    let (topic_partition, rest) = below.rsplit_once('/')?.0.rsplit_once('/')?;
    let (_, take_over) = parse_staging_name(rest)?;
    Some(Wait::Pruned { directory: format!("/checkpoints/{topic_partition}/"), take_over })
}

/// What a process that has just listed a chain, or created a record in it, may wait for.
pub(super) fn after(step: StepName, path: &str, contents: &Contents) -> Option<Wait> {
    let directory = match step {
        "take-over list" => format!("{path}/"),
        "record rename" | "temporary close" => format!("{}/", path.rsplit_once('/')?.0),
        _ => return None,
    };
    if let Some(ChainName::Temporary(sequence)) = path.strip_prefix(&directory).and_then(parse_name) {
        return Some(Wait::Overtaken { directory, sequence });
    }
    let sequence = newest(names(contents, &directory))?;
    if step == "record rename" {
        let is_newest = path.strip_prefix(&directory)? == wasmill::checkpoint::record_name(sequence);
        return (!is_newest).then_some(Wait::Void);
    }
    let path = format!("{directory}{}", wasmill::checkpoint::record_name(sequence));
    let content = contents.files.get(&path)?.bytes.clone();
    Some(Wait::Replaced { path, content })
}

fn names<'a>(contents: &'a Contents, directory: &'a str) -> impl Iterator<Item = &'a str> {
    contents.files.range(directory.to_owned()..).map_while(move |(path, _)| path.strip_prefix(directory))
}

impl Wait {
    /// Whether it has happened.
    pub(super) fn is_over(&self, contents: &Contents) -> bool {
        match self {
            Self::Pruned { directory, take_over } => {
                let is_record = |name: &&str| matches!(parse_name(name), Some(ChainName::Record(_)));
                let read = |name: &str| {
                    serde_json::from_slice::<Record>(&contents.files.get(&format!("{directory}{name}"))?.bytes).ok()
                };
                let mut records = names(contents, directory).filter(is_record).filter_map(read);
                let others = |record: &Record| record.take_over != *take_over;
                records.next().is_some_and(|oldest| others(&oldest) && !oldest.is_fence())
                    && records.all(|r| others(&r))
            }
            Self::Overtaken { directory, sequence } => {
                let number = |name| match parse_name(name) {
                    Some(ChainName::Record(number)) => Some(number),
                    _ => None,
                };
                names(contents, directory).filter_map(number).min().is_some_and(|oldest| oldest > *sequence)
            }
            Self::Void => false,
            Self::Replaced { path, content } => contents.files.get(path).is_some_and(|file| file.bytes != *content),
        }
    }
}

//! Looking: chains, staging directories, and files. Reads only; concludes nothing.
//!
//! The order of the looks is what lets an audit run beside a living writer:
//!
//! 1. every chain, its archive last (a record that is pruned between two looks is in the archive by then);
//! 2. the staging directories and the tables;
//! 3. the files of records that were not published for certain at the first look, one by one;
//! 4. every chain again.
//!
//! A file that was published for certain at the first look must be there at the second step. A file that is there in the
//! second step was named by a record before, so the last step has seen that record. Nothing else is judged.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;

use super::facts::{ChainFacts, Facts, FileFact, Part, PendingFact, StagingFact};
use super::files;
use super::{Options, Subject};
use crate::checkpoint::{
    ChainName, FileRecord, Record, mark_name, newest, parse_name, parse_staging_name, record_name,
    topic_partition_directory,
};
use crate::error::{Error, Result};
use crate::source::TopicPartition;
use crate::storage::{Location, StorageError, StorageErrorKind};

/// Chains that are looked at side by side.
const CHAINS_SIDE_BY_SIDE: usize = 8;

/// Questions about one chain that are asked side by side.
const SIDE_BY_SIDE: usize = 16;

/// Looks at everything.
///
/// # Errors
/// The storage does not answer.
pub async fn gather(subject: &Subject, options: &Options) -> Result<Facts> {
    let mut chains = BTreeMap::new();
    look(subject, &mut chains, 0, &options.progress).await?;
    for (topic_partition, chain) in &mut chains {
        chain.staging = staging(subject, topic_partition).await?;
    }
    let mut files = Vec::new();
    for (part, location) in subject.parts() {
        files.extend(files::walk(part, location, options).await?);
    }
    files.extend(overlooked(subject, &chains, &files, options).await?);
    for chain in chains.values_mut() {
        chain.pending = pending(subject, chain).await?;
    }
    look(subject, &mut chains, 1, &options.progress).await?;
    Ok(Facts {
        pipeline: subject.pipeline.clone(),
        chains,
        files,
        source: BTreeMap::new(),
        deep: options.deep,
        foreign_files: options.foreign_files,
        first_kept: subject.first_kept.clone(),
    })
}

/// Looks at the chains alone, once: for what needs no file.
///
/// # Errors
/// The storage does not answer.
pub async fn chains(subject: &Subject, progress: &ProgressBar) -> Result<BTreeMap<TopicPartition, ChainFacts>> {
    let mut chains = BTreeMap::new();
    look(subject, &mut chains, 0, progress).await?;
    for chain in chains.values_mut() {
        chain.names[1] = chain.names[0].clone();
    }
    Ok(chains)
}

/// Looks at one chain, for what is new since the last time: records never change, so none is read twice.
///
/// # Errors
/// The storage does not answer.
pub(crate) async fn look_again(checkpoints: &Location, chain: &mut ChainFacts) -> Result<()> {
    look_at(checkpoints, chain, 0).await?;
    chain.names[1] = chain.names[0].clone();
    Ok(())
}

async fn look(
    subject: &Subject,
    chains: &mut BTreeMap<TopicPartition, ChainFacts>,
    number: usize,
    progress: &ProgressBar,
) -> Result<()> {
    progress.set_message(if number == 0 { "reading checkpoints" } else { "reading checkpoints again" });
    let mut looked: Vec<(TopicPartition, ChainFacts)> = topic_partitions(&subject.checkpoints)
        .await?
        .into_iter()
        .map(|topic_partition| {
            let known = chains.remove(&topic_partition).unwrap_or_default();
            (topic_partition, known)
        })
        .collect();
    progress.set_length(looked.len() as u64);
    progress.set_position(0);
    let looks = looked.iter_mut().map(|(topic_partition, chain)| async move {
        chain.directory = subject.checkpoints.join(&topic_partition_directory(topic_partition));
        look_at(&subject.checkpoints, chain, number).await?;
        progress.inc(1);
        Ok::<(), Error>(())
    });
    // Collected first, as everywhere here: a closure over references in a stream makes a future that no task can take.
    let looks: Vec<_> = looks.collect();
    stream::iter(looks).buffer_unordered(CHAINS_SIDE_BY_SIDE).try_collect::<()>().await?;
    // A directory that vanished in between keeps what was seen of it.
    chains.extend(looked);
    Ok(())
}

/// Every `<topic>/<number>` below the checkpoints.
async fn topic_partitions(checkpoints: &Location) -> Result<BTreeSet<TopicPartition>> {
    let mut found = BTreeSet::new();
    for topic in directories(checkpoints, &checkpoints.path).await? {
        for number in directories(checkpoints, &checkpoints.join(&topic)).await? {
            // Only as wasmill writes it: no sign, no leading zero.
            if let Ok(partition) = number.parse::<i32>()
                && partition.to_string() == number
            {
                found.insert(TopicPartition::new(topic.as_str(), partition));
            }
        }
    }
    Ok(found)
}

async fn look_at(checkpoints: &Location, chain: &mut ChainFacts, number: usize) -> Result<()> {
    let names = list(checkpoints, &chain.directory).await?;
    let unread = names.iter().filter_map(|name| match parse_name(name) {
        Some(ChainName::Record(sequence)) if !chain.records.contains_key(&sequence) => Some(sequence),
        _ => None,
    });
    let reads = unread.map(|sequence| {
        let path = format!("{}/{}", chain.directory, record_name(sequence));
        async move { Ok::<_, Error>((sequence, read(checkpoints, &path).await?)) }
    });
    let reads: Vec<_> = reads.collect();
    let read_now: Vec<_> = stream::iter(reads).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
    for (sequence, bytes) in read_now {
        // Gone: it was pruned, so the archive has it.
        if let Some(bytes) = bytes {
            chain.records.insert(sequence, Record::from_bytes(sequence, &bytes));
        }
    }
    let directory = format!("{}/archive", chain.directory);
    for name in list(checkpoints, &directory).await? {
        if chain.archives.contains_key(&name) || !name.ends_with(".jsonl") {
            continue;
        }
        let Some(bytes) = read(checkpoints, &format!("{directory}/{name}")).await? else { continue };
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Record::from_line);
        chain.archives.insert(name, lines.collect());
    }
    chain.names[number] = names;
    Ok(())
}

async fn staging(subject: &Subject, topic_partition: &TopicPartition) -> Result<Vec<StagingFact>> {
    let mut found = Vec::new();
    for (_, location) in subject.parts() {
        let root = location.join(&format!("_staging/{}", topic_partition_directory(topic_partition)));
        for name in list(location, &root).await? {
            let Some((fence, take_over)) = parse_staging_name(&name) else { continue };
            let path = format!("{root}/{name}");
            let entries = location.storage.list(&path).await.map_err(|error| unreadable(&path, error))?;
            let bytes = entries.iter().map(|entry| entry.length).sum();
            let files = entries.into_iter().map(|entry| format!("{path}/{}", entry.name)).collect();
            found.push(StagingFact { path, fence, take_over, files, bytes });
        }
    }
    Ok(found)
}

/// The files of the newest record, if its mark was not seen.
async fn pending(subject: &Subject, chain: &ChainFacts) -> Result<Vec<PendingFact>> {
    let newest = newest(chain.names[0].iter().map(String::as_str));
    let Some(Ok(record)) = newest.and_then(|newest| chain.records.get(&newest)) else { return Ok(Vec::new()) };
    if chain.names[0].contains(&mark_name(record.sequence, record.id)) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (part, location) in subject.parts() {
        for file in part.files(record) {
            // The staged file first: it may be published between the two looks, and then the second one sees it.
            let staged = length(location, &file.staged).await?;
            let target = length(location, &file.target).await?;
            found.push(PendingFact { file: file.clone(), staged, target });
        }
    }
    Ok(found)
}

/// Files that a record names and the walk did not come upon, looked for by name.
async fn overlooked(
    subject: &Subject,
    chains: &BTreeMap<TopicPartition, ChainFacts>,
    walked: &[FileFact],
    options: &Options,
) -> Result<Vec<FileFact>> {
    let known: HashSet<(Part, &str)> = walked.iter().map(|file| (file.part, file.path.as_str())).collect();
    let mut found = Vec::new();
    for (part, location) in subject.parts() {
        let named = chains.values().flat_map(ChainFacts::readable).flat_map(|record| part.files(record));
        let missing: BTreeSet<&str> =
            named.map(|file| file.target.as_str()).filter(|path| !known.contains(&(part, *path))).collect();
        let looks =
            missing.into_iter().map(|path| async move { Ok::<_, Error>((path, length(location, path).await?)) });
        let looks: Vec<_> = looks.collect();
        let looked: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
        let there = looked.into_iter().filter_map(|(path, bytes)| Some((path.to_owned(), bytes?))).collect();
        found.extend(files::read(part, location, there, options).await?);
    }
    Ok(found)
}

impl ChainFacts {
    /// All records that could be read, from wherever; one may come twice.
    pub(super) fn readable(&self) -> impl Iterator<Item = &Record> {
        let archived = self.archives.values().flatten().filter_map(|record| record.as_ref().ok());
        archived.chain(self.records.values().filter_map(|record| record.as_ref().ok()))
    }
}

impl Part {
    /// The files of a record that belong to this part.
    pub fn files(self, record: &Record) -> &[FileRecord] {
        match self {
            Self::Table => &record.files,
            Self::DeadLetters => &record.dead_letter_files,
        }
    }
}

async fn directories(location: &Location, path: &str) -> Result<Vec<String>> {
    let entries = location.storage.list(path).await.map_err(|error| unreadable(path, error))?;
    Ok(entries.into_iter().filter(|entry| entry.is_directory).map(|entry| entry.name).collect())
}

async fn list(location: &Location, path: &str) -> Result<Vec<String>> {
    let entries = location.storage.list(path).await.map_err(|error| unreadable(path, error))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

async fn read(location: &Location, path: &str) -> Result<Option<bytes::Bytes>> {
    match location.storage.read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

async fn length(location: &Location, path: &str) -> Result<Option<u64>> {
    let entry = location.storage.stat(path).await.map_err(|error| unreadable(path, error))?;
    Ok(entry.map(|entry| entry.length))
}

fn unreadable(path: &str, error: StorageError) -> Error {
    Error::fatal(format!("cannot read {path}")).because(error)
}

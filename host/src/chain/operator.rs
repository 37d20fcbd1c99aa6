//! What an operator's command does to a chain: finish publishing, sweep, move the position, accept that files are gone.
//!
//! The first two touch only what the protocol lets anybody touch at any time, beside a living writer: a staged file of the
//! newest record is published by whoever comes first, and files of a take-over below a fence that counts can be named by no
//! record any more. The other two write a record, so they take the topic partition over. That fences a living host; it
//! loses, takes over again by itself, and goes on behind the operator's record.

use std::sync::Arc;

use super::sweep::try_sweep;
use super::{Chain, ChainError, ChainResult, STARTS, TakeOver, Taken};
use crate::checkpoint::{FileRecord, Id, Note, Record, RecordKind, newest};
use crate::error::Error;
use crate::sink::publish::publish_files;
use crate::storage::Location;

/// How far an operator lets a position be moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permission {
    /// Forwards, over messages that were not read.
    pub loss: bool,
    /// Backwards, over messages that are in the table.
    pub duplicates: bool,
}

/// A position that was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// The next offset to read before.
    pub from: i64,
    /// The next offset to read now.
    pub to: i64,
    /// The record that says so.
    pub sequence: u64,
}

impl Permission {
    /// Refuses a move that was not allowed, and says how many offsets it would take.
    ///
    /// # Errors
    /// Of the kind `Config`: the flag that is missing.
    pub fn check(self, from: i64, to: i64) -> Result<(), Error> {
        if to > from && !self.loss {
            let count = to.abs_diff(from);
            let message = format!("offsets {from} to {} ({count} of them) would never be read", to - 1);
            return Err(Error::config(message).hint("--allow-loss says that this is meant"));
        }
        if to < from && !self.duplicates {
            let count = from.abs_diff(to);
            let message = format!(
                "offsets {to} to {} ({count} of them) are committed already: their rows would be in the table twice",
                from - 1
            );
            return Err(Error::config(message).hint("--allow-duplicates says that this is meant"));
        }
        Ok(())
    }
}

impl Chain {
    /// The newest record and whether its mark stands, as no other could have replaced it in between. `None`: no record.
    pub async fn newest(&self) -> ChainResult<Option<(Record, bool)>> {
        for _ in 0..STARTS {
            let names = self.list().await?;
            let Some(sequence) = newest(names.iter().map(String::as_str)) else { return Ok(None) };
            let Some(record) = self.read_newest(sequence).await? else { continue };
            let again = self.list().await?;
            if newest(again.iter().map(String::as_str)) == Some(sequence) {
                let marked = record.is_fence() || self.is_marked(&again, &record);
                return Ok(Some((record, marked)));
            }
        }
        Err(ChainError::Lost(format!("the chain moved on {STARTS} times while it was read")))
    }

    /// Publishes what the newest record left unpublished. Returns its number, or `None` when there was nothing to do.
    ///
    /// # Errors
    /// As for a take-over; a chain that moves on meanwhile has published the record by itself.
    pub async fn finish_publishing(&self) -> ChainResult<Option<u64>> {
        match self.newest().await? {
            None | Some((_, true)) => Ok(None),
            Some((record, false)) => match self.publish(&record).await {
                Ok(()) => Ok(Some(record.sequence)),
                Err(ChainError::Lost(_)) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Deletes what take-overs below `fence`, the fence of `take_over`, left staged, and temporary files of records up to
    /// it. Returns how many files. Safe at any time, because that fence counts.
    ///
    /// # Errors
    /// The storage does not answer, or no record of that number was ever there.
    pub async fn sweep_below(&self, fence: u64, take_over: Id) -> ChainResult<u64> {
        let names = self.list().await?;
        if newest(names.iter().map(String::as_str)).is_none_or(|newest| newest < fence) {
            return Err(ChainError::Lost(format!("record {fence} is not there")));
        }
        Ok(try_sweep(self, (fence, take_over), &names).await?)
    }

    /// Moves the position to `to`. What the newest record left unpublished is published first.
    ///
    /// # Errors
    /// The move was not permitted, seen from the position that the take-over found; then nothing but its fence was written.
    pub async fn move_position(self: &Arc<Self>, to: i64, permission: Permission, note: Note) -> ChainResult<Moved> {
        let mut taken = self.take_over_existing().await?;
        let from = taken.next;
        permission.check(from, to).map_err(ChainError::Stopped)?;
        taken.note(RecordKind::Moved, to, Some(note)).await?;
        Ok(Moved { from, to, sequence: taken.sequence })
    }

    /// Records that the published files in `note.accepted` may be missing from now on. Returns the record's number.
    ///
    /// A file of the newest record that is neither staged nor at its target stops every take-over. If it is among the
    /// accepted ones, the record is marked as published first: with its mark there, a file that is gone was moved by a job
    /// downstream, which is the protocol's own rule.
    ///
    /// # Errors
    /// An accepted file of the newest record is still there, or another of its files is lost.
    pub async fn accept_removed(self: &Arc<Self>, note: Note) -> ChainResult<u64> {
        if let Some((record, false)) = self.newest().await? {
            self.publish_without(&record, &note.accepted).await?;
        }
        let mut taken = self.take_over_existing().await?;
        let next = taken.next;
        taken.note(RecordKind::Accepted, next, Some(note)).await?;
        Ok(taken.sequence)
    }

    async fn take_over_existing(self: &Arc<Self>) -> ChainResult<Box<TakeOver>> {
        match self.take_over(None).await? {
            Taken::Over(taken) => Ok(taken),
            Taken::NeedsFirstPosition => {
                let message = format!("{} has no record yet", self.topic_partition);
                let hint = "`start` in the pipeline file says where it begins";
                Err(ChainError::Stopped(Error::config(message).hint(hint)))
            }
        }
    }

    /// Publishes the files of the newest record except those that are accepted as gone, and marks it.
    async fn publish_without(&self, record: &Record, accepted: &[String]) -> ChainResult<()> {
        let is_accepted = |file: &&FileRecord| accepted.contains(&file.target);
        for (location, files) in self.files(record) {
            for file in files.iter().filter(is_accepted) {
                self.check_gone(location, file).await?;
            }
            let others: Vec<FileRecord> = files.iter().filter(|file| !is_accepted(file)).cloned().collect();
            let published =
                publish_files(location.storage.as_ref(), self.runtime.as_ref(), self.protocol, &others).await;
            published.map_err(|error| match error {
                crate::sink::publish::PublishError::Storage(error) => error.into(),
                error => self.stop_at_file(record, &error),
            })?;
        }
        // Only the newest record is marked by hand: an older one was published before its successor was created.
        let names = self.list().await?;
        if newest(names.iter().map(String::as_str)) != Some(record.sequence) {
            return Err(ChainError::Lost(format!("record {} is not the newest any more", record.sequence)));
        }
        self.mark(record).await
    }

    fn files<'a>(&'a self, record: &'a Record) -> [(&'a Location, &'a [FileRecord]); 2] {
        [(&self.table, &record.files), (&self.dead_letters, &record.dead_letter_files)]
    }

    async fn check_gone(&self, location: &Location, file: &FileRecord) -> ChainResult<()> {
        // The staged file first, as in publishing: another may move it between the two looks.
        for path in [&file.staged, &file.target] {
            if self.until_answered(|| location.storage.stat(path)).await?.is_some() {
                let message = format!("{path} is there, so it cannot be accepted as removed");
                let hint = "`wasmill repair` publishes what is staged; a damaged file must be moved away first";
                return Err(ChainError::Stopped(Error::config(message).hint(hint)));
            }
        }
        Ok(())
    }
}

impl ChainError {
    /// The same as an error for people.
    pub fn into_error(self) -> Error {
        match self {
            Self::Lost(why) => Error::transient(format!("another process was faster: {why}")).hint("try again"),
            Self::Storage(error) => Error::fatal("the storage did not answer clearly")
                .because(error)
                .hint("whatever was done is whole or not there at all: try again"),
            Self::Source(error) | Self::Stopped(error) => error,
        }
    }
}

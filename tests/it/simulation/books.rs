//! The books of a run: what was produced, what readers have seen, what was acknowledged. Whatever contradicts them is a
//! violation, noted the moment it happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use super::message::{MessageId, Outcome, Produced};
use super::reader::{Contained, DEAD_LETTERS, Found, read_file};

/// What kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A row was visible twice.
    Doubled,
    /// A row never became visible, and nobody goes on.
    Lost,
    /// A topic partition stopped although nothing was wrong with its data.
    Stopped,
    /// A reader could see a file that was not whole.
    Partial,
    /// A row or dead letter is not what its message must turn into.
    Content,
    /// A file was created or deleted where readers look.
    Touched,
    /// More was acknowledged than was visible.
    Acknowledged,
    /// The records do not account for every offset exactly once.
    Ledger,
    /// `wasmill verify` says something else than the ledger.
    Audit,
    /// Something was left lying after a clean run.
    LeftBehind,
    /// Open files held more memory than they may.
    Memory,
    /// The membership failed, or a host did not stop.
    Membership,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) kind: Kind,
    pub(super) text: String,
}

impl Violation {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Where a message was seen.
struct Seen {
    path: String,
    is_letter: bool,
}

#[derive(Default)]
struct Pages {
    produced: BTreeMap<MessageId, Produced>,
    /// Messages that end in a row or a dead letter, and were not seen yet.
    unseen: BTreeSet<MessageId>,
    /// Messages that were gone from the topic before anybody saw them: they may be lost, if a record says so.
    expired: BTreeSet<MessageId>,
    /// Messages before this offset are gone from the topic.
    first: BTreeMap<i32, i64>,
    /// Published files that the job downstream took away, and what it made of them.
    taken: BTreeSet<String>,
    /// In which file each message was seen last. A row stays seen when a job moves or removes it; a dead letter may be seen
    /// as what it turned into when it was replayed.
    seen: HashMap<MessageId, Seen>,
    /// Files of dead letters, and of which messages they are, row by row.
    letters: BTreeMap<String, Vec<MessageId>>,
    published: BTreeSet<String>,
    acknowledged: BTreeMap<i32, i64>,
    violations: Vec<Violation>,
}

/// The books of one world.
#[derive(Default)]
pub(super) struct Books {
    pages: Mutex<Pages>,
}

impl Books {
    pub(super) fn produced(&self, message: MessageId, produced: &Produced) {
        let mut pages = self.pages.lock().unwrap();
        if produced.outcome != Outcome::Filtered {
            pages.unseen.insert(message);
        }
        pages.produced.insert(message, produced.clone());
    }

    /// A file appeared where readers look: it must be whole, its rows must be what they should be, and none of them may
    /// have been seen before.
    pub(super) fn appeared(&self, path: &str, bytes: &[u8], closed: bool) {
        let mut pages = self.pages.lock().unwrap();
        let found = if closed { read_file(path, bytes) } else { Err("it is still being written".to_owned()) };
        match found {
            Err(why) => {
                pages.violations.push(Violation::new(Kind::Partial, format!("{path} became visible, but {why}")))
            }
            Ok(Contained { rows, is_replay }) => {
                rows.iter().for_each(|found| pages.saw(path, found, is_replay));
                if path.starts_with(DEAD_LETTERS) {
                    pages.letters.insert(path.to_owned(), rows.iter().map(Found::message).collect());
                }
            }
        }
        pages.published.insert(path.to_owned());
    }

    pub(super) fn violated(&self, kind: Kind, text: String) {
        self.pages.lock().unwrap().violations.push(Violation::new(kind, text));
    }

    /// The first violation.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.pages.lock().unwrap().violations.first().cloned()
    }

    /// Messages before `first` are gone from the topic.
    pub(super) fn expired(&self, partition: i32, first: i64) {
        let mut pages = self.pages.lock().unwrap();
        pages.first.insert(partition, first);
        let later = pages.unseen.split_off(&(partition, first));
        let gone = pages.unseen.split_off(&(partition, 0));
        pages.unseen.extend(later);
        pages.expired.extend(gone);
    }

    /// The job downstream takes a file away, and perhaps makes another of it.
    pub(super) fn took(&self, paths: impl IntoIterator<Item = String>) {
        self.pages.lock().unwrap().taken.extend(paths);
    }

    /// Whether the job downstream has taken this file away, or made it.
    pub(super) fn is_taken(&self, path: &str) -> bool {
        self.pages.lock().unwrap().taken.contains(path)
    }

    /// Whether a gap may be recorded from `start` to `next`: all was gone, and nobody had seen it.
    pub(super) fn check_gap(&self, partition: i32, start: i64, next: i64) -> Result<(), String> {
        let pages = self.pages.lock().unwrap();
        if pages.first.get(&partition).is_none_or(|first| *first < next) {
            return Err(format!("offsets {start}..{next} are recorded as expired, and are still there"));
        }
        let mut messages = pages.produced.range((partition, start)..(partition, next)).map(|(message, _)| message);
        match messages.find(|message| pages.seen.contains_key(*message)) {
            Some(seen) => Err(format!("{seen:?} is visible, and in the gap {start}..{next}")),
            None => Ok(()),
        }
    }

    /// A message of these offsets that expired, and that nobody saw.
    pub(super) fn lost(&self, partition: i32, start: i64, next: i64) -> Option<MessageId> {
        self.pages.lock().unwrap().expired.range((partition, start)..(partition, next)).next().copied()
    }

    /// A host acknowledges all messages before `next`.
    pub(super) fn acknowledged(&self, partition: i32, next: i64) {
        let mut pages = self.pages.lock().unwrap();
        let before = pages.acknowledged.get(&partition).copied().unwrap_or(0);
        if next <= before {
            return;
        }
        pages.acknowledged.insert(partition, next);
        if let Some(unseen) = pages.unseen.range((partition, before)..(partition, next)).next().copied() {
            let text = format!("{partition} is acknowledged up to {next}, but {unseen:?} is not visible");
            pages.violations.push(Violation::new(Kind::Acknowledged, text));
        }
    }

    /// Whether everything that must be visible is.
    pub(super) fn is_complete(&self) -> bool {
        self.pages.lock().unwrap().unseen.is_empty()
    }

    /// Some messages that are not visible.
    pub(super) fn missing(&self) -> Vec<MessageId> {
        self.pages.lock().unwrap().unseen.iter().take(5).copied().collect()
    }

    /// The messages of a range: how many end as rows, as dead letters, as nothing.
    pub(super) fn outcomes(&self, partition: i32, start: i64, next: i64) -> (u64, u64, u64) {
        let pages = self.pages.lock().unwrap();
        let produced = pages.produced.range((partition, start)..(partition, next));
        count(produced.map(|(_, produced)| &produced.outcome))
    }

    /// The message of each dead letter of a file.
    pub(super) fn letters(&self, path: &str) -> Vec<MessageId> {
        self.pages.lock().unwrap().letters.get(path).cloned().unwrap_or_default()
    }

    /// What these messages end as when their dead letters are replayed: rows, dead letters, nothing.
    pub(super) fn outcomes_of_replay(&self, messages: &[MessageId]) -> (u64, u64, u64) {
        let pages = self.pages.lock().unwrap();
        count(messages.iter().filter_map(|message| Some(&pages.produced.get(message)?.replayed)))
    }

    /// Messages that were seen last as dead letters.
    pub(super) fn dead(&self) -> BTreeSet<MessageId> {
        let pages = self.pages.lock().unwrap();
        pages.seen.iter().filter(|(_, seen)| seen.is_letter).map(|(message, _)| *message).collect()
    }

    /// A message that was seen last as a dead letter, and would be a row if it were replayed.
    pub(super) fn could_be_replayed(&self) -> Option<MessageId> {
        let is_row = |message: &MessageId| {
            let pages = self.pages.lock().unwrap();
            pages.produced.get(message).is_some_and(|produced| matches!(produced.replayed, Outcome::Row(_)))
        };
        self.dead().into_iter().find(is_row)
    }

    /// The offset after the last message of a topic partition.
    pub(super) fn end(&self, partition: i32) -> i64 {
        let pages = self.pages.lock().unwrap();
        pages.produced.range((partition, 0)..(partition + 1, 0)).next_back().map_or(0, |((_, offset), _)| offset + 1)
    }

    /// Every file that ever appeared where readers look.
    pub(super) fn published(&self) -> BTreeSet<String> {
        self.pages.lock().unwrap().published.clone()
    }
}

/// How many end as rows, as dead letters, as nothing.
fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::Row(_) => counts.0 += 1,
            Outcome::DeadLetter { .. } => counts.1 += 1,
            Outcome::Filtered => counts.2 += 1,
        }
    }
    counts
}

impl Pages {
    fn saw(&mut self, path: &str, found: &Found, is_replay: bool) {
        let message = found.message();
        let is_letter = matches!(found, Found::DeadLetter { .. });
        match self.seen.insert(message, Seen { path: path.to_owned(), is_letter }) {
            Some(before) if is_replay && before.is_letter => {}
            Some(Seen { path: other, .. }) => {
                let text = format!("{message:?} is visible in {path} and in {other}");
                self.violations.push(Violation::new(Kind::Doubled, text));
            }
            None if is_replay => {
                let text = format!("{message:?} in {path} was never a dead letter");
                self.violations.push(Violation::new(Kind::Content, text));
            }
            None => {}
        }
        self.unseen.remove(&message);
        self.expired.remove(&message);
        let why = match self.produced.get(&message) {
            None => "it was never produced".to_owned(),
            Some(produced) => {
                let wanted = if is_replay { &produced.replayed } else { &produced.outcome };
                match found.differs_from(path, produced, wanted) {
                    None => return,
                    Some(why) => why,
                }
            }
        };
        let text = format!("{message:?} in {path} is not what it should be: {why}");
        self.violations.push(Violation::new(Kind::Content, text));
    }
}

//! Picking dead letters: which of a chain's match and are left, and what they hold, a bounded number at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::LeftAlone;
use super::filter::Filter;
use crate::audit::facts::ChainFacts;
use crate::audit::replays::Replays;
use crate::audit::{self, ChainView, Severity};
use crate::chain::{ChainError, ChainResult};
use crate::checkpoint::{Protocol, ReplayedLetters};
use crate::error::Error;
use crate::pipeline::places::Places;
use crate::source::{OwnedMessages, SourceBatch, TopicPartition};
use crate::table::dead_letters::read::{self, Returned};
use crate::table::part::PartError;
use crate::table::scan::DataFile;

/// Dead letters that go into one record.
#[derive(Default)]
pub(super) struct Bunch {
    /// As messages again, by files.
    pub(super) batches: Vec<SourceBatch>,
    /// Which they are.
    pub(super) letters: Vec<ReplayedLetters>,
    /// How many.
    pub(super) count: u64,
    /// By the reason for which they were set aside.
    pub(super) by_reason: BTreeMap<String, u64>,
    bytes: usize,
}

/// How much goes into one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Dead letters.
    pub letters: usize,
    /// Bytes that they hold.
    pub bytes: usize,
    /// Files that they come from.
    pub files: usize,
    /// Messages that a transform gets at once.
    pub batch_rows: usize,
}

/// What was seen of one chain, and of the files that it names.
pub(super) struct Picker<'a> {
    places: &'a Places,
    topic_partition: &'a TopicPartition,
    filter: &'a Filter,
    facts: ChainFacts,
    /// The newest record at the first look: what is set aside later, by the replay itself too, is for the next one.
    upto: Option<u64>,
    /// Rows that match of files that were looked into, with their reasons; those that are not to be picked are gone.
    known: BTreeMap<String, Vec<(u64, String)>>,
    pub(super) left_alone: LeftAlone,
}

impl<'a> Picker<'a> {
    /// `facts`: what was seen of the chain so far.
    pub(super) fn new(
        places: &'a Places,
        topic_partition: &'a TopicPartition,
        filter: &'a Filter,
        facts: ChainFacts,
    ) -> Self {
        let (known, left_alone) = (BTreeMap::new(), LeftAlone::default());
        Self { places, topic_partition, filter, facts, upto: None, known, left_alone }
    }

    /// Looks at the chain again. What it says of replays is exact only under a fence.
    pub(super) async fn look(&mut self) -> ChainResult<()> {
        audit::look_again(&self.places.checkpoints, &mut self.facts).await.map_err(ChainError::Source)?;
        if !self.protocol().replay_reads_archive {
            self.facts.archives.values_mut().flatten().flatten().for_each(|record| record.replayed.clear());
        }
        if self.upto.is_none() {
            self.upto = self.view()?.newest().map(|record| record.sequence);
        }
        Ok(())
    }

    fn protocol(&self) -> Protocol {
        self.places.protocol
    }

    /// The chain, which must be whole: a record that is missing may have replayed anything.
    pub(super) fn view(&self) -> ChainResult<ChainView<'_>> {
        let view = ChainView::new(&self.places.pipeline, self.topic_partition, &self.facts);
        let wrong = view.findings.iter().find(|finding| finding.code.severity() == Severity::Wrong);
        if let Some(finding) = wrong {
            let message = format!(
                "which dead letters of {} were replayed is not certain: {}: {}",
                self.topic_partition, finding.path, finding.message
            );
            return Err(ChainError::Stopped(Error::fatal(message).hint("`wasmill verify PIPELINE` tells all of it")));
        }
        Ok(view)
    }

    /// Whether none of these was replayed, by what was seen last.
    pub(super) fn are_left(&self, letters: &[ReplayedLetters]) -> ChainResult<bool> {
        let view = self.view()?;
        let replays = Replays::new(&view);
        let is_left = |letters: &ReplayedLetters| {
            let set = replays.files.get(letters.file.as_str());
            set.is_some_and(|set| {
                letters.rows.iter().all(|(first, end)| !(*first..*end).any(|row| set.is_replayed(row)))
            })
        };
        Ok(letters.iter().all(is_left))
    }

    /// The next dead letters that match and are left; an empty bunch when there are no more.
    pub(super) async fn pick(&mut self, bounds: &Bounds) -> ChainResult<Bunch> {
        let mut bunch = Bunch::default();
        loop {
            let before = self.left_alone;
            for (target, file) in self.candidates()? {
                let has_room = bunch.count < bounds.letters as u64
                    && bunch.bytes < bounds.bytes
                    && bunch.letters.len() < bounds.files.max(1);
                if !has_room {
                    break;
                }
                self.pick_from(&target, file, bounds, &mut bunch).await?;
            }
            // All that was looked at may have been left alone: there may be more behind it.
            if bunch.count > 0 || self.left_alone == before {
                return Ok(bunch);
            }
        }
    }

    /// Dead letters that were picked, and replayed or tried, are not picked again.
    pub(super) fn forget(&mut self, letters: &[ReplayedLetters]) {
        for letters in letters {
            let rows: BTreeSet<u64> = letters.rows.iter().flat_map(|(first, end)| *first..*end).collect();
            self.drop_rows(&letters.file, |row| rows.contains(&row));
        }
    }

    fn drop_rows(&mut self, target: &str, are: impl Fn(u64) -> bool) {
        if let Some(known) = self.known.get_mut(target) {
            known.retain(|(row, _)| !are(*row));
        }
    }

    /// Files that hold letters which are left, in the order in which they were set aside: by target, with what is known of it.
    fn candidates(&mut self) -> ChainResult<Vec<(String, Candidate)>> {
        let view = self.view()?;
        let replays = Replays::new(&view);
        let mut found = Vec::new();
        for (target, set) in &replays.files {
            let is_done =
                self.known.get(*target).is_some_and(|known| known.iter().all(|(row, _)| set.is_replayed(*row)));
            let is_later = self.upto.is_none_or(|upto| set.record.sequence > upto);
            if is_done || is_later || set.left() == 0 || !view.was_settled(&self.facts, set.record) {
                continue;
            }
            let path = self.places.dead_letters.path.as_str();
            let below = target.strip_prefix(path).unwrap_or(target).trim_start_matches('/').to_owned();
            let file = DataFile { absolute: (*target).to_owned(), path: below, bytes: set.file.bytes, modified_ms: 0 };
            let (replayed, is_whole, left) = (set.replayed.clone(), set.is_whole(), set.left());
            found.push((set.record.sequence, (*target).to_owned(), Candidate { file, replayed, is_whole, left }));
        }
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Ok(found.into_iter().map(|(_, target, candidate)| (target, candidate)).collect())
    }

    async fn pick_from(
        &mut self,
        target: &str,
        candidate: Candidate,
        bounds: &Bounds,
        bunch: &mut Bunch,
    ) -> ChainResult<()> {
        if !self.known.contains_key(target) {
            let matching = self.look_into(&candidate).await?;
            self.known.insert(target.to_owned(), matching);
        }
        let Candidate { file, replayed, .. } = candidate;
        let is_left = |row: u64| !audit::replays::holds(&replayed, row);
        let room = bounds.letters.saturating_sub(bunch.count as usize);
        let known = self.known.get(target).map(Vec::as_slice).unwrap_or_default();
        let wanted: Vec<(u64, String)> = known.iter().filter(|(row, _)| is_left(*row)).take(room).cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let numbers: Vec<u64> = wanted.iter().map(|(row, _)| *row).collect();
        let storage = self.places.dead_letters.storage.as_ref();
        let most = bounds.bytes.saturating_sub(bunch.bytes);
        let returned = match read::letters(storage, &file, &numbers, most).await {
            Ok(returned) => returned,
            Err(error) => return self.without_file(&file, numbers.len() as u64, error),
        };
        let (empty, full): (Vec<Returned>, Vec<Returned>) =
            returned.into_iter().partition(|letter| letter.payload.is_none());
        let empty: BTreeSet<u64> = empty.into_iter().map(|letter| letter.row).collect();
        self.left_alone.no_payload += empty.len() as u64;
        self.drop_rows(target, |row| empty.contains(&row));
        bunch.add(self.topic_partition, target, &wanted, full, bounds);
        Ok(())
    }

    /// The rows of a file that match, with their reasons.
    async fn look_into(&mut self, candidate: &Candidate) -> ChainResult<Vec<(u64, String)>> {
        let Candidate { file, replayed, is_whole, left } = candidate;
        let storage = self.places.dead_letters.storage.as_ref();
        let there = storage.stat(&file.absolute).await?;
        // Another length: it was rewritten, and its rows have other numbers.
        if there.is_none_or(|entry| entry.length != file.bytes) {
            self.left_alone.file_gone += left;
            return Ok(Vec::new());
        }
        let outlines = match read::outlines(storage, file).await {
            Ok(outlines) => outlines,
            Err(error) => return self.without_file(file, *left, error).map(|()| Vec::new()),
        };
        let mut matching = Vec::new();
        for (row, letter) in (0_u64..).zip(outlines) {
            if audit::replays::holds(replayed, row) || !self.filter.matches(&letter) {
                continue;
            }
            // A message that is no event led to nothing else.
            if *is_whole || letter.stage == "decode" {
                matching.push((row, letter.reason));
            } else {
                self.left_alone.several_rows += 1;
            }
        }
        Ok(matching)
    }

    /// A file that went while it was looked at is left alone; one that cannot be read is for an operator.
    fn without_file(&mut self, file: &DataFile, letters: u64, error: PartError) -> ChainResult<()> {
        match error {
            PartError::Gone => {
                self.left_alone.file_gone += letters;
                self.known.insert(file.absolute.clone(), Vec::new());
                Ok(())
            }
            PartError::Storage(error) => Err(error.into()),
            PartError::Damaged(error) => {
                let error = Error::fatal(format!("cannot read the dead letters in {}", file.absolute)).because(error);
                Err(ChainError::Stopped(error.hint("`wasmill verify --deep` tells whether it is damaged")))
            }
        }
    }
}

/// A file with letters that are left.
struct Candidate {
    file: DataFile,
    replayed: Vec<(u64, u64)>,
    is_whole: bool,
    left: u64,
}

impl Bunch {
    fn add(
        &mut self,
        topic_partition: &TopicPartition,
        target: &str,
        wanted: &[(u64, String)],
        mut letters: Vec<Returned>,
        bounds: &Bounds,
    ) {
        if letters.is_empty() {
            return;
        }
        self.letters.push(ReplayedLetters::new(target, letters.iter().map(|letter| letter.row)));
        self.count += letters.len() as u64;
        self.bytes += letters.iter().map(Returned::size).sum::<usize>();
        let reasons: BTreeMap<u64, &String> = wanted.iter().map(|(row, reason)| (*row, reason)).collect();
        for letter in &letters {
            let reason = reasons.get(&letter.row).map_or("", |reason| reason.as_str());
            *self.by_reason.entry(reason.to_owned()).or_default() += 1;
        }
        letters.sort_by_key(|letter| letter.offset);
        let mut letters = letters.into_iter().peekable();
        while letters.peek().is_some() {
            let mut messages = OwnedMessages::default();
            letters.by_ref().take(bounds.batch_rows.max(1)).for_each(|letter| letter.push_to(&mut messages));
            let next = messages.next_offset().unwrap_or(0);
            let (topic_partition, messages) = (topic_partition.clone(), Box::new(messages));
            self.batches.push(SourceBatch { topic_partition, messages, next });
        }
    }
}

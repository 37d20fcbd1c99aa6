//! Dead letters, sent through a deployment once more, exactly once.
//!
//! A replay is an operator's record: it names the dead letters that it consumed (file and rows), and the files that they
//! turned into. Which letters are left follows from the records that count and from nothing else, so a letter is replayed at
//! most once, whoever tries; and a record is either there with all that it names or not at all, so at least once.
//!
//! For each topic partition, as long as there are letters that had been set aside when it began:
//!
//! 1. pick some, by what the chain says, without a fence: a running host is not disturbed while letters are read;
//! 2. take over, look at the chain again, and start over if one of them was replayed meanwhile;
//! 3. send them through decoder, transforms and hive partitions; stage what they turn into;
//! 4. commit, publish, mark: as a range, under another name.
//!
//! Between 2 and 4 nobody else can have replayed them: they would have fenced this take-over, and then its record is not
//! created, or is void. Who is fenced starts over with a smaller bunch after a while, so that a host that ends its ranges
//! every second and a replay do not keep each other from going on.

mod answer;
mod filter;
mod pick;
pub mod print;

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

pub use self::answer::{Answer, Counts, LeftAlone, Part};
pub use self::filter::Filter;
pub use self::pick::Bounds;
use self::pick::{Bunch, Picker};
use crate::audit::replays::Replays;
use crate::audit::{self, Subject};
use crate::chain::{Chain, ChainError, ChainResult, TakeOver, Taken};
use crate::checkpoint::Note;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::pipeline::places::Places;
use crate::pipeline::ready::Ready;
use crate::pipeline::stages::Stages;
use crate::runtime::Runtime;
use crate::sink::range::{OpenRange, discard};
use crate::table::dead_letters::Replayed;
use crate::transform::TransformEngine;

/// How often in a row a replay takes over anew after others fenced it.
const TRIES: u32 = 12;

/// First pause after that; it grows with each try, and no pause is the same.
const PAUSE: Duration = Duration::from_millis(400);

/// A bunch is not made smaller than this.
const FEW: usize = 100;

impl Bounds {
    /// So much that a record is made in about a second, and stays small.
    pub fn new(batch_rows: usize) -> Self {
        Self { letters: 20_000, bytes: 32 << 20, files: 500, batch_rows }
    }
}

/// What an operator asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which dead letters.
    #[serde(default)]
    pub filter: Filter,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Why; it is recorded. Without it nothing is done, and the answer says what would be.
    #[serde(default)]
    pub why: Option<String>,
}

/// Answers a request. `who` stands in the records: `user@machine`.
///
/// # Errors
/// Nothing can be told at all; what went wrong with one topic partition stands in the answer.
pub async fn replay(
    config: &Config,
    request: &Request,
    who: &str,
    engine: &TransformEngine,
    runtime: &Arc<dyn Runtime>,
    progress: &ProgressBar,
) -> Result<Answer> {
    let why = request.why.as_deref().map(str::trim);
    if why == Some("") {
        return Err(Error::config("why it is replayed is empty").hint("say why: it is recorded"));
    }
    let ready = Ready::chosen(config, engine, None, Arc::clone(runtime)).await?;
    let places = Places::open(config, &ready, runtime)?;
    let mut replayer =
        Replayer { stages: ready.for_worker()?.stages, bounds: Bounds::new(config.limits.batch_rows), places };
    let mut answer = Answer {
        pipeline: config.name.clone(),
        done: why.is_some(),
        deployment: ready.record.number,
        ..Answer::default()
    };
    let note = why.map(|why| Note { who: who.to_owned(), why: why.to_owned(), accepted: Vec::new() });
    replayer.all(&request.filter, request.limit, note.as_ref(), &mut answer, progress).await?;
    Ok(answer)
}

/// Which dead letters of a pipeline were replayed, as far as its checkpoints can be read.
///
/// # Errors
/// The storage does not answer.
pub async fn replayed(subject: &Subject, progress: &ProgressBar) -> Result<Replayed> {
    let chains = audit::chains(subject, progress).await?;
    let mut found = Replayed::default();
    for (topic_partition, facts) in &chains {
        let view = audit::ChainView::new(&subject.pipeline, topic_partition, facts);
        for (file, set) in Replays::new(&view).files {
            found.add(file, &set.replayed);
        }
    }
    Ok(found)
}

fn told(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let hint = error.what_to_do().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{error}{cause}{hint}")
}

/// Where a replay takes place, and what the letters go through.
pub struct Replayer {
    /// The pipeline's places, for rows of the deployment.
    pub places: Places,
    /// The deployment's stages.
    pub stages: Stages,
    /// How much goes into one record.
    pub bounds: Bounds,
}

impl Replayer {
    /// Goes through all topic partitions that the filter allows. Without a note nothing is written.
    ///
    /// # Errors
    /// The storage does not say which there are; what went wrong with one of them stands in the answer.
    pub async fn all(
        &mut self,
        filter: &Filter,
        limit: Option<u64>,
        note: Option<&Note>,
        answer: &mut Answer,
        progress: &ProgressBar,
    ) -> Result<()> {
        let chains = audit::chains(&self.places.subject(), progress).await?;
        progress.set_message(if note.is_some() { "replaying dead letters" } else { "trying dead letters" });
        progress.set_length(0);
        progress.set_position(0);
        let mut limit = limit.unwrap_or(u64::MAX);
        let places = self.places.clone();
        for (topic_partition, facts) in chains.into_iter().filter(|(of, _)| filter.allows(of)) {
            let newest = audit::ChainView::new(&places.pipeline, &topic_partition, &facts).newest().cloned();
            let Some(newest) = newest else { continue };
            let (topic, number) = (topic_partition.topic.to_string(), topic_partition.partition);
            let mut part = Part { topic, topic_partition: number, ..Part::default() };
            let mut picker = Picker::new(&places, &topic_partition, filter, facts);
            let done = match note {
                Some(note) => {
                    let chain = places.chain(&topic_partition, newest.topic_identity);
                    self.replay(&chain, &mut picker, limit, note, &mut part, progress).await
                }
                None => self.rehearse(&mut picker, limit, &mut part, progress).await,
            };
            part.counts.left_alone = picker.left_alone;
            part.problem = done.err().map(|error| told(&error.into_error()));
            limit = limit.saturating_sub(part.counts.replayed);
            answer.add(part);
        }
        Ok(())
    }

    /// Replays the letters of one topic partition, at most `limit`. `part` says what was done, also when it ends early: others
    /// were faster too often; the storage does not answer; a transform whose policy is to stop failed; the chain is not whole.
    async fn replay(
        &mut self,
        chain: &Arc<Chain>,
        picker: &mut Picker<'_>,
        limit: u64,
        note: &Note,
        part: &mut Part,
        progress: &ProgressBar,
    ) -> ChainResult<()> {
        let (mut taken, mut bounds, mut tries) = (None, self.bounds, 0);
        loop {
            match self.step(chain, picker, &mut taken, &bounds.within(limit, part), note).await {
                Ok(None) => return Ok(()),
                Ok(Some(counts)) => {
                    tries = 0;
                    progress.inc(counts.replayed);
                    part.records.extend(taken.as_ref().map(|taken| taken.sequence()));
                    part.counts.add(&counts);
                }
                Err(ChainError::Lost(why)) if tries < TRIES => {
                    tracing::debug!(topic_partition = %chain.topic_partition, why, "fenced; the replay starts over");
                    taken = None;
                    tries += 1;
                    bounds.letters = (bounds.letters / 2).max(FEW.min(self.bounds.letters));
                    self.pause(tries).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What a replay would do, tried without writing anything.
    async fn rehearse(
        &mut self,
        picker: &mut Picker<'_>,
        limit: u64,
        part: &mut Part,
        progress: &ProgressBar,
    ) -> ChainResult<()> {
        picker.look().await?;
        loop {
            let mut bunch = picker.pick(&self.bounds.within(limit, part)).await?;
            if bunch.count == 0 {
                return Ok(());
            }
            let mut counts = Counts { by_reason: bunch.by_reason, replayed: bunch.count, ..Counts::default() };
            let runtime = self.places.runtime.as_ref();
            self.stages.become_ready(&mut bunch.batches, runtime).await.map_err(ChainError::Stopped)?;
            for batch in &bunch.batches {
                let sorted = self.stages.sort(batch, self.places.runtime.now_ms()).map_err(ChainError::Stopped)?;
                counts.written += sorted.pieces.iter().map(|piece| piece.rows.num_rows() as u64).sum::<u64>();
                counts.filtered += sorted.filtered;
                for reason in sorted.reasons() {
                    counts.dead_lettered += 1;
                    *counts.again.entry(reason.to_owned()).or_default() += 1;
                }
            }
            picker.forget(&bunch.letters);
            progress.inc(bunch.count);
            part.counts.add(&counts);
        }
    }

    /// One bunch, from the choice to the mark. `None`: there are no more letters.
    async fn step(
        &mut self,
        chain: &Arc<Chain>,
        picker: &mut Picker<'_>,
        taken: &mut Option<Box<TakeOver>>,
        bounds: &Bounds,
        note: &Note,
    ) -> ChainResult<Option<Counts>> {
        picker.look().await?;
        let mut bunch = picker.pick(bounds).await?;
        if bunch.count == 0 {
            return Ok(None);
        }
        // Before the take-over: no host stands still while a schema is waited for.
        let runtime = self.places.runtime.as_ref();
        self.stages.become_ready(&mut bunch.batches, runtime).await.map_err(ChainError::Stopped)?;
        let taken = match taken {
            Some(taken) => taken,
            none => none.insert(take_over(chain).await?),
        };
        if chain.protocol.replay_under_fence {
            picker.look().await?;
            let newest = picker.view()?.newest().map(|record| record.sequence);
            if newest != Some(taken.sequence()) {
                return Err(ChainError::Lost(format!("record {newest:?} is newer than what this take-over wrote")));
            }
            if !picker.are_left(&bunch.letters)? {
                return Err(ChainError::Lost("others have replayed some of these dead letters".to_owned()));
            }
        }
        let letters = bunch.letters.clone();
        let counts = self.commit(taken, bunch, note).await?;
        picker.forget(&letters);
        Ok(Some(counts))
    }

    async fn commit(&mut self, taken: &mut TakeOver, bunch: Bunch, note: &Note) -> ChainResult<Counts> {
        let runtime = Arc::clone(&self.places.runtime);
        let context = self.places.context_on(taken, taken.replay());
        let mut range = OpenRange::new(&context, taken.next, runtime.elapsed());
        for batch in &bunch.batches {
            self.stages.process(batch, &mut range, runtime.now_ms()).map_err(ChainError::Stopped)?;
        }
        range.rows.messages = bunch.count;
        let mut counts = Counts { by_reason: bunch.by_reason, ..Counts::default() };
        for (cause, count) in &range.causes {
            *counts.again.entry(cause.reason.clone()).or_default() += count;
        }
        let closing = range.close().map_err(ChainError::Stopped)?;
        counts.add_rows(&closing.rows());
        let storages = closing.storages();
        let staged = closing.staged().await?;
        let outcome = taken.commit_replay(staged.clone(), bunch.letters, note.clone()).await;
        // As with a range: what lost can be named by no record; after anything unclear, hands off.
        let is_lost = matches!(outcome, Err(ChainError::Lost(_)));
        if is_lost || (outcome.is_err() && !self.places.protocol.discard_only_lost) {
            discard(&staged, &storages).await;
        }
        outcome.map(|()| counts)
    }

    async fn pause(&self, tries: u32) {
        let runtime = &self.places.runtime;
        let share = (runtime.random() % 1_000) as u32;
        runtime.sleep(PAUSE * tries + PAUSE * share / 1_000).await;
    }
}

async fn take_over(chain: &Arc<Chain>) -> ChainResult<Box<TakeOver>> {
    match chain.take_over(None).await? {
        Taken::Over(taken) => Ok(taken),
        // It had records when it was looked at.
        Taken::NeedsFirstPosition => {
            Err(ChainError::Lost(format!("{} has no records any more", chain.topic_partition)))
        }
    }
}

impl Bounds {
    /// At most what is left of a limit.
    fn within(&self, limit: u64, part: &Part) -> Self {
        let left = usize::try_from(limit.saturating_sub(part.counts.replayed)).unwrap_or(usize::MAX);
        Self { letters: self.letters.min(left), ..*self }
    }
}

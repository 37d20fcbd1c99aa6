//! What one batch passes on its way: decode, transforms, hive partitions, open files.
//!
//! Every message of the batch ends in exactly one of: a row of the table (or several, where a transform makes many of
//! one), a filtered row, a dead letter.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{OnIncompatible, Redaction};
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::reason;
use crate::runtime::Runtime;
use crate::sink::dead_letter::{DeadLetter, Stage};
use crate::sink::hive::{HivePartitioner, Piece};
use crate::sink::range::OpenRange;
use crate::source::SourceBatch;
use crate::transform::{ChainInstance, TransformChain};

/// What stands in a dead letter instead of a text that may name values of the event.
const REDACTED: &str = "(redacted)";

/// How long a command waits for the schemas of its messages, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// The stages of one worker.
pub struct Stages {
    decoder: Decoder,
    chain: Arc<TransformChain>,
    instance: ChainInstance,
    partitioner: HivePartitioner,
    deployment: u64,
    how: SetAsideHow,
}

/// What becomes of messages that cannot go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetAsideHow {
    /// What dead letters leave out.
    pub redact: Redaction,
    /// Of messages whose schema cannot become the table's.
    pub on_incompatible: OnIncompatible,
}

/// Where the messages of a batch go.
pub(crate) struct Sorted {
    /// Rows of the table, by hive partition.
    pub(crate) pieces: Vec<Piece>,
    /// Rows that a transform dropped.
    pub(crate) filtered: u64,
    aside: Vec<SetAside>,
    /// Of which message each row is.
    messages: Vec<u32>,
}

impl Sorted {
    /// Why messages are set aside, one reason for each dead letter.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.aside.iter().map(|aside| aside.reason.as_str())
    }
}

/// Why a message is set aside, before its bytes are fetched.
struct SetAside {
    message: u32,
    stage: Stage,
    transform: Option<(String, String)>,
    reason: String,
    detail: String,
}

impl Stages {
    /// Stages with instances of their own of every transform.
    pub fn new(
        decoder: impl Into<Decoder>,
        chain: Arc<TransformChain>,
        partitioner: HivePartitioner,
        deployment: u64,
        how: SetAsideHow,
    ) -> Result<Self> {
        let instance = chain.instantiate()?;
        Ok(Self { decoder: decoder.into(), chain, instance, partitioner, deployment, how })
    }

    /// Whether all that the messages of `batch` need to be decoded is here. What is not is being fetched.
    pub(crate) fn is_ready(&mut self, batch: &SourceBatch) -> bool {
        self.decoder.is_ready(batch)
    }

    /// Waits until [`Stages::is_ready`] for all of them, for who has nothing else to do meanwhile. (Messages may be sent to
    /// another thread, but not shared with it, so who waits has them for itself.)
    ///
    /// # Errors
    /// The registry does not answer for long.
    pub(crate) async fn become_ready(&mut self, batches: &mut [SourceBatch], runtime: &dyn Runtime) -> Result<()> {
        let began = runtime.elapsed();
        for batch in batches {
            while !self.is_ready(batch) {
                if runtime.elapsed().saturating_sub(began) > PATIENCE {
                    return Err(Error::transient(format!("some schemas are not known after {PATIENCE:?}"))
                        .hint("does the schema registry answer? What it said is in the log"));
                }
                runtime.sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Puts the messages of `batch` into `range`. An error means that none of them may be counted: the range is dropped.
    pub(crate) fn process(&mut self, batch: &SourceBatch, range: &mut OpenRange, now_ms: i64) -> Result<()> {
        let Sorted { pieces, filtered, mut aside, messages } = self.sort(batch, now_ms)?;
        range.rows.filtered += filtered;
        for piece in &pieces {
            if range.has_room_for(&piece.hive_partition) {
                range.write(piece)?;
                continue;
            }
            aside.extend(piece.origin.iter().map(|row| SetAside {
                message: messages[row as usize],
                stage: Stage::Table,
                transform: None,
                reason: reason::TOO_MANY_HIVE_PARTITIONS.to_owned(),
                detail: format!(
                    "{} would be one more open hive partition than max_open_hive_partitions allows",
                    piece.hive_partition
                ),
            }));
        }
        aside.into_iter().try_for_each(|aside| range.set_aside(self.dead_letter(batch, aside, now_ms)))
    }

    /// Where the messages of `batch` go, without writing any.
    pub(crate) fn sort(&mut self, batch: &SourceBatch, now_ms: i64) -> Result<Sorted> {
        let decoded = self.decoder.decode(batch)?;
        let mut aside: Vec<SetAside> = Vec::new();
        for undecodable in &decoded.undecodable {
            if undecodable.reason == reason::INCOMPATIBLE_SCHEMA && self.how.on_incompatible == OnIncompatible::Stop {
                let offset = batch.messages.get(undecodable.message as usize).offset;
                return Err(Error::fatal(format!("the message at offset {offset}: {}", undecodable.detail)).hint(
                    "on_incompatible = \"stop\" under [schema_registry] stops here; \"dead-letter\" sets such messages aside",
                ));
            }
            aside.push(SetAside {
                message: undecodable.message,
                stage: Stage::Decode,
                transform: None,
                reason: undecodable.reason.to_owned(),
                detail: undecodable.detail.clone(),
            });
        }
        let output = self.instance.process(&decoded, batch)?;
        for rejected in output.rejected {
            let transform = &self.chain.transforms()[rejected.transform];
            aside.push(SetAside {
                message: rejected.message,
                stage: Stage::Transform,
                transform: Some((transform.name.clone(), transform.version.clone())),
                reason: rejected.reason,
                detail: rejected.detail,
            });
        }
        let split = self.partitioner.split(&output.rows, now_ms)?;
        for rejected in split.rejected {
            aside.push(SetAside {
                message: output.messages[rejected.row as usize],
                stage: Stage::Table,
                transform: None,
                reason: rejected.reason.to_owned(),
                detail: rejected.detail,
            });
        }
        Ok(Sorted { pieces: split.pieces, filtered: output.filtered, aside, messages: output.messages })
    }

    fn dead_letter(&self, batch: &SourceBatch, aside: SetAside, now_ms: i64) -> DeadLetter {
        let index = aside.message as usize;
        let message = batch.messages.get(index);
        let Redaction { payload, key, headers, message: text } = self.how.redact;
        DeadLetter {
            topic: batch.topic_partition.topic.to_string(),
            topic_partition: batch.topic_partition.partition,
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key.filter(|_| !key).map(<[u8]>::to_vec),
            payload: message.payload.filter(|_| !payload).map(<[u8]>::to_vec),
            headers: if headers { Vec::new() } else { batch.messages.headers(index) },
            stage: aside.stage,
            transform: aside.transform,
            reason: aside.reason,
            message: if text { REDACTED.to_owned() } else { aside.detail },
            deployment: self.deployment as i64,
            recorded_at_ms: now_ms,
        }
    }
}

//! The transforms of a pipeline, linked against its schema, and what they do with a batch.
//!
//! A [`TransformChain`] is made once per deployment; each worker thread has a [`ChainInstance`] of it. Every decoded row
//! ends up in exactly one of: the output (as one row, or several where a transform repeats rows), the rejected ones, the
//! filtered ones. A row that a transform rejects leaves the stream with all rows made of it, whatever was kept.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;

use bytes::Bytes;

use super::check::{Outcome, RejectedRow, Why};
use super::columns::selection::Keep;
use super::descriptor::{self, Descriptor, Metadata, Plan, ReadFrom};
use super::engine::{TransformEngine, hex};
use super::frame::Frame;
use super::guest_log::{GuestLine, GuestLog, bounded};
use super::guest_metrics::{GuestMetrics, MetricSnapshot};
use super::instance::{Blueprint, Failure, FailureKind};
use super::module::ModuleInfo;
use super::recover::{Runner, Started};
use super::stats::{self, Stats, TransformCounts};
use super::turns::Turns;
use super::usage::TransformUse;
use crate::config::{FailurePolicy, TransformConfig};
use crate::decode::Decoded;
use crate::error::{Error, Result};
use crate::source::{Message, SourceBatch};

/// The longest text of a rejected row.
const MAX_DETAIL_BYTES: usize = 4096;
/// Between two log lines about rows that went on unchanged.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Linked transforms, in order.
pub struct TransformChain {
    transforms: Vec<LinkedTransform>,
    output: SchemaRef,
}

/// One transform of a chain.
pub struct LinkedTransform {
    /// Its name in the pipeline.
    pub name: String,
    /// The version that it was pushed as, or the module's own; empty when it says none.
    pub version: String,
    /// What the module is and says about itself.
    pub module: ModuleInfo,
    /// SHA-256 over the sorted settings, in lower-case hexadecimal digits.
    pub settings_digest: String,
    /// What it reads and does.
    pub descriptor: Descriptor,
    policy: FailurePolicy,
    plan: Arc<Plan>,
    high_water: usize,
    turns: Option<Arc<Turns<Started>>>,
    blueprint: Blueprint,
    metrics: Arc<GuestMetrics>,
    stats: Arc<Stats>,
}

/// What became of the rows of a batch.
pub struct ChainOutput {
    /// The rows that go on, in the chain's output schema.
    pub rows: RecordBatch,
    /// The message (its index in the batch) of each row: never decreasing.
    pub messages: Vec<u32>,
    /// By increasing message; each message at most once.
    pub rejected: Vec<Rejected>,
    /// Decoded rows that were dropped and not rejected.
    pub filtered: u64,
    /// Transforms that failed on the way, in order.
    pub failures: Vec<TransformFailure>,
}

/// A row that a transform rejected, or failed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Index of its message in the batch.
    pub message: u32,
    /// Index of the transform in the chain.
    pub transform: usize,
    /// The transform's reason, or a built-in one (see [`FailureKind::reason`]).
    pub reason: String,
    /// What was found.
    pub detail: String,
}

/// A transform failed on a batch. Its poison rows are among the rejected ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformFailure {
    /// Index of the transform in the chain.
    pub transform: usize,
    /// The first failure's kind; `None` when no single row failed, only larger batches.
    pub kind: Option<FailureKind>,
    /// Its detail.
    pub detail: String,
    /// Calls that failed, retries in halves included.
    pub failed_calls: u32,
    /// Rows that were rejected for it.
    pub rows: usize,
    /// Rows that went on unchanged.
    pub skipped: usize,
}

impl TransformChain {
    /// Loads, describes, starts and checks every transform against the columns that reach it. No transforms: rows go
    /// through as they are. Errors are of kind `Config` and name the transform and, where there is one, the column.
    pub fn link(engine: &TransformEngine, transforms: &[TransformConfig], input: SchemaRef) -> Result<Self> {
        let load = |config: &TransformConfig| Ok((config.clone(), read(&config.module, &config.name)?.into()));
        Self::link_modules(engine, &transforms.iter().map(load).collect::<Result<Vec<_>>>()?, input)
    }

    /// The same with the modules' bytes given.
    pub fn link_modules(
        engine: &TransformEngine,
        transforms: &[(TransformConfig, Bytes)],
        input: SchemaRef,
    ) -> Result<Self> {
        let mut output = input;
        let mut linked = Vec::with_capacity(transforms.len());
        for (config, module) in transforms {
            let transform = LinkedTransform::link(engine, config, module, &output)?;
            output = transform.output_schema();
            linked.push(transform);
        }
        Ok(Self::of(linked, output))
    }

    /// Transforms that were linked one after another, and the columns after the last.
    pub(super) fn of(transforms: Vec<LinkedTransform>, output: SchemaRef) -> Self {
        Self { transforms, output }
    }

    /// The columns after the last transform.
    pub fn output_schema(&self) -> SchemaRef {
        self.output.clone()
    }

    /// The transforms, in order.
    pub fn transforms(&self) -> &[LinkedTransform] {
        &self.transforms
    }

    /// An instance for one worker thread, which needs a stack of at least 2 MiB.
    pub fn instantiate(&self) -> Result<ChainInstance> {
        let stage = |transform: &LinkedTransform| -> Result<Stage> {
            let name = transform.name.as_str().into();
            let skips = transform.policy == FailurePolicy::Skip;
            let (blueprint, plan, turns) = (&transform.blueprint, &transform.plan, &transform.turns);
            let runner =
                Runner::new(name, blueprint.clone(), plan.clone(), skips, transform.high_water, turns.clone())?;
            let (name, plan, stats) = (transform.name.clone(), transform.plan.clone(), transform.stats.clone());
            Ok(Stage { name, policy: transform.policy, plan, runner, stats, warned: None, unwarned: 0 })
        };
        let stages: Vec<Stage> = self.transforms.iter().map(stage).collect::<Result<_>>()?;
        // Of the metadata, only these two can be long.
        let read_later = |metadata: &Metadata| {
            let read = |stage: &Stage| stage.plan.reads.contains(&ReadFrom::Metadata(*metadata));
            stages.iter().skip(1).any(read)
        };
        let beside = [Metadata::Topic, Metadata::Key].into_iter().filter(read_later).collect();
        Ok(ChainInstance { stages, output: self.output.clone(), beside })
    }

    /// What each transform has done, summed over all instances of this chain.
    pub fn counts(&self) -> Vec<TransformCounts> {
        let counts = |transform: &LinkedTransform| TransformCounts {
            used: Some(transform.used()),
            ..transform.stats.counts(&transform.name, &transform.version)
        };
        self.transforms.iter().map(counts).collect()
    }

    /// The guests' own metrics, summed over all instances of this chain.
    pub fn metrics(&self) -> Vec<MetricSnapshot> {
        self.transforms.iter().flat_map(|transform| transform.metrics.snapshot(&transform.name)).collect()
    }
}

impl LinkedTransform {
    /// What its instances use, and may use.
    fn used(&self) -> TransformUse {
        let Blueprint { limits, log, .. } = &self.blueprint;
        let dropped = log.counts();
        TransformUse {
            memory_limit_bytes: limits.memory_bytes as u64,
            high_water_bytes: self.high_water as u64,
            instances_limit: limits.instances.map(|most| most as u64),
            deadline_us: u64::try_from(limits.deadline.as_micros()).unwrap_or(u64::MAX),
            output_limit_bytes: limits.output_bytes as u64,
            log_lines: dropped.lines,
            log_lines_dropped: dropped.lines_dropped,
            log_bytes_dropped: dropped.bytes_dropped,
            log_lines_limit: u64::from(limits.log_lines),
            log_bytes_limit: limits.log_bytes as u64,
            metrics: self.metrics.names() as u64,
            metrics_limit: limits.metrics as u64,
            metrics_refused: self.metrics.refused(),
            ..self.blueprint.gauge.marks()
        }
    }

    /// The lines that its instances logged since they were taken last.
    pub(crate) fn take_lines(&self) -> Vec<GuestLine> {
        self.blueprint.log.take()
    }

    /// The columns after it.
    pub(super) fn output_schema(&self) -> SchemaRef {
        self.plan.output.clone()
    }

    /// Links one module, given as `bytes`, against `input`.
    pub(crate) fn link(
        engine: &TransformEngine,
        config: &TransformConfig,
        bytes: &[u8],
        input: &SchemaRef,
    ) -> Result<Self> {
        let refused = |text: &str| Error::config(format!("transform `{}` {text}", config.name));
        let module = engine.load(bytes).map_err(|error| {
            let mut named = refused(&format!("({}) cannot be loaded: {error}", config.module.display()));
            if let Some(hint) = error.what_to_do() {
                named = named.hint(hint);
            }
            named
        })?;
        let metrics = Arc::new(GuestMetrics::new(config.limits.metrics));
        let blueprint = Blueprint {
            module: module.clone(),
            settings: config.settings.clone(),
            limits: config.limits.clone(),
            log: GuestLog::new(config.name.as_str().into(), &config.limits),
            metrics: metrics.clone(),
            gauge: Arc::default(),
        };
        let fields = descriptor::input_fields(input);
        let fields: Vec<_> = fields.iter().map(|field| field.as_param()).collect();
        let mut instance = blueprint
            .instantiate()
            .map_err(|failure| refused(&format!("could not be instantiated: {}", failure.detail)))?;
        let described = instance
            .describe(&blueprint.settings(), &fields)
            .map_err(|failure| refused(&format!("does not fit its input or settings: {}", failure.detail)))?;
        let plan = descriptor::plan(described, input)
            .map_err(|problems| refused(&format!("does not fit: it {}", problems.join("; it "))))?;
        if config.on_failure == FailurePolicy::Skip {
            let against = plan.against_skipping(input);
            if !against.is_empty() {
                let text = format!("cannot have `on_failure = \"skip\"`: it {}", against.join("; it "));
                return Err(refused(&text)
                    .hint("set `on_failure` to \"dead-letter\" or \"stop\", or let the transform write columns that may be null"));
            }
        }
        let reads: Vec<_> = plan.read_fields.iter().map(|field| field.as_param()).collect();
        let started =
            blueprint.start(&reads).map_err(|failure| refused(&format!("could not start: {}", failure.detail)))?;
        let (bytes, mark) = (started.memory_bytes(), config.limits.high_water(started.memory_bytes()));
        if bytes > mark {
            return Err(refused(&format!(
                "has {bytes} bytes of memory after its start, and its high-water mark is {mark}"
            ))
            .hint("raise `limits.high_water`: above it an instance is replaced after each batch"));
        }
        Ok(Self {
            name: config.name.clone(),
            version: config.version.clone().unwrap_or_else(|| module.info.version.clone()),
            module: (*module.info).clone(),
            settings_digest: settings_digest(config),
            descriptor: plan.descriptor.clone(),
            policy: config.on_failure,
            plan: Arc::new(plan),
            high_water: mark,
            turns: config.limits.instances.map(|most| Arc::new(Turns::new(most))),
            blueprint,
            metrics,
            stats: Arc::default(),
        })
    }
}

/// The chain of one worker thread.
pub struct ChainInstance {
    stages: Vec<Stage>,
    output: SchemaRef,
    /// Metadata that a transform behind the first reads.
    beside: Vec<Metadata>,
}

struct Stage {
    name: String,
    policy: FailurePolicy,
    plan: Arc<Plan>,
    runner: Runner,
    stats: Arc<Stats>,
    /// When rows that went on unchanged were logged last, and how many did since.
    warned: Option<Instant>,
    unwarned: usize,
}

impl Stage {
    /// Logs that rows went on unchanged, but not more than now and then: nothing else shows it.
    fn warn_of_skipped(&mut self, rows: usize, failure: &Failure) {
        self.unwarned += rows;
        if self.warned.is_some_and(|warned| warned.elapsed() < BETWEEN_WARNINGS) {
            return;
        }
        self.warned = Some(Instant::now());
        let rows = std::mem::take(&mut self.unwarned);
        let (transform, reason, detail) = (&self.name, failure.kind.reason(), &failure.detail);
        tracing::warn!(%transform, rows, reason, %detail, "a transform failed, and rows went on unchanged");
    }
}

impl ChainInstance {
    /// Takes decoded rows through all transforms. `source` is the batch they were decoded from.
    ///
    /// Fails (kind `Guest`) when a transform whose policy is `Stop` fails on a row, or when a transform cannot be
    /// started again after a failure. The instance may be used again afterwards.
    pub fn process(&mut self, decoded: &Decoded, source: &SourceBatch) -> Result<ChainOutput> {
        let mut batch = Batch {
            decoded,
            source,
            frame: Frame::new(&decoded.rows),
            metadata: [const { None }; 5],
            rejected: Vec::new(),
            failures: Vec::new(),
        };
        for metadata in &self.beside {
            let array = batch.metadata(*metadata);
            batch.frame.count_beside(array);
        }
        for (index, stage) in self.stages.iter_mut().enumerate() {
            if batch.frame.rows() > 0 {
                let (started, events) = (Instant::now(), batch.frame.rows() as u64);
                let columns = batch.columns(&stage.plan)?;
                let outcome = stage.runner.process(&columns, &mut batch.frame)?;
                let is_failure = |reject: &&RejectedRow| matches!(reject.why, Why::Failure(_));
                let failed_rejects = outcome.rejects.iter().filter(is_failure).count() as u64;
                let rejected = outcome.rejects.len() as u64 - failed_rejects;
                let skipped = outcome.skipped.iter().map(|skipped| skipped.rows.len() as u64).sum::<u64>();
                let failed = failed_rejects + skipped;
                let failed_calls = u64::from(outcome.failed_calls);
                batch.note(index, stage, &outcome)?;
                batch.apply(index, &stage.plan, outcome)?;
                let (kept, took) = (batch.frame.rows() as u64, started.elapsed());
                stage.stats.add(&stats::Batch { events, kept, rejected, failed, failed_calls, took });
            } else {
                batch.apply(index, &stage.plan, Outcome::of_no_rows(&stage.plan))?;
            }
        }
        batch.finish(self.output.clone())
    }
}

/// A batch on its way through the chain.
struct Batch<'a> {
    decoded: &'a Decoded,
    source: &'a SourceBatch,
    frame: Frame,
    /// Kafka's metadata, one value per decoded row, made when a transform reads it.
    metadata: [Option<ArrayRef>; 5],
    rejected: Vec<Rejected>,
    failures: Vec<TransformFailure>,
}

impl Batch<'_> {
    /// The columns that a transform reads.
    fn columns(&mut self, plan: &Plan) -> Result<Vec<ArrayRef>> {
        let read = |from: &ReadFrom| match from {
            ReadFrom::Column(index) => self.frame.column(*index),
            ReadFrom::Metadata(metadata) => {
                let array = self.metadata(*metadata);
                self.frame.bring(array, 0)
            }
        };
        plan.reads.iter().map(read).collect()
    }

    /// Metadata of all decoded rows.
    fn metadata(&mut self, metadata: Metadata) -> ArrayRef {
        let (decoded, source) = (self.decoded, self.source);
        let column = &mut self.metadata[metadata as usize];
        column.get_or_insert_with(|| metadata_column(metadata, decoded, source)).clone()
    }

    /// Remembers a failure, or fails when the policy says so.
    fn note(&mut self, transform: usize, stage: &mut Stage, outcome: &Outcome) -> Result<()> {
        if outcome.failed_calls == 0 {
            return Ok(());
        }
        let failed = |reject: &RejectedRow| match &reject.why {
            Why::Failure(failure) => Some(failure.clone()),
            Why::Guest { .. } => None,
        };
        let rows = outcome.rejects.iter().filter_map(failed).count();
        let first = outcome.rejects.iter().find_map(|reject| failed(reject).map(|failure| (reject.row, failure)));
        if let (FailurePolicy::Stop, Some((row, failure))) = (stage.policy, &first) {
            let message = self.message_of(*row);
            let offset = self.source.messages.get(message as usize).offset;
            return Err(Error::guest(format!(
                "transform `{}` failed at offset {offset} of {} ({}): {}",
                stage.name,
                self.source.topic_partition,
                failure.kind.reason(),
                failure.detail
            ))
            .hint("correct the transform, or set `on_failure = \"dead-letter\"` to set such rows aside"));
        }
        let skipped = outcome.skipped.iter().map(|skipped| skipped.rows.len()).sum();
        let failure = match outcome.skipped.first() {
            Some(first) => {
                stage.warn_of_skipped(skipped, &first.failure);
                Some(first.failure.clone())
            }
            None => first.map(|(_, failure)| failure),
        };
        let (kind, detail) = failure.map(|failure| (failure.kind, failure.detail.clone())).unzip();
        let (detail, failed_calls) = (detail.unwrap_or_default(), outcome.failed_calls);
        self.failures.push(TransformFailure { transform, kind, detail, failed_calls, rows, skipped });
        Ok(())
    }

    /// The message of a row of the newest generation.
    fn message_of(&mut self, row: u32) -> u32 {
        let origin = self.frame.origins(0).map_or(row, |origins| origins[row as usize]);
        self.decoded.messages[origin as usize]
    }

    /// Puts a transform's results in place.
    fn apply(&mut self, transform: usize, plan: &Plan, outcome: Outcome) -> Result<()> {
        let rejected = self.reject(transform, plan, outcome.rejects);
        let rows = self.frame.rows();
        let alive = |row: &u32| rejected.binary_search(row).is_err();
        let generation = match outcome.keep {
            Keep::Gather(gather) => {
                let alive_after = || (0..gather.len() as u32).filter(|row| alive(&gather[*row as usize])).collect();
                let staying: Option<Vec<u32>> = (!rejected.is_empty()).then(alive_after);
                self.frame.gather(gather);
                let generation = self.frame.generation();
                staying.into_iter().for_each(|rows| self.frame.keep(rows));
                generation
            }
            keep => {
                let generation = self.frame.generation();
                let staying = match keep {
                    Keep::All if rejected.is_empty() => None,
                    Keep::Rows(kept) if rejected.is_empty() => Some(kept),
                    Keep::Rows(kept) => Some(kept.into_iter().filter(alive).collect()),
                    _ => Some((0..rows as u32).filter(alive).collect()),
                };
                staying.into_iter().for_each(|rows| self.frame.keep(rows));
                generation
            }
        };
        for ((_, replaced), array) in plan.writes.iter().zip(outcome.columns) {
            match replaced {
                Some(index) => self.frame.replace(*index, array, generation),
                None => self.frame.push(array, generation),
            }
        }
        plan.drops.iter().rev().for_each(|index| self.frame.remove(*index));
        Ok(())
    }

    /// Sets the rejected rows aside; gives the rows of the newest generation that leave for it, in increasing order:
    /// once rows were repeated, all rows of a message leave with the first.
    fn reject(&mut self, transform: usize, plan: &Plan, rejects: Vec<RejectedRow>) -> Vec<u32> {
        if rejects.is_empty() {
            return Vec::new();
        }
        let gathered = self.frame.gathered();
        let mut leaving = Vec::with_capacity(rejects.len());
        for RejectedRow { row, why } in rejects {
            leaving.push(row);
            let message = self.message_of(row);
            // Rows of one message stand together, so a message that was just rejected is the last one.
            if gathered
                && self.rejected.last().is_some_and(|other| other.transform == transform && other.message == message)
            {
                continue;
            }
            let (reason, detail) = match why {
                Why::Failure(failure) => (failure.kind.reason().to_owned(), failure.detail.clone()),
                Why::Guest { reason, detail } => {
                    let reason = &plan.descriptor.reasons[usize::from(reason)];
                    let detail = detail.map_or_else(|| reason.message.clone(), |text| bounded(&text, MAX_DETAIL_BYTES));
                    (reason.code.clone(), detail)
                }
            };
            self.rejected.push(Rejected { message, transform, reason, detail });
        }
        if gathered {
            leaving = self.siblings(&leaving);
        }
        leaving
    }

    /// All rows of the newest generation that come from the same messages as `rows`.
    fn siblings(&mut self, rows: &[u32]) -> Vec<u32> {
        let count = self.frame.rows() as u32;
        let Some(origins) = self.frame.origins(0) else { return rows.to_vec() };
        // Origins never decrease, so the rows of a message stand together, and so do those of `rows`.
        let mut origins_leaving: Vec<u32> = rows.iter().map(|row| origins[*row as usize]).collect();
        origins_leaving.dedup();
        (0..count).filter(|row| origins_leaving.binary_search(&origins[*row as usize]).is_ok()).collect()
    }

    fn finish(mut self, schema: SchemaRef) -> Result<ChainOutput> {
        let messages = match self.frame.origins(0) {
            None => self.decoded.messages.clone(),
            Some(origins) => origins.iter().map(|origin| self.decoded.messages[*origin as usize]).collect(),
        };
        let mut distinct = messages.len();
        if self.frame.gathered() {
            distinct = messages.chunk_by(|a, b| a == b).count();
        }
        let filtered = self.decoded.rows.num_rows() - distinct - self.rejected.len();
        self.rejected.sort_by_key(|rejected| rejected.message);
        let rows = self.frame.finish(schema)?;
        Ok(ChainOutput { rows, messages, rejected: self.rejected, filtered: filtered as u64, failures: self.failures })
    }
}

/// One value of Kafka's metadata per decoded row.
fn metadata_column(metadata: Metadata, decoded: &Decoded, source: &SourceBatch) -> ArrayRef {
    let messages = || decoded.messages.iter().map(|index| source.messages.get(*index as usize));
    let rows = decoded.messages.len();
    match metadata {
        Metadata::Topic => {
            let topic: &str = &source.topic_partition.topic;
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, rows)))
        }
        Metadata::Partition => Arc::new(Int32Array::from_value(source.topic_partition.partition, rows)),
        Metadata::Offset => Arc::new(Int64Array::from_iter_values(messages().map(|message| message.offset))),
        Metadata::Timestamp => {
            let micros = |message: Message<'_>| message.timestamp_ms.and_then(|millis| millis.checked_mul(1000));
            let array: TimestampMicrosecondArray = messages().map(micros).collect();
            Arc::new(array.with_timezone("UTC"))
        }
        Metadata::Key => Arc::new(messages().map(|message| message.key).collect::<BinaryArray>()),
    }
}

/// The module's file.
pub(super) fn read(path: &Path, name: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::config(format!("transform `{name}`: the module {} cannot be read", path.display()))
            .because(error)
            .hint("check `module`; `wasmill transform build` writes the file")
    })
}

/// Over names and values with their lengths, so that no two different settings look alike. A secret's value is left out:
/// the digest stands in records, and short secrets could be guessed from it.
fn settings_digest(config: &TransformConfig) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for (name, value) in &config.settings {
        let value = if config.settings.is_secret(name) { "" } else { value };
        for text in [name.as_str(), value] {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
    }
    hex(&digest.finalize())
}

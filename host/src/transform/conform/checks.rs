//! The checks, one for each rule; those that come after a broken one which they need are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::batches::{BatchRule, as_decoded};
use crate::config::{FailurePolicy, TransformConfig};
use crate::error::Result;
use crate::transform::bindings::types;
use crate::transform::chain::{ChainInstance, ChainOutput, LinkedTransform, TransformChain};
use crate::transform::descriptor::{self, Plan};
use crate::transform::engine::TransformEngine;
use crate::transform::guest_log::GuestLog;
use crate::transform::guest_metrics::GuestMetrics;
use crate::transform::instance::{Blueprint, Failure, FailureKind};

/// By rule: how it is broken, `None` where it is kept.
pub(super) type Findings = BTreeMap<&'static str, Option<String>>;

/// A setting that no transform has.
const UNKNOWN_SETTING: &str = "wasmill-conform-unknown";
/// Batches before memory is looked at first, and until it is looked at again.
const WARM_BATCHES: usize = 16;
const STEADY_BATCHES: usize = 48;

/// Judges the module by every rule that can be judged.
pub(super) fn check(
    engine: &TransformEngine,
    config: &TransformConfig,
    bytes: &[u8],
    input: &SchemaRef,
    batches: &[BatchRule],
) -> Result<Findings> {
    let mut findings = Findings::new();
    let module = match engine.load(bytes) {
        Ok(module) => module,
        Err(error) => {
            let hint = error.what_to_do().map(|hint| format!("; {hint}")).unwrap_or_default();
            findings.insert("loads", Some(format!("{error}{hint}")));
            return Ok(findings);
        }
    };
    findings.insert("loads", None);
    let blueprint = Blueprint {
        module,
        settings: config.settings.clone(),
        limits: config.limits.clone(),
        log: GuestLog::new("conform".into(), &config.limits),
        metrics: Arc::new(GuestMetrics::new(config.limits.metrics)),
        gauge: Arc::default(),
    };
    let plan = described(&blueprint, input);
    findings.insert("describes", plan.as_ref().err().cloned());
    let Ok(plan) = plan else { return Ok(findings) };
    findings.insert("describe-is-pure", impure(&blueprint, input));
    findings.insert("missing-columns-are-told", missing_columns(&blueprint, &plan, input));
    findings.insert("unknown-settings-are-told", unknown_setting(&blueprint, input));

    // Poison rows are to be found and told, not to end the judgement.
    let config = TransformConfig { on_failure: FailurePolicy::DeadLetter, ..config.clone() };
    let chain = LinkedTransform::link(engine, &config, bytes, input).and_then(|linked| {
        let output = linked.output_schema();
        let chain = TransformChain::of(vec![linked], output);
        let instance = chain.instantiate()?;
        Ok((chain, instance))
    });
    findings.insert("starts", chain.as_ref().err().map(ToString::to_string));
    if let Ok((chain, instance)) = chain {
        Tried { chain, instance, input, batches }.all(&mut findings)?;
    }
    Ok(findings)
}

/// What a fresh instance says of itself for these columns.
fn describe(blueprint: &Blueprint, settings: &[(&str, &str)], input: &Schema) -> Result<types::Descriptor, Failure> {
    let fields = descriptor::input_fields(input);
    let fields: Vec<_> = fields.iter().map(|field| field.as_param()).collect();
    blueprint.instantiate()?.describe(settings, &fields)
}

fn told(failure: &Failure) -> String {
    format!("{}: {}", failure.kind.reason(), failure.detail)
}

fn described(blueprint: &Blueprint, input: &SchemaRef) -> Result<Plan, String> {
    let described = describe(blueprint, &blueprint.settings(), input).map_err(|failure| told(&failure))?;
    descriptor::plan(described, input).map_err(|problems| format!("it {}", problems.join("; it ")))
}

fn impure(blueprint: &Blueprint, input: &SchemaRef) -> Option<String> {
    let fields = descriptor::input_fields(input);
    let fields: Vec<_> = fields.iter().map(|field| field.as_param()).collect();
    let settings = blueprint.settings();
    let twice = || {
        let mut instance = blueprint.instantiate()?;
        let first = instance.describe(&settings, &fields)?;
        let again = instance.describe(&settings, &fields)?;
        let elsewhere = describe(blueprint, &settings, input)?;
        Ok::<_, Failure>([first, again, elsewhere].map(|described| format!("{described:?}")))
    };
    match twice() {
        Err(failure) => Some(format!("when asked again: {}", told(&failure))),
        Ok([first, again, _]) if first != again => Some("another answer when it is asked again".to_owned()),
        Ok([first, _, elsewhere]) if first != elsewhere => Some("another answer on another instance".to_owned()),
        Ok(_) => None,
    }
}

fn missing_columns(blueprint: &Blueprint, plan: &Plan, input: &SchemaRef) -> Option<String> {
    let read = plan.descriptor.reads.iter().filter(|name| !name.starts_with('$'));
    read.filter_map(|name| {
        let others = input.fields().iter().filter(|field| field.name() != name).cloned();
        let without = Schema::new(others.collect::<Vec<_>>());
        match describe(blueprint, &blueprint.settings(), &without) {
            Ok(described) if described.reads.contains(name) => {
                Some(format!("without column {name:?} it says all the same that it reads it"))
            }
            Err(failure) if failure.kind != FailureKind::Failed => {
                Some(format!("without column {name:?}: {}", told(&failure)))
            }
            _ => None,
        }
    })
    .next()
}

fn unknown_setting(blueprint: &Blueprint, input: &SchemaRef) -> Option<String> {
    let mut settings = blueprint.settings();
    settings.push((UNKNOWN_SETTING, "1"));
    match describe(blueprint, &settings, input) {
        Ok(_) => Some("it takes a setting that nobody knows".to_owned()),
        Err(failure) if failure.kind == FailureKind::Failed => None,
        Err(failure) => Some(told(&failure)),
    }
}

/// A module that has started, and the batches that it is tried on.
struct Tried<'a> {
    chain: TransformChain,
    instance: ChainInstance,
    input: &'a SchemaRef,
    batches: &'a [BatchRule],
}

/// What became of a batch, as something to compare.
#[derive(PartialEq)]
struct Became {
    rows: arrow::array::RecordBatch,
    messages: Vec<u32>,
    rejected: Vec<(u32, String, String)>,
}

impl Became {
    fn of(output: &ChainOutput, first: u32) -> Self {
        let rejected = output.rejected.iter();
        Self {
            rows: output.rows.clone(),
            messages: output.messages.iter().map(|message| message + first).collect(),
            rejected: rejected.map(|row| (row.message + first, row.reason.clone(), row.detail.clone())).collect(),
        }
    }
}

impl Tried<'_> {
    fn all(mut self, findings: &mut Findings) -> Result<()> {
        let (mut unanswered, mut refused, mut changed, mut dependent) = (None, None, None, None);
        for batch in self.batches {
            let rows = batch.rows_of(self.input)?;
            let (decoded, source) = as_decoded(rows.clone());
            let output = self.instance.process(&decoded, &source)?;
            for failure in &output.failures {
                let told = format!("{}: {}", batch.name, failure.detail);
                let into = if failure.kind == Some(FailureKind::Failed) { &mut refused } else { &mut unanswered };
                into.get_or_insert(told);
            }
            if !output.failures.is_empty() {
                // What a failed call was is not compared: which rows are given up may depend on time.
                continue;
            }
            let first = Became::of(&output, 0);
            let again = self.instance.process(&decoded, &source)?;
            let elsewhere = self.chain.instantiate()?.process(&decoded, &source)?;
            if Became::of(&again, 0) != first {
                changed.get_or_insert(format!("{}: another output when it comes again", batch.name));
            }
            if Became::of(&elsewhere, 0) != first {
                changed.get_or_insert(format!("{}: another output on another instance", batch.name));
            }
            if let Some(told) = self.in_halves(&rows, &first)? {
                dependent.get_or_insert(format!("{}: {told}", batch.name));
            }
        }
        findings.insert("batches-are-answered", unanswered);
        findings.insert("batches-are-not-refused", refused);
        findings.insert("same-batch-same-output", changed);
        findings.insert("rows-stand-alone", dependent);
        self.used(findings)
    }

    /// Whether the halves of a batch become what they became together.
    fn in_halves(&mut self, rows: &arrow::array::RecordBatch, whole: &Became) -> Result<Option<String>> {
        let middle = rows.num_rows() / 2;
        if middle == 0 {
            return Ok(None);
        }
        let mut halves = Vec::new();
        for (first, length) in [(0, middle), (middle, rows.num_rows() - middle)] {
            let (decoded, source) = as_decoded(rows.slice(first, length));
            halves.push(Became::of(&self.instance.process(&decoded, &source)?, first as u32));
        }
        let joined = arrow::compute::concat_batches(&self.chain.output_schema(), halves.iter().map(|half| &half.rows));
        let joined = joined.map_err(|error| crate::error::Error::fatal("cannot join two halves").because(error))?;
        let both = Became {
            rows: joined,
            messages: halves.iter().flat_map(|half| half.messages.clone()).collect(),
            rejected: halves.iter().flat_map(|half| half.rejected.clone()).collect(),
        };
        Ok((both != *whole).then(|| "its halves become something else than the whole".to_owned()))
    }

    /// What many large batches show. Of a module that fails on them, nothing.
    fn used(&mut self, findings: &mut Findings) -> Result<()> {
        let Some(largest) = self.batches.iter().max_by_key(|batch| batch.rows) else { return Ok(()) };
        let (decoded, source) = as_decoded(largest.rows_of(self.input)?);
        let mut marks = Vec::new();
        for count in [WARM_BATCHES, STEADY_BATCHES] {
            for _ in 0..count {
                let output = self.instance.process(&decoded, &source)?;
                if !output.failures.is_empty() {
                    return Ok(());
                }
            }
            marks.push(self.chain.counts().into_iter().find_map(|counts| counts.used).unwrap_or_default());
        }
        let [warm, end] = &marks[..] else { return Ok(()) };
        let grown = end.memory_bytes.saturating_sub(warm.memory_bytes);
        let told = format!("{grown} bytes more after {STEADY_BATCHES} batches, {} in all", end.memory_bytes);
        findings.insert("memory-is-steady", (grown > 0).then_some(told));
        let told = format!("{} ms of {} ms", end.slowest_us / 1_000, end.deadline_us / 1_000);
        findings.insert("time-is-left", (end.slowest_us * 2 > end.deadline_us).then_some(told));
        Ok(())
    }
}

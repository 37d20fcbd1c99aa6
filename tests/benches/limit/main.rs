//! The limit that the benchmark compares with: decoding and encoding in memory, on one thread, and nothing else; and what
//! the pipeline's transforms add to it.
//!
//! `cargo run --release --example in_memory_limit -- PIPELINE EVENTS` decodes simulated events with the pipeline's schema,
//! splits them by hive partition and encodes part files, by the host's own parts. Prints CPU time in microseconds per
//! event as JSON. There is no source and no storage: what the host takes more than this, they take. The transforms are
//! measured by themselves, twice in turn on each batch: their modules in the production engine, the copies in and out and
//! the checks included; and the same crates compiled natively. The difference is what Wasm costs.

mod native;

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use arrow::array::{Array as _, RecordBatch};
use wasmill::config::Config;
use wasmill::decode::json::JsonDecoder;
use wasmill::eventsim::{Simulator, SimulatorOptions};
use wasmill::sink::hive::HivePartitioner;
use wasmill::sink::part_file::{PartFile, PartFileOptions};
use wasmill::source::{OwnedMessages, SourceBatch, TopicPartition};
use wasmill::transform::{TransformChain, TransformEngine};

use self::native::NativeChain;

/// Messages of one batch, as a worker reads them.
const BATCH: usize = 4_096;
/// 2100-01-01 in milliseconds: no simulated event lies in the future.
const NOW_MS: i64 = 4_102_444_800_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [pipeline, events] = &arguments[..] else { bail!("usage: in_memory_limit PIPELINE EVENTS") };
    let config = Config::load(Path::new(pipeline))?;
    let events: usize = events.parse().context("EVENTS is not a number")?;
    let batches = simulated(events)?;

    let begin = cpu_nanoseconds()?;
    let mut decoder = JsonDecoder::new(&config.schema);
    let rows: Vec<RecordBatch> = batches.iter().map(|batch| decoder.decode(batch).rows).collect();
    let decoded = cpu_nanoseconds()?;
    ensure!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() == events, "not every event was decoded");
    let Transformed { wasm, native } = transform(&config, &batches)?;
    drop(batches);

    let before_encoding = cpu_nanoseconds()?;
    let (bytes, files) = encode(&config, &rows)?;
    let encoded = cpu_nanoseconds()?;

    let per_event = |nanoseconds: u64| nanoseconds as f64 / 1_000.0 / events as f64;
    let (decode_us, encode_us) = (per_event(decoded - begin), per_event(encoded - before_encoding));
    let (transform_us, native_us) = (per_event(wasm), per_event(native));
    let sum_us = decode_us + encode_us;
    println!(
        r#"{{"events": {events}, "decode_us": {decode_us:.3}, "encode_us": {encode_us:.3}, "cpu_us_per_event": {sum_us:.3}, "transform_us": {transform_us:.4}, "native_transform_us": {native_us:.4}, "bytes": {bytes}, "files": {files}}}"#
    );
    Ok(())
}

/// Events as the benchmark's topic holds them: half a day between two sessions of a user.
fn simulated(events: usize) -> Result<Vec<SourceBatch>> {
    let options = SimulatorOptions { beta: Duration::from_secs(12 * 3_600), ..SimulatorOptions::default() };
    let mut simulator = Simulator::new(options)?;
    let mut batches = Vec::new();
    let mut batch = OwnedMessages::default();
    for index in 0..events {
        let mut is_event = true;
        batch.push_with(i64::try_from(index)?, None, |out| is_event = simulator.next_event(out).is_some());
        ensure!(is_event, "the simulation ended early");
        if (index + 1) % BATCH == 0 || index + 1 == events {
            let messages = Box::new(std::mem::take(&mut batch));
            let topic_partition = TopicPartition::new("listen_events", 0);
            batches.push(SourceBatch { topic_partition, messages, next: i64::try_from(index)? + 1 });
        }
    }
    Ok(batches)
}

/// CPU time in nanoseconds that the transforms took for all events.
struct Transformed {
    wasm: u64,
    native: u64,
}

/// Takes everything through the pipeline's transforms, as modules and natively; decoding is not counted.
fn transform(config: &Config, batches: &[SourceBatch]) -> Result<Transformed> {
    let engine = TransformEngine::new(None)?;
    let chain = TransformChain::link(&engine, &config.transforms, Arc::clone(&config.schema.arrow))?;
    let mut instance = chain.instantiate()?;
    let names: Vec<&str> = config.transforms.iter().map(|transform| transform.name.as_str()).collect();
    let min_seconds = config.transforms.first().and_then(|transform| transform.settings.get("min_seconds"));
    let mut same =
        NativeChain::new(&names, min_seconds.map_or("30", |seconds| seconds.as_str()), &config.schema.arrow)?;
    let mut decoder = JsonDecoder::new(&config.schema);
    let mut spent = Transformed { wasm: 0, native: 0 };
    for batch in batches {
        let decoded = decoder.decode(batch);
        let begin = cpu_nanoseconds()?;
        let output = instance.process(&decoded, batch)?;
        spent.wasm += cpu_nanoseconds()? - begin;
        ensure!(output.rows.num_rows() > 0, "the transforms kept nothing of a batch");
        let rows = same.process(decoded.rows, &mut spent.native)?;
        ensure!(rows.num_rows() == output.rows.num_rows(), "the native chain keeps other rows");
        let place = |rows: &RecordBatch| rows.column_by_name("region").map(|column| column.to_data());
        ensure!(place(&rows) == place(&output.rows), "the native chain writes other values");
    }
    Ok(spent)
}

/// Splits and encodes everything; the sum of the files' lengths, and how many there are.
fn encode(config: &Config, batches: &[RecordBatch]) -> Result<(u64, usize)> {
    let mut partitioner = HivePartitioner::new(&config.table, &config.schema.arrow)?;
    let schema = Arc::clone(partitioner.file_schema());
    let options = PartFileOptions::new(schema, config.table.compression, config.checkpoint.target_file_size)?;
    let mut open: HashMap<Arc<str>, PartFile> = HashMap::new();
    for batch in batches {
        for piece in partitioner.split(batch, NOW_MS)?.pieces {
            if !open.contains_key(&piece.hive_partition) {
                open.insert(Arc::clone(&piece.hive_partition), PartFile::new(&options));
            }
            if let Some(file) = open.get_mut(&piece.hive_partition) {
                file.write(&piece.rows)?;
            }
        }
    }
    let files = open.len();
    let mut bytes = 0;
    for file in open.into_values() {
        bytes += file.finish(&[])?.length;
    }
    Ok((bytes, files))
}

/// CPU time of this thread until now.
fn cpu_nanoseconds() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("cannot read this thread's CPU time")?;
    text.split_whitespace().next().context("no CPU time in schedstat")?.parse().context("the CPU time is not a number")
}

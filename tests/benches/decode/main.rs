//! What decoding costs, beside arrow-json's reader of JSON.
//!
//! `cargo run --release --example decode -- [--rounds N] [--only WORD] [--write DIRECTORY]` makes events of several kinds,
//! and lets each reader decode them on one thread: the host's of JSON, and of Avro, Protobuf and framed JSON where the
//! simulator writes those; arrow-json's of the same events in JSON, with the same columns. All readers take turns, round
//! after round, and each round begins with another one. First it is checked that they all make the same rows.
//! Prints CPU time in microseconds per event, for each round, as JSON.

mod cases;
mod readers;
mod registry;
mod write;

use std::env;
use std::path::PathBuf;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use self::cases::{BATCH, Case};
use self::readers::Reader;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the command line asks for.
struct Options {
    rounds: usize,
    /// Cases with this in their name.
    only: String,
    /// Where the cases are written for other programs to read.
    write: Option<PathBuf>,
}

fn options() -> Result<Options> {
    let mut options = Options { rounds: 15, only: String::new(), write: None };
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} has no value"))?;
        match name.as_str() {
            "--rounds" => options.rounds = value.parse().context("--rounds is not a number")?,
            "--only" => options.only = value,
            "--write" => options.write = Some(value.into()),
            _ => bail!("usage: decode [--rounds N] [--only WORD] [--write DIRECTORY]"),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    let tokio = tokio::runtime::Runtime::new()?;
    let schemas = registry::schemas(tokio.handle())?;
    let mut measured = Vec::new();
    for (number, case) in cases::all().enumerate() {
        let case = case?;
        if !case.name.contains(&options.only) {
            continue;
        }
        let mut readers = readers::readers(&case, &schemas)?;
        let batches = case.events.len() / BATCH;
        check(&case, &mut readers, batches)?;
        let rounds = measure(&mut readers, batches, options.rounds)?;
        let mut result = result(&case, &readers, &rounds);
        if let Some(directory) = &options.write {
            let file = directory.join(format!("{number:02}.parquet"));
            write::events(&file, &case)?;
            result["file"] = json!(file);
            result["spark_schema"] = json!(write::spark_schema(&case.schema.fields)?);
        }
        measured.push(result);
    }
    println!("{:#}", json!({ "batch": BATCH, "rounds": options.rounds, "cases": measured }));
    Ok(())
}

/// All readers make the same rows of the same events.
fn check(case: &Case, readers: &mut [Reader], batches: usize) -> Result<()> {
    for index in 0..batches {
        let mut first = None;
        for reader in &mut *readers {
            let rows = reader.decode(index)?;
            ensure!(rows.num_rows() == BATCH, "{}: {} does not make a row of each event", case.name, reader.name);
            let first = first.get_or_insert_with(|| rows.clone());
            ensure!(*first == rows, "{}: {} makes other rows", case.name, reader.name);
        }
    }
    Ok(())
}

/// `[reader][round]`: CPU time in nanoseconds for all events.
fn measure(readers: &mut [Reader], batches: usize, rounds: usize) -> Result<Vec<Vec<u64>>> {
    let mut taken = vec![Vec::with_capacity(rounds); readers.len()];
    for round in 0..rounds {
        for turn in 0..readers.len() {
            let place = (round + turn) % readers.len();
            let begin = cpu_nanoseconds()?;
            for index in 0..batches {
                readers[place].decode(index)?;
            }
            taken[place].push(cpu_nanoseconds()? - begin);
        }
    }
    Ok(taken)
}

fn result(case: &Case, readers: &[Reader], rounds: &[Vec<u64>]) -> Value {
    let events = case.events.len() as f64;
    let reader = |(reader, rounds): (&Reader, &Vec<u64>)| {
        let cpu_us: Vec<f64> = rounds.iter().map(|nanoseconds| *nanoseconds as f64 / 1_000.0 / events).collect();
        json!({ "name": reader.name, "bytes_per_event": reader.bytes as f64 / events, "cpu_us": cpu_us })
    };
    json!({
        "name": case.name,
        "events": case.events.len(),
        "columns": case.schema.fields.len(),
        "readers": readers.iter().zip(rounds).map(reader).collect::<Vec<_>>(),
    })
}

/// CPU time of this thread until now.
fn cpu_nanoseconds() -> Result<u64> {
    // The kernel adds up what a thread took when it stops to run, or at a tick some milliseconds later.
    thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("cannot read this thread's CPU time")?;
    text.split_whitespace().next().context("no CPU time in schedstat")?.parse().context("the CPU time is not a number")
}

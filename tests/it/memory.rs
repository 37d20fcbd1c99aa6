//! Many open hive partitions: one budget for all their files, held against resident memory, and a limit of their number.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::binary::{run, stderr, stdout};

/// Hive partitions that every file of events falls into.
const HIVE_PARTITIONS: usize = 500;
const BUDGET_BYTES: u64 = 96 << 20;
/// What the budget does not count: the events in flight, what the allocator has not given back yet.
const SLACK_BYTES: u64 = 32 << 20;
const HOUR_MS: usize = 3_600_000;

/// Texts, numbers and nulls in nineteen columns, as in the main job: memory is held by column.
const TEXTS: [&str; 9] = ["song", "artist", "city", "state", "userAgent", "lastName", "firstName", "zip", "auth"];
const NUMBERS: [&str; 9] = ["userId", "sessionId", "itemInSession", "duration", "lon", "lat", "a", "b", "registration"];

fn pipeline(directory: &Path, name: &str, max_open: usize) -> String {
    let mut schema = "ts = \"long!\"\n".to_owned();
    for text in TEXTS {
        let _ = writeln!(schema, "{text} = \"string\"");
    }
    for number in NUMBERS {
        let _ = writeln!(schema, "{number} = \"double\"");
    }
    let base = directory.join(name);
    let (events, base) = (base.with_extension("jsonl"), base.display());
    format!(
        "[pipeline]\nname = \"memory\"\n\
         [source.file]\npath = {events:?}\n\
         [schema]\n{schema}\
         [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
         partition_by = [\"year\", \"month\", \"day\", \"hour\"]\ncompression = \"zstd\"\nmax_open_hive_partitions = {max_open}\n\
         [dead_letters]\nlocation = \"{base}/dead_letters\"\n\
         [checkpoint]\nlocation = \"{base}/checkpoints\"\ninterval = \"10m\"\n\
         [limits]\nmemory_budget = \"{}MiB\"\n",
        BUDGET_BYTES >> 20
    )
}

/// Events whose hours go round: all hive partitions stay open until the end.
fn write_events(path: &Path, events: usize) {
    let mut lines = String::with_capacity(events * 400);
    let mut random = 1_u64;
    for event in 0..events {
        let _ = write!(lines, "{{\"ts\": {}", 1_700_000_000_000 + (event % HIVE_PARTITIONS) * HOUR_MS + event);
        for name in TEXTS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let _ = write!(lines, ", \"{name}\": \"{:016x}\"", random >> 16);
        }
        for name in NUMBERS {
            let _ = write!(lines, ", \"{name}\": {}.5", (random >> 20) % 100_000);
        }
        lines.push_str("}\n");
    }
    fs::write(path, lines).expect("the events can be written");
}

/// The summary of a run over so many events.
fn summary(directory: &Path, name: &str, events: usize, max_open: usize) -> Value {
    write_events(&directory.join(name).with_extension("jsonl"), events);
    let file = directory.join(name).with_extension("toml");
    fs::write(&file, pipeline(directory, name, max_open)).expect("the pipeline file can be written");
    let output = run(&["run", &file.to_string_lossy(), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("a summary in JSON")
}

#[test]
fn five_hundred_open_hive_partitions_stay_within_the_budget() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = summary(directory.path(), "small", 1_000, HIVE_PARTITIONS);
    let large = summary(directory.path(), "large", 500_000, HIVE_PARTITIONS);
    assert_eq!(large["written"], 500_000, "{large}");
    assert_eq!(large["files"], HIVE_PARTITIONS, "each hive partition was open until the end: {large}");
    let peak = |summary: &Value| summary["peak_memory_bytes"].as_u64().expect("a peak");
    let (base, peak) = (peak(&small), peak(&large));
    println!("peak of a small run {} MB, with {HIVE_PARTITIONS} hive partitions {} MB", base >> 20, peak >> 20);
    assert!(peak <= base + BUDGET_BYTES + SLACK_BYTES, "{base} bytes for 1,000 events, {peak} for 500,000");
}

#[test]
fn rows_for_more_hive_partitions_than_may_be_open_become_dead_letters() {
    let directory = tempfile::tempdir().expect("a directory");
    // Two events in each of 500 hours, and three hours may be open.
    let summary = summary(directory.path(), "few", 1_000, 3);
    assert_eq!((&summary["written"], &summary["files"]), (&6.into(), &3.into()), "{summary}");
    assert_eq!(summary["dead_letters"][0]["reason"], "too-many-hive-partitions", "{summary}");
    assert_eq!(summary["dead_letters"][0]["count"], 994, "{summary}");
}

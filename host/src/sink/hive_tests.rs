//! The partitioner against a rule that looks at one row at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int32Type};
use proptest::prelude::*;

use super::*;
use crate::config::{Compression, EventTime};

/// 2026-11-24T00:30:00Z.
const NOW_MS: i64 = 1_795_480_200_000;

fn table(partition_by: &[&str]) -> TableConfig {
    TableConfig {
        location: "/table".into(),
        event_time: EventTime { column: "ts".into(), unit: config::TimeUnit::Milliseconds },
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        compression: Compression::Zstd,
        encodings: std::collections::BTreeMap::new(),
        max_open_hive_partitions: 10,
        max_future: Duration::from_secs(3_600),
    }
}

#[derive(Debug, Clone)]
struct Row {
    ts: Option<i64>,
    level: Option<String>,
    code: Option<i64>,
    ok: Option<bool>,
}

fn row(ts: i64, level: &str) -> Row {
    Row { ts: Some(ts), level: Some(level.to_owned()), code: Some(1), ok: Some(true) }
}

/// The rows, with their numbers in a column `n`.
fn batch(rows: &[Row]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int32, false),
        Field::new("ts", DataType::Int64, true),
        Field::new("level", DataType::Utf8, true),
        Field::new("code", DataType::Int64, true),
        Field::new("ok", DataType::Boolean, true),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int32Array::from_iter_values(0..i32::try_from(rows.len()).unwrap())),
            Arc::new(rows.iter().map(|row| row.ts).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.level.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.code).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.ok).collect::<BooleanArray>()),
        ],
    )
    .unwrap()
}

fn split(partition_by: &[&str], rows: &[Row]) -> Split {
    let batch = batch(rows);
    HivePartitioner::new(&table(partition_by), &batch.schema()).unwrap().split(&batch, NOW_MS).unwrap()
}

#[test]
fn paths_are_utc_with_two_digits() {
    for (ts, path) in [
        (0, "year=1970/month=01/day=01/hour=00"),
        (NOW_MS, "year=2026/month=11/day=24/hour=00"),
        (NOW_MS - 1_800_001, "year=2026/month=11/day=23/hour=23"),
    ] {
        let split = split(&["year", "month", "day", "hour"], &[row(ts, "free")]);
        assert_eq!(&*split.pieces[0].hive_partition, path);
        assert_eq!(split.pieces[0].rows.num_columns(), 5);
        assert_eq!((split.pieces[0].min_event_time_us, split.pieces[0].max_event_time_us), (ts * 1_000, ts * 1_000));
    }
}

#[test]
fn values_are_escaped_as_hive_does() {
    let long = "x".repeat(200);
    let longer = "=".repeat(67);
    for (level, path) in [
        (Some("free"), "level=free"),
        (Some(""), "level=__HIVE_DEFAULT_PARTITION__"),
        (None, "level=__HIVE_DEFAULT_PARTITION__"),
        (Some("a/b=c%d e}é"), "level=a%2Fb%3Dc%25d e}é"),
        (Some("\"#'*:?\\{[]^\u{1}\u{7f}\0"), "level=%22%23%27%2A%3A%3F%5C%7B%5B%5D%5E%01%7F%00"),
        (Some(".."), "level=.."),
        (Some(&long), &format!("level={long}")),
    ] {
        let split = split(&["level"], &[Row { level: level.map(str::to_owned), ..row(NOW_MS, "") }]);
        assert_eq!(&*split.pieces[0].hive_partition, path);
        let names: Vec<String> = split.pieces[0].rows.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["n", "ts", "code", "ok"]);
    }
    let split = split(&["level"], &[row(NOW_MS, "ok"), row(NOW_MS, &longer), row(NOW_MS, "ok")]);
    assert_eq!(split.pieces.len(), 1);
    assert_eq!(split.pieces[0].origin, Rows::Picked(vec![0, 2]));
    assert_eq!((split.rejected[0].row, split.rejected[0].reason), (1, "hive-value-too-long"));
    assert!(split.rejected[0].detail.contains("201 bytes"), "{}", split.rejected[0].detail);
}

#[test]
fn impossible_event_times_are_rejected() {
    let year_2200 = 7_258_118_400_000;
    let hour = 3_600_000;
    for (ts, reason) in [
        (None, Some("no-event-time")),
        (Some(-1), Some("event-time-out-of-range")),
        (Some(0), None),
        (Some(NOW_MS + hour), None),
        (Some(NOW_MS + hour + 1), Some("event-time-out-of-range")),
        (Some(year_2200), Some("event-time-out-of-range")),
        (Some(i64::MAX), Some("event-time-out-of-range")),
        (Some(i64::MIN), Some("event-time-out-of-range")),
    ] {
        let split = split(&["day"], &[Row { ts, ..row(0, "free") }]);
        assert_eq!(split.rejected.first().map(|rejected| rejected.reason), reason, "{ts:?}");
        assert_eq!(split.pieces.len(), usize::from(reason.is_none()));
    }
    // However far `max_future` reaches, the table ends in 2199.
    let mut table = table(&["day"]);
    table.max_future = Duration::MAX;
    let batch = batch(&[row(year_2200, ""), row(year_2200 - 1, "")]);
    let split = HivePartitioner::new(&table, &batch.schema()).unwrap().split(&batch, i64::MAX).unwrap();
    assert_eq!((split.rejected.len(), split.rejected[0].row), (1, 0));
    assert!(split.rejected[0].detail.contains("2200-01-01"), "{}", split.rejected[0].detail);
}

#[test]
fn every_unit_of_time_means_the_same() {
    let us = NOW_MS * 1_000;
    let columns: [(ArrayRef, config::TimeUnit); 4] = [
        (Arc::new(Int64Array::from(vec![us])), config::TimeUnit::Microseconds),
        (Arc::new(Int64Array::from(vec![us / 1_000_000])), config::TimeUnit::Seconds),
        (Arc::new(Int32Array::from(vec![i32::try_from(us / 1_000_000).unwrap()])), config::TimeUnit::Seconds),
        (Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone("UTC")), config::TimeUnit::Microseconds),
    ];
    for (column, unit) in columns {
        let schema = Arc::new(Schema::new(vec![Field::new("ts", column.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let mut table = table(&["year", "hour"]);
        table.event_time.unit = unit;
        let split = HivePartitioner::new(&table, &schema).unwrap().split(&batch, NOW_MS).unwrap();
        assert_eq!(&*split.pieces[0].hive_partition, "year=2026/hour=00", "{unit:?}");
        assert_eq!(split.pieces[0].min_event_time_us, us);
    }
}

#[test]
fn large_runs_are_not_copied_and_small_ones_are() {
    let hour = 3_600_000;
    let mut rows = vec![row(NOW_MS, "free"); 90];
    rows.extend(vec![row(NOW_MS - hour, "free"); 10]);
    let batch = batch(&rows);
    let split = HivePartitioner::new(&table(&["hour"]), &batch.schema()).unwrap().split(&batch, NOW_MS).unwrap();
    let data = |rows: &RecordBatch| rows.column(0).as_primitive::<Int32Type>().values().as_ptr();
    assert_eq!(data(&split.pieces[0].rows), data(&batch));
    assert_eq!(split.pieces[1].origin, Rows::Run(90..100));
    assert_ne!(data(&split.pieces[1].rows), data(&batch.slice(90, 10)));
}

#[test]
fn a_table_without_partitions_is_one_piece() {
    let split = split(&[], &[row(0, "free"), row(NOW_MS, "paid")]);
    assert_eq!((split.pieces.len(), &*split.pieces[0].hive_partition), (1, ""));
}

/// The rule, one row at a time: `Ok(path)` or the reason.
fn place(parts: &[&str], row: &Row) -> std::result::Result<String, &'static str> {
    let ts = row.ts.ok_or("no-event-time")?;
    if !(0..=NOW_MS + 3_600_000).contains(&ts) {
        return Err("event-time-out-of-range");
    }
    let time = jiff::Timestamp::from_millisecond(ts).unwrap();
    let mut levels = Vec::new();
    for part in parts {
        let value = match *part {
            "year" => time.strftime("%Y").to_string(),
            "month" => time.strftime("%m").to_string(),
            "day" => time.strftime("%d").to_string(),
            "hour" => time.strftime("%H").to_string(),
            "level" => row.level.clone().unwrap_or_default().replace('/', "%2F"),
            "code" => row.code.map_or_else(String::new, |code| code.to_string()),
            _ => row.ok.map_or_else(String::new, |ok| ok.to_string()),
        };
        if value.len() > 200 {
            return Err("hive-value-too-long");
        }
        levels.push(format!("{part}={}", if value.is_empty() { "__HIVE_DEFAULT_PARTITION__" } else { &value }));
    }
    Ok(levels.join("/"))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let hour = 3_600_000_i64;
    let ts = prop_oneof![
        8 => (0_i64..50 * hour).prop_map(move |back| Some(NOW_MS - back)),
        4 => Just(Some(NOW_MS)),
        1 => Just(None),
        1 => any::<i64>().prop_map(Some),
        1 => (-2 * hour..2 * hour).prop_map(move |ahead| Some(NOW_MS + hour + ahead)),
    ];
    let level = prop_oneof![
        4 => Just(Some("free".to_owned())),
        4 => Just(Some("paid".to_owned())),
        2 => "[a/]{0,3}".prop_map(Some),
        1 => Just(None),
        1 => Just(Some("x".repeat(201))),
    ];
    let code = proptest::option::of(-2_i64..2);
    let ok = proptest::option::of(any::<bool>());
    let row = (ts, level, code, ok).prop_map(|(ts, level, code, ok)| Row { ts, level, code, ok });
    // Some rows many times over, so that there are runs.
    proptest::collection::vec((row, 1_usize..20), 0..40)
        .prop_map(|runs| runs.into_iter().flat_map(|(row, count)| vec![row; count]).collect())
}

proptest! {
    #[test]
    fn every_row_goes_where_the_rule_says(
        parts in proptest::sample::subsequence(vec!["year", "month", "day", "hour", "level", "code", "ok"], 0..=7),
        batches in proptest::collection::vec(rows(), 1..3),
    ) {
        let mut partitioner = HivePartitioner::new(&table(&parts), &batch(&[]).schema()).unwrap();
        for rows in batches {
            let mut expected: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            let mut rejected = Vec::new();
            for (number, row) in (0_u32..).zip(&rows) {
                match place(&parts, row) {
                    Ok(path) => expected.entry(path).or_default().push(number),
                    Err(reason) => rejected.push((number, reason)),
                }
            }
            let split = partitioner.split(&batch(&rows), NOW_MS).unwrap();
            let found: Vec<_> = split.rejected.iter().map(|rejected| (rejected.row, rejected.reason)).collect();
            prop_assert_eq!(found, rejected);
            prop_assert_eq!(split.pieces.len(), expected.len());
            for piece in split.pieces {
                let numbers = &expected[&*piece.hive_partition];
                prop_assert_eq!(&piece.origin.iter().collect::<Vec<_>>(), numbers);
                prop_assert_eq!(piece.origin.len(), numbers.len());
                prop_assert_eq!(piece.rows.schema_ref(), partitioner.file_schema());
                let n = piece.rows.column(0).as_primitive::<Int32Type>().values();
                prop_assert!(n.iter().map(|n| u32::try_from(*n).unwrap()).eq(numbers.iter().copied()));
                let times = || numbers.iter().map(|number| rows[*number as usize].ts.unwrap() * 1_000);
                prop_assert_eq!(Some(piece.min_event_time_us), times().min());
                prop_assert_eq!(Some(piece.max_event_time_us), times().max());
            }
        }
    }
}

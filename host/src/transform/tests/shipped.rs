//! The transforms that the project ships, built from source, in one chain.

use std::path::Path;
use std::time::Instant;

use arrow::array::{Array, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::*;
use crate::transform::build;

/// Builds one of the project's transforms and gives its module's bytes.
pub(super) fn module(name: &str) -> Vec<u8> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transforms").join(name);
    let out = tempfile::tempdir().unwrap();
    let built = build::build(&project, Some(&out.path().join("module.wasm"))).unwrap();
    assert_eq!(built.name, name);
    std::fs::read(built.path).unwrap()
}

fn shipped(name: &str, settings: &[(&str, &str)]) -> (TransformConfig, Vec<u8>) {
    let mut config = config(name);
    for (key, value) in settings {
        config.settings.insert(*key, *value);
    }
    (config, module(name))
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0";

/// `rows` plays in New York at 22:13:20 UTC; every fourth is too short, every fifth beyond the pole.
fn plays(rows: usize) -> RecordBatch {
    let all = |text: &'static str| Arc::new(StringArray::from_iter_values((0..rows).map(|_| text)));
    let numbers = 0..rows as i32;
    let duration = (0..rows).map(|n| if n % 4 == 0 { 12.0 } else { 180.0 });
    let lat = (0..rows).map(|n| if n % 5 == 0 { 90.5 } else { 40.750_659 });
    let columns: [(&str, Arc<dyn Array>); 10] = [
        ("auth", all("Logged In")),
        ("duration", Arc::new(Float64Array::from_iter_values(duration))),
        ("ts", Arc::new(Int64Array::from_iter_values((0..rows).map(|_| 1_700_000_000_000)))),
        ("state", all("NY")),
        ("userAgent", all(FIREFOX)),
        ("firstName", all("Ada")),
        ("lastName", all("Byron")),
        ("userId", Arc::new(Int32Array::from_iter_values(numbers))),
        ("lat", Arc::new(Float64Array::from_iter_values(lat))),
        ("lon", Arc::new(Float64Array::from_iter_values((0..rows).map(|_| -73.996_795)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn the_shipped_transforms_run_in_one_chain() {
    let modules = [
        shipped("keep-plays", &[("min_seconds", "30")]),
        shipped("validate-events", &[]),
        shipped("enrich-geo", &[]),
        shipped("enrich-user-agent", &[]),
        shipped("mask-pii", &[("key", "a secret of the tests")]),
    ];
    let rows = 100;
    let batch = plays(rows);
    let chain = link(&modules, batch.schema()).unwrap();
    let begun = Instant::now();
    let mut instance = chain.instantiate().unwrap();
    println!("five instances started in {:?}", begun.elapsed());
    let (mut decoded, source) = events(rows);
    decoded.rows = batch;
    let output = instance.process(&decoded, &source).unwrap();
    assert!(output.failures.is_empty());
    assert_eq!(output.filtered, 25);
    assert_eq!(output.rejected.len(), 15);
    assert_eq!(output.rejected[0].reason, "latitude-out-of-range");
    assert_eq!(output.rows.num_rows(), 60);
    let column = |name: &str| output.rows.column_by_name(name).unwrap();
    let text = |name: &str| {
        let column = arrow::compute::cast(column(name), &DataType::Utf8).unwrap();
        column.as_string::<i32>().value(0).to_owned()
    };
    assert_eq!(text("region"), "Northeast");
    assert_eq!(text("timeZone"), "America/New_York");
    assert_eq!(column("localHour").as_primitive::<Int32Type>().value(0), 17);
    assert_eq!([text("device"), text("os"), text("browser")], ["pc", "Linux", "Firefox"]);
    assert_eq!(text("firstName").len(), 32);
    assert!(column("userId").as_primitive::<Int64Type>().value(0) > 0);
    assert_eq!(column("lat").as_primitive::<Float64Type>().value(0), 40.8);
}

//! A transform built from source with the SDK.

use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;

use super::*;

/// Builds one of the project's transforms and gives its module's bytes.
fn build(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--release", "--quiet", "--target", "wasm32-unknown-unknown", "-p", name])
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let module = format!("wasm32-unknown-unknown/release/{}.wasm", name.replace('-', "_"));
    std::fs::read(target.join(module)).unwrap()
}

#[test]
fn keep_plays_keeps_plays() {
    let module = build("keep-plays");
    let chain = link(&[(config("plays"), module)], events_schema()).unwrap();
    let transform = &chain.transforms()[0];
    assert_eq!((transform.module.name.as_str(), transform.version.as_str()), ("keep-plays", "0.1.0"));
    assert_eq!(transform.module.wit_version, "0.1.0");
    assert_eq!(transform.descriptor.reads, ["auth", "duration"]);
    let mut instance = chain.instantiate().unwrap();
    for rows in [0, 1, 8, 1000] {
        let output = run(&mut instance, rows).unwrap();
        let kept: Vec<i32> = (0..rows as i32).filter(|n| n % 3 != 0 && n % 5 != 0 && *n >= 30).collect();
        assert_eq!(output.rows.column(2).as_primitive::<Int32Type>().values().as_ref(), kept);
        assert!(output.rejected.is_empty() && output.failures.is_empty());
    }
}

#[test]
fn settings_and_schemas_that_do_not_fit_are_named() {
    let module = build("keep-plays");
    let mut wrong = config("plays");
    wrong.settings.insert("min_second", "10");
    let schema = Schema::new(vec![Field::new("auth", DataType::Int64, true)]);
    let error = link(&[(wrong, module)], Arc::new(schema)).err().unwrap().to_string();
    for part in ["`plays`", "`min_second`", "`auth`", "`duration`"] {
        assert!(error.contains(part), "{error}");
    }
}

//! A transform built from source with the SDK.

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;

use super::super::inspect::inspect;
use super::super::trial::{TrialOutcome, try_module};
use super::shipped::module;
use super::*;

#[test]
fn keep_plays_keeps_plays() {
    let module = module("keep-plays");
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
    let module = module("keep-plays");
    let mut wrong = config("plays");
    wrong.settings.insert("min_second", "10");
    let schema = Schema::new(vec![Field::new("auth", DataType::Int64, true)]);
    let error = link(&[(wrong, module)], Arc::new(schema)).err().unwrap().to_string();
    for part in ["`plays`", "`min_second`", "`auth`", "`duration`"] {
        assert!(error.contains(part), "{error}");
    }
}

/// A transform whose module lies in a file, as commands get it.
fn in_file(module: &[u8]) -> (tempfile::TempDir, TransformConfig) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config("plays");
    config.module = directory.path().join("keep_plays.wasm");
    std::fs::write(&config.module, module).unwrap();
    (directory, config)
}

#[test]
fn a_trial_says_what_became_of_each_line() {
    let (_directory, mut config) = in_file(&module("keep-plays"));
    config.settings.insert("min_seconds", "10");
    let events = r#"{"auth": "Logged In", "duration": 240.5}

{"auth": "Logged In", "duration": 9.5}
{"auth": null, "duration": 20.0}
{"auth": 1}
{"auth": "Logged In", "duration": 10}"#;
    let engine = TransformEngine::new(None).unwrap();
    let trial = try_module(&engine, &config, None, events).unwrap();
    let kept = || TrialOutcome::Kept { wrote: Default::default() };
    let outcomes: Vec<_> = trial.lines.iter().map(|line| (line.line, line.outcome.clone())).collect();
    assert_eq!(outcomes[0], (1, kept()));
    assert_eq!(outcomes[1], (3, TrialOutcome::Filtered));
    assert!(matches!(&outcomes[2], (4, TrialOutcome::Rejected { reason, .. }) if reason == "null-input"));
    assert!(matches!(&outcomes[3], (5, TrialOutcome::Undecodable { reason, .. }) if reason == "wrong-type"));
    assert_eq!(outcomes[4], (6, kept()));
    assert!(trial.to_string().ends_with("2 kept, 1 filtered, 1 rejected, 1 undecodable\n"), "{trial}");
    assert_eq!(trial.compare(&trial.to_json_lines()), []);
}

#[test]
fn inspecting_shows_what_a_module_is_and_does() {
    let (_directory, config) = in_file(&module("keep-plays"));
    let engine = TransformEngine::new(None).unwrap();
    let plain = inspect(&engine, &config, None).unwrap();
    assert_eq!((plain.module.name.as_str(), plain.descriptor.is_some()), ("keep-plays", false));
    let full = inspect(&engine, &config, Some(&events_schema())).unwrap();
    let json = serde_json::to_value(&full).unwrap();
    assert_eq!(json["reads"], serde_json::json!(["auth", "duration"]));
    assert_eq!(json["reasons"][0]["code"], "null-input");
    assert_eq!(json["columns"].as_array().unwrap().len(), 3);
    let text = full.to_string();
    assert!(text.contains("keep-plays 0.1.0") && text.contains("reads      auth, duration"), "{text}");
}

//! Transforms in other languages: built by the commands of guest-sdk/docs/other-languages.md as they stand there, uploaded,
//! and run in a pipeline beside the shipped filter of the same rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::binary::{self, run, stderr, stdout};
use crate::deployments::Job;

/// Title of the language's section, and its directory below guest-sdk/examples.
const LANGUAGES: [(&str, &str); 3] = [("JavaScript", "javascript"), ("Python", "python"), ("C", "c")];

/// Copies the files of a directory, over what is there.
fn copy(from: &Path, into: &Path) {
    std::fs::create_dir_all(into).expect("a directory");
    for entry in std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let path = entry.expect("an entry").path();
        let target = into.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

/// The commands of a language, as the document has them.
fn commands(language: &str) -> String {
    let path = binary::root().join("guest-sdk/docs/other-languages.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (_, section) = text.split_once(&format!("\n## {language}\n")).expect("a section of the language");
    let (_, block) = section.split_once("```sh\n").expect("a block of commands");
    block.split_once("```").expect("the block's end").0.to_owned()
}

/// A language's filter, built once.
fn module(language: &'static str, directory: &'static str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(language).or_insert_with(|| build(language, directory)).clone()
}

/// Builds a filter in a copy of the examples, in which the tools stay for the next run of this test.
fn build(language: &str, directory: &str) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
    copy(&binary::root().join("wit"), &base.join("wit"));
    copy(&binary::root().join("guest-sdk/examples"), &base.join("guest-sdk/examples"));
    let project = base.join("guest-sdk/examples").join(directory);
    let binaries = binary::path().parent().expect("the binary's directory");
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands(language)])
        .current_dir(&project)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", base.join("target"))
        .output()
        .expect("bash can be started");
    assert!(output.status.success(), "{language}: {}{}", stdout(&output), stderr(&output));
    let told = stdout(&output);
    // Both events are long enough for one setting of the test, one for the other; and it was judged by every rule.
    assert!(told.contains("1 kept") && told.contains("1 filtered"), "{language}: {told}");
    assert!(told.ends_with(", 0 not judged\n") && !told.contains("BROKEN"), "{language}: {told}");
    project.join("filter.wasm")
}

/// Events of which the filter keeps some: of every kind of user, without a duration, with one on the border.
fn events() -> String {
    let event = |n: usize| {
        let auth = ["Logged In", "Logged Out", "Guest", "logged in", ""][n % 5];
        let duration = [Some(29.99), Some(30.0), None, Some(-1.0), Some(1e300), Some(45.5), Some(0.0)][n % 7];
        serde_json::json!({ "n": n, "auth": auth, "duration": duration, "firstName": "Žofie" }).to_string()
    };
    (0..3_000).map(event).collect::<Vec<_>>().join("\n")
}

/// The rows that a pipeline writes with this module as its only transform.
fn kept(module: &Path) -> (i64, Vec<Value>) {
    let job = Job::of_lines(&[]);
    std::fs::write(job.path("events.jsonl"), events()).expect("the events can be written");
    let module = module.to_str().expect("a path");
    job.done(&["push"], &[module, "--name", "keep", "--version", "1.0.0"]);
    let told = job.done(&["deploy"], &["keep", "--set", "keep.min_seconds=30"]);
    assert!(told.contains("deployment 1 is accepted"), "{told}");
    let summary = job.catch_up();
    assert_eq!(summary["dead_lettered"], 0, "{summary}");
    let rows = job.done(&["table", "head"], &["--rows", "5000", "--columns", "n,auth,duration", "--json"]);
    let mut rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    rows.sort_by_key(|row| row["n"].as_i64());
    (summary["written"].as_i64().expect("a count"), rows)
}

#[test]
fn filters_in_other_languages_keep_the_same_rows() {
    let shipped = binary::root().join("target/transforms/keep_plays.wasm");
    let output = run(&["transform", "build", "transforms/keep-plays", "-o", shipped.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (count, wanted) = kept(&shipped);
    assert!(count > 100 && wanted.len() as i64 == count, "{count} rows, {} shown", wanted.len());
    for (language, directory) in LANGUAGES {
        let module = module(language, directory);
        assert_eq!(kept(&module), (count, wanted.clone()), "{language}");
    }
}

#[test]
fn what_they_refuse_they_say() {
    for (language, directory) in LANGUAGES {
        let job = Job::of_lines(&[40.0]);
        let module = module(language, directory);
        job.done(&["push"], &[module.to_str().expect("a path"), "--name", "keep", "--version", "1.0.0"]);
        let refused = job.refused(&["deploy"], &["keep", "--set", "keep.seconds=30"]);
        assert!(refused.contains("unknown setting `seconds`"), "{language}: {refused}");
        let refused = job.refused(&["deploy"], &["keep", "--set", "keep.min_seconds=soon"]);
        assert!(refused.contains("wanted a number, found `soon`"), "{language}: {refused}");
    }
}

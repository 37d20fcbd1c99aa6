//! What is said before traffic: descriptors, and every problem at once.

use wasmill_sdk::prelude::*;
use wasmill_sdk::testing::{Table, run};
use wasmill_sdk::wit::{Batch, Column, Field, Selection, Values, VarBytes};

#[derive(Reads)]
#[reads(rename_all = "camelCase")]
struct Event<'a> {
    user_agent: &'a str,
    session_id: i64,
    #[reads(rename = "$offset")]
    offset: i64,
    #[reads(rename = "$key")]
    key: Option<&'a [u8]>,
    #[reads(optional)]
    note: Option<&'a str>,
}

#[derive(Writes)]
#[writes(rename_all = "camelCase")]
struct Shown {
    record_offset: i64,
    note: Option<String>,
}

#[derive(Settings)]
#[settings(rename_all = "kebab-case")]
struct Limits {
    #[settings(default = "none")]
    default_note: String,
    #[settings(default = -1)]
    first_offset: i64,
    is_strict: bool,
    most: Option<u32>,
}

#[enrich(drops = ["userAgent"])]
fn show(event: &Event, limits: &Limits) -> Shown {
    assert!(limits.first_offset < event.offset && event.key.is_none());
    let note = event.note.unwrap_or(&limits.default_note).to_owned();
    let known = limits.is_strict || event.session_id > 0 || limits.most.is_some();
    Shown { record_offset: event.offset, note: known.then(|| format!("{} {note}", event.user_agent)) }
}

fn field(name: &str, format: &str, nullable: bool) -> Field {
    Field { name: name.into(), format: format.into(), nullable }
}

fn strict() -> Vec<(String, String)> {
    vec![("is-strict".into(), "true".into())]
}

#[test]
fn a_descriptor_says_what_the_types_say() -> Result<(), String> {
    let input = [field("sessionId", "l", false), field("userAgent", "u", false), field("other", "d:10,2", true)];
    let descriptor = show::describe(&strict(), &input)?;
    assert_eq!(descriptor.reads, ["userAgent", "sessionId", "$offset", "$key"]);
    assert_eq!(descriptor.writes, [field("recordOffset", "l", false), field("note", "u", true)]);
    assert_eq!(descriptor.drops, ["userAgent"]);
    assert_eq!(descriptor.reasons.len(), 0, "no column that is required may be null");
    let input = [field("sessionId", "l", true), field("userAgent", "u", false), field("note", "u", true)];
    let descriptor = show::describe(&strict(), &input)?;
    assert_eq!(descriptor.reads.last().map(String::as_str), Some("note"));
    assert_eq!(descriptor.reasons[0].code, "null-input");
    Ok(())
}

#[test]
fn every_problem_is_said_at_once() {
    let settings = [("is-strict", "yes"), ("most", "-1"), ("mots", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let input = [field("sessionId", "i", false), field("note", "d:10,2", true)];
    let problems = show::describe(&settings, &input).unwrap_err();
    assert_eq!(
        problems,
        "7 problems:\n\
         - unknown setting `mots`; known: `default-note` (text, default \"none\"), `first-offset` (a whole number, \
         default -1), `is-strict` (true or false, required), `most` (a whole number, not negative, optional)\n\
         - setting `is-strict`: wanted true or false\n\
         - setting `most`: wanted a whole number, not negative\n\
         - column `userAgent` is missing: wanted string; the columns here are sessionId, note\n\
         - column `sessionId`: wanted long, found int; `i32` reads it\n\
         - column `note`: wanted string, found a type without a Rust counterpart here (Arrow format `d:10,2`)\n\
         - column `userAgent` is to be dropped, but does not reach this transform"
    );
}

#[test]
fn metadata_settings_and_absent_columns_arrive() -> Result<(), String> {
    let events = Table::from_json(
        "userAgent string, sessionId long",
        r#"
        {"userAgent": "curl", "sessionId": 4}
        {"userAgent": "wget", "sessionId": 0}
        "#,
    )?;
    let rows = run::<show>(&[("is-strict", "false"), ("default-note", "hm")], &events)?.json();
    assert_eq!(rows[0], serde_json::json!({"sessionId": 4, "recordOffset": 0, "note": "curl hm"}));
    assert_eq!(rows[1], serde_json::json!({"sessionId": 0, "recordOffset": 1, "note": null}));
    Ok(())
}

#[derive(Writes)]
struct Twice {
    one: i32,
    #[writes(rename = "one")]
    two: i32,
    #[writes(rename = "$topic")]
    topic: &'static str,
}

#[derive(Reads)]
struct Nothing {}

#[enrich(drops = ["one"])]
fn twice(_: &Nothing) -> Twice {
    Twice { one: 1, two: 2, topic: "" }
}

#[test]
fn written_columns_are_checked_too() {
    let problems = twice::describe(&[], &[field("one", "i", false)]).unwrap_err();
    for wanted in ["written by two fields", "both written and dropped", "`$topic` cannot be written"] {
        assert!(problems.contains(wanted), "{wanted}: {problems}");
    }
}

#[derive(Reads)]
struct Text<'a> {
    text: &'a str,
}

#[filter]
fn is_short(row: &Text) -> bool {
    row.text.len() < 3
}

/// A host keeps to the contract; a transform that is given anything else says so and does not panic.
#[test]
fn columns_that_break_the_contract_are_an_error() -> Result<(), String> {
    let text = |offsets: &[i32], bytes: &[u8]| Column {
        values: Values::Bytes(VarBytes { offsets: offsets.to_vec(), bytes: bytes.to_vec() }),
        validity: None,
    };
    let mut short_validity = text(&[0, 1, 2], b"ab");
    short_validity.validity = Some(Vec::new());
    let cases = [
        (text(&[0, 1], b"ab"), "1 values for 2 rows"),
        (text(&[1, 1, 2], b"ab"), "do not start at 0"),
        (text(&[0, 2, 1], b"ab"), "do not start at 0, fall"),
        (text(&[0, 1, 3], b"ab"), "leave the bytes"),
        (text(&[0, 1, 2], &[0xff, 0xfe]), "not UTF-8"),
        (Column { values: Values::Int32(vec![1, 2]), validity: None }, "its layout is Int32"),
        (short_validity, "its validity has 0 bytes"),
    ];
    for (column, expected) in cases {
        let mut transform = is_short::start(&[], &[field("text", "u", true)])?;
        let problem = transform.process(&Batch { rows: 2, columns: vec![column] }).unwrap_err();
        assert!(problem.starts_with("column `text`: ") && problem.contains(expected), "{problem}");
    }
    let mut transform = is_short::start(&[], &[field("text", "u", true)])?;
    assert!(transform.process(&Batch { rows: 2, columns: Vec::new() }).is_err());
    assert!(is_short::start(&[], &[field("text", "z", true)]).is_err());
    let all = transform.process(&Batch { rows: 2, columns: vec![text(&[0, 1, 2], b"ab")] })?;
    assert_eq!(all.keep, Selection::All);
    Ok(())
}

/// State that is more than a cache.
#[derive(Default)]
struct Count(u32);

impl Prepare for Count {
    type Settings = ();
    fn prepare((): ()) -> Result<Count, String> {
        Ok(Count::default())
    }
}

#[filter]
fn every_second(_: &Text, count: &mut Count) -> bool {
    count.0 += 1;
    count.0.is_multiple_of(2)
}

#[test]
fn the_harness_finds_answers_that_depend_on_batches() -> Result<(), String> {
    let rows = Table::from_json("text string!", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n")?;
    let problem = run::<every_second>(&[], &rows).unwrap_err();
    assert!(problem.contains("where batches end"), "{problem}");
    Ok(())
}

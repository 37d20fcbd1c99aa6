//! What `wasmill transform new` writes: each kind's source, with the tests in it, and the sample events.

#[rustfmt::skip]
#[path = "../templates/columnar.rs"]
pub mod columnar;
#[rustfmt::skip]
#[path = "../templates/enrich.rs"]
pub mod enrich;
#[rustfmt::skip]
#[path = "../templates/filter.rs"]
pub mod filter;
#[rustfmt::skip]
#[path = "../templates/validate.rs"]
pub mod validate;

use wasmill_sdk::testing::{Run, Table, run};

/// The sample events, by the sample schema.
fn events() -> Result<Table, String> {
    let fields = include_str!("../templates/schema.toml").lines();
    let fields = fields.filter_map(|line| line.split_once(" = "));
    let fields: Vec<String> = fields.map(|(name, kind)| format!("{name} {}", kind.trim_matches('"'))).collect();
    Table::from_json(&fields.join(", "), include_str!("../templates/events.jsonl"))
}

fn rejected(run: &Run) -> Vec<String> {
    run.rejected.iter().map(ToString::to_string).collect()
}

#[test]
fn the_sample_events_show_what_each_kind_does() -> Result<(), String> {
    let filtered = run::<filter::keep>(&[], &events()?)?;
    assert_eq!(filtered.kept, [0, 2, 4, 5]);
    assert_eq!(rejected(&filtered), ["row 6: null-input (auth)"]);

    let enriched = run::<enrich::describe>(&[], &events()?)?;
    let lengths: Vec<_> = enriched.json().iter().map(|row| row["playLength"].clone()).collect();
    let expected = serde_json::json!(["song", "skip", "long", null, "song", "long", "song"]);
    assert_eq!(serde_json::Value::from(lengths), expected);

    let validated = run::<validate::check>(&[], &events()?)?;
    assert_eq!(rejected(&validated), ["row 3: no-user", "row 4: latitude-out-of-range (141.8858)"]);

    let classified = run::<columnar::ClassifyTransform>(&[], &events()?)?;
    assert_eq!(classified.kept, [0, 1, 2, 3, 4, 6]);
    Ok(())
}

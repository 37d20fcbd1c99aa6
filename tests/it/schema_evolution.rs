//! New versions of a table's schema while a host runs, on a real registry.

use std::sync::PoisonError;

use crate::binary::{run, stderr};
use crate::deployments::end;
use crate::schema_registry::{Job, REGISTRY};

#[test]
fn columns_that_are_added_are_the_tables_from_the_next_range_on() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("evolves", "avro");
    job.produce(0, 300, &[]);
    job.follows("table = \"latest\"\nevolution = \"add-columns\"");
    let host = job.host();
    let written = || job.wasmill(&["verify"], &[])["total"]["rows"]["written"].as_u64().unwrap_or_default();
    job.wait("the older ones", || written() == 300);

    // None of them loses what the table did not have when it came.
    job.produce(300, 200, &["--added"]);
    job.wait("those with a column more", || written() == 500);
    job.check(300, 200);
    let log = || std::fs::read_to_string(job.directory.path().join("host.log")).unwrap_or_default();
    assert!(log().contains("the table gets new columns from the next range on"), "{}", log());

    // A type that has changed is no column that was added: the table stays, and such messages do not fit it.
    job.produce(500, 50, &["--newer"]);
    let letters = || job.wasmill(&["dead-letters", "list"], &[]).to_string();
    job.wait("those that do not fit", || letters().matches("incompatible-schema").count() > 0);
    job.wait("all of them", || job.wasmill(&["verify"], &[])["total"]["rows"]["dead_lettered"].as_u64() == Some(50));
    assert_eq!(written(), 500);
    assert_eq!(end(host), Some(0), "{}", log());
    let verified = job.wasmill(&["verify"], &["--deep"]);
    assert_eq!(verified["findings"].as_array().map(Vec::len), Some(0), "{verified}");
}

#[test]
fn a_schema_that_does_not_fit_stops_where_that_is_asked_for() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let job = Job::new("stops", "avro");
    job.produce(0, 100, &[]);
    job.follows("table = 1\non_incompatible = \"stop\"");
    assert_eq!(job.wasmill(&["run"], &["--until", "caught-up"])["written"], 100);
    job.produce(100, 100, &["--newer"]);
    let output = run(&["run", job.pipeline().to_str().expect("a path"), "--until", "caught-up"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("long cannot become int"), "{}", stderr(&output));
    // Nothing was set aside or left out: with other orders, all of them are read.
    let text = std::fs::read_to_string(job.pipeline()).expect("the pipeline file");
    std::fs::write(job.pipeline(), text.replace("\"stop\"", "\"dead-letter\"")).expect("a pipeline file");
    let summary = job.wasmill(&["run"], &["--until", "caught-up"]);
    assert_eq!((&summary["written"], &summary["dead_lettered"]), (&0.into(), &100.into()), "{summary}");
}

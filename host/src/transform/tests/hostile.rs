//! What a guest may try, and what becomes of it.

use super::guest::Guest;
use super::*;

#[test]
fn a_guest_that_does_nothing_changes_nothing() {
    let chain = link(&[(config("idle"), Guest::new().build())], events_schema()).unwrap();
    let output = run(&mut chain.instantiate().unwrap(), 100).unwrap();
    assert_eq!(output.rows, events(100).0.rows);
}

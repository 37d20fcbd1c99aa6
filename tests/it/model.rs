//! The model of the protocol (`tests/model`, a package of its own: see its manifest), searched in small worlds.

use crate::binary::{cargo, root};

/// Runs the model with `arguments`; what it prints is shown.
fn model(arguments: &[&str]) {
    let run = cargo()
        .args(["run", "--release", "--quiet", "--manifest-path", "tests/model/Cargo.toml", "--target-dir"])
        .arg(root().join("target/model"))
        .arg("--")
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{out}");
    assert!(run.status.success(), "the model says no:\n{out}\n{err}");
}

/// All runs of the small worlds; with `WASMILL_MODEL=large`, of the large ones.
#[test]
fn holds() {
    let large = std::env::var("WASMILL_MODEL").is_ok_and(|size| size == "large");
    model(&[if large { "large" } else { "small" }]);
}

#[test]
fn every_removal_has_a_counterexample() {
    let traces = std::env::var_os("WASMILL_MODEL_TRACES").is_some();
    model(if traces { &["removals", "traces"] } else { &["removals"] });
}

//! Where the real servers are: started by `tests/cluster/cluster.py run -- COMMAND`, named by its environment.

use std::path::{Path, PathBuf};
use std::process::Command;

/// `hdfs://host:port`.
pub(crate) fn hdfs() -> String {
    named("WASMILL_TEST_HDFS")
}

/// `host:port` of the listener that asks for nothing.
pub(crate) fn kafka() -> String {
    named("WASMILL_TEST_KAFKA")
}

/// The URL of the schema registry.
pub(crate) fn registry() -> String {
    named("WASMILL_TEST_REGISTRY")
}

/// The interpreter that has pyarrow, DuckDB and a Kafka client.
pub(crate) fn python() -> String {
    named("WASMILL_TEST_PYTHON")
}

/// Runs a verb of `cluster.py` on the cluster under test; what it printed.
pub(crate) fn cluster(arguments: &[&str]) -> String {
    let script = crate::binary::root().join("tests/cluster/cluster.py");
    let output = Command::new(script).args(arguments).output().expect("cluster.py can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The listener that asks for TLS and SCRAM-SHA-512.
pub(crate) struct SaslSsl {
    pub(crate) brokers: String,
    pub(crate) ca: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The listener that asks for TLS and SCRAM-SHA-512.
pub(crate) fn kafka_sasl_ssl() -> SaslSsl {
    SaslSsl {
        brokers: named("WASMILL_TEST_KAFKA_SASL_SSL"),
        ca: named("WASMILL_TEST_KAFKA_CA"),
        user: named("WASMILL_TEST_KAFKA_USER"),
        password: named("WASMILL_TEST_KAFKA_PASSWORD"),
    }
}

/// A name that no other test and no other run has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:016x}", rand::random::<u64>())
}

/// Runs a command-line tool of the HDFS under test, and fails with what it said.
pub(crate) fn hdfs_tool(class: &str, arguments: &[&str]) -> String {
    let state = std::fs::read(cluster_json()).expect("the state of the cluster can be read");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("the state of the cluster is JSON");
    let command = state["servers"]["namenode"]["command"].as_array().expect("the NameNode's command");
    let words: Vec<&str> = command.iter().filter_map(serde_json::Value::as_str).collect();
    let class_path = words.windows(2).find(|pair| pair[0] == "-cp").expect("the NameNode's class path")[1];
    let output = Command::new(words[0])
        .args(["-Xmx128m", "-cp", class_path, class])
        .args(arguments)
        .output()
        .expect("java can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{class} {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What the cluster's starter wrote about it.
fn cluster_json() -> PathBuf {
    let path = PathBuf::from(named("WASMILL_TEST_CLUSTER"));
    assert!(Path::new(&path).is_file(), "WASMILL_TEST_CLUSTER names no file: {}", path.display());
    path
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set, so there is no server to test on: run `make test`, or \
             `tests/cluster/cluster.py run --registry -- cargo test --release -p wasmill-tests`"
        )
    })
}

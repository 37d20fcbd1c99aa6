//! Topics, their messages, consumer groups and schemas as a host's admin API tells them, on a real broker and a real registry.

use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;

use serde_json::{Value, json};

use crate::admin::{address, token};
use crate::binary::{root, stderr, stdout};
use crate::deployments::{self, end};
use crate::kafka::broker;
use crate::schema_registry::{self, REGISTRY};
use crate::servers;

/// Asks a host with clients that are none of wasmill's.
fn check(what: &str, url: &str, directory: &Path, facts: &Value) {
    let file = directory.join("facts.json");
    std::fs::write(&file, facts.to_string()).expect("the facts can be written");
    let mut command = Command::new(servers::python());
    command.arg(root().join("tests/python/check_topics.py")).args([what, url]).arg(&file);
    let output = command.output().expect("Python can be started");
    assert!(output.status.success(), "{what}:\n{}\n{}", stdout(&output), stderr(&output));
}

#[test]
fn messages_are_found_and_groups_are_left_alone() {
    let topic = broker::topic("browsed", 4, &[]);
    let brokers = servers::kafka();
    let job = deployments::Job::new(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntokens = \"tokens.toml\"\n\
         [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\""
    ));
    let of = |role: &str| token(&job.path("tokens.toml"), role, role, "plays");
    let tokens = json!({
        "viewer": of("viewer"), "payloads": of("payloads"), "deployer": of("deployer"), "admin": of("admin"),
    });
    job.push("keep-plays");
    job.done(&["deploy"], &["keep-plays", "--sample", "0"]);
    let host = job.host("a.log");
    let url = address(&job.path("a.log"));
    let facts = json!({ "tokens": tokens, "brokers": brokers, "topic": topic });
    check("json", &url, &job.path("."), &facts);
    assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
}

#[test]
fn framed_messages_are_shown_by_their_own_schemas() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    for format in ["avro", "protobuf"] {
        let job = schema_registry::Job::new(&format!("browsed-{format}"), format);
        let text = std::fs::read_to_string(job.pipeline()).expect("the pipeline file");
        let text = text.replace("[source.kafka]", "[admin]\nlisten = \"127.0.0.1:0\"\n[source.kafka]");
        std::fs::write(job.pipeline(), text).expect("the pipeline file can be written");
        job.produce(0, 300, &[]);
        job.produce(300, 200, &["--newer"]);
        job.produce(0, 40, &["--bad"]);
        let host = job.host();
        let directory = job.pipeline().parent().expect("a directory").to_owned();
        let url = address(&directory.join("host.log"));
        let facts = json!({
            "topic": job.topic, "brokers": servers::kafka(), "registry": servers::registry(), "format": format,
            "good": 500, "bad": 40,
        });
        check("framed", &url, &directory, &facts);
        assert_eq!(end(host), Some(0), "SIGTERM is a clean end");
    }
}

//! New versions of a table's schema while a host runs, on a real registry.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::PoisonError;

use wasmill::config::{OnIncompatible, RegistryAuth, SchemaRegistryConfig};
use wasmill::schema_registry::{Client, Kind};

use crate::admin::address;
use crate::binary::{self, run, stderr};
use crate::deployments::{self, end};
use crate::kafka::broker;
use crate::schema_registry::{Job, REGISTRY};
use crate::servers;

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

#[test]
fn a_deployment_that_breaks_the_registered_contract_is_refused() {
    let _turn = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().expect("a directory");
    let (base, topic) = (directory.path().display(), broker::topic("contract-deployed", 1, &[]));
    let (brokers, registry) = (servers::kafka(), servers::registry());
    let register = |fields: &str| {
        let config = SchemaRegistryConfig {
            url: registry.clone(),
            auth: RegistryAuth::None,
            ca: None,
            table: None,
            on_incompatible: OnIncompatible::default(),
            cache: None,
        };
        let schema = format!("{{\"type\": \"record\", \"name\": \"Play\", \"fields\": [{fields}]}}");
        let tokio = tokio::runtime::Runtime::new().expect("a runtime");
        let client = Client::new(&config).expect("a client");
        tokio.block_on(client.register(&format!("{topic}-value"), Kind::Avro, &schema)).expect("it is registered");
    };
    let others = "{\"name\": \"ts\", \"type\": \"long\"}, {\"name\": \"duration\", \"type\": [\"null\", \"double\"]}";
    register(&format!("{others}, {{\"name\": \"auth\", \"type\": \"string\"}}"));
    let pipeline = directory.path().join("pipeline.toml");
    let text = format!(
        "[pipeline]\nname = \"plays\"\ntransforms = \"deployed\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\nformat = \"avro\"\n\
         [schema_registry]\nurl = \"{registry}\"\ncache = \"{base}/schemas\"\ntable = \"latest\"\n\
         [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
         [dead_letters]\nlocation = \"{base}/dead_letters\"\n[checkpoint]\nlocation = \"{base}/checkpoints\"\n"
    );
    std::fs::write(&pipeline, text).expect("the pipeline file can be written");
    let pipeline = pipeline.to_str().expect("a path");
    let module = deployments::module("keep-plays");
    let keep = ["keep-plays", "--set", "keep-plays.min_seconds=30", "--sample", "0"];
    for words in
        [&["push", pipeline, module.to_str().expect("a path")][..], &[&["deploy", pipeline], &keep[..]].concat()]
    {
        let output = run(words);
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    }
    let log = directory.path().join("host.log");
    let file = std::fs::File::create(&log).expect("a log file");
    let host = binary::command().args(["run", pipeline]).stdout(Stdio::null()).stderr(file).spawn().expect("a host");
    let url = address(&log);

    // The host has what was registered when it started. What it would take next time has no column `auth`.
    register(others);
    let body = "{\"transforms\": [\"keep-plays\"], \"set\": [\"keep-plays.min_seconds=60\"]}";
    let (status, told) = post(&url, "/v1/deployments", body);
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("would break them") && told.contains("auth"), "{told}");
    // The present one stays, and whoever registers what it needs may deploy again.
    register(&format!(
        "{others}, {{\"name\": \"auth\", \"type\": \"string\"}}, {{\"name\": \"city\", \"type\": \"string\"}}"
    ));
    let (status, told) = post(&url, "/v1/deployments", body);
    assert_eq!(status, 200, "{told}");
    assert_eq!(end(host), Some(0));
}

/// Sends JSON; the status and the body of the answer.
fn post(url: &str, path: &str, body: &str) -> (u16, String) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the host listens");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the host reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the host answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer}")), answer)
}

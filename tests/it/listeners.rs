//! Who outside hears what a run commits: a webhook is told of each hive partition, a collector gets a trace of each checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use crate::binary::{command, run, stderr};

/// The bodies of what is posted to a listener, which says yes to all of it.
fn listener() -> (String, Receiver<Vec<u8>>) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", socket.local_addr().expect("an address"));
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || answer(&stream, |body| told.send(body).is_ok()));
        }
    });
    (url, heard)
}

/// Answers all requests of one connection.
fn answer(mut stream: &TcpStream, hear: impl Fn(Vec<u8>) -> bool) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => {}
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        assert!(hear(body), "the test has ended");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("the answer");
    }
}

/// Writes a pipeline file for simulated events of two topic partitions, with these sections more.
fn pipeline(directory: &Path, more: &str) -> PathBuf {
    let (file, base) = (directory.join("p.toml"), directory.display());
    let text = format!(
        "[pipeline]\nname = \"told\"\n\
         [source.eventsim]\ntopic = \"listen_events\"\ntopic_partitions = 2\nevents = 20000\nseed = 4\n\
         [schema]\nts = \"long!\"\nsong = \"string\"\n\
         [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
         partition_by = [\"day\", \"hour\"]\n\
         [dead_letters]\nlocation = \"{base}/dead\"\n\
         [checkpoint]\nlocation = \"{base}/chain\"\n{more}"
    );
    fs::write(&file, text).expect("the pipeline file can be written");
    file
}

/// The hive partitions of a table by its directories.
fn hive_partitions(table: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for day in fs::read_dir(table).expect("the table").flatten() {
        let name = day.file_name().into_string().expect("a name");
        if !name.starts_with('_') {
            let hours = fs::read_dir(day.path()).expect("a day").flatten();
            found.extend(hours.map(|hour| format!("{name}/{}", hour.file_name().to_string_lossy())));
        }
    }
    found
}

#[test]
fn each_hive_partition_is_told_and_again_after_a_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (url, heard) = listener();
    let file = pipeline(directory.path(), &format!("[webhook]\nurl = \"{url}/hive-partitions\"\n"));
    for start in ["the first", "one that finds all done"] {
        let output = run(&["run", &file.to_string_lossy()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let told: Vec<Value> = heard.try_iter().map(|body| serde_json::from_slice(&body).expect("JSON")).collect();
        let names: Vec<String> = told.iter().map(|told| told["hive_partition"].as_str().unwrap().to_owned()).collect();
        let wanted = hive_partitions(&directory.path().join("table"));
        assert!(wanted.len() > 2, "{wanted:?}");
        assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{start}");
        assert_eq!(names.len(), wanted.len(), "each once by one host: {names:?}");
        for told in &told {
            let location = told["location"].as_str().expect("a location");
            assert!(Path::new(location).is_dir() && told["pipeline"] == "told", "{told}");
        }
    }
}

/// The numbers among the attributes.
fn numbers(attributes: &[KeyValue]) -> BTreeMap<&str, i64> {
    let number = |one: &KeyValue| match one.value.as_ref()?.value.as_ref()? {
        AnyValue::IntValue(number) => Some(*number),
        _ => None,
    };
    attributes.iter().filter_map(|one| Some((one.key.as_str(), number(one)?))).collect()
}

#[test]
fn each_checkpoint_is_a_trace_of_its_steps() {
    let directory = tempfile::tempdir().expect("a directory");
    let (url, heard) = listener();
    let file = pipeline(directory.path(), "");
    let output = command().arg("run").arg(&file).env("OTEL_EXPORTER_OTLP_ENDPOINT", &url).output().expect("a run");
    assert!(output.status.success(), "{}", stderr(&output));
    let requests = heard.try_iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).expect("an export"));
    let resources: Vec<_> = requests.flat_map(|request| request.resource_spans).collect();
    for resource in &resources {
        let attributes = &resource.resource.as_ref().expect("a resource").attributes;
        let text = format!("{attributes:?}");
        assert!(text.contains("wasmill.pipeline") && text.contains("\"told\""), "{text}");
    }
    let spans: Vec<Span> = resources.into_iter().flat_map(|one| one.scope_spans).flat_map(|one| one.spans).collect();
    let wholes: Vec<&Span> = spans.iter().filter(|span| span.name == "checkpoint").collect();
    assert_eq!(wholes.len(), 2, "one range of each topic partition: {spans:?}");
    let mut messages = 0;
    for whole in &wholes {
        let numbers = numbers(&whole.attributes);
        assert_eq!(numbers["wasmill.next"] - numbers["wasmill.start"], numbers["wasmill.messages"], "{numbers:?}");
        messages += numbers["wasmill.messages"];
        let steps: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == whole.span_id).collect();
        assert_eq!(
            steps.iter().map(|step| &*step.name).collect::<Vec<_>>(),
            ["stage", "commit", "publish", "acknowledge"]
        );
        assert!(steps.iter().all(|step| step.trace_id == whole.trace_id));
        // Each begins where the one before it ended.
        let (mut at, mut longest) = (whole.start_time_unix_nano, 0);
        for step in &steps {
            assert!(step.start_time_unix_nano == at && step.end_time_unix_nano >= at, "{steps:?}");
            (at, longest) = (step.end_time_unix_nano, longest.max(step.end_time_unix_nano - step.start_time_unix_nano));
        }
        assert!(at == whole.end_time_unix_nano && longest > 0, "{whole:?}");
    }
    assert_eq!(messages, 20_000);
}

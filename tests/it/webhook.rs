//! Whoever listens is told of each hive partition of a table, at least once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::binary::{run, stderr};

/// What was posted to a listener, which says yes to all of it.
fn listener() -> (String, Receiver<Value>) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hive-partitions", socket.local_addr().expect("an address"));
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
fn answer(mut stream: &std::net::TcpStream, hear: impl Fn(Value) -> bool) {
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
        assert!(hear(serde_json::from_slice(&body).expect("JSON")), "the test has ended");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the answer");
    }
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
    let (file, base) = (directory.path().join("p.toml"), directory.path().display());
    let text = format!(
        "[pipeline]\nname = \"told\"\n\
         [source.eventsim]\ntopic = \"listen_events\"\ntopic_partitions = 2\nevents = 20000\nseed = 4\n\
         [schema]\nts = \"long!\"\nsong = \"string\"\n\
         [table]\nlocation = \"{base}/table\"\nevent_time = {{ column = \"ts\", unit = \"ms\" }}\n\
         partition_by = [\"day\", \"hour\"]\n\
         [dead_letters]\nlocation = \"{base}/dead\"\n\
         [checkpoint]\nlocation = \"{base}/chain\"\n\
         [webhook]\nurl = \"{url}\"\n"
    );
    fs::write(&file, text).expect("the pipeline file can be written");
    for start in ["the first", "one that finds all done"] {
        let output = run(&["run", &file.to_string_lossy()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let told: Vec<Value> = heard.try_iter().collect();
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

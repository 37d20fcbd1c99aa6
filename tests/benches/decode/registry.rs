//! A schema registry that knows a few schemas: what decoders of framed messages ask is answered within this process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::json;
use wasmill::config::{OnIncompatible, RegistryAuth, SchemaRegistryConfig};
use wasmill::eventsim::{EventFormat, Topic};
use wasmill::runtime::TokioRuntime;
use wasmill::schema_registry::Schemas;

/// The id of a topic's schema in a format.
pub(crate) fn id(format: EventFormat, topic: Topic) -> u32 {
    100 * format as u32 + topic as u32 + 1
}

/// The simulator's schemas, as a host knows them that asks this registry. It answers for as long as the process runs.
pub(crate) fn schemas(tokio: &tokio::runtime::Handle) -> Result<Arc<Schemas>> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port for the registry")?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut answers = HashMap::new();
    for format in EventFormat::ALL {
        let kind = match format {
            EventFormat::Avro => "AVRO",
            EventFormat::Protobuf => "PROTOBUF",
            EventFormat::JsonSchema => "JSON",
        };
        for topic in Topic::ALL {
            let answer = json!({ "schema": format.schema(topic), "schemaType": kind }).to_string();
            answers.insert(format!("/schemas/ids/{}", id(format, topic)), answer);
        }
    }
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(&stream, &answers) {
                eprintln!("the registry: {error:#}");
            }
        }
    });
    let on_incompatible = OnIncompatible::default();
    let config =
        SchemaRegistryConfig { url, auth: RegistryAuth::None, ca: None, table: None, on_incompatible, cache: None };
    Ok(Schemas::new(&config, Arc::new(TokioRuntime::new(tokio.clone())))?)
}

/// Answers one request, and ends the connection.
fn answer(mut stream: &TcpStream, answers: &HashMap<String, String>) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().context("no request")??;
    // The headers say nothing that matters here.
    while !lines.next().context("no end of the headers")??.is_empty() {}
    let target = request.split(' ').nth(1).context("no target")?;
    let path = target.split('?').next().unwrap_or(target);
    let (status, body) = match answers.get(path) {
        Some(body) => ("200 OK", body.as_str()),
        None => ("404 Not Found", r#"{"error_code": 40403, "message": "no such schema"}"#),
    };
    let kind = "application/vnd.schemaregistry.v1+json";
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(stream.flush()?)
}

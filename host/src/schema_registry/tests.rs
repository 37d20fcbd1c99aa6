//! The client and what is remembered, against a registry of our own that can be told to fail.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::*;
use crate::config::{OnIncompatible, RegistryAuth, SchemaRegistryConfig, Secret};
use crate::runtime::TokioRuntime;

/// What a registry of the test answers.
#[derive(Default)]
struct Registry {
    answers: Mutex<HashMap<String, serde_json::Value>>,
    down: AtomicBool,
    asked: AtomicU64,
}

impl Registry {
    async fn start(self: &Arc<Self>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a/b", listener.local_addr().unwrap());
        let registry = Arc::clone(self);
        let app = Router::new().fallback(move |request: Request| {
            let registry = Arc::clone(&registry);
            async move { registry.answer(&request) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn answer(&self, request: &Request) -> Response<Body> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer =
            |status: StatusCode, body: String| Response::builder().status(status).body(Body::from(body)).unwrap();
        if self.down.load(Ordering::Relaxed) {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "down".into());
        }
        let path = request.uri().path().to_owned();
        if path.contains("/secured/") {
            let sent = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            return match sent.as_deref() {
                Some("Bearer t0ken" | "Basic dTpw") => answer(StatusCode::OK, json!({"schema": "\"int\""}).to_string()),
                _ => answer(StatusCode::UNAUTHORIZED, json!({"error_code": 401, "message": "who?"}).to_string()),
            };
        }
        match self.answers.lock().unwrap().get(&path) {
            Some(found) => answer(StatusCode::OK, found.to_string()),
            None if path.starts_with("/a/b/") => {
                answer(StatusCode::NOT_FOUND, json!({"error_code": 40403, "message": "no schema"}).to_string())
            }
            None => answer(StatusCode::NOT_FOUND, "<html>".into()),
        }
    }

    fn knows(&self, path: &str, answer: serde_json::Value) {
        self.answers.lock().unwrap().insert(format!("/a/b/{path}"), answer);
    }
}

fn config(url: &str) -> SchemaRegistryConfig {
    let on_incompatible = OnIncompatible::default();
    SchemaRegistryConfig {
        url: url.to_owned(),
        auth: RegistryAuth::None,
        ca: None,
        table: None,
        on_incompatible,
        cache: None,
    }
}

fn schemas(config: &SchemaRegistryConfig) -> Arc<Schemas> {
    Schemas::new(config, Arc::new(TokioRuntime::new(tokio::runtime::Handle::current()))).unwrap()
}

async fn settled(schemas: &Arc<Schemas>, id: u32) -> LookUp {
    for _ in 0..500 {
        match schemas.look_up(id) {
            LookUp::Waiting => tokio::time::sleep(Duration::from_millis(10)).await,
            found => return found,
        }
    }
    LookUp::Waiting
}

#[tokio::test]
async fn an_unknown_id_waits_while_the_registry_is_down() {
    let registry = Arc::new(Registry::default());
    registry.down.store(true, Ordering::Relaxed);
    let url = registry.start().await;
    let schemas = schemas(&config(&url));
    assert_eq!(schemas.look_up(7), LookUp::Waiting);
    while schemas.health().failures < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(schemas.look_up(7), LookUp::Waiting);
    let health = schemas.health();
    assert!(health.is_failing() && health.error.unwrap().contains("503"));
    assert_eq!((health.waiting, health.waiting_count), (vec![7], 1));
    registry.knows("schemas/ids/7", json!({"schema": "\"int\"", "schemaType": "AVRO"}));
    registry.down.store(false, Ordering::Relaxed);
    let LookUp::Known(schema) = settled(&schemas, 7).await else { panic!("the registry is up again") };
    assert_eq!((schema.kind, schema.text.as_str()), (Kind::Avro, "\"int\""));
    let health = schemas.health();
    assert!(!health.is_failing() && health.waiting.is_empty());
    assert_eq!(health.known, 1);
}

#[tokio::test]
async fn only_the_registrys_own_words_say_that_an_id_is_missing() {
    let registry = Arc::new(Registry::default());
    let url = registry.start().await;
    let missing = schemas(&config(&url));
    assert_eq!(settled(&missing, 8).await, LookUp::Missing);
    let asked = registry.asked.load(Ordering::Relaxed);
    assert_eq!(missing.look_up(8), LookUp::Missing);
    assert_eq!(registry.asked.load(Ordering::Relaxed), asked);
    let wrong_path = Client::new(&config(url.trim_end_matches("/b"))).unwrap();
    let error = wrong_path.schema(8).await.unwrap_err();
    assert!(error.to_string().contains("404") && error.what_to_do().unwrap().contains("path"), "{error}");
}

#[tokio::test]
async fn what_was_known_is_known_after_a_start_without_the_registry() {
    let registry = Arc::new(Registry::default());
    registry.knows("schemas/ids/7", json!({"schema": "\"int\""}));
    let url = registry.start().await;
    let cache = tempfile::tempdir().unwrap();
    let cached = SchemaRegistryConfig { cache: Some(cache.path().into()), ..config(&url) };
    let LookUp::Known(first) = settled(&schemas(&cached), 7).await else { panic!("it is there") };
    registry.down.store(true, Ordering::Relaxed);
    assert_eq!(schemas(&cached).look_up(7), LookUp::Known(Arc::clone(&first)));
    // Another registry's ids mean something else, and a damaged file means nothing.
    let other = SchemaRegistryConfig { url: format!("{url}/"), ..cached.clone() };
    assert_eq!(schemas(&other).look_up(7), LookUp::Waiting);
    let directory = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(directory.join("7.json"), b"{").unwrap();
    assert_eq!(schemas(&cached).look_up(7), LookUp::Waiting);
}

#[tokio::test]
async fn references_come_behind_their_own() {
    let registry = Arc::new(Registry::default());
    let refer = |subject: &str| json!({"name": format!("n.{subject}"), "subject": subject, "version": 1});
    registry.knows("schemas/ids/1", json!({"schema": "top", "references": [refer("a"), refer("b/c")]}));
    registry.knows("subjects/a/versions/1", json!({"schema": "A", "references": [refer("b/c")]}));
    // A subject with a slash is one segment of the path.
    registry.knows("subjects/b%2Fc/versions/1", json!({"schema": "B"}));
    let client = Client::new(&config(&registry.start().await)).unwrap();
    let schema = client.schema(1).await.unwrap().unwrap();
    let texts: Vec<&str> = schema.referenced.iter().map(|one| one.text.as_str()).collect();
    assert_eq!((schema.text.as_str(), texts), ("top", vec!["B", "A"]));
    registry.knows("subjects", json!(["a", "b/c"]));
    assert_eq!(client.subjects().await.unwrap(), ["a", "b/c"]);
    registry.knows("subjects/a/versions/1", json!({"schema": "A", "references": [refer("gone")]}));
    assert!(client.schema(1).await.unwrap_err().to_string().contains("\"gone\", which is not there"));
}

#[tokio::test]
async fn the_client_says_who_asks() {
    let registry = Arc::new(Registry::default());
    let url = format!("{}/secured/", registry.start().await);
    let error = Client::new(&config(&url)).unwrap().schema(1).await.unwrap_err();
    assert!(error.to_string().contains("401") && error.to_string().contains("who?"), "{error}");
    let bearer = RegistryAuth::Bearer(Secret::new("t0ken"));
    let basic = RegistryAuth::Basic { username: "u".into(), password: Secret::new("p") };
    for auth in [bearer, basic] {
        let client = Client::new(&SchemaRegistryConfig { auth, ..config(&url) }).unwrap();
        assert_eq!(client.schema(1).await.unwrap().unwrap().text, "\"int\"");
    }
}

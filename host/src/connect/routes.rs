//! What can be asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, patch, post, put};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use super::Office;
use super::answer::{Answer, Refusal};
use super::caller::Caller;
use super::{changes, loggers, metrics, plugin};
use crate::admin::tokens::Role;
use crate::source;

/// The longest body of a request.
const BODY_BYTES: usize = 1 << 20;

/// The longest time until an answer begins.
const ANSWER: Duration = Duration::from_secs(90);

/// How long a Kafka may take to say who it is.
const CLUSTER: Duration = Duration::from_secs(5);

type Asked = State<Arc<Office>>;

/// All of it, ready to be served.
pub(super) fn service(office: Arc<Office>) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    let router = Router::new()
        .route("/", get(worker))
        .route("/health", get(health))
        .route("/connectors", get(all).post(changes::create))
        .route("/connectors/{name}", get(info).delete(changes::delete))
        .route("/connectors/{name}/config", get(config).put(changes::put).patch(changes::change))
        .route("/connectors/{name}/status", get(status))
        .route("/connectors/{name}/restart", post(changes::restart))
        .route("/connectors/{name}/pause", put(changes::pause))
        .route("/connectors/{name}/resume", put(changes::resume))
        .route("/connectors/{name}/stop", put(changes::stop))
        .route("/connectors/{name}/tasks", get(tasks))
        .route("/connectors/{name}/tasks/{task}/status", get(task_status))
        .route("/connectors/{name}/tasks/{task}/restart", post(changes::restart_task))
        .route("/connectors/{name}/offsets", patch(changes::offsets).delete(changes::offsets).get(offsets))
        .route("/connectors/{name}/topics", get(topics))
        .route("/connectors/{name}/topics/reset", put(changes::reset_topics))
        .route("/connector-plugins", get(plugin::list))
        .route("/connector-plugins/{class}/config", get(plugin::keys))
        .route("/connector-plugins/{class}/config/validate", put(plugin::validate))
        .route("/admin/loggers", get(loggers::list))
        .route("/admin/loggers/{name}", get(loggers::show).put(loggers::set))
        .route("/targets", get(metrics::targets))
        .route("/metrics/{name}", get(metrics::numbers))
        .fallback(|| async { Refusal::missing("HTTP 404 Not Found") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "HTTP 405 Method Not Allowed")
        })
        .with_state(office)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER))
        .layer(CatchPanicLayer::new());
    router.into_make_service_with_connect_info::<SocketAddr>()
}

/// As a worker says that there is no such connector, where it looks it up.
pub(super) fn no_connector(name: &str) -> impl FnOnce() -> Refusal + use<> {
    let message = format!("Connector {name} not found");
    move || Refusal::missing(message)
}

/// The same, where it is told to change it.
pub(super) fn not_known(name: &str) -> impl FnOnce() -> Refusal + use<> {
    let message = format!("Unknown connector {name}");
    move || Refusal::missing(message)
}

async fn worker(State(office): Asked, caller: Caller) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    let brokers = office.brokers.clone();
    let cluster = office.cluster.get_or_try_init(|| async move {
        let ask = tokio::task::spawn_blocking(move || source::kafka_cluster_id(&brokers?, CLUSTER));
        ask.await.ok().flatten().ok_or(())
    });
    let cluster = cluster.await.ok();
    Ok(Json(json!({ "version": env!("CARGO_PKG_VERSION"), "commit": "wasmill", "kafka_cluster_id": cluster })))
}

async fn health(State(office): Asked, caller: Caller) -> Answer<(StatusCode, Json<Value>)> {
    caller.must(Role::Viewer)?;
    Ok(match office.catalogue.list().await {
        Ok(_) => (
            StatusCode::OK,
            Json(json!({
                "status": "healthy",
                "message": "Worker has completed startup and is ready to handle requests.",
            })),
        ),
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "unhealthy", "message": error.to_string() })))
        }
    })
}

async fn all(State(office): Asked, caller: Caller, Query(asked): Query<Vec<(String, String)>>) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    let mut entries = office.catalogue.list().await?;
    entries.retain(|entry| !entry.is_deleted() && caller.sees(&entry.name));
    let expand: Vec<&str> = asked.iter().filter(|(key, _)| key == "expand").map(|(_, value)| value.as_str()).collect();
    if expand.is_empty() {
        return Ok(Json(entries.iter().map(|entry| json!(entry.name)).collect()));
    }
    let servers = office.servers().await?;
    let mut found = Map::new();
    for entry in &entries {
        let mut one = Map::new();
        if expand.contains(&"info") {
            one.insert("info".to_owned(), office.info(entry, &servers));
        }
        if expand.contains(&"status") {
            one.insert("status".to_owned(), json!(office.status(entry, &servers).await));
        }
        found.insert(entry.name.clone(), Value::Object(one));
    }
    Ok(Json(Value::Object(found)))
}

async fn info(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let entry = office.entry(&name, no_connector(&name)).await?;
    Ok(Json(office.info(&entry, &office.servers().await?)))
}

async fn config(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let entry = office.entry(&name, no_connector(&name)).await?;
    Ok(Json(json!(office.configuration(&entry))))
}

async fn status(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let missing = || Refusal::missing(format!("No status found for connector {name}"));
    let entry = office.entry(&name, missing).await?;
    Ok(Json(json!(office.status(&entry, &office.servers().await?).await)))
}

async fn tasks(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let entry = office.entry(&name, no_connector(&name)).await?;
    let info = office.info(&entry, &office.servers().await?);
    let task = |id: &Value| json!({ "id": id, "config": info["config"] });
    Ok(Json(info["tasks"].as_array().into_iter().flatten().map(task).collect()))
}

async fn task_status(
    State(office): Asked,
    caller: Caller,
    Path((name, task)): Path<(String, String)>,
) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let number = task.parse::<usize>().map_err(|_| Refusal::missing("HTTP 404 Not Found"))?;
    let missing = || Refusal::missing(format!("No status found for task {name}-{task}"));
    let entry = office.entry(&name, missing).await?;
    let status = office.status(&entry, &office.servers().await?).await;
    status.tasks.get(number).map(|task| Json(json!(task))).ok_or_else(missing)
}

async fn offsets(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let entry = office.entry(&name, no_connector(&name)).await?;
    office.positions(&entry).await.map(Json)
}

async fn topics(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<Json<Value>> {
    caller.must_for(Role::Viewer, &name)?;
    let topics = match office.entry(&name, no_connector(&name)).await {
        Ok(entry) => office.topics(&entry).await,
        Err(_) => Vec::new(),
    };
    Ok(Json(json!({ name: { "topics": topics } })))
}

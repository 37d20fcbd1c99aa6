//! What can be asked for, and the OpenAPI document that says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Office;
use super::answer::{Problem, Refusal};
use super::audit::Change;
use super::browsing;
use super::caller::Caller;
use super::console;
use super::events::{self, Feed};
use super::letters;
use super::orders;
use super::releases;
use super::replays;
use super::reprocesses;
use super::schemas;
use super::tables;
use super::tokens::Role;
use super::topics;
use super::upload;
use super::verifying;
use crate::deployment::{Deployment, Entry};
use crate::status::lines::{Line, LineLevel, LineReader, Wanted};
use crate::status::{HostStatus, TopicPartitionState, metrics};

/// The longest body of a request.
const BODY_BYTES: usize = 64 << 10;

/// The longest time until an answer begins: a module may be looked at, a deployment compiled and tried first.
const ANSWER: Duration = Duration::from_secs(240);

type Asked = State<Arc<Office>>;
type Answer<T> = Result<Json<T>, Refusal>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wasmill",
        description = "The admin API of a host: what a pipeline does, and what operators do to it."
    ),
    components(schemas(Problem))
)]
struct Api;

fn routes() -> OpenApiRouter<Arc<Office>> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(numbers))
        .routes(routes!(host))
        .routes(routes!(hosts))
        .routes(routes!(host_events))
        .routes(routes!(deployments))
        .routes(routes!(deployment))
        .routes(routes!(orders::difference))
        .routes(routes!(releases::all))
        .routes(routes!(releases::versions))
        .routes(routes!(releases::module))
        .routes(routes!(releases::withdraw))
        .routes(routes!(logs))
        .routes(routes!(log_events))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(orders::deploy))
        .routes(routes!(orders::rollback))
        .routes(routes!(promote))
        .routes(routes!(changes))
        .routes(routes!(replays::replay))
        .routes(routes!(reprocesses::reprocess))
        .routes(routes!(letters::list))
        .routes(routes!(letters::show))
        .routes(routes!(tables::hive_partitions))
        .routes(routes!(tables::usage))
        .routes(routes!(tables::columns))
        .routes(routes!(tables::rows))
        .routes(routes!(verifying::verify))
        .routes(routes!(topics::all))
        .routes(routes!(topics::one))
        .routes(routes!(browsing::messages))
        .routes(routes!(browsing::follow))
        .routes(routes!(topics::groups))
        .routes(routes!(topics::group))
        .routes(routes!(schemas::subjects))
        .routes(routes!(schemas::versions))
        .routes(routes!(schemas::version))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES))
        // Modules are longer: who sends one has a limit of his own.
        .merge(modules().layer(DefaultBodyLimit::disable()))
}

fn modules() -> OpenApiRouter<Arc<Office>> {
    OpenApiRouter::new().routes(routes!(upload::push)).routes(routes!(upload::vet))
}

/// All of it, ready to be served.
pub(super) fn service(office: Arc<Office>) -> IntoMakeServiceWithConnectInfo<axum::Router, SocketAddr> {
    let (router, _) = routes().split_for_parts();
    let router = router
        .route("/openapi.json", axum::routing::get(|| async { Json(document()) }))
        .merge(console::routes())
        .fallback(|| async { Refusal::Missing("there is nothing here; /openapi.json says what there is".to_owned()) })
        .method_not_allowed_fallback(not_so)
        .with_state(office)
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER))
        .layer(CatchPanicLayer::new());
    router.into_make_service_with_connect_info::<SocketAddr>()
}

async fn not_so() -> Response {
    let problem = Problem { error: "this is not done with that method".to_owned(), hint: None };
    (StatusCode::METHOD_NOT_ALLOWED, Json(problem)).into_response()
}

/// The OpenAPI document.
pub fn document() -> Value {
    let (_, api) = routes().split_for_parts();
    let mut document = serde_json::to_value(api).unwrap_or_default();
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document["info"]["license"] = json!({ "name": "MIT", "identifier": "MIT" });
    document["components"]["securitySchemes"] =
        json!({ "token": { "type": "http", "scheme": "bearer", "description": "`wasmill token` makes them" } });
    let problem = json!({
        "description": "Not done: why, and what to do about it",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    for item in document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut()) {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            operation["responses"]["default"] = problem.clone();
        }
    }
    document
}

/// That the process lives.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
struct Alive {
    /// `ok`.
    status: String,
}

/// Whether the process lives. No token is needed.
#[utoipa::path(get, path = "/healthz", responses((status = OK, body = Alive)))]
async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok".to_owned() })
}

/// Whether a host does its work.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
struct Ready {
    /// Whether it does.
    ready: bool,
    /// Why it does not.
    why: Vec<String>,
}

/// Whether this host does its work: 503 when a topic partition has stopped or a storage does not answer. No token is needed.
#[utoipa::path(
    get, path = "/readyz",
    responses((status = OK, body = Ready), (status = SERVICE_UNAVAILABLE, body = Ready))
)]
async fn ready(State(office): Asked) -> Response {
    let status = office.board.status(office.runtime.now_ms());
    let is_stopped = |state: TopicPartitionState| state == TopicPartitionState::Stopped;
    let stopped = status.topic_partitions.iter().filter(|one| is_stopped(one.state));
    let failing = status.storage.iter().filter(|(_, health)| health.is_failing());
    let why: Vec<String> = stopped
        .map(|one| format!("topic partition {} has stopped", one.topic_partition))
        .chain(failing.map(|(what, _)| format!("the storage of {what} does not answer")))
        .collect();
    let status = if why.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready: why.is_empty(), why })).into_response()
}

/// This host's status as Prometheus reads it (OpenMetrics). Needs the role viewer.
#[utoipa::path(
    get, path = "/metrics", security(("token" = [])),
    responses((status = OK, body = String, content_type = "application/openmetrics-text"))
)]
async fn numbers(State(office): Asked, caller: Caller) -> Result<Response, Refusal> {
    caller.must(Role::Viewer)?;
    let text = metrics::render(&office.board.status(office.runtime.now_ms()));
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// What this host does. Needs the role viewer.
#[utoipa::path(get, path = "/v1/host", security(("token" = [])), responses((status = OK, body = HostStatus)))]
async fn host(State(office): Asked, caller: Caller) -> Answer<HostStatus> {
    caller.must(Role::Viewer)?;
    Ok(Json(office.board.status(office.runtime.now_ms())))
}

/// What all hosts of the pipeline did some seconds ago. Needs the role viewer.
#[utoipa::path(get, path = "/v1/hosts", security(("token" = [])), responses((status = OK, body = Vec<HostStatus>)))]
async fn hosts(State(office): Asked, caller: Caller) -> Answer<Vec<HostStatus>> {
    caller.must(Role::Viewer)?;
    Ok(Json(office.post.read(office.runtime.now_ms()).await?))
}

/// The same as events called `hosts`, every two seconds. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/hosts/events", security(("token" = [])),
    responses((status = OK, body = String, content_type = "text/event-stream"))
)]
async fn host_events(State(office): Asked, caller: Caller) -> Result<Response, Refusal> {
    caller.must(Role::Viewer)?;
    let turn = Arc::clone(&office.streams).try_acquire_owned().map_err(|_| Refusal::TooMany)?;
    Ok(events::stream(office, Feed::Hosts, turn).into_response())
}

/// The log of deployments, oldest first. Needs the role viewer.
#[utoipa::path(get, path = "/v1/deployments", security(("token" = [])), responses((status = OK, body = Vec<Entry>)))]
async fn deployments(State(office): Asked, caller: Caller) -> Answer<Vec<Entry>> {
    caller.must(Role::Viewer)?;
    Ok(Json(office.log.all().await?))
}

/// One deployment. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/deployments/{number}", security(("token" = [])),
    params(("number" = u64, Path, description = "Its number")),
    responses((status = OK, body = Deployment))
)]
async fn deployment(
    State(office): Asked,
    caller: Caller,
    number: Result<Path<u64>, PathRejection>,
) -> Answer<Deployment> {
    caller.must(Role::Viewer)?;
    let Path(number) = number?;
    Ok(Json(orders::find(&office, number).await?))
}

/// Which of the guests' lines.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this transform only.
    transform: Option<String>,
    /// Of this importance at least; by default all.
    level: Option<LineLevel>,
    /// Not older than this, in milliseconds since 1970; by default of the last hour.
    since_ms: Option<i64>,
}

impl Which {
    fn reader(self, office: &Office) -> Box<LineReader> {
        let hour_ago = office.runtime.now_ms() - 3_600_000;
        let (level, since_ms) = (self.level.unwrap_or(LineLevel::Trace), self.since_ms.unwrap_or(hour_ago));
        let wanted = Wanted { transform: self.transform, level, since_ms };
        Box::new(LineReader::new(office.lines.clone(), wanted))
    }
}

/// What the guests logged on all hosts, by time. Needs the role payloads.
#[utoipa::path(
    get, path = "/v1/logs", params(Which), security(("token" = [])),
    responses((status = OK, body = Vec<Line>))
)]
async fn logs(State(office): Asked, caller: Caller, which: Result<Query<Which>, QueryRejection>) -> Answer<Vec<Line>> {
    caller.must(Role::Payloads)?;
    Ok(Json(which?.0.reader(&office).next().await?))
}

/// The same as events called `line`, and new ones as they come. Needs the role payloads.
#[utoipa::path(
    get, path = "/v1/logs/events", params(Which), security(("token" = [])),
    responses((status = OK, body = String, content_type = "text/event-stream"))
)]
async fn log_events(
    State(office): Asked,
    caller: Caller,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Refusal> {
    caller.must(Role::Payloads)?;
    let reader = which?.0.reader(&office);
    let turn = Arc::clone(&office.streams).try_acquire_owned().map_err(|_| Refusal::TooMany)?;
    Ok(events::stream(office, Feed::Lines(reader), turn).into_response())
}

/// Why something is changed.
#[derive(Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// It stands where the change is recorded, and in the audit. At most 4 KiB.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub(super) note: String,
}

/// Ends what is open on all hosts and reads no more until it is resumed. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/pause", request_body = Why, security(("token" = [])),
    responses((status = OK, body = Entry))
)]
async fn pause(State(office): Asked, caller: Caller, why: Result<Json<Why>, JsonRejection>) -> Answer<Entry> {
    switch(&office, &caller, why, true).await
}

/// Goes on after a pause. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/resume", request_body = Why, security(("token" = [])),
    responses((status = OK, body = Entry))
)]
async fn resume(State(office): Asked, caller: Caller, why: Result<Json<Why>, JsonRejection>) -> Answer<Entry> {
    switch(&office, &caller, why, false).await
}

async fn switch(
    office: &Office,
    caller: &Caller,
    why: Result<Json<Why>, JsonRejection>,
    paused: bool,
) -> Answer<Entry> {
    let note = note(office, caller, why)?;
    let what = if paused { "pause" } else { "resume" };
    let change = office.audit.asked(&caller.by(), caller.address(), what, &note).await?;
    let done = office.log.switch(paused, &caller.by(), &note).await;
    office.audit.ended(change, told(&done)).await;
    done.map(Json).map_err(orders::refusal)
}

/// Lets what is on trial run everywhere. Needs the role deployer.
#[utoipa::path(
    post, path = "/v1/promote", request_body = Why, security(("token" = [])),
    responses((status = OK, body = Entry))
)]
async fn promote(State(office): Asked, caller: Caller, why: Result<Json<Why>, JsonRejection>) -> Answer<Entry> {
    let note = note(&office, &caller, why)?;
    let change = office.audit.asked(&caller.by(), caller.address(), "promote", &note).await?;
    let done = office.log.promote(&caller.by(), &note).await;
    office.audit.ended(change, told(&done)).await;
    done.map(Json).map_err(orders::refusal)
}

/// Why a change is made, of somebody who may make it.
fn note(office: &Office, caller: &Caller, why: Result<Json<Why>, JsonRejection>) -> Result<String, Refusal> {
    caller.must(Role::Deployer)?;
    let Json(Why { note }) = why?;
    orders::check_note(&note)?;
    office.must_be_deployed()?;
    Ok(note)
}

fn told(done: &crate::error::Result<Entry>) -> String {
    match done {
        Ok(entry) => format!("entry {}", entry.number),
        Err(error) => format!("not done: {error}"),
    }
}

/// Who changed what over this API, and from where: the newest thousand. Needs the role admin.
#[utoipa::path(get, path = "/v1/audit", security(("token" = [])), responses((status = OK, body = Vec<Change>)))]
async fn changes(State(office): Asked, caller: Caller) -> Answer<Vec<Change>> {
    caller.must(Role::Admin)?;
    Ok(Json(office.audit.newest().await?))
}

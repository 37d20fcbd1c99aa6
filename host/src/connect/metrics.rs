//! Numbers for Prometheus: the processes of this server's pipelines, each a target of its own, which Prometheus finds by asking
//! for the list of them (`http_sd_configs`).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Office;
use super::answer::{Answer, Refusal};
use super::caller::Caller;
use crate::admin::tokens::Role;
use crate::status::metrics;

/// The targets of this server, as Prometheus' HTTP service discovery has them.
pub(super) async fn targets(State(office): State<Arc<Office>>, caller: Caller) -> Answer<Json<Value>> {
    caller.must(Role::Viewer)?;
    let servers = office.servers().await?;
    let mine = servers.iter().find(|server| server.connect.as_ref() == Some(&office.worker));
    let names = mine.into_iter().flat_map(|server| server.pipelines.keys()).filter(|name| caller.sees(name));
    let target = |name: &String| {
        json!({
            "targets": [office.worker],
            "labels": { "pipeline": name, "__metrics_path__": format!("/metrics/{name}") },
        })
    };
    Ok(Json(names.map(target).collect()))
}

/// The numbers of one pipeline's process on this server, as it told them last, at most some ten seconds ago.
pub(super) async fn numbers(
    State(office): State<Arc<Office>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<Response> {
    caller.must_for(Role::Viewer, &name)?;
    let missing = || Refusal::missing(format!("pipeline {name} tells no numbers here, or none yet"));
    let entry = office.entry(&name, missing).await?;
    let servers = office.servers().await?;
    let mine = servers.iter().find(|server| server.connect.as_ref() == Some(&office.worker)).ok_or_else(missing)?;
    let pid = mine.pipelines.get(&name).and_then(|status| status.pid).ok_or_else(missing)?;
    let hosts = office.hosts(&entry).await.map_err(Refusal::wrong)?;
    let host = hosts.iter().find(|host| host.machine == mine.machine && host.pid == pid).ok_or_else(missing)?;
    let kind = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    Ok((kind, metrics::render(host)).into_response())
}

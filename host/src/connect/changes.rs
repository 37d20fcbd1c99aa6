//! What changes pipelines: each change is an entry in the catalogue, made by the token that asked for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::answer::{Answer, Refusal};
use super::caller::Caller;
use super::plugin::{self, Made};
use super::routes::{no_connector, not_known};
use super::state::{Condition, Runs};
use super::{Office, flat};
use crate::admin::tokens::Role;
use crate::error::{Error, ErrorKind};
use crate::serve::{Applied, Entry, Target, Wanted};

/// What the catalogue says of a change, beside who made it.
const NOTE: &str = "by Kafka Connect's API";

type Asked = State<Arc<Office>>;

/// A body as JSON.
///
/// # Errors
/// It is none.
pub(super) fn json(body: &[u8]) -> Answer<Value> {
    serde_json::from_slice(body).map_err(|error| Refusal::wrong(format!("the body is no JSON: {error}")))
}

/// A configuration: an object of text, or what can be written as such. `null` is left out.
///
/// # Errors
/// It is none.
pub(super) fn config(value: Value) -> Answer<BTreeMap<String, String>> {
    Ok(patch(value)?.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

/// The same with `null`: what is to be removed.
fn patch(value: Value) -> Answer<BTreeMap<String, Option<String>>> {
    let Value::Object(object) = value else {
        return Err(Refusal::wrong("a configuration is an object of keys and text"));
    };
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, Some(text))),
        Value::Number(number) => Ok((key, Some(number.to_string()))),
        Value::Bool(switch) => Ok((key, Some(switch.to_string()))),
        Value::Null => Ok((key, None)),
        Value::Array(_) | Value::Object(_) => Err(Refusal::wrong(format!("the value of {key} is no text"))),
    };
    object.into_iter().map(text).collect()
}

/// A configuration as messages show it.
pub(super) fn shown(config: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Whoever chooses both where a value comes from and where it goes could have any file of a server.
pub(super) fn must_not_look_outside(caller: &Caller, config: &BTreeMap<String, String>) -> Answer<()> {
    match config.iter().find(|(_, value)| flat::is_from_outside(value)) {
        Some((key, _)) => caller.must(Role::Admin).map_err(|_| {
            Refusal::forbidden(format!("{key} comes from a server's environment or files, which needs the role admin"))
        }),
        None => Ok(()),
    }
}

/// What was changed meanwhile by somebody else is not ours to change, as things are.
fn refused(error: Error) -> Refusal {
    match error.kind() {
        ErrorKind::Fatal => Refusal::new(StatusCode::CONFLICT, error.to_string()),
        _ => error.into(),
    }
}

impl Office {
    /// The pipeline that a configuration makes, for whoever may ask for it.
    async fn make(&self, caller: &Caller, config: &BTreeMap<String, String>) -> Answer<Made> {
        if config.get("connector.class").is_none_or(String::is_empty) {
            let message = format!("Connector config {} contains no connector type", shown(config));
            return Err(Refusal::wrong(message));
        }
        must_not_look_outside(caller, config)?;
        let (checked, brokers) = (config.clone(), self.brokers.clone());
        match tokio::task::spawn_blocking(move || plugin::make(&checked, brokers.as_deref())).await {
            Ok(made) => made.map_err(|wrong| Refusal::invalid(&wrong)),
            Err(_) => Err(Error::fatal("checking the configuration panicked; this is a bug in wasmill").into()),
        }
    }

    async fn apply(&self, caller: &Caller, config: BTreeMap<String, String>, target: Option<Target>) -> Answer<Entry> {
        let Made { file, config: made } = self.make(caller, &config).await?;
        let wanted = Wanted { name: &made.name, file: &file, connector: Some(config), target };
        match self.catalogue.apply(wanted, &caller.by(), NOTE).await.map_err(refused)? {
            Applied::New(entry) | Applied::Unchanged(entry) => Ok(entry),
        }
    }

    /// What a client gets that made or changed a connector.
    async fn made(&self, status: StatusCode, entry: &Entry) -> Answer<Response> {
        let servers = self.servers().await?;
        let mut headers = HeaderMap::new();
        if status == StatusCode::CREATED {
            let scheme = if self.plain { "http" } else { "https" };
            let location = format!("{scheme}://{}/connectors/{}", self.worker, entry.name);
            headers.extend(location.parse().map(|location| (LOCATION, location)));
        }
        Ok((status, headers, Json(self.info(entry, &servers))).into_response())
    }
}

/// The configuration with its name, which must be the one that is asked for.
fn named(mut config: BTreeMap<String, String>, name: &str) -> Answer<BTreeMap<String, String>> {
    match config.get("name") {
        Some(other) if other != name => Err(Refusal::wrong(format!(
            "Connector name configuration ({other}) doesn't match connector name in the URL ({name})"
        ))),
        _ => {
            config.insert("name".to_owned(), name.to_owned());
            Ok(config)
        }
    }
}

pub(super) async fn create(State(office): Asked, caller: Caller, body: Bytes) -> Answer<Response> {
    caller.must(Role::Deployer)?;
    let Value::Object(mut asked) = json(&body)? else {
        return Err(Refusal::wrong("an object with name and config is wanted"));
    };
    let mut take = |key: &str| asked.remove(key).unwrap_or(Value::Null);
    let (name, given, target) = (take("name"), take("config"), take("initial_state"));
    if let Some(key) = asked.keys().next() {
        return Err(Refusal::wrong(format!("{key} is none of name, config and initial_state")));
    }
    let given = config(if given.is_null() { Value::Object(Map::new()) } else { given })?;
    let target = match target.as_str().map(str::to_ascii_uppercase).as_deref() {
        None if target.is_null() => None,
        Some("RUNNING") => Some(Target::Running),
        Some("PAUSED") => Some(Target::Paused),
        Some("STOPPED") => Some(Target::Stopped),
        _ => return Err(Refusal::wrong("initial_state is RUNNING, PAUSED or STOPPED")),
    };
    let name = name.as_str().map(str::to_owned).or_else(|| given.get("name").cloned()).unwrap_or_default();
    let given = named(given, &name)?;
    caller.must_for(Role::Deployer, &name)?;
    if office.entry(&name, no_connector(&name)).await.is_ok() {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("Connector {name} already exists")));
    }
    // A deleted one comes again as what is asked for now.
    let entry = office.apply(&caller, given, Some(target.unwrap_or_default())).await?;
    office.made(StatusCode::CREATED, &entry).await
}

pub(super) async fn put(
    State(office): Asked,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Response> {
    caller.must_for(Role::Deployer, &name)?;
    let given = named(config(json(&body)?)?, &name)?;
    let was_there = office.entry(&name, no_connector(&name)).await.is_ok();
    let entry = office.apply(&caller, given, None).await?;
    office.made(if was_there { StatusCode::OK } else { StatusCode::CREATED }, &entry).await
}

pub(super) async fn change(
    State(office): Asked,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Response> {
    caller.must_for(Role::Deployer, &name)?;
    let present = office.entry(&name, no_connector(&name)).await?;
    let mut given = office.configuration(&present);
    for (key, value) in patch(json(&body)?)? {
        match value {
            Some(value) => drop(given.insert(key, value)),
            None => drop(given.remove(&key)),
        }
    }
    let entry = office.apply(&caller, named(given, &name)?, None).await?;
    office.made(StatusCode::OK, &entry).await
}

pub(super) async fn delete(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<StatusCode> {
    caller.must_for(Role::Deployer, &name)?;
    office.entry(&name, no_connector(&name)).await?;
    office.catalogue.delete(&name, &caller.by(), NOTE).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(state: Asked, caller: Caller, name: Path<String>) -> Answer<StatusCode> {
    switch(state, caller, name, Target::Paused).await.map(|()| StatusCode::ACCEPTED)
}

pub(super) async fn resume(state: Asked, caller: Caller, name: Path<String>) -> Answer<StatusCode> {
    switch(state, caller, name, Target::Running).await.map(|()| StatusCode::ACCEPTED)
}

pub(super) async fn stop(state: Asked, caller: Caller, name: Path<String>) -> Answer<StatusCode> {
    switch(state, caller, name, Target::Stopped).await.map(|()| StatusCode::NO_CONTENT)
}

async fn switch(State(office): Asked, caller: Caller, Path(name): Path<String>, target: Target) -> Answer<()> {
    caller.must_for(Role::Deployer, &name)?;
    office.entry(&name, not_known(&name)).await?;
    office.catalogue.switch(&name, target, &caller.by(), NOTE).await.map_err(refused)?;
    Ok(())
}

pub(super) async fn restart(
    State(office): Asked,
    caller: Caller,
    Path(name): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> Answer<Response> {
    caller.must_for(Role::Deployer, &name)?;
    let entry = office.entry(&name, || Refusal::missing(format!("Unknown connector: {name}"))).await?;
    let is = |key: &str| asked.get(key).is_some_and(|value| value == "true");
    let (with_tasks, only_failed) = (is("includeTasks"), is("onlyFailed"));
    let servers = office.servers().await?;
    let status = office.status(&entry, &servers).await;
    if !only_failed {
        // Nothing of a pipeline is apart from its processes: they are what is started anew.
        office.catalogue.restart(&name, &[], &caller.by(), NOTE).await.map_err(refused)?;
        return Ok(match with_tasks {
            true => (StatusCode::ACCEPTED, Json(status.restarting(|_| true))).into_response(),
            false => StatusCode::NO_CONTENT.into_response(),
        });
    }
    let runs = Runs::of(&name, entry.target, &servers);
    let failed: Vec<String> = status
        .tasks
        .iter()
        .zip(&runs.0)
        .filter(|(task, _)| task.state == Condition::Failed)
        .map(|(_, (server, _))| server.host.clone())
        .collect();
    if with_tasks && !failed.is_empty() {
        office.catalogue.restart(&name, &failed, &caller.by(), NOTE).await.map_err(refused)?;
    }
    let told = status.restarting(|task| with_tasks && task.state == Condition::Failed);
    Ok((StatusCode::ACCEPTED, Json(told)).into_response())
}

pub(super) async fn restart_task(
    State(office): Asked,
    caller: Caller,
    Path((name, task)): Path<(String, String)>,
) -> Answer<StatusCode> {
    caller.must_for(Role::Deployer, &name)?;
    let missing = || Refusal::missing(format!("Unknown task: {name}-{task}"));
    let entry = office.entry(&name, missing).await?;
    let servers = office.servers().await?;
    let runs = Runs::of(&name, entry.target, &servers);
    let number = task.parse::<usize>().map_err(|_| Refusal::missing("HTTP 404 Not Found"))?;
    let (server, _) = runs.0.get(number).ok_or_else(missing)?;
    let hosts = std::slice::from_ref(&server.host);
    office.catalogue.restart(&name, hosts, &caller.by(), NOTE).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Positions are committed with the data, so that neither can be without the other.
pub(super) async fn offsets(State(office): Asked, caller: Caller, Path(name): Path<String>) -> Answer<StatusCode> {
    caller.must_for(Role::Deployer, &name)?;
    office.entry(&name, no_connector(&name)).await?;
    Err(Refusal::wrong(
        "the offsets of a pipeline are committed with its data, so they are not changed here: `wasmill offsets set` moves \
         one topic partition, and records who left messages out or brought rows in again, and why",
    ))
}

/// The topics of a pipeline are those that its configuration names: there is nothing to forget.
pub(super) async fn reset_topics(caller: Caller, Path(name): Path<String>) -> Answer<StatusCode> {
    caller.must_for(Role::Deployer, &name)?;
    Ok(StatusCode::ACCEPTED)
}

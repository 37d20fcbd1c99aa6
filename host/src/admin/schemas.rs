//! Schemas of the pipeline's registry.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::tokens::Role;
use crate::config::{SchemaRegistryConfig, SourceConfig};
use crate::decode::{Format, registered};
use crate::error::Error;
use crate::schema_registry::{Client, Reference};

/// The longest name of a subject.
const SUBJECT_BYTES: usize = 1_000;

/// The subjects of the registry.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Subjects {
    /// Where the registry is; null: the pipeline has none.
    registry: Option<String>,
    /// What the pipeline uses.
    uses: Vec<Use>,
    /// All subjects, by name.
    subjects: Vec<String>,
}

/// A subject that the pipeline uses.
#[derive(Serialize, utoipa::ToSchema)]
struct Use {
    /// Its name.
    subject: String,
    /// What for.
    what: What,
    /// Of the table: which version, a number or `latest`.
    version: Option<String>,
}

/// What a subject is used for.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// The table's columns are made of it.
    Table,
    /// Messages of a topic name its schemas, where their producers name subjects in the usual way.
    Messages,
}

/// The versions of a subject.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Versions {
    /// The subject.
    subject: String,
    /// Their numbers, oldest first.
    versions: Vec<u32>,
}

/// One version of a subject.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Version {
    /// The subject.
    subject: String,
    /// Its number.
    version: u32,
    /// The schema's id, which messages name.
    id: Option<u32>,
    /// `Avro`, `Protobuf` or `JSON Schema`.
    kind: String,
    /// Its text.
    schema: String,
    /// What it refers to.
    references: Vec<Reference>,
    /// Why messages of it (of Protobuf, of its first type) do not become rows of the pipeline's table; null: they do, or it is
    /// in another language than the pipeline's messages.
    unfit: Option<String>,
}

fn client(office: &Office) -> std::result::Result<Client, Refusal> {
    let error = || {
        Error::config("this pipeline has no schema registry")
            .hint("[schema_registry] in the pipeline file says where it is: url = \"http://localhost:8081\"")
    };
    let registry = office.config.schema_registry.as_ref().ok_or_else(|| Refusal::Conflict(error()))?;
    Ok(Client::new(registry)?)
}

/// What can be a subject's name: the dots of a path are none.
fn named(subject: &str) -> std::result::Result<(), Refusal> {
    if subject.is_empty() || subject.len() > SUBJECT_BYTES || [".", ".."].contains(&subject) {
        return Err(Refusal::Missing("the registry has no such subject".to_owned()));
    }
    Ok(())
}

fn uses(office: &Office, registry: &SchemaRegistryConfig) -> Vec<Use> {
    let table = registry.table.iter().map(|table| Use {
        subject: table.subject.clone(),
        what: What::Table,
        version: Some(table.version.to_string()),
    });
    let topics = match &office.config.source {
        SourceConfig::Kafka(kafka) if office.config.format != Format::Json => &kafka.topics[..],
        _ => &[],
    };
    let of = |topic: &String| Use { subject: format!("{topic}-value"), what: What::Messages, version: None };
    table.chain(topics.iter().map(of)).collect()
}

type Asked = State<Arc<Office>>;
type Answer<T> = std::result::Result<Json<T>, Refusal>;

/// The subjects of the registry, and those that the pipeline uses. Needs the role viewer.
#[utoipa::path(get, path = "/v1/schemas", security(("token" = [])), responses((status = OK, body = Subjects)))]
pub(super) async fn subjects(State(office): Asked, caller: Caller) -> Answer<Subjects> {
    caller.must(Role::Viewer)?;
    let Some(registry) = &office.config.schema_registry else {
        return Ok(Json(Subjects { registry: None, uses: Vec::new(), subjects: Vec::new() }));
    };
    let mut subjects = client(&office)?.subjects().await?;
    subjects.sort();
    Ok(Json(Subjects { registry: Some(registry.url.clone()), uses: uses(&office, registry), subjects }))
}

/// The versions of a subject. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/schemas/{subject}", security(("token" = [])),
    params(("subject" = String, Path, description = "Its name")),
    responses((status = OK, body = Versions))
)]
pub(super) async fn versions(
    State(office): Asked,
    caller: Caller,
    subject: std::result::Result<Path<String>, PathRejection>,
) -> Answer<Versions> {
    caller.must(Role::Viewer)?;
    let Path(subject) = subject?;
    let client = client(&office)?;
    named(&subject)?;
    let versions = client.versions(&subject).await?;
    let versions = versions.ok_or_else(|| Refusal::Missing(format!("the registry has no subject {subject:?}")))?;
    Ok(Json(Versions { subject, versions }))
}

/// One version of a subject: its schema, and whether its messages become rows. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/schemas/{subject}/versions/{version}", security(("token" = [])),
    params(("subject" = String, Path, description = "The subject's name"), ("version" = u32, Path, description = "Its number")),
    responses((status = OK, body = Version))
)]
pub(super) async fn version(
    State(office): Asked,
    caller: Caller,
    path: std::result::Result<Path<(String, u32)>, PathRejection>,
) -> Answer<Version> {
    caller.must(Role::Viewer)?;
    let Path((subject, number)) = path?;
    let client = client(&office)?;
    named(&subject)?;
    let found = client.listed(&subject, number).await?;
    let found = found.ok_or_else(|| Refusal::Missing(format!("there is no version {number} of {subject:?}")))?;
    // What JSON Schema says is not looked at when messages are read.
    let is_read = found.registered.kind == office.config.format.kind() && office.config.format.needs_registry();
    let unfit = match is_read {
        true => registered::fits(&found.registered, &office.config.schema).err(),
        false => None,
    };
    Ok(Json(Version {
        subject,
        version: number,
        id: found.id,
        kind: found.registered.kind.name().to_owned(),
        schema: found.registered.text,
        references: found.references,
        unfit,
    }))
}

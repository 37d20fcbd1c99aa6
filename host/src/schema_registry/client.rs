//! The registry's HTTP API, one method for each question.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Kind, Referenced, Registered};
use crate::config::{RegistryAuth, SchemaRegistryConfig};
use crate::error::{Error, Result};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);

/// An answer is a schema; a larger one is no registry's.
const ANSWER_BYTES: usize = 16 << 20;

/// Schemas that one schema refers to, directly or not.
const REFERENCES: usize = 256;

/// What the registry says where there is no such schema, subject or version. Any other 404 is a wrong URL.
const NOT_THERE: [u32; 3] = [40401, 40402, 40403];

/// One registry.
#[derive(Clone)]
pub struct Client {
    url: Url,
    auth: RegistryAuth,
    http: reqwest::Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaAnswer {
    schema: String,
    #[serde(default)]
    id: Option<u32>,
    #[serde(default)]
    schema_type: Option<Kind>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

/// What a schema refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SchemaReference)]
pub struct Reference {
    /// What it is called there: an Avro name, a file to import.
    pub name: String,
    /// The subject.
    pub subject: String,
    /// The number of its version.
    pub version: u32,
}

/// A version of a subject as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The schema's id, where the registry says it.
    pub id: Option<u32>,
    /// The schema.
    pub registered: Registered,
    /// What it refers to by itself.
    pub references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl Client {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub fn new(config: &SchemaRegistryConfig) -> Result<Self> {
        // Fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).timeout(ANSWER);
        if let Some(path) = &config.ca {
            http = http.tls_certs_merge(certificates(path)?);
        }
        let http = http.build().map_err(|error| Error::fatal("the HTTP client cannot be set up").because(error))?;
        let url = Url::parse(&config.url).map_err(|error| Error::config("no URL of a registry").because(error))?;
        Ok(Self { url, auth: config.auth.clone(), http })
    }

    /// Where it is, for messages.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The schema with this id; `None`: there is none.
    ///
    /// # Errors
    /// The registry does not answer, or not as one.
    pub async fn schema(&self, id: u32) -> Result<Option<Registered>> {
        let answer: Option<SchemaAnswer> = self.get(&["schemas", "ids", &id.to_string()]).await?;
        match answer {
            Some(answer) => Ok(Some(self.with_references(answer).await?)),
            None => Ok(None),
        }
    }

    /// A version of a subject: its number, or `latest`; `None`: there is none.
    ///
    /// # Errors
    /// The registry does not answer, or not as one.
    pub async fn version(&self, subject: &str, version: &str) -> Result<Option<Registered>> {
        let answer: Option<SchemaAnswer> = self.get(&["subjects", subject, "versions", version]).await?;
        match answer {
            Some(answer) => Ok(Some(self.with_references(answer).await?)),
            None => Ok(None),
        }
    }

    /// The first version of a subject that was not deleted.
    ///
    /// # Errors
    /// As [`Client::version`].
    pub async fn first(&self, subject: &str) -> Result<Option<Registered>> {
        match self.versions(subject).await?.unwrap_or_default().first() {
            Some(first) => self.version(subject, &first.to_string()).await,
            None => Ok(None),
        }
    }

    /// A version of a subject with its id and its references; `None`: there is none.
    ///
    /// # Errors
    /// The registry does not answer, or not as one.
    pub async fn listed(&self, subject: &str, version: u32) -> Result<Option<Listed>> {
        let answer: Option<SchemaAnswer> = self.get(&["subjects", subject, "versions", &version.to_string()]).await?;
        let Some(answer) = answer else { return Ok(None) };
        let (id, references) = (answer.id, answer.references.clone().unwrap_or_default());
        Ok(Some(Listed { id, references, registered: self.with_references(answer).await? }))
    }

    /// The numbers of a subject's versions, oldest first; `None`: there is no such subject.
    ///
    /// # Errors
    /// The registry does not answer, or not as one.
    pub async fn versions(&self, subject: &str) -> Result<Option<Vec<u32>>> {
        let versions: Option<Vec<u32>> = self.get(&["subjects", subject, "versions"]).await?;
        Ok(versions.map(|mut versions| {
            versions.sort_unstable();
            versions
        }))
    }

    /// The names of all subjects.
    ///
    /// # Errors
    /// The registry does not answer, or not as one.
    pub async fn subjects(&self) -> Result<Vec<String>> {
        Ok(self.get(&["subjects"]).await?.unwrap_or_default())
    }

    /// A schema's references, fetched in such an order that each stands behind its own.
    async fn with_references(&self, answer: SchemaAnswer) -> Result<Registered> {
        enum Task {
            Fetch(Reference),
            Keep(Referenced),
        }
        let mut referenced: Vec<Referenced> = Vec::new();
        let mut seen = Vec::new();
        let mut tasks: Vec<Task> = answer.references.into_iter().flatten().rev().map(Task::Fetch).collect();
        while let Some(task) = tasks.pop() {
            let reference = match task {
                Task::Keep(schema) => {
                    referenced.push(schema);
                    continue;
                }
                Task::Fetch(reference) => reference,
            };
            let place = (reference.subject.clone(), reference.version);
            if seen.contains(&place) {
                continue;
            }
            seen.push(place);
            if seen.len() > REFERENCES {
                return Err(Error::transient(format!("a schema refers to more than {REFERENCES} others")));
            }
            let Reference { name, subject, version } = reference;
            let found: Option<SchemaAnswer> =
                self.get(&["subjects", &subject, "versions", &version.to_string()]).await?;
            let found = found.ok_or_else(|| {
                Error::transient(format!("a schema refers to version {version} of {subject:?}, which is not there"))
            })?;
            tasks.push(Task::Keep(Referenced { name, text: found.schema }));
            tasks.extend(found.references.into_iter().flatten().rev().map(Task::Fetch));
        }
        Ok(Registered { kind: answer.schema_type.unwrap_or_default(), text: answer.schema, referenced })
    }

    /// Registers a schema under a subject, where it may be already; the schema's id.
    ///
    /// # Errors
    /// The registry refuses it (what it says is told), does not answer, or not as one.
    pub async fn register(&self, subject: &str, kind: Kind, schema: &str) -> Result<u32> {
        #[derive(Deserialize)]
        struct Answer {
            id: u32,
        }
        let url = self.at(&["subjects", subject, "versions"]);
        let body = serde_json::json!({ "schemaType": kind, "schema": schema });
        let answer: Option<Answer> = self.ask(self.http.post(url.clone()).json(&body), &url).await?;
        let unknown = || Error::config(format!("{url} answers that there is no such subject"));
        answer.map(|answer| answer.id).ok_or_else(unknown)
    }

    /// Why a schema is not compatible with the newest version of a subject, in the registry's words; `None`: it is, or there is
    /// no version yet.
    ///
    /// # Errors
    /// The registry does not answer, or not as one.
    pub async fn incompatible(&self, subject: &str, kind: Kind, schema: &str) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Answer {
            is_compatible: bool,
            #[serde(default)]
            messages: Vec<String>,
        }
        let mut url = self.at(&["compatibility", "subjects", subject, "versions", "latest"]);
        url.set_query(Some("verbose=true"));
        let body = serde_json::json!({ "schemaType": kind, "schema": schema });
        let answer: Option<Answer> = self.ask(self.http.post(url.clone()).json(&body), &url).await?;
        Ok(answer.filter(|answer| !answer.is_compatible).map(|answer| match answer.messages.is_empty() {
            true => "it is not compatible with the newest version".to_owned(),
            false => answer.messages.join("; "),
        }))
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>> {
        let url = self.at(path);
        self.ask(self.http.get(url.clone()), &url).await
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// `None`: there is no such schema, subject or version, in the registry's own words.
    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder, url: &Url) -> Result<Option<T>> {
        let request = match &self.auth {
            RegistryAuth::None => request,
            RegistryAuth::Basic { username, password } => request.basic_auth(username, Some(password.expose())),
            RegistryAuth::Bearer(token) => request.bearer_auth(token.expose()),
        };
        let unanswered = |error: reqwest::Error| {
            let message = format!("the schema registry at {} does not answer", self.url);
            // The error names the URL, which is named already.
            Error::transient(message).because(error.without_url())
        };
        let mut response = request.send().await.map_err(unanswered)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES {
                return Err(Error::transient(format!("{url} answers with more than {ANSWER_BYTES} bytes")));
            }
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Error::transient(format!("{url} does not answer as a schema registry does")).because(error)
            });
        }
        let refusal: Option<Refusal> = serde_json::from_slice(&bytes).ok();
        match refusal {
            Some(refusal) if status == StatusCode::NOT_FOUND && NOT_THERE.contains(&refusal.error_code) => Ok(None),
            refusal => Err(refused(url.as_str(), status, refusal)),
        }
    }
}

fn refused(url: &str, status: StatusCode, refusal: Option<Refusal>) -> Error {
    let said = refusal.map(|refusal| format!(": {} ({})", refusal.message, refusal.error_code)).unwrap_or_default();
    let message = format!("{url} answers {status}{said}");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::config(message).hint("write username and password, or token, into [schema_registry]")
        }
        StatusCode::NOT_FOUND => Error::config(message)
            .hint("is the path of `url` in [schema_registry] right? Apicurio's, for one, ends in /apis/ccompat/v7"),
        _ => Error::transient(message),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let wrong = || Error::config(format!("{} holds no certificates in PEM format", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong().because(error))?;
    Certificate::from_pem_bundle(&bytes).map_err(|error| wrong().because(error))
}

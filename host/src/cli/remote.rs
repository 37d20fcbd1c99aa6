//! A host's admin API, for verbs that were given --url instead of a pipeline file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{CONTENT_DISPOSITION, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, RequestBuilder, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmill::admin::Problem;
use wasmill::error::{Error, Result};

/// How long a connection, and the whole of an answer, may take.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(300);

/// Which pipeline: a file, whose storage is looked at, or a host, which is asked.
#[derive(clap::Args)]
pub(super) struct Target {
    /// The pipeline file.
    #[arg(required_unless_present = "url")]
    pub(super) pipeline: Option<PathBuf>,
    #[command(flatten)]
    pub(super) host: Host,
}

/// A host, and who asks.
#[derive(clap::Args)]
pub(super) struct Host {
    /// Ask the admin API of a host instead: https://host:8780. A pipeline file that is given goes before WASMILL_URL.
    #[arg(long, env = "WASMILL_URL", value_name = "URL")]
    url: Option<Url>,
    /// The token for it.
    #[arg(skip = std::env::var("WASMILL_TOKEN").ok())]
    token: Option<String>,
    /// Who signed the host's certificate, in PEM format, when it is not one that this machine knows.
    #[arg(long, env = "WASMILL_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This client's certificate and private key, in PEM format, for a host that asks for one.
    #[arg(long, env = "WASMILL_IDENTITY", value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// Where a verb works.
pub(super) enum Place {
    /// On the storage that a pipeline file names.
    Storage(PathBuf),
    /// On a host.
    Host(Remote),
}

impl Host {
    /// Whether the first of `words` names a pipeline file, and what follows it; without a file it is a host that is asked.
    /// `is_argument`: whether a word can be what follows. A pipeline file that is given goes before WASMILL_URL.
    pub(super) fn place_of(
        &self,
        mut words: Vec<String>,
        is_argument: impl Fn(&str) -> bool,
    ) -> Result<(Place, Vec<String>)> {
        match &self.url {
            Some(url) if words.first().is_none_or(|word| is_argument(word)) => {
                Ok((Place::Host(self.remote(url)?), words))
            }
            _ if words.is_empty() => Err(Error::config("neither a pipeline file nor --url was given")),
            _ => {
                let pipeline = PathBuf::from(words.remove(0));
                Ok((Place::Storage(pipeline), words))
            }
        }
    }
}

impl Target {
    pub(super) fn place(&self) -> Result<Place> {
        match (&self.pipeline, &self.host.url) {
            (Some(pipeline), _) => Ok(Place::Storage(pipeline.clone())),
            (None, Some(url)) => self.host.remote(url).map(Place::Host),
            (None, None) => Err(Error::config("neither a pipeline file nor --url was given")),
        }
    }
}

impl Host {
    fn remote(&self, url: &Url) -> Result<Remote> {
        // Fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).timeout(ANSWER);
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| not_pem(path).because(error));
        if let Some(path) = &self.ca {
            let bundle = Certificate::from_pem_bundle(&read(path)?).map_err(|error| not_pem(path).because(error))?;
            client = client.tls_certs_merge(bundle);
        }
        if let Some(path) = &self.identity {
            let identity = Identity::from_pem(&read(path)?).map_err(|error| not_pem(path).because(error))?;
            client = client.identity(identity);
        }
        let client = client.build().map_err(|error| Error::fatal("the HTTP client cannot be set up").because(error))?;
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tokio = tokio.map_err(|error| Error::fatal("cannot start the HTTP client's thread").because(error))?;
        Ok(Remote { url: url.clone(), token: self.token.clone(), client, tokio })
    }
}

fn not_pem(path: &Path) -> Error {
    Error::config(format!("{} is not what is wanted in PEM format", path.display()))
}

/// One host's API.
pub(super) struct Remote {
    url: Url,
    token: Option<String>,
    client: Client,
    tokio: tokio::runtime::Runtime,
}

impl Remote {
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T> {
        self.answer(self.client.get(self.at(path)?).query(query))
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.answer(self.client.post(self.at(path)?).json(body))
    }

    /// Posts what is no JSON.
    pub(super) fn send<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)], body: Vec<u8>) -> Result<T> {
        self.answer(
            self.client.post(self.at(path)?).query(query).header("content-type", "application/octet-stream").body(body),
        )
    }

    /// Fetches a file: its name, as the host gives it, and its bytes.
    pub(super) fn fetch(&self, path: &str) -> Result<(String, Vec<u8>)> {
        let (headers, bytes) = self.answered(self.client.get(self.at(path)?))?;
        let disposition = headers.get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = disposition.split_once("filename=\"").and_then(|(_, rest)| rest.split_once('"'));
        // It becomes the name of a file here.
        let name = name.map(|(name, _)| name).filter(|name| !name.is_empty() && !name.contains(['/', '\\']));
        let name = name.ok_or_else(|| Error::fatal(format!("{} does not say what it sends", self.url)))?;
        Ok((name.to_owned(), bytes))
    }

    fn at(&self, path: &str) -> Result<Url> {
        let base = format!("{}/{path}", self.url.as_str().trim_end_matches('/'));
        Url::parse(&base).map_err(|error| Error::config(format!("{} is no URL of a host", self.url)).because(error))
    }

    fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let (_, bytes) = self.answered(request)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::fatal(format!("{} answers what this version of wasmill does not understand", self.url))
                .because(error)
        })
    }

    fn answered(&self, request: RequestBuilder) -> Result<(HeaderMap, Vec<u8>)> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let url = &self.url;
        let unanswered = |error: reqwest::Error| {
            Error::transient(format!("{url} does not answer"))
                .because(error)
                .hint("does a host run there with a section [admin], and is it http or https?")
        };
        let (status, headers, bytes) = self.tokio.block_on(async {
            let answer = request.send().await.map_err(unanswered)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, Error>((status, headers, answer.bytes().await.map_err(unanswered)?))
        })?;
        if status.is_success() { Ok((headers, bytes.into())) } else { Err(refused(url, status, &bytes)) }
    }
}

/// What a host refused, in its own words.
fn refused(url: &Url, status: StatusCode, bytes: &[u8]) -> Error {
    let problem: Option<Problem> = serde_json::from_slice(bytes).ok();
    let message = problem.as_ref().map_or_else(|| format!("{url} answers {status}"), |problem| problem.error.clone());
    let error = match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Error::transient(message)
        }
        _ if status.is_client_error() => Error::config(message),
        _ => Error::fatal(message),
    };
    match (problem.and_then(|problem| problem.hint), status) {
        (Some(hint), _) => error.hint(hint),
        (None, StatusCode::UNAUTHORIZED) => error.hint("WASMILL_TOKEN must hold a token that `wasmill token` made"),
        (None, _) => error,
    }
}

//! Tells a webhook of each new hive partition, so that a catalogue can register it.
//!
//! A host tells of a hive partition when it publishes into it for the first time since it started, or takes over a topic
//! partition whose newest record does. So each is told once at least: hosts do not know what others told, and a host that
//! dies before it was heard is followed by one that tells again. Commits never wait for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::config::{Config, WebhookConfig};
use crate::error::{Error, Result};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);

/// First pause after a failure; it doubles up to the other.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the end of a run waits for what was not heard yet.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is posted, as JSON.
#[derive(Debug, Serialize)]
struct NewHivePartition<'a> {
    /// The pipeline's name.
    pipeline: &'a str,
    /// The table's location.
    table: &'a str,
    /// Its path below the table: `year=2026/month=11/day=27/hour=14`.
    hive_partition: &'a str,
    /// The location of its files.
    location: String,
    /// Its columns and values, escaped as they are in the path.
    values: BTreeMap<&'a str, &'a str>,
}

/// Tells of hive partitions, each once.
pub(super) struct Webhook {
    told: BTreeSet<String>,
    queue: UnboundedSender<String>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// The webhook of a pipeline; `None` when it has none.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub(super) fn start(config: &Config, tokio: &tokio::runtime::Handle) -> Result<Option<Self>> {
        let Some(webhook) = config.webhook.clone() else { return Ok(None) };
        // Fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).timeout(ANSWER);
        let http = http.build().map_err(|error| Error::fatal("the HTTP client cannot be set up").because(error))?;
        let url = Url::parse(&webhook.url).map_err(|error| Error::config("no URL of a webhook").because(error))?;
        let (queue, heard) = unbounded_channel();
        let teller = Teller {
            webhook,
            http,
            url,
            pipeline: config.name.clone(),
            table: config.table.location.trim_end_matches('/').to_owned(),
        };
        let task = tokio.spawn(teller.tell_all(heard));
        Ok(Some(Self { told: BTreeSet::new(), queue, task }))
    }

    /// These have files now.
    pub(super) fn published(&mut self, hive_partitions: BTreeSet<String>) {
        for hive_partition in hive_partitions {
            if self.told.insert(hive_partition.clone()) {
                // The task ends only after this does.
                let _ = self.queue.send(hive_partition);
            }
        }
    }

    /// Waits a little for what was not heard yet.
    pub(super) async fn end(self) {
        drop(self.queue);
        let mut task = self.task;
        if tokio::time::timeout(FAREWELL, &mut task).await.is_err() {
            task.abort();
            tracing::warn!(
                "the webhook was not told of all new hive partitions; register them by hand (see host/docs/table.md)"
            );
        }
    }
}

struct Teller {
    webhook: WebhookConfig,
    http: reqwest::Client,
    url: Url,
    pipeline: String,
    table: String,
}

impl Teller {
    async fn tell_all(self, mut heard: UnboundedReceiver<String>) {
        let mut waiting = VecDeque::new();
        let mut pause = PAUSE;
        loop {
            match waiting.front() {
                None => match heard.recv().await {
                    Some(hive_partition) => waiting.push_back(hive_partition),
                    None => return,
                },
                Some(hive_partition) => match self.tell(hive_partition).await {
                    Ok(()) => {
                        tracing::info!(hive_partition, "the webhook was told of a new hive partition");
                        waiting.pop_front();
                        pause = PAUSE;
                    }
                    Err(why) => {
                        tracing::warn!(hive_partition, why, ?pause, "the webhook was not told; tried again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
            }
        }
    }

    async fn tell(&self, hive_partition: &str) -> std::result::Result<(), String> {
        let body = NewHivePartition {
            pipeline: &self.pipeline,
            table: &self.table,
            hive_partition,
            location: format!("{}/{hive_partition}", self.table),
            values: hive_partition.split('/').filter_map(|part| part.split_once('=')).collect(),
        };
        let mut request = self.http.post(self.url.clone()).json(&body);
        if let Some(token) = &self.webhook.token {
            request = request.bearer_auth(token.expose());
        }
        // Without the URL, which may hold a secret in its query.
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Secret, Surroundings};

    /// What a listener heard: the token, and the body.
    type Heard = Arc<Mutex<Vec<(String, Value)>>>;

    /// Listens, and refuses what it hears first.
    async fn listener(heard: Heard) -> String {
        let hear = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            let token = headers["authorization"].to_str().unwrap().to_owned();
            let mut heard = heard.lock().unwrap();
            heard.push((token, body));
            if heard.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
        };
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(socket, Router::new().route("/told", post(hear))).await });
        format!("http://{address}/told")
    }

    fn config(url: &str) -> Config {
        let text = include_str!("../../pipelines/demo.toml");
        let text = text.split("[[transforms]]").next().unwrap().to_owned()
            + "[table]\nlocation = \"/data/events/\"\nevent_time = { column = \"ts\", unit = \"ms\" }\n\
               [dead_letters]\nlocation = \"/data/dead\"\n[checkpoint]\nlocation = \"/data/chain\"\n";
        let surroundings = Surroundings { variable: Arc::new(|_| None), ..Surroundings::of_this_process().unwrap() };
        let config = Config::parse("p.toml".as_ref(), &text, &surroundings).unwrap();
        Config { webhook: Some(WebhookConfig { url: url.to_owned(), token: Some(Secret::new("t0ken")) }), ..config }
    }

    fn set(hive_partitions: &[&str]) -> BTreeSet<String> {
        hive_partitions.iter().copied().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn each_is_told_once_and_again_until_it_is_heard() {
        let heard = Heard::default();
        let url = listener(Arc::clone(&heard)).await;
        let mut webhook = Webhook::start(&config(&url), &tokio::runtime::Handle::current()).unwrap().unwrap();
        webhook.published(set(&["day=01/level=a%2Fb", "day=02/level=free"]));
        webhook.published(set(&["day=02/level=free", "day=03/level=free"]));
        webhook.end().await;
        let heard = heard.lock().unwrap();
        assert!(heard.iter().all(|(token, _)| token == "Bearer t0ken"));
        let told: Vec<_> = heard.iter().map(|(_, body)| body["hive_partition"].as_str().unwrap()).collect();
        let first = "day=01/level=a%2Fb";
        assert_eq!(told, [first, first, "day=02/level=free", "day=03/level=free"]);
        let wanted = json!({
            "pipeline": "demo", "table": "/data/events", "hive_partition": first,
            "location": "/data/events/day=01/level=a%2Fb", "values": { "day": "01", "level": "a%2Fb" },
        });
        assert_eq!(heard[1].1, wanted);
    }

    #[tokio::test]
    async fn who_has_no_webhook_tells_nobody() {
        let config = Config { webhook: None, ..config("http://localhost/") };
        assert!(Webhook::start(&config, &tokio::runtime::Handle::current()).unwrap().is_none());
    }
}

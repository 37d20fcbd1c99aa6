//! Topic ids: what a topic is, beyond its name. A topic that was deleted and created anew has another one.
//!
//! Each range is committed only after the topic's id was asked for once more, so the answer is shared by all topic
//! partitions whose question it answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::{Client, failure, positions};
use crate::error::{ErrorKind, Result};
use crate::source::kafka_ffi;

/// How long a range waits for the brokers to tell what its topic is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

/// The last answer for one topic, and when it was asked for.
type Answer = Arc<Mutex<Option<(Instant, String)>>>;

/// Answers that all readers of a source share.
#[derive(Default)]
pub(super) struct TopicIds {
    answers: Mutex<HashMap<Arc<str>, Answer>>,
}

impl TopicIds {
    /// The id as it was at some moment after `since`; `None`: there was no such topic. Blocking.
    pub(super) fn ask(&self, client: &Client, topic: &Arc<str>, since: Instant) -> Result<Option<String>> {
        let answer = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(Arc::clone(topic)).or_default())
        };
        // Held while the brokers are asked: whoever waits here is answered by the same answer, if it is new enough.
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, id)) = &*answer
            && *asked >= since
        {
            return Ok(Some(id.clone()));
        }
        let asked = Instant::now();
        let id = match kafka_ffi::topic_id(client, topic, positions::ANSWER) {
            Ok(id) => id,
            Err(Code::UnknownTopic | Code::UnknownTopicOrPartition) => return Ok(None),
            Err(code) => {
                return Err(failure::of_code(code, format!("cannot ask Kafka for the id of topic {topic}")));
            }
        };
        let id = if id.is_empty() { "without topic id".to_owned() } else { id };
        *answer = Some((asked, id.clone()));
        Ok(Some(id))
    }

    /// The same for a range whose last message was fetched before now; `None`: there is no such topic any more, so what
    /// was fetched was of the one that there was. Blocking, and patient: without an answer the range cannot be committed.
    pub(super) fn ask_patiently(&self, client: &Client, topic: &Arc<str>) -> Result<Option<String>> {
        let since = Instant::now();
        loop {
            match self.ask(client, topic, since) {
                Err(error) if error.kind() == ErrorKind::Transient && since.elapsed() < PATIENCE => {
                    tracing::debug!(%error, "asking again what the topic is");
                    std::thread::sleep(PAUSE);
                }
                answer => return answer,
            }
        }
    }
}

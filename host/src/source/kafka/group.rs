//! What the client tells between two calls: changes of the group, failed commits, errors, log lines.
//!
//! Guarantee: nothing here waits, asks a broker, or answers the group (but for a client that is being closed).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::Client;
use crate::source::{Reach, TopicPartition};

/// A change of our share, which the group wants answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These are ours now; may be empty.
    Assign(Vec<TopicPartition>),
    /// These go to others, or (`lost`) have gone.
    Revoke { topic_partitions: Vec<TopicPartition>, lost: bool },
}

/// Receives what the client tells.
pub(crate) struct Group {
    cooperative: bool,
    changes: Mutex<VecDeque<Change>>,
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
    closing: AtomicBool,
    reach: Mutex<Reach>,
}

/// What is wanted of the client's statistics.
#[derive(serde::Deserialize)]
struct Told {
    brokers: HashMap<String, ToldBroker>,
}

#[derive(serde::Deserialize)]
struct ToldBroker {
    nodeid: i32,
    state: String,
}

impl Group {
    pub(super) fn new(cooperative: bool) -> Self {
        Self {
            cooperative,
            changes: Mutex::default(),
            last_error: Mutex::default(),
            closing: AtomicBool::new(false),
            reach: Mutex::default(),
        }
    }

    /// Which brokers the client is connected to.
    pub(super) fn reach(&self) -> Reach {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn told(&self, told: &Told) {
        // The others are names: where to begin, and who coordinates the group.
        let nodes = || told.brokers.values().filter(|broker| broker.nodeid >= 0);
        let count = |states: &[&str]| nodes().filter(|node| states.contains(&&*node.state)).count() as u64;
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.brokers = nodes().count() as u64;
        reach.connected = count(&["UP", "UPDATE"]);
        reach.unreachable = count(&["DOWN", "TRY_CONNECT", "CONNECT"]);
        if reach.connected > 0 {
            reach.answered_at_ms = Some(now_ms());
        }
    }

    /// The oldest change that was not taken yet.
    pub(super) fn next_change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The client's last error, in its own words: better than "timed out" when brokers cannot be reached.
    pub(super) fn last_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on nobody takes changes: each is answered here at once.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// While the client closes, every topic partition is given up.
    pub(super) fn answer(&self, client: &Client, assigned: bool) -> KafkaResult<()> {
        let nothing = TopicPartitionList::new();
        match (self.cooperative, assigned) {
            (true, true) => client.incremental_assign(&nothing),
            (true, false) => client.incremental_unassign(&client.assignment()?),
            (false, true) => client.assign(&nothing),
            (false, false) => client.unassign(),
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::info!(target: "librdkafka", facility, "{message}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(told) => self.told(&told),
            Err(error) => tracing::debug!(%error, "the client's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        {
            let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
            (reach.failed_at_ms, reach.error) = (Some(now_ms()), Some(reason.to_owned()));
        }
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows the error that says why.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, client: &Client, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            if let Err(error) = self.answer(client, assigned) {
                tracing::debug!(%error, "could not answer the group while closing");
            }
            return;
        }
        let elements = list.elements();
        let topic_partitions = elements.iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect();
        let change = if assigned {
            Change::Assign(topic_partitions)
        } else {
            Change::Revoke { topic_partitions, lost: client.assignment_lost() }
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "the group did not take a commit; the next one follows with the next checkpoint");
        }
    }
}

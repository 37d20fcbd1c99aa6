//! What was asked for, as it stands in the new location.

use arrow::datatypes::{FieldRef, Schema};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{BESIDE, Range};
use crate::checkpoint::DeploymentRecord;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::pipeline::ready::Ready;
use crate::storage::{Location, StorageErrorKind};

/// The newest format of the file that this program reads, and the one that it writes.
const FORMAT: u64 = 1;

/// What an operator asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Where to begin: one time for all topic partitions (or `earliest`), or `TOPIC/N=OFFSET` for each that is meant.
    pub from: Vec<String>,
    /// Where to end, before it; the same. Empty: where the pipeline stands.
    #[serde(default)]
    pub to: Vec<String>,
    /// The new location.
    pub into: String,
    /// The number of a deployment; `None`: the present one.
    #[serde(default)]
    pub deployment: Option<u64>,
}

/// The file that says what a location holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    format: u64,
    pipeline: String,
    from: Vec<String>,
    to: Vec<String>,
    deployment: DeploymentRecord,
    /// What an event looks like.
    events: Vec<String>,
    /// What a row looks like and where it goes.
    columns: Vec<String>,
    pub(super) ranges: Vec<Range>,
    by: String,
    at_ms: i64,
}

impl Noted {
    /// What this request would leave, but for the offsets that it means.
    pub(super) fn new(config: &Config, request: &Request, ready: &Ready, by: &str, at_ms: i64) -> Self {
        let mut columns = columns(&ready.chain.output_schema());
        columns.push(format!("by {} of {}", config.table.partition_by.join(", "), config.table.event_time.column));
        let sorted = |texts: &[String]| {
            let mut texts = texts.to_vec();
            texts.sort_unstable();
            texts
        };
        Self {
            format: FORMAT,
            pipeline: config.name.clone(),
            from: sorted(&request.from),
            to: sorted(&request.to),
            deployment: ready.record.clone(),
            events: self::columns(&config.schema.arrow),
            columns,
            ranges: Vec::new(),
            by: by.to_owned(),
            at_ms,
        }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        Bytes::from(bytes)
    }

    /// Whether `other` asks for the same as what was begun here.
    ///
    /// # Errors
    /// It does not: in what.
    pub(super) fn check_same(&self, other: &Self, into: &str) -> Result<()> {
        let transforms = |of: &Self| format!("{:?}", of.deployment.transforms);
        let number = |of: &Self| of.deployment.number.to_string();
        let both = [
            ("pipeline", self.pipeline.clone(), other.pipeline.clone()),
            ("--from", self.from.join(" "), other.from.join(" ")),
            ("--to", self.to.join(" "), other.to.join(" ")),
            ("--deployment", number(self), number(other)),
            ("transforms", transforms(self), transforms(other)),
            ("fields", self.events.join(", "), other.events.join(", ")),
            ("columns", self.columns.join(", "), other.columns.join(", ")),
        ];
        match both.into_iter().find(|(_, before, now)| before != now) {
            None => Ok(()),
            Some((what, before, now)) => {
                let message = format!("{into} was begun with other {what}: {before:?}, not {now:?}");
                Err(Error::config(message).hint("give the same command to go on, or another location"))
            }
        }
    }
}

fn columns(schema: &Schema) -> Vec<String> {
    let text = |field: &FieldRef| {
        let required = if field.is_nullable() { "" } else { "!" };
        format!("{}: {}{required}", field.name(), field.data_type())
    };
    schema.fields().iter().map(text).collect()
}

/// What a location was begun with; `None`: it was not.
///
/// # Errors
/// The file cannot be read; the storage does not answer.
pub(super) async fn read(table: &Location) -> Result<Option<Noted>> {
    let path = table.join(&format!("{BESIDE}/request.json"));
    let bytes = match table.storage.read(&path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StorageErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::fatal(format!("cannot read {path}")).because(error)),
    };
    #[derive(Deserialize)]
    struct Header {
        format: u64,
    }
    let damaged = |error: serde_json::Error| {
        let hint = "restore it, or reprocess into another location";
        Error::fatal(format!("{path} says what the location holds, and cannot be read")).because(error).hint(hint)
    };
    let Header { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(Error::fatal(format!("{path} was written by a newer wasmill (format {format})"))
            .hint("use that version of wasmill"));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

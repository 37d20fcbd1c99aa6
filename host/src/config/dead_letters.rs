//! `[dead_letters]`: where they lie, what of a message they show, and how long they stay.

use std::time::Duration;

use super::file::Section;
use super::value::{self, Place};

/// `[dead_letters]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLettersConfig {
    /// As for the table.
    pub location: String,
    /// What of a message is left out.
    pub redact: Redaction,
    /// How long they stay, a day or more; `None`: for ever.
    pub retention: Option<Duration>,
}

/// What of a message its dead letter does not hold. Everything else of it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redaction {
    /// The payload. Such a letter cannot be replayed.
    pub payload: bool,
    /// The key.
    pub key: bool,
    /// The headers.
    pub headers: bool,
    /// What was found and wanted, which may name values of the event.
    pub message: bool,
}

/// The names of what can be left out.
const PARTS: [&str; 4] = ["payload", "key", "headers", "message"];

impl Redaction {
    fn of(names: &[String]) -> Self {
        let has = |part: &str| names.iter().any(|name| name == part);
        Self { payload: has("payload"), key: has("key"), headers: has("headers"), message: has("message") }
    }

    /// The names of what is left out.
    pub fn names(&self) -> Vec<&'static str> {
        let left_out = [self.payload, self.key, self.headers, self.message];
        PARTS.into_iter().zip(left_out).filter_map(|(name, is)| is.then_some(name)).collect()
    }
}

/// The section, and where it lies.
pub(super) fn dead_letters(root: &Section<'_>) -> Option<(DeadLettersConfig, Place)> {
    let section = root.required_section("dead_letters")?;
    let place = section.required("location", "\"hdfs://host:port/path\"").and_then(|field| value::location(&field));
    let redact = match section.optional("redact") {
        None => Some(Redaction::default()),
        Some(field) => {
            let names = value::texts(&field, "[\"payload\", \"message\"]");
            let unknown = names.iter().flatten().any(|name| !PARTS.contains(&name.as_str()));
            if unknown {
                field.wanted("a list of payload, key, headers, message");
            }
            names.filter(|_| !unknown).map(|names| Redaction::of(&names))
        }
    };
    let day = Duration::from_secs(86_400);
    let retention = match section.optional("retention") {
        None => Some(None),
        Some(field) => value::duration(&field, day..=day * 36_525).map(Some),
    };
    section.finish();
    let place = place?;
    let location = place.location();
    Some((DeadLettersConfig { location, redact: redact?, retention: retention? }, place))
}

//! Which dead letters are replayed: `--where KEY=VALUE`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::source::TopicPartition;
use crate::table::dead_letters::parse_since;
use crate::table::dead_letters::read::Outline;

/// What a dead letter must be like, in every respect that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Its reason's code.
    #[serde(default)]
    pub reason: Option<String>,
    /// The transform that it fell out of.
    #[serde(default)]
    pub transform: Option<String>,
    /// `decode`, `transform` or `table`.
    #[serde(default)]
    pub stage: Option<String>,
    /// The topic partition of its message.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^.+/[0-9]+$")]
    pub topic_partition: Option<TopicPartition>,
    /// The offset of its message.
    #[serde(default)]
    pub offset: Option<i64>,
    /// Recorded from here on, in milliseconds since 1970.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// Recorded before, in milliseconds since 1970.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

/// What a filter may ask for.
const KEYS: &str = "reason, transform, stage, topic_partition, offset, since, until";

impl Filter {
    /// Reads `KEY=VALUE`s, all of which must hold. Times are given as to `dead-letters list --since`.
    ///
    /// # Errors
    /// A key that is unknown or comes twice, or a value that is none of its kind.
    pub fn parse<'a>(conditions: impl IntoIterator<Item = &'a str>, now_ms: i64) -> Result<Self> {
        let mut filter = Self::default();
        for condition in conditions {
            let wrong = |message: String| Error::config(message).hint(format!("write KEY=VALUE; the keys: {KEYS}"));
            let (key, value) =
                condition.split_once('=').ok_or_else(|| wrong(format!("{condition:?} is no condition")))?;
            let text = || Ok(value.to_owned());
            let twice = match key {
                "reason" => set(&mut filter.reason, text())?,
                "transform" => set(&mut filter.transform, text())?,
                "stage" => set(&mut filter.stage, stage(value))?,
                "topic_partition" => set(&mut filter.topic_partition, topic_partition(value))?,
                "offset" => {
                    let offset = value.parse().map_err(|_| wrong(format!("{value:?} is no offset")));
                    set(&mut filter.offset, offset)?
                }
                "since" => set(&mut filter.since_ms, parse_since(value, now_ms))?,
                "until" => set(&mut filter.until_ms, parse_since(value, now_ms))?,
                _ => return Err(wrong(format!("dead letters have no {key:?}"))),
            };
            if twice {
                return Err(wrong(format!("{key} is given twice, and no dead letter has both")));
            }
        }
        Ok(filter)
    }

    /// Whether letters of this topic partition may match.
    pub(super) fn allows(&self, topic_partition: &TopicPartition) -> bool {
        self.topic_partition.as_ref().is_none_or(|wanted| wanted == topic_partition)
    }

    /// Whether a letter matches, whose topic partition does.
    pub(super) fn matches(&self, letter: &Outline) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        let recorded_ms = letter.recorded_us.div_euclid(1_000);
        is(&self.reason, Some(&letter.reason))
            && is(&self.transform, letter.transform.as_deref())
            && is(&self.stage, Some(&letter.stage))
            && self.offset.is_none_or(|offset| offset == letter.offset)
            && self.since_ms.is_none_or(|since| recorded_ms >= since)
            && self.until_ms.is_none_or(|until| recorded_ms < until)
    }
}

/// Sets what was not set yet. `true`: it was.
fn set<T>(of: &mut Option<T>, value: Result<T>) -> Result<bool> {
    Ok(of.replace(value?).is_some())
}

fn stage(value: &str) -> Result<String> {
    if ["decode", "transform", "table"].contains(&value) {
        return Ok(value.to_owned());
    }
    Err(Error::config(format!("{value:?} is no stage")).hint("the stages: decode, transform, table"))
}

fn topic_partition(value: &str) -> Result<TopicPartition> {
    let parts = value.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    match parts {
        Some((topic, number)) if !topic.is_empty() => Ok(TopicPartition::new(topic, number)),
        _ => Err(Error::config(format!("{value:?} is no topic partition")).hint("write TOPIC/N, like listen_events/3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_480_200_000;

    fn letter() -> Outline {
        Outline {
            offset: 7,
            stage: "transform".into(),
            transform: Some("enrich-geo".into()),
            reason: "no-city".into(),
            recorded_us: NOW * 1_000 - 1,
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let matches = |conditions: &[&str]| Filter::parse(conditions.iter().copied(), NOW).unwrap().matches(&letter());
        assert!(matches(&[]));
        assert!(matches(&["reason=no-city", "transform=enrich-geo", "stage=transform", "offset=7", "since=1h"]));
        for one in ["reason=no", "transform=enrich", "stage=decode", "offset=8", "until=1h"] {
            assert!(!matches(&[one]), "{one}");
            assert!(one.starts_with("reason") || !matches(&["reason=no-city", one]), "{one}");
        }
        // The end is exclusive, the beginning is not.
        let at = "2026-11-24T00:29:59.999Z";
        assert!(matches(&[&format!("since={at}")]) && !matches(&[&format!("until={at}")]));
    }

    #[test]
    fn what_no_letter_can_be_is_refused() {
        for wrong in ["reason", "colour=red", "stage=sink", "offset=x", "since=yesterday", "topic_partition=t"] {
            assert!(Filter::parse([wrong], NOW).unwrap_err().what_to_do().is_some(), "{wrong}");
        }
        let twice = Filter::parse(["reason=a", "reason=b"], NOW).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }

    #[test]
    fn other_topic_partitions_are_not_touched() {
        let filter = Filter::parse(["topic_partition=a/b/3"], NOW).unwrap();
        assert!(filter.allows(&TopicPartition::new("a/b", 3)) && !filter.allows(&TopicPartition::new("a/b", 4)));
        assert!(Filter::default().allows(&TopicPartition::new("x", 0)));
    }
}

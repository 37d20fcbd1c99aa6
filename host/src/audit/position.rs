//! Where a pipeline stands: the position of each topic partition, and what the source says beside it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::ChainFacts;
use super::view::ChainView;
use crate::error::{Error, Result};
use crate::source::{KnownOffsets, TopicPartition};

/// The positions of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Positions {
    /// The pipeline's name.
    pub pipeline: String,
    /// By topic and number.
    pub topic_partitions: Vec<Position>,
}

/// One topic partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// The topic partition's number.
    pub topic_partition: i32,
    /// The next offset to read.
    pub next: i64,
    /// Number of the newest record.
    pub newest: u64,
    /// Sequence of the fence of the take-over that owns the chain; null when its record is not there.
    pub fence: Option<u64>,
    /// That take-over's id.
    pub take_over: String,
    /// When the newest record was written, as RFC 3339.
    pub written_at: String,
    /// Messages between the position and the source's end, where the source knows it.
    pub lag: Option<i64>,
    /// What the source knows, where it was asked.
    pub source: Option<KnownOffsets>,
    /// Why the position cannot be told; the numbers above are then those of the last record that can be read.
    pub problem: Option<String>,
}

impl Positions {
    /// Positions by what was read of the chains.
    pub fn new(
        pipeline: &str,
        chains: &BTreeMap<TopicPartition, ChainFacts>,
        source: &BTreeMap<TopicPartition, KnownOffsets>,
    ) -> Self {
        let position = |(topic_partition, chain): (&TopicPartition, &ChainFacts)| {
            let view = ChainView::new(pipeline, topic_partition, chain);
            let newest = view.newest()?;
            let source = source.get(topic_partition).cloned();
            Some(Position {
                topic: topic_partition.topic.to_string(),
                topic_partition: topic_partition.partition,
                next: newest.next,
                newest: newest.sequence,
                fence: view.fence(chain).map(|(sequence, _)| sequence),
                take_over: newest.take_over.to_string(),
                written_at: jiff::Timestamp::from_millisecond(newest.written_at_ms)
                    .map_or_else(|_| format!("{} ms", newest.written_at_ms), |time| time.to_string()),
                lag: source.as_ref().and_then(|source| Some((source.latest? - newest.next).max(0))),
                source,
                problem: view.findings.first().map(|finding| format!("{}: {}", finding.path, finding.message)),
            })
        };
        Self { pipeline: pipeline.to_owned(), topic_partitions: chains.iter().filter_map(position).collect() }
    }
}

/// Where a position is to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The first offset that the source still has.
    Earliest,
    /// Its end.
    Latest,
    /// This offset.
    Offset(i64),
}

impl std::str::FromStr for To {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match text.parse() {
                Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                _ => Err(Error::config(format!("{text:?} is no position")).hint("write an offset, earliest or latest")),
            },
        }
    }
}

impl To {
    /// The offset that is meant, checked against what the source has.
    ///
    /// # Errors
    /// The source does not say where it begins or ends, or has no such offset.
    pub fn offset(self, source: Option<&KnownOffsets>) -> Result<i64> {
        let unknown = |what: &str| {
            Error::config(format!("where the source {what} is not known")).hint("write the offset as a number")
        };
        let offset = match self {
            Self::Earliest => return source.map(|source| source.earliest).ok_or_else(|| unknown("begins")),
            Self::Latest => return source.and_then(|source| source.latest).ok_or_else(|| unknown("ends")),
            Self::Offset(offset) => offset,
        };
        let Some(KnownOffsets { earliest, latest, .. }) = source else { return Ok(offset) };
        if offset < *earliest || latest.is_some_and(|latest| offset > latest) {
            let end = latest.map_or_else(|| "an end that is not known".to_owned(), |latest| latest.to_string());
            let message = format!("offset {offset} is not in the source, which has {earliest} to {end}");
            return Err(Error::config(message).hint("a run would stop there at once"));
        }
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_looked_up_and_checked() {
        let known = KnownOffsets { earliest: 10, latest: Some(20), committed: None, identity: "t".to_owned() };
        let at = |text: &str, source| text.parse::<To>().and_then(|to: To| to.offset(source));
        for (text, wanted) in [("earliest", 10), ("latest", 20), ("10", 10), ("15", 15), ("20", 20)] {
            assert_eq!(at(text, Some(&known)).unwrap(), wanted, "{text}");
        }
        for text in ["9", "21", "-1", "first", ""] {
            assert!(at(text, Some(&known)).is_err(), "{text}");
        }
        assert_eq!(at("99", None).unwrap(), 99);
        assert!(at("earliest", None).unwrap_err().what_to_do().unwrap().contains("number"));
        assert!(at("latest", Some(&KnownOffsets { latest: None, ..known.clone() })).is_err());
    }
}

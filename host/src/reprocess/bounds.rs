//! From what an operator writes to offsets.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::{Range, Request};
use crate::audit::{self, ChainView, Subject};
use crate::config::{Config, SourceConfig};
use crate::error::{Error, Result};
use crate::source::{self, KnownOffsets, TopicPartition};
use crate::table::dead_letters::parse_since;

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    /// Where the source begins.
    Earliest,
    /// The first message at or after, in milliseconds since 1970.
    Time(i64),
    /// For each topic partition that is named.
    Offsets(BTreeMap<TopicPartition, i64>),
}

impl Bound {
    fn parse(texts: &[String], now_ms: i64) -> Result<Self> {
        let named = |text: &String| {
            let (place, offset) = text.rsplit_once('=')?;
            let (topic, number) = place.rsplit_once('/')?;
            let of = TopicPartition::new(topic, number.parse().ok()?);
            Some((of, offset.parse::<i64>().ok().filter(|offset| *offset >= 0)?))
        };
        let hint = "write one time (2h, 2026-11-24, 2026-11-24T08:30:00Z), or TOPIC/N=OFFSET for each topic partition";
        match texts {
            [one] if one == "earliest" => Ok(Self::Earliest),
            [one] if !one.contains('=') => parse_since(one, now_ms).map(Self::Time),
            _ => {
                let mut offsets = BTreeMap::new();
                for text in texts {
                    let (of, offset) =
                        named(text).ok_or_else(|| Error::config(format!("{text:?} names no offset")).hint(hint))?;
                    if offsets.insert(of.clone(), offset).is_some() {
                        return Err(Error::config(format!("{of} is named twice")).hint(hint));
                    }
                }
                Ok(Self::Offsets(offsets))
            }
        }
    }
}

/// The offsets that a request means, at this moment. Blocking.
pub(super) fn resolve(
    config: &Config,
    request: &Request,
    tokio: &tokio::runtime::Runtime,
    now_ms: i64,
) -> Result<Vec<Range>> {
    if request.from.is_empty() {
        return Err(Error::config("where to begin is missing").hint("--from earliest, a time, or TOPIC/N=OFFSET"));
    }
    let from = Bound::parse(&request.from, now_ms)?;
    let to = (!request.to.is_empty()).then(|| Bound::parse(&request.to, now_ms)).transpose()?;
    let there = source::topic_partitions(&config.source, tokio.handle())?;
    let wanted: Vec<TopicPartition> = match &from {
        Bound::Offsets(offsets) => offsets.keys().cloned().collect(),
        _ => there.clone(),
    };
    if let Some(stranger) = wanted.iter().find(|of| !there.contains(of)) {
        return Err(Error::config(format!("the source has no topic partition {stranger}"))
            .hint("`wasmill offsets show PIPELINE` lists what there is"));
    }
    let known = source::known_offsets(&config.source, &wanted)?;
    let positions = if to.is_none() { positions(config, tokio)? } else { BTreeMap::new() };
    let begins = offsets(config, &from, &wanted, &known)?;
    let ends = match &to {
        Some(to) => offsets(config, to, &wanted, &known)?,
        None => wanted.iter().map(|of| positions.get(of).copied()).collect(),
    };
    let mut ranges = Vec::new();
    for ((of, from), to) in wanted.into_iter().zip(begins).zip(ends) {
        let (Some(from), Some(to)) = (from, to) else {
            let what = if from.is_some() { "--to" } else { "--from" };
            return Err(Error::config(format!(
                "where {of} {} is not known",
                if from.is_some() { "ends" } else { "begins" }
            ))
            .hint(format!("name it: {what} {of}=OFFSET")));
        };
        check(&of, from, to, known.get(&of))?;
        ranges.push(Range { topic_partition: of, from, to: to.max(from) });
    }
    match ranges.iter().any(|range| range.from < range.to) {
        true => Ok(ranges),
        false => Err(Error::config("the range is empty").hint("`wasmill offsets show PIPELINE` lists what there is")),
    }
}

/// The offset of each, where it is known.
fn offsets(
    config: &Config,
    bound: &Bound,
    wanted: &[TopicPartition],
    known: &BTreeMap<TopicPartition, KnownOffsets>,
) -> Result<Vec<Option<i64>>> {
    Ok(match bound {
        Bound::Offsets(offsets) => wanted.iter().map(|of| offsets.get(of).copied()).collect(),
        Bound::Time(ms) => source::offsets_at(&config.source, wanted, *ms)?.into_iter().map(Some).collect(),
        Bound::Earliest => {
            // Only Kafka forgets.
            let begins_at_0 = !matches!(config.source, SourceConfig::Kafka(_));
            let of = |of: &TopicPartition| known.get(of).map(|known| known.earliest).or(begins_at_0.then_some(0));
            wanted.iter().map(of).collect()
        }
    })
}

/// Where the pipeline stands.
fn positions(config: &Config, tokio: &tokio::runtime::Runtime) -> Result<BTreeMap<TopicPartition, i64>> {
    let chains = tokio.block_on(audit::chains(&Subject::open(config)?, &ProgressBar::hidden()))?;
    let position = |(of, chain): (&TopicPartition, &audit::facts::ChainFacts)| {
        let next = ChainView::new(&config.name, of, chain).next()?;
        Some((of.clone(), next))
    };
    Ok(chains.iter().filter_map(position).collect())
}

/// What is not in the source cannot be read from it.
fn check(of: &TopicPartition, from: i64, to: i64, known: Option<&KnownOffsets>) -> Result<()> {
    let Some(known) = known else { return Ok(()) };
    if from < known.earliest && from < to {
        return Err(Error::config(format!("offsets {from}..{} of {of} are not in Kafka any more", known.earliest))
            .hint(format!("begin at {of}={} or later", known.earliest)));
    }
    if let Some(latest) = known.latest.filter(|latest| to > *latest) {
        return Err(Error::config(format!("{of} ends at {latest}, before {to}"))
            .hint(format!("end at {of}={latest} or earlier")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Bound> {
        Bound::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), 1_795_480_200_000)
    }

    #[test]
    fn a_bound_is_a_time_or_offsets() {
        assert_eq!(parse(&["earliest"]).unwrap(), Bound::Earliest);
        assert_eq!(parse(&["2026-11-24"]).unwrap(), Bound::Time(1_795_478_400_000));
        let offsets = BTreeMap::from([(TopicPartition::new("a=b/c", 3), 7), (TopicPartition::new("t", 0), 9)]);
        assert_eq!(parse(&["t/0=9", "a=b/c/3=7"]).unwrap(), Bound::Offsets(offsets));
        for wrong in [&["t/0"][..], &["t/0=x"], &["t/0=-1"], &["t=4"], &["t/0=1", "t/0=2"], &["t/0=1", "2h"]] {
            assert!(parse(wrong).unwrap_err().what_to_do().is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_is_there_can_be_read() {
        let of = TopicPartition::new("t", 0);
        let known = KnownOffsets { earliest: 10, latest: Some(20), committed: None, identity: String::new() };
        let check = |from, to| check(&of, from, to, Some(&known)).map_err(|error| error.to_string());
        assert!(check(10, 20).is_ok() && check(12, 12).is_ok());
        assert!(check(9, 15).unwrap_err().contains("9..10"));
        assert!(check(15, 21).unwrap_err().contains("ends at 20"));
    }
}

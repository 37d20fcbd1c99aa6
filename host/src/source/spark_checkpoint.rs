//! The Kafka offsets in the checkpoint directory of a Spark Structured Streaming query, to go on where it ended.
//!
//! `offsets/N` names the offsets up to which batch N reads (exclusive); `commits/N` says that it is done. So the offsets
//! to go on from are those of the newest batch that has both. A batch without a commit was not finished: its rows may
//! stand in Spark's table in part, and readers of `_spark_metadata` do not see them.
//!
//! Reads only; knows nothing of Kafka clients.

use std::collections::{BTreeMap, BTreeSet};

use super::TopicPartition;
use crate::error::{Error, Result};
use crate::storage::{Location, StorageError};

/// The next offset to read, by topic partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// The offsets after the last batch that the query committed.
///
/// # Errors
/// Not a checkpoint, no committed batch, or a format that is not known.
pub async fn read(checkpoint: &Location) -> Result<Offsets> {
    let offsets = batches(checkpoint, "offsets").await?;
    let commits = batches(checkpoint, "commits").await?;
    let url = &checkpoint.url;
    if offsets.is_empty() {
        return Err(Error::config(format!("{url} is no checkpoint of Spark Structured Streaming: it has no offsets"))
            .hint("name the directory that Spark was given as checkpointLocation"));
    }
    let Some(batch) = offsets.intersection(&commits).max() else {
        return Err(Error::config(format!("no batch was committed in the Spark checkpoint {url}"))
            .hint("there is nothing to go on from: write start = \"earliest\", or another start"));
    };
    let path = checkpoint.join(&format!("offsets/{batch}"));
    let bytes = checkpoint.storage.read(&path).await.map_err(|error| cannot_read(url, error))?;
    let wrong =
        |why: String| Error::config(format!("cannot read the offsets of Spark's batch {batch} in {url}: {why}"));
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
    let found = parse(text).map_err(wrong)?;
    tracing::info!(checkpoint = %url, batch, topic_partitions = found.len(), "read the offsets of a Spark checkpoint");
    Ok(found)
}

fn cannot_read(url: &str, error: StorageError) -> Error {
    Error::fatal(format!("cannot read the Spark checkpoint {url}")).because(error)
}

/// The numbers of the batches in a log directory; checksums and temporary files have other names.
async fn batches(checkpoint: &Location, directory: &str) -> Result<BTreeSet<u64>> {
    let listed = checkpoint.storage.list(&checkpoint.join(directory)).await;
    let entries = listed.map_err(|error| cannot_read(&checkpoint.url, error))?;
    let number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten();
    Ok(entries.iter().filter_map(|entry| number(&entry.name)).collect())
}

/// A file of the offset log: the version, a line of metadata, then a line for each source: `-` for one without offsets.
fn parse(text: &str) -> Result<Offsets, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some("v1") => {}
        other => return Err(format!("its version is {:?}, known is v1", other.unwrap_or_default())),
    }
    lines.next().ok_or("it has no line of metadata")?;
    let mut found = Offsets::new();
    for line in lines.filter(|line| !line.trim().is_empty() && line.trim() != "-") {
        // The offsets of other sources are numbers or objects of another shape.
        let Ok(topics) = serde_json::from_str::<BTreeMap<String, BTreeMap<String, i64>>>(line) else { continue };
        for (topic, partitions) in topics {
            for (partition, offset) in partitions {
                let partition =
                    partition.parse().map_err(|_| format!("{topic} has a topic partition {partition:?}"))?;
                if offset < 0 {
                    return Err(format!("the offset of {topic}/{partition} is {offset}"));
                }
                if found.insert(TopicPartition::new(topic.as_str(), partition), offset).is_some() {
                    return Err(format!("two sources of the query read {topic}/{partition}"));
                }
            }
        }
    }
    if found.is_empty() { Err("it has no offsets of Kafka".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"batchWatermarkMs":0,"batchTimestampMs":1767225600000,"conf":{"a":"b"}}"#;

    fn offset(found: &Offsets, topic: &str, partition: i32) -> Option<i64> {
        found.get(&TopicPartition::new(topic, partition)).copied()
    }

    #[test]
    fn offsets_of_all_kafka_sources() {
        let text = format!("v1\n{METADATA}\n{{\"a\":{{\"0\":12,\"10\":0}}}}\n-\n17\n{{\"b\":{{\"1\":5}}}}");
        let found = parse(&text).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(offset(&found, "a", 0), Some(12));
        assert_eq!(offset(&found, "a", 10), Some(0));
        assert_eq!(offset(&found, "b", 1), Some(5));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, why) in [
            (String::new(), "version"),
            (format!("v2\n{METADATA}\n{{}}"), "v2"),
            ("v1".to_owned(), "metadata"),
            (format!("v1\n{METADATA}\n-"), "no offsets of Kafka"),
            (format!("v1\n{METADATA}\n{{\"a\":{{\"0\":-1}}}}"), "-1"),
            (format!("v1\n{METADATA}\n{{\"a\":{{\"x\":1}}}}"), "\"x\""),
            (format!("v1\n{METADATA}\n{{\"a\":{{\"0\":1}}}}\n{{\"a\":{{\"0\":2}}}}"), "two sources"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}

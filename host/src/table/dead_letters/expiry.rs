//! Dead letters that are old enough to go: files of whole days.
//!
//! A host removes only files of topic partitions that it works on. It has recovered their chains, so it knows of no range of
//! theirs that is half published: to a recovery, a file that a record names and that is neither staged nor there is a loss.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::checkpoint::topic_partition_of;
use crate::source::TopicPartition;
use crate::storage::{Location, StorageErrorKind, StorageResult};

/// How the hive partitions of the dead letters begin.
const DAY: &str = "day=";

/// The first hive partition that stays: `day=YYYY-MM-DD`. A day is over when the last letter of it is older than
/// `retention`; none before 1970 is.
pub fn first_kept(retention: Duration, now_ms: i64) -> String {
    let oldest_ms = now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX)).max(0);
    let oldest = jiff::Timestamp::from_millisecond(oldest_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{DAY}{}", jiff::tz::Offset::UTC.to_datetime(oldest).date())
}

/// Whether what lies in this hive partition has expired. Days of four digits sort as they follow each other.
pub(crate) fn is_expired(hive_partition: &str, first_kept: &str) -> bool {
    let is_day = |text: &str| {
        let day = text.strip_prefix(DAY).unwrap_or_default();
        day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    is_day(hive_partition) && is_day(first_kept) && hive_partition < first_kept
}

/// Removes the files of expired days that belong to `own` topic partitions; how many. Directories stay.
///
/// # Errors
/// The storage does not answer, or does not let anything be removed. What was removed before stays removed.
pub async fn remove(dead_letters: &Location, own: &BTreeSet<TopicPartition>, first_kept: &str) -> StorageResult<u64> {
    let storage = dead_letters.storage.as_ref();
    let mut removed = 0;
    for day in entries(dead_letters, &dead_letters.path).await? {
        if !is_expired(&day, first_kept) {
            continue;
        }
        let directory = dead_letters.join(&day);
        for name in entries(dead_letters, &directory).await? {
            if topic_partition_of(&name).is_some_and(|of| own.contains(&of)) {
                removed += u64::from(storage.delete(&format!("{directory}/{name}")).await?);
            }
        }
    }
    Ok(removed)
}

async fn entries(dead_letters: &Location, directory: &str) -> StorageResult<Vec<String>> {
    match dead_letters.storage.list(directory).await {
        Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
        // Nothing was ever set aside.
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{StorageOptions, open};

    const NOW_MS: i64 = 1_795_480_200_000; // 2026-11-24 00:30

    #[test]
    fn a_day_goes_when_all_of_it_is_too_old() {
        let kept = |days: u64| first_kept(Duration::from_secs(days * 86_400), NOW_MS);
        assert_eq!((kept(1), kept(30)), ("day=2026-11-23".to_owned(), "day=2026-10-25".to_owned()));
        assert_eq!(first_kept(Duration::MAX, NOW_MS), "day=1970-01-01");
        let kept = kept(1);
        for (partition, expired) in [
            ("day=2026-11-22", true),
            ("day=2025-12-31", true),
            ("day=2026-11-23", false),
            ("day=2026-11-24", false),
            ("day=__HIVE_DEFAULT_PARTITION__", false),
            ("day=1", false),
            ("_staging", false),
        ] {
            assert_eq!(is_expired(partition, &kept), expired, "{partition}");
        }
    }

    #[tokio::test]
    async fn only_own_files_of_old_days_go() {
        let directory = tempfile::tempdir().unwrap();
        let location = open(&directory.path().display().to_string(), &StorageOptions::default()).unwrap();
        let own = BTreeSet::from([TopicPartition::new("t-1", 0)]);
        assert_eq!(remove(&location, &own, "day=2026-11-23").await.unwrap(), 0, "there is nothing yet");
        let files = [
            ("day=2026-11-20/part-t-1-0-5-0.parquet", false),
            ("day=2026-11-20/part-t-1-0-5-0-replay7.parquet", false),
            ("day=2026-11-20/part-t-1-0-5-1-pass2.parquet", false),
            ("day=2026-11-20/part-t-1-1-5-0.parquet", true),
            ("day=2026-11-20/part-t-10-5-0.parquet", true),
            ("day=2026-11-20/notes.txt", true),
            ("day=2026-11-23/part-t-1-0-9-0.parquet", true),
        ];
        for (file, _) in files {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        assert_eq!(remove(&location, &own, "day=2026-11-23").await.unwrap(), 3);
        for (file, stays) in files {
            assert_eq!(directory.path().join(file).exists(), stays, "{file}");
        }
    }
}

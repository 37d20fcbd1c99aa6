//! `table ls` and `table du`: hive partitions, files, rows, bytes.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};
use indicatif::ProgressBar;
use serde::Serialize;

use super::scan::{DataFile, HivePartition, scan};
use super::{FILES_SIDE_BY_SIDE, Problem, cell, part};
use crate::error::Result;
use crate::storage::Location;

/// What `table ls` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only what lies below this path of the table: `year=2026/month=11`.
    pub below: Option<String>,
    /// Each file, too.
    pub files: bool,
    /// At most so many hive partitions, the last ones in the order of their paths (the newest, where they are times).
    /// `None`: all. Only footers of those shown are read.
    pub limit: Option<usize>,
}

/// Hive partitions of a table.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Listing {
    /// The table's location as the user wrote it.
    pub location: String,
    /// By path.
    pub hive_partitions: Vec<HivePartitionSummary>,
    /// Hive partitions that the limit left out.
    pub left_out: usize,
    /// Of the whole table (below the path asked for).
    pub total: Totals,
    /// Files that are no readable Parquet.
    pub problems: Vec<Problem>,
}

/// One hive partition.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HivePartitionSummary {
    /// `year=2026/month=11`; empty for files that lie in no hive partition.
    pub path: String,
    /// The values in its path; null where Hive's default partition stands.
    pub values: BTreeMap<String, Option<String>>,
    /// How many files.
    pub file_count: usize,
    /// Rows, as their footers tell.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Each file, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSummary>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FileSummary {
    /// Its path below the table's directory.
    pub path: String,
    /// Rows; `None` when it is not readable.
    pub rows: Option<u64>,
    /// Its length.
    pub bytes: u64,
    /// When it was written, as RFC 3339.
    pub modified: String,
}

/// Sums.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TableTotals)]
pub struct Totals {
    /// Hive partitions with files.
    pub hive_partitions: usize,
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
    /// Rows; `None` when not all footers were read.
    pub rows: Option<u64>,
}

impl Totals {
    fn of(partitions: &[HivePartition]) -> Self {
        Self {
            hive_partitions: partitions.len(),
            files: partitions.iter().map(|partition| partition.files.len()).sum(),
            bytes: partitions.iter().map(HivePartition::bytes).sum(),
            rows: None,
        }
    }
}

/// Lists the hive partitions of a table, with rows from the files' footers.
///
/// # Errors
/// The storage does not answer.
pub async fn ls(location: &Location, options: &ListOptions, progress: &ProgressBar) -> Result<Listing> {
    let mut partitions = scan(location, options.below.as_deref(), |_| true, progress).await?;
    let mut total = Totals::of(&partitions);
    let left_out = partitions.len().saturating_sub(options.limit.unwrap_or(usize::MAX));
    partitions.drain(..left_out);

    let mut problems = Vec::new();
    let mut shown: Vec<HivePartitionSummary> = partitions.iter().map(summary).collect();
    let all: Vec<(usize, &DataFile)> =
        partitions.iter().enumerate().flat_map(|(i, partition)| partition.files.iter().map(move |f| (i, f))).collect();
    progress.set_message("reading footers");
    progress.set_length(all.len() as u64);
    let reads = all.iter().map(|(i, file)| async move { (*i, *file, part::footer(&*location.storage, file).await) });
    let mut read = stream::iter(reads).buffered(FILES_SIDE_BY_SIDE);
    while let Some((i, file, footer)) = read.next().await {
        progress.inc(1);
        let known = problems.len();
        let footer = part::readable(file, footer, &mut problems)?;
        if footer.is_none() && problems.len() == known {
            // Gone since it was listed.
            shown[i].file_count -= 1;
            shown[i].bytes -= file.bytes;
            total.files -= 1;
            total.bytes -= file.bytes;
            continue;
        }
        let rows = footer.map(|footer| u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0));
        shown[i].rows += rows.unwrap_or(0);
        if options.files {
            let modified = cell::time(file.modified_ms.saturating_mul(1_000));
            shown[i].files.push(FileSummary { path: file.path.clone(), rows, bytes: file.bytes, modified });
        }
    }
    total.rows = (left_out == 0 && problems.is_empty()).then(|| shown.iter().map(|partition| partition.rows).sum());
    Ok(Listing { location: location.url.clone(), hive_partitions: shown, left_out, total, problems })
}

fn summary(partition: &HivePartition) -> HivePartitionSummary {
    HivePartitionSummary {
        path: partition.path.clone(),
        values: partition.values().into_iter().collect(),
        file_count: partition.files.len(),
        rows: 0,
        bytes: partition.bytes(),
        files: Vec::new(),
    }
}

/// What `table du` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageOptions {
    /// Only what lies below this path of the table: `year=2026/month=11`.
    pub below: Option<String>,
    /// At most so many levels of directories, counted from the table's. `None`: all.
    pub depth: Option<usize>,
}

/// Bytes of a table by directory.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// The table's location as the user wrote it.
    pub location: String,
    /// Each directory before those below it.
    pub directories: Vec<UsageEntry>,
    /// Of the whole table (below the path asked for). Rows are not counted.
    pub total: Totals,
}

/// A directory and all that lies below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UsageEntry {
    /// `year=2026`
    pub path: String,
    /// 1 for a directory of the table's own.
    pub depth: usize,
    /// Hive partitions with files.
    pub hive_partitions: usize,
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Sums files and bytes per directory. Opens no file.
///
/// # Errors
/// The storage does not answer.
pub async fn du(location: &Location, options: &UsageOptions, progress: &ProgressBar) -> Result<Usage> {
    let partitions = scan(location, options.below.as_deref(), |_| true, progress).await?;
    let total = Totals::of(&partitions);
    let directories = sums(&partitions, options.depth.unwrap_or(usize::MAX));
    Ok(Usage { location: location.url.clone(), directories, total })
}

fn sums(partitions: &[HivePartition], depth: usize) -> Vec<UsageEntry> {
    let mut sums: BTreeMap<Vec<&str>, UsageEntry> = BTreeMap::new();
    for partition in partitions.iter().filter(|partition| !partition.path.is_empty()) {
        let parts: Vec<&str> = partition.path.split('/').collect();
        for level in 1..=parts.len().min(depth) {
            let entry = sums.entry(parts[..level].to_vec()).or_default();
            entry.path = parts[..level].join("/");
            entry.depth = level;
            entry.hive_partitions += 1;
            entry.files += partition.files.len();
            entry.bytes += partition.bytes();
        }
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(path: &str, lengths: &[u64]) -> HivePartition {
        let file = |(i, bytes): (usize, &u64)| DataFile {
            absolute: format!("/t/{path}/{i}.parquet"),
            path: format!("{path}/{i}.parquet"),
            bytes: *bytes,
            modified_ms: 0,
        };
        HivePartition { path: path.into(), files: lengths.iter().enumerate().map(file).collect() }
    }

    #[test]
    fn each_level_sums_what_lies_below_it() {
        let partitions = [
            partition("year=2025/month=12", &[5]),
            partition("year=2026/month=01", &[1, 2]),
            partition("year=2026/month=02", &[4]),
        ];
        let lines = |depth| {
            let entries = sums(&partitions, depth);
            entries
                .iter()
                .map(|e| format!("{} {} {} {}", e.path, e.hive_partitions, e.files, e.bytes))
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(1), ["year=2025 1 1 5", "year=2026 2 3 7"]);
        assert_eq!(
            lines(9),
            [
                "year=2025 1 1 5",
                "year=2025/month=12 1 1 5",
                "year=2026 2 3 7",
                "year=2026/month=01 1 2 3",
                "year=2026/month=02 1 1 4"
            ]
        );
        assert_eq!(sums(&[partition("", &[3])], 9), []);
    }

    proptest! {
        #[test]
        fn the_first_level_sums_to_the_whole(paths in prop::collection::btree_set("[ab]=[0-9](/c=[0-9]){0,2}", 0..20)) {
            let partitions: Vec<_> = paths.iter().map(|path| partition(path, &[1, path.len() as u64])).collect();
            let first: u64 = sums(&partitions, 1).iter().map(|entry| entry.bytes).sum();
            prop_assert_eq!(first, Totals::of(&partitions).bytes);
        }
    }
}

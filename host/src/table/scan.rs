//! Which data files a table has: a walk over its directories.

use futures::stream::{FuturesUnordered, StreamExt};
use indicatif::ProgressBar;

use super::unreadable;
use crate::error::{Error, Result};
use crate::sink::hive_path::DEFAULT_PARTITION;
use crate::storage::{Entry, Location};

/// Directories that are listed side by side.
const DIRECTORIES_SIDE_BY_SIDE: usize = 16;

/// The data files of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HivePartition {
    /// Its path below the table's directory: `year=2026/month=11`; empty for the table's directory itself.
    pub(crate) path: String,
    /// By name.
    pub(crate) files: Vec<DataFile>,
}

/// One `.parquet` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// The absolute path on the storage.
    pub(crate) absolute: String,
    /// The path below the table's directory.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) modified_ms: i64,
}

impl HivePartition {
    /// Names and values of its path, in order; `None` is null.
    pub(crate) fn values(&self) -> Vec<(String, Option<String>)> {
        values(&self.path)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Finds all data files below `below` (all of the table, when it is `None`), by hive partition. `enter` says of a
/// directory, given by its path below the table's, whether it is of interest.
pub(crate) async fn scan(
    location: &Location,
    below: Option<&str>,
    enter: impl Fn(&str) -> bool,
    progress: &ProgressBar,
) -> Result<Vec<HivePartition>> {
    progress.set_message("listing");
    let mut found = Vec::new();
    let mut waiting = vec![start(below)?];
    let mut asked = FuturesUnordered::new();
    loop {
        while asked.len() < DIRECTORIES_SIDE_BY_SIDE
            && let Some(directory) = waiting.pop()
        {
            asked.push(list(location, directory));
        }
        let Some(answer) = asked.next().await else { break };
        let (directory, entries) = answer?;
        let mut files = Vec::new();
        for entry in entries.into_iter().filter(|entry| !entry.name.starts_with(['_', '.'])) {
            let path = if directory.is_empty() { entry.name.clone() } else { format!("{directory}/{}", entry.name) };
            if entry.is_directory {
                if enter(&path) {
                    waiting.push(path);
                }
            } else if entry.name.ends_with(".parquet") {
                let absolute = location.join(&path);
                files.push(DataFile { absolute, path, bytes: entry.length, modified_ms: entry.modified_ms });
            }
        }
        if !files.is_empty() {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            found.push(HivePartition { path: directory, files });
        }
    }
    found.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
    Ok(found)
}

async fn list(location: &Location, directory: String) -> Result<(String, Vec<Entry>)> {
    let path = if directory.is_empty() { location.path.clone() } else { location.join(&directory) };
    match location.storage.list(&path).await {
        Ok(entries) => Ok((directory, entries)),
        Err(error) => Err(unreadable(&format!("{} of the table {}", path, location.url), error)),
    }
}

/// The directory to start at: a path below the table's that stays below it.
fn start(below: Option<&str>) -> Result<String> {
    let parts: Vec<&str> = below.unwrap_or_default().split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err(Error::config(format!("{:?} is no hive partition", below.unwrap_or_default()))
            .hint("write it as it stands in the table: year=2026/month=11"));
    }
    Ok(parts.join("/"))
}

/// Names and values of a path: `year=2026/level=a%2Fb` gives `2026` and `a/b`. Parts without `=` say nothing.
pub(crate) fn values(path: &str) -> Vec<(String, Option<String>)> {
    let pairs = path.split('/').filter_map(|part| part.split_once('='));
    pairs.map(|(name, value)| (unescape(name), (value != DEFAULT_PARTITION).then(|| unescape(value)))).collect()
}

/// Undoes Hive's escaping: `%2F` is `/`. What is no escape stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = match after {
            [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = code {
            bytes.push(high * 16 + low);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_from_a_path() {
        let read = |path| values(path).into_iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>();
        assert_eq!(read("year=2026/hour=07"), ["year=Some(\"2026\")", "hour=Some(\"07\")"]);
        assert_eq!(read("level=__HIVE_DEFAULT_PARTITION__"), ["level=None"]);
        assert_eq!(read("city=S%C3%A3o%2FPaulo"), ["city=Some(\"São/Paulo\")"]);
        assert_eq!(read("a=100%/b=%zz/c=%4"), ["a=Some(\"100%\")", "b=Some(\"%zz\")", "c=Some(\"%4\")"]);
        assert_eq!(read("a=b=c"), ["a=Some(\"b=c\")"]);
        assert!(read("").is_empty() && read("archive/old").is_empty());
    }

    #[test]
    fn a_scan_does_not_leave_the_table() {
        assert_eq!(start(Some("/year=2026/")).unwrap(), "year=2026");
        assert_eq!(start(None).unwrap(), "");
        assert!(start(Some("../other")).is_err());
    }

    proptest! {
        #[test]
        fn any_name_is_read(text in any::<String>()) {
            let _ = values(&text);
        }

        #[test]
        fn what_the_sink_escapes_is_read_back(value in any::<String>()) {
            let mut path = "column=".to_owned();
            crate::sink::hive_path::escape(&value, &mut path);
            prop_assert_eq!(values(&path), [("column".to_owned(), Some(value))]);
        }
    }
}

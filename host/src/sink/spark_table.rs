//! A table that a Spark streaming job wrote is not ours to add to.

use crate::error::{Error, Result};
use crate::storage::Location;

/// What Spark's file sink leaves in a table that it owns.
const SPARK_METADATA: &str = "_spark_metadata";

/// Refuses a table that belongs to a Spark streaming job: readers by Spark would see only what that job wrote.
pub async fn refuse(table: &Location) -> Result<()> {
    let path = table.join(SPARK_METADATA);
    let found = table.storage.stat(&path).await;
    let found = found.map_err(|error| {
        Error::transient(format!("cannot look at the table {}", table.url))
            .because(error)
            .hint("is the address right, does the server answer, and may the user that runs wasmill read there?")
    })?;
    if found.is_none() {
        return Ok(());
    }
    let what = format!("{} is the table of a Spark streaming job: it holds {SPARK_METADATA}", table.url);
    let hint = format!(
        "Spark reads only the files that are listed there, so it would not see ours. Either write to a new directory \
         (table.location), or end the Spark job for good and move {path} away (files of its unfinished batches, which are \
         not listed there, become visible then)"
    );
    Err(Error::config(what).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{self, StorageOptions};

    #[tokio::test]
    async fn a_spark_table_is_refused_with_two_ways_out() {
        let directory = tempfile::tempdir().unwrap();
        let table = storage::open(directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap();
        refuse(&table).await.unwrap();
        std::fs::create_dir(directory.path().join(SPARK_METADATA)).unwrap();
        let error = refuse(&table).await.unwrap_err();
        let hint = error.what_to_do().unwrap();
        assert!(hint.contains("a new directory") && hint.contains("move "), "{hint}");
    }
}

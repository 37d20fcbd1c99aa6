//! The reading side of a table: what `wasmill table` and `wasmill dead-letters` show.
//!
//! It works as any other reader of the table does: it lists plain directories, skips names that start with `_` or `.`,
//! and reads Parquet files. It never looks at the checkpoint chain, so what it shows is what Spark or DuckDB would see.
//! Everything it returns is plain data that serialises to JSON; [`print`] makes text of it. Nothing here writes.
//!
//! A file that is not there any more when it is read (a job downstream has moved it) is left out; one that is not
//! readable as Parquet is named among the problems, and the rest is shown.

pub(crate) mod cell;
pub mod dead_letters;
mod head;
mod listing;
pub(crate) mod part;
pub mod print;
pub(crate) mod scan;
mod schema;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(crate) use self::cell::cell;
pub use self::head::{Head, HeadOptions, head};
pub use self::listing::{
    FileSummary, HivePartitionSummary, ListOptions, Listing, Totals, Usage, UsageEntry, UsageOptions, du, ls,
};
pub use self::schema::{Column, Difference, SchemaOptions, SchemaReport, schema};
use crate::error::Error;
use crate::storage::StorageError;

/// Files that are read side by side.
const FILES_SIDE_BY_SIDE: usize = 16;

/// A file that lies in the table and is no readable Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = UnreadableFile)]
pub struct Problem {
    /// Its path below the table's directory.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

fn unreadable(path: &str, error: StorageError) -> Error {
    Error::fatal(format!("cannot read {path}")).because(error)
}

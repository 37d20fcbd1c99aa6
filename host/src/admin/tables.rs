//! The table as any reader sees it: what `wasmill table` shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Office;
use super::answer::Refusal;
use super::caller::Caller;
use super::tokens::Role;
use crate::error::Result;
use crate::storage::{self, Location};
use crate::table::{
    self, HeadOptions, ListOptions, Listing, Problem, SchemaOptions, SchemaReport, Usage, UsageOptions,
};

/// Footers are read of as many hive partitions at most, or of as many files.
const MOST_FOOTERS: usize = 1_000;

/// As many rows are answered at most.
const MOST_ROWS: usize = 1_000;

/// The longest path below the table's directory, and the longest name in it.
const PATH_BYTES: usize = 2_000;
const NAME_BYTES: usize = 255;

/// Which part of the table.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Only what lies below this path of the table: `year=2026/month=11`.
    below: Option<String>,
    /// Of hive partitions: the last ones in the order of their paths, by default 100. Of files: the newest, by default 100.
    /// Of rows: the first, by default 20. Of directories: levels, by default all.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Each file, too, where hive partitions are asked for.
    files: Option<bool>,
}

/// The first rows.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Rows {
    /// Columns of the files, then those of the paths.
    columns: Vec<String>,
    /// One value for each column, as JSON has it.
    rows: Vec<Vec<Value>>,
    /// Files that are no readable Parquet.
    problems: Vec<Problem>,
}

impl Part {
    /// The part, and its limit.
    fn within(self, default: usize, most: usize) -> Result<(Option<String>, usize), Refusal> {
        let limit = self.limit.unwrap_or(default);
        if limit == 0 || limit > most {
            return Err(Refusal::Wrong(format!("the limit is from 1 to {most}")));
        }
        Ok((below(self.below)?, limit))
    }
}

/// What may stand in a table's path and does not lead out of it.
fn below(path: Option<String>) -> std::result::Result<Option<String>, Refusal> {
    let Some(path) = path else { return Ok(None) };
    let is_name = |name: &str| {
        let is_pair = name.split_once('=').is_some_and(|(column, _)| !column.is_empty());
        is_pair && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
    };
    if path.len() > PATH_BYTES || !path.split('/').filter(|name| !name.is_empty()).all(is_name) {
        return Err(Refusal::Wrong("below names no hive partition: year=2026/month=11".to_owned()));
    }
    Ok(Some(path))
}

fn open(office: &Office) -> Result<Location, crate::error::Error> {
    storage::open(&office.config.table.location, &office.config.storage)
}

type Asked = std::result::Result<Query<Part>, QueryRejection>;
type Answer<T> = std::result::Result<Json<T>, Refusal>;

/// Hive partitions with their files, rows and bytes. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/table/hive-partitions", params(Part), security(("token" = [])),
    responses((status = OK, body = Listing))
)]
pub(super) async fn hive_partitions(State(office): State<Arc<Office>>, caller: Caller, part: Asked) -> Answer<Listing> {
    caller.must(Role::Viewer)?;
    let Query(part) = part?;
    let files = part.files.unwrap_or(false);
    let (below, limit) = part.within(100, MOST_FOOTERS)?;
    let options = ListOptions { below, files, limit: Some(limit) };
    let found =
        office.look(move |office| office.tokio.block_on(table::ls(&open(office)?, &options, &ProgressBar::hidden())));
    Ok(Json(found.await?))
}

/// Bytes and files by directory; no file is opened. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/table/usage", params(Part), security(("token" = [])),
    responses((status = OK, body = Usage))
)]
pub(super) async fn usage(State(office): State<Arc<Office>>, caller: Caller, part: Asked) -> Answer<Usage> {
    caller.must(Role::Viewer)?;
    let (below, depth) = part?.0.within(MOST_FOOTERS, MOST_FOOTERS)?;
    let options = UsageOptions { below, depth: Some(depth) };
    let found =
        office.look(move |office| office.tokio.block_on(table::du(&open(office)?, &options, &ProgressBar::hidden())));
    Ok(Json(found.await?))
}

/// The columns, and where files disagree about them. Needs the role viewer.
#[utoipa::path(
    get, path = "/v1/table/schema", params(Part), security(("token" = [])),
    responses((status = OK, body = SchemaReport))
)]
pub(super) async fn columns(State(office): State<Arc<Office>>, caller: Caller, part: Asked) -> Answer<SchemaReport> {
    caller.must(Role::Viewer)?;
    let (below, limit) = part?.0.within(100, MOST_FOOTERS)?;
    let options = SchemaOptions { below, limit: Some(limit), expected: None };
    let found = office
        .look(move |office| office.tokio.block_on(table::schema(&open(office)?, &options, &ProgressBar::hidden())));
    Ok(Json(found.await?))
}

/// The first rows. Needs the role payloads.
#[utoipa::path(
    get, path = "/v1/table/rows", params(Part), security(("token" = [])),
    responses((status = OK, body = Rows))
)]
pub(super) async fn rows(State(office): State<Arc<Office>>, caller: Caller, part: Asked) -> Answer<Rows> {
    caller.must(Role::Payloads)?;
    let (below, rows) = part?.0.within(20, MOST_ROWS)?;
    let options = HeadOptions { rows, below, ..HeadOptions::default() };
    let found =
        office.look(move |office| office.tokio.block_on(table::head(&open(office)?, &options, &ProgressBar::hidden())));
    let table::Head { columns, rows, problems } = found.await?;
    Ok(Json(Rows { columns, rows, problems }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_hive_partitions_are_looked_at() {
        for fine in ["", "year=2026", "year=2026/month=11", "/level=a%2Fb/", "day=__HIVE_DEFAULT_PARTITION__"] {
            assert!(below(Some(fine.to_owned())).is_ok(), "{fine}");
        }
        let long = format!("a={}", "x".repeat(NAME_BYTES));
        for wrong in ["..", "year=2026/../..", "etc", "a=\0", "=1", &long, &"a=1/".repeat(PATH_BYTES)] {
            assert!(below(Some(wrong.to_owned())).is_err(), "{wrong}");
        }
    }
}

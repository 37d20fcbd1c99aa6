//! `table schema`: the columns of a table, and where its files disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::stream::{self, StreamExt};
use indicatif::ProgressBar;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::printer::print_schema;
use serde::Serialize;

use super::scan::{DataFile, scan, values};
use super::{FILES_SIDE_BY_SIDE, Problem, part};
use crate::error::Result;
use crate::storage::Location;

/// What `table schema` looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchemaOptions {
    /// Only what lies below this path of the table: `year=2026/month=11`.
    pub below: Option<String>,
    /// At most so many files, the newest ones. `None`: all.
    pub limit: Option<usize>,
    /// The columns that files should have, when something knows: differences are told.
    pub expected: Option<SchemaRef>,
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SchemaReport {
    /// The table's location as the user wrote it.
    pub location: String,
    /// Files whose footers were read.
    pub files_read: usize,
    /// Files of the table.
    pub files: usize,
    /// The columns of the newest file, then those that stand in its path.
    pub columns: Vec<Column>,
    /// Where other files, or what was expected, differ from the newest file.
    pub differences: Vec<Difference>,
    /// Files that are no readable Parquet.
    pub problems: Vec<Problem>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TableColumn)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in the words of a pipeline file where it has them.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
    /// Whether its value stands in the path and not in the file.
    pub hive_partition: bool,
    /// Its declaration in the file, in Parquet's own notation; empty for one that stands in the path.
    pub parquet: String,
}

/// Something that differs from the newest file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ColumnDifference)]
pub struct Difference {
    /// What: `column "zip" is long, not string`.
    pub what: String,
    /// In how many files. 0: it is the expected schema that differs.
    pub files: usize,
    /// One of them.
    pub example: Option<String>,
}

/// Reads the schema of a table from the footers of its files.
///
/// # Errors
/// The storage does not answer.
pub async fn schema(location: &Location, options: &SchemaOptions, progress: &ProgressBar) -> Result<SchemaReport> {
    let partitions = scan(location, options.below.as_deref(), |_| true, progress).await?;
    let mut files: Vec<DataFile> = partitions.into_iter().flat_map(|partition| partition.files).collect();
    let count = files.len();
    // The newest first; of the same moment, the one with the largest path.
    files.sort_by(|a, b| (b.modified_ms, &b.path).cmp(&(a.modified_ms, &a.path)));
    files.truncate(options.limit.unwrap_or(usize::MAX));

    progress.set_message("reading footers");
    progress.set_length(files.len() as u64);
    let mut problems = Vec::new();
    let mut newest: Option<Vec<Column>> = None;
    let mut differences: BTreeMap<String, Difference> = BTreeMap::new();
    let mut files_read = 0;
    let reads = files.iter().map(|file| async move { (file, part::footer(&*location.storage, file).await) });
    let mut read = stream::iter(reads).buffered(FILES_SIDE_BY_SIDE);
    while let Some((file, footer)) = read.next().await {
        progress.inc(1);
        let columns = footer.and_then(|footer| Ok(columns(&footer, &file.path)?));
        let Some(columns) = part::readable(file, columns, &mut problems)? else { continue };
        files_read += 1;
        match &newest {
            None => newest = Some(columns),
            Some(newest) => {
                for what in compare(&columns, newest) {
                    let path = || Some(file.path.clone());
                    let new = || Difference { what: what.clone(), files: 0, example: path() };
                    differences.entry(what.clone()).or_insert_with(new).files += 1;
                }
            }
        }
    }
    let columns = newest.unwrap_or_default();
    let mut differences: Vec<Difference> = differences.into_values().collect();
    if let Some(expected) = options.expected.as_deref().filter(|_| files_read > 0) {
        let in_file: Vec<Column> = columns.iter().filter(|column| !column.hive_partition).cloned().collect();
        let whats = compare(&fields(expected), &in_file).into_iter();
        differences.extend(whats.map(|what| Difference { what, files: 0, example: None }));
    }
    Ok(SchemaReport { location: location.url.clone(), files_read, files: count, columns, differences, problems })
}

fn columns(footer: &Arc<ParquetMetaData>, path: &str) -> parquet::errors::Result<Vec<Column>> {
    let file = footer.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    let mut columns = fields(&schema);
    for (column, declared) in columns.iter_mut().zip(file.schema_descr().root_schema().get_fields()) {
        let mut text = Vec::new();
        print_schema(&mut text, declared);
        let text = String::from_utf8_lossy(&text);
        column.parquet = text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches(';').to_owned();
    }
    for (name, _) in values(path) {
        if columns.iter().all(|column| column.name != name) {
            let kind = "string".to_owned();
            columns.push(Column { name, kind, nullable: true, hive_partition: true, parquet: String::new() });
        }
    }
    Ok(columns)
}

fn fields(schema: &Schema) -> Vec<Column> {
    let column = |field: &Arc<Field>| Column {
        name: field.name().clone(),
        kind: type_name(field.data_type()),
        nullable: field.is_nullable(),
        hive_partition: false,
        parquet: String::new(),
    };
    schema.fields().iter().map(column).collect()
}

/// A type in the words of a pipeline file, or in Arrow's where those have none.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => "timestamp".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) | DataType::LargeList(item) => format!("list<{}>", type_name(item.data_type())),
        other => other.to_string(),
    }
}

/// How `columns` differ from `newest`, each difference in the same words for every file that has it.
fn compare(columns: &[Column], newest: &[Column]) -> Vec<String> {
    let mut differences = Vec::new();
    for column in columns {
        let name = &column.name;
        let Some(other) = newest.iter().find(|other| other.name == *name) else {
            differences.push(format!("column {name:?} ({}) is not in the newest file", column.kind));
            continue;
        };
        if column.hive_partition != other.hive_partition {
            let place = |in_path| if in_path { "in the path" } else { "in the file" };
            let (here, there) = (place(column.hive_partition), place(other.hive_partition));
            differences.push(format!("column {name:?} is {here}, not {there}"));
        } else if column.kind != other.kind {
            differences.push(format!("column {name:?} is {}, not {}", column.kind, other.kind));
        } else if column.nullable != other.nullable {
            let may = if column.nullable { "may be null" } else { "is never null" };
            differences.push(format!("column {name:?} {may}, unlike in the newest file"));
        }
    }
    for other in newest.iter().filter(|other| columns.iter().all(|column| column.name != other.name)) {
        differences.push(format!("column {:?} ({}) is missing", other.name, other.kind));
    }
    let order = |of: &[Column], in_other: &[Column]| -> Vec<String> {
        let shared = of.iter().filter(|a| in_other.iter().any(|b| a.name == b.name));
        shared.map(|column| column.name.clone()).collect()
    };
    if order(columns, newest) != order(newest, columns) {
        differences.push("the columns stand in another order".into());
    }
    differences
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(name: &str, kind: &str, nullable: bool, hive_partition: bool) -> Column {
        Column { name: name.into(), kind: kind.into(), nullable, hive_partition, parquet: String::new() }
    }

    #[test]
    fn differences_are_told_one_by_one() {
        let newest = [
            column("a", "long", false, false),
            column("b", "string", true, false),
            column("day", "string", true, true),
        ];
        let cases: [(&[Column], &[&str]); 4] = [
            (&newest, &[]),
            (
                &[column("a", "int", false, false), column("b", "string", false, false)],
                &[
                    "column \"a\" is int, not long",
                    "column \"b\" is never null, unlike in the newest file",
                    "column \"day\" (string) is missing",
                ],
            ),
            (
                &[newest[1].clone(), newest[0].clone(), newest[2].clone(), column("c", "double", true, false)],
                &["column \"c\" (double) is not in the newest file", "the columns stand in another order"],
            ),
            (
                &[newest[0].clone(), newest[1].clone(), column("day", "string", true, false)],
                &["column \"day\" is in the file, not in the path"],
            ),
        ];
        for (columns, wanted) in cases {
            assert_eq!(compare(columns, &newest), wanted);
        }
    }

    #[test]
    fn types_are_named_as_in_a_pipeline_file() {
        let item = Arc::new(Field::new("element", DataType::Int32, true));
        let cases = [
            (DataType::Utf8, "string"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp"),
            (DataType::Decimal128(9, 2), "decimal(9,2)"),
            (DataType::List(item), "list<int>"),
            (DataType::Date32, "Date32"),
        ];
        for (kind, name) in cases {
            assert_eq!(type_name(&kind), name);
        }
    }

    proptest! {
        #[test]
        fn a_schema_does_not_differ_from_itself(names in prop::collection::btree_set("[a-e]", 0..5)) {
            let columns: Vec<Column> = names.iter().map(|name| column(name, "long", true, false)).collect();
            prop_assert!(compare(&columns, &columns).is_empty());
            if let Some((_, rest)) = columns.split_first() {
                prop_assert_eq!(compare(rest, &columns).len(), 1);
                prop_assert_eq!(compare(&columns, rest).len(), 1);
            }
        }
    }
}

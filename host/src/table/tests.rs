//! Tables of real files on a local disk, read back.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use indicatif::ProgressBar;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::dead_letters::{Content, ListFilter, Replayed};
use super::*;
use crate::sink::dead_letter::{DeadLetter, Stage, to_batch};
use crate::storage::{Location, StorageOptions, open};

fn quiet() -> ProgressBar {
    ProgressBar::hidden()
}

struct Table {
    directory: TempDir,
}

impl Table {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn location(&self) -> Location {
        open(self.directory.path().to_str().unwrap(), &StorageOptions::default()).unwrap()
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn put(&self, path: &str, batch: &RecordBatch) {
        write(&self.path(path), batch, 1_000_000);
    }

    fn text(&self, print: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap().replace(self.directory.path().to_str().unwrap(), "TABLE")
    }
}

fn write(path: &Path, batch: &RecordBatch, row_group: usize) {
    let options = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(options)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn plays(ids: &[i64]) -> RecordBatch {
    let songs: StringArray = ids.iter().map(|id| (id % 3 != 0).then(|| format!("song {id}"))).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("song", Arc::new(songs) as ArrayRef, true)]).unwrap()
}

/// Two hive partitions, and what readers must not see.
fn two_hours() -> Table {
    let table = Table::new();
    table.put("day=24/hour=00/part-a.parquet", &plays(&[1, 2, 3]));
    table.put("day=24/hour=00/part-b.parquet", &plays(&[4]));
    table.put("day=24/hour=01/part-c.parquet", &plays(&[5, 6]));
    table.put("_staging/day=24/hour=02/part-d.parquet", &plays(&[7]));
    table.put("day=24/hour=00/.part-e.parquet", &plays(&[8]));
    std::fs::write(table.path("day=24/hour=00/notes.txt"), "9").unwrap();
    table
}

#[tokio::test]
async fn ls_shows_what_readers_see() {
    let table = two_hours();
    let listing = ls(&table.location(), &ListOptions::default(), &quiet()).await.unwrap();
    let lines: Vec<_> = listing.hive_partitions.iter().map(|it| (&*it.path, it.file_count, it.rows)).collect();
    assert_eq!(lines, [("day=24/hour=00", 2, 4), ("day=24/hour=01", 1, 2)]);
    assert_eq!((listing.total.files, listing.total.rows), (3, Some(6)));
    assert_eq!(listing.hive_partitions[1].values["hour"].as_deref(), Some("01"));
    let bytes: u64 = listing.hive_partitions.iter().map(|partition| partition.bytes).sum();
    assert_eq!(listing.total.bytes, bytes);
    let text = table.text(|out| print::print_listing(&listing, out));
    assert!(text.contains("TABLE: 2 hive partitions, 3 files, 6 rows, "), "{text}");
}

#[tokio::test]
async fn ls_keeps_to_its_limit_and_path() {
    let table = two_hours();
    let options = ListOptions { files: true, limit: Some(1), ..ListOptions::default() };
    let listing = ls(&table.location(), &options, &quiet()).await.unwrap();
    assert_eq!((listing.left_out, listing.total.files, listing.total.rows), (1, 3, None));
    assert_eq!(listing.hive_partitions[0].files[0].path, "day=24/hour=01/part-c.parquet");
    let below = ListOptions { below: Some("day=24/hour=00/".into()), ..ListOptions::default() };
    let listing = ls(&table.location(), &below, &quiet()).await.unwrap();
    assert_eq!(listing.hive_partitions[0].path, "day=24/hour=00");
    assert_eq!(listing.total.files, 2);
}

#[tokio::test]
async fn damaged_files_are_named_and_the_rest_is_shown() {
    let table = two_hours();
    std::fs::write(table.path("day=24/hour=01/empty.parquet"), "").unwrap();
    std::fs::write(table.path("day=24/hour=01/text.parquet"), "PAR1 this is not Parquet, whatever it says PAR1")
        .unwrap();
    let whole = std::fs::read(table.path("day=24/hour=01/part-c.parquet")).unwrap();
    std::fs::write(table.path("day=24/hour=01/tail.parquet"), &whole[whole.len() / 2..]).unwrap();
    let location = table.location();
    let listing = ls(&location, &ListOptions::default(), &quiet()).await.unwrap();
    let damaged: Vec<_> = listing.problems.iter().map(|problem| &*problem.path).collect();
    assert!(damaged.contains(&"day=24/hour=01/empty.parquet") && damaged.contains(&"day=24/hour=01/text.parquet"));
    assert_eq!(listing.total.rows, None);
    let head = head(&location, &HeadOptions { rows: 100, ..HeadOptions::default() }, &quiet()).await.unwrap();
    assert_eq!(head.rows.len(), 6);
    assert!(table.text(|out| print::print_head(&head, out)).contains("not readable: day=24/hour=01/empty.parquet"));
}

#[tokio::test]
async fn no_cut_or_changed_file_panics() {
    let table = Table::new();
    table.put("part.parquet", &plays(&(0..200).collect::<Vec<_>>()));
    let (location, path) = (table.location(), table.path("part.parquet"));
    let whole = std::fs::read(&path).unwrap();
    for i in 0..whole.len() {
        let mut bytes = whole.clone();
        if i % 2 == 0 {
            bytes.truncate(i)
        } else {
            bytes[i] ^= 0x55
        }
        std::fs::write(&path, &bytes).unwrap();
        let _ = head(&location, &HeadOptions::default(), &quiet()).await;
        let _ = schema(&location, &SchemaOptions::default(), &quiet()).await;
    }
}

#[tokio::test]
async fn du_sums_each_level() {
    let table = two_hours();
    let usage = du(&table.location(), &UsageOptions { depth: Some(1), below: None }, &quiet()).await.unwrap();
    assert_eq!((usage.directories.len(), usage.directories[0].files, usage.total.files), (1, 3, 3));
    assert_eq!(usage.directories[0].bytes, usage.total.bytes);
    let usage = du(&table.location(), &UsageOptions::default(), &quiet()).await.unwrap();
    let text = table.text(|out| print::print_usage(&usage, out));
    assert!(text.contains("  day=24/hour=01\n") && text.ends_with(" TABLE\n"), "{text}");
}

#[tokio::test]
async fn head_has_the_columns_of_files_and_paths() {
    let table = two_hours();
    let head = |rows, columns: &[&str]| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let (location, options) = (table.location(), HeadOptions { rows, columns, below: None });
        async move { super::head(&location, &options, &quiet()).await }
    };
    let found = head(4, &[]).await.unwrap();
    assert_eq!(found.columns, ["id", "song", "day", "hour"]);
    assert_eq!(found.rows[2], [json!(3), Value::Null, json!("24"), json!("00")]);
    assert_eq!(found.rows.len(), 4);
    assert_eq!(head(5, &[]).await.unwrap().rows[4][3], json!("01"));
    assert_eq!(head(0, &[]).await.unwrap().rows.len(), 0);

    let found = head(1, &["hour", "id"]).await.unwrap();
    let lines = table.text(|out| print::print_head_json_lines(&found, out));
    assert_eq!(lines, "{\"hour\":\"00\",\"id\":1}\n");
    let text = table.text(|out| print::print_head(&found, out));
    assert_eq!(text, "hour  id\n00     1\n");
    assert!(head(1, &["nothing"]).await.unwrap_err().to_string().contains("nothing"));
}

#[tokio::test]
async fn head_reads_files_of_several_schemas() {
    let table = Table::new();
    table.put("day=1/a.parquet", &plays(&[1]));
    let zip: ArrayRef = Arc::new(StringArray::from(vec!["94110"]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    table.put("day=1/b.parquet", &RecordBatch::try_from_iter([("zip", zip), ("id", id)]).unwrap());
    let head = head(&table.location(), &HeadOptions::default(), &quiet()).await.unwrap();
    assert_eq!(head.columns, ["id", "song", "zip", "day"]);
    assert_eq!(head.rows[0], [json!(1), json!("song 1"), Value::Null, json!("1")]);
    assert_eq!(head.rows[1], [json!(2), Value::Null, json!("94110"), json!("1")]);
}

#[tokio::test]
async fn schema_points_out_what_differs() {
    let table = two_hours();
    let songs: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let old = table.path("day=24/hour=00/part-0.parquet");
    write(&old, &RecordBatch::try_from_iter([("song", songs)]).unwrap(), 10);
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();

    let options = SchemaOptions { expected: Some(plays(&[]).schema()), ..SchemaOptions::default() };
    let report = schema(&table.location(), &options, &quiet()).await.unwrap();
    let columns: Vec<_> =
        report.columns.iter().map(|it| (&*it.name, &*it.kind, it.nullable, it.hive_partition)).collect();
    assert_eq!(
        columns,
        [
            ("id", "long", false, false),
            ("song", "string", true, false),
            ("day", "string", true, true),
            ("hour", "string", true, true)
        ]
    );
    assert_eq!(report.columns[0].parquet, "REQUIRED INT64 id");
    let whats: Vec<_> = report.differences.iter().map(|it| (&*it.what, it.files)).collect();
    assert_eq!(whats, [("column \"id\" (long) is missing", 1), ("column \"song\" is long, not string", 1)]);
    assert_eq!(report.differences[0].example.as_deref(), Some("day=24/hour=00/part-0.parquet"));
    let text = table.text(|out| print::print_schema(&report, out));
    assert!(text.contains("such as day=24/hour=00/part-0.parquet") && text.contains("4 of 4 files read"), "{text}");
}

#[tokio::test]
async fn a_table_that_is_not_there_yet_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let location = open(&format!("{}/none", directory.path().display()), &StorageOptions::default()).unwrap();
    assert_eq!(ls(&location, &ListOptions::default(), &quiet()).await.unwrap().total.rows, Some(0));
    assert_eq!(du(&location, &UsageOptions::default(), &quiet()).await.unwrap().total.files, 0);
    assert!(head(&location, &HeadOptions::default(), &quiet()).await.unwrap().rows.is_empty());
    assert_eq!(schema(&location, &SchemaOptions::default(), &quiet()).await.unwrap().files, 0);
    assert_eq!(
        dead_letters::list(&location, &ListFilter::default(), &Replayed::default(), &quiet()).await.unwrap().count,
        0
    );
}

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 1_795_480_200_000;

fn letter(offset: i64, reason: &str, transform: Option<&str>, recorded_at_ms: i64) -> DeadLetter {
    DeadLetter {
        topic: "listen_events".into(),
        topic_partition: 3,
        offset,
        timestamp_ms: Some(NOW_MS - 1),
        key: Some(b"user \x1b[31m".to_vec()),
        payload: Some(format!("{{\"offset\":{offset},\"lat\":1.50}}").into_bytes()),
        headers: vec![("trace".into(), Some(vec![0xff])), ("empty".into(), None)],
        stage: if transform.is_some() { Stage::Transform } else { Stage::Decode },
        transform: transform.map(|name| (name.to_owned(), "1.2.0".to_owned())),
        reason: reason.into(),
        message: format!("offset {offset} is wrong"),
        deployment: 4,
        recorded_at_ms,
    }
}

/// 40 letters of each of two days: every fourth was rejected by a transform.
fn letters() -> Table {
    let table = Table::new();
    for day in 0..2 {
        let letters: Vec<DeadLetter> = (0..40)
            .map(|i| match i % 4 {
                0 => letter(day * 100 + i, "bad-coordinates", Some("validate-events"), NOW_MS - day * DAY_MS + i),
                _ => letter(day * 100 + i, "not-json", None, NOW_MS - day * DAY_MS + i),
            })
            .collect();
        let path = format!("{}/part-listen_events-3-0-0.parquet", letters[0].hive_partition());
        write(&table.path(&path), &to_batch(&letters).unwrap(), 16);
    }
    table
}

#[tokio::test]
async fn letters_are_counted_by_reason() {
    let table = letters();
    let list = |filter: ListFilter| {
        let location = table.location();
        async move { dead_letters::list(&location, &filter, &Replayed::default(), &quiet()).await.unwrap() }
    };
    let all = list(ListFilter { limit: 3, ..ListFilter::default() }).await;
    let counts: Vec<_> =
        all.by_reason.iter().map(|kind| (&*kind.reason, kind.transform.as_deref(), kind.count)).collect();
    assert_eq!(counts, [("not-json", None, 60), ("bad-coordinates", Some("validate-events"), 20)]);
    let spans: Vec<_> =
        all.over_time.iter().map(|span| (&*span.reason, span.to_ms - span.from_ms, span.count)).collect();
    let of_a_day = [("bad-coordinates", DAY_MS, 10), ("not-json", DAY_MS, 30)];
    assert_eq!(spans, of_a_day.repeat(2), "of two days");
    let fine = list(ListFilter { every_ms: 1, ..ListFilter::default() }).await;
    assert_eq!(fine.over_time.iter().map(|span| span.count).sum::<u64>(), 80);
    assert!(fine.over_time.len() > 2 && fine.over_time.is_sorted_by_key(|span| span.from_ms), "each moment apart");
    let latest: Vec<i64> = all.latest.iter().map(|line| line.coordinates.offset).collect();
    assert_eq!((all.count, latest), (80, vec![39, 38, 37]));
    let text = table.text(|out| print::print_letter_list(&all, out));
    assert!(text.contains("listen_events/3@39") && text.contains("TABLE: 80 dead letters"), "{text}");

    let filter = ListFilter { transform: Some("validate-events".into()), ..ListFilter::default() };
    assert_eq!(list(filter).await.count, 20);
    let filter = ListFilter { reason: Some("not-json".into()), since_ms: Some(NOW_MS), ..ListFilter::default() };
    assert_eq!(list(filter).await.count, 30);
    let filter = ListFilter { since_ms: Some(NOW_MS + 39), ..ListFilter::default() };
    assert_eq!(list(filter).await.count, 1);
}

#[tokio::test]
async fn all_about_one_letter_is_shown() {
    let table = letters();
    let message = "listen_events/3@104".parse().unwrap();
    let found = dead_letters::show(&table.location(), &message, &Replayed::default(), &quiet()).await.unwrap();
    let [letter] = found.letters.as_slice() else { panic!("{found:?}") };
    assert_eq!(letter.transform.as_deref(), Some("validate-events"));
    assert_eq!((letter.deployment, letter.stage.as_str()), (Some(4), "transform"));
    assert_eq!(letter.payload, Some(Content::Text("{\"offset\":104,\"lat\":1.50}".into())));
    assert_eq!(letter.headers, [("trace".into(), Some(Content::Base64("/w==".into()))), ("empty".into(), None)]);
    let text = table.text(|out| print::print_letters(&found, out));
    assert!(text.contains("{\n  \"offset\": 104,\n  \"lat\": 1.50\n}\n"), "{text}");
    assert!(text.contains("key          user \\u{1b}[31m"), "{text}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["letters"][0]["payload"]["text"], "{\"offset\":104,\"lat\":1.50}");

    for other in ["listen_events/2@104", "other/3@104", "listen_events/3@99"] {
        let found = dead_letters::show(&table.location(), &other.parse().unwrap(), &Replayed::default(), &quiet())
            .await
            .unwrap();
        assert!(found.letters.is_empty(), "{other}");
    }
}

#[tokio::test]
async fn letters_that_were_replayed_are_left_out_and_marked() {
    let table = letters();
    let mut replayed = Replayed::default();
    // Of the second day, rows 0 and 17 to 20: offsets 100 and 117 to 120, over two row groups.
    let file = table.location().join("day=2026-11-23/part-listen_events-3-0-0.parquet");
    replayed.add(&file, &[(0, 1), (17, 21)]);
    let filter = ListFilter { limit: 80, ..ListFilter::default() };
    let left = dead_letters::list(&table.location(), &filter, &replayed, &quiet()).await.unwrap();
    assert_eq!((left.count, left.replayed, left.latest.len()), (75, 5, 75));
    assert!(left.latest.iter().all(|line| !line.replayed));
    let filter = ListFilter { replayed: true, ..filter };
    let all = dead_letters::list(&table.location(), &filter, &replayed, &quiet()).await.unwrap();
    let marked: Vec<i64> = all.latest.iter().filter(|line| line.replayed).map(|line| line.coordinates.offset).collect();
    assert_eq!((all.count, marked), (80, vec![120, 119, 118, 117, 100]));
    for (offset, wanted) in [(100, true), (116, false), (117, true), (120, true), (121, false), (20, false)] {
        let message = format!("listen_events/3@{offset}").parse().unwrap();
        let found = dead_letters::show(&table.location(), &message, &replayed, &quiet()).await.unwrap();
        assert_eq!(found.letters.iter().map(|letter| letter.replayed).collect::<Vec<_>>(), [wanted], "{offset}");
    }
}

#[tokio::test]
async fn letters_are_messages_again() {
    let table = letters();
    let path = "day=2026-11-23/part-listen_events-3-0-0.parquet";
    let absolute = table.location().join(path);
    let bytes = std::fs::metadata(&absolute).unwrap().len();
    let file = super::scan::DataFile { absolute, path: path.into(), bytes, modified_ms: 0 };
    let storage = table.location().storage;
    let outlines = super::dead_letters::read::outlines(storage.as_ref(), &file).await.unwrap();
    assert_eq!((outlines.len(), outlines[4].offset, outlines[4].stage.as_str()), (40, 104, "transform"));
    let wanted = [0, 3, 15, 16, 17, 39];
    let found = super::dead_letters::read::letters(storage.as_ref(), &file, &wanted, 1 << 20).await.unwrap();
    let rows: Vec<(u64, i64)> = found.iter().map(|letter| (letter.row, letter.offset)).collect();
    assert_eq!(rows, wanted.map(|row| (row, 100 + row as i64)));
    let letter = &found[1];
    assert_eq!(letter.payload.as_deref(), Some(&b"{\"offset\":103,\"lat\":1.50}"[..]));
    assert_eq!((letter.timestamp_ms, letter.key.as_deref()), (Some(NOW_MS - 1), Some(&b"user \x1b[31m"[..])));
    assert_eq!(letter.headers, [("trace".into(), Some(vec![0xff])), ("empty".into(), None)]);
}

#[tokio::test]
async fn files_that_hold_no_dead_letters_are_named() {
    let table = letters();
    table.put("day=2026-11-24/other.parquet", &plays(&[1]));
    let list =
        dead_letters::list(&table.location(), &ListFilter::default(), &Replayed::default(), &quiet()).await.unwrap();
    assert_eq!((list.count, list.problems.len()), (80, 1));
    assert!(list.problems[0].problem.contains("it holds no dead letters"), "{:?}", list.problems);
}

//! How a hive partition is written: `name=value`, escaped as Hive does.
//!
//! Pure text: no files, no batches. Null and the empty string are `__HIVE_DEFAULT_PARTITION__`, as Hive and Spark have it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use crate::checkpoint::FileRecord;

/// What stands for null.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The longest escaped value, in bytes. A name in a directory may have 255 bytes on HDFS and local disks.
pub const MAX_VALUE_BYTES: usize = 200;

/// The hive partitions of the table at `table` that published files lie in; none of a table without them.
pub(crate) fn of_files(table: &str, files: &[FileRecord]) -> BTreeSet<String> {
    let inside = |file: &FileRecord| {
        let (directory, _) = file.target.strip_prefix(table)?.strip_prefix('/')?.rsplit_once('/')?;
        Some(directory.to_owned())
    };
    files.iter().filter_map(inside).collect()
}

/// A part of the event time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePart {
    Year,
    Month,
    Day,
    Hour,
}

impl TimePart {
    /// The part of that name, if it is one.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Year, Self::Month, Self::Day, Self::Hour].into_iter().find(|part| part.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

/// An hour of the calendar.
pub(super) struct UtcHour(jiff::civil::DateTime);

impl UtcHour {
    /// The hour that `us` (microseconds since 1970) lies in. The caller has checked the range, so the calendar has it.
    pub(super) fn new(us: i64) -> Self {
        let time = jiff::Timestamp::from_microsecond(us).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self(jiff::tz::Offset::UTC.to_datetime(time))
    }

    /// Year with four digits, the rest with two.
    pub(super) fn value(&self, part: TimePart) -> String {
        match part {
            TimePart::Year => format!("{:04}", self.0.year()),
            TimePart::Month => format!("{:02}", self.0.month()),
            TimePart::Day => format!("{:02}", self.0.day()),
            TimePart::Hour => format!("{:02}", self.0.hour()),
        }
    }
}

/// Appends text as it stands in a path: what Hive escapes (and NUL, which no file system takes) becomes `%XX`.
pub(crate) fn escape(text: &str, path: &mut String) {
    for character in text.chars() {
        match character {
            '\0'..='\u{1f}'
            | '\u{7f}'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^' => {
                // Writing to a string does not fail.
                let _ = write!(path, "%{:02X}", u32::from(character));
            }
            plain => path.push(plain),
        }
    }
}

/// Appends the value of a column's row, escaped. Fails, with what to tell, where it is too long.
pub(super) fn push_value(name: &str, column: &dyn Array, row: usize, path: &mut String) -> Result<(), String> {
    let start = path.len();
    if column.is_valid(row) {
        match column.data_type() {
            DataType::Utf8 => escape(column.as_string::<i32>().value(row), path),
            DataType::Boolean => path.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
            DataType::Int32 => path.push_str(&column.as_primitive::<Int32Type>().value(row).to_string()),
            DataType::Int64 => path.push_str(&column.as_primitive::<Int64Type>().value(row).to_string()),
            other => return Err(format!("column {name:?} is {other}, which is no hive partition")),
        }
    }
    let length = path.len() - start;
    if length > MAX_VALUE_BYTES {
        return Err(format!(
            "column {name:?} holds a value of {length} bytes (escaped); a hive partition's value has at most {MAX_VALUE_BYTES}"
        ));
    }
    if length == 0 {
        path.push_str(DEFAULT_PARTITION);
    }
    Ok(())
}

/// Appends what tells a column's value from any other: one byte for null, else a mark, the length, and the value.
pub(super) fn push_key(column: &dyn Array, row: usize, key: &mut Vec<u8>) {
    if column.is_null(row) {
        key.push(0);
        return;
    }
    key.push(1);
    match column.data_type() {
        DataType::Utf8 => {
            let value = column.as_string::<i32>().value(row);
            key.extend_from_slice(&value.len().to_le_bytes());
            key.extend_from_slice(value.as_bytes());
        }
        DataType::Boolean => key.push(u8::from(column.as_boolean().value(row))),
        DataType::Int32 => key.extend_from_slice(&column.as_primitive::<Int32Type>().value(row).to_le_bytes()),
        DataType::Int64 => key.extend_from_slice(&column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
        _ => {}
    }
}

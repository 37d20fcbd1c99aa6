//! What was read, as text for people. `--json` needs nothing of this: the values serialise themselves.
//!
//! Nothing that comes from data reaches a terminal with control characters in it.

use std::io::{self, Write};

use serde_json::Value;

use super::Problem;
use super::dead_letters::{Content, Letter, LetterList, Letters};
use super::head::Head;
use super::listing::{Listing, Usage};
use super::schema::SchemaReport;
use crate::report::grouped;

/// The widest cell of a table, in characters; longer ones end with an ellipsis.
const CELL_WIDTH: usize = 40;

/// Any value as indented JSON, with a line break at its end.
///
/// # Errors
/// `out` fails.
pub fn print_json(value: &impl serde::Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Prints what [`ls`](super::ls) found.
///
/// # Errors
/// `out` fails.
pub fn print_listing(listing: &Listing, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["hive partition", "files", "rows", "bytes"], &[1, 2, 3]);
    for partition in &listing.hive_partitions {
        let path = if partition.path.is_empty() { "." } else { &partition.path };
        table.row(vec![
            printable(path),
            grouped(partition.file_count as u64),
            grouped(partition.rows),
            grouped(partition.bytes),
        ]);
        for file in &partition.files {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            let rows = file.rows.map_or_else(|| "?".to_owned(), grouped);
            table.row(vec![format!("  {}", printable(name)), String::new(), rows, grouped(file.bytes)]);
        }
    }
    if !listing.hive_partitions.is_empty() {
        table.print(out)?;
        writeln!(out)?;
    }
    let total = &listing.total;
    let rows = total.rows.map(|rows| format!("{} rows, ", grouped(rows))).unwrap_or_default();
    let (partitions, files, bytes) =
        (counted(total.hive_partitions, "hive partition"), counted(total.files, "file"), grouped(total.bytes));
    writeln!(out, "{}: {partitions}, {files}, {rows}{bytes} bytes", printable(&listing.location))?;
    if listing.left_out > 0 {
        writeln!(out, "{} before these are not shown (--limit)", counted(listing.left_out, "hive partition"))?;
    }
    print_problems(&listing.problems, out)
}

/// Prints what [`du`](super::du) found.
///
/// # Errors
/// `out` fails.
pub fn print_usage(usage: &Usage, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["bytes", "files", "hive partitions", "path"], &[0, 1, 2]);
    for entry in &usage.directories {
        let path = format!("{}{}", "  ".repeat(entry.depth - 1), printable(&entry.path));
        let counts = (grouped(entry.files as u64), grouped(entry.hive_partitions as u64));
        table.row(vec![grouped(entry.bytes), counts.0, counts.1, path]);
    }
    let total = &usage.total;
    let counts = (grouped(total.files as u64), grouped(total.hive_partitions as u64));
    table.row(vec![grouped(total.bytes), counts.0, counts.1, printable(&usage.location)]);
    table.print(out)
}

/// Prints what [`head`](super::head()) found, as an aligned table.
///
/// # Errors
/// `out` fails.
pub fn print_head(head: &Head, out: &mut impl Write) -> io::Result<()> {
    if head.rows.is_empty() {
        writeln!(out, "no rows")?;
        return print_problems(&head.problems, out);
    }
    let is_number = |column: usize| head.rows.iter().all(|row| matches!(row[column], Value::Number(_) | Value::Null));
    let right: Vec<usize> = (0..head.columns.len()).filter(|column| is_number(*column)).collect();
    let names: Vec<String> = head.columns.iter().map(|name| printable(name)).collect();
    let mut table = Table::new(&names.iter().map(String::as_str).collect::<Vec<_>>(), &right);
    for row in &head.rows {
        table.row(row.iter().map(|value| shortened(&printable(&plain(value)))).collect());
    }
    table.print(out)?;
    print_problems(&head.problems, out)
}

/// Prints what [`head`](super::head()) found, one JSON object a line.
///
/// # Errors
/// `out` fails.
pub fn print_head_json_lines(head: &Head, out: &mut impl Write) -> io::Result<()> {
    for row in head.objects() {
        serde_json::to_writer(&mut *out, &row)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Prints what [`schema`](super::schema()) found.
///
/// # Errors
/// `out` fails.
pub fn print_schema(report: &SchemaReport, out: &mut impl Write) -> io::Result<()> {
    if report.files_read == 0 {
        writeln!(out, "{}: no files", printable(&report.location))?;
        return print_problems(&report.problems, out);
    }
    let mut table = Table::new(&["column", "type", "null", "in the file"], &[]);
    for column in &report.columns {
        let stored = if column.hive_partition { "(hive partition)" } else { &column.parquet };
        let null = if column.nullable { "yes" } else { "no" };
        table.row(vec![printable(&column.name), printable(&column.kind), null.to_owned(), printable(stored)]);
    }
    table.print(out)?;
    let (read, files) = (grouped(report.files_read as u64), counted(report.files, "file"));
    writeln!(out, "\n{}: {read} of {files} read", printable(&report.location))?;
    for difference in &report.differences {
        let what = printable(&difference.what);
        match &difference.example {
            Some(example) => {
                let files = counted(difference.files, "file");
                writeln!(out, "differs: {what} in {files}, such as {}", printable(example))?;
            }
            None => writeln!(out, "differs: expected: {what}")?,
        }
    }
    print_problems(&report.problems, out)
}

/// Prints what [`list`](super::dead_letters::list) found.
///
/// # Errors
/// `out` fails.
pub fn print_letter_list(list: &LetterList, out: &mut impl Write) -> io::Result<()> {
    if list.count == 0 {
        writeln!(out, "{}: no dead letters{}", printable(&list.location), replayed(list, " left"))?;
        return print_problems(&list.problems, out);
    }
    let mut table = Table::new(&["count", "reason", "stage", "transform"], &[0]);
    for kind in &list.by_reason {
        let transform = printable(kind.transform.as_deref().unwrap_or_default());
        table.row(vec![grouped(kind.count), printable(&kind.reason), printable(&kind.stage), transform]);
    }
    table.print(out)?;
    let location = printable(&list.location);
    writeln!(out, "\n{location}: {} dead letters{}", grouped(list.count), replayed(list, ""))?;
    if !list.latest.is_empty() {
        writeln!(out, "\nthe latest (`wasmill dead-letters show PIPELINE MESSAGE` tells all about one):")?;
        let mut table = Table::new(&["recorded at", "message", "reason", "transform", "what was wrong"], &[]);
        for line in &list.latest {
            table.row(vec![
                line.recorded_at.clone(),
                printable(&line.coordinates.to_string()),
                printable(&line.reason),
                printable(line.transform.as_deref().unwrap_or_default()),
                format!("{}{}", if line.replayed { "(replayed) " } else { "" }, printable(&line.message)),
            ]);
        }
        table.print(out)?;
    }
    print_problems(&list.problems, out)
}

/// How many were replayed, if any were.
fn replayed(list: &LetterList, left: &str) -> String {
    match list.replayed {
        0 => String::new(),
        count => format!("{left} ({} were replayed)", grouped(count)),
    }
}

/// Prints what [`show`](super::dead_letters::show) found.
///
/// # Errors
/// `out` fails.
pub fn print_letters(letters: &Letters, out: &mut impl Write) -> io::Result<()> {
    let message = printable(&letters.message.to_string());
    if letters.letters.is_empty() {
        writeln!(out, "{message}: no dead letter")?;
    }
    for (i, letter) in letters.letters.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        print_letter(&message, letter, out)?;
    }
    print_problems(&letters.problems, out)
}

fn print_letter(message: &str, letter: &Letter, out: &mut impl Write) -> io::Result<()> {
    let transform = letter.transform.as_ref().map(|name| match &letter.version {
        Some(version) => format!("{name} {version}"),
        None => name.clone(),
    });
    let lines = [
        ("message", Some(message.to_owned())),
        ("reason", Some(letter.reason.clone())),
        ("wrong", Some(letter.message.clone())),
        ("stage", Some(letter.stage.clone())),
        ("transform", transform),
        ("deployment", letter.deployment.map(|number| number.to_string())),
        ("recorded at", Some(letter.recorded_at.clone())),
        ("replayed", letter.replayed.then(|| "yes: it counts as what it became".to_owned())),
        ("timestamp", letter.timestamp.clone()),
        ("file", Some(letter.file.clone())),
        ("key", letter.key.as_ref().map(one_line)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            writeln!(out, "{name:<12} {}", printable(&value))?;
        }
    }
    for (name, value) in &letter.headers {
        let value = value.as_ref().map_or_else(|| "(null)".to_owned(), one_line);
        writeln!(out, "{:<12} {}: {}", "header", printable(name), printable(&value))?;
    }
    match &letter.payload {
        None => writeln!(out, "{:<12} (null: a tombstone)", "payload"),
        Some(Content::Base64(text)) => writeln!(out, "{:<12} not UTF-8, in base64:\n{text}", "payload"),
        Some(Content::Text(text)) => {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let text = if is_json { indented(text) } else { text.clone() };
            writeln!(out, "payload")?;
            text.split('\n').try_for_each(|line| writeln!(out, "{}", printable(line)))
        }
    }
}

fn one_line(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Base64(text) => format!("(base64) {text}"),
    }
}

fn print_problems(problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    for problem in problems {
        writeln!(out, "not readable: {}: {}", printable(&problem.path), printable(&problem.problem))?;
    }
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

/// A value without quotes around text.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `text` with control characters, and those that change the order of what follows, written as escapes.
pub fn printable(text: &str) -> String {
    let reorders = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || reorders(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= CELL_WIDTH {
        return text.to_owned();
    }
    text.chars().take(CELL_WIDTH - 1).chain(['…']).collect()
}

/// Valid JSON, indented; every number and string stays as it was written.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    let mut rest = json.trim().chars().peekable();
    while let Some(character) = rest.next() {
        if in_string {
            text.push(character);
            (in_string, escaped) = (escaped || character != '"', !escaped && character == '\\');
            continue;
        }
        match character {
            ' ' | '\t' | '\n' | '\r' => {}
            '{' | '[' => {
                text.push(character);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(',');
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            other => {
                in_string = other == '"';
                text.push(other);
            }
        }
    }
    text
}

/// Columns under their names.
pub(crate) struct Table {
    widths: Vec<usize>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// `right`: the columns that are aligned to the right.
    pub(crate) fn new(names: &[&str], right: &[usize]) -> Self {
        let mut table = Self {
            widths: vec![0; names.len()],
            right: (0..names.len()).map(|column| right.contains(&column)).collect(),
            rows: Vec::new(),
        };
        table.row(names.iter().map(|name| (*name).to_owned()).collect());
        table
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&self.widths).zip(&self.right) {
                if !line.is_empty() || width == 0 {
                    line.push_str("  ");
                }
                if right {
                    line.push_str(&format!("{cell:>width$}"))
                } else {
                    line.push_str(&format!("{cell:<width$}"))
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_indented_without_a_change() {
        let json = r#" {"b":1.50,"a":[1, 2],"e":{},"f":[ ],"s":"x\"{,:}\\"} "#;
        let wanted = "{\n  \"b\": 1.50,\n  \"a\": [\n    1,\n    2\n  ],\n  \"e\": {},\n  \"f\": [],\n  \"s\": \"x\\\"{,:}\\\\\"\n}";
        assert_eq!(indented(json), wanted);
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", "n"], &[1]);
        table.row(vec!["ä".into(), "10".into()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "name   n\nä     10\n");
    }

    proptest! {
        #[test]
        fn nothing_from_data_controls_the_terminal(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(char::is_control));
        }

        #[test]
        fn indenting_keeps_the_value(keys in prop::collection::vec(any::<String>(), 0..4), number in any::<f64>()) {
            let mut value = serde_json::json!([number, {}, []]);
            for key in keys {
                value = serde_json::json!({ key.clone(): value, "text": key });
            }
            let text = serde_json::to_string(&value).unwrap();
            let again: Value = serde_json::from_str(&indented(&text)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), again);
        }
    }
}

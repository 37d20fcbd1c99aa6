//! Values with a meaning: durations, sizes, choices, names, locations.
//!
//! Each function takes a [`Field`], and either returns a checked value or notes a mistake that says what was found and
//! what was wanted.

use std::ops::RangeInclusive;
use std::path::{Component, Path};
use std::time::Duration;

use bytesize::ByteSize;
use toml::de::DeValue;

use super::file::{Field, listed};
use super::mistake::did_you_mean;

/// Text that is not empty.
pub(super) fn text(field: &Field<'_>) -> Option<String> {
    match field.as_text() {
        Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
        Some(_) => {
            field.mistake("is empty");
            None
        }
        None => {
            field.wanted("text in quotes");
            None
        }
    }
}

/// A list of texts, at least one, none twice. Text that came from outside the file is split at commas.
pub(super) fn texts(field: &Field<'_>, example: &str) -> Option<Vec<String>> {
    let texts: Vec<String> = match (field.items(), field.referred()) {
        (Some(items), _) => items.iter().map(text).collect::<Option<_>>()?,
        (None, Some(line)) => line.split(',').map(|item| item.trim().to_owned()).collect(),
        (None, None) => {
            field.wanted(format!("a list like {example}"));
            return None;
        }
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        field.mistake(format!("is empty; wanted a list like {example}"));
        return None;
    }
    for (index, item) in texts.iter().enumerate() {
        if texts.iter().take(index).any(|before| before == item) {
            field.mistake(format!("{} stands in the list twice", if field.is_secret() { "a name" } else { item }));
            return None;
        }
    }
    Some(texts)
}

/// A whole number within `range`.
pub(super) fn integer(field: &Field<'_>, range: RangeInclusive<u64>) -> Option<u64> {
    let number = match (field.toml(), field.referred()) {
        (Some(DeValue::Integer(number)), _) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        (_, Some(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        field.wanted(format!("a whole number from {} to {}", range.start(), range.end()));
    }
    number
}

/// `true` or `false`.
pub(super) fn boolean(field: &Field<'_>) -> Option<bool> {
    let value = match (field.toml(), field.referred()) {
        (Some(DeValue::Boolean(value)), _) => Some(*value),
        (_, Some(text)) => text.trim().parse().ok(),
        _ => None,
    };
    if value.is_none() {
        field.wanted("true or false");
    }
    value
}

/// Permission bits: `"0640"`, or `0o640`.
pub(super) fn file_mode(field: &Field<'_>) -> Option<u32> {
    let digits = match (field.toml(), field.as_text()) {
        (Some(DeValue::Integer(number)), _) if number.radix() == 8 => Some(number.as_str()),
        (_, Some(text)) => Some(text.trim()),
        _ => None,
    };
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        field.wanted("permission bits in octal like \"0640\"");
    }
    mode
}

/// A share: 0 to 1.
pub(super) fn share(field: &Field<'_>) -> Option<f64> {
    let number: Option<f64> = match (field.toml(), field.referred()) {
        (Some(DeValue::Float(number)), _) => number.as_str().parse().ok(),
        (Some(DeValue::Integer(number)), _) => number.as_str().parse().ok(),
        (_, Some(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    if number.is_none() {
        field.wanted("a number from 0 to 1");
    }
    number
}

/// A duration with its unit, within `range`.
pub(super) fn duration(field: &Field<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
    let duration = field.as_text().and_then(|text| humantime::parse_duration(text.trim()).ok());
    let duration = duration.filter(|duration| range.contains(duration));
    if duration.is_none() {
        let (low, high) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        field.wanted(format!(
            "a duration in quotes with its unit, like \"60s\", \"500ms\" or \"5m\", from {low} to {high}"
        ));
    }
    duration
}

/// A size in bytes with its unit, within `range`.
pub(super) fn size(field: &Field<'_>, range: RangeInclusive<u64>) -> Option<u64> {
    let size = field.as_text().and_then(parse_size).filter(|size| range.contains(size));
    if size.is_none() {
        let (low, high) = (ByteSize::b(*range.start()).display().si(), ByteSize::b(*range.end()).display().si());
        field.wanted(format!("a size in quotes with its unit, like \"128MB\" or \"64MiB\", from {low} to {high}"));
    }
    size
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    // A number without a unit is more often a mistake than a number of bytes.
    let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    let is_number = text.starts_with(|first: char| first.is_ascii_digit());
    if !has_unit || !is_number {
        return None;
    }
    text.parse::<ByteSize>().ok().map(|size| size.as_u64())
}

/// One of the given words.
pub(super) fn choice<T: Copy>(field: &Field<'_>, choices: &[(&str, T)]) -> Option<T> {
    let words = || choices.iter().map(|(word, _)| *word);
    let text = field.as_text();
    let chosen = text.and_then(|text| choices.iter().find(|(word, _)| *word == text));
    if chosen.is_none() {
        let hint = match text {
            Some(text) if !field.is_secret() => did_you_mean(text, words()),
            _ => String::new(),
        };
        field.wanted(format!("one of {}{hint}", listed(words())));
    }
    chosen.map(|(_, value)| *value)
}

/// A name that stands in paths, metrics and logs: letters, digits, `-`, `_`, `.`, at most 100.
pub(super) fn name(field: &Field<'_>) -> Option<String> {
    let name = text(field)?;
    let fits = name.len() <= 100
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !fits {
        field.wanted("a name of letters, digits, '-', '_' and '.', starting with a letter or digit, at most 100 long");
        return None;
    }
    Some(name)
}

/// A directory on HDFS or on the local disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `host:port` or name service; `None`: the local disk.
    authority: Option<String>,
    parts: Vec<String>,
}

impl Place {
    /// The location as the rest of the program takes it: `hdfs://host:port/path` or an absolute path.
    pub(super) fn location(&self) -> String {
        let path = self.parts.join("/");
        match &self.authority {
            Some(authority) => format!("hdfs://{authority}/{path}"),
            None => format!("/{path}"),
        }
    }

    /// The directory beside this one whose name has `suffix` behind it.
    pub(super) fn beside(&self, suffix: &str) -> Place {
        let mut place = self.clone();
        if let Some(last) = place.parts.last_mut() {
            last.push_str(suffix);
        }
        place
    }

    /// Whether `other` is this directory or lies in it.
    pub(super) fn contains(&self, other: &Place) -> bool {
        self.authority == other.authority && other.parts.starts_with(&self.parts)
    }
}

/// A location: `hdfs://host:port/path`, `file:///path`, or a path.
pub(super) fn location(field: &Field<'_>) -> Option<Place> {
    let location = text(field)?;
    match parse_location(&location, &field.reader().surroundings.working_directory) {
        Ok(place) => Some(place),
        Err(why) => {
            field.wanted(why);
            None
        }
    }
}

fn parse_location(location: &str, working_directory: &Path) -> Result<Place, &'static str> {
    const WANTED: &str = "a directory as hdfs://host:port/path, file:///path or a plain path";
    if location.chars().any(char::is_control) {
        return Err("a location without control characters");
    }
    let (authority, path) = match location.split_once("://") {
        Some(("hdfs", rest)) => match rest.split_once('/') {
            Some((authority, path)) if !authority.is_empty() => (Some(authority.to_owned()), format!("/{path}")),
            _ => return Err("hdfs://host:port/path with a host (or name service) and a path"),
        },
        Some(("file", path)) if path.starts_with('/') => (None, path.to_owned()),
        Some(("file", _)) => return Err("file:///path with three slashes: a file has no host"),
        Some(_) => return Err(WANTED),
        None => {
            let path = working_directory.join(location);
            (None, path.to_str().ok_or("a path of UTF-8 text")?.to_owned())
        }
    };
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(&path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir if authority.is_some() => return Err("a path without \"..\""),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if parts.is_empty() {
        return Err("a directory below the root");
    }
    Ok(Place { authority, parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("128MB", Some(128_000_000)),
            ("64 MiB", Some(64 << 20)),
            ("1.5kB", Some(1_500)),
            ("5B", Some(5)),
            ("128", None),
            ("-1MB", None),
            ("MB", None),
            ("NaN MB", None),
            ("", None),
            ("12 apples", None),
        ] {
            assert_eq!(parse_size(text), size, "{text:?}");
        }
    }

    #[test]
    fn locations_have_one_form() {
        let parse = |text: &str| parse_location(text, Path::new("/work")).map(|place| place.location());
        for (text, wanted) in [
            ("hdfs://n:9000/user/a/", "hdfs://n:9000/user/a"),
            ("hdfs://cluster/a//b/./c", "hdfs://cluster/a/b/c"),
            ("file:///data/x", "/data/x"),
            ("/data/x/", "/data/x"),
            ("target/demo", "/work/target/demo"),
            ("../other", "/other"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(wanted), "{text:?}");
        }
        for wrong in [
            "hdfs://n:9000",
            "hdfs:///x",
            "hdfs://n:9000/",
            "hdfs://n/a/../b",
            "file://host/x",
            "s3://b/x",
            "/",
            "a\nb",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_directory_contains_itself_and_what_lies_in_it() {
        let place = |text: &str| parse_location(text, Path::new("/")).expect("a location");
        assert!(place("/a").contains(&place("/a/b")));
        assert!(place("/a").contains(&place("file:///a")));
        assert!(!place("/a").contains(&place("/ab")));
        assert!(!place("/a").contains(&place("hdfs://n/a/b")));
    }
}

//! `NAME@VERSION`.

use std::fmt;
use std::str::FromStr;

use semver::Version;

use crate::error::{Error, Result};

/// A transform by name, of one version or the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// `None`: the newest that may be deployed and is no pre-release.
    pub version: Option<Version>,
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(parse_version(version)?)),
            None => (text, None),
        };
        check_name(name)?;
        Ok(Self { name: name.to_owned(), version })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A semantic version.
///
/// # Errors
/// It is none.
pub fn parse_version(text: &str) -> Result<Version> {
    let wrong = |error: semver::Error| {
        Error::config(format!("{text:?} is not a version: {error}"))
            .hint("versions have three numbers, like 1.2.0, and perhaps a pre-release, like 1.3.0-rc.1")
    };
    let version = Version::parse(text).map_err(wrong)?;
    // Versions that differ in build metadata only are ordered by nobody; one of them would shadow the other.
    if version.build.is_empty() {
        return Ok(version);
    }
    Err(Error::config(format!("the version {text} has build metadata")).hint("leave out what follows the +"))
}

/// A name that stands in paths, metrics and logs.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = (1..=100).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits {
        return Ok(());
    }
    Err(Error::config(format!("{name:?} is no name"))
        .hint("a name has letters, digits, '-', '_' and '.', starts with a letter or digit, and is at most 100 long"))
}

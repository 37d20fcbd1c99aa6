//! Names and values of which some are secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;

/// Settings by name, in the order of their names. Reads like the map that it holds; prints without its secrets.
///
/// A value is secret when it came from the environment or a file, or when its name says so (`password`, `secret`,
/// `key`, `token`, `credential`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<String, String>,
    secret: BTreeSet<String>,
}

impl Settings {
    /// Adds a value that is secret only if its name says so.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Adds a value that is secret whatever its name.
    pub fn insert_secret(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.values.insert(name.clone(), value.into());
        self.secret.insert(name);
    }

    /// Whether the value of `name` must not be shown.
    pub fn is_secret(&self, name: &str) -> bool {
        self.secret.contains(name) || names_a_secret(name)
    }

    /// Whether the value of `name` is a secret that stands in the pipeline file itself. The path of one is none.
    pub fn is_written_secret(&self, name: &str) -> bool {
        names_a_secret(name) && !name.ends_with("location") && !self.secret.contains(name)
    }
}

/// One value that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Whether a setting of this name holds something that must not be shown.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "key", "token", "credential", "jaas"].iter().any(|word| name.contains(word))
}

impl Deref for Settings {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

impl<'a> IntoIterator for &'a Settings {
    type Item = (&'a String, &'a String);
    type IntoIter = std::collections::btree_map::Iter<'a, String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Settings {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, secret: BTreeSet::new() }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.iter().map(|(name, value)| {
            let value = if self.is_secret(name) { "(secret)" } else { value.as_str() };
            (name, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let mut settings: Settings = [("min_seconds", "30"), ("sasl.password", "hunter2")].into_iter().collect();
        settings.insert_secret("salt", "pepper");
        let text = format!("{settings:?}");
        assert!(text.contains("30"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("pepper"), "{text}");
        assert_eq!(settings["salt"], "pepper");
        let secret = Secret::new("hunter2");
        assert_eq!((format!("{secret:?}").as_str(), secret.expose()), ("(secret)", "hunter2"));
    }
}

//! What is wrong with a pipeline file: all of it, each with its line and key.

use std::fmt;

use serde::Serialize;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The line that it stands on, counted from 1; `None`: the whole file.
    pub line: Option<usize>,
    /// The key, with dots: `table.compression`. Empty: the text is not TOML at this place.
    pub key: String,
    /// What was found and what was wanted. Never holds a secret.
    pub message: String,
}

/// The mistakes of one file, in the order of their lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// The file, as the user named it.
    pub file: String,
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        write!(f, "{} has {count} mistake{}", self.file, if count == 1 { "" } else { "s" })?;
        for Mistake { line, key, message } in &self.mistakes {
            write!(f, "\n  {}", self.file)?;
            if let Some(line) = line {
                write!(f, ":{line}")?;
            }
            if !key.is_empty() {
                write!(f, ": {key}")?;
            }
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

/// `; did you mean "x"?` for the candidate that `found` is a misspelling of; else nothing.
pub(super) fn did_you_mean<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let allowed = (found.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&found.to_ascii_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| format!("; did you mean \"{candidate}\"?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_proposed() {
        let words = ["topics", "brokers", "group"];
        assert_eq!(did_you_mean("topic", words), "; did you mean \"topics\"?");
        assert_eq!(did_you_mean("Borkers", words), "; did you mean \"brokers\"?");
        assert_eq!(did_you_mean("location", words), "");
    }

    #[test]
    fn every_mistake_has_its_line() {
        let mistakes = Mistakes {
            file: "a.toml".into(),
            mistakes: vec![
                Mistake { line: Some(3), key: "table.x".into(), message: "unknown key".into() },
                Mistake { line: None, key: String::new(), message: "empty".into() },
            ],
        };
        assert_eq!(mistakes.to_string(), "a.toml has 2 mistakes\n  a.toml:3: table.x: unknown key\n  a.toml: empty");
    }
}

//! Names in another case.

/// How a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Camel,
    Snake,
    Pascal,
    Kebab,
    Screaming,
    Lower,
}

impl Case {
    const ALL: [(&'static str, Case); 6] = [
        ("camelCase", Case::Camel),
        ("snake_case", Case::Snake),
        ("PascalCase", Case::Pascal),
        ("kebab-case", Case::Kebab),
        ("SCREAMING_SNAKE_CASE", Case::Screaming),
        ("lowercase", Case::Lower),
    ];

    /// By the name that authors write.
    pub(crate) fn from_name(name: &str) -> Option<Case> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, case)| *case)
    }

    /// All names, for a message.
    pub(crate) fn names() -> String {
        Self::ALL.map(|(name, _)| format!("`{name}`")).join(", ")
    }

    /// `name` (in snake or Pascal case) in this case.
    pub(crate) fn apply(self, name: &str) -> String {
        let words = words(name);
        match self {
            Case::Snake => words.join("_"),
            Case::Kebab => words.join("-"),
            Case::Screaming => words.join("_").to_uppercase(),
            Case::Lower => words.concat(),
            Case::Pascal => words.iter().map(|word| capitalised(word)).collect(),
            Case::Camel => {
                let rest = words.iter().skip(1).map(|word| capitalised(word));
                words.first().cloned().into_iter().chain(rest).collect()
            }
        }
    }
}

/// The words of a name, in lower case. A word begins after `_`, at a capital after a small letter or digit, and at the
/// last capital of a run before a small letter (`HTTPStatus`).
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        let letters: Vec<char> = part.chars().collect();
        for (at, letter) in letters.iter().enumerate() {
            let after_small = at > 0 && !letters[at - 1].is_uppercase();
            let before_small = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
            let begins = at == 0 || (letter.is_uppercase() && (after_small || before_small));
            match words.last_mut() {
                Some(word) if !begins => word.extend(letter.to_lowercase()),
                _ => words.push(letter.to_lowercase().collect()),
            }
        }
    }
    words
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Case;

    #[test]
    fn names_change_case() {
        let cases = [
            (Case::Camel, "user_agent", "userAgent"),
            (Case::Camel, "item_in_session", "itemInSession"),
            (Case::Camel, "ts", "ts"),
            (Case::Camel, "_lead", "lead"),
            (Case::Pascal, "user_id", "UserId"),
            (Case::Kebab, "LatitudeOutOfRange", "latitude-out-of-range"),
            (Case::Kebab, "HTTPStatus", "http-status"),
            (Case::Kebab, "NoUser2", "no-user2"),
            (Case::Screaming, "user_id", "USER_ID"),
            (Case::Lower, "user_id", "userid"),
            (Case::Snake, "user_id", "user_id"),
        ];
        for (case, name, expected) in cases {
            assert_eq!(case.apply(name), expected);
        }
    }
}

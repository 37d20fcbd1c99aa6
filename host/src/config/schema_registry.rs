//! `[schema_registry]`: where the schemas of messages are, and how it is asked.

use std::fmt;
use std::path::PathBuf;

use super::admin::file;
use super::file::{Section, Variable};
use super::secret::Secret;
use super::value;

/// `[schema_registry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRegistryConfig {
    /// Where its API is: `http` or `https`, perhaps with a path.
    pub url: String,
    /// Who asks.
    pub auth: RegistryAuth,
    /// Who signed its certificate, in PEM format; `None`: somebody that the machine knows.
    pub ca: Option<PathBuf>,
    /// `[schema]` is made of this schema; `None`: the file has one.
    pub table: Option<TableSchema>,
    /// What becomes of messages whose schema cannot become the table's.
    pub on_incompatible: OnIncompatible,
    /// Where known schemas are kept between runs; `None`: nowhere, as there is no such directory.
    pub cache: Option<PathBuf>,
}

/// A schema that the table's columns are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Where it is registered.
    pub subject: String,
    /// Which of its versions.
    pub version: Version,
    /// What a host does when that changes.
    pub evolution: Evolution,
}

/// What a host does when a new version of the table's schema is registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Evolution {
    /// The table stays as it was at the host's start.
    #[default]
    Fixed,
    /// Columns that are new are the table's from the next range on; none of them is ever required.
    AddColumns,
}

/// What becomes of messages whose schema cannot become the table's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnIncompatible {
    /// They are dead letters.
    #[default]
    DeadLetter,
    /// Their topic partition stops.
    Stop,
}

/// Which version of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The newest one.
    Latest,
    /// This one.
    Number(u32),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Who asks the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryAuth {
    /// Anybody.
    None,
    /// HTTP's basic authentication.
    Basic {
        /// The user's name.
        username: String,
        /// The user's password.
        password: Secret,
    },
    /// Whoever has this token.
    Bearer(Secret),
}

/// The section; `None` when there is none, or when it has mistakes. `topic`: the first one that is read.
pub(super) fn schema_registry(root: &Section<'_>, topic: Option<&str>) -> Option<SchemaRegistryConfig> {
    let section = root.section("schema_registry")?;
    let url = section.required("url", "\"http://localhost:8081\"").and_then(|field| {
        let text = value::text(&field)?;
        let url = reqwest::Url::parse(&text).ok();
        match url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) {
            None => field.wanted("a URL like \"https://registry:8081/path\""),
            // Not shown: it may hold a password.
            Some(url) if !url.username().is_empty() || url.password().is_some() || url.query().is_some() => {
                field.mistake("holds a user, a password or a query; wanted a URL without, and username and password");
            }
            Some(_) => return Some(text),
        }
        None
    });
    let auth = auth(&section);
    let table = table(&section, topic);
    let on_incompatible = match section.optional("on_incompatible") {
        Some(field) => {
            value::choice(&field, &[("dead-letter", OnIncompatible::DeadLetter), ("stop", OnIncompatible::Stop)])
        }
        None => Some(OnIncompatible::default()),
    };
    let ca = section.optional("ca").map(|field| file(&field));
    let cache = match section.optional("cache") {
        Some(field) => value::text(&field).map(|text| Some(field.reader().surroundings.working_directory.join(text))),
        None => Some(users_cache(&section.reader.surroundings.variable)),
    };
    section.finish();
    // What is there and wrong is a mistake already.
    let ca = match ca {
        Some(path) => Some(path?),
        None => None,
    };
    Some(SchemaRegistryConfig {
        url: url?,
        auth: auth?,
        ca,
        table: table?,
        on_incompatible: on_incompatible?,
        cache: cache?,
    })
}

/// `Some(None)`: the table's columns stand in the file.
fn table(section: &Section<'_>, topic: Option<&str>) -> Option<Option<TableSchema>> {
    let subject = section.optional("subject").map(|field| value::text(&field));
    let evolution = section
        .optional("evolution")
        .map(|field| value::choice(&field, &[("fixed", Evolution::Fixed), ("add-columns", Evolution::AddColumns)]));
    let Some(field) = section.optional("table") else {
        if matches!(evolution, Some(Some(Evolution::AddColumns))) {
            section.mistake("evolution", "has no table = \"latest\" beside it, which says where new columns come from");
        }
        if subject.is_some() {
            section.mistake("subject", "has no table beside it, which says that the table's columns are made of it");
        }
        return Some(None);
    };
    let version = match field.as_text().map(str::trim) {
        Some("latest") => Version::Latest,
        Some(text) if text.parse::<u32>().is_err() => {
            field.wanted("\"latest\" or the number of a version");
            return None;
        }
        _ => Version::Number(
            value::integer(&field, 1..=u64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())?,
        ),
    };
    let subject = match subject {
        Some(subject) => subject?,
        None => format!("{}-value", topic?),
    };
    let evolution = evolution.unwrap_or(Some(Evolution::Fixed))?;
    if evolution == Evolution::AddColumns && version != Version::Latest {
        section.mistake(
            "evolution",
            "the table is a fixed version's, so it gets no new columns; wanted table = \"latest\"",
        );
        return None;
    }
    Some(Some(TableSchema { subject, version, evolution }))
}

fn auth(section: &Section<'_>) -> Option<RegistryAuth> {
    let text = |name| section.optional(name).map(|field| value::text(&field));
    match (text("username"), text("password"), text("token")) {
        (None, None, None) => Some(RegistryAuth::None),
        (None, None, Some(token)) => Some(RegistryAuth::Bearer(Secret::new(token?))),
        (Some(username), Some(password), None) => {
            Some(RegistryAuth::Basic { username: username?, password: Secret::new(password?) })
        }
        (Some(_), None, None) => {
            section.mistake("username", "has no password beside it");
            None
        }
        (None, Some(_), None) => {
            section.mistake("password", "has no username beside it");
            None
        }
        (_, _, Some(_)) => {
            section.mistake("token", "stands beside username or password; wanted one of the two");
            None
        }
    }
}

/// Where a user's programs keep what they can fetch again.
fn users_cache(variable: &Variable) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("wasmill").join("schemas"))
}

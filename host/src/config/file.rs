//! The raw pipeline file: sections and fields, with their places, before anything is known about their meaning.
//!
//! A walk over the parsed TOML rather than a serde derive: serde stops at the first mistake, and a user wants all of
//! them at once. A [`Section`] notes which keys were asked for; what is left over at [`Section::finish`] is unknown.
//! A [`Field`] that is `{ env = "NAME" }` or `{ file = "PATH" }` is resolved here, so nothing later sees the difference,
//! except that its value is never quoted in a mistake.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, did_you_mean};
use super::secret::names_a_secret;
use super::{SchemaRegistryConfig, TableSchema};
use crate::decode::schema::EventSchema;

/// A secret or other value in a file of its own has at most this many bytes: enough for keys and certificates.
const REFERENCED_FILE_BYTES: u64 = 1 << 20;

/// What a pipeline file can refer to besides itself.
pub struct Surroundings {
    /// Looks up an environment variable.
    pub variable: Variable,
    /// Relative locations are resolved against this directory. Absolute.
    pub working_directory: PathBuf,
    /// The columns of a table that are made of a schema in the registry; the error says what to do.
    pub registered: fn(&SchemaRegistryConfig, &TableSchema) -> Result<EventSchema, String>,
}

/// Looks up an environment variable.
pub type Variable = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Collects what is learnt while one file is read.
pub(super) struct Reader<'e> {
    text: &'e str,
    pub(super) surroundings: &'e Surroundings,
    /// The directory that the pipeline file lies in.
    pub(super) directory: &'e Path,
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(text: &'e str, directory: &'e Path, surroundings: &'e Surroundings) -> Self {
        Self { text, surroundings, directory, mistakes: RefCell::default(), asked: RefCell::default() }
    }

    /// Notes a mistake at byte `at` of the text.
    pub(super) fn mistake(&self, at: Option<usize>, key: &str, message: impl Into<String>) {
        let line = at.map(|at| 1 + self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count());
        self.mistakes.borrow_mut().push(Mistake { line, key: key.to_owned(), message: message.into() });
    }

    /// The mistakes in the order of their lines, and every key that was asked for.
    pub(super) fn into_findings(self) -> (Vec<Mistake>, BTreeSet<String>) {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.line);
        (mistakes, self.asked.into_inner())
    }

    /// The value of an environment variable or of a file, if `value` refers to one.
    fn resolve<'t>(&'t self, path: &str, at: usize, value: &'t DeValue<'t>) -> Option<Value<'t>> {
        let Some(reference) = value.as_table().and_then(Reference::of) else { return Some(Value::Toml(value)) };
        match (reference.kind, reference.name) {
            ("env", name) => match ((self.surroundings.variable)(name), reference.default) {
                (Some(text), _) => Some(Value::Referred { text, origin: format!("the environment variable {name}") }),
                (None, Some(default)) => Some(Value::Toml(default)),
                (None, None) => {
                    self.mistake(Some(at), path, format!("the environment variable {name} is not set"));
                    None
                }
            },
            (_, name) => match read_small(&self.directory.join(name)) {
                Ok(text) => Some(Value::Referred { text, origin: format!("the file {name}") }),
                Err(why) => {
                    self.mistake(Some(at), path, format!("cannot read the file {name}: {why}"));
                    None
                }
            },
        }
    }
}

/// `{ env = "NAME" }`, `{ env = "NAME", default = VALUE }` or `{ file = "PATH" }`.
struct Reference<'t> {
    kind: &'static str,
    name: &'t str,
    default: Option<&'t DeValue<'t>>,
}

impl<'t> Reference<'t> {
    fn of(table: &'t DeTable<'t>) -> Option<Self> {
        let text = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str());
        let default = table.get("default").map(|value| value.get_ref());
        match (text("env"), text("file"), table.len()) {
            (Some(name), None, 1) => Some(Self { kind: "env", name, default: None }),
            (Some(name), None, 2) if default.is_some() => Some(Self { kind: "env", name, default }),
            (None, Some(name), 1) => Some(Self { kind: "file", name, default: None }),
            _ => None,
        }
    }
}

/// A value that stands in a file of its own, without its line end.
pub fn read_small(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(REFERENCED_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > REFERENCED_FILE_BYTES {
        return Err(format!("it is larger than {REFERENCED_FILE_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
}

/// A table of the file whose keys are known beforehand.
pub(super) struct Section<'t> {
    pub(super) reader: &'t Reader<'t>,
    /// As shown to the user: `transforms[keep-plays]`.
    path: String,
    /// As documented: `transforms[]`.
    generic: String,
    at: Option<usize>,
    table: &'t DeTable<'t>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'t> Section<'t> {
    /// The file itself.
    pub(super) fn root(reader: &'t Reader<'t>, table: &'t DeTable<'t>) -> Self {
        Self { reader, path: String::new(), generic: String::new(), at: None, table, asked: RefCell::default() }
    }

    fn ask(&self, name: &'static str) {
        self.asked.borrow_mut().insert(name);
        self.reader.asked.borrow_mut().insert(join(&self.generic, name));
    }

    /// Whether something of that name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// The field of that name, if it is there.
    pub(super) fn optional(&self, name: &'static str) -> Option<Field<'t>> {
        self.ask(name);
        let (key, value) = self.table.get_key_value(name)?;
        Field::new(self.reader, join(&self.path, name), key.span().start, value.get_ref())
    }

    /// The field of that name; that it is missing is a mistake, which `example` helps to repair.
    pub(super) fn required(&self, name: &'static str, example: &str) -> Option<Field<'t>> {
        if !self.table.contains_key(name) {
            self.ask(name);
            self.mistake(name, format!("missing; wanted {name} = {example}"));
            return None;
        }
        self.optional(name)
    }

    /// The table of that name, if it is there.
    pub(super) fn section(&self, name: &'static str) -> Option<Section<'t>> {
        self.ask(name);
        let (key, value) = self.table.get_key_value(name)?;
        let path = join(&self.path, name);
        let generic = join(&self.generic, name);
        match value.get_ref() {
            DeValue::Table(table) => {
                let at = Some(key.span().start);
                Some(Section { reader: self.reader, path, generic, at, table, asked: RefCell::default() })
            }
            other => {
                let found = describe(other);
                self.reader.mistake(Some(key.span().start), &path, format!("found {found}, wanted a table [{path}]"));
                None
            }
        }
    }

    /// The table of that name; that it is missing is a mistake.
    pub(super) fn required_section(&self, name: &'static str) -> Option<Section<'t>> {
        if !self.table.contains_key(name) {
            self.ask(name);
            let path = join(&self.path, name);
            self.reader.mistake(None, &path, format!("missing; wanted a table [{path}]"));
            return None;
        }
        self.section(name)
    }

    /// The tables `[[name]]`, in order.
    pub(super) fn sections(&self, name: &'static str) -> Vec<Section<'t>> {
        self.ask(name);
        let Some((key, value)) = self.table.get_key_value(name) else { return Vec::new() };
        let path = join(&self.path, name);
        let wrong = |at: usize, found: &DeValue<'_>| {
            self.reader.mistake(Some(at), &path, format!("found {}, wanted tables [[{path}]]", describe(found)));
        };
        let DeValue::Array(items) = value.get_ref() else {
            wrong(key.span().start, value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                wrong(item.span().start, item.get_ref());
                continue;
            };
            let label = table.get("name").and_then(|name| name.get_ref().as_str()).map(str::to_owned);
            sections.push(Section {
                reader: self.reader,
                path: format!("{path}[{}]", label.unwrap_or_else(|| (index + 1).to_string())),
                generic: format!("{}[]", join(&self.generic, name)),
                at: Some(item.span().start),
                table,
                asked: RefCell::default(),
            });
        }
        sections
    }

    /// All fields, whatever their names, in the order of the file.
    pub(super) fn all(&self) -> Vec<(&'t str, Field<'t>)> {
        self.reader.asked.borrow_mut().insert(join(&self.generic, "*"));
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .filter_map(|(key, value)| {
                let name: &'t str = key.get_ref();
                let field = Field::new(self.reader, join(&self.path, name), key.span().start, value.get_ref())?;
                Some((name, field))
            })
            .collect()
    }

    /// Every key in it that nobody asked for is a mistake.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter().filter(|(key, _)| !asked.contains(key.get_ref().as_ref())) {
            let name: &str = key.get_ref();
            let hint = match did_you_mean(name, asked.iter().copied()) {
                hint if hint.is_empty() => format!("; known here: {}", listed(asked.iter().copied())),
                hint => hint,
            };
            self.reader.mistake(Some(key.span().start), &join(&self.path, name), format!("unknown key{hint}"));
        }
    }

    /// Notes a mistake about the key `name` of this section; an empty name is the section itself.
    pub(super) fn mistake(&self, name: &str, message: impl Into<String>) {
        let at = self.table.get_key_value(name).map(|(key, _)| key.span().start).or(self.at);
        let path = if name.is_empty() { self.path.clone() } else { join(&self.path, name) };
        self.reader.mistake(at, &path, message);
    }
}

/// A value, resolved.
enum Value<'t> {
    Toml(&'t DeValue<'t>),
    /// Came from outside the file: a secret.
    Referred {
        text: String,
        origin: String,
    },
}

/// One value of the file with its place.
pub(super) struct Field<'t> {
    reader: &'t Reader<'t>,
    path: String,
    at: usize,
    value: Value<'t>,
}

impl<'t> Field<'t> {
    fn new(reader: &'t Reader<'t>, path: String, at: usize, value: &'t DeValue<'t>) -> Option<Self> {
        let value = reader.resolve(&path, at, value)?;
        Some(Self { reader, path, at, value })
    }

    pub(super) fn reader(&self) -> &'t Reader<'t> {
        self.reader
    }

    /// Whether the value came from outside the file.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.value, Value::Referred { .. })
    }

    /// The value as TOML, unless it came from outside the file.
    pub(super) fn toml(&self) -> Option<&'t DeValue<'t>> {
        match &self.value {
            Value::Toml(value) => Some(value),
            Value::Referred { .. } => None,
        }
    }

    /// The value if it is text, from this file or from outside.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Toml(value) => value.as_str(),
            Value::Referred { text, .. } => Some(text),
        }
    }

    /// The text that came from outside the file.
    pub(super) fn referred(&self) -> Option<&str> {
        match &self.value {
            Value::Referred { text, .. } => Some(text),
            Value::Toml(_) => None,
        }
    }

    /// The items of an array; `None` when it is none.
    pub(super) fn items(&self) -> Option<Vec<Field<'t>>> {
        let DeValue::Array(items) = self.toml()? else { return None };
        let item = |(index, item): (usize, &'t toml::Spanned<DeValue<'t>>)| {
            Field::new(self.reader, format!("{}[{}]", self.path, index + 1), item.span().start, item.get_ref())
        };
        Some(items.iter().enumerate().filter_map(item).collect())
    }

    /// The field `name` of this table.
    pub(super) fn inner(&self, name: &str, at: usize, value: &'t DeValue<'t>) -> Option<Field<'t>> {
        Field::new(self.reader, join(&self.path, name), at, value)
    }

    /// The field as a table with known keys; `None` when it is none.
    pub(super) fn section(&self, generic: &str) -> Option<Section<'t>> {
        let DeValue::Table(table) = self.toml()? else { return None };
        Some(Section {
            reader: self.reader,
            path: self.path.clone(),
            generic: generic.to_owned(),
            at: Some(self.at),
            table,
            asked: RefCell::default(),
        })
    }

    /// Notes a mistake about this field.
    pub(super) fn mistake(&self, message: impl Into<String>) {
        self.reader.mistake(Some(self.at), &self.path, message);
    }

    /// Notes that something else was wanted than what was found.
    pub(super) fn wanted(&self, wanted: impl fmt::Display) {
        self.mistake(format!("found {}, wanted {wanted}", self.found()));
    }

    /// What the field holds, for a message: never a secret.
    pub(super) fn found(&self) -> String {
        match &self.value {
            Value::Referred { origin, .. } => format!("the value of {origin}"),
            Value::Toml(_) if names_a_secret(&self.path) => "a value (not shown)".to_owned(),
            Value::Toml(value) => describe(value),
        }
    }
}

/// A value for a message: short, on one line.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => {
            let shown: String = text.chars().take(80).collect();
            format!("{shown:?}{}", if shown.len() < text.len() { " (and more)" } else { "" })
        }
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => value.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// `"a", "b"`.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

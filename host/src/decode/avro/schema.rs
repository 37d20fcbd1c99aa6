//! Avro schemas, parsed from their JSON.
//!
//! Only what decides how bytes are read: documentation, order and custom properties are passed over. Logical types that do
//! not fit their type are ignored, as the specification says.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A whole schema: its type, and the records and enums that types refer to by number. Records may contain themselves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AvroSchema {
    pub(crate) root: Type,
    pub(crate) records: Vec<Record>,
    pub(crate) enums: Vec<Enum>,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int(Option<Logical>),
    Long(Option<Logical>),
    Float,
    Double,
    Bytes(Option<Logical>),
    String(Option<Logical>),
    /// By its short name; `size` in bytes.
    Fixed {
        name: String,
        size: usize,
        logical: Option<Logical>,
    },
    /// By its number in [`AvroSchema::enums`].
    Enum(usize),
    /// By its number in [`AvroSchema::records`].
    Record(usize),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
}

/// What a type means beyond its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal { precision: u8, scale: i8 },
    Date,
    TimeMillis,
    TimeMicros,
    Timestamp(Unit),
    LocalTimestamp(Unit),
    Uuid,
}

/// Of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The short name, without its namespace.
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Type,
}

/// An enum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Enum {
    /// The short name, without its namespace.
    pub(crate) name: String,
    pub(crate) symbols: Vec<String>,
}

impl AvroSchema {
    /// Parses `text`. `referenced`: the schemas that it refers to by name, each behind those that it refers to itself.
    ///
    /// The error says what is wrong with the schema.
    pub(crate) fn parse<'a>(text: &str, referenced: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut parser = Parser::default();
        for text in referenced {
            parser.parse(&json(text)?, "")?;
        }
        let root = parser.parse(&json(text)?, "")?;
        let (records, enums) = (parser.records, parser.enums);
        Ok(Self { root, records, enums })
    }

    /// What a branch of a union is called: a primitive type's word, or the short name of a named one.
    pub(crate) fn branch_name<'s>(&'s self, kind: &'s Type) -> &'s str {
        match kind {
            Type::Null => "null",
            Type::Boolean => "boolean",
            Type::Int(_) => "int",
            Type::Long(_) => "long",
            Type::Float => "float",
            Type::Double => "double",
            Type::Bytes(_) => "bytes",
            Type::String(_) => "string",
            Type::Fixed { name, .. } => name,
            Type::Enum(number) => &self.enums[*number].name,
            Type::Record(number) => &self.records[*number].name,
            Type::Array(_) => "array",
            Type::Map(_) => "map",
            Type::Union(_) => "union",
        }
    }
}

/// A text may also be a bare word like `string`, which is JSON only in quotes; some registries leave them out.
fn json(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if primitive(text.trim(), None).is_some() => Ok(Value::String(text.trim().to_owned())),
        Err(error) => Err(format!("the schema is not JSON: {error}")),
    }
}

#[derive(Default)]
struct Parser {
    records: Vec<Record>,
    enums: Vec<Enum>,
    /// Named types by their full names.
    names: HashMap<String, Type>,
}

impl Parser {
    /// The depth of a schema is bounded by that of its JSON, which serde_json bounds.
    fn parse(&mut self, value: &Value, namespace: &str) -> Result<Type, String> {
        match value {
            Value::String(word) => self.named(word, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("found {other}, wanted a type")),
        }
    }

    fn named(&self, word: &str, namespace: &str) -> Result<Type, String> {
        let known = primitive(word, None).or_else(|| self.names.get(&full_name(word, namespace)).cloned());
        // A name without its namespace means one that has none, too.
        known.or_else(|| self.names.get(word).cloned()).ok_or_else(|| format!("the type {word:?} is not known"))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Type, String> {
        let branches = branches.iter().map(|branch| self.parse(branch, namespace)).collect::<Result<Vec<_>, _>>()?;
        if branches.iter().any(|branch| matches!(branch, Type::Union(_))) {
            return Err("a union stands directly in a union".into());
        }
        if branches.is_empty() {
            return Err("a union has no branches".into());
        }
        Ok(Type::Union(branches))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        let kind = object.get("type").ok_or("a type has no \"type\"")?;
        let Value::String(word) = kind else { return self.parse(kind, namespace) };
        match word.as_str() {
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let (name, full, _) = names(object, namespace)?;
                let symbols = object.get("symbols").and_then(Value::as_array).ok_or("an enum has no \"symbols\"")?;
                let text = |symbol: &Value| symbol.as_str().map(str::to_owned).ok_or("a symbol is no text");
                let symbols = symbols.iter().map(text).collect::<Result<_, _>>()?;
                self.enums.push(Enum { name, symbols });
                self.define(full, Type::Enum(self.enums.len() - 1))
            }
            "fixed" => {
                let (name, full, _) = names(object, namespace)?;
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| format!("the fixed type {name:?} has no size"))?;
                let logical = match logical(object) {
                    Some(decimal @ Logical::Decimal { .. }) => Some(decimal),
                    Some(Logical::Uuid) if size == 16 => Some(Logical::Uuid),
                    _ => None,
                };
                self.define(full, Type::Fixed { name, size, logical })
            }
            "array" => {
                let items = object.get("items").ok_or("an array has no \"items\"")?;
                Ok(Type::Array(Box::new(self.parse(items, namespace)?)))
            }
            "map" => {
                let values = object.get("values").ok_or("a map has no \"values\"")?;
                Ok(Type::Map(Box::new(self.parse(values, namespace)?)))
            }
            word => match primitive(word, logical(object)) {
                Some(kind) => Ok(kind),
                None => self.named(word, namespace),
            },
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<Type, String> {
        let (name, full, inner) = names(object, namespace)?;
        let fields = object.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| format!("the record {name:?} has no \"fields\""))?;
        let number = self.records.len();
        self.records.push(Record { name: name.clone(), fields: Vec::new() });
        // Known before its fields are read: they may refer to it.
        let kind = self.define(full, Type::Record(number))?;
        let mut parsed: Vec<Field> = Vec::with_capacity(fields.len());
        for field in fields {
            let field_name = field.get("name").and_then(Value::as_str);
            let field_name = field_name.ok_or_else(|| format!("a field of {name:?} has no name"))?;
            if parsed.iter().any(|other| other.name == field_name) {
                return Err(format!("the record {name:?} has the field {field_name:?} twice"));
            }
            let kind = field.get("type").ok_or_else(|| format!("the field {field_name:?} has no type"))?;
            parsed.push(Field { name: field_name.to_owned(), kind: self.parse(kind, &inner)? });
        }
        self.records[number].fields = parsed;
        Ok(kind)
    }

    fn define(&mut self, full: String, kind: Type) -> Result<Type, String> {
        match self.names.insert(full.clone(), kind.clone()) {
            None => Ok(kind),
            Some(_) => Err(format!("the type {full:?} is defined twice")),
        }
    }
}

/// The short name, the full name and the namespace of what stands within.
fn names(object: &Map<String, Value>, namespace: &str) -> Result<(String, String, String), String> {
    let name = object.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or("a named type has no \"name\"")?;
    let own = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    let full = full_name(name, own);
    let (inner, short) = full.rsplit_once('.').unwrap_or(("", &full));
    Ok((short.to_owned(), full.clone(), inner.to_owned()))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// A primitive type with the logical type that fits it.
fn primitive(word: &str, logical: Option<Logical>) -> Option<Type> {
    use Logical::{Date, Decimal, LocalTimestamp, TimeMicros, TimeMillis, Timestamp, Uuid};
    let fitting = |fits: fn(&Logical) -> bool| logical.filter(fits);
    Some(match word {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int(fitting(|logical| matches!(logical, Date | TimeMillis))),
        "long" => Type::Long(fitting(|logical| matches!(logical, TimeMicros | Timestamp(_) | LocalTimestamp(_)))),
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes(fitting(|logical| matches!(logical, Decimal { .. }))),
        "string" => Type::String(fitting(|logical| matches!(logical, Uuid))),
        _ => return None,
    })
}

fn logical(object: &Map<String, Value>) -> Option<Logical> {
    Some(match object.get("logicalType")?.as_str()? {
        "decimal" => {
            let number = |key: &str| object.get(key).and_then(Value::as_u64);
            let precision = number("precision")?;
            let scale = if object.contains_key("scale") { number("scale")? } else { 0 };
            if precision == 0 || scale > precision {
                return None;
            }
            // One too large for a column is kept as such, so that it can be refused by name.
            let scale = i8::try_from(scale).unwrap_or(i8::MAX);
            Logical::Decimal { precision: u8::try_from(precision).unwrap_or(u8::MAX), scale }
        }
        "date" => Logical::Date,
        "time-millis" => Logical::TimeMillis,
        "time-micros" => Logical::TimeMicros,
        "timestamp-millis" => Logical::Timestamp(Unit::Millis),
        "timestamp-micros" => Logical::Timestamp(Unit::Micros),
        "timestamp-nanos" => Logical::Timestamp(Unit::Nanos),
        "local-timestamp-millis" => Logical::LocalTimestamp(Unit::Millis),
        "local-timestamp-micros" => Logical::LocalTimestamp(Unit::Micros),
        "local-timestamp-nanos" => Logical::LocalTimestamp(Unit::Nanos),
        "uuid" => Logical::Uuid,
        _ => return None,
    })
}

//! JSON lines to rows of values, and back.

use serde_json::Value;

use super::table::Scalar;
use crate::kind::Kind;
use crate::wit::Field;

/// `auth string, ts long!` as fields.
pub(super) fn parse_schema(schema: &str) -> Result<Vec<Field>, String> {
    schema.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()).map(parse_field).collect()
}

fn parse_field(text: &str) -> Result<Field, String> {
    let (name, kind) = text.split_once(char::is_whitespace).ok_or_else(|| format!("schema: `{text}` has no type"))?;
    let (kind, nullable) = match kind.trim().strip_suffix('!') {
        Some(kind) => (kind, false),
        None => (kind.trim(), true),
    };
    let known = Kind::ALL
        .into_iter()
        .find(|known| known.name() == kind)
        .ok_or_else(|| format!("schema: `{kind}` is not a type; known: {}", Kind::ALL.map(Kind::name).join(", ")))?;
    Ok(Field { name: name.to_owned(), format: known.format().to_owned(), nullable })
}

/// One row of values per line that is not empty.
pub(super) fn parse_rows(fields: &[Field], lines: &str) -> Result<Vec<Vec<Option<Scalar>>>, String> {
    let lines = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| parse_row(fields, line).map_err(|problem| format!("line {}: {problem}", at + 1))).collect()
}

fn parse_row(fields: &[Field], line: &str) -> Result<Vec<Option<Scalar>>, String> {
    let Value::Object(object) = serde_json::from_str(line).map_err(|error| error.to_string())? else {
        return Err("not an object".to_owned());
    };
    if let Some(name) = object.keys().find(|name| !fields.iter().any(|field| field.name == **name)) {
        return Err(format!("`{name}` is not in the schema"));
    }
    let value = |field: &Field| {
        let value = object.get(&field.name).unwrap_or(&Value::Null);
        match from_value(value, field) {
            None if value.is_null() => match field.nullable {
                true => Ok(None),
                false => Err(format!("`{}` is null", field.name)),
            },
            Some(scalar) => Ok(Some(scalar)),
            None => Err(format!("`{}` cannot be {value}", field.name)),
        }
    };
    fields.iter().map(value).collect()
}

fn from_value(value: &Value, field: &Field) -> Option<Scalar> {
    match Kind::from_format(&field.format)? {
        Kind::Boolean => value.as_bool().map(Scalar::Boolean),
        Kind::Int => value.as_i64().and_then(|value| i32::try_from(value).ok()).map(Scalar::Int),
        Kind::Long | Kind::Timestamp => value.as_i64().map(Scalar::Long),
        Kind::Float => value.as_f64().map(|value| Scalar::Float(value as f32)),
        Kind::Double => value.as_f64().map(Scalar::Double),
        Kind::Text | Kind::Binary => value.as_str().map(|text| Scalar::Bytes(text.as_bytes().to_vec())),
    }
}

pub(super) fn to_value(scalar: &Option<Scalar>) -> Value {
    match scalar {
        None => Value::Null,
        Some(Scalar::Boolean(value)) => (*value).into(),
        Some(Scalar::Int(value)) => (*value).into(),
        Some(Scalar::Long(value)) => (*value).into(),
        Some(Scalar::Float(value)) => (*value).into(),
        Some(Scalar::Double(value)) => (*value).into(),
        Some(Scalar::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => bytes.as_slice().into(),
        },
    }
}

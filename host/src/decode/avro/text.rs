//! The columns of a table as an Avro schema.

use serde_json::{Value, json};

use crate::decode::schema::{EventField, EventType};

/// The record of these fields, as [`super::AvroSchema::columns`] reads it back.
pub(crate) fn record(name: &str, fields: &[EventField]) -> Value {
    let field = |field: &EventField| {
        let kind = kind(&field.kind, &format!("{name}_{}", field.name));
        match field.required {
            true => json!({ "name": field.name, "type": kind }),
            false => json!({ "name": field.name, "type": ["null", kind], "default": null }),
        }
    };
    json!({ "type": "record", "name": avro_name(name), "fields": fields.iter().map(field).collect::<Vec<_>>() })
}

/// `name`: what a record there is called, since each needs a name of its own.
fn kind(kind: &EventType, name: &str) -> Value {
    let logical = |of: &str, logical: &str| json!({ "type": of, "logicalType": logical });
    match kind {
        EventType::String => json!("string"),
        EventType::Int => json!("int"),
        EventType::Long => json!("long"),
        EventType::Float => json!("float"),
        EventType::Double => json!("double"),
        EventType::Boolean => json!("boolean"),
        EventType::TimestampMillis | EventType::TimestampMicros | EventType::TimestampRfc3339 => {
            logical("long", "timestamp-micros")
        }
        EventType::LocalTimestamp => logical("long", "local-timestamp-micros"),
        EventType::Date => logical("int", "date"),
        EventType::Binary => json!("bytes"),
        EventType::Decimal(precision, scale) => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
        }
        EventType::List(item) => json!({ "type": "array", "items": ["null", self::kind(item, name)] }),
        EventType::Map(value) => json!({ "type": "map", "values": ["null", self::kind(value, name)] }),
        EventType::Struct(fields) => record(name, fields),
    }
}

/// Avro's names are letters, digits and underscores.
fn avro_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

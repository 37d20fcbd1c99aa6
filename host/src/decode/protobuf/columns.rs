//! The columns of a table that holds all of a message.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::node::is_wrapper;
use crate::decode::schema::{EventField, EventType, MAX_DEPTH};

/// What a whole number of 64 bits without a sign may be.
const UNSIGNED: EventType = EventType::Decimal(20, 0);

/// A column for each field, as `docs/schema-registry.md` lists types; required where a message cannot say that it is not there.
///
/// The error says which field can be no column, and why.
pub(crate) fn columns(message: &MessageDescriptor) -> Result<Vec<EventField>, String> {
    fields(message, MAX_DEPTH)
}

fn fields(message: &MessageDescriptor, depth: usize) -> Result<Vec<EventField>, String> {
    let field = |field: FieldDescriptor| {
        let kind = column(&field, depth).map_err(|why| format!("field {:?}: {why}", field.name()))?;
        let required = !field.supports_presence();
        Ok(EventField { name: field.name().to_owned(), kind, required })
    };
    message.fields().map(field).collect()
}

fn column(field: &FieldDescriptor, depth: usize) -> Result<EventType, String> {
    let kind = field.kind();
    if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
        let value = one(&entry.map_entry_value_field().kind(), deeper(depth)?)?;
        return Ok(EventType::Map(Box::new(value)));
    }
    if field.is_list() {
        return Ok(EventType::List(Box::new(one(&kind, deeper(depth)?)?)));
    }
    one(&kind, depth)
}

fn deeper(depth: usize) -> Result<usize, String> {
    depth.checked_sub(1).ok_or_else(|| format!("types nest deeper than {MAX_DEPTH}"))
}

fn one(kind: &Kind, depth: usize) -> Result<EventType, String> {
    Ok(match kind {
        Kind::Bool => EventType::Boolean,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => EventType::Int,
        Kind::Uint32 | Kind::Fixed32 | Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => EventType::Long,
        Kind::Uint64 | Kind::Fixed64 => UNSIGNED,
        Kind::Float => EventType::Float,
        Kind::Double => EventType::Double,
        Kind::String | Kind::Enum(_) => EventType::String,
        Kind::Bytes => EventType::Binary,
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => EventType::TimestampMicros,
            "google.protobuf.Duration" => EventType::Long,
            "confluent.type.Decimal" => {
                return Err(
                    "how many digits a confluent.type.Decimal has is not in the schema: write [schema]".to_owned()
                );
            }
            name if is_wrapper(name) => {
                let value = message.get_field(1).ok_or("a message around a value has none")?;
                one(&value.kind(), depth)?
            }
            name => match fields(message, deeper(depth)?)? {
                none if none.is_empty() => return Err(format!("the message {name} has no fields")),
                fields => EventType::Struct(fields),
            },
        },
    })
}

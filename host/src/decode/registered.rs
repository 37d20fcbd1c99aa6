//! The table's columns, where they are those of a registered schema.

use serde_json::Value;

use super::avro::{self, AvroSchema};
use super::protobuf::{self, ProtobufFile};
use super::schema::EventSchema;
use crate::schema_registry::{Kind, Registered};

/// The columns that hold all of a schema: of Protobuf, of the first message of its file.
///
/// The error says what can be no column, and why.
pub fn event_schema(registered: &Registered) -> Result<EventSchema, String> {
    columns_of_type(registered, &[0])
}

/// The same, of Protobuf of the type at `place` of its file.
pub(crate) fn columns_of_type(registered: &Registered, place: &[usize]) -> Result<EventSchema, String> {
    let referenced = || registered.referenced.iter();
    let fields = match registered.kind {
        Kind::Avro => AvroSchema::parse(&registered.text, referenced().map(|one| one.text.as_str()))?.columns()?,
        Kind::Protobuf => {
            let imports = referenced().map(|one| (one.name.as_str(), one.text.as_str()));
            let file = ProtobufFile::parse(&registered.text, imports)?;
            protobuf::columns(&file.message(place).ok_or("the file declares no such message")?)?
        }
        Kind::Json => return Err("columns are not made of JSON Schema: write them into [schema]".to_owned()),
    };
    EventSchema::new(fields)
}

/// Whether messages of this schema (of Protobuf, those of its first type) become rows of `table`.
///
/// The error says which field cannot be made of what.
pub fn fits(registered: &Registered, table: &EventSchema) -> Result<(), String> {
    let referenced = || registered.referenced.iter();
    match registered.kind {
        Kind::Avro => {
            let writer = AvroSchema::parse(&registered.text, referenced().map(|one| one.text.as_str()))?;
            avro::Plan::new(&writer, table).map(drop)
        }
        Kind::Protobuf => {
            let imports = referenced().map(|one| (one.name.as_str(), one.text.as_str()));
            let file = ProtobufFile::parse(&registered.text, imports)?;
            let message = file.message(&[0]).ok_or("the file declares no message")?;
            protobuf::Plan::new(&message, table).map(drop)
        }
        Kind::Json => Err("what messages of a JSON Schema hold is seen only when they come".to_owned()),
    }
}

/// The columns of a table as an Avro schema; `name`: what its record is called.
pub fn avro_schema(name: &str, table: &EventSchema) -> Value {
    avro::record(name, &table.fields)
}

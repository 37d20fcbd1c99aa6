//! The table's columns, where they are those of a registered schema.

use super::avro::AvroSchema;
use super::protobuf::{self, ProtobufFile};
use super::schema::EventSchema;
use crate::schema_registry::{Kind, Registered};

/// The columns that hold all of a schema: of Protobuf, of the first message of its file.
///
/// The error says what can be no column, and why.
pub fn event_schema(registered: &Registered) -> Result<EventSchema, String> {
    let referenced = || registered.referenced.iter();
    let fields = match registered.kind {
        Kind::Avro => AvroSchema::parse(&registered.text, referenced().map(|one| one.text.as_str()))?.columns()?,
        Kind::Protobuf => {
            let imports = referenced().map(|one| (one.name.as_str(), one.text.as_str()));
            let file = ProtobufFile::parse(&registered.text, imports)?;
            protobuf::columns(&file.message(&[0]).ok_or("the file declares no message")?)?
        }
        Kind::Json => return Err("columns are not made of JSON Schema: write them into [schema]".to_owned()),
    };
    EventSchema::new(fields)
}

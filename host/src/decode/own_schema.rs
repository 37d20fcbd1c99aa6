//! Framed messages by the schemas that they name, whatever columns a table has: for people who look at them.
//!
//! The schema's own columns hold all of a message, so what a table leaves out is seen as well.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::confluent;
use super::framed::FramedDecoder;
use super::registered::columns_of_type;
use super::{Decoded, Format};
use crate::reason;
use crate::schema_registry::{Kind, LookUp, Registered, Schemas};
use crate::source::Messages;

/// The type of a message: the id of its schema and, of Protobuf, its place there.
type TypeId = (u32, Vec<usize>);

/// So many decoders are kept: a topic of nonsense names any number of types.
const KEPT: usize = 256;

/// Reads messages one by one.
pub struct OwnSchemaDecoder {
    schemas: Arc<Schemas>,
    by_type: HashMap<TypeId, Result<FramedDecoder, String>>,
}

/// What a message is by its own schema.
#[derive(Debug)]
pub enum Own {
    /// It names none.
    NotFramed,
    /// It names this one, which is being asked for.
    Waiting(u32),
    /// One row with the schema's columns.
    Row(u32, RecordBatch),
    /// JSON, which says itself what it is: the bytes behind the frame.
    Json(u32, Vec<u8>),
    /// Why it cannot be read: a built-in reason, and what was found.
    Problem(u32, &'static str, String),
}

impl OwnSchemaDecoder {
    /// A decoder of messages whose schemas are in this registry.
    pub fn new(schemas: Arc<Schemas>) -> Self {
        Self { schemas, by_type: HashMap::new() }
    }

    /// Reads the only message of `messages`. It never waits: of a schema that is not known yet it says so.
    pub fn read(&mut self, messages: &dyn Messages) -> Own {
        let payload = if messages.is_empty() { None } else { messages.get(0).payload };
        let Some((id, body)) = payload.and_then(confluent::unframed) else { return Own::NotFramed };
        let registered = match self.schemas.look_up(id) {
            LookUp::Known(registered) => registered,
            LookUp::Waiting => return Own::Waiting(id),
            LookUp::Missing => {
                let detail = format!("the message names schema {id}, which the registry does not have");
                return Own::Problem(id, reason::UNKNOWN_SCHEMA, detail);
            }
        };
        let place = match registered.kind {
            Kind::Json => return Own::Json(id, body.to_vec()),
            Kind::Avro => Vec::new(),
            Kind::Protobuf => match confluent::message_place(body) {
                Some((place, _)) => place,
                None => {
                    let detail = "behind the id of the schema nothing says which of its types the message is";
                    return Own::Problem(id, reason::NOT_FRAMED, detail.to_owned());
                }
            },
        };
        if self.by_type.len() >= KEPT {
            self.by_type.clear();
        }
        let schemas = &self.schemas;
        let decoder = self.by_type.entry((id, place)).or_insert_with_key(|(_, place)| {
            let schema = columns_of_type(&registered, place)?;
            Ok(FramedDecoder::new(&schema, format(&registered), Arc::clone(schemas)))
        });
        match decoder {
            Ok(decoder) => match decoder.is_ready(messages) {
                true => row(id, decoder.decode(messages)),
                false => Own::Waiting(id),
            },
            Err(why) => Own::Problem(id, reason::INCOMPATIBLE_SCHEMA, format!("schema {id} of the message: {why}")),
        }
    }
}

fn format(registered: &Registered) -> Format {
    if registered.kind == Kind::Protobuf { Format::Protobuf } else { Format::Avro }
}

fn row(id: u32, decoded: Decoded) -> Own {
    match decoded.undecodable.into_iter().next() {
        Some(one) => Own::Problem(id, one.reason, one.detail),
        None => Own::Row(id, decoded.rows),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::source::{Message, OwnedMessages};

    fn registered(kind: Kind, text: &str) -> Registered {
        Registered { kind, text: text.to_owned(), referenced: Vec::new() }
    }

    fn read(decoder: &mut OwnSchemaDecoder, payload: Option<&[u8]>) -> Own {
        let mut one = OwnedMessages::default();
        one.push(Message { offset: 7, timestamp_ms: None, key: None, payload });
        decoder.read(&one)
    }

    #[tokio::test]
    async fn all_of_a_message_is_read_by_the_schema_that_it_names() {
        let avro = r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": "long"}]}"#;
        let endless = r#"{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}"#;
        let protobuf = "syntax = \"proto3\"; message A {} message B { int64 n = 1; }";
        let schemas = Schemas::knowing(
            [
                (1, registered(Kind::Avro, avro)),
                (2, registered(Kind::Json, "{}")),
                (3, registered(Kind::Avro, endless)),
                (4, registered(Kind::Protobuf, protobuf)),
            ],
            &[9],
        );
        let mut decoder = OwnSchemaDecoder::new(schemas);
        let framed = confluent::framed;
        for nothing in [None, Some(&b"{}"[..]), Some(&b""[..])] {
            assert!(matches!(read(&mut decoder, nothing), Own::NotFramed));
        }
        let Own::Row(1, rows) = read(&mut decoder, Some(&framed(1, &[84]))) else { panic!("a row") };
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[42]);
        // The second type of the file: a list of one place, 1, then field 1 with 5.
        let Own::Row(4, rows) = read(&mut decoder, Some(&framed(4, &[2, 2, 8, 5]))) else { panic!("a row") };
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[5]);
        let Own::Json(2, body) = read(&mut decoder, Some(&framed(2, b"[1]"))) else { panic!("JSON") };
        assert_eq!(body, b"[1]");
        let problems: [(u32, &[u8], &str); 4] = [
            (9, b"", reason::UNKNOWN_SCHEMA),
            (1, b"\xff", reason::MALFORMED_AVRO),
            (3, &[0], reason::INCOMPATIBLE_SCHEMA),
            (4, b"", reason::NOT_FRAMED),
        ];
        for (id, body, wanted) in problems {
            let found = read(&mut decoder, Some(&framed(id, body)));
            assert!(matches!(found, Own::Problem(of, reason, _) if of == id && reason == wanted), "{id}: {found:?}");
        }
        assert!(matches!(read(&mut decoder, Some(&framed(77, b""))), Own::Waiting(77)));
    }
}

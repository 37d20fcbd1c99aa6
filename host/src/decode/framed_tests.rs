//! Batches of framed messages: several writers, and everything that is none.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::*;
use crate::decode::schema::{EventField, EventType};
use crate::decode::{Decoder, Decoding, Format};
use crate::source::{Message, OwnedMessages, SourceBatch, TopicPartition};

fn table() -> EventSchema {
    let field = |name: &str, text: &str| {
        let (kind, required) = EventType::parse(text).unwrap();
        EventField { name: name.into(), kind, required }
    };
    EventSchema::new(vec![field("id", "long!"), field("name", "string")]).unwrap()
}

fn avro(fields: &str) -> Registered {
    let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
    Registered { kind: Kind::Avro, text, referenced: Vec::new() }
}

fn batch(payloads: &[Option<Vec<u8>>]) -> SourceBatch {
    let mut messages = OwnedMessages::default();
    for (offset, payload) in (0..).zip(payloads) {
        messages.push(Message { offset, timestamp_ms: None, key: None, payload: payload.as_deref() });
    }
    let next = payloads.len() as i64;
    SourceBatch { topic_partition: TopicPartition::new("t", 0), messages: Box::new(messages), next }
}

type Names = Vec<Option<String>>;
type Reasons = Vec<(u32, &'static str)>;

/// Ids, names, and the reasons by message.
fn sorted(decoded: &Decoded) -> (Vec<i64>, Names, Reasons) {
    let rows: &RecordBatch = &decoded.rows;
    let ids = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    let names = rows.column(1).as_string::<i32>().iter().map(|name| name.map(str::to_owned)).collect();
    (ids, names, decoded.undecodable.iter().map(|one| (one.message, one.reason)).collect())
}

#[tokio::test]
async fn every_message_is_a_row_or_has_a_reason() {
    let writers = [
        (1, avro(r#"{"name": "id", "type": "long"}, {"name": "name", "type": "string"}"#)),
        (2, avro(r#"{"name": "more", "type": "int"}, {"name": "id", "type": "int"}"#)),
        (4, avro(r#"{"name": "id", "type": "string"}"#)),
        (5, Registered { kind: Kind::Protobuf, ..avro("") }),
        (6, avro("{")),
    ];
    let schemas = Schemas::knowing(writers, &[3]);
    let decoding = Decoding { schema: table(), format: Format::Avro, schemas: Some(schemas) };
    let mut decoder = decoding.decoder().unwrap();
    let batch = batch(&[
        Some(confluent::framed(1, b"\x0e\x02a")),
        Some(confluent::framed(2, b"\x00\x10")),
        Some(confluent::framed(3, b"\x0e")),
        Some(confluent::framed(4, b"\x02a")),
        Some(confluent::framed(5, b"")),
        Some(confluent::framed(6, b"")),
        Some(confluent::framed(1, b"\x0e\x08a")),
        Some(confluent::framed(1, b"\x0e\x02\xff")),
        Some(confluent::framed(1, b"\x0e\x02a\x00")),
        None,
        Some(b"{\"id\":1}".to_vec()),
        Some(confluent::framed(1, b"\x12\x02b")),
    ]);
    assert!(decoder.is_ready(&batch));
    let decoded = decoder.decode(&batch).unwrap();
    let (ids, names, reasons) = sorted(&decoded);
    assert_eq!((ids, decoded.messages.clone()), (vec![7, 8, 9], vec![0, 1, 11]));
    assert_eq!(names, [Some("a".to_owned()), None, Some("b".to_owned())]);
    assert_eq!(
        reasons,
        [
            (2, "unknown-schema"),
            (3, "incompatible-schema"),
            (4, "incompatible-schema"),
            (5, "incompatible-schema"),
            (6, "malformed-avro"),
            (7, "invalid-utf8"),
            (8, "trailing-data"),
            (9, "null-payload"),
            (10, "not-framed"),
        ]
    );
    assert!(decoded.undecodable[1].detail.contains("field \"id\""), "{}", decoded.undecodable[1].detail);
}

#[tokio::test]
async fn a_batch_with_an_unknown_id_is_not_decoded() {
    let writers = [(1, avro(r#"{"name": "id", "type": "long"}"#))];
    let decoding = Decoding { schema: table(), format: Format::Avro, schemas: Some(Schemas::knowing(writers, &[])) };
    let mut decoder = decoding.decoder().unwrap();
    let known = batch(&[Some(confluent::framed(1, b"\x02"))]);
    let unknown = batch(&[Some(confluent::framed(1, b"\x02")), Some(confluent::framed(9, b"\x02"))]);
    assert!(!decoder.is_ready(&unknown));
    assert!(decoder.decode(&unknown).unwrap_err().to_string().contains("not known yet"));
    assert!(decoder.is_ready(&known));
    assert_eq!(decoder.decode(&known).unwrap().messages, [0]);
}

#[test]
fn framed_json_needs_its_frame_and_no_registry() {
    let decoding = Decoding { schema: table(), format: Format::JsonSchema, schemas: None };
    let mut decoder = decoding.decoder().unwrap();
    assert!(matches!(decoder, Decoder::FramedJson(_)));
    let batch = batch(&[Some(confluent::framed(9, b"{\"id\":1}")), Some(b"{\"id\":2}".to_vec()), None]);
    let decoded = decoder.decode(&batch).unwrap();
    assert_eq!(sorted(&decoded), (vec![1], vec![None], vec![(1, "not-framed"), (2, "null-payload")]));
    let none = Decoding { schema: table(), format: Format::Avro, schemas: None };
    assert!(none.decoder().err().unwrap().to_string().contains("[schema_registry]"));
}

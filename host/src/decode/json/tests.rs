//! What the JSON decoder takes and refuses.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};

use super::*;
use crate::decode::schema::{EventField, EventType};
use crate::source::{Message, OwnedMessages};

/// A schema of `name: type` pairs.
pub(super) fn schema(fields: &[(&str, &str)]) -> EventSchema {
    let field = |(name, text): &(&str, &str)| {
        let (kind, required) = match text.strip_prefix("rfc3339 ") {
            Some(text) => EventType::parse_with_format(text, "rfc3339").unwrap(),
            None => EventType::parse(text).unwrap(),
        };
        EventField { name: (*name).into(), kind, required }
    };
    EventSchema::new(fields.iter().map(field).collect()).unwrap()
}

/// Messages with these payloads.
pub(super) fn messages<P: AsRef<[u8]>>(payloads: &[P]) -> OwnedMessages {
    let mut messages = OwnedMessages::default();
    for (offset, payload) in (0..).zip(payloads) {
        messages.push(Message { offset, timestamp_ms: None, key: None, payload: Some(payload.as_ref()) });
    }
    messages
}

/// Decodes one payload of a schema with one field `a` and says what came out: the value as Arrow prints it, or the reason.
fn one(kind: &str, payload: &str) -> String {
    let mut decoder = JsonDecoder::new(&schema(&[("a", kind)]));
    let decoded = decoder.decode_messages(&messages(&[payload]));
    match decoded.undecodable.as_slice() {
        [] => {
            let column = decoded.rows.column(0);
            // Arrow prints times only with a time zone database, which we do without.
            match column.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(times) => times.value(0).to_string(),
                None => arrow::util::display::array_value_to_string(column, 0).unwrap(),
            }
        }
        [bad] => bad.reason.to_owned(),
        more => panic!("{more:?}"),
    }
}

#[test]
fn values_by_type() {
    for (kind, value, expected) in [
        ("string", r#""x""#, "x"),
        ("string", r#""""#, ""),
        ("string", r#""aA\n\ud83d\ude00""#, "aA\n\u{1f600}"),
        ("string", "\"é\u{7f}\"", "é\u{7f}"),
        ("string", "\"\u{1}\"", "not-json"),
        ("string", r#""\ud83d""#, "not-json"),
        ("string", r#""\x""#, "not-json"),
        ("string", "1", "wrong-type"),
        ("string", "true", "wrong-type"),
        ("string", "[]", "wrong-type"),
        ("string", "null", ""),
        ("string!", "null", "missing-field"),
        ("int", "2147483647", "2147483647"),
        ("int", "2147483648", "out-of-range"),
        ("int", "-2147483649", "out-of-range"),
        ("int", "-0", "0"),
        ("int", "1.0", "wrong-type"),
        ("int", "1e2", "wrong-type"),
        ("int", "\"1\"", "wrong-type"),
        ("int", "01", "not-json"),
        ("int", "+1", "not-json"),
        ("int", "-", "not-json"),
        ("int", "1.", "not-json"),
        ("int", ".5", "not-json"),
        ("int", "1e", "not-json"),
        ("int", "NaN", "not-json"),
        ("date", "\"2026-11-24\"", "2026-11-24"),
        ("date", "\"1969-12-31\"", "1969-12-31"),
        ("date", "\"2026-02-29\"", "wrong-type"),
        ("date", "\"2026-11-24T00:00:00\"", "wrong-type"),
        ("date", "20000", "wrong-type"),
        ("local-timestamp(us)", "\"1970-01-01T00:00:01.5\"", "1500000"),
        ("local-timestamp(us)", "\"1970-01-01T00:00:01Z\"", "wrong-type"),
        ("local-timestamp(us)", "1500000", "wrong-type"),
        ("struct<a:long!,b:string>", "{\"b\":\"x\",\"a\":1,\"c\":[]}", "{a: 1, b: x}"),
        ("struct<a:long!,b:string>", "{\"a\":2,\"a\":3}", "{a: 3, b: }"),
        ("struct<a:long!,b:string>", "{\"b\":\"x\"}", "missing-field"),
        ("struct<a:long!,b:string>", "{\"a\":null}", "missing-field"),
        ("struct<a:long!,b:string>", "{\"a\":\"1\"}", "wrong-type"),
        ("struct<a:long!,b:string>", "[1]", "wrong-type"),
        ("struct<a:long!,b:string>", "null", ""),
        ("list<struct<a:int>>", "[{\"a\":1},null,{}]", "[{a: 1}, , {a: }]"),
        ("map<string,long>", "{\"x\":1,\"y\":null,\"x\":2}", "{x: 2, y: }"),
        ("map<string,long>", "{\"x\":\"1\"}", "wrong-type"),
        ("map<string,long>", "{\"\\ud83d\":1}", "not-json"),
        ("map<string,list<date>>", "{\"x\":[\"2026-11-24\"]}", "{x: [2026-11-24]}"),
        ("long", "-9223372036854775808", "-9223372036854775808"),
        ("long", "9223372036854775808", "out-of-range"),
        ("long", "99999999999999999999999", "out-of-range"),
        ("double", "1", "1.0"),
        ("double", "-0", "-0.0"),
        ("double", "1.5e3", "1500.0"),
        ("double", "1E400", "out-of-range"),
        ("double", "1e-400", "0.0"),
        ("double", "\"1\"", "wrong-type"),
        ("float", "0.1", "0.1"),
        ("float", "1e39", "out-of-range"),
        ("boolean", "true", "true"),
        ("boolean", "0", "wrong-type"),
        ("boolean", "True", "not-json"),
        ("timestamp(ms)", "1700000000123", "1700000000123000"),
        ("timestamp(ms)", "9223372036854776", "out-of-range"),
        ("timestamp(ms)", "\"2023-11-14T22:13:20Z\"", "wrong-type"),
        ("timestamp(us)", "1700000000123456", "1700000000123456"),
        ("timestamp(us)", "1.5", "wrong-type"),
        ("rfc3339 timestamp(us)", "\"2023-11-14T23:13:20.1234567+01:00\"", "1700000000123456"),
        ("rfc3339 timestamp(us)", "\"2023-02-30T00:00:00Z\"", "wrong-type"),
        ("rfc3339 timestamp(us)", "1700000000123", "wrong-type"),
        ("binary", "\"AQ+/\"", "010fbf"),
        ("binary", r#""AQ+\/""#, "010fbf"),
        ("binary", "\"AQ==\"", "01"),
        ("binary", "\"AQ\"", "wrong-type"),
        ("binary", "\"AR==\"", "wrong-type"),
        ("binary", "\"A_8=\"", "wrong-type"),
        ("decimal(10,2)", "1.25", "1.25"),
        ("decimal(10,2)", "\"-1.5\"", "-1.50"),
        ("decimal(10,2)", "1e2", "100.00"),
        ("decimal(10,2)", "1.255", "out-of-range"),
        ("decimal(10,2)", "100000000", "out-of-range"),
        ("decimal(10,2)", "\"1,5\"", "wrong-type"),
        ("decimal(10,2)", "\"\"", "wrong-type"),
        ("decimal(38,0)", "12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("list<int>", "[1, null,3]", "[1, , 3]"),
        ("list<int>", "[]", "[]"),
        ("list<int>", "[1,\"x\"]", "wrong-type"),
        ("list<int>", "1", "wrong-type"),
        ("list<list<string>>", "[[\"a\"],null,[]]", "[[a], , []]"),
    ] {
        let payload = format!("{{\"a\":{value}}}");
        assert_eq!(one(kind, &payload), expected, "{kind}: {value}");
    }
}

#[test]
fn messages_that_are_no_event() {
    for (payload, expected) in [
        ("", "not-json"),
        (" ", "not-json"),
        ("{", "not-json"),
        ("{\"a\":1", "not-json"),
        ("{\"a\":1,}", "not-json"),
        ("{'a':1}", "not-json"),
        ("{\"a\" 1}", "not-json"),
        ("{\"a\":1 \"b\":2}", "not-json"),
        ("{\"\\ud800\":1}", "not-json"),
        ("\u{feff}{}", "not-json"),
        ("{\"a\":\"wrong type\",]", "not-json"),
        ("[1]", "not-an-object"),
        ("[1", "not-json"),
        ("1e400", "not-an-object"),
        ("null", "not-an-object"),
        ("{}{}", "trailing-data"),
        ("{} x", "trailing-data"),
        ("{\"a\":\"wrong type\"} 1", "trailing-data"),
        ("1 2", "trailing-data"),
        ("{\"a\":\"x\",\"a\":1}", "1"),
        ("{\"a\":1,\"a\":\"x\"}", "wrong-type"),
        ("{\"a\":1,\"a\":null}", ""),
        ("{\"\\u0061\":1}", "1"),
        (" \t\r\n{ \"a\" : 1 } \n", "1"),
        ("{\"A\":2,\"b\":{\"a\":3},\"a\":1}", "1"),
        ("{\"b\":01,\"a\":1}", "not-json"),
        ("{\"b\":1e400,\"a\":1}", "1"),
    ] {
        assert_eq!(one("long", payload), expected, "{payload}");
    }
}

#[test]
fn details_name_the_field_and_what_was_wanted() {
    for (payload, detail) in [
        (r#"{"ts":"abc"}"#, r#"field "ts": found the string "abc", wanted an integer (long)"#),
        (r#"{"ts":1.5}"#, r#"field "ts": found the number 1.5, wanted an integer (long)"#),
        (r#"{"ts":9223372036854775808}"#, r#"field "ts": found the number 9223372036854775808, which a long cannot"#),
        (r#"{"ids":[1,true]}"#, r#"field "ids": item 1: found the boolean true, wanted an integer (int)"#),
        ("{}", r#"field "ts" is missing, and it is required (long!)"#),
        (r#"{"ts":null}"#, r#"field "ts" is null"#),
        ("[]", "found the list, wanted an object"),
        ("{}{}", "one message holds one object (at line 1 column 3)"),
        ("{\"ts\":}", "line 1 column 7"),
    ] {
        let mut decoder = JsonDecoder::new(&schema(&[("ids", "list<int>"), ("ts", "long!")]));
        let decoded = decoder.decode_messages(&messages(&[payload]));
        let found = &decoded.undecodable[0].detail;
        assert!(found.contains(detail), "{payload}: {found}");
    }
}

#[test]
fn good_and_bad_in_one_batch() {
    let fields =
        schema(&[("s", "string"), ("n", "int"), ("d", "double"), ("l", "list<string>"), ("t", "timestamp(ms)!")]);
    let mut decoder = JsonDecoder::new(&fields);
    for _ in 0..2 {
        let mut batch = messages(&[
            &br#"{"s":"one","n":1,"d":1.5,"l":["a","b"],"t":1}"#[..],
            br#"{"s":"bad","n":2,"d":2.5,"l":["c",1],"t":2}"#,
            br#"{"s":"bad","n":2,"l":["c"]}"#,
            br#"{"s":"b\xffd","t":1}"#,
            b"{\"s\":\"b\xffd\",\"t\":1}",
            br#"{"t":3,"l":["d"],"s":null}"#,
        ]);
        batch.push(Message { offset: 6, timestamp_ms: None, key: None, payload: None });
        batch.push(Message { offset: 7, timestamp_ms: None, key: None, payload: Some(br#"{"s":"last","t":4}"#) });
        let Decoded { rows, messages, undecodable } = decoder.decode_messages(&batch);
        assert_eq!(messages, [0, 5, 7]);
        let reasons: Vec<_> = undecodable.iter().map(|bad| (bad.message, bad.reason)).collect();
        assert_eq!(
            reasons,
            [(1, "wrong-type"), (2, "missing-field"), (3, "not-json"), (4, "invalid-utf8"), (6, "null-payload")]
        );
        assert_eq!(rows.schema(), fields.arrow);
        let strings: Vec<_> = rows.column(0).as_string::<i32>().iter().collect();
        assert_eq!(strings, [Some("one"), None, Some("last")]);
        assert_eq!(rows.column(1).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, None]);
        assert_eq!(rows.column(2).as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(1.5), None, None]);
        let lists = rows.column(3).as_list::<i32>();
        assert_eq!((lists.value_length(0), lists.value_length(1), lists.is_null(2)), (2, 1, true));
        assert_eq!(rows.column(4).as_primitive::<TimestampMicrosecondType>().values(), &[1_000, 3_000, 4_000]);
    }
}

#[test]
fn an_empty_batch_has_the_schema() {
    let fields = schema(&[("n", "long!")]);
    let decoded = JsonDecoder::new(&fields).decode_messages(&OwnedMessages::default());
    assert_eq!((decoded.rows.num_rows(), decoded.rows.schema()), (0, fields.arrow));
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().len(), 0);
}

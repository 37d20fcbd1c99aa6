//! The two paths against each other, and against a plain rule on serde_json's own values, with events that are mutated in
//! every way that a producer, a cut cable or an attacker finds.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::tests::{messages, schema};
use super::*;

/// One field of every type, required ones among them, and names that are each other's beginnings.
const FIELDS: &[(&str, &str)] = &[
    ("song", "string"),
    ("songs", "list<string>"),
    ("ts", "long!"),
    ("item", "int"),
    ("lat", "double"),
    ("duration", "float"),
    ("paid", "boolean"),
    ("at", "timestamp(ms)"),
    ("us", "timestamp(us)"),
    ("when", "rfc3339 timestamp(us)"),
    ("data", "binary"),
    ("price", "decimal(10,2)"),
    ("a key that is longer than sixteen bytes", "string!"),
    ("é", "long"),
];

/// What a field's value says by the plain rule: as text, so that all types compare alike.
fn plain_value(kind: &str, raw: &RawValue) -> Result<Option<String>, &'static str> {
    let text = raw.get();
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let integer = |low: i128, high: i128, unit: i128| {
        if !is_number || text.contains(['.', 'e', 'E']) {
            return Err("wrong-type");
        }
        let value = text.parse::<i128>().ok().filter(|value| (low..=high).contains(&(value * unit)));
        value.map(|value| Some((value * unit).to_string())).ok_or("out-of-range")
    };
    let string = || {
        if !text.starts_with('"') {
            return Err("wrong-type");
        }
        serde_json::from_str::<String>(text).map_err(|_| "not-json")
    };
    let (long_min, long_max) = (i128::from(i64::MIN), i128::from(i64::MAX));
    if text == "null" {
        return Ok(None);
    }
    match kind {
        "string" => string().map(Some),
        "int" => integer(i128::from(i32::MIN), i128::from(i32::MAX), 1),
        "long" | "timestamp(us)" => integer(long_min, long_max, 1),
        "timestamp(ms)" => integer(long_min, long_max, 1_000),
        "double" | "float" if is_number => {
            let finite = if kind == "double" {
                text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value.to_string())
            } else {
                text.parse::<f32>().ok().filter(|value| value.is_finite()).map(|value| value.to_string())
            };
            finite.map(Some).ok_or("out-of-range")
        }
        "boolean" if matches!(text, "true" | "false") => Ok(Some(text.to_owned())),
        "binary" => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(string()?).map_err(|_| "wrong-type")?;
            Ok(Some(format!("{bytes:?}")))
        }
        "rfc3339 timestamp(us)" => rfc3339::parse(&string()?).map(|us| Some(us.to_string())).ok_or("wrong-type"),
        "decimal(10,2)" => {
            let number = if is_number { text.to_owned() } else { string()? };
            if !literal::is_number(&number) {
                return Err("wrong-type");
            }
            literal::decimal(&number, 10, 2).map(|value| Some(value.to_string())).map_err(|_| "out-of-range")
        }
        "list<string>" => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| "wrong-type")?;
            let items: Vec<_> = items.into_iter().map(|item| plain_value("string", item)).collect::<Result<_, _>>()?;
            Ok(Some(format!("{items:?}")))
        }
        _ => Err("wrong-type"),
    }
}

/// What a whole message says by the plain rule.
fn plain_event(payload: &[u8]) -> Result<Vec<Option<String>>, &'static str> {
    let text = std::str::from_utf8(payload).map_err(|_| "invalid-utf8")?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
        if error.to_string().starts_with("trailing characters") { "trailing-data" } else { "not-json" }
    })?;
    if !whole.get().starts_with('{') {
        return Err("not-an-object");
    }
    let fields: HashMap<String, &RawValue> = serde_json::from_str(text).map_err(|_| "not-json")?;
    let values = FIELDS.iter().map(|(name, kind)| {
        let (plain, required) = kind.strip_suffix('!').map_or((*kind, false), |plain| (plain, true));
        let value = fields.get(*name).map_or(Ok(None), |raw| plain_value(plain, raw))?;
        if required && value.is_none() { Err("missing-field") } else { Ok(value) }
    });
    values.collect()
}

/// A row of a batch in the same form.
fn found_event(rows: &RecordBatch, row: usize) -> Vec<Option<String>> {
    FIELDS
        .iter()
        .zip(rows.columns())
        .map(|((_, kind), column)| {
            let long = || column.as_primitive::<Int64Type>().value(row).to_string();
            let time = || column.as_primitive::<TimestampMicrosecondType>().value(row).to_string();
            column.is_valid(row).then(|| match kind.trim_end_matches('!') {
                "string" => column.as_string::<i32>().value(row).to_owned(),
                "int" => column.as_primitive::<Int32Type>().value(row).to_string(),
                "long" => long(),
                "double" => column.as_primitive::<Float64Type>().value(row).to_string(),
                "float" => column.as_primitive::<Float32Type>().value(row).to_string(),
                "boolean" => column.as_boolean().value(row).to_string(),
                "binary" => format!("{:?}", column.as_binary::<i32>().value(row)),
                "decimal(10,2)" => column.as_primitive::<Decimal128Type>().value(row).to_string(),
                "list<string>" => {
                    let items = column.as_list::<i32>().value(row);
                    let items: Vec<_> = items.as_string::<i32>().iter().map(|item| item.map(str::to_owned)).collect();
                    format!("{items:?}")
                }
                _ => time(),
            })
        })
        .collect()
}

/// A JSON value as text: mostly what the type wants, sometimes anything.
fn value(kind: &'static str) -> BoxedStrategy<String> {
    let string = || {
        prop_oneof![
            6 => "[ -!#-\\[\\]-~é\u{1f600}]{0,40}".prop_map(|text| format!("\"{text}\"")),
            2 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            1 => prop::sample::select(vec![r#""\ud83d""#, r#""\u00e9\/\n""#, r#""\ud83d\ude00""#, "\"\u{7f}\""]).prop_map(str::to_owned),
        ]
    };
    let integer = || {
        prop_oneof![
            4 => (-200_i64..200).prop_map(|value| value.to_string()),
            4 => (1_400_000_000_000_i64..1_900_000_000_000).prop_map(|value| value.to_string()),
            2 => any::<i64>().prop_map(|value| value.to_string()),
            1 => "-?[0-9]{1,25}",
        ]
    };
    let number = || {
        prop_oneof![
            2 => integer(),
            4 => "-?(0|[1-9][0-9]{0,6})[.][0-9]{1,8}",
            2 => "-?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
            1 => any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| value.to_string()),
        ]
    };
    let anything = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        string(),
        number(),
        prop::sample::select(vec![
            "[]",
            "{}",
            "[1,{\"a\":[null]}]",
            "{\"ts\":1}",
            "[\"a\",\"\\u0062\"]",
            "nul",
            "01",
            "1.",
            "-",
            "+1",
            "NaN"
        ])
        .prop_map(str::to_owned),
    ];
    let fitting = match kind {
        "string" => string().boxed(),
        "double" | "float" => number().boxed(),
        "boolean" => prop::sample::select(vec!["true", "false"]).prop_map(str::to_owned).boxed(),
        "binary" => {
            prop::sample::select(vec!["\"AQ==\"", "\"\"", "\"AQ\"", r#""AQ+\/""#]).prop_map(str::to_owned).boxed()
        }
        "rfc3339 timestamp(us)" => prop::sample::select(vec![
            "\"2026-11-24T00:30:00Z\"",
            "\"2026-11-24T00:30:00.5+01:00\"",
            "\"2026-02-30T00:00:00Z\"",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        "decimal(10,2)" => prop_oneof!["-?[1-9][0-9]{0,5}([.][0-9]{1,2})?", "\"[0-9]{1,5}([.][0-9]{1,3})?\""].boxed(),
        "list<string>" => prop::collection::vec(prop_oneof![4 => string(), 1 => Just("null".to_owned())], 0..3)
            .prop_map(|items| format!("[{}]", items.join(",")))
            .boxed(),
        _ => integer().boxed(),
    };
    prop_oneof![60 => fitting, 2 => Just("null".to_owned()), 1 => anything].boxed()
}

/// How an event is written.
#[derive(Debug, Clone)]
struct Event {
    /// Keys (as they stand in the text) and values.
    members: Vec<(String, String)>,
    comma: &'static str,
    colon: &'static str,
    around: &'static str,
}

impl Event {
    fn text(&self) -> String {
        let members: Vec<String> =
            self.members.iter().map(|(key, value)| format!("\"{key}\"{}{value}", self.colon)).collect();
        format!("{0}{{{0}{1}{0}}}{0}", self.around, members.join(self.comma))
    }
}

fn event() -> impl Strategy<Value = Event> {
    let fields: Vec<_> = FIELDS
        .iter()
        .map(|(name, kind)| {
            let present = prop::bool::weighted(if kind.ends_with('!') { 0.97 } else { 0.8 });
            (present, value(kind.trim_end_matches('!')))
                .prop_map(|(present, value)| present.then(|| ((*name).to_owned(), value)))
        })
        .collect();
    let other_key =
        prop::sample::select(vec!["other", "son", "Song", "x\\u0079", "\\u0074s", "ts", "ütf", "", "a\\\"b"]);
    let other = (other_key, value("string"), any::<prop::sample::Index>());
    let style = prop_oneof![
        8 => Just((",", ":", "")),
        2 => Just((", ", ": ", "")),
        1 => Just(("\n ,\t", " :\r", " ")),
    ];
    (fields, prop::collection::vec(other, 0..3), style, prop::bool::weighted(0.1), any::<prop::sample::Index>())
        .prop_map(|(fields, others, (comma, colon, around), rotate, by)| {
            let mut members: Vec<_> = fields.into_iter().flatten().collect();
            for (key, value, at) in others {
                members.insert(at.index(members.len() + 1), (key.to_owned(), value));
            }
            if rotate && !members.is_empty() {
                let by = by.index(members.len());
                members.rotate_left(by);
            }
            Event { members, comma, colon, around }
        })
}

/// A change to the bytes of an event.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    Truncate(prop::sample::Index),
    Append(&'static str),
}

impl Mutation {
    fn apply(&self, payload: &mut Vec<u8>) {
        match self {
            Self::Replace(at, byte) if !payload.is_empty() => {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            Self::Insert(at, byte) => payload.insert(at.index(payload.len() + 1), *byte),
            Self::Delete(at) if !payload.is_empty() => {
                payload.remove(at.index(payload.len()));
            }
            Self::Truncate(at) => payload.truncate(at.index(payload.len() + 1)),
            Self::Append(text) => payload.extend_from_slice(text.as_bytes()),
            _ => {}
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || {
        prop_oneof![
            prop::sample::select(b"\"\\{}[],: \n0123456789.-+eE\x00\x01\x1f\x7f\x80\xc3\xa9\xed\xff".to_vec()),
            any::<u8>(),
        ]
    };
    prop_oneof![
        (any::<prop::sample::Index>(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<prop::sample::Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<prop::sample::Index>().prop_map(Mutation::Delete),
        any::<prop::sample::Index>().prop_map(Mutation::Truncate),
        prop::sample::select(vec!["{}", " ", "x", "\n{\"ts\":1}", "}", ",", "\0"]).prop_map(Mutation::Append),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let mutations = prop_oneof![3 => Just(vec![]), 2 => prop::collection::vec(mutation(), 1..3)];
    (event(), mutations).prop_map(|(event, mutations)| {
        let mut payload = event.text().into_bytes();
        mutations.iter().for_each(|mutation| mutation.apply(&mut payload));
        payload
    })
}

fn check_agreement(
    fast: &mut JsonDecoder,
    general: &mut JsonDecoder,
    payloads: &[Vec<u8>],
) -> Result<(), TestCaseError> {
    let batch = messages(payloads);
    let found = fast.decode_messages(&batch);
    let expected = general.decode_messages(&batch);
    prop_assert_eq!(&found.undecodable, &expected.undecodable);
    prop_assert_eq!(&found.messages, &expected.messages);
    prop_assert_eq!(&found.rows, &expected.rows);

    let mut plain_rows = Vec::new();
    let mut plain_bad = Vec::new();
    for (index, payload) in (0_u32..).zip(payloads) {
        match plain_event(payload) {
            Ok(row) => plain_rows.push((index, row)),
            Err(reason) => plain_bad.push((index, reason)),
        }
    }
    let bad: Vec<_> = found.undecodable.iter().map(|bad| (bad.message, bad.reason)).collect();
    prop_assert_eq!(bad, plain_bad);
    let rows: Vec<_> =
        found.messages.iter().enumerate().map(|(row, message)| (*message, found_event(&found.rows, row))).collect();
    prop_assert_eq!(rows, plain_rows);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn all_paths_agree(batches in prop::collection::vec(prop::collection::vec(payload(), 1..8), 1..3)) {
        let schema = schema(FIELDS);
        let (mut fast, mut general) = (JsonDecoder::new(&schema), JsonDecoder::general_only(&schema));
        for payloads in batches {
            check_agreement(&mut fast, &mut general, &payloads)?;
        }
    }
}

/// Every single change of one byte of one event, between two good ones: what the random test might miss.
#[test]
fn every_byte_of_an_event_may_be_any_other() {
    let good =
        br#"{"ts":12,"song":"S\u00e9 e","lat":-1.50,"item":0,"a key that is longer than sixteen bytes":"","n":[1]}"#;
    let schema = schema(FIELDS);
    let (mut fast, mut general) = (JsonDecoder::new(&schema), JsonDecoder::general_only(&schema));
    for at in 0..good.len() {
        let mut payloads = vec![good.to_vec()];
        payloads.extend((0..=u8::MAX).map(|byte| {
            let mut changed = good.to_vec();
            changed[at] = byte;
            changed
        }));
        payloads.push(good[..at].to_vec());
        payloads.push(good.to_vec());
        check_agreement(&mut fast, &mut general, &payloads).unwrap();
    }
}

/// The rule above is serde_json's: what it takes for an event, serde_json takes for JSON, and the other way round, but for
/// what only a value can say (a number beyond a double, half of a surrogate pair).
#[test]
fn the_plain_rule_is_serde_jsons() {
    for payload in
        ["{\"ts\":1}", "{\"ts\":01}", "{\"ts\":1,}", "{\"ts\":1}{}", "{\"x\":\"\t\"}", "[1", "{\"ts\":1e400}"]
    {
        let is_json = serde_json::from_str::<Value>(payload).is_ok();
        let refused = matches!(plain_event(payload.as_bytes()), Err("not-json" | "trailing-data"));
        assert_eq!(refused, !is_json && !payload.contains("e400"), "{payload}");
    }
}

/// The fast path takes what it is meant to take: without this, the tests above could pass with a path that always gives up.
#[test]
fn the_fast_path_takes_ordinary_events() {
    let schema = schema(FIELDS);
    let mut expecting = Expecting::new(&schema);
    let mut columns: Vec<Column> = schema.fields.iter().map(|field| Column::new(&field.kind)).collect();
    let long = "\"a key that is longer than sixteen bytes\":\"x\"";
    for (row, event) in [
        format!("{{\"ts\":1,{long}}}"),
        format!("{{\"ts\":1,\"song\":\"a longer string than a block is\",{long},\"other\":\"x\",\"lat\":-1.25e3}}"),
        format!("{{{long},\"ts\":-1,\"song\":null,\"nested\":{{\"ts\":[1]}},\"songs\":[\"a\"],\"song\\u0020\":1}}").replace("\\u0020", " "),
        format!(" {{ {long} , \"ts\" : 1 , \"song\" : \"\\u00e9\" }} "),
        format!("{{\"ts\":1,\"price\":1.50,\"data\":\"AQ==\",\"when\":\"2026-11-24T00:30:00Z\",\"é\":9223372036854775807,{long}}}"),
    ]
    .iter()
    .enumerate()
    {
        assert!(expecting.row(event.as_bytes(), &mut columns, row), "{event}");
        assert!(columns.iter().all(|column| column.len() == row + 1));
    }
}

/// Random keys of an attacker are remembered up to a number.
#[test]
fn other_keys_do_not_fill_the_memory() {
    let schema = schema(&[("ts", "long!")]);
    let mut decoder = JsonDecoder::new(&schema);
    let payloads: Vec<String> = (0..5_000).map(|n| format!("{{\"key {n}\":{n},\"ts\":{n}}}")).collect();
    let decoded = decoder.decode_messages(&messages(&payloads));
    assert_eq!(decoded.rows.num_rows(), 5_000);
    assert!(decoder.expecting.is_some_and(|expecting| expecting.remembered() < 1_100));
}

//! What becomes of Avro's types, byte by byte, and of messages that are not what they say.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::schema::Type;
use super::{AvroSchema, Plan};
use crate::decode::Problem;
use crate::decode::column::Column;
use crate::decode::schema::{EventField, EventSchema, EventType};

/// A record with one field `a` of this type.
fn record(kind: &Value) -> AvroSchema {
    let schema = json!({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]});
    AvroSchema::parse(&schema.to_string(), []).unwrap()
}

fn table(kind: &str) -> EventSchema {
    let (kind, required) = EventType::parse(kind).unwrap();
    EventSchema::new(vec![EventField { name: "a".into(), kind, required }]).unwrap()
}

fn long(value: i64) -> Vec<u8> {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [long(bytes.len() as i64), bytes.to_vec()].concat()
}

/// A value in Avro's binary encoding, from JSON as Avro writes it: `{"string": "x"}` names a union's branch; bytes are text
/// whose characters are below 256.
fn encode(schema: &AvroSchema, kind: &Type, value: &Value) -> Vec<u8> {
    let raw = || value.as_str().unwrap().chars().map(|c| c as u8).collect::<Vec<u8>>();
    match kind {
        Type::Null => Vec::new(),
        Type::Boolean => vec![u8::from(value.as_bool().unwrap())],
        Type::Int(_) | Type::Long(_) => long(value.as_i64().unwrap()),
        Type::Float => (value.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
        Type::Double => value.as_f64().unwrap().to_le_bytes().to_vec(),
        Type::Bytes(_) => prefixed(&raw()),
        Type::String(_) => prefixed(value.as_str().unwrap().as_bytes()),
        Type::Fixed { .. } => raw(),
        Type::Enum(number) => {
            let symbols = &schema.enums[*number].symbols;
            long(symbols.iter().position(|symbol| symbol == value.as_str().unwrap()).unwrap() as i64)
        }
        Type::Record(number) => {
            let fields = schema.records[*number].fields.iter();
            fields.flat_map(|field| encode(schema, &field.kind, &value[&field.name])).collect()
        }
        Type::Array(item) => {
            let items = value.as_array().unwrap();
            let encoded: Vec<u8> = items.iter().flat_map(|value| encode(schema, item, value)).collect();
            if items.is_empty() { vec![0] } else { [long(items.len() as i64), encoded, vec![0]].concat() }
        }
        // With the size of the block, as a writer may say it.
        Type::Map(of) => {
            let entries = value.as_object().unwrap();
            let entry =
                |(key, value): (&String, &Value)| [prefixed(key.as_bytes()), encode(schema, of, value)].concat();
            let encoded: Vec<u8> = entries.iter().flat_map(entry).collect();
            let head = [long(-(entries.len() as i64)), long(encoded.len() as i64)].concat();
            if entries.is_empty() { vec![0] } else { [head, encoded, vec![0]].concat() }
        }
        Type::Union(branches) => {
            let (name, value) = match value {
                Value::Null => ("null", &Value::Null),
                value => value.as_object().unwrap().iter().next().map(|(name, value)| (name.as_str(), value)).unwrap(),
            };
            let branch = branches.iter().position(|branch| schema.branch_name(branch) == name).unwrap();
            [long(branch as i64), encode(schema, &branches[branch], value)].concat()
        }
    }
}

fn read(writer: &AvroSchema, table: &EventSchema, bodies: &[Vec<u8>]) -> Result<(Vec<String>, Vec<Problem>), String> {
    let plan = Plan::new(writer, table)?;
    let mut columns: Vec<Column> = table.fields.iter().map(|field| Column::new(&field.kind)).collect();
    let mut problems = Vec::new();
    let mut rows = 0;
    for body in bodies {
        match plan.row(body, &mut columns, true) {
            Ok(()) => rows += 1,
            Err(problem) => {
                columns.iter_mut().for_each(|column| column.truncate(rows));
                problems.push(*problem);
            }
        }
    }
    let column = columns[0].finish().unwrap();
    assert_eq!(column.len(), rows);
    let shown = |row| match column.as_primitive_opt::<TimestampMicrosecondType>() {
        _ if column.is_null(row) => "null".to_owned(),
        // Arrow prints times only with a time zone database, which we do without.
        Some(times) => times.value(row).to_string(),
        None => arrow::util::display::array_value_to_string(&column, row).unwrap(),
    };
    Ok(((0..rows).map(shown).collect(), problems))
}

fn logical(kind: &str, logical: &str) -> Value {
    json!({"type": kind, "logicalType": logical})
}

/// The table of `docs/schema-registry.md`, row by row: a type, its column's, a value, and the value as it stands there.
fn mapping() -> BTreeMap<&'static str, (Value, &'static str, Value, &'static str)> {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2});
    let fixed_decimal =
        json!({"type": "fixed", "name": "D", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 2});
    let uuid = json!({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"});
    let duration = json!({"type": "fixed", "name": "T", "size": 12, "logicalType": "duration"});
    let inner = json!({"type": "record", "name": "P", "fields": [
        {"name": "x", "type": "int"}, {"name": "y", "type": ["null", "string"]}]});
    let day_us = 1_767_225_600_000_000_i64;
    BTreeMap::from([
        ("boolean", (json!("boolean"), "boolean!", json!(true), "true")),
        ("int", (json!("int"), "int!", json!(-5), "-5")),
        ("long", (json!("long"), "long!", json!(i64::MIN), "-9223372036854775808")),
        ("float", (json!("float"), "float!", json!(1.5), "1.5")),
        ("double", (json!("double"), "double!", json!(-0.1), "-0.1")),
        ("bytes", (json!("bytes"), "binary!", json!("\u{ff}\u{1}"), "ff01")),
        ("string", (json!("string"), "string!", json!("né"), "né")),
        ("fixed", (json!({"type": "fixed", "name": "F", "size": 2}), "binary!", json!("\u{0}\u{fe}"), "00fe")),
        ("enum", (json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}), "string!", json!("B"), "B")),
        ("decimal of bytes", (decimal, "decimal(6,2)!", json!("\u{ff}\u{85}"), "-1.23")),
        ("decimal of fixed", (fixed_decimal, "decimal(6,2)!", json!("\u{0}\u{0}\u{7b}"), "1.23")),
        ("date", (logical("int", "date"), "date!", json!(20_454), "2026-01-01")),
        ("time-millis", (logical("int", "time-millis"), "int!", json!(1_000), "1000")),
        ("time-micros", (logical("long", "time-micros"), "long!", json!(1_000), "1000")),
        (
            "timestamp-millis",
            (logical("long", "timestamp-millis"), "timestamp(us)!", json!(day_us / 1_000), "1767225600000000"),
        ),
        (
            "timestamp-micros",
            (logical("long", "timestamp-micros"), "timestamp(us)!", json!(day_us), "1767225600000000"),
        ),
        ("timestamp-nanos", (logical("long", "timestamp-nanos"), "timestamp(us)!", json!(-1), "-1")),
        (
            "local-timestamp-millis",
            (logical("long", "local-timestamp-millis"), "local-timestamp(us)!", json!(7), "7000"),
        ),
        ("local-timestamp-micros", (logical("long", "local-timestamp-micros"), "local-timestamp(us)!", json!(7), "7")),
        (
            "local-timestamp-nanos",
            (logical("long", "local-timestamp-nanos"), "local-timestamp(us)!", json!(7_000), "7"),
        ),
        ("uuid of string", (logical("string", "uuid"), "string!", json!("a-b"), "a-b")),
        (
            "uuid of fixed",
            (uuid, "string!", json!("\u{1}#Eg\u{89}«Íï\u{1}#Eg\u{89}«Íï"), "01234567-89ab-cdef-0123-456789abcdef"),
        ),
        ("duration", (duration, "binary!", json!("\u{1}aaabbbbcccc"), "016161616262626263636363")),
        ("array", (json!({"type": "array", "items": "int"}), "list<int>!", json!([1, 2]), "[1, 2]")),
        (
            "map",
            (json!({"type": "map", "values": "long"}), "map<string,long>!", json!({"k": 1, "l": 2}), "{k: 1, l: 2}"),
        ),
        ("record", (inner, "struct<x:int!,y:string>!", json!({"x": 1, "y": {"string": "s"}}), "{x: 1, y: s}")),
        ("union with null", (json!(["null", "long"]), "long", json!({"long": 3}), "3")),
        ("union of one", (json!(["long"]), "long!", json!({"long": 3}), "3")),
        (
            "union of several",
            (
                json!(["null", "long", "string"]),
                "struct<long:long,string:string>",
                json!({"string": "s"}),
                "{long: , string: s}",
            ),
        ),
    ])
}

#[test]
fn every_type_has_its_column() {
    for (name, (kind, column, value, shown)) in mapping() {
        let writer = record(&kind);
        let body = encode(&writer, &writer.root, &json!({ "a": value }));
        let (rows, problems) = read(&writer, &table(column), &[body]).unwrap();
        assert_eq!((rows, problems), (vec![shown.to_owned()], vec![]), "{name}");
        // A table whose columns are made of the schema has the same one.
        assert_eq!(EventSchema::new(writer.columns().unwrap()).unwrap(), table(column), "{name}");
    }
}

#[test]
fn columns_are_an_avro_schema_that_has_them_again() {
    let fields = mapping().into_values().map(|(_, column, ..)| EventType::parse(column).unwrap());
    let fields: Vec<EventField> = fields
        .enumerate()
        .map(|(index, (kind, required))| EventField { name: format!("f{index}"), kind, required })
        .collect();
    let text = super::record("1-of.mine", &fields).to_string();
    assert_eq!(AvroSchema::parse(&text, []).unwrap().columns().unwrap(), fields, "{text}");
}

#[test]
fn what_can_be_no_column_is_told() {
    let tree = json!({"type": "record", "name": "Tree", "fields": [{"name": "leaves", "type": {"type": "array", "items": "Tree"}}]});
    for (kind, told) in [(json!("null"), "always null"), (json!(["null"]), "always null"), (tree, "nest deeper")] {
        let error = record(&kind).columns().unwrap_err();
        assert!(error.contains(told) && error.contains("\"a\""), "{error}");
    }
    assert!(AvroSchema::parse("\"long\"", []).unwrap().columns().unwrap_err().contains("an event is a record"));
}

#[test]
fn the_docs_have_the_same_table() {
    let docs = include_str!("../../../docs/schema-registry.md");
    let section = docs.split("## Avro").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.filter_map(|line| {
        let mut cells = line.split(" | ");
        Some((cells.next()?, cells.next()?.strip_prefix('`')?.strip_suffix('`')?.replace("\\|", "|")))
    });
    let documented: BTreeMap<&str, String> = rows.collect();
    let kinds = mapping();
    let tested = kinds.iter().map(|(name, (_, column, ..))| (*name, column.trim_end_matches('!').to_owned())).collect();
    assert_eq!(documented, tested);
}

#[test]
fn a_writer_is_resolved_to_the_table() {
    let decimal = |scale: u8| json!({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": scale});
    for (from, to, value, found) in [
        (json!("int"), "long", json!(7), "7"),
        (json!("int"), "double", json!(7), "7.0"),
        (json!("long"), "float", json!(7), "7.0"),
        (json!("float"), "double", json!(0.5), "0.5"),
        (json!("string"), "binary", json!("a"), "61"),
        (json!("bytes"), "string", json!("a"), "a"),
        (json!("bytes"), "string", json!("\u{ff}"), "invalid-utf8"),
        (json!("long"), "timestamp(ms)", json!(7), "7000"),
        (json!("long"), "timestamp(ms)", json!(i64::MAX), "out-of-range"),
        (logical("long", "timestamp-millis"), "long", json!(7), "7"),
        (decimal(2), "decimal(8,4)", json!("\u{7b}"), "1.2300"),
        (decimal(2), "decimal(3,2)", json!("\u{27}\u{10}"), "out-of-range"),
        (json!(["int", "double"]), "double", json!({"int": 7}), "7.0"),
        (json!(["int", "string"]), "long", json!({"string": "x"}), "wrong-type"),
        (json!(["null", "int"]), "long!", json!(null), "missing-field"),
        (json!("null"), "long", json!(null), "null"),
    ] {
        let writer = record(&from);
        let body = encode(&writer, &writer.root, &json!({ "a": value }));
        let (rows, problems) = read(&writer, &table(to), &[body]).unwrap();
        let what = problems.iter().map(|problem| problem.reason.to_owned()).chain(rows).collect::<Vec<_>>();
        assert_eq!(what, [found], "{from} to {to}");
    }
    for (from, to, told) in [
        (json!("string"), "long", "Avro's string cannot become long"),
        (json!("double"), "float", "Avro's double cannot become float"),
        (json!("long"), "int", "Avro's long cannot become int"),
        (logical("long", "timestamp-millis"), "local-timestamp(us)", "long (timestamp-millis) cannot become"),
        (decimal(4), "decimal(8,2)", "(decimal 6,4) cannot become decimal(8,2)"),
        (json!(["int", "long"]), "string", "Avro's int cannot become string; Avro's long"),
    ] {
        let error = read(&record(&from), &table(to), &[]).unwrap_err();
        assert!(error.contains(told) && error.contains("\"a\""), "{error}");
    }
}

#[test]
fn fields_go_by_name() {
    let writer = AvroSchema::parse(
        r#"{"type": "record", "name": "R", "namespace": "n", "fields": [
            {"name": "tree", "type": {"type": "record", "name": "Tree", "fields": [
                {"name": "value", "type": "string"},
                {"name": "leaves", "type": {"type": "array", "items": "Tree"}}]}},
            {"name": "other", "type": {"type": "map", "values": ["null", "n.Tree"]}},
            {"name": "a", "type": "long"}]}"#,
        [],
    )
    .unwrap();
    let leaf = json!({"value": "x", "leaves": []});
    let value = json!({"tree": {"value": "", "leaves": [leaf, leaf]}, "other": {"k": {"Tree": leaf}}, "a": 5});
    let body = encode(&writer, &writer.root, &value);
    let (rows, problems) = read(&writer, &table("long!"), &[body]).unwrap();
    assert_eq!((rows, problems), (vec!["5".to_owned()], vec![]));
    let mut wider = table("long!").fields;
    wider.push(EventField { name: "b".into(), kind: EventType::String, required: false });
    assert!(Plan::new(&writer, &EventSchema::new(wider.clone()).unwrap()).is_ok());
    wider[1].required = true;
    let error = Plan::new(&writer, &EventSchema::new(wider).unwrap()).err().unwrap();
    assert!(error.contains("\"b\" is required (string!)"), "{error}");
}

#[test]
fn schemas_refer_to_others() {
    let address =
        r#"{"type": "record", "name": "Address", "namespace": "n", "fields": [{"name": "city", "type": "string"}]}"#;
    let text = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "n.Address"}]}"#;
    let writer = AvroSchema::parse(text, [address]).unwrap();
    assert!(Plan::new(&writer, &table("struct<city:string!>!")).is_ok());
    assert!(AvroSchema::parse(text, []).unwrap_err().contains("\"n.Address\" is not known"));
    assert_eq!(AvroSchema::parse("string", []).unwrap().root, Type::String(None));
    for (wrong, told) in [
        ("{", "not JSON"),
        ("{}", "no \"type\""),
        ("[]", "no branches"),
        (r#"[["null"]]"#, "directly in a union"),
        (r#"{"type": "fixed", "name": "F", "size": -1}"#, "no size"),
        (r#"{"type": "record", "name": "R"}"#, "no \"fields\""),
        (r#"{"type": "enum", "name": "E"}"#, "no \"symbols\""),
        (r#"[{"type": "enum", "name": "E", "symbols": []}, {"type": "enum", "name": "E", "symbols": []}]"#, "twice"),
    ] {
        let error = AvroSchema::parse(wrong, []).unwrap_err();
        assert!(error.contains(told), "{wrong}: {error}");
    }
}

#[test]
fn bytes_that_lie_are_told() {
    let reason = |kind: Value, to: &str, body: &[u8]| {
        let (rows, problems) = read(&record(&kind), &table(to), &[body.to_vec()]).unwrap();
        problems.first().map_or_else(|| rows.join(","), |problem| problem.reason.to_owned())
    };
    let list = || json!({"type": "array", "items": "null"});
    assert_eq!(reason(json!("long"), "long", &[]), "malformed-avro");
    assert_eq!(reason(json!("long"), "long", &[0xff; 9]), "malformed-avro");
    assert_eq!(reason(json!("long"), "long", &[0xff; 11]), "malformed-avro");
    assert_eq!(reason(json!("long"), "long", &[2, 2]), "trailing-data");
    assert_eq!(reason(json!("int"), "int", &long(1 << 40)), "malformed-avro");
    assert_eq!(reason(json!("boolean"), "boolean", &[2]), "malformed-avro");
    assert_eq!(reason(json!("string"), "string", &[4, b'a']), "malformed-avro");
    assert_eq!(reason(json!("string"), "string", &long(-1)), "malformed-avro");
    assert_eq!(reason(json!(["null", "int"]), "int", &[4]), "malformed-avro");
    // Items without bytes: a few bytes may not become a billion rows.
    assert_eq!(reason(list(), "list<long>", &[long(1 << 30), vec![0]].concat()), "malformed-avro");
    assert_eq!(reason(list(), "list<long>", &[long(i64::MIN), vec![0, 0]].concat()), "malformed-avro");
}

#[test]
fn a_chain_of_records_is_skipped_to_a_depth() {
    let chain = json!({"type": "record", "name": "C", "fields": [{"name": "next", "type": ["null", "C"]}]});
    let schema =
        json!({"type": "record", "name": "R", "fields": [{"name": "c", "type": chain}, {"name": "a", "type": "int"}]});
    let writer = AvroSchema::parse(&schema.to_string(), []).unwrap();
    let body = |depth: usize| [vec![2; depth], vec![0, 14]].concat();
    let (rows, problems) = read(&writer, &table("int"), &[body(10), body(1_000_000)]).unwrap();
    assert_eq!((rows, problems[0].reason), (vec!["7".to_owned()], "malformed-avro"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_bytes_are_a_row_or_a_problem(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mapping = mapping();
        let (kind, column, value, _) = mapping.values().nth(pick.index(mapping.len())).unwrap();
        let writer = record(kind);
        let mut body = encode(&writer, &writer.root, &json!({ "a": value }));
        let whole = body.clone();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.index(body.len() + 1));
        // What stands before and behind a bad message must not change.
        let (rows, problems) = read(&writer, &table(column), &[whole.clone(), body, whole]).unwrap();
        prop_assert_eq!(rows.len() + problems.len(), 3);
        prop_assert_eq!(&rows[0], rows.last().unwrap());
    }

    #[test]
    fn any_text_is_a_schema_or_an_error(text in ".{0,64}") {
        let _ = AvroSchema::parse(&text, []);
    }
}

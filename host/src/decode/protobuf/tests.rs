//! What becomes of Protobuf's types, byte by byte, and of messages that are not what they say.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;

use super::{Plan, ProtobufFile, Scratch};
use crate::decode::Problem;
use crate::decode::column::Column;
use crate::decode::schema::{EventField, EventSchema, EventType};

/// A file with a message that has `body` in it, and what that may need.
fn file(body: &str) -> ProtobufFile {
    let text = format!(
        "syntax = \"proto3\"; package t; \
         import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/duration.proto\"; \
         import \"google/protobuf/wrappers.proto\"; import \"confluent/type/decimal.proto\"; \
         enum Color {{ RED = 0; BLUE = 2; }} message Point {{ int32 x = 1; optional string y = 2; }} \
         message Tree {{ string value = 1; repeated Tree leaves = 2; }} message M {{ {body} }}"
    );
    ProtobufFile::parse(&text, []).unwrap()
}

/// Where `M` stands in such a file.
const M: &[usize] = &[2];

fn table(kind: &str) -> EventSchema {
    let (kind, required) = EventType::parse(kind).unwrap();
    EventSchema::new(vec![EventField { name: "a".into(), kind, required }]).unwrap()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field that is a varint.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field that is bytes with their length.
fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn fixed32(field: u64, value: [u8; 4]) -> Vec<u8> {
    [varint(field << 3 | 5), value.to_vec()].concat()
}

fn fixed64(field: u64, value: [u8; 8]) -> Vec<u8> {
    [varint(field << 3 | 1), value.to_vec()].concat()
}

fn plan(file: &ProtobufFile, table: &EventSchema) -> Result<Plan, String> {
    Plan::new(&file.message(M).unwrap(), table)
}

/// The rows of the first column as text, and what could not be read.
fn read(plan: &Plan, table: &EventSchema, bodies: &[Vec<u8>]) -> (Vec<String>, Vec<Problem>) {
    let mut columns: Vec<Column> = table.fields.iter().map(|field| Column::new(&field.kind)).collect();
    let (mut problems, mut rows, mut scratch) = (Vec::new(), 0, Scratch::default());
    for body in bodies {
        match plan.row(body, &mut columns, &mut scratch, true) {
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
    ((0..rows).map(shown).collect(), problems)
}

type Row = (&'static str, &'static str, Vec<u8>, &'static str);

/// The table of `docs/schema-registry.md`, row by row: fields, the column `a`, a message, and the value as it stands there.
fn mapping() -> BTreeMap<&'static str, Row> {
    let point = [number(1, 7), bytes(2, b"s")].concat();
    let entry = |key: &str, value| bytes(1, &[bytes(1, key.as_bytes()), number(2, value)].concat());
    let moment = bytes(1, &[number(1, 1_767_225_600), number(2, 1_999)].concat());
    let decimal = [bytes(1, &[0xff, 0x85]), number(3, 2)].concat();
    BTreeMap::from([
        ("bool", ("bool a = 1;", "boolean!", number(1, 1), "true")),
        ("int32", ("int32 a = 1;", "int!", number(1, -5_i64 as u64), "-5")),
        ("sint32", ("sint32 a = 1;", "int!", number(1, 9), "-5")),
        ("sfixed32", ("sfixed32 a = 1;", "int!", fixed32(1, (-5_i32).to_le_bytes()), "-5")),
        ("uint32", ("uint32 a = 1;", "long!", number(1, u64::from(u32::MAX)), "4294967295")),
        ("fixed32", ("fixed32 a = 1;", "long!", fixed32(1, [0xff; 4]), "4294967295")),
        ("int64", ("int64 a = 1;", "long!", number(1, i64::MIN as u64), "-9223372036854775808")),
        ("sint64", ("sint64 a = 1;", "long!", number(1, u64::MAX), "-9223372036854775808")),
        ("sfixed64", ("sfixed64 a = 1;", "long!", fixed64(1, (-5_i64).to_le_bytes()), "-5")),
        ("uint64", ("uint64 a = 1;", "decimal(20,0)!", number(1, u64::MAX), "18446744073709551615")),
        ("fixed64", ("fixed64 a = 1;", "decimal(20,0)!", fixed64(1, [0xff; 8]), "18446744073709551615")),
        ("float", ("float a = 1;", "float!", fixed32(1, 1.5_f32.to_le_bytes()), "1.5")),
        ("double", ("double a = 1;", "double!", fixed64(1, (-0.1_f64).to_le_bytes()), "-0.1")),
        ("string", ("string a = 1;", "string!", bytes(1, "né".as_bytes()), "né")),
        ("bytes", ("bytes a = 1;", "binary!", bytes(1, &[0xff, 1]), "ff01")),
        ("enum", ("Color a = 1;", "string!", number(1, 2), "BLUE")),
        ("message", ("Point a = 1;", "struct<x:int!,y:string>!", bytes(1, &point), "{x: 7, y: s}")),
        ("repeated", ("repeated int32 a = 1;", "list<int>!", bytes(1, &[1, 2]), "[1, 2]")),
        (
            "map",
            (
                "map<string, uint32> a = 1;",
                "map<string,long>!",
                [entry("k", 1), entry("l", 2)].concat(),
                "{k: 1, l: 2}",
            ),
        ),
        ("optional", ("optional int64 a = 1;", "long", number(1, 0), "0")),
        ("oneof", ("oneof o { int64 a = 1; string b = 2; }", "long", number(1, 3), "3")),
        (
            "google.protobuf.Timestamp",
            ("google.protobuf.Timestamp a = 1;", "timestamp(us)!", moment.clone(), "1767225600000001"),
        ),
        ("google.protobuf.Duration", ("google.protobuf.Duration a = 1;", "long!", moment, "1767225600000001")),
        ("google.protobuf.Int64Value", ("google.protobuf.Int64Value a = 1;", "long", bytes(1, &number(1, 3)), "3")),
        ("confluent.type.Decimal", ("confluent.type.Decimal a = 1;", "decimal(6,2)!", bytes(1, &decimal), "-1.23")),
    ])
}

#[test]
fn every_type_has_its_column() {
    for (name, (fields, column, body, shown)) in mapping() {
        let (file, table) = (file(fields), table(column));
        let (rows, problems) = read(&plan(&file, &table).unwrap(), &table, &[body]);
        assert_eq!((rows, problems), (vec![shown.to_owned()], vec![]), "{name}");
        // A table whose columns are made of the message has the same one.
        match super::columns(&file.message(M).unwrap()) {
            Ok(columns) => {
                let (kind, required) = EventType::parse(column).unwrap();
                // What may be missing is never required, although this table refuses a null.
                let is_optional = columns[0].required != required;
                assert!(columns[0].kind == kind && (!is_optional || required), "{name}: {:?}", columns[0]);
            }
            Err(why) => assert!(name.contains("Decimal") && why.contains("write [schema]"), "{name}: {why}"),
        }
    }
}

#[test]
fn the_docs_have_the_same_table() {
    let docs = include_str!("../../../docs/schema-registry.md");
    let section = docs.split("## Protobuf").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.filter_map(|line| {
        let mut cells = line.split(" | ");
        Some((cells.next()?, cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned()))
    });
    let documented: BTreeMap<&str, String> = rows.collect();
    let kinds = mapping();
    let tested = kinds.iter().map(|(name, (_, column, ..))| (*name, column.trim_end_matches('!').to_owned())).collect();
    assert_eq!(documented, tested);
}

#[test]
fn what_is_not_there_is_nothing_or_null() {
    for (fields, column, shown) in [
        ("int32 a = 1;", "int!", "0"),
        ("string a = 1;", "string!", ""),
        ("Color a = 1;", "string!", "RED"),
        ("bool a = 1;", "boolean!", "false"),
        ("repeated int32 a = 1;", "list<int>!", "[]"),
        ("map<int32, Point> a = 1;", "map<string,struct<x:int>>!", "{}"),
        ("optional int32 a = 1;", "int", "null"),
        ("Point a = 1;", "struct<x:int>", "null"),
        ("oneof o { int32 a = 1; int32 b = 2; }", "int", "null"),
        ("google.protobuf.StringValue a = 1;", "string", "null"),
        ("int32 b = 1;", "long", "null"),
    ] {
        let (file, table) = (file(fields), table(column));
        let (rows, problems) = read(&plan(&file, &table).unwrap(), &table, &[vec![]]);
        assert_eq!((rows, problems), (vec![shown.to_owned()], vec![]), "{fields}");
    }
}

#[test]
fn fields_come_in_any_order_and_more_than_once() {
    let point = |x| bytes(1, &number(1, x));
    let entry = |key: &[u8], value: &[u8]| bytes(1, &[key, value].concat());
    for (fields, column, body, shown) in [
        ("int32 a = 1;", "int", [number(1, 1), bytes(9, b"?"), number(1, 2)].concat(), "2"),
        // Parts of a message are one message.
        (
            "Point a = 1;",
            "struct<x:int,y:string>",
            [point(1), bytes(1, &bytes(2, b"s")), point(3)].concat(),
            "{x: 3, y: s}",
        ),
        // Packed and one by one.
        (
            "repeated sint32 a = 1;",
            "list<int>",
            [number(1, 1), bytes(1, &[2, 3]), number(1, 4)].concat(),
            "[-1, 1, -2, 2]",
        ),
        ("repeated float a = 1;", "list<float>", bytes(1, &[0, 0, 0, 0, 0, 0, 128, 63]), "[0.0, 1.0]"),
        (
            "repeated Point a = 1;",
            "list<struct<x:int>>",
            [point(1), bytes(1, b""), point(3)].concat(),
            "[{x: 1}, {x: 0}, {x: 3}]",
        ),
        (
            "Tree a = 1;",
            "struct<leaves:list<struct<value:string>>>",
            bytes(1, &bytes(2, &bytes(1, b"l"))),
            "{leaves: [{value: l}]}",
        ),
        // The last member of a oneof stays.
        ("oneof o { int32 a = 1; int32 b = 2; }", "int", [number(1, 1), number(2, 2)].concat(), "null"),
        ("oneof o { int32 a = 1; int32 b = 2; }", "int", [number(2, 1), number(1, 2)].concat(), "2"),
        (
            "oneof o { Point a = 1; int32 b = 2; }",
            "struct<x:int,y:string>",
            [point(1), number(2, 2), bytes(1, &bytes(2, b"s"))].concat(),
            "{x: 0, y: s}",
        ),
        // So does the last entry of a key.
        (
            "map<int32, string> a = 1;",
            "map<string,string>",
            [entry(&number(1, 1), &bytes(2, b"x")), entry(&[], &[]), entry(&bytes(2, b"y"), &number(1, 1))].concat(),
            "{0: , 1: y}",
        ),
        (
            "map<bool, Point> a = 1;",
            "map<string,struct<x:int>>",
            [entry(&number(1, 1), &[])].concat(),
            "{true: {x: 0}}",
        ),
        ("map<fixed64, Color> a = 1;", "map<string,string>", [entry(&[], &number(2, 2))].concat(), "{0: BLUE}"),
        ("Color a = 1;", "string", number(1, -7_i64 as u64), "-7"),
        ("Color a = 1;", "int", number(1, 2), "2"),
        ("int32 a = 300;", "int", [number(44, 1), number(300, 2), number(301, 3)].concat(), "2"),
        ("uint64 a = 1;", "long", number(1, 7), "7"),
        ("fixed32 a = 1;", "timestamp(ms)", fixed32(1, [7, 0, 0, 0]), "7000"),
        ("int64 a = 1;", "double", number(1, 7), "7.0"),
        ("string a = 1;", "binary", bytes(1, b"a"), "61"),
        // A group that nobody wants.
        ("int32 a = 1;", "int", [vec![0x13], number(5, 6), bytes(7, b"8"), vec![0x14], number(1, 2)].concat(), "2"),
    ] {
        let (file, table) = (file(fields), table(column));
        let (rows, problems) = read(&plan(&file, &table).unwrap(), &table, &[body]);
        assert_eq!((rows, problems), (vec![shown.to_owned()], vec![]), "{fields}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let deep = [vec![0x0b_u8; 100], vec![0x0c; 100]].concat();
    for (fields, column, body, reason) in [
        ("int32 a = 1;", "int", vec![0x08], "malformed-protobuf"),
        (
            "int32 a = 1;",
            "int",
            vec![0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            "malformed-protobuf",
        ),
        ("int32 a = 1;", "int", vec![0x00, 0x01], "malformed-protobuf"),
        ("int32 a = 1;", "int", vec![0x0c], "malformed-protobuf"),
        ("int32 a = 1;", "int", vec![0x0f], "malformed-protobuf"),
        ("int32 a = 1;", "int", fixed32(1, [1; 4]), "malformed-protobuf"),
        ("int32 a = 1;", "int", bytes(1, &[1]), "malformed-protobuf"),
        ("string a = 1;", "string", vec![0x0a, 0x05, b'x'], "malformed-protobuf"),
        ("string a = 1;", "string", bytes(1, &[0xff]), "invalid-utf8"),
        ("Point a = 1;", "struct<x:int>", bytes(1, &[0x08]), "malformed-protobuf"),
        ("repeated int32 a = 1;", "list<int>", bytes(1, &[0x80]), "malformed-protobuf"),
        ("int32 b = 2; int32 a = 1;", "int", deep, "malformed-protobuf"),
        ("uint64 a = 1;", "long", number(1, u64::MAX), "out-of-range"),
        ("int64 a = 1;", "timestamp(ms)", number(1, i64::MAX as u64), "out-of-range"),
        ("confluent.type.Decimal a = 1;", "decimal(6,2)", bytes(1, &number(3, 4)), "out-of-range"),
        ("google.protobuf.Timestamp a = 1;", "timestamp(us)", bytes(1, &number(1, i64::MAX as u64)), "out-of-range"),
        ("Point a = 1;", "struct<x:int>!", vec![], "missing-field"),
    ] {
        let (file, table) = (file(fields), table(column));
        let (rows, problems) = read(&plan(&file, &table).unwrap(), &table, &[body]);
        let reasons: Vec<_> = problems.iter().map(|problem| problem.reason).collect();
        assert_eq!((rows, reasons), (vec![], vec![reason]), "{fields}");
    }
    for (fields, column, told) in [
        ("string a = 1;", "long", "Protobuf's string cannot become long"),
        ("int64 a = 1;", "int", "Protobuf's int64 cannot become int"),
        ("Point a = 1;", "string", "Protobuf's message t.Point cannot become string"),
        ("Color a = 1;", "boolean", "Protobuf's enum t.Color cannot become boolean"),
        ("repeated int32 a = 1;", "int", "repeated Protobuf's int32 cannot become int"),
        ("map<string, int32> a = 1;", "list<int>", "Protobuf's map cannot become list<int>"),
        ("Point a = 1;", "struct<x:string>", "field \"x\": Protobuf's int32 cannot become string"),
        ("int32 b = 1;", "int!", "field \"a\" is required (int!)"),
    ] {
        let error = plan(&file(fields), &table(column)).map(drop).unwrap_err();
        assert!(error.contains(told) && error.contains("\"a\""), "{error}");
    }
}

#[test]
fn a_file_may_import_others_and_say_what_is_wrong() {
    let text = "syntax = \"proto2\"; import \"other.proto\"; import \"confluent/meta.proto\"; \
                message A { message B { required n.Other a = 1; map<string, int32> m = 2; message C {} } } \
                message D { optional group G = 1 { optional int32 a = 1; } }";
    let imports = [("other.proto", "syntax = \"proto3\"; package n; message Other { int32 x = 1; }")];
    let file = ProtobufFile::parse(text, imports).unwrap();
    let name = |path: &[usize]| file.message(path).map(|message| message.full_name().to_owned());
    assert_eq!(name(&[0]).as_deref(), Some("A"));
    assert_eq!(name(&[0, 0]).as_deref(), Some("A.B"));
    // What is made for the map does not count.
    assert_eq!(name(&[0, 0, 0]).as_deref(), Some("A.B.C"));
    assert_eq!((name(&[0, 0, 1]), name(&[2]), name(&[])), (None, None, None));
    let group = file.message(&[1]).unwrap();
    let table = EventSchema::new(vec![EventField {
        name: "g".into(),
        kind: EventType::parse("struct<a:int>").unwrap().0,
        required: false,
    }]);
    let table = table.unwrap();
    let plan = Plan::new(&group, &table).unwrap();
    let body = [vec![0x0b], number(1, 7), vec![0x0c]].concat();
    assert_eq!(read(&plan, &table, &[body]).0, ["{a: 7}"]);
    for (text, told) in [("message", "expected"), ("syntax = \"proto3\"; import \"gone.proto\";", "gone.proto")] {
        let error = ProtobufFile::parse(text, []).map(drop).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// What another reader of Protobuf takes is taken, and says the same as when that reader has put it in order; what it
    /// refuses is refused, unless it refuses a value that does not count: another one follows it, or the table does not have it.
    #[test]
    fn changed_bytes_are_what_another_reader_makes_of_them(
        pick in any::<prop::sample::Index>(),
        twice in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mapping = mapping();
        let (fields, column, body, _) = mapping.values().nth(pick.index(mapping.len())).unwrap();
        let (file, table) = (file(fields), table(column));
        let plan = plan(&file, &table).unwrap();
        let whole = body.clone();
        let mut changed = if twice { [body.clone(), body.clone()].concat() } else { body.clone() };
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        changed.truncate(cut.index(changed.len() + 1));
        let other = DynamicMessage::decode(file.message(M).unwrap(), &changed[..]);
        // What stands before and behind a bad message must not change.
        let (rows, problems) = read(&plan, &table, &[whole.clone(), changed, whole.clone()]);
        prop_assert_eq!(rows.len() + problems.len(), 3);
        prop_assert_eq!(&rows[0], rows.last().unwrap());
        match (other, problems.first().map(|problem| problem.reason)) {
            (Ok(other), None) => {
                let (ordered, problems) = read(&plan, &table, &[other.encode_to_vec()]);
                prop_assert!(problems.is_empty(), "{:?}", problems);
                // That reader keeps the entries of a map in no order.
                let pieces = |row: &str| {
                    let inner = row.strip_prefix('{').and_then(|row| row.strip_suffix('}'));
                    let mut pieces: Vec<String> = inner.unwrap_or(row).split(", ").map(str::to_owned).collect();
                    if fields.contains("map") {
                        pieces.sort_unstable();
                    }
                    pieces
                };
                prop_assert_eq!(pieces(&ordered[0]), pieces(&rows[1]));
            }
            // What the column cannot hold.
            (Ok(_), Some("out-of-range" | "missing-field")) => {}
            // That reader does not look how the entries of a map stand on the wire.
            (Ok(_), Some("malformed-protobuf")) if fields.contains("map") => {}
            (Err(_), None) => prop_assert!(twice || fields.contains("oneof") || fields.contains("map")),
            (other, problem) => prop_assert!(other.is_err() == problem.is_some(), "{:?} {:?}", other, problem),
        }
    }

    #[test]
    fn any_text_is_a_file_or_an_error(text in ".{0,64}") {
        let _ = ProtobufFile::parse(&text, []);
    }
}

//! What is written is what is read back, however it was cut, and the bytes come out in order.

use arrow::array::{AsArray, Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;
use crate::decode::json::JsonDecoder;
use crate::decode::schema::{EventField, EventSchema, EventType};
use crate::source::{Message, OwnedMessages};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("ids", DataType::List(Arc::new(Field::new("element", DataType::Int64, true))), true),
    ]))
}

/// Rows `from..from + count`; every fifth has nulls.
fn batch(from: i32, count: i32) -> RecordBatch {
    let rows = || from..from + count;
    let some = |n: i32| n % 5 != 0;
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int32Array::from_iter_values(rows())),
            Arc::new(rows().map(|n| some(n).then(|| format!("name {}", n % 7))).collect::<StringArray>()),
            Arc::new(
                rows()
                    .map(|n| some(n).then_some(i64::from(n) * 1_000_000))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            Arc::new({
                let field = Arc::new(Field::new("element", DataType::Int64, true));
                let offsets =
                    arrow::buffer::OffsetBuffer::from_lengths(rows().map(|n| usize::try_from(n % 3).unwrap()));
                let items = Int64Array::from_iter_values(rows().flat_map(|n| (0..n % 3).map(i64::from)));
                ListArray::new(field, offsets, Arc::new(items), None)
            }),
        ],
    )
    .unwrap()
}

fn options(compression: Compression) -> PartFileOptions {
    PartFileOptions::new(schema(), compression, 128 << 20).unwrap()
}

fn read(bytes: Vec<u8>) -> (RecordBatch, usize, Vec<(String, Option<String>)>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let metadata = Arc::clone(builder.metadata());
    let footer = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let of_file = batches.first().map_or_else(schema, RecordBatch::schema);
    let rows = concat_batches(&of_file, &batches).unwrap();
    (rows, metadata.num_row_groups(), footer.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

#[test]
fn the_file_reads_back_with_its_footer() {
    for compression in [Compression::Zstd, Compression::Snappy, Compression::Uncompressed] {
        let mut file = PartFile::new(&options(compression));
        file.write(&batch(0, 1_000)).unwrap();
        file.write(&batch(1_000, 5_000)).unwrap();
        let tail = file.finish(&[("wasmill.start".into(), "17".into())]).unwrap();
        assert_eq!((tail.rows, tail.length), (6_000, tail.bytes.len() as u64));
        let (rows, row_groups, footer) = read(tail.bytes.to_vec());
        assert_eq!(rows, batch(0, 6_000));
        assert_eq!(row_groups, 1);
        assert_eq!(footer, [("wasmill.start".to_owned(), Some("17".to_owned()))]);
    }
}

#[test]
fn each_column_is_encoded_as_its_rows_ask_for() {
    let mut file = PartFile::new(&options(Compression::Snappy));
    file.write(&batch(0, 6_000)).unwrap();
    let bytes = file.finish(&[]).unwrap().bytes;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let has = |column: usize, encoding| {
        builder.metadata().row_group(0).column(column).encodings().any(|found| found == encoding)
    };
    assert!(has(0, Encoding::DELTA_BINARY_PACKED), "n, in order");
    assert!(has(1, Encoding::RLE_DICTIONARY), "name, one of seven");
    assert!(has(2, Encoding::DELTA_BINARY_PACKED), "at, in order");
    assert!(has(3, Encoding::DELTA_BINARY_PACKED), "ids, below three");
}

#[test]
fn an_encoding_that_was_asked_for_is_used() {
    let asked = |pairs: &[(&str, ColumnEncoding)]| {
        let fixed = pairs.iter().map(|(name, encoding)| ((*name).to_owned(), *encoding)).collect();
        options(Compression::Snappy).with_encodings(&fixed)
    };
    let fixed =
        [("n", ColumnEncoding::ByteStreamSplit), ("name", ColumnEncoding::Plain), ("at", ColumnEncoding::Dictionary)];
    let mut file = PartFile::new(&asked(&fixed).unwrap());
    file.write(&batch(0, 6_000)).unwrap();
    let bytes = file.finish(&[]).unwrap().bytes;
    let (rows, ..) = read(bytes.to_vec());
    assert_eq!(rows, batch(0, 6_000));
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let encodings = |column: usize| builder.metadata().row_group(0).column(column).encodings().collect::<Vec<_>>();
    assert!(encodings(0).contains(&Encoding::BYTE_STREAM_SPLIT), "{:?}", encodings(0));
    assert!(!encodings(1).contains(&Encoding::RLE_DICTIONARY), "{:?}", encodings(1));
    assert!(encodings(2).contains(&Encoding::RLE_DICTIONARY), "{:?}", encodings(2));
    for (wrong, told) in [
        (("none", ColumnEncoding::Plain), "no column \"none\""),
        (("name", ColumnEncoding::Delta), "like \"name\" has no such encoding"),
        (("ids", ColumnEncoding::Dictionary), "like \"ids\" has no such encoding"),
    ] {
        let error = asked(&[wrong]).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn the_types_are_what_analysts_expect() {
    let file = PartFile::new(&options(Compression::Zstd));
    let tail = file.finish(&[]).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(tail.bytes).unwrap();
    assert_eq!(builder.schema().fields(), schema().fields());
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, builder.parquet_schema().root_schema());
    let text = String::from_utf8(text).unwrap();
    for line in [
        "REQUIRED INT32 n;",
        "OPTIONAL BYTE_ARRAY name (STRING);",
        "OPTIONAL INT64 at (TIMESTAMP(MICROS,true));",
        "OPTIONAL INT64 element;",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn only_text_has_dictionaries_and_pages_have_an_index() {
    let mut file = PartFile::new(&options(Compression::Zstd));
    file.write(&batch(0, 5_000)).unwrap();
    let tail = file.finish(&[]).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(tail.bytes).unwrap();
    for column in builder.metadata().row_group(0).columns() {
        let is_text = column.column_path().string() == "name";
        assert_eq!(column.dictionary_page_offset().is_some(), is_text, "{}", column.column_path());
        assert!(column.statistics().is_some() && column.column_index_range().is_some());
        assert_eq!(column.compression(), basic::Compression::ZSTD(ZstdLevel::default()));
    }
}

#[test]
fn flushed_rows_are_final_and_free_their_memory() {
    let mut file = PartFile::new(&options(Compression::Zstd));
    assert_eq!(file.memory_bytes(), 0);
    file.write(&batch(0, 10)).unwrap();
    let waiting = file.memory_bytes();
    assert!(waiting > 0 && waiting < 4 * ZSTD_COLUMN_BYTES, "{waiting}");
    file.write(&batch(10, 40_000)).unwrap();
    assert!(file.memory_bytes() > 4 * ZSTD_COLUMN_BYTES);
    file.flush_row_group().unwrap();
    let bytes = file.take_encoded().unwrap().unwrap();
    assert_eq!((file.memory_bytes(), file.size_bytes()), (0, bytes.len() as u64));
    assert!(file.take_encoded().unwrap().is_none());
    let tail = file.finish(&[]).unwrap();
    assert_eq!(tail.length, (bytes.len() + tail.bytes.len()) as u64);
    assert_eq!(read([bytes, tail.bytes].concat()).0, batch(0, 40_010));
}

#[test]
fn a_row_group_ends_at_its_size() {
    let options = PartFileOptions::new(schema(), Compression::Uncompressed, 10_000).unwrap();
    let mut file = PartFile::new(&options);
    for from in 0..20 {
        file.write(&batch(from * 1_000, 1_000)).unwrap();
    }
    let (rows, row_groups, _) = read(file.finish(&[]).unwrap().bytes.to_vec());
    assert_eq!(rows.num_rows(), 20_000);
    assert!(row_groups > 2, "{row_groups}");
}

#[test]
fn names_that_differ_in_case_only_are_refused() {
    let schema =
        Schema::new(vec![Field::new("userId", DataType::Int64, true), Field::new("userid", DataType::Int64, true)]);
    let error = check_names(&schema).unwrap_err();
    assert!(error.to_string().contains("userid"), "{error}");
    assert!(PartFileOptions::new(Arc::new(schema), Compression::Zstd, 1).is_err());
}

#[test]
fn a_batch_of_another_schema_is_an_error() {
    let mut file = PartFile::new(&options(Compression::Zstd));
    assert!(file.write(&batch(0, 10).project(&[0, 1]).unwrap()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_it_is_cut_it_reads_back(steps in proptest::collection::vec((0_i32..600, 0_u8..12), 0..40)) {
        let mut file = PartFile::new(&options(Compression::Zstd));
        let (mut from, mut bytes) = (0, Vec::new());
        for (count, then) in steps {
            // Mostly small slices of larger batches, as the partitioner makes them.
            let count = if then < 6 { count % 40 } else { count };
            file.write(&batch(from - from.min(3), count + 10).slice(usize::try_from(from.min(3)).unwrap(), usize::try_from(count).unwrap())).unwrap();
            from += count;
            match then {
                0 => file.flush_row_group().unwrap(),
                1 => bytes.extend(file.take_encoded().unwrap().into_iter().flatten()),
                _ => {}
            }
            prop_assert_eq!(file.rows(), u64::try_from(from).unwrap());
        }
        let tail = file.finish(&[]).unwrap();
        bytes.extend(tail.bytes);
        prop_assert_eq!(bytes.len() as u64, tail.length);
        let (rows, _, _) = read(bytes);
        let n = rows.column(0).as_primitive::<Int32Type>();
        prop_assert!(n.values().iter().copied().eq(0..from));
        prop_assert_eq!(rows.num_rows() as u64, tail.rows);
    }
}

/// Every type of the language, through the JSON decoder and a file: as one batch, and in batches so small that they are
/// put together first.
#[test]
fn every_type_of_events_reads_back() {
    let kinds = [
        ("a", "date"),
        ("b", "local-timestamp(us)"),
        ("c", "struct<x:long!,y:struct<z:string>>"),
        ("d", "map<string,struct<x:decimal(5,2)>>"),
        ("e", "list<map<string,date>>"),
    ];
    let fields = kinds.map(|(name, text)| {
        let (kind, required) = EventType::parse(text).unwrap();
        EventField { name: name.into(), kind, required }
    });
    let schema = EventSchema::new(fields.to_vec()).unwrap();
    let lines = [
        r#"{"a":"2026-11-24","b":"2026-11-24T01:02:03","c":{"x":1,"y":{"z":"u"}},"d":{"k":{"x":1.25},"l":null},"e":[{}]}"#,
        r#"{"c":{"x":2},"d":{},"e":[null,{"m":"1969-07-20"}]}"#,
        "{}",
    ];
    let mut messages = OwnedMessages::default();
    for (offset, line) in (0..).zip(lines) {
        messages.push(Message { offset, timestamp_ms: None, key: None, payload: Some(line.as_bytes()) });
    }
    let decoded = JsonDecoder::new(&schema).decode_messages(&messages);
    assert_eq!(decoded.undecodable, []);
    let options = PartFileOptions::new(schema.arrow.clone(), Compression::Zstd, 1 << 20).unwrap();
    let mut whole = PartFile::new(&options);
    whole.write(&decoded.rows).unwrap();
    let mut in_parts = PartFile::new(&options);
    (0..3).for_each(|row| in_parts.write(&decoded.rows.slice(row, 1)).unwrap());
    for file in [whole, in_parts] {
        let (rows, _, _) = read(file.finish(&[]).unwrap().bytes.to_vec());
        assert_eq!(rows.columns(), decoded.rows.columns());
    }
}

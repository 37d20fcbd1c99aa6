//! One Parquet file being encoded, in memory, on the worker's thread.
//!
//! Rows go in as batches; bytes that are final come out ([`PartFile::take_encoded`]) and are shipped by somebody else: this
//! module does no I/O. The footer is written last, with the key-values that only the end of a range knows.
//!
//! Many files are open at once (one per topic partition and hive partition), most of them with few rows. So a file holds its
//! first rows as they are, and makes an encoder only when they are many: an encoder has a compressor's context per column,
//! which costs more than thousands of rows do. [`PartFile::memory_bytes`] counts those contexts, which the Parquet library
//! does not. Rows that come two by two are held in Arrow's row format: an array costs some 500 bytes by itself.
//!
//! What readers get: no partition columns (the caller's schema has none), timestamps in microseconds UTC, statistics and page
//! index, and for each column the encoding that its first rows ask for ([`encodings`]).

use std::collections::{BTreeMap, HashSet};
use std::mem;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{self, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::encodings;
use crate::config::{ColumnEncoding, Compression};
use crate::error::{Error, Result};

/// A row group ends at this many encoded bytes: what one open file holds at most.
const ROW_GROUP_BYTES: u64 = 32 << 20;

/// Rows of a data page. Pages are held uncompressed until they are full.
const PAGE_ROWS: usize = 20_000;

/// An encoder is made when the rows of a file hold more than its compressors would, but not for fewer rows than this.
const ENCODE_ROWS: usize = 4_096;

/// Batches of fewer rows are put together as they come.
const SMALL_ROWS: usize = 128;

/// A file of fewer rows has no dictionaries: each costs a table of 4,096 places, and saves nothing that compression does not.
const DICTIONARY_ROWS: usize = 32;

/// What a column of an open row group holds beyond what the Parquet library counts: with zstd, the compressor's context
/// and that of a decompressor which the library makes beside it (measured on the heap).
const ZSTD_COLUMN_BYTES: usize = 105 << 10;

/// The same with Snappy: its hash table.
const SNAPPY_COLUMN_BYTES: usize = 36 << 10;

/// The same without compression.
const COLUMN_BYTES: usize = 2 << 10;

/// How files of one schema are written.
#[derive(Debug, Clone)]
pub struct PartFileOptions {
    schema: SchemaRef,
    codec: basic::Compression,
    row_group_bytes: usize,
    /// The columns as Parquet has them: a nested one is several.
    leaves: Arc<[Leaf]>,
    /// How columns are encoded whose encoding is not left to their first rows, by name.
    fixed: Arc<BTreeMap<String, ColumnEncoding>>,
    column_bytes: usize,
}

/// A column as Parquet has it, by its path there.
type Leaf = Vec<String>;

impl PartFileOptions {
    /// Options for files with the columns of `schema` (without those in the path), compressed so, of about
    /// `target_file_size` bytes.
    pub fn new(schema: SchemaRef, compression: Compression, target_file_size: u64) -> Result<Self> {
        check_names(&schema)?;
        let (codec, column_bytes) = match compression {
            Compression::Zstd => {
                let level =
                    ZstdLevel::try_new(1).map_err(|error| Error::fatal("zstd has no level 1").because(error))?;
                (basic::Compression::ZSTD(level), ZSTD_COLUMN_BYTES)
            }
            Compression::Snappy => (basic::Compression::SNAPPY, SNAPPY_COLUMN_BYTES),
            Compression::Uncompressed => (basic::Compression::UNCOMPRESSED, COLUMN_BYTES),
        };
        let row_group_bytes = usize::try_from(ROW_GROUP_BYTES.min(target_file_size.max(1))).unwrap_or(usize::MAX);
        let mut leaves = Vec::new();
        for field in schema.fields() {
            push_leaves(field, &mut Vec::new(), &mut leaves);
        }
        Ok(Self { schema, codec, row_group_bytes, leaves: leaves.into(), fixed: Arc::default(), column_bytes })
    }

    /// The same, with encodings that the first rows do not decide.
    ///
    /// # Errors
    /// There is no such column, or its type has no such encoding.
    pub fn with_encodings(self, fixed: &BTreeMap<String, ColumnEncoding>) -> Result<Self> {
        for (name, encoding) in fixed {
            let wrong = |why: String| {
                Error::config(format!("encodings under [table]: {why}")).hint("leave the column out: its rows decide")
            };
            let field = self.schema.column_with_name(name).map(|(_, field)| field);
            let field = field.ok_or_else(|| wrong(format!("files have no column {name:?}")))?;
            if !encodings::suits(field.data_type(), *encoding) {
                return Err(wrong(format!(
                    "a column of type {} like {name:?} has no such encoding",
                    field.data_type()
                )));
            }
        }
        Ok(Self { fixed: Arc::new(fixed.clone()), ..self })
    }

    /// What a file is written with whose first rows these are.
    fn properties(&self, first: &[RecordBatch]) -> WriterProperties {
        let mut properties = WriterProperties::builder()
            .set_compression(self.codec)
            .set_created_by(format!("wasmill {}", env!("CARGO_PKG_VERSION")))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_dictionary_enabled(false)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_max_row_group_bytes(Some(self.row_group_bytes));
        let rows: usize = first.iter().map(RecordBatch::num_rows).sum();
        for leaf in self.leaves.iter() {
            let path = ColumnPath::new(leaf.clone());
            let fixed = leaf.first().and_then(|name| self.fixed.get(name)).copied();
            let encoding = match fixed {
                Some(fixed) => fixed,
                None if rows < DICTIONARY_ROWS => ColumnEncoding::Plain,
                None => encodings::choose(encodings::leaf(first, leaf)),
            };
            properties = match encoding {
                ColumnEncoding::Plain => properties.set_column_encoding(path, Encoding::PLAIN),
                ColumnEncoding::Delta => properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                ColumnEncoding::ByteStreamSplit => properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
                ColumnEncoding::Dictionary => properties.set_column_dictionary_enabled(path, true),
            };
        }
        properties.build()
    }
}

/// Paths of a field's leaves, as Parquet names them.
fn push_leaves(field: &Field, parents: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    parents.push(field.name().clone());
    match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) => {
            parents.push("list".to_owned());
            push_leaves(item, parents, leaves);
            parents.pop();
        }
        DataType::Struct(fields) => fields.iter().for_each(|field| push_leaves(field, parents, leaves)),
        DataType::Map(entries, _) => push_leaves(entries, parents, leaves),
        _ => leaves.push(parents.clone()),
    }
    parents.pop();
}

/// Refuses column names that differ in case only: Hive, Spark and Trino take them for one.
pub fn check_names(schema: &Schema) -> Result<()> {
    let mut names = HashSet::new();
    match schema.fields().iter().find(|field| !names.insert(field.name().to_lowercase())) {
        None => Ok(()),
        Some(field) => Err(Error::config(format!("the table would have two columns named {:?}", field.name()))
            .hint("readers of Parquet take upper and lower case for the same: rename or drop one of them")),
    }
}

/// A file's last bytes.
#[derive(Debug, Clone)]
pub struct EncodedTail {
    /// What follows the bytes taken before.
    pub bytes: Bytes,
    /// Rows of the whole file.
    pub rows: u64,
    /// Bytes of the whole file.
    pub length: u64,
}

/// A Parquet file being encoded.
pub struct PartFile {
    options: PartFileOptions,
    /// Made with the first rows that are encoded, when it is known whether they are few.
    writer: Option<ArrowWriter<Vec<u8>>>,
    /// Rows that wait for an encoder.
    waiting: Vec<RecordBatch>,
    /// The rows of small batches, which came after those.
    small: Option<SmallBatches>,
    waiting_rows: usize,
    waiting_bytes: usize,
    rows: u64,
    taken: u64,
}

impl PartFile {
    /// An empty file.
    pub fn new(options: &PartFileOptions) -> Self {
        Self {
            options: options.clone(),
            writer: None,
            waiting: Vec::new(),
            small: None,
            waiting_rows: 0,
            waiting_bytes: 0,
            rows: 0,
            taken: 0,
        }
    }

    fn writer(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            none => {
                let properties = self.options.properties(&self.waiting);
                // Without the Arrow schema in the footer: Parquet's own types say all there is, and each file is smaller.
                let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&self.options.schema), options);
                Ok(none.insert(writer.map_err(failed)?))
            }
        }
    }

    /// Whether a row group is open.
    fn is_encoding(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.in_progress_rows() > 0)
    }

    fn encoder_bytes(&self) -> usize {
        self.options.leaves.len() * self.options.column_bytes
    }

    /// Appends rows, in the columns of the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let schema = &self.options.schema;
        if !Arc::ptr_eq(batch.schema_ref(), schema) && batch.schema_ref().fields() != schema.fields() {
            return Err(Error::fatal("a batch has other columns than its file"));
        }
        self.rows += batch.num_rows() as u64;
        if self.is_encoding() {
            return self.writer()?.write(batch).map_err(failed);
        }
        self.waiting_rows += batch.num_rows();
        if batch.num_rows() >= SMALL_ROWS {
            self.end_small()?;
            self.waiting_bytes += held_bytes(batch);
            self.waiting.push(batch.clone());
        } else {
            let small = match &mut self.small {
                Some(small) => small,
                none => none.insert(SmallBatches::new(&self.options.schema)?),
            };
            self.waiting_bytes += small.append(batch)?;
        }
        let is_encoder_cheaper = self.waiting_rows >= ENCODE_ROWS && self.waiting_bytes >= self.encoder_bytes();
        if is_encoder_cheaper { self.encode_waiting() } else { Ok(()) }
    }

    /// Makes one batch of the small ones.
    fn end_small(&mut self) -> Result<()> {
        if let Some(small) = self.small.take() {
            self.waiting_bytes -= small.bytes;
            let joined = small.joined(&self.options.schema)?;
            self.waiting_bytes += held_bytes(&joined);
            self.waiting.push(joined);
        }
        Ok(())
    }

    fn encode_waiting(&mut self) -> Result<()> {
        self.end_small()?;
        self.writer()?;
        let waiting = mem::take(&mut self.waiting);
        let writer = self.writer()?;
        for batch in waiting {
            writer.write(&batch).map_err(failed)?;
        }
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// About how large the file would be if it ended now, without its footer.
    pub fn size_bytes(&self) -> u64 {
        let encoded = self.writer.as_ref().map_or(0, |writer| writer.bytes_written() + writer.in_progress_size());
        (encoded + self.waiting_bytes) as u64
    }

    /// What the file holds in memory: rows, pages, encoded bytes that were not taken, and the compressors.
    pub fn memory_bytes(&self) -> usize {
        let encoders = if self.is_encoding() { self.encoder_bytes() } else { 0 };
        let held = self.writer.as_ref().map_or(0, |writer| writer.memory_size() + writer.inner().len());
        held + self.waiting_bytes + encoders
    }

    /// Ends the row group, so that all rows so far become final bytes and the encoder's memory is free. Frees memory at the
    /// price of smaller row groups.
    pub fn flush_row_group(&mut self) -> Result<()> {
        self.encode_waiting()?;
        self.writer()?.flush().map_err(failed)
    }

    /// Bytes that are final, in order; `None` when there are none. A file's first bytes come with its first row group.
    pub fn take_encoded(&mut self) -> Result<Option<Bytes>> {
        let has_row_groups = self.writer.as_ref().is_some_and(|writer| !writer.flushed_row_groups().is_empty());
        if has_row_groups { self.take() } else { Ok(None) }
    }

    fn take(&mut self) -> Result<Option<Bytes>> {
        let writer = self.writer()?;
        writer.sync().map_err(|error| Error::fatal("cannot encode a Parquet file").because(error))?;
        let bytes = mem::take(writer.inner_mut());
        self.taken += bytes.len() as u64;
        Ok(if bytes.is_empty() { None } else { Some(bytes.into()) })
    }

    /// Ends the file, with `footer` as key-values of its metadata.
    pub fn finish(mut self, footer: &[(String, String)]) -> Result<EncodedTail> {
        self.flush_row_group()?;
        let writer = self.writer()?;
        for (key, value) in footer {
            writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
        }
        writer.finish().map_err(failed)?;
        let length = writer.bytes_written() as u64;
        let bytes = self.take()?.unwrap_or_default();
        if self.taken != length {
            let taken = self.taken;
            return Err(Error::fatal(format!("a Parquet file has {taken} bytes, and its footer says {length}")));
        }
        Ok(EncodedTail { bytes, rows: self.rows, length })
    }
}

/// Rows that came a few at a time, in Arrow's row format.
struct SmallBatches {
    converter: RowConverter,
    rows: Rows,
    bytes: usize,
}

impl SmallBatches {
    fn new(schema: &Schema) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(not_joined)?;
        let rows = converter.empty_rows(0, 0);
        Ok(Self { converter, rows, bytes: 0 })
    }

    /// Appends the rows of a batch; how many bytes more are held now.
    fn append(&mut self, batch: &RecordBatch) -> Result<usize> {
        self.converter.append(&mut self.rows, batch.columns()).map_err(not_joined)?;
        let before = self.bytes;
        self.bytes = self.rows.size() + self.converter.size();
        Ok(self.bytes - before)
    }

    /// All rows, in order.
    fn joined(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = self.converter.convert_rows(&self.rows).map_err(not_joined)?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(not_joined)
    }
}

fn not_joined(error: ArrowError) -> Error {
    Error::fatal("cannot put batches together").because(error)
}

/// Bytes that a batch keeps in memory, arrays' own structures included. Of a slice, its own part.
fn held_bytes(batch: &RecordBatch) -> usize {
    // Measured: the array, its buffers and what the allocator adds.
    const ARRAY_BYTES: usize = 512;
    let values = |column: &dyn Array| match column.data_type() {
        DataType::Utf8 => text_bytes(column.as_string::<i32>().value_offsets()),
        kind => match kind.primitive_width() {
            Some(width) => column.len() * width,
            None => column.to_data().get_slice_memory_size().unwrap_or(0),
        },
    };
    batch.columns().iter().map(|column| values(column) + ARRAY_BYTES).sum()
}

fn text_bytes(offsets: &[i32]) -> usize {
    let text = offsets.last().unwrap_or(&0) - offsets.first().unwrap_or(&0);
    size_of_val(offsets) + usize::try_from(text).unwrap_or(0)
}

fn failed(error: parquet::errors::ParquetError) -> Error {
    Error::fatal("cannot encode a Parquet file").because(error)
}

#[cfg(test)]
#[path = "part_file_tests.rs"]
mod tests;

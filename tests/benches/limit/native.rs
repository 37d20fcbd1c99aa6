//! The main job's transforms without Wasm: the same crates, compiled into this program, on the same columns.
//!
//! What is timed is what a native chain would do: take the rows still kept of the columns that a transform reads, run it,
//! put its columns back, and filter all columns once at the end. What is not timed is turning Arrow's buffers into the
//! SDK's and back: that is copying which only the Wasm boundary needs, so it counts as a cost of Wasm.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{filter, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema};
use enrich_geo::enrich_geo;
use keep_plays::keep_plays;
use validate_events::validate_events;
use wasmill_sdk::Transform;
use wasmill_sdk::wit;

use super::cpu_nanoseconds;

type Settings = [(String, String)];

/// One transform with its columns.
struct Step<T> {
    transform: T,
    descriptor: wit::Descriptor,
}

impl<T: Transform> Step<T> {
    fn new(settings: &Settings, schema: &Schema) -> Result<Self> {
        let input = schema.fields().iter().map(|field| contract_field(field)).collect::<Result<Vec<_>>>()?;
        let descriptor = T::describe(settings, &input).map_err(|why| anyhow!(why))?;
        let find = |name: &String| input.iter().find(|field| field.name == *name).cloned();
        let reads: Vec<_> = descriptor.reads.iter().filter_map(find).collect();
        let transform = T::start(settings, &reads).map_err(|why| anyhow!(why))?;
        Ok(Self { transform, descriptor })
    }

    /// Runs it on the rows that are kept; takes what it drops and rejects out of `keep`, and adds its columns.
    fn run(&mut self, columns: &mut Columns, spent: &mut u64) -> Result<()> {
        let begin = cpu_nanoseconds()?;
        let keep = BooleanArray::from(columns.keep.clone());
        let everything = columns.keep.iter().all(|kept| *kept);
        let mut reads = Vec::with_capacity(self.descriptor.reads.len());
        for name in &self.descriptor.reads {
            let column = columns.rows.column_by_name(name).ok_or_else(|| anyhow!("no column {name}"))?;
            reads.push(if everything { Arc::clone(column) } else { filter(column, &keep)? });
        }
        *spent += cpu_nanoseconds()? - begin;

        let rows = u32::try_from(reads.first().map_or(0, |column| column.len()))?;
        let batch = wit::Batch { rows, columns: reads.iter().map(contract_column).collect::<Result<_>>()? };
        let begin = cpu_nanoseconds()?;
        let output = self.transform.process(&batch).map_err(|why| anyhow!(why))?;
        *spent += cpu_nanoseconds()? - begin;

        let written = output.columns.iter().map(arrow_column).collect::<Result<Vec<_>>>()?;
        let begin = cpu_nanoseconds()?;
        columns.apply(&output, &self.descriptor.writes, written, everything)?;
        *spent += cpu_nanoseconds()? - begin;
        Ok(())
    }
}

/// The rows of a batch on their way through the chain.
struct Columns {
    rows: RecordBatch,
    keep: Vec<bool>,
}

impl Columns {
    fn apply(
        &mut self,
        output: &wit::Output,
        writes: &[wit::Field],
        written: Vec<ArrayRef>,
        everything: bool,
    ) -> Result<()> {
        // Where each row that the transform saw stands in the batch.
        let places: Vec<usize> = (0..self.keep.len()).filter(|row| self.keep[*row]).collect();
        if !written.is_empty() {
            let mut number = 0;
            let scatter: Int32Array = self
                .keep
                .iter()
                .map(|kept| {
                    number += i32::from(*kept);
                    kept.then(|| number - 1)
                })
                .collect();
            let mut fields: Vec<_> = self.rows.schema().fields().iter().cloned().collect();
            let mut arrays = self.rows.columns().to_vec();
            for (field, column) in writes.iter().zip(written) {
                fields.push(Arc::new(Field::new(&field.name, column.data_type().clone(), true)));
                arrays.push(if everything { column } else { take(&column, &scatter, None)? });
            }
            self.rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        }
        match &output.keep {
            wit::Selection::All => {}
            wit::Selection::None => places.iter().for_each(|place| self.keep[*place] = false),
            wit::Selection::Mask(mask) => {
                for (row, place) in places.iter().enumerate() {
                    self.keep[*place] = mask[row / 8] >> (row % 8) & 1 == 1;
                }
            }
            other => bail!("a selection that the main job's transforms do not make: {other:?}"),
        }
        for row in &output.rejects.rows {
            self.keep[places[*row as usize]] = false;
        }
        Ok(())
    }
}

/// The three transforms.
pub(crate) struct NativeChain {
    keep: Step<keep_plays>,
    validate: Step<validate_events>,
    enrich: Step<enrich_geo>,
}

impl NativeChain {
    /// As the shipped pipeline has them, by name.
    pub(crate) fn new(names: &[&str], min_seconds: &str, schema: &Schema) -> Result<Self> {
        ensure!(names == ["keep-plays", "validate-events", "enrich-geo"], "not the main job's chain: {names:?}");
        let settings = [("min_seconds".to_owned(), min_seconds.to_owned())];
        Ok(Self {
            keep: Step::new(&settings, schema)?,
            validate: Step::new(&[], schema)?,
            enrich: Step::new(&[], schema)?,
        })
    }

    /// Rows that go on, and the CPU time in nanoseconds that is added to `spent`.
    pub(crate) fn process(&mut self, rows: RecordBatch, spent: &mut u64) -> Result<RecordBatch> {
        let mut columns = Columns { keep: vec![true; rows.num_rows()], rows };
        self.keep.run(&mut columns, spent)?;
        self.validate.run(&mut columns, spent)?;
        self.enrich.run(&mut columns, spent)?;
        let begin = cpu_nanoseconds()?;
        let rows = filter_record_batch(&columns.rows, &BooleanArray::from(columns.keep))?;
        *spent += cpu_nanoseconds()? - begin;
        Ok(rows)
    }
}

fn contract_field(field: &Field) -> Result<wit::Field> {
    let format = match field.data_type() {
        DataType::Utf8 => "u",
        DataType::Int32 => "i",
        DataType::Int64 => "l",
        DataType::Float64 => "g",
        other => bail!("column {}: {other} is no type of the main job", field.name()),
    };
    Ok(wit::Field { name: field.name().clone(), format: format.to_owned(), nullable: field.is_nullable() })
}

fn contract_column(array: &ArrayRef) -> Result<wit::Column> {
    let values = match array.data_type() {
        DataType::Utf8 => {
            let text: &StringArray = array.as_string();
            let offsets = text.value_offsets();
            let (first, last) = (offsets[0], offsets[text.len()]);
            wit::Values::Bytes(wit::VarBytes {
                offsets: offsets.iter().map(|offset| offset - first).collect(),
                bytes: text.value_data()[first as usize..last as usize].to_vec(),
            })
        }
        DataType::Int32 => wit::Values::Int32(array.as_primitive::<Int32Type>().values().to_vec()),
        DataType::Int64 => wit::Values::Int64(array.as_primitive::<Int64Type>().values().to_vec()),
        DataType::Float64 => wit::Values::Float64(array.as_primitive::<Float64Type>().values().to_vec()),
        other => bail!("{other} is no type of the main job"),
    };
    let bitmap = |nulls: &NullBuffer| nulls.inner().sliced().as_slice()[..array.len().div_ceil(8)].to_vec();
    Ok(wit::Column { values, validity: array.nulls().map(bitmap) })
}

fn arrow_column(column: &wit::Column) -> Result<ArrayRef> {
    let nulls = |rows: usize| {
        let bitmap = column.validity.as_ref()?;
        Some(NullBuffer::new(arrow::buffer::BooleanBuffer::new(Buffer::from_slice_ref(bitmap), 0, rows)))
    };
    let text = |offsets: &[i32], bytes: &[u8], nulls| -> Result<StringArray> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets.to_vec()));
        Ok(StringArray::try_new(offsets, Buffer::from_slice_ref(bytes), nulls)?)
    };
    Ok(match &column.values {
        wit::Values::Int32(values) => {
            Arc::new(Int32Array::try_new(ScalarBuffer::from(values.clone()), nulls(values.len()))?)
        }
        wit::Values::Float64(values) => {
            Arc::new(Float64Array::try_new(ScalarBuffer::from(values.clone()), nulls(values.len()))?)
        }
        wit::Values::Bytes(values) => Arc::new(text(&values.offsets, &values.bytes, nulls(values.offsets.len() - 1))?),
        wit::Values::Dict(values) => {
            let entries = text(&values.entries.offsets, &values.entries.bytes, None)?;
            let keys = Int32Array::from_iter_values(values.keys.iter().map(|key| *key as i32));
            let keys = Int32Array::try_new(keys.values().clone(), nulls(values.keys.len()))?;
            take(&entries, &keys, None)?
        }
        other => bail!("values that the main job's transforms do not write: {other:?}"),
    })
}

//! The rows of one batch on their way through the chain.
//!
//! Each transform that drops or repeats rows begins a new *generation* of rows. A column stays in the generation in
//! which it was made, and is brought to the newest one when somebody reads it, or at the end: so a column that nobody
//! reads is copied once, however many transforms drop rows, and not at all when none does.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array};
use arrow::compute::{FilterBuilder, FilterPredicate, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::error::{Error, Result};

/// The columns of a batch, each in its generation.
pub(crate) struct Frame {
    columns: Vec<Column>,
    /// `steps[g]` leads from generation g to g + 1.
    steps: Vec<Step>,
    /// `paths[g]`, once asked for, leads from generation g to the newest.
    paths: Vec<Option<Path>>,
    /// Rows of each generation; the last entry is the newest.
    rows: Vec<usize>,
    /// Columns of generation 0 that are no part of the batch, but may have to follow its rows.
    beside: Vec<ArrayRef>,
}

#[derive(Clone)]
struct Column {
    array: ArrayRef,
    generation: usize,
}

/// Row i of the next generation is row `rows[i]` of this one.
struct Step {
    rows: Vec<u32>,
    /// Whether a row may occur more than once.
    gather: bool,
}

/// How a column gets to the newest generation.
enum Path {
    Filter { rows: Vec<u32>, predicate: FilterPredicate },
    Take(UInt32Array),
}

impl Frame {
    /// Generation 0.
    pub(crate) fn new(rows: &RecordBatch) -> Self {
        let column = |array: &ArrayRef| Column { array: array.clone(), generation: 0 };
        Self {
            columns: rows.columns().iter().map(column).collect(),
            steps: Vec::new(),
            paths: vec![None],
            rows: vec![rows.num_rows()],
            beside: Vec::new(),
        }
    }

    /// Counts a column of generation 0 in [`Frame::gathered_bytes`] that is no part of the batch: a later transform reads
    /// it, and then it is as long as the rows are many.
    pub(crate) fn count_beside(&mut self, array: ArrayRef) {
        self.beside.push(array);
    }

    /// Rows of the newest generation.
    pub(crate) fn rows(&self) -> usize {
        self.rows[self.steps.len()]
    }

    /// The newest generation.
    pub(crate) fn generation(&self) -> usize {
        self.steps.len()
    }

    /// Whether a row of generation 0 may occur more than once by now.
    pub(crate) fn gathered(&self) -> bool {
        self.steps.iter().any(|step| step.gather)
    }

    /// Column `index` as the newest generation has it.
    pub(crate) fn column(&mut self, index: usize) -> Result<ArrayRef> {
        let Column { array, generation } = self.columns[index].clone();
        let array = self.bring(array, generation)?;
        self.columns[index] = Column { array: array.clone(), generation: self.generation() };
        Ok(array)
    }

    /// `array`, made in `generation`, as the newest generation has it.
    pub(crate) fn bring(&mut self, array: ArrayRef, generation: usize) -> Result<ArrayRef> {
        if generation == self.generation() {
            return Ok(array);
        }
        let moved = match self.path(generation) {
            Path::Filter { predicate, .. } => predicate.filter(&array),
            Path::Take(rows) => take(&array, rows, None),
        };
        moved.map_err(selection_failed)
    }

    /// The row of `generation` that each row of the newest comes from; `None`: they are the same.
    pub(crate) fn origins(&mut self, generation: usize) -> Option<&[u32]> {
        if generation == self.generation() {
            return None;
        }
        Some(match self.path(generation) {
            Path::Filter { rows, .. } => rows,
            Path::Take(rows) => rows.values(),
        })
    }

    /// Begins a new generation of the given rows, in strictly increasing order.
    pub(crate) fn keep(&mut self, rows: Vec<u32>) {
        self.step(Step { rows, gather: false });
    }

    /// Begins a new generation of the given rows, in an order that never decreases.
    pub(crate) fn gather(&mut self, rows: Vec<u32>) {
        self.step(Step { rows, gather: true });
    }

    fn step(&mut self, step: Step) {
        self.rows.push(step.rows.len());
        self.steps.push(step);
        self.paths.clear();
        self.paths.resize_with(self.rows.len(), || None);
    }

    /// Bytes that a gather of the given rows would make of all columns together.
    pub(crate) fn gathered_bytes(&mut self, rows: &[u32]) -> Result<usize> {
        let mut bytes = 0_usize;
        for index in 0..self.columns.len() {
            bytes = bytes.saturating_add(bytes_of(&*self.column(index)?, rows));
        }
        if !self.beside.is_empty() {
            let origins =
                self.origins(0).map(|origins| rows.iter().map(|row| origins[*row as usize]).collect::<Vec<_>>());
            let rows = origins.as_deref().unwrap_or(rows);
            let beside = self.beside.iter().map(|array| bytes_of(&**array, rows));
            bytes = beside.fold(bytes, usize::saturating_add);
        }
        Ok(bytes)
    }

    /// Replaces column `index` by one of `generation`.
    pub(crate) fn replace(&mut self, index: usize, array: ArrayRef, generation: usize) {
        self.columns[index] = Column { array, generation };
    }

    /// Adds a column of `generation` at the end.
    pub(crate) fn push(&mut self, array: ArrayRef, generation: usize) {
        self.columns.push(Column { array, generation });
    }

    /// Removes a column.
    pub(crate) fn remove(&mut self, index: usize) {
        self.columns.remove(index);
    }

    /// The newest generation as a batch.
    pub(crate) fn finish(mut self, schema: SchemaRef) -> Result<RecordBatch> {
        let columns = (0..self.columns.len()).map(|index| self.column(index)).collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.rows()));
        RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| Error::fatal("the transforms' columns do not form a batch").because(error))
    }

    fn path(&mut self, from: usize) -> &Path {
        let (steps, rows) = (&self.steps, &self.rows);
        self.paths[from].get_or_insert_with(|| Path::new(&steps[from..], rows[from]))
    }
}

impl Path {
    /// All of `steps` in one, from a generation of `height` rows.
    fn new(steps: &[Step], height: usize) -> Self {
        let mut rows = steps.last().map(|step| step.rows.clone()).unwrap_or_default();
        for step in steps.iter().rev().skip(1) {
            for row in &mut rows {
                *row = step.rows[*row as usize];
            }
        }
        if steps.iter().any(|step| step.gather) {
            return Self::Take(rows.into());
        }
        let mut mask = BooleanBufferBuilder::new(height);
        mask.append_n(height, false);
        rows.iter().for_each(|row| mask.set_bit(*row as usize, true));
        let mask = BooleanArray::new(mask.finish(), None);
        Self::Filter { rows, predicate: FilterBuilder::new(&mask).optimize().build() }
    }
}

/// Bytes that the given rows of `array` take.
fn bytes_of(array: &dyn Array, rows: &[u32]) -> usize {
    let row = |row: &u32| bytes_before(array, *row as usize + 1) - bytes_before(array, *row as usize);
    rows.iter().map(row).fold(0, usize::saturating_add)
}

/// Bytes of the values before `index`. Counted exactly, also inside lists: the rows that a guest repeats are not average
/// ones.
fn bytes_before(array: &dyn Array, index: usize) -> usize {
    // The offsets themselves, and the widest type of a fixed width.
    let fixed = index.saturating_mul(16);
    fixed.saturating_add(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value_offsets()[index] as usize,
        DataType::Binary => array.as_binary::<i32>().value_offsets()[index] as usize,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            bytes_before(&**list.values(), list.value_offsets()[index] as usize)
        }
        _ => 0,
    })
}

fn selection_failed(error: ArrowError) -> Error {
    Error::fatal("the kept rows could not be selected").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{Field, Int32Type, Schema};
    use proptest::prelude::*;

    fn frame(rows: i32) -> (Frame, SchemaRef) {
        let schema =
            Schema::new(vec![Field::new("number", DataType::Int32, false), Field::new("text", DataType::Utf8, false)]);
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|n| n.to_string())));
        let schema = Arc::new(schema);
        (Frame::new(&RecordBatch::try_new(schema.clone(), vec![numbers, texts]).unwrap()), schema)
    }

    /// Per step: which rows stay (taken modulo), whether each is doubled, and which column is read in between.
    fn steps() -> impl Strategy<Value = Vec<(Vec<bool>, bool, usize)>> {
        prop::collection::vec((prop::collection::vec(any::<bool>(), 1..20), any::<bool>(), 0..3_usize), 0..5)
    }

    proptest! {
        #[test]
        fn columns_of_all_generations_agree_with_a_plain_list(rows in 0..50_i32, steps in steps()) {
            let (mut frame, schema) = frame(rows);
            let mut model: Vec<i32> = (0..rows).collect();
            for (stays, double, read) in steps {
                let kept: Vec<u32> = (0..model.len() as u32).filter(|n| stays[*n as usize % stays.len()]).collect();
                let chosen: Vec<u32> =
                    if double { kept.iter().flat_map(|n| [*n, *n]).collect() } else { kept };
                model = chosen.iter().map(|n| model[*n as usize]).collect();
                if double { frame.gather(chosen) } else { frame.keep(chosen) }
                if read < 2 {
                    frame.column(read).unwrap();
                }
            }
            prop_assert_eq!(frame.rows(), model.len());
            if let Some(origins) = frame.origins(0) {
                prop_assert_eq!(origins.iter().map(|n| *n as i32).collect::<Vec<_>>(), model.clone());
            }
            let batch = frame.finish(schema).unwrap();
            let numbers = batch.column(0).as_primitive::<Int32Type>().values().to_vec();
            let texts: Vec<i32> =
                batch.column(1).as_string::<i32>().iter().map(|text| text.unwrap().parse().unwrap()).collect();
            prop_assert_eq!(&numbers, &model);
            prop_assert_eq!(&texts, &model);
        }
    }
}

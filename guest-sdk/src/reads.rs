//! Rows as a transform sees them: plain structs that borrow from the columns of a batch.
//!
//! Guarantee: a row is made on the stack from the columns' values; no value is copied to the heap. A row with a null
//! where its struct has no `Option` is never made. Does not know: what is done with a row ([`rows`](crate::rows)).

use crate::columns::{Cell, Validity};
use crate::describe::check_read;
use crate::kind::Kind;
use crate::mask::Mask;
use crate::wit::{Batch, Field};

/// One field of a struct that derives [`Reads`].
#[derive(Debug, Clone, Copy)]
pub struct ReadField {
    /// The column's name.
    pub name: &'static str,
    /// What it must hold.
    pub kind: Kind,
    /// The field is an `Option`.
    pub nullable: bool,
    /// The stream may lack the column; the field is `None` then.
    pub optional: bool,
}

/// A row, and the columns it is made of. Derive it: `#[derive(Reads)]`.
///
/// For `struct Play<'a>`, the derive also makes `PlayColumns<'a>`, which holds a view of each column under the name of
/// its field, for vectorised code.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row that can be read",
    note = "put `#[derive(Reads)]` on the struct; its fields name the columns"
)]
pub trait Reads {
    /// The row, borrowing from a batch.
    type Row<'a>;
    /// A view of each column.
    type Columns<'a>;
    /// The columns, in the order of the fields.
    const FIELDS: &'static [ReadField];

    /// Open a view of each column.
    ///
    /// # Errors
    /// Which column is not laid out as the contract says.
    fn open<'a>(columns: &mut Opener<'a, '_>) -> Result<Self::Columns<'a>, String>;

    /// Row number `row`, which must have a value in each required column.
    fn row<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Row<'a>;
}

/// A transform that reads no column: it has only the number of rows.
impl Reads for () {
    type Row<'a> = ();
    type Columns<'a> = ();
    const FIELDS: &'static [ReadField] = &[];

    fn open<'a>(_: &mut Opener<'a, '_>) -> Result<Self::Columns<'a>, String> {
        Ok(())
    }

    fn row<'a>((): &Self::Columns<'a>, _: usize) -> Self::Row<'a> {}
}

/// Which column of a batch belongs to which field. Settled once, at `start`.
#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// The field's place among the batch's columns; `None`: the stream lacks it.
    places: Vec<Option<usize>>,
    /// The index of the built-in reason `null-input`, which stands behind the transform's own.
    pub(crate) null_input: u16,
}

impl Binding {
    /// Bind the fields to `reads`, the fields behind `descriptor.reads`.
    ///
    /// # Errors
    /// A field that is required has no column, or one of another type.
    pub fn new(fields: &[ReadField], reads: &[Field], reasons: usize) -> Result<Binding, String> {
        let bind = |field: &ReadField| match reads.iter().position(|found| found.name == field.name) {
            Some(place) => check_read(field, &reads[place]).map(|()| Some(place)),
            None if field.optional => Ok(None),
            None => Err(format!("column `{}` is not among those given to `start`", field.name)),
        };
        let places = fields.iter().map(bind).collect::<Result<_, _>>()?;
        let null_input = u16::try_from(reasons).map_err(|_| format!("{reasons} reasons are too many"))?;
        Ok(Binding { places, null_input })
    }
}

/// Opens a batch's columns, field by field, and learns which rows lack a required value.
#[derive(Debug)]
pub struct Opener<'a, 'b> {
    fields: &'static [ReadField],
    batch: &'a Batch,
    binding: &'b Binding,
    next: usize,
    required: Vec<(&'static str, Validity<'a>)>,
}

impl<'a> Opener<'a, '_> {
    /// The column of the next field.
    ///
    /// # Errors
    /// The column is not laid out as the contract says.
    pub fn column<T: Cell<'a>>(&mut self) -> Result<T::Column, String> {
        let name = self.fields.get(self.next).map_or("?", |field| field.name);
        let rows = self.batch.rows as usize;
        let column = match self.binding.places.get(self.next) {
            Some(&Some(place)) => Some(self.batch.columns.get(place).ok_or_else(|| {
                format!("column `{name}` is number {place} of a batch with {} columns", self.batch.columns.len())
            })?),
            _ => None,
        };
        self.next += 1;
        let column = T::open(column, rows).map_err(|problem| format!("column `{name}`: {problem}"))?;
        let validity = T::validity(&column);
        if !T::NULLABLE && !matches!(validity, Validity::All) {
            self.required.push((name, validity));
        }
        Ok(column)
    }
}

/// An opened batch.
pub(crate) struct Opened<'a, R: Reads> {
    pub(crate) rows: usize,
    pub(crate) columns: R::Columns<'a>,
    /// The rows that have every required value; `None`: all.
    complete: Option<Mask>,
    required: Vec<(&'static str, Validity<'a>)>,
}

impl<'a, R: Reads> Opened<'a, R> {
    pub(crate) fn new(batch: &'a Batch, binding: &Binding) -> Result<Self, String> {
        let mut opener = Opener { fields: R::FIELDS, batch, binding, next: 0, required: Vec::new() };
        let columns = R::open(&mut opener)?;
        let (rows, required) = (batch.rows as usize, opener.required);
        let complete = required
            .iter()
            .map(|(_, validity)| validity.mask(rows))
            .reduce(|all, more| all & &more)
            .filter(|complete| complete.count() < rows);
        Ok(Opened { rows, columns, complete, required })
    }

    /// The name of the required column that is null at `row`, if there is one.
    #[inline]
    pub(crate) fn null_at(&self, row: usize) -> Option<&'static str> {
        match &self.complete {
            None => None,
            Some(complete) if complete.get(row) => None,
            Some(_) => self.required.iter().find(|(_, validity)| !validity.is_valid(row)).map(|(name, _)| *name),
        }
    }

    /// The rows with a null in a required column, and that column's name.
    pub(crate) fn incomplete(&self) -> impl Iterator<Item = (usize, &'static str)> + '_ {
        (0..if self.complete.is_some() { self.rows } else { 0 })
            .filter_map(|row| self.null_at(row).map(|name| (row, name)))
    }
}

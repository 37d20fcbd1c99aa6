//! Named columns, as a stream holds them between transforms.

use super::json;
use crate::builders::{BitsBuilder, Builder, BytesBuilder, NumberBuilder};
use crate::columns::Cell;
use crate::describe::metadata;
use crate::kind::Kind;
use crate::wit::{Batch, Column, Field};
use crate::writes::Value;

/// Some rows of a stream: fields and their columns, all of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    fields: Vec<Field>,
    columns: Vec<Column>,
    rows: usize,
}

/// One value of a column, owned: what the harness compares, cuts and joins with. Not fast.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
}

impl Table {
    /// From columns in the contract's layout.
    ///
    /// # Errors
    /// A field that no typed row can hold, or a column that is not laid out as the contract says.
    pub fn new(fields: Vec<Field>, columns: Vec<Column>) -> Result<Table, String> {
        if fields.len() != columns.len() {
            return Err(format!("{} fields, but {} columns", fields.len(), columns.len()));
        }
        let rows = columns.first().map_or(0, length);
        let table = Table { fields, columns, rows };
        for at in 0..table.fields.len() {
            table.scalars(at).map_err(|problem| format!("column `{}`: {problem}", table.fields[at].name))?;
        }
        Ok(table)
    }

    /// From JSON lines. The schema lists fields as a pipeline file does: `auth string, ts long!` (`!`: never null), with
    /// string, int, long, float, double, boolean, timestamp (microseconds) and binary (text, for its bytes).
    ///
    /// # Errors
    /// A schema or line that is wrong, and which.
    pub fn from_json(schema: &str, lines: &str) -> Result<Table, String> {
        let fields = json::parse_schema(schema)?;
        let rows = json::parse_rows(&fields, lines)?;
        let column = |at: usize| collect(&fields[at], rows.iter().map(|row| row[at].clone()));
        let columns = (0..fields.len()).map(column).collect::<Result<_, _>>()?;
        Ok(Table { rows: rows.len(), columns, fields })
    }

    /// The rows as JSON objects.
    pub fn to_json(&self) -> Vec<serde_json::Value> {
        let columns: Vec<_> = (0..self.fields.len()).map(|at| self.scalars(at).unwrap_or_default()).collect();
        let value = |row: usize, at: usize| columns[at].get(row).map_or(serde_json::Value::Null, json::to_value);
        (0..self.rows)
            .map(|row| self.fields.iter().enumerate().map(|(at, field)| (field.name.clone(), value(row, at))).collect())
            .collect()
    }

    /// The fields.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The columns, one for each field.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The fields behind `names`, and a batch of their columns. What Kafka says of a record is made up where the table
    /// lacks it: topic `test`, topic partition 0, offsets counting from `first`, no timestamp, no key.
    pub(super) fn read(&self, names: &[String], first: usize) -> Result<(Vec<Field>, Batch), String> {
        let mut fields = Vec::with_capacity(names.len());
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            if let Some(at) = self.fields.iter().position(|field| field.name == *name) {
                fields.push(self.fields[at].clone());
                columns.push(self.columns[at].clone());
                continue;
            }
            let field =
                metadata(name).ok_or_else(|| format!("`describe` reads column `{name}`, which is not there"))?;
            let value = |row: usize| match name.as_str() {
                "$topic" => Some(Scalar::Bytes(b"test".to_vec())),
                "$partition" => Some(Scalar::Int(0)),
                "$offset" => i64::try_from(first + row).ok().map(Scalar::Long),
                _ => None,
            };
            columns.push(collect(&field, (0..self.rows).map(value))?);
            fields.push(field);
        }
        let rows = u32::try_from(self.rows).map_err(|_| "too many rows for one batch".to_owned())?;
        Ok((fields, Batch { rows, columns }))
    }

    /// These rows, in this order.
    ///
    /// # Panics
    /// A row is past the end.
    pub fn take(&self, rows: &[usize]) -> Table {
        let column = |at: usize| {
            // Both were checked when the table was made.
            let values = self.scalars(at).unwrap_or_default();
            collect(&self.fields[at], rows.iter().map(|&row| values[row].clone()))
        };
        let columns = (0..self.fields.len()).map(column).collect::<Result<_, _>>().unwrap_or_default();
        Table { fields: self.fields.clone(), columns, rows: rows.len() }
    }

    /// The rows of both, one after the other.
    pub(super) fn append(&mut self, more: &Table) -> Result<(), String> {
        let column = |at: usize| {
            let values = self.scalars(at)?.into_iter().chain(more.scalars(at)?);
            collect(&self.fields[at], values)
        };
        self.columns = (0..self.fields.len()).map(column).collect::<Result<_, _>>()?;
        self.rows += more.rows;
        Ok(())
    }

    /// With the written columns added or replaced, without the dropped ones.
    pub(super) fn merge(mut self, written: Table, drops: &[String]) -> Result<Table, String> {
        for (field, column) in std::iter::zip(written.fields, written.columns) {
            match self.fields.iter().position(|known| known.name == field.name) {
                Some(at) => (self.fields[at], self.columns[at]) = (field, column),
                None => {
                    self.fields.push(field);
                    self.columns.push(column);
                }
            }
        }
        let kept = |field: &Field| !drops.contains(&field.name);
        let (fields, columns) = std::iter::zip(self.fields, self.columns).filter(|(field, _)| kept(field)).unzip();
        Ok(Table { fields, columns, rows: self.rows })
    }

    fn scalars(&self, at: usize) -> Result<Vec<Option<Scalar>>, String> {
        let (field, column, rows) = (&self.fields[at], &self.columns[at], self.rows);
        let unknown = || format!("the harness cannot hold format `{}`", field.format);
        Ok(match Kind::from_format(&field.format).ok_or_else(unknown)? {
            Kind::Boolean => read::<bool>(column, rows, Scalar::Boolean)?,
            Kind::Int => read::<i32>(column, rows, Scalar::Int)?,
            Kind::Long | Kind::Timestamp => read::<i64>(column, rows, Scalar::Long)?,
            Kind::Float => read::<f32>(column, rows, Scalar::Float)?,
            Kind::Double => read::<f64>(column, rows, Scalar::Double)?,
            Kind::Text => read::<&str>(column, rows, |text| Scalar::Bytes(text.as_bytes().to_vec()))?,
            Kind::Binary => read::<&[u8]>(column, rows, |bytes| Scalar::Bytes(bytes.to_vec()))?,
        })
    }
}

fn read<'a, T: Cell<'a>>(
    column: &'a Column,
    rows: usize,
    scalar: impl Fn(T) -> Scalar,
) -> Result<Vec<Option<Scalar>>, String> {
    let column = Option::<T>::open(Some(column), rows)?;
    Ok((0..rows).map(|row| Option::<T>::get(&column, row).map(&scalar)).collect())
}

/// A column of `field` out of single values.
fn collect(field: &Field, values: impl Iterator<Item = Option<Scalar>>) -> Result<Column, String> {
    fn build<B: Builder>(
        values: impl Iterator<Item = Option<Scalar>>,
        push: impl Fn(&mut B, Scalar) -> Option<()>,
    ) -> Result<Column, String> {
        let mut builder = B::with_capacity(0);
        for value in values {
            match value {
                None => builder.push_null(),
                Some(value) => push(&mut builder, value).ok_or("a value of another type")?,
            }
        }
        Ok(builder.finish()?.0)
    }
    macro_rules! push {
        ($builder:ty, $scalar:ident) => {
            build::<$builder>(values, |builder, value| match value {
                Scalar::$scalar(value) => {
                    value.append_to(builder);
                    Some(())
                }
                _ => None,
            })
        };
    }
    let column = match Kind::from_format(&field.format) {
        Some(Kind::Boolean) => push!(BitsBuilder, Boolean),
        Some(Kind::Int) => push!(NumberBuilder<i32>, Int),
        Some(Kind::Long | Kind::Timestamp) => push!(NumberBuilder<i64>, Long),
        Some(Kind::Float) => push!(NumberBuilder<f32>, Float),
        Some(Kind::Double) => push!(NumberBuilder<f64>, Double),
        Some(Kind::Text | Kind::Binary) => push!(BytesBuilder, Bytes),
        None => Err(format!("the harness cannot hold format `{}`", field.format)),
    }?;
    if column.validity.is_some() && !field.nullable {
        return Err(format!("column `{}` holds a null, though declared without", field.name));
    }
    Ok(column)
}

fn length(column: &Column) -> usize {
    use crate::wit::Values;
    match &column.values {
        // Bits alone do not say how many rows there are; a test that needs such a table adds a column before.
        Values::Bits(bits) => bits.len() * 8,
        Values::Int32(values) => values.len(),
        Values::Int64(values) => values.len(),
        Values::Float32(values) => values.len(),
        Values::Float64(values) => values.len(),
        Values::Bytes(values) => values.offsets.len().saturating_sub(1),
        Values::Dict(dictionary) => dictionary.keys.len(),
        Values::Fixed((width, bytes)) => bytes.len() / (*width).max(1) as usize,
        Values::Ipc(_) => 0,
    }
}

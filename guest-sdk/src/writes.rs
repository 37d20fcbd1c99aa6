//! Columns as a transform writes them: structs whose fields are columns added to the stream, or replaced in it.
//!
//! Guarantee: values are appended straight to the buffers that cross to the host. Text of a fixed set (`&'static str`)
//! crosses as a dictionary: four bytes a row. Does not know: which rows are kept ([`Outcome`](crate::Outcome)).

use std::borrow::Cow;

use crate::builders::{BitsBuilder, Builder, BytesBuilder, LabelBuilder, NumberBuilder, TextBuilder};
use crate::kind::{Kind, Timestamp};
use crate::wit::Column;

/// One field of a struct that derives [`Writes`].
#[derive(Debug, Clone, Copy)]
pub struct WriteField {
    /// The column's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The field is an `Option`.
    pub nullable: bool,
}

/// The columns that a transform writes, as one struct per row. Derive it: `#[derive(Writes)]`.
///
/// For `struct Place`, the derive also makes `PlaceBuilders`, which holds a builder for each column under the name of
/// its field, for vectorised code.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of columns that can be written",
    note = "put `#[derive(Writes)]` on the struct; its fields name the columns"
)]
pub trait Writes {
    /// The values of one row.
    type Row<'a>;
    /// A builder for each column.
    type Builders: std::fmt::Debug;
    /// The columns, in the order of the fields.
    const FIELDS: &'static [WriteField];

    /// Empty builders with room for `rows` values.
    fn builders(rows: usize) -> Self::Builders;

    /// Append the values of one row.
    fn push(row: Self::Row<'_>, builders: &mut Self::Builders);

    /// Append a placeholder for a row that is rejected.
    fn push_gap(builders: &mut Self::Builders);

    /// The columns, each with its number of values.
    ///
    /// # Errors
    /// A column that is larger than the contract can say.
    fn finish(builders: Self::Builders) -> Result<Vec<(Column, usize)>, String>;
}

/// A transform that writes no column.
impl Writes for () {
    type Row<'a> = ();
    type Builders = ();
    const FIELDS: &'static [WriteField] = &[];

    fn builders(_: usize) {}
    fn push((): (), (): &mut ()) {}
    fn push_gap((): &mut ()) {}
    fn finish((): ()) -> Result<Vec<(Column, usize)>, String> {
        Ok(Vec::new())
    }
}

/// A type that a field of a written struct may have.
///
/// `bool`, `i32`, `i64`, `f32`, `f64`, `String`, `&str`, `Cow<str>`, `Vec<u8>`, `&[u8]`, [`Timestamp`], [`Label`], and
/// `Option` of each. The derive takes a field of type `&'static str` as a [`Label`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to a column",
    label = "not a column type",
    note = "a field that is written is a bool, i32, i64, f32, f64, String, &str, Cow<str>, Vec<u8>, &[u8], Timestamp, Label, or an Option of one of these"
)]
pub trait Value {
    /// What the column holds.
    const KIND: Kind;
    /// May the value be null?
    const NULLABLE: bool;
    /// Collects the column.
    type Builder: Builder;

    /// Append the value.
    fn append_to(self, builder: &mut Self::Builder);
}

/// Text from a small, fixed set: it crosses to the host as a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(pub &'static str);

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    type Builder = T::Builder;

    #[inline]
    fn append_to(self, builder: &mut Self::Builder) {
        match self {
            Some(value) => value.append_to(builder),
            None => builder.push_null(),
        }
    }
}

macro_rules! value {
    ($($type:ty => $kind:ident, $builder:ty, |$value:ident| $push:expr;)*) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::$kind;
            const NULLABLE: bool = false;
            type Builder = $builder;

            #[inline]
            fn append_to(self, builder: &mut Self::Builder) {
                let $value = self;
                builder.push($push);
            }
        }
    )*};
}

value! {
    bool => Boolean, BitsBuilder, |value| value;
    i32 => Int, NumberBuilder<i32>, |value| value;
    i64 => Long, NumberBuilder<i64>, |value| value;
    f32 => Float, NumberBuilder<f32>, |value| value;
    f64 => Double, NumberBuilder<f64>, |value| value;
    Timestamp => Timestamp, NumberBuilder<i64>, |value| value.0;
    &str => Text, TextBuilder, |value| value;
    String => Text, TextBuilder, |value| &value;
    Cow<'_, str> => Text, TextBuilder, |value| &value;
    &[u8] => Binary, BytesBuilder, |value| value;
    Vec<u8> => Binary, BytesBuilder, |value| &value;
    Label => Text, LabelBuilder, |value| value.0;
}

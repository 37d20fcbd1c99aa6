//! Columns of a batch as typed views: what rows are made of, and what vectorised code works on.
//!
//! Guarantee: a view is checked once, when it is opened (layout, lengths, UTF-8), so reading a value afterwards needs
//! no error. Nothing is copied: views borrow the buffers that the host wrote. Does not know: names, or which fields a
//! transform wants ([`reads`](crate::reads) does).

use memchr::memmem;

use crate::kind::{Kind, Timestamp};
use crate::mask::{Mask, get_bit};
use crate::wit::{Column, Values, VarBytes};

/// Which rows of a column hold a value.
#[derive(Debug, Clone, Copy)]
pub enum Validity<'a> {
    /// All of them.
    All,
    /// None: the column is null throughout, or does not exist in this stream.
    None,
    /// Those with a set bit.
    Some(&'a [u8]),
}

impl<'a> Validity<'a> {
    /// Does `row` hold a value?
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        match self {
            Validity::All => true,
            Validity::None => false,
            Validity::Some(bitmap) => get_bit(bitmap, row),
        }
    }

    /// The rows, of `rows`, that hold a value.
    pub fn mask(&self, rows: usize) -> Mask {
        match self {
            Validity::All => Mask::all(rows),
            Validity::None => Mask::none(rows),
            Validity::Some(bitmap) => Mask::from_bitmap(rows, bitmap),
        }
    }

    fn open(column: Option<&'a Column>, rows: usize) -> Result<Self, String> {
        match column.map(|column| column.validity.as_deref()) {
            None => Ok(Validity::None),
            Some(None) => Ok(Validity::All),
            Some(Some(bitmap)) if bitmap.len() == rows.div_ceil(8) => Ok(Validity::Some(bitmap)),
            Some(Some(bitmap)) => Err(format!("its validity has {} bytes for {rows} rows", bitmap.len())),
        }
    }
}

/// A column of numbers; timestamps are `i64` microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a, T> {
    values: &'a [T],
    validity: Validity<'a>,
    rows: usize,
}

impl<'a, T: Copy> Numbers<'a, T> {
    /// The values, one per row; what stands at a null row means nothing. Empty where the column does not exist.
    #[inline]
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// Which rows hold a value.
    pub fn validity(&self) -> Validity<'a> {
        self.validity
    }

    /// The value of `row`, if it has one.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        self.validity.is_valid(row).then(|| self.values[row])
    }

    /// The value of every row.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> + use<'a, T> {
        let column = *self;
        (0..column.rows).map(move |row| column.get(row))
    }

    /// The rows that have a value for which `holds`.
    pub fn mask(&self, mut holds: impl FnMut(T) -> bool) -> Mask {
        match self.validity {
            Validity::None => Mask::none(self.rows),
            Validity::All => Mask::from_fn(self.rows, |row| holds(self.values[row])),
            Validity::Some(_) => Mask::from_fn(self.rows, |row| self.validity.is_valid(row) && holds(self.values[row])),
        }
    }
}

/// A column of booleans, one bit a row.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    bits: &'a [u8],
    validity: Validity<'a>,
    rows: usize,
}

impl<'a> Bits<'a> {
    /// Which rows hold a value.
    pub fn validity(&self) -> Validity<'a> {
        self.validity
    }

    /// The value of `row`, if it has one.
    #[inline]
    pub fn get(&self, row: usize) -> Option<bool> {
        self.validity.is_valid(row).then(|| get_bit(self.bits, row))
    }

    /// The rows that are true. A null row is not.
    pub fn mask(&self) -> Mask {
        Mask::from_bitmap(self.rows, self.bits) & &self.validity.mask(self.rows)
    }
}

/// Where the value of a row lies among the bytes.
#[derive(Debug, Clone, Copy)]
struct Spans<'a> {
    keys: Option<&'a [u32]>,
    offsets: &'a [i32],
    validity: Validity<'a>,
    rows: usize,
}

impl Spans<'_> {
    #[inline]
    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let entry = match self.keys {
            Some(keys) => keys[row] as usize,
            None => row,
        };
        // Checked when the view was opened: offsets are neither negative nor falling.
        self.offsets[entry] as usize..self.offsets[entry + 1] as usize
    }

    /// The rows whose value is one of the `entries` (of the dictionary, or of the column itself).
    fn rows_of(&self, entries: Mask) -> Mask {
        let rows = match self.keys {
            None => entries,
            Some(keys) => Mask::from_fn(self.rows, |row| entries.get(keys[row] as usize)),
        };
        match self.validity {
            Validity::All => rows,
            nulls => rows & &nulls.mask(self.rows),
        }
    }

    fn contains(&self, bytes: &[u8], finder: &memmem::Finder<'_>) -> Mask {
        let entries = self.offsets.len().saturating_sub(1);
        if finder.needle().is_empty() {
            return self.rows_of(Mask::all(entries));
        }
        let mut found = Mask::none(entries);
        let (mut entry, mut at) = (0, 0);
        while let Some(hit) = bytes.get(at..).and_then(|rest| finder.find(rest)) {
            let start = at + hit;
            while self.offsets[entry + 1] as usize <= start {
                entry += 1;
            }
            let end = self.offsets[entry + 1] as usize;
            if start + finder.needle().len() <= end {
                found.set(entry, true);
                at = end;
            } else {
                // The match runs over the border of two values: it is none.
                at = start + 1;
            }
        }
        self.rows_of(found)
    }
}

/// A column of UTF-8 text, plain or dictionary-encoded.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    spans: Spans<'a>,
    text: &'a str,
}

impl<'a> Text<'a> {
    /// Which rows hold a value.
    pub fn validity(&self) -> Validity<'a> {
        self.spans.validity
    }

    /// The value of `row`, if it has one.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.spans.validity.is_valid(row).then(|| &self.text[self.spans.range(row)])
    }

    /// The value of every row.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let column = *self;
        (0..column.spans.rows).map(move |row| column.get(row))
    }

    /// The dictionary's key of every row, if the column is dictionary-encoded: work once per entry instead of once per row.
    pub fn keys(&self) -> Option<&'a [u32]> {
        self.spans.keys
    }

    /// The offsets of the values (of the dictionary's entries, where there are [`keys`](Self::keys)): one more than values.
    pub fn offsets(&self) -> &'a [i32] {
        self.spans.offsets
    }

    /// All values, one after another.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The rows that have a value for which `holds`; called once per dictionary entry where there is a dictionary.
    pub fn mask(&self, mut holds: impl FnMut(&'a str) -> bool) -> Mask {
        let spans = &self.spans;
        match spans.keys {
            None => {
                Mask::from_fn(spans.rows, |row| spans.validity.is_valid(row) && holds(&self.text[spans.range(row)]))
            }
            Some(_) => {
                let entries = spans.offsets.len().saturating_sub(1);
                let offsets = spans.offsets;
                let chosen = Mask::from_fn(entries, |entry| {
                    holds(&self.text[offsets[entry] as usize..offsets[entry + 1] as usize])
                });
                spans.rows_of(chosen)
            }
        }
    }

    /// The rows whose text contains what `finder` looks for.
    ///
    /// One search over the bytes of all rows, with SIMD where the module was built with it: much faster than a search
    /// per row. Build the finder once, in `start`.
    pub fn contains(&self, finder: &memmem::Finder<'_>) -> Mask {
        self.spans.contains(self.text.as_bytes(), finder)
    }
}

/// A column of bytes, plain or dictionary-encoded.
#[derive(Debug, Clone, Copy)]
pub struct Binary<'a> {
    spans: Spans<'a>,
    bytes: &'a [u8],
}

impl<'a> Binary<'a> {
    /// Which rows hold a value.
    pub fn validity(&self) -> Validity<'a> {
        self.spans.validity
    }

    /// The value of `row`, if it has one.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        self.spans.validity.is_valid(row).then(|| &self.bytes[self.spans.range(row)])
    }

    /// The offsets of the values: one more than values.
    pub fn offsets(&self) -> &'a [i32] {
        self.spans.offsets
    }

    /// All values, one after another.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The rows whose bytes contain what `finder` looks for, found as [`Text::contains`] does.
    pub fn contains(&self, finder: &memmem::Finder<'_>) -> Mask {
        self.spans.contains(self.bytes, finder)
    }
}

/// A type that a field of a row may have: one value of a column.
///
/// `bool`, `i32`, `i64`, `f32`, `f64`, `&str`, `&[u8]`, [`Timestamp`], and `Option` of each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a column",
    label = "not a column type",
    note = "a field that is read is a bool, i32, i64, f32, f64, &'a str, &'a [u8] or Timestamp, or an Option of one of these",
    note = "rows borrow from the batch: write `&'a str`, not `String`"
)]
pub trait Cell<'a>: Sized {
    /// What the column must hold.
    const KIND: Kind;
    /// May the field be null?
    const NULLABLE: bool;
    /// The view of the whole column.
    type Column: Copy;

    /// Check a column and open a view; `None` stands for a column that the stream does not have.
    ///
    /// # Errors
    /// What is wrong with its layout, to stand after the column's name.
    fn open(column: Option<&'a Column>, rows: usize) -> Result<Self::Column, String>;

    /// Which rows hold a value.
    fn validity(column: &Self::Column) -> Validity<'a>;

    /// The value of a row. Only `Option` may be asked about a null row.
    fn get(column: &Self::Column, row: usize) -> Self;
}

impl<'a, T: Cell<'a>> Cell<'a> for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    type Column = T::Column;

    fn open(column: Option<&'a Column>, rows: usize) -> Result<Self::Column, String> {
        T::open(column, rows)
    }

    fn validity(column: &Self::Column) -> Validity<'a> {
        T::validity(column)
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        T::validity(column).is_valid(row).then(|| T::get(column, row))
    }
}

macro_rules! number_cell {
    ($cell:ty, $native:ty, $kind:ident, $values:ident, $wrap:expr) => {
        impl<'a> Cell<'a> for $cell {
            const KIND: Kind = Kind::$kind;
            const NULLABLE: bool = false;
            type Column = Numbers<'a, $native>;

            fn open(column: Option<&'a Column>, rows: usize) -> Result<Self::Column, String> {
                let validity = Validity::open(column, rows)?;
                let values = match column.map(|column| &column.values) {
                    None => &[],
                    Some(Values::$values(values)) => values.as_slice(),
                    Some(other) => return Err(wrong_layout(stringify!($values), other)),
                };
                if column.is_some() && values.len() != rows {
                    return Err(format!("it has {} values for {rows} rows", values.len()));
                }
                Ok(Numbers { values, validity, rows })
            }

            fn validity(column: &Self::Column) -> Validity<'a> {
                column.validity
            }

            #[inline]
            fn get(column: &Self::Column, row: usize) -> Self {
                $wrap(column.values[row])
            }
        }
    };
}

number_cell!(i32, i32, Int, Int32, std::convert::identity);
number_cell!(i64, i64, Long, Int64, std::convert::identity);
number_cell!(f32, f32, Float, Float32, std::convert::identity);
number_cell!(f64, f64, Double, Float64, std::convert::identity);
number_cell!(Timestamp, i64, Timestamp, Int64, Timestamp);

impl<'a> Cell<'a> for bool {
    const KIND: Kind = Kind::Boolean;
    const NULLABLE: bool = false;
    type Column = Bits<'a>;

    fn open(column: Option<&'a Column>, rows: usize) -> Result<Self::Column, String> {
        let validity = Validity::open(column, rows)?;
        let bits = match column.map(|column| &column.values) {
            None => &[],
            Some(Values::Bits(bits)) => bits.as_slice(),
            Some(other) => return Err(wrong_layout("Bits", other)),
        };
        if column.is_some() && bits.len() != rows.div_ceil(8) {
            return Err(format!("it has {} bytes of bits for {rows} rows", bits.len()));
        }
        Ok(Bits { bits, validity, rows })
    }

    fn validity(column: &Self::Column) -> Validity<'a> {
        column.validity
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        get_bit(column.bits, row)
    }
}

impl<'a> Cell<'a> for &'a [u8] {
    const KIND: Kind = Kind::Binary;
    const NULLABLE: bool = false;
    type Column = Binary<'a>;

    fn open(column: Option<&'a Column>, rows: usize) -> Result<Self::Column, String> {
        let (spans, bytes) = open_spans(column, rows)?;
        Ok(Binary { spans, bytes })
    }

    fn validity(column: &Self::Column) -> Validity<'a> {
        column.spans.validity
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        &column.bytes[column.spans.range(row)]
    }
}

impl<'a> Cell<'a> for &'a str {
    const KIND: Kind = Kind::Text;
    const NULLABLE: bool = false;
    type Column = Text<'a>;

    fn open(column: Option<&'a Column>, rows: usize) -> Result<Self::Column, String> {
        let (spans, bytes) = open_spans(column, rows)?;
        let text = std::str::from_utf8(bytes).map_err(|error| format!("its text is not UTF-8: {error}"))?;
        Ok(Text { spans, text })
    }

    fn validity(column: &Self::Column) -> Validity<'a> {
        column.spans.validity
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        &column.text[column.spans.range(row)]
    }
}

fn open_spans<'a>(column: Option<&'a Column>, rows: usize) -> Result<(Spans<'a>, &'a [u8]), String> {
    let validity = Validity::open(column, rows)?;
    let (keys, VarBytes { offsets, bytes }) = match column.map(|column| &column.values) {
        None => return Ok((Spans { keys: None, offsets: &[0], validity, rows }, &[])),
        Some(Values::Bytes(plain)) => (None, plain),
        Some(Values::Dict(dictionary)) => (Some(dictionary.keys.as_slice()), &dictionary.entries),
        Some(other) => return Err(wrong_layout("Bytes or Dict", other)),
    };
    let entries = offsets.len().saturating_sub(1);
    if keys.map_or(entries, <[u32]>::len) != rows {
        return Err(format!("it has {} values for {rows} rows", keys.map_or(entries, <[u32]>::len)));
    }
    let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let used = offsets.last().and_then(|&end| bytes.get(..end as usize));
    match used {
        Some(bytes) if rising => Ok((Spans { keys, offsets, validity, rows }, bytes)),
        _ => Err("its offsets do not start at 0, fall, or leave the bytes".to_owned()),
    }
}

fn wrong_layout(wanted: &str, found: &Values) -> String {
    let found = match found {
        Values::Bits(_) => "Bits",
        Values::Int32(_) => "Int32",
        Values::Int64(_) => "Int64",
        Values::Float32(_) => "Float32",
        Values::Float64(_) => "Float64",
        Values::Bytes(_) => "Bytes",
        Values::Dict(_) => "Dict",
        Values::Fixed(_) => "Fixed",
        Values::Ipc(_) => "Ipc",
    };
    format!("its layout is {found}, not {wanted}")
}

//! Builders: one for each physical layout that a written column may have.
//!
//! Guarantee: a finished column is laid out as the contract says. A validity bitmap exists only where something is null.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::mask::Mask;
use crate::wit::{Column, Dictionary, Values, VarBytes};

/// Collects one column.
pub trait Builder: std::fmt::Debug + Sized {
    /// Empty, with room for `rows` values.
    fn with_capacity(rows: usize) -> Self;
    /// Append a null.
    fn push_null(&mut self);
    /// Append a value that nobody will read.
    fn push_gap(&mut self);
    /// The column and its number of values.
    ///
    /// # Errors
    /// The column is larger than the contract can say.
    fn finish(self) -> Result<(Column, usize), String>;
}

/// The rows that are null, noted only once there is one.
#[derive(Debug, Default)]
struct Nulls(Vec<usize>);

impl Nulls {
    fn finish(self, rows: usize) -> Option<Vec<u8>> {
        (!self.0.is_empty()).then(|| {
            let mut valid = Mask::all(rows);
            for row in self.0 {
                valid.set(row, false);
            }
            valid.into_bitmap()
        })
    }
}

/// A number that a column can hold.
pub trait Number: Copy + Default + std::fmt::Debug {
    /// A column of them.
    fn column(values: Vec<Self>) -> Values;
}

macro_rules! number {
    ($($type:ty => $values:ident;)*) => {$(
        impl Number for $type {
            fn column(values: Vec<Self>) -> Values {
                Values::$values(values)
            }
        }
    )*};
}

number! {
    i32 => Int32;
    i64 => Int64;
    f32 => Float32;
    f64 => Float64;
}

/// Collects numbers. Timestamps are `i64` microseconds.
#[derive(Debug)]
pub struct NumberBuilder<T> {
    values: Vec<T>,
    nulls: Nulls,
}

impl<T: Number> NumberBuilder<T> {
    /// Append a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
    }

    /// Append many.
    pub fn extend(&mut self, values: impl IntoIterator<Item = T>) {
        self.values.extend(values);
    }
}

impl<T: Number> Builder for NumberBuilder<T> {
    fn with_capacity(rows: usize) -> Self {
        NumberBuilder { values: Vec::with_capacity(rows), nulls: Nulls::default() }
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.values.len());
        self.values.push(T::default());
    }

    fn push_gap(&mut self) {
        self.values.push(T::default());
    }

    fn finish(self) -> Result<(Column, usize), String> {
        let rows = self.values.len();
        Ok((Column { values: T::column(self.values), validity: self.nulls.finish(rows) }, rows))
    }
}

/// Collects booleans.
#[derive(Debug)]
pub struct BitsBuilder {
    bytes: Vec<u8>,
    rows: usize,
    nulls: Nulls,
}

impl BitsBuilder {
    /// Append a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        let bit = self.rows % 8;
        match self.bytes.last_mut() {
            Some(last) if bit != 0 => *last |= u8::from(value) << bit,
            _ => self.bytes.push(u8::from(value)),
        }
        self.rows += 1;
    }

    /// Append the values of a whole mask.
    pub fn extend(&mut self, values: &Mask) {
        (0..values.rows()).for_each(|row| self.push(values.get(row)));
    }
}

impl Builder for BitsBuilder {
    fn with_capacity(rows: usize) -> Self {
        BitsBuilder { bytes: Vec::with_capacity(rows.div_ceil(8)), rows: 0, nulls: Nulls::default() }
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.rows);
        self.push(false);
    }

    fn push_gap(&mut self) {
        self.push(false);
    }

    fn finish(self) -> Result<(Column, usize), String> {
        Ok((Column { values: Values::Bits(self.bytes), validity: self.nulls.finish(self.rows) }, self.rows))
    }
}

/// Collects UTF-8 text.
#[derive(Debug)]
pub struct TextBuilder(BytesBuilder);

impl TextBuilder {
    /// Append a value.
    #[inline]
    pub fn push(&mut self, value: &str) {
        self.0.push(value.as_bytes());
    }
}

impl Builder for TextBuilder {
    fn with_capacity(rows: usize) -> Self {
        TextBuilder(BytesBuilder::with_capacity(rows))
    }

    fn push_null(&mut self) {
        self.0.push_null();
    }

    fn push_gap(&mut self) {
        self.0.push_gap();
    }

    fn finish(self) -> Result<(Column, usize), String> {
        self.0.finish()
    }
}

/// Collects bytes.
#[derive(Debug)]
pub struct BytesBuilder {
    /// Offsets wider than the contract's, so that an overflow is found once, at the end.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    nulls: Nulls,
}

impl BytesBuilder {
    /// Append a value.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    fn into_var_bytes(self) -> Result<VarBytes, String> {
        if self.bytes.len() > i32::MAX as usize {
            return Err(format!("a written column holds {} bytes; at most 2 GiB can cross", self.bytes.len()));
        }
        // In range: no end is past `bytes.len()`, which fits.
        let offsets = std::iter::once(0).chain(self.ends.into_iter().map(|end| end as i32)).collect();
        Ok(VarBytes { offsets, bytes: self.bytes })
    }
}

impl Builder for BytesBuilder {
    fn with_capacity(rows: usize) -> Self {
        BytesBuilder { ends: Vec::with_capacity(rows), bytes: Vec::new(), nulls: Nulls::default() }
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.ends.len());
        self.push_gap();
    }

    fn push_gap(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn finish(mut self) -> Result<(Column, usize), String> {
        let rows = self.ends.len();
        let validity = std::mem::take(&mut self.nulls).finish(rows);
        Ok((Column { values: Values::Bytes(self.into_var_bytes()?), validity }, rows))
    }
}

/// Collects text of a fixed set as a dictionary. Texts are told apart by address: equal ones may stand twice.
#[derive(Debug)]
pub struct LabelBuilder {
    keys: Vec<u32>,
    entries: Vec<&'static str>,
    by_address: HashMap<(usize, usize), u32, BuildHasherDefault<AddressHasher>>,
    last: Option<(&'static str, u32)>,
    nulls: Nulls,
}

impl LabelBuilder {
    /// Append a value.
    #[inline]
    pub fn push(&mut self, value: &'static str) {
        let key = match self.last {
            Some((last, key)) if std::ptr::eq(last, value) => key,
            _ => self.key(value),
        };
        self.last = Some((value, key));
        self.keys.push(key);
    }

    fn key(&mut self, value: &'static str) -> u32 {
        let Self { by_address, entries, .. } = self;
        *by_address.entry((value.as_ptr() as usize, value.len())).or_insert_with(|| {
            entries.push(value);
            // As many entries as rows at most, and rows are counted in 32 bits.
            (entries.len() - 1) as u32
        })
    }
}

impl Builder for LabelBuilder {
    fn with_capacity(rows: usize) -> Self {
        LabelBuilder {
            keys: Vec::with_capacity(rows),
            entries: Vec::new(),
            by_address: HashMap::default(),
            last: None,
            nulls: Nulls::default(),
        }
    }

    fn push_null(&mut self) {
        self.nulls.0.push(self.keys.len());
        self.push_gap();
    }

    fn push_gap(&mut self) {
        self.push("");
    }

    fn finish(self) -> Result<(Column, usize), String> {
        let mut entries = BytesBuilder::with_capacity(self.entries.len());
        self.entries.iter().for_each(|entry| entries.push(entry.as_bytes()));
        let rows = self.keys.len();
        let values = Values::Dict(Dictionary { keys: self.keys, entries: entries.into_var_bytes()? });
        Ok((Column { values, validity: self.nulls.finish(rows) }, rows))
    }
}

/// Multiplies and folds: addresses need no more, and they are not chosen by an attacker.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    fn write_usize(&mut self, value: usize) {
        self.0 = (self.0.rotate_left(5) ^ value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

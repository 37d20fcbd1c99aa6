//! One bit per row: which rows are kept, which are null.
//!
//! Guarantee: the bytes are exactly what the contract calls a bitmap. Least significant bit first, `ceil(rows / 8)`
//! bytes, and the bits past the last row are zero, whatever was done before.

use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not};

use crate::wit::Selection;

/// A set of rows of one batch.
///
/// ```
/// use wasmill_sdk::Mask;
///
/// let even = Mask::from_fn(10, |row| row % 2 == 0);
/// let late = Mask::from_fn(10, |row| row >= 6);
/// assert_eq!((even.clone() & &late).ones().collect::<Vec<_>>(), [6, 8]);
/// assert_eq!((!even).count(), 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mask {
    rows: usize,
    bytes: Vec<u8>,
}

impl Mask {
    /// No row of `rows`.
    pub fn none(rows: usize) -> Mask {
        Mask { rows, bytes: vec![0; rows.div_ceil(8)] }
    }

    /// Every row of `rows`.
    pub fn all(rows: usize) -> Mask {
        let mut mask = Mask { rows, bytes: vec![u8::MAX; rows.div_ceil(8)] };
        mask.clear_tail();
        mask
    }

    /// The rows for which `holds`; called once per row, in order.
    #[inline]
    pub fn from_fn(rows: usize, mut holds: impl FnMut(usize) -> bool) -> Mask {
        let mut bytes = Vec::with_capacity(rows.div_ceil(8));
        let mut start = 0;
        while start < rows {
            let mut byte = 0;
            for bit in 0..8.min(rows - start) {
                byte |= u8::from(holds(start + bit)) << bit;
            }
            bytes.push(byte);
            start += 8;
        }
        Mask { rows, bytes }
    }

    /// From a bitmap of the contract. Missing bytes count as zero, bits past `rows` are cleared.
    pub fn from_bitmap(rows: usize, bitmap: &[u8]) -> Mask {
        let mut bytes = bitmap.to_vec();
        bytes.resize(rows.div_ceil(8), 0);
        let mut mask = Mask { rows, bytes };
        mask.clear_tail();
        mask
    }

    /// How many rows the batch has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Is `row` in the set? `false` past the end.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        get_bit(&self.bytes, row)
    }

    /// Put `row` in or take it out. A row past the end is ignored.
    #[inline]
    pub fn set(&mut self, row: usize, value: bool) {
        if row < self.rows {
            let bit = 1 << (row % 8);
            if value {
                self.bytes[row / 8] |= bit;
            } else {
                self.bytes[row / 8] &= !bit;
            }
        }
    }

    /// How many rows are in the set.
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The rows of the set, rising.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.bytes.iter().enumerate().flat_map(|(at, &byte)| {
            let mut rest = byte;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    at * 8 + bit
                })
            })
        })
    }

    /// The bitmap of the contract.
    pub fn bitmap(&self) -> &[u8] {
        &self.bytes
    }

    /// The bitmap of the contract, owned.
    pub fn into_bitmap(self) -> Vec<u8> {
        self.bytes
    }

    /// What the contract calls this choice of rows: a bitmap only where it says more than `all` or `none`.
    pub fn into_selection(self) -> Selection {
        match self.count() {
            kept if kept == self.rows => Selection::All,
            0 => Selection::None,
            _ => Selection::Mask(self.bytes),
        }
    }

    fn clear_tail(&mut self) {
        let used = self.rows % 8;
        if used != 0
            && let Some(last) = self.bytes.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }
}

/// Bit `row` of a bitmap; `false` past its end.
#[inline]
pub(crate) fn get_bit(bitmap: &[u8], row: usize) -> bool {
    bitmap.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

impl BitAndAssign<&Mask> for Mask {
    /// Rows of both. Rows that the other side does not have count as not in it.
    fn bitand_assign(&mut self, other: &Mask) {
        for (at, byte) in self.bytes.iter_mut().enumerate() {
            *byte &= other.bytes.get(at).copied().unwrap_or(0);
        }
    }
}

impl BitOrAssign<&Mask> for Mask {
    /// Rows of either.
    fn bitor_assign(&mut self, other: &Mask) {
        for (byte, more) in self.bytes.iter_mut().zip(&other.bytes) {
            *byte |= more;
        }
        self.clear_tail();
    }
}

impl BitAnd<&Mask> for Mask {
    type Output = Mask;
    fn bitand(mut self, other: &Mask) -> Mask {
        self &= other;
        self
    }
}

impl BitOr<&Mask> for Mask {
    type Output = Mask;
    fn bitor(mut self, other: &Mask) -> Mask {
        self |= other;
        self
    }
}

impl Not for Mask {
    type Output = Mask;
    fn not(mut self) -> Mask {
        for byte in &mut self.bytes {
            *byte = !*byte;
        }
        self.clear_tail();
        self
    }
}

//! Avro's binary encoding, byte by byte: nothing here trusts a length.

use crate::decode::Problem;
use crate::reason;

/// The result of reading: the problem is boxed, because it is rare and results are many.
pub(super) type Read<T> = Result<T, Box<Problem>>;

/// What is left of a message.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// How many items lists and maps may still have: no more than the message has bytes. A few bytes can claim billions of
    /// items that take no bytes themselves.
    items: usize,
    /// Whether text is checked here; else the columns find out at the end of the batch.
    pub(super) check_utf8: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8], check_utf8: bool) -> Self {
        Self { rest: body, items: body.len(), check_utf8 }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(malformed(format!("{count} bytes were to follow, and {} are left", self.rest.len()))),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(malformed(format!("{N} bytes were to follow, and {} are left", self.rest.len()))),
        }
    }

    /// A `long`: base 128, least significant group first, then zigzag.
    #[inline]
    pub(super) fn long(&mut self) -> Read<i64> {
        let (mut value, mut shift) = (0_u64, 0);
        for (index, byte) in self.rest.iter().enumerate() {
            // The tenth byte has one bit left to say.
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
        }
        Err(malformed("a number does not end".to_owned()))
    }

    #[inline]
    pub(super) fn int(&mut self) -> Read<i32> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| malformed(format!("{value} is no int")))
    }

    /// The bytes of a `bytes` or `string`.
    #[inline]
    pub(super) fn prefixed(&mut self) -> Read<&'a [u8]> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| malformed(format!("{length} is no length")))?;
        self.take(length)
    }

    pub(super) fn boolean(&mut self) -> Read<bool> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(malformed(format!("the byte {other} is no boolean"))),
        }
    }

    /// The number of a union's branch or of an enum's symbol.
    #[inline]
    pub(super) fn index(&mut self, count: usize) -> Read<usize> {
        let index = self.long()?;
        let found = usize::try_from(index).ok().filter(|index| *index < count);
        found.ok_or_else(|| malformed(format!("{index} is none of {count} branches or symbols")))
    }

    /// The head of a block of items: how many, 0 at the end, and of how many bytes where the writer says so.
    pub(super) fn block(&mut self) -> Read<(usize, Option<usize>)> {
        let count = self.long()?;
        let bytes = if count < 0 {
            let bytes = self.long()?;
            Some(usize::try_from(bytes).map_err(|_| malformed(format!("{bytes} is no length")))?)
        } else {
            None
        };
        let count = usize::try_from(count.unsigned_abs()).ok().filter(|count| *count <= self.items);
        let count = count.ok_or_else(|| malformed("more items than the message has bytes".to_owned()))?;
        self.items -= count;
        Ok((count, bytes))
    }
}

#[cold]
pub(super) fn malformed(detail: String) -> Box<Problem> {
    Box::new(Problem::new(reason::MALFORMED_AVRO, detail))
}

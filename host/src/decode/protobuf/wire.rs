//! Protobuf's encoding, field by field: nothing here trusts a length.

use std::ops::Range;

use super::node::Scalar;
use crate::decode::Problem;
use crate::reason;

/// The result of reading: the problem is boxed, because it is rare and results are many.
pub(super) type Read<T> = Result<T, Box<Problem>>;

/// Groups that are passed over may nest this deep.
const MAX_GROUP_DEPTH: usize = 64;

/// The value of a field, as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    /// From here to there in the body; text, bytes, a message, or packed numbers.
    Bytes(usize, usize),
    /// The same between the marks of a group.
    Group(usize, usize),
}

impl Wire {
    /// As Protobuf calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Varint(_) => "a varint",
            Self::Fixed32(_) => "four bytes",
            Self::Fixed64(_) => "eight bytes",
            Self::Bytes(..) => "bytes with their length",
            Self::Group(..) => "a group",
        }
    }
}

/// A part of a message's body that is being read.
pub(super) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `range` of `body`, which lies within it.
    pub(super) fn new(body: &'a [u8], range: Range<usize>) -> Self {
        Self { body, at: range.start, end: range.end.min(body.len()) }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(super) fn field(&mut self) -> Read<Option<(u32, Wire)>> {
        if self.is_at_end() {
            return Ok(None);
        }
        let (number, kind) = self.tag()?;
        let wire = self.value(number, kind, MAX_GROUP_DEPTH)?;
        Ok(Some((number, wire)))
    }

    #[inline]
    fn tag(&mut self) -> Read<(u32, u8)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| malformed(format!("{} is no field's number", tag >> 3)))?;
        Ok((number, (tag & 7) as u8))
    }

    #[inline]
    fn value(&mut self, number: u32, kind: u8, depth: usize) -> Read<Wire> {
        Ok(match kind {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                let left = self.end - self.at;
                let length = usize::try_from(length).ok().filter(|length| *length <= left);
                let length = length.ok_or_else(|| malformed(format!("field {number} is longer than its message")))?;
                let start = self.at;
                self.at += length;
                Wire::Bytes(start, self.at)
            }
            3 => self.group(number, depth)?,
            5 => Wire::Fixed32(self.fixed32()?),
            4 => return Err(malformed(format!("a group of field {number} ends that did not begin"))),
            other => return Err(malformed(format!("field {number} has the unknown wire type {other}"))),
        })
    }

    /// The next of packed numbers.
    #[inline]
    pub(super) fn packed(&mut self, scalar: Scalar) -> Read<Wire> {
        Ok(match scalar {
            Scalar::Fixed32 | Scalar::Sfixed32 | Scalar::Float => Wire::Fixed32(self.fixed32()?),
            Scalar::Fixed64 | Scalar::Sfixed64 | Scalar::Double => Wire::Fixed64(self.fixed64()?),
            _ => Wire::Varint(self.varint()?),
        })
    }

    fn group(&mut self, number: u32, depth: usize) -> Read<Wire> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| malformed(format!("groups nest deeper than {MAX_GROUP_DEPTH}")))?;
        let start = self.at;
        loop {
            let before = self.at;
            let (inner, kind) = self.tag()?;
            match kind {
                4 if inner == number => return Ok(Wire::Group(start, before)),
                kind => drop(self.value(inner, kind, depth)?),
            }
        }
    }

    /// Base 128, least significant group first.
    #[inline]
    fn varint(&mut self) -> Read<u64> {
        let rest = &self.body[self.at..self.end];
        if let Some(byte) = rest.first().filter(|byte| **byte < 0x80) {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        let (mut value, mut shift) = (0_u64, 0);
        for (index, byte) in rest.iter().enumerate() {
            // The tenth byte has one bit left to say.
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
            shift += 7;
        }
        Err(malformed("a number does not end".to_owned()))
    }

    #[inline]
    fn fixed32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn fixed64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        match self.body[self.at..self.end].first_chunk() {
            Some(found) => {
                self.at += N;
                Ok(*found)
            }
            None => Err(malformed(format!("{N} bytes were to follow, and {} are left", self.end - self.at))),
        }
    }
}

#[cold]
pub(super) fn malformed(detail: String) -> Box<Problem> {
    Box::new(Problem::new(reason::MALFORMED_PROTOBUF, detail))
}

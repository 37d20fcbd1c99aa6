//! What formats with typed values share: how a value that was read is appended to a column, or why it cannot be.

use super::Problem;
use super::column::Bytes;
use super::schema::EventType;
use crate::reason;

/// The problem is boxed, because it is rare and results are many.
pub(super) type Appended<T> = Result<T, Box<Problem>>;

#[inline]
pub(super) fn push_bytes(bytes: &mut Bytes, value: &[u8]) -> Appended<()> {
    bytes.data.extend_from_slice(value);
    if bytes.end() { Ok(()) } else { Err(full()) }
}

pub(super) fn check_utf8(value: &[u8]) -> Appended<()> {
    match std::str::from_utf8(value) {
        Ok(_) => Ok(()),
        Err(error) => {
            let detail = format!("a text is not UTF-8 at its byte {}", error.valid_up_to());
            Err(problem(reason::INVALID_UTF8, detail))
        }
    }
}

/// A big-endian two's complement number, times 10 to the power of `scale_up`; `None`: more than `precision` digits.
pub(super) fn decimal(bytes: &[u8], scale_up: u32, precision: u8) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    // Bytes in front that only repeat the sign say nothing.
    let start = bytes.len().saturating_sub(16);
    let (front, back) = bytes.split_at(start);
    if front.iter().any(|byte| *byte != fill) {
        return None;
    }
    let mut whole = [fill; 16];
    whole[16 - back.len()..].copy_from_slice(back);
    let value = i128::from_be_bytes(whole);
    if !front.is_empty() && (value < 0) != negative {
        return None;
    }
    scaled(value, scale_up, precision)
}

/// A number times 10 to the power of `scale_up`; `None`: more than `precision` digits.
pub(super) fn scaled(value: i128, scale_up: u32, precision: u8) -> Option<i128> {
    let value = value.checked_mul(10_i128.checked_pow(scale_up)?)?;
    (value.unsigned_abs() < 10_u128.checked_pow(u32::from(precision))?).then_some(value)
}

pub(super) fn out_of_range(kind: &EventType, found: &dyn std::fmt::Display) -> Box<Problem> {
    problem(reason::OUT_OF_RANGE, format!("found {found}, which a {kind} cannot hold"))
}

pub(super) fn full() -> Box<Problem> {
    problem(reason::OUT_OF_RANGE, "the column holds 2 GiB in this batch already".to_owned())
}

#[cold]
pub(super) fn problem(reason: &'static str, detail: String) -> Box<Problem> {
    Box::new(Problem::new(reason, detail))
}

//! Reading bytes at a cursor, eight or sixteen at a time: where a string ends, what a run of digits is worth.
//!
//! Nothing here knows of columns or of what a value is wanted for. No function reads beyond the payload, and none panics:
//! near its end the missing bytes count as zero, which is neither a digit nor may it stand in a string.

use std::array;

/// Ten to the power of the index, exact as integers.
pub(super) const POWERS: [u64; 20] = powers();

const fn powers() -> [u64; 20] {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
}

/// `N` bytes from `at`, with zeros behind the payload's end.
#[inline]
pub(super) fn load<const N: usize>(payload: &[u8], at: usize) -> [u8; N] {
    match payload.get(at..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => *bytes,
        None => load_end(payload, at),
    }
}

#[cold]
fn load_end<const N: usize>(payload: &[u8], at: usize) -> [u8; N] {
    array::from_fn(|index| payload.get(at + index).copied().unwrap_or(0))
}

/// The index of the first byte that ends plain text in a JSON string: a quote, a backslash, or a control character. 16
/// when there is none.
///
/// Eight bytes at a time in a general register: each test sets the top bit of the bytes that pass it. A borrow can only mark
/// bytes above one that passes, so the lowest mark is right.
#[inline(always)]
fn first_special(block: &[u8; 16]) -> usize {
    let both = u128::from_le_bytes(*block);
    #[allow(clippy::cast_possible_truncation)] // The halves are what is wanted.
    let (low, high) = (special_marks(both as u64), special_marks((both >> 64) as u64));
    if low != 0 { low.trailing_zeros() as usize / 8 } else { 8 + high.trailing_zeros() as usize / 8 }
}

#[inline(always)]
fn special_marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quotes = word ^ (ONES * u64::from(b'"'));
    let backslashes = word ^ (ONES * u64::from(b'\\'));
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(quotes) | zero(backslashes) | control) & (ONES * 0x80)
}

/// Copies the text of a string from behind its opening quote, up to what ends it: the index of the quote, backslash or
/// control character, or of the payload's end.
#[inline]
pub(super) fn copy_text(payload: &[u8], mut at: usize, data: &mut Vec<u8>) -> usize {
    // Copying a whole block and cutting it is faster than a copy of just the right length: most strings are short.
    while let Some(block) = payload.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        data.extend_from_slice(block);
        let stop = first_special(block);
        at += stop;
        if stop < 16 {
            data.truncate(data.len() + stop - 16);
            return at;
        }
    }
    while let Some(byte) = payload.get(at).copied().filter(|byte| !is_special(*byte)) {
        data.push(byte);
        at += 1;
    }
    at
}

/// Like [`copy_text`], without a copy.
#[inline]
pub(super) fn skip_text(payload: &[u8], mut at: usize) -> usize {
    while let Some(block) = payload.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let stop = first_special(block);
        at += stop;
        if stop < 16 {
            return at;
        }
    }
    while payload.get(at).is_some_and(|byte| !is_special(*byte)) {
        at += 1;
    }
    at
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Behind the white space from `at`.
pub(super) fn skip_space(payload: &[u8], mut at: usize) -> usize {
    while matches!(payload.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The digits from `at`: their value, and how many there are. `None` for more than 16.
#[inline]
pub(super) fn digits(payload: &[u8], at: usize) -> Option<(u64, usize)> {
    let (first, count) = eight_digits(payload, at);
    if count < 8 {
        return Some((first, count));
    }
    let (second, more) = eight_digits(payload, at + 8);
    if more == 8 && payload.get(at + 16).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some((first * POWERS[more] + second, 8 + more))
}

/// Up to eight digits from `at`.
#[inline]
fn eight_digits(payload: &[u8], at: usize) -> (u64, usize) {
    const ONES: u64 = u64::MAX / 255;
    let values = u64::from_le_bytes(load(payload, at)) ^ (ONES * u64::from(b'0'));
    // The top bit of each byte that is no digit: those above 9.
    let others = (((values & (ONES * 0x7f)) + ONES * 0x76) | values) & (ONES * 0x80);
    let count = others.trailing_zeros() as usize / 8;
    if count == 0 {
        return (0, 0);
    }
    // The first digit is in the lowest byte; with the rest shifted out, zeros stand before it. Then pairs, fours, eight.
    let values = values << (64 - 8 * count);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let mask = 0x0000_00ff_0000_00ff;
    let high = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & mask).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, count)
}

/// The number literal that starts at `at`, if one does. What follows it is the caller's.
pub(super) fn number(payload: &[u8], at: usize) -> Option<&str> {
    let count = |at: usize| payload.get(at..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count());
    let whole = at + usize::from(payload.get(at) == Some(&b'-'));
    let digits = count(whole);
    if digits == 0 || (digits > 1 && payload.get(whole) == Some(&b'0')) {
        return None;
    }
    let mut end = whole + digits;
    if payload.get(end) == Some(&b'.') {
        match count(end + 1) {
            0 => return None,
            digits => end += 1 + digits,
        }
    }
    if matches!(payload.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(payload.get(end + 1), Some(b'+' | b'-')));
        match count(exponent) {
            0 => return None,
            digits => end = exponent + digits,
        }
    }
    std::str::from_utf8(payload.get(at..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_are_searched_alike(block in any::<[u8; 16]>(), plain in 0_usize..17) {
            let mut block = block;
            block[..plain].iter_mut().for_each(|byte| *byte |= 0x80);
            let expected = block.iter().position(|byte| is_special(*byte)).unwrap_or(16);
            prop_assert_eq!(first_special(&block), expected);
        }

        #[test]
        fn text_is_copied_up_to_what_ends_it(text in "[a-zé]{0,40}", end in "[\"\\\\\u{1}]?[a-z]{0,20}") {
            let payload = format!("{text}{end}");
            let plain = |byte: &u8| !is_special(*byte);
            let expected = payload.bytes().take_while(plain).count();
            let mut data = b"before".to_vec();
            prop_assert_eq!(copy_text(payload.as_bytes(), 0, &mut data), expected);
            prop_assert_eq!(&data[6..], &payload.as_bytes()[..expected]);
            prop_assert_eq!(skip_text(payload.as_bytes(), 0), expected);
        }

        #[test]
        fn digits_have_their_value(value in 0_u64..10_u64.pow(16), zeros in 0_usize..4, after in "[^0-9]?.{0,3}") {
            let number = format!("{}{value}", "0".repeat(zeros));
            let text = format!("{number}{after}");
            let count = text.bytes().take_while(u8::is_ascii_digit).count();
            let expected = (count <= 16).then(|| (text[..count].parse().unwrap(), count));
            prop_assert_eq!(digits(text.as_bytes(), 0), expected);
        }

        #[test]
        fn numbers_end_where_their_grammar_says(text in "-?[0-9]{0,3}[.]?[0-9]{0,3}[eE]?[+-]?[0-9]{0,2}[,x]?") {
            let found = number(text.as_bytes(), 0);
            prop_assert!(found.is_none_or(super::super::literal::is_number));
            let longest = (1..=text.len()).rev().find(|end| super::super::literal::is_number(&text[..*end]));
            // A number that goes on wrongly (`1.`, `01`) is none here, and no number there followed by a delimiter.
            if let Some(end) = longest && text[end..].starts_with([',', 'x']) | text[end..].is_empty() {
                prop_assert_eq!(found, Some(&text[..end]));
            }
        }
    }
}

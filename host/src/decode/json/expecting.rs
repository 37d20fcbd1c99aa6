//! The fast path: a decoder that expects what it saw last.
//!
//! Events of one topic are written by one program: the same keys in the same order with the same punctuation. So for each
//! key this path remembers the texts that came between its value and the next (`,"song":`) and where they lead, compares
//! bytes at the cursor, and reads the value by the column's type straight into the buffers. A text that is new is taken apart
//! once, and remembered.
//!
//! It accepts exactly what the general path accepts, or gives up: `false` says nothing about the message, and the general path
//! decides. One thing it leaves to its caller: that strings are UTF-8, which is checked once per column
//! ([`Column::finish`]); everything else it takes is compared with known text or ASCII by grammar.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{general, literal, scan};
use crate::decode::column::{Column, Values};
use crate::decode::schema::{EventSchema, EventType};

/// Texts remembered behind each key; optional fields make several possible.
const EDGES: usize = 4;

/// The longest text remembered, in bytes. Longer ones are taken apart each time.
const TEXT_BYTES: usize = 64;

/// Keys that are no field are remembered up to this number, so that nobody's random keys fill the memory.
const OTHER_KEYS: usize = 1_000;

/// Integers up to here are exact as doubles.
const EXACT: u64 = 1 << 53;

/// What the fast path has learnt.
pub(super) struct Expecting {
    required: Vec<bool>,
    by_key: HashMap<Vec<u8>, usize>,
    places: Vec<Place>,
}

/// A place in an event: the start, or the value of a key.
struct Place {
    /// The column of the value; `None`: no field, and only checked. Of the start, nothing.
    column: Option<usize>,
    /// What came next so far.
    edges: Vec<Edge>,
    /// The edge to forget when there are too many.
    oldest: usize,
}

/// The text from the end of one value to the start of the next.
struct Edge {
    /// Its first 16 bytes, or all, with zeros behind.
    head: u128,
    /// Ones where `head` has text.
    mask: u128,
    /// The whole text.
    text: Vec<u8>,
    /// Where it leads; `None`: the event ends.
    to: Option<usize>,
}

impl Place {
    fn new(column: Option<usize>) -> Self {
        Self { column, edges: Vec::new(), oldest: 0 }
    }
}

impl Edge {
    fn new(text: &[u8], to: Option<usize>) -> Self {
        let length = text.len().min(16);
        let mask = u128::MAX.checked_shr(128 - 8 * u32::try_from(length).unwrap_or(16)).unwrap_or(0);
        Self { head: u128::from_le_bytes(scan::load(text, 0)) & mask, mask, text: text.to_vec(), to }
    }

    #[inline]
    fn matches(&self, head: u128, payload: &[u8], at: usize) -> bool {
        head & self.mask == self.head
            && (self.text.len() <= 16 || payload.get(at + 16..).is_some_and(|rest| rest.starts_with(&self.text[16..])))
    }
}

/// Where the event starts.
const START: usize = 0;

impl Expecting {
    pub(super) fn new(schema: &EventSchema) -> Self {
        let mut places = vec![Place::new(None)];
        let mut by_key = HashMap::new();
        for (index, field) in schema.fields.iter().enumerate() {
            by_key.insert(field.name.clone().into_bytes(), places.len());
            places.push(Place::new(Some(index)));
        }
        Self { required: schema.fields.iter().map(|field| field.required).collect(), by_key, places }
    }

    /// Appends row `row` and returns `true`; or returns `false` for whatever it does not expect, and the columns hold a part
    /// of the row, which the caller takes back.
    #[inline]
    pub(super) fn row(&mut self, payload: &[u8], columns: &mut [Column], row: usize) -> bool {
        self.try_row(payload, columns, row).is_some()
    }

    fn try_row(&mut self, payload: &[u8], columns: &mut [Column], row: usize) -> Option<()> {
        let (mut at, mut place, mut filled) = (0, START, 0);
        loop {
            let head = u128::from_le_bytes(scan::load(payload, at));
            let edge = self.places[place].edges.iter().find(|edge| edge.matches(head, payload, at));
            let (length, to) = match edge {
                Some(edge) => (edge.text.len(), edge.to),
                None => self.learn(place, payload, at)?,
            };
            at += length;
            let Some(to) = to else { break };
            place = to;
            match self.places[place].column {
                Some(index) => {
                    at = value(&mut columns[index], payload, at, row, self.required[index])?;
                    filled += 1;
                }
                None => at = skip(payload, at)?,
            }
        }
        if at < payload.len() && scan::skip_space(payload, at) < payload.len() {
            return None;
        }
        if filled < columns.len() {
            for (column, required) in columns.iter_mut().zip(&self.required) {
                if column.len() == row {
                    if *required {
                        return None;
                    }
                    column.push_null();
                }
            }
        }
        Some(())
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.places.len()
    }

    /// Takes the text at the cursor apart, and remembers it: its length and where it leads.
    #[cold]
    fn learn(&mut self, place: usize, payload: &[u8], at: usize) -> Option<(usize, Option<usize>)> {
        let start = scan::skip_space(payload, at);
        let next = scan::skip_space(payload, start + 1);
        let (end, to) = match (payload.get(start)?, payload.get(next)) {
            (b'}', _) if place != START => (start + 1, None),
            (b'{', Some(b'}')) if place == START => (next + 1, None),
            (b'{', Some(b'"')) if place == START => self.key(payload, next)?,
            (b',', Some(b'"')) if place != START => self.key(payload, next)?,
            _ => return None,
        };
        let text = payload.get(at..end)?;
        if text.len() <= TEXT_BYTES {
            let edge = Edge::new(text, to);
            let Place { edges, oldest, .. } = &mut self.places[place];
            if edges.len() < EDGES {
                edges.push(edge);
            } else {
                edges[*oldest] = edge;
                *oldest = (*oldest + 1) % EDGES;
            }
        }
        Some((text.len(), to))
    }

    /// The key whose quote is at `quote`: where its value starts, and its place.
    fn key(&mut self, payload: &[u8], quote: usize) -> Option<(usize, Option<usize>)> {
        let end = scan::skip_text(payload, quote + 1);
        let colon = scan::skip_space(payload, end + 1);
        if payload.get(end) != Some(&b'"') || payload.get(colon) != Some(&b':') {
            return None;
        }
        let key = payload.get(quote + 1..end)?;
        let place = match self.by_key.get(key) {
            Some(place) => *place,
            None => {
                std::str::from_utf8(key).ok()?;
                if key.len() > TEXT_BYTES || self.places.len() > self.required.len() + OTHER_KEYS {
                    return None;
                }
                self.by_key.insert(key.to_vec(), self.places.len());
                self.places.push(Place::new(None));
                self.places.len() - 1
            }
        };
        Some((scan::skip_space(payload, colon + 1), Some(place)))
    }
}

/// Reads the value at the cursor into row `row` of its column; behind it, or `None`.
#[inline]
fn value(column: &mut Column, payload: &[u8], at: usize, row: usize, required: bool) -> Option<usize> {
    match &mut column.values {
        Values::Bytes(bytes) if column.kind == EventType::String => {
            // Its key came twice: the general path knows what then.
            if bytes.ends.len() != row {
                return None;
            }
            if payload.get(at) == Some(&b'"') {
                let end = scan::copy_text(payload, at + 1, &mut bytes.data);
                if payload.get(end) == Some(&b'"') {
                    return bytes.end().then_some(end + 1);
                }
                column.truncate(row);
            }
        }
        Values::Int(values) if matches!(column.kind, EventType::Int) => {
            if values.len() != row {
                return None;
            }
            if let Some((value, end)) = integer(payload, at) {
                values.push(i32::try_from(value).ok()?);
                return Some(end);
            }
        }
        Values::Long(values) => {
            if values.len() != row {
                return None;
            }
            if column.kind.is_integer_in_json()
                && let Some((value, end)) = integer(payload, at)
            {
                let unit = if column.kind == EventType::TimestampMillis { 1_000 } else { 1 };
                values.push(value.checked_mul(unit)?);
                return Some(end);
            }
        }
        Values::Double(values) => {
            if values.len() != row {
                return None;
            }
            if let Some((value, end)) = double(payload, at) {
                values.push(value);
                return Some(end);
            }
        }
        Values::Boolean(values) => {
            if values.len() != row {
                return None;
            }
            if let Some((value, end)) = boolean(payload, at) {
                values.push(value);
                return Some(end);
            }
        }
        _ => {}
    }
    other_value(column, payload, at, row, required)
}

/// Any value that is not read above: null, escapes, rare types, long numbers. By the general path, for this value alone.
#[cold]
fn other_value(column: &mut Column, payload: &[u8], at: usize, row: usize, required: bool) -> Option<usize> {
    if column.len() != row {
        return None;
    }
    let rest = payload.get(at..)?;
    if rest.starts_with(b"null") {
        if required {
            return None;
        }
        column.push_null();
        return Some(at + 4);
    }
    let raw = match scan::number(payload, at) {
        Some(number) => number,
        None => raw_value(rest)?,
    };
    general::push(column, raw).ok()?;
    Some(at + raw.len())
}

/// Behind a value that no column wants, or `None` where it is not JSON.
#[inline]
fn skip(payload: &[u8], at: usize) -> Option<usize> {
    match payload.get(at)? {
        b'"' => {
            let end = scan::skip_text(payload, at + 1);
            if payload.get(end) == Some(&b'"') && payload.get(at..end)?.is_ascii() {
                return Some(end + 1);
            }
        }
        b'-' | b'0'..=b'9' => return Some(at + scan::number(payload, at)?.len()),
        _ => {}
    }
    Some(at + raw_value(payload.get(at..)?)?.len())
}

/// The JSON value that text starts with, its grammar and UTF-8 checked by serde_json.
fn raw_value(rest: &[u8]) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
    Some(values.next()?.ok()?.get())
}

/// An integer of at most 16 digits, and where it ends. What follows it must then be the next key, so a fraction or an
/// exponent is not overlooked.
#[inline]
fn integer(payload: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = payload.get(at) == Some(&b'-');
    let at = at + usize::from(negative);
    let (value, count) = scan::digits(payload, at)?;
    if count == 0 || (count > 1 && payload.get(at) == Some(&b'0')) {
        return None;
    }
    let value = i64::try_from(value).ok()?;
    Some((if negative { -value } else { value }, at + count))
}

/// A double, where it is a quotient of two integers that are exact as doubles: IEEE 754 then rounds the division right, so
/// it is the nearest double. Any other literal is parsed in full.
#[inline]
fn double(payload: &[u8], start: usize) -> Option<(f64, usize)> {
    let negative = payload.get(start) == Some(&b'-');
    let at = start + usize::from(negative);
    if let Some((whole, count)) = scan::digits(payload, at)
        && count > 0
        && (count == 1 || payload.get(at) != Some(&b'0'))
    {
        let end = at + count;
        let exact = match payload.get(end) {
            Some(b'.') => match scan::digits(payload, end + 1) {
                Some((fraction, more @ 1..)) if count + more <= 19 => {
                    Some((whole * scan::POWERS[more] + fraction, more, end + 1 + more))
                }
                _ => None,
            },
            _ => Some((whole, 0, end)),
        };
        if let Some((mantissa, shift, end)) = exact
            && mantissa <= EXACT
            && !matches!(payload.get(end), Some(b'e' | b'E'))
        {
            #[allow(clippy::cast_precision_loss)] // Both are exact: up to 2^53, and 10^16 = 2^16 * 5^16.
            let value = mantissa as f64 / scan::POWERS[shift] as f64;
            return Some((if negative { -value } else { value }, end));
        }
    }
    let number = scan::number(payload, start)?;
    Some((literal::double(number).ok()?, start + number.len()))
}

#[inline]
fn boolean(payload: &[u8], at: usize) -> Option<(bool, usize)> {
    let rest = payload.get(at..)?;
    if rest.starts_with(b"true") {
        Some((true, at + 4))
    } else if rest.starts_with(b"false") {
        Some((false, at + 5))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees(literal: &str) -> bool {
        let text = format!("{literal},");
        double(text.as_bytes(), 0).map(|(value, end)| (value.to_bits(), end))
            == literal::double(literal).ok().map(|value| (value.to_bits(), literal.len()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn a_double_is_the_nearest(literal in "-?(0|[1-9][0-9]{0,16})[.][0-9]{1,18}", whole in any::<i64>()) {
            prop_assert!(agrees(&literal));
            prop_assert!(agrees(&whole.to_string()));
        }
    }

    /// Quotients beyond what is exact are parsed in full: just below the limit, at it, and above, where a naive division
    /// would round twice.
    #[test]
    fn the_limit_of_exact_quotients() {
        for mantissa in (EXACT - 50..EXACT + 2_000).chain([u64::MAX / 2, 10_u64.pow(17) + 1]) {
            for shift in [1, 3, 7, 15] {
                let digits = mantissa.to_string();
                let (whole, fraction) = digits.split_at(digits.len() - shift);
                assert!(agrees(&format!("{whole}.{fraction}")), "{mantissa} {shift}");
            }
        }
    }
}

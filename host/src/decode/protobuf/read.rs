//! Messages into columns, as a plan says.

use std::collections::HashMap;
use std::ops::Range;

use super::node::{Node, Scalar};
use super::plan::{Entry, Message, Plan, Shape};
use super::wire::{Cursor, Read, Wire, malformed};
use crate::decode::append::{check_utf8, decimal, full, out_of_range, problem, push_bytes, scaled};
use crate::decode::column::{Column, Values};
use crate::decode::schema::EventType;
use crate::reason;

/// Where no value is.
const NONE: u32 = u32::MAX;

/// What is noted of a message while it is read; kept from one to the next, so that none costs an allocation.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The values of each field that is being read, as a chain.
    slots: Vec<Chain>,
    values: Vec<Value>,
    /// Of each oneof that is being read, the field that came last.
    members: Vec<u32>,
}

/// The values of one field from the first to the last; both are `NONE` where there is none.
#[derive(Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
}

const EMPTY: Chain = Chain { first: NONE, last: NONE };

/// A value, and the next one of the same field.
struct Value {
    wire: Wire,
    next: u32,
}

/// A message that is being read: where what is noted of it begins.
#[derive(Clone, Copy)]
struct Level {
    slots: usize,
    values: usize,
    members: usize,
}

impl Plan {
    /// Appends one row. On an error the columns hold a part of it: the caller takes it back. `utf8_checked`: text is checked
    /// here; else the columns refuse to be finished where some is not UTF-8.
    pub(crate) fn row(
        &self,
        body: &[u8],
        columns: &mut [Column],
        scratch: &mut Scratch,
        utf8_checked: bool,
    ) -> Read<()> {
        scratch.slots.clear();
        scratch.values.clear();
        scratch.members.clear();
        let mut reader = Reader { body, scratch, utf8_checked };
        let level = reader.open(&self.root);
        reader.scan(&self.root, level, 0..body.len())?;
        reader.close(&self.root, level, columns)
    }
}

struct Reader<'a, 's> {
    body: &'a [u8],
    scratch: &'s mut Scratch,
    utf8_checked: bool,
}

impl Reader<'_, '_> {
    fn open(&mut self, message: &Message) -> Level {
        let Scratch { slots, values, members } = &mut *self.scratch;
        let level = Level { slots: slots.len(), values: values.len(), members: members.len() };
        slots.resize(level.slots + message.fields.len(), EMPTY);
        members.resize(level.members + message.oneofs, NONE);
        level
    }

    /// Forgets what was noted since then.
    fn forget(&mut self, level: Level) {
        self.scratch.slots.truncate(level.slots);
        self.scratch.values.truncate(level.values);
        self.scratch.members.truncate(level.members);
    }

    /// Notes where the fields of a message stand. Of one in several parts, part by part: that merges them.
    fn scan(&mut self, message: &Message, level: Level, part: Range<usize>) -> Read<()> {
        let mut cursor = Cursor::new(self.body, part);
        while let Some((number, wire)) = cursor.field()? {
            let Some(place) = message.place(number) else { continue };
            let field = &message.fields[place];
            if !field.stands_as(wire) {
                return Err(malformed(format!(
                    "field {:?} stands as {}, which its type does not",
                    field.name,
                    wire.name()
                )));
            }
            let Scratch { slots, values, members } = &mut *self.scratch;
            if let Some(oneof) = field.oneof {
                let before = std::mem::replace(&mut members[level.members + oneof], place as u32);
                if before != NONE && before != place as u32 {
                    slots[level.slots + before as usize] = EMPTY;
                }
            }
            if field.into.is_none() && field.oneof.is_some() {
                continue;
            }
            // A payload has far fewer values than there are numbers.
            let added = values.len() as u32;
            let slot = &mut slots[level.slots + place];
            match values.get_mut(slot.last as usize) {
                Some(last) if !field.keeps_all() => {
                    last.wire = wire;
                    continue;
                }
                Some(last) => last.next = added,
                None => slot.first = added,
            }
            slot.last = added;
            values.push(Value { wire, next: NONE });
        }
        Ok(())
    }

    /// Appends what was noted of a message, a value to each column, and forgets it.
    fn close(&mut self, message: &Message, level: Level, columns: &mut [Column]) -> Read<()> {
        for (place, field) in message.fields.iter().enumerate() {
            let Some(into) = &field.into else { continue };
            let chain = self.scratch.slots[level.slots + place];
            let column = &mut columns[into.column];
            let read = self.field(&into.shape, into.has_presence, chain, column);
            read.map_err(|problem| Box::new(problem.in_field(&field.name)))?;
            if into.required && column.last_is_null() {
                let detail = format!("field {:?} is not there, and it is required ({}!)", field.name, column.kind);
                return Err(problem(reason::MISSING_FIELD, detail));
            }
        }
        message.missing.iter().for_each(|column| columns[*column].push_null());
        self.forget(level);
        Ok(())
    }

    #[inline]
    fn field(&mut self, shape: &Shape, has_presence: bool, chain: Chain, column: &mut Column) -> Read<()> {
        match (shape, &mut column.values) {
            (Shape::One(_), _) if has_presence && chain.first == NONE => {
                column.push_null();
                Ok(())
            }
            (Shape::One(node), _) => self.value(node, chain, column),
            (Shape::List(item), Values::List { offsets, items }) => {
                self.list(item, chain, items)?;
                offsets.push(i32::try_from(items.len()).map_err(|_| full())?);
                Ok(())
            }
            (Shape::Map(entry), Values::Map { offsets, keys, values }) => {
                self.map(entry, chain, keys, values)?;
                offsets.push(i32::try_from(keys.len()).map_err(|_| full())?);
                Ok(())
            }
            _ => Err(unfit()),
        }
    }

    /// One value: of a scalar the last, of a message all parts together.
    #[inline]
    fn value(&mut self, node: &Node, chain: Chain, column: &mut Column) -> Read<()> {
        match (node.scalar(), self.scratch.values.get(chain.last as usize)) {
            (_, None) => self.nothing(node, column),
            (Some(_), Some(last)) => self.scalar(node, last.wire, column),
            (None, Some(_)) => self.embedded(node, chain, column),
        }
    }

    fn list(&mut self, item: &Node, chain: Chain, items: &mut Column) -> Read<()> {
        let mut at = chain.first;
        while let Some(Value { wire, next }) = self.scratch.values.get(at as usize) {
            let (wire, next) = (*wire, *next);
            match (item.scalar(), wire) {
                (Some(scalar), Wire::Bytes(start, end)) if scalar.is_packable() => {
                    let mut cursor = Cursor::new(self.body, start..end);
                    while !cursor.is_at_end() {
                        let wire = cursor.packed(scalar)?;
                        self.scalar(item, wire, items)?;
                    }
                }
                (Some(_), wire) => self.scalar(item, wire, items)?,
                (None, _) => self.embedded(item, Chain { first: at, last: at }, items)?,
            }
            at = next;
        }
        Ok(())
    }

    /// Of entries with the same key, the last one counts.
    fn map(&mut self, entry: &Entry, chain: Chain, keys: &mut Column, values: &mut Column) -> Read<()> {
        let (body, first) = (self.body, self.level());
        let mut entries = Vec::new();
        let mut last_of = HashMap::new();
        let mut at = chain.first;
        while let Some((part, next)) = self.part(at)? {
            let level = self.open(&entry.message);
            self.scan(&entry.message, level, part)?;
            let [key, value] = [self.scratch.slots[level.slots], self.scratch.slots[level.slots + 1]];
            let wire = self.scratch.values.get(key.last as usize).map(|value| value.wire);
            let text = match wire {
                Some(Wire::Bytes(start, end)) => Some(&body[start..end]),
                _ => None,
            };
            let number = wire.zip(entry.key.scalar()).and_then(|(wire, scalar)| scalar.integer(wire));
            last_of.insert((text.unwrap_or_default(), number.unwrap_or_default()), entries.len());
            entries.push((text.unwrap_or_default(), number.unwrap_or_default(), key, value));
            at = next;
        }
        for (index, (text, number, key, value)) in entries.into_iter().enumerate() {
            if last_of.get(&(text, number)) == Some(&index) {
                self.value(&entry.key, key, keys)?;
                self.value(&entry.value, value, values)?;
            }
        }
        self.forget(first);
        Ok(())
    }

    /// Where what is noted from here on will begin.
    fn level(&self) -> Level {
        let Scratch { slots, values, members } = &*self.scratch;
        Level { slots: slots.len(), values: values.len(), members: members.len() }
    }

    /// A part of a message, and where the next one is.
    fn part(&self, at: u32) -> Read<Option<(Range<usize>, u32)>> {
        match self.scratch.values.get(at as usize) {
            None => Ok(None),
            Some(Value { wire: Wire::Bytes(start, end) | Wire::Group(start, end), next }) => {
                Ok(Some((*start..*end, *next)))
            }
            Some(_) => Err(unfit()),
        }
    }

    #[inline]
    fn scalar(&mut self, node: &Node, wire: Wire, column: &mut Column) -> Read<()> {
        match (node, wire, &mut column.values) {
            (Node::Bytes, Wire::Bytes(start, end), Values::Bytes(bytes)) => {
                let value = &self.body[start..end];
                if self.utf8_checked && column.kind == EventType::String {
                    check_utf8(value)?;
                }
                return push_bytes(bytes, value);
            }
            (Node::Boolean, Wire::Varint(value), Values::Boolean(values)) => values.push(value != 0),
            // The scalar is one that 32 bits hold.
            (Node::Int(from), wire, Values::Int(values)) => values.push(from.integer(wire).ok_or_else(unfit)? as i32),
            (Node::Long(from, factor), wire, Values::Long(values)) => {
                let value = from.integer(wire).ok_or_else(unfit)?;
                let scaled = i64::try_from(value * i128::from(*factor));
                values.push(scaled.map_err(|_| out_of_range(&column.kind, &value))?);
            }
            (Node::Double(from), wire, Values::Double(values)) => values.push(from.number(wire).ok_or_else(unfit)?),
            (Node::Float(from), wire, Values::Float(values)) => values.push(match wire {
                Wire::Fixed32(bits) if *from == Scalar::Float => f32::from_bits(bits),
                wire => from.integer(wire).ok_or_else(unfit)? as f32,
            }),
            (Node::Digits { from, scale_up, precision }, wire, Values::Decimal(values)) => {
                let value = from.integer(wire).ok_or_else(unfit)?;
                let digits = scaled(value, *scale_up, *precision);
                values.push(digits.ok_or_else(|| out_of_range(&column.kind, &value))?);
            }
            (Node::Enum(names), Wire::Varint(value), Values::Bytes(bytes)) => {
                let number = value as i32;
                return match names.get(&number) {
                    Some(name) => push_bytes(bytes, name.as_bytes()),
                    None => push_bytes(bytes, itoa::Buffer::new().format(number).as_bytes()),
                };
            }
            (Node::Text(from), wire, Values::Bytes(bytes)) => {
                let value = from.integer(wire).ok_or_else(unfit)?;
                return match (from, value) {
                    (Scalar::Bool, value) => push_bytes(bytes, if value == 0 { b"false" } else { b"true" }),
                    (_, value) => push_bytes(bytes, itoa::Buffer::new().format(value).as_bytes()),
                };
            }
            _ => return Err(unfit()),
        }
        Ok(())
    }

    fn embedded(&mut self, node: &Node, chain: Chain, column: &mut Column) -> Read<()> {
        match (node, &mut column.values) {
            (Node::Struct(message), Values::Struct { rows, fields }) => {
                let level = self.open(message);
                let mut at = chain.first;
                while let Some((part, next)) = self.part(at)? {
                    self.scan(message, level, part)?;
                    at = if at == chain.last { NONE } else { next };
                }
                self.close(message, level, fields)?;
                *rows += 1;
            }
            (Node::Wrapped(inner), _) => {
                let scalar = inner.scalar().ok_or_else(unfit)?;
                return match self.last_of(chain, [scalar])? {
                    [Some(wire)] => self.scalar(inner, wire, column),
                    [None] => self.nothing(inner, column),
                };
            }
            (Node::Moment, Values::Long(values)) => {
                let found = self.last_of(chain, [Scalar::Int64, Scalar::Int32])?;
                let [seconds, nanos] = found.map(|wire| match wire {
                    Some(Wire::Varint(value)) => value as i64,
                    _ => 0,
                });
                let us = seconds
                    .checked_mul(1_000_000)
                    .and_then(|us| us.checked_add(i64::from(nanos as i32).div_euclid(1_000)));
                values.push(us.ok_or_else(|| out_of_range(&column.kind, &format_args!("{seconds} s")))?);
            }
            (Node::Decimal { scale, precision }, Values::Decimal(values)) => {
                // The precision in between says nothing that the value does not.
                let [value, _, from] = self.last_of(chain, [Scalar::Bytes, Scalar::Uint32, Scalar::Int32])?;
                let bytes = match value {
                    Some(Wire::Bytes(start, end)) => &self.body[start..end],
                    _ => &[],
                };
                let from = match from {
                    Some(Wire::Varint(value)) => value as i32,
                    _ => 0,
                };
                let scale_up = u32::try_from(i64::from(*scale) - i64::from(from)).ok();
                let value = scale_up.and_then(|scale_up| decimal(bytes, scale_up, *precision));
                values.push(value.ok_or_else(|| out_of_range(&column.kind, &"a decimal with more digits"))?);
            }
            _ => return Err(unfit()),
        }
        Ok(())
    }

    /// The last values of the fields 1, 2, ... of a message.
    fn last_of<const N: usize>(&self, chain: Chain, wanted: [Scalar; N]) -> Read<[Option<Wire>; N]> {
        let mut found = [None; N];
        let mut at = chain.first;
        while let Some((part, next)) = self.part(at)? {
            let mut cursor = Cursor::new(self.body, part);
            while let Some((number, wire)) = cursor.field()? {
                let place = number as usize - 1;
                let Some(scalar) = wanted.get(place) else { continue };
                if !scalar.stands_as(wire) {
                    return Err(malformed(format!(
                        "field {number} stands as {}, which its type does not",
                        wire.name()
                    )));
                }
                found[place] = Some(wire);
            }
            at = if at == chain.last { NONE } else { next };
        }
        Ok(found)
    }

    /// What Protobuf has where no value is: zero, nothing, the enum's value 0.
    fn nothing(&mut self, node: &Node, column: &mut Column) -> Read<()> {
        match (node, &mut column.values) {
            (Node::Wrapped(inner), _) => return self.nothing(inner, column),
            (Node::Struct(message), Values::Struct { rows, fields }) => {
                let level = self.open(message);
                self.close(message, level, fields)?;
                *rows += 1;
            }
            (Node::Enum(_) | Node::Text(Scalar::Bool), Values::Bytes(_)) => {
                return self.scalar(node, Wire::Varint(0), column);
            }
            (Node::Text(_), Values::Bytes(bytes)) => return push_bytes(bytes, b"0"),
            (_, Values::Bytes(bytes)) => return push_bytes(bytes, b""),
            (_, Values::Int(values)) => values.push(0),
            (_, Values::Long(values)) => values.push(0),
            (_, Values::Float(values)) => values.push(0.0),
            (_, Values::Double(values)) => values.push(0.0),
            (_, Values::Boolean(values)) => values.push(false),
            (_, Values::Decimal(values)) => values.push(0),
            (_, Values::List { .. } | Values::Struct { .. } | Values::Map { .. }) => return Err(unfit()),
        }
        Ok(())
    }
}

#[cold]
fn unfit() -> Box<crate::decode::Problem> {
    malformed("the plan does not fit its column; this is a bug in wasmill".to_owned())
}

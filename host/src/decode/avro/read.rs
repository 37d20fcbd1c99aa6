//! Messages into columns, as a plan says.

use super::cursor::{Cursor, Read, malformed};
use super::plan::{Branch, Fields, Node, Number, Plan, Skip, Step};
use crate::decode::append::{check_utf8, decimal, full, out_of_range, problem, push_bytes};
use crate::decode::column::{Column, Values};
use crate::decode::schema::EventType;
use crate::reason;

/// Values that are passed over may nest this deep: a record that contains itself can go on for as long as the message.
const MAX_SKIPPED_DEPTH: usize = 64;

impl Plan {
    /// Appends one row. On an error the columns hold a part of it: the caller takes it back. `check_utf8`: text is checked
    /// here; else the columns refuse to be finished where some is not UTF-8.
    pub(crate) fn row(&self, body: &[u8], columns: &mut [Column], check_utf8: bool) -> Read<()> {
        let mut cursor = Cursor::new(body, check_utf8);
        self.fields(&self.root, &mut cursor, columns)?;
        match cursor.left() {
            0 => Ok(()),
            left => Err(problem(reason::TRAILING_DATA, format!("{left} bytes follow the record"))),
        }
    }

    fn fields(&self, fields: &Fields, cursor: &mut Cursor<'_>, columns: &mut [Column]) -> Read<()> {
        for step in &fields.steps {
            match step {
                Step::Read { name, column, node, required } => {
                    let column = &mut columns[*column];
                    let read = self.value(node, cursor, column);
                    read.map_err(|problem| Box::new(problem.in_field(name)))?;
                    if *required && column.last_is_null() {
                        let detail = format!("field {name:?} is null, and it is required ({}!)", column.kind);
                        return Err(problem(reason::MISSING_FIELD, detail));
                    }
                }
                Step::Skip(skip) => self.skip(skip, cursor, MAX_SKIPPED_DEPTH)?,
            }
        }
        fields.missing.iter().for_each(|column| columns[*column].push_null());
        Ok(())
    }

    #[inline]
    fn value(&self, node: &Node, cursor: &mut Cursor<'_>, column: &mut Column) -> Read<()> {
        match (node, &mut column.values) {
            (Node::Optional { null, value }, _) => {
                if cursor.index(2)? == *null {
                    column.push_null();
                    return Ok(());
                }
                self.value(value, cursor, column)
            }
            (Node::Bytes, Values::Bytes(bytes)) => {
                let value = cursor.prefixed()?;
                if cursor.check_utf8 && column.kind == EventType::String {
                    check_utf8(value)?;
                }
                push_bytes(bytes, value)
            }
            (Node::Int, Values::Int(values)) => {
                values.push(cursor.int()?);
                Ok(())
            }
            (Node::Long(factor), Values::Long(values)) => {
                let value = cursor.long()?;
                let scaled = value.checked_mul(*factor);
                values.push(scaled.ok_or_else(|| out_of_range(&column.kind, &value))?);
                Ok(())
            }
            (Node::Double(number), Values::Double(values)) => {
                values.push(match number {
                    Number::Integer => cursor.long()? as f64,
                    Number::Float => f64::from(f32::from_le_bytes(cursor.array()?)),
                    Number::Double => f64::from_le_bytes(cursor.array()?),
                });
                Ok(())
            }
            _ => self.other_value(node, cursor, column),
        }
    }

    fn other_value(&self, node: &Node, cursor: &mut Cursor<'_>, column: &mut Column) -> Read<()> {
        match (node, &mut column.values) {
            (Node::Null, _) => column.push_null(),
            (Node::Boolean, Values::Boolean(values)) => values.push(cursor.boolean()?),
            (Node::DividedLong(divisor), Values::Long(values)) => values.push(cursor.long()?.div_euclid(*divisor)),
            (Node::Float(number), Values::Float(values)) => values.push(match number {
                Number::Integer => cursor.long()? as f32,
                _ => f32::from_le_bytes(cursor.array()?),
            }),
            (Node::Fixed(size), Values::Bytes(bytes)) => push_bytes(bytes, cursor.take(*size)?)?,
            (Node::Uuid, Values::Bytes(bytes)) => push_bytes(bytes, &uuid(cursor.array()?))?,
            (Node::Enum(symbols), Values::Bytes(bytes)) => {
                push_bytes(bytes, symbols[cursor.index(symbols.len())?].as_bytes())?;
            }
            (Node::Decimal { size, scale_up, precision }, Values::Decimal(values)) => {
                let bytes = match size {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.prefixed()?,
                };
                let value = decimal(bytes, *scale_up, *precision);
                values.push(value.ok_or_else(|| out_of_range(&column.kind, &"a decimal with more digits"))?);
            }
            (Node::Struct(inner), Values::Struct { rows, fields }) => {
                self.fields(inner, cursor, fields)?;
                *rows += 1;
            }
            (Node::List(item), Values::List { offsets, items }) => {
                self.blocks(cursor, |cursor| self.value(item, cursor, items))?;
                offsets.push(i32::try_from(items.len()).map_err(|_| full())?);
            }
            (Node::Map(value), Values::Map { offsets, keys, values }) => {
                self.blocks(cursor, |cursor| {
                    self.value(&Node::Bytes, cursor, keys)?;
                    self.value(value, cursor, values)
                })?;
                offsets.push(i32::try_from(keys.len()).map_err(|_| full())?);
            }
            (Node::Union(branches), _) => return self.branch(branches, cursor, column),
            _ => return Err(malformed("the plan does not fit its column; this is a bug in wasmill".to_owned())),
        }
        Ok(())
    }

    fn branch(&self, branches: &[Branch], cursor: &mut Cursor<'_>, column: &mut Column) -> Read<()> {
        match (&branches[cursor.index(branches.len())?], &mut column.values) {
            (Branch::Value(node), _) => self.value(node, cursor, column),
            (Branch::Member { field, node }, Values::Struct { rows, fields }) => {
                for (index, member) in fields.iter_mut().enumerate() {
                    if index == *field {
                        self.value(node, cursor, member)?;
                    } else {
                        member.push_null();
                    }
                }
                *rows += 1;
                Ok(())
            }
            (Branch::Member { .. }, _) => Err(malformed("a branch without its struct".to_owned())),
            (Branch::Unfit(why), _) => Err(problem(reason::WRONG_TYPE, why.clone())),
        }
    }

    /// All items of an array or a map.
    fn blocks<'a>(&self, cursor: &mut Cursor<'a>, mut item: impl FnMut(&mut Cursor<'a>) -> Read<()>) -> Read<()> {
        loop {
            let (count, _) = cursor.block()?;
            if count == 0 {
                return Ok(());
            }
            (0..count).try_for_each(|_| item(cursor))?;
        }
    }

    fn skip(&self, skip: &Skip, cursor: &mut Cursor<'_>, depth: usize) -> Read<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(malformed(format!("values nest deeper than {MAX_SKIPPED_DEPTH}")));
        };
        match skip {
            Skip::Nothing => {}
            Skip::Number => drop(cursor.long()?),
            Skip::Bytes(count) => drop(cursor.take(*count)?),
            Skip::Prefixed => drop(cursor.prefixed()?),
            Skip::Union(branches) => self.skip(&branches[cursor.index(branches.len())?], cursor, depth)?,
            Skip::Record(number) => {
                self.skips[*number].iter().try_for_each(|skip| self.skip(skip, cursor, depth))?;
            }
            Skip::Array(item) => self.skip_blocks(cursor, |cursor| self.skip(item, cursor, depth))?,
            Skip::Map(value) => self.skip_blocks(cursor, |cursor| {
                cursor.prefixed()?;
                self.skip(value, cursor, depth)
            })?,
        }
        Ok(())
    }

    /// All items of an array or a map: by the bytes of the block where the writer says them, else one by one.
    fn skip_blocks<'a>(&self, cursor: &mut Cursor<'a>, mut item: impl FnMut(&mut Cursor<'a>) -> Read<()>) -> Read<()> {
        loop {
            match cursor.block()? {
                (0, _) => return Ok(()),
                (_, Some(bytes)) => drop(cursor.take(bytes)?),
                (count, None) => (0..count).try_for_each(|_| item(cursor))?,
            }
        }
    }
}

/// As text: 8-4-4-4-12 digits.
fn uuid(bytes: [u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

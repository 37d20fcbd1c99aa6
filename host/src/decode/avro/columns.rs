//! The columns of a table that holds all of a schema.

use super::schema::{AvroSchema, Logical, Type};
use crate::decode::schema::{EventField, EventType, MAX_DEPTH};

impl AvroSchema {
    /// A column for each field of the record, as `docs/schema-registry.md` lists types; required where it cannot be null.
    ///
    /// The error says which field can be no column, and why.
    pub(crate) fn columns(&self) -> Result<Vec<EventField>, String> {
        match self.root {
            Type::Record(number) => self.fields(number, MAX_DEPTH),
            _ => Err(format!("the schema is {:?}, and an event is a record", self.branch_name(&self.root))),
        }
    }

    fn fields(&self, number: usize, depth: usize) -> Result<Vec<EventField>, String> {
        let field = |field: &super::schema::Field| {
            let column = self.column(&field.kind, depth);
            let (kind, required) = column.map_err(|why| format!("field {:?}: {why}", field.name))?;
            Ok(EventField { name: field.name.clone(), kind, required })
        };
        self.records[number].fields.iter().map(field).collect()
    }

    /// The type of the column, and whether it is never null.
    fn column(&self, kind: &Type, depth: usize) -> Result<(EventType, bool), String> {
        let deeper = || depth.checked_sub(1).ok_or_else(|| format!("types nest deeper than {MAX_DEPTH}"));
        Ok((
            match kind {
                Type::Null => return Err("a field that is always null has no column".to_owned()),
                Type::Union(branches) => return self.union(branches, depth),
                Type::Boolean => EventType::Boolean,
                Type::Int(Some(Logical::Date)) => EventType::Date,
                Type::Int(_) => EventType::Int,
                Type::Long(Some(Logical::Timestamp(_))) => EventType::TimestampMicros,
                Type::Long(Some(Logical::LocalTimestamp(_))) => EventType::LocalTimestamp,
                Type::Long(_) => EventType::Long,
                Type::Float => EventType::Float,
                Type::Double => EventType::Double,
                Type::Bytes(Some(Logical::Decimal { precision, scale }))
                | Type::Fixed { logical: Some(Logical::Decimal { precision, scale }), .. } => {
                    EventType::Decimal(*precision, *scale)
                }
                Type::Fixed { logical: Some(Logical::Uuid), .. } => EventType::String,
                Type::Bytes(_) | Type::Fixed { .. } => EventType::Binary,
                Type::String(_) | Type::Enum(_) => EventType::String,
                Type::Array(item) => EventType::List(Box::new(self.column(item, deeper()?)?.0)),
                Type::Map(value) => EventType::Map(Box::new(self.column(value, deeper()?)?.0)),
                Type::Record(number) => EventType::Struct(self.fields(*number, deeper()?)?),
            },
            true,
        ))
    }

    fn union(&self, branches: &[Type], depth: usize) -> Result<(EventType, bool), String> {
        let values: Vec<&Type> = branches.iter().filter(|branch| **branch != Type::Null).collect();
        let is_null = values.len() < branches.len();
        if let [one] = values[..] {
            let (kind, required) = self.column(one, depth)?;
            return Ok((kind, required && !is_null));
        }
        let depth = depth.checked_sub(1).ok_or_else(|| format!("types nest deeper than {MAX_DEPTH}"))?;
        let member = |branch: &&Type| {
            let (kind, _) = self.column(branch, depth)?;
            Ok(EventField { name: self.branch_name(branch).to_owned(), kind, required: false })
        };
        match values.iter().map(member).collect::<Result<Vec<_>, String>>()? {
            members if members.is_empty() => Err("a field that is always null has no column".to_owned()),
            members => Ok((EventType::Struct(members), !is_null)),
        }
    }
}

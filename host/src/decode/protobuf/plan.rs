//! What is made of a message type for a table: which field goes into which column, and how.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::node::{Node, Scalar, describe};
use super::wire::Wire;
use crate::decode::schema::{EventField, EventSchema, EventType};

/// Fields of a number below this are found at once.
const DENSE: usize = 256;

/// How messages of one type are read.
pub(crate) struct Plan {
    pub(super) root: Message,
}

/// How the fields of a message become columns.
pub(super) struct Message {
    /// Those that the table has, and those that share a oneof with them; by number.
    pub(super) fields: Vec<Field>,
    /// By number: one more than the field's place, 0 where there is none.
    dense: Vec<u16>,
    /// How many oneofs there are.
    pub(super) oneofs: usize,
    /// The columns that the type does not have: null.
    pub(super) missing: Vec<usize>,
}

/// One field of the type.
pub(super) struct Field {
    number: u32,
    pub(super) name: String,
    /// How a value stands on the wire; `None`: as a message.
    scalar: Option<Scalar>,
    is_group: bool,
    pub(super) is_repeated: bool,
    /// Only one field of a oneof is there.
    pub(super) oneof: Option<usize>,
    /// `None`: the table does not have it.
    pub(super) into: Option<Into>,
}

/// Where a field goes.
pub(super) struct Into {
    pub(super) column: usize,
    pub(super) shape: Shape,
    /// A message can say that it is not there: it is null then, and else what Protobuf has for nothing.
    pub(super) has_presence: bool,
    /// A null is refused.
    pub(super) required: bool,
}

/// How many values a field has.
pub(super) enum Shape {
    One(Node),
    List(Node),
    /// Of entries: a message of a key and a value.
    Map(Box<Entry>),
}

pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) key: Node,
    pub(super) value: Node,
}

impl Field {
    /// Whether its value may stand so on the wire.
    #[inline]
    pub(super) fn stands_as(&self, wire: Wire) -> bool {
        match (self.scalar, wire) {
            (None, Wire::Group(..)) => self.is_group,
            (None, Wire::Bytes(..)) => !self.is_group,
            (None, _) => false,
            (Some(scalar), Wire::Bytes(..)) if self.is_repeated && scalar.is_packable() => true,
            (Some(scalar), wire) => scalar.stands_as(wire),
        }
    }

    /// Whether all its values count, and not only the last.
    #[inline]
    pub(super) fn keeps_all(&self) -> bool {
        self.is_repeated || self.scalar.is_none()
    }
}

impl Plan {
    /// The plan for messages of this type in a table of `table`.
    ///
    /// The error says which field cannot be made of what.
    pub(crate) fn new(message: &MessageDescriptor, table: &EventSchema) -> Result<Self, String> {
        Ok(Self { root: Message::new(message, &table.fields)? })
    }
}

impl Message {
    /// The recursion ends with the table's types, however the messages contain each other.
    pub(super) fn new(message: &MessageDescriptor, columns: &[EventField]) -> Result<Self, String> {
        let column_of = |field: &FieldDescriptor| columns.iter().position(|column| column.name == field.name());
        // One that only says whether a single field is there is none.
        let oneof_of = |field: &FieldDescriptor| field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let mut oneofs: Vec<String> = Vec::new();
        for field in message.fields().filter(|field| column_of(field).is_some()) {
            match oneof_of(&field).map(|oneof| oneof.full_name().to_owned()) {
                Some(name) if !oneofs.contains(&name) => oneofs.push(name),
                _ => {}
            }
        }
        let mut fields = Vec::new();
        for field in message.fields() {
            let oneof = oneof_of(&field).and_then(|oneof| oneofs.iter().position(|name| name == oneof.full_name()));
            let into = match column_of(&field) {
                Some(column) => {
                    let into = into(&field, column, &columns[column]);
                    Some(into.map_err(|why| format!("field {:?}: {why}", field.name()))?)
                }
                None if oneof.is_some() => None,
                None => continue,
            };
            fields.push(Field {
                number: field.number(),
                name: field.name().to_owned(),
                scalar: Scalar::of(&field.kind()),
                is_group: field.is_group(),
                is_repeated: field.is_list() || field.is_map(),
                oneof,
                into,
            });
        }
        let has = |column: &EventField| fields.iter().any(|field| field.name == column.name);
        let missing: Vec<usize> = (0..columns.len()).filter(|index| !has(&columns[*index])).collect();
        if let Some(index) = missing.iter().find(|index| columns[**index].required) {
            let EventField { name, kind, .. } = &columns[*index];
            let message = message.full_name();
            return Err(format!("field {name:?} is required ({kind}!), and the message {message:?} has none"));
        }
        Ok(Self::of_fields(fields, oneofs.len(), missing))
    }

    fn of_fields(mut fields: Vec<Field>, oneofs: usize, missing: Vec<usize>) -> Self {
        fields.sort_by_key(|field| field.number);
        let mut dense = vec![0; DENSE];
        for (place, field) in fields.iter().enumerate() {
            if let (Some(entry), Ok(place)) = (dense.get_mut(field.number as usize), u16::try_from(place + 1)) {
                *entry = place;
            }
        }
        Self { fields, dense, oneofs, missing }
    }

    /// The place of the field with this number.
    #[inline]
    pub(super) fn place(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(place) => Some(usize::from(*place) - 1),
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }
}

fn into(field: &FieldDescriptor, column: usize, wanted: &EventField) -> Result<Into, String> {
    let (kind, to) = (field.kind(), &wanted.kind);
    let shape = match (&kind, to) {
        (Kind::Message(entry), EventType::Map(value)) if field.is_map() => {
            Shape::Map(Box::new(self::entry(entry, value)?))
        }
        _ if field.is_map() => return Err(format!("Protobuf's map cannot become {to}")),
        (kind, EventType::List(item)) if field.is_list() => Shape::List(Node::new(kind, item)?),
        _ if field.is_list() => return Err(format!("repeated {} cannot become {to}", describe(&kind))),
        (kind, to) => Shape::One(Node::new(kind, to)?),
    };
    let has_presence = matches!(shape, Shape::One(_)) && field.supports_presence();
    Ok(Into { column, shape, has_presence, required: wanted.required && has_presence })
}

fn entry(entry: &MessageDescriptor, value: &EventType) -> Result<Entry, String> {
    let key_kind = entry.map_entry_key_field().kind();
    let key = match (&key_kind, Scalar::of(&key_kind)) {
        (Kind::String, _) | (_, None) => Node::Bytes,
        (_, Some(scalar)) => Node::Text(scalar),
    };
    let field = |field: FieldDescriptor| Field {
        number: field.number(),
        name: field.name().to_owned(),
        scalar: Scalar::of(&field.kind()),
        is_group: false,
        is_repeated: false,
        oneof: None,
        into: None,
    };
    let fields = vec![field(entry.map_entry_key_field()), field(entry.map_entry_value_field())];
    let value = Node::new(&entry.map_entry_value_field().kind(), value)?;
    Ok(Entry { message: Message::of_fields(fields, 0, Vec::new()), key, value })
}

/// A decimal may gain digits behind its point, and never lose any.
pub(super) fn scale_up(from: i8, to: i8) -> Option<u32> {
    u32::try_from(i32::from(to) - i32::from(from)).ok()
}

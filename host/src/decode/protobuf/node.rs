//! What becomes of one value: by its type in Protobuf and its column's.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};

use super::plan::{Message, scale_up};
use super::wire::Wire;
use crate::decode::schema::EventType;

/// A value that is no message, as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// `int32` and enums: a varint, of which 32 bits count.
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Float,
    Double,
    /// `string` and `bytes`.
    Bytes,
}

impl Scalar {
    /// `None`: it is a message.
    pub(super) fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Int32 | Kind::Enum(_) => Self::Int32,
            Kind::Int64 => Self::Int64,
            Kind::Uint32 => Self::Uint32,
            Kind::Uint64 => Self::Uint64,
            Kind::Sint32 => Self::Sint32,
            Kind::Sint64 => Self::Sint64,
            Kind::Fixed32 => Self::Fixed32,
            Kind::Fixed64 => Self::Fixed64,
            Kind::Sfixed32 => Self::Sfixed32,
            Kind::Sfixed64 => Self::Sfixed64,
            Kind::Bool => Self::Bool,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::String | Kind::Bytes => Self::Bytes,
            Kind::Message(_) => return None,
        })
    }

    /// Whether many of them may stand in one value, one behind the other.
    pub(super) fn is_packable(self) -> bool {
        self != Self::Bytes
    }

    /// Whether it is a whole number that an `i64` holds.
    fn is_signed(self) -> bool {
        !matches!(self, Self::Uint64 | Self::Fixed64 | Self::Bool | Self::Float | Self::Double | Self::Bytes)
    }

    fn is_integer(self) -> bool {
        self.is_signed() || matches!(self, Self::Uint64 | Self::Fixed64)
    }

    /// Whether it is a whole number that an `i32` holds.
    fn is_int(self) -> bool {
        matches!(self, Self::Int32 | Self::Sint32 | Self::Sfixed32)
    }

    /// A whole number. `None`: it stands otherwise on the wire.
    #[inline]
    pub(super) fn integer(self, wire: Wire) -> Option<i128> {
        Some(match (self, wire) {
            (Self::Int64, Wire::Varint(value)) => i128::from(value as i64),
            (Self::Int32, Wire::Varint(value)) => i128::from(value as i32),
            (Self::Uint32, Wire::Varint(value)) => i128::from(value as u32),
            (Self::Uint64, Wire::Varint(value)) => i128::from(value),
            (Self::Sint32, Wire::Varint(value)) => i128::from(zigzag(u64::from(value as u32)) as i32),
            (Self::Sint64, Wire::Varint(value)) => i128::from(zigzag(value)),
            (Self::Bool, Wire::Varint(value)) => i128::from(value != 0),
            (Self::Fixed32, Wire::Fixed32(value)) => i128::from(value),
            (Self::Sfixed32, Wire::Fixed32(value)) => i128::from(value as i32),
            (Self::Fixed64, Wire::Fixed64(value)) => i128::from(value),
            (Self::Sfixed64, Wire::Fixed64(value)) => i128::from(value as i64),
            _ => return None,
        })
    }

    /// A number. `None`: it stands otherwise on the wire.
    #[inline]
    pub(super) fn number(self, wire: Wire) -> Option<f64> {
        match (self, wire) {
            (Self::Double, Wire::Fixed64(bits)) => Some(f64::from_bits(bits)),
            (Self::Float, Wire::Fixed32(bits)) => Some(f64::from(f32::from_bits(bits))),
            _ => self.integer(wire).map(|value| value as f64),
        }
    }

    /// Whether a value of this kind stands so on the wire.
    #[inline]
    pub(super) fn stands_as(self, wire: Wire) -> bool {
        match self {
            Self::Bytes => matches!(wire, Wire::Bytes(..)),
            Self::Fixed32 | Self::Sfixed32 | Self::Float => matches!(wire, Wire::Fixed32(_)),
            Self::Fixed64 | Self::Sfixed64 | Self::Double => matches!(wire, Wire::Fixed64(_)),
            _ => matches!(wire, Wire::Varint(_)),
        }
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// How a value becomes one of its column.
pub(super) enum Node {
    Boolean,
    Int(Scalar),
    /// Times a factor.
    Long(Scalar, i64),
    Float(Scalar),
    Double(Scalar),
    /// Times 10 to the power of `scale_up`.
    Digits {
        from: Scalar,
        scale_up: u32,
        precision: u8,
    },
    Bytes,
    /// A map's key that is no text, as text.
    Text(Scalar),
    /// The names of an enum's values by their numbers, as text; a number without a name as its digits.
    Enum(HashMap<i32, String>),
    /// `google.protobuf.Timestamp` and `Duration`, in microseconds.
    Moment,
    /// `confluent.type.Decimal`.
    Decimal {
        scale: i8,
        precision: u8,
    },
    /// One of Google's messages around a scalar.
    Wrapped(Box<Node>),
    Struct(Message),
}

impl Node {
    /// How it stands on the wire; `None`: as a message.
    pub(super) fn scalar(&self) -> Option<Scalar> {
        match self {
            Self::Boolean => Some(Scalar::Bool),
            Self::Int(from) | Self::Long(from, _) | Self::Float(from) | Self::Double(from) | Self::Text(from) => {
                Some(*from)
            }
            Self::Digits { from, .. } => Some(*from),
            Self::Bytes => Some(Scalar::Bytes),
            Self::Enum(_) => Some(Scalar::Int32),
            Self::Moment | Self::Decimal { .. } | Self::Wrapped(_) | Self::Struct(_) => None,
        }
    }

    /// The node for a single value of this kind, or why there is none.
    pub(super) fn new(kind: &Kind, to: &EventType) -> Result<Self, String> {
        let unfit = || format!("{} cannot become {to}", describe(kind));
        if let Kind::Message(message) = kind {
            return Self::of_message(message, to)?.ok_or_else(unfit);
        }
        let Some(from) = Scalar::of(kind) else { return Err(unfit()) };
        Ok(match (kind, to) {
            (Kind::Enum(values), EventType::String) => Self::Enum(names(values)),
            (Kind::Bool, EventType::Boolean) => Self::Boolean,
            (Kind::String | Kind::Bytes, EventType::String | EventType::Binary) => Self::Bytes,
            (_, EventType::Int) if from.is_int() => Self::Int(from),
            (_, EventType::Long | EventType::TimestampMicros) if from.is_integer() => Self::Long(from, 1),
            (_, EventType::TimestampMillis) if from.is_integer() => Self::Long(from, 1_000),
            (_, EventType::Decimal(precision, scale)) if from.is_integer() => {
                Self::Digits { from, scale_up: scale_up(0, *scale).ok_or_else(unfit)?, precision: *precision }
            }
            (Kind::Float, EventType::Float) => Self::Float(from),
            (_, EventType::Float) if from.is_signed() => Self::Float(from),
            (Kind::Float | Kind::Double, EventType::Double) => Self::Double(from),
            (_, EventType::Double) if from.is_integer() => Self::Double(from),
            _ => return Err(unfit()),
        })
    }

    fn of_message(message: &MessageDescriptor, to: &EventType) -> Result<Option<Self>, String> {
        Ok(Some(match (message.full_name(), to) {
            ("google.protobuf.Timestamp", EventType::TimestampMicros | EventType::TimestampMillis)
            | ("google.protobuf.Duration", EventType::Long) => Self::Moment,
            ("confluent.type.Decimal", EventType::Decimal(precision, scale)) => {
                Self::Decimal { scale: *scale, precision: *precision }
            }
            (_, EventType::Struct(columns)) => Self::Struct(Message::new(message, columns)?),
            (name, to) if is_wrapper(name) => match message.get_field(1) {
                Some(value) => Self::Wrapped(Box::new(Self::new(&value.kind(), to)?)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }
}

/// Whether a message of this name is there only to say whether a scalar is.
pub(super) fn is_wrapper(name: &str) -> bool {
    const WRAPPED: [&str; 9] = ["Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64"];
    let inner = name.strip_prefix("google.protobuf.").and_then(|name| name.strip_suffix("Value"));
    inner.is_some_and(|inner| WRAPPED.contains(&inner))
}

fn names(values: &EnumDescriptor) -> HashMap<i32, String> {
    let mut names = HashMap::new();
    // Of names for the same number, the first counts.
    for value in values.values() {
        names.entry(value.number()).or_insert_with(|| value.name().to_owned());
    }
    names
}

/// A type for people.
pub(super) fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => format!("Protobuf's message {}", message.full_name()),
        Kind::Enum(values) => format!("Protobuf's enum {}", values.full_name()),
        other => format!("Protobuf's {}", format!("{other:?}").to_lowercase()),
    }
}

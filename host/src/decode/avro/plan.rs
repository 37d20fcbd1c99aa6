//! What is made of a writer's schema for a table: which bytes go into which column, and how.

use super::schema::{AvroSchema, Logical, Type, Unit};
use crate::decode::schema::{EventField, EventSchema, EventType};

/// How messages of one writer's schema are read.
pub(crate) struct Plan {
    pub(super) root: Fields,
    /// How the fields of each record of the schema are passed over.
    pub(super) skips: Vec<Vec<Skip>>,
}

/// How the fields of a record become columns.
pub(super) struct Fields {
    /// In the order of the writer.
    pub(super) steps: Vec<Step>,
    /// The columns that the writer does not have: null.
    pub(super) missing: Vec<usize>,
}

/// One field of the writer.
pub(super) enum Step {
    /// Into a column. `required`: a null is refused; only where there can be one.
    Read { name: String, column: usize, node: Node, required: bool },
    /// The table does not have it.
    Skip(Skip),
}

/// How a value becomes one of its column.
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    /// An `int` or a `long`, times a factor.
    Long(i64),
    /// An `int` or a `long`, divided, towards the past.
    DividedLong(i64),
    Float(Number),
    Double(Number),
    Bytes,
    Fixed(usize),
    /// 16 bytes, as text.
    Uuid,
    /// The symbols of an enum, as text.
    Enum(Vec<String>),
    /// Big-endian, two's complement; `None`: of any length. Times 10 to the power of `scale_up`.
    Decimal {
        size: Option<usize>,
        scale_up: u32,
        precision: u8,
    },
    List(Box<Node>),
    Map(Box<Node>),
    Struct(Fields),
    /// A value, or null, which is branch number `null`.
    Optional {
        null: usize,
        value: Box<Node>,
    },
    Union(Vec<Branch>),
}

/// What a number is in the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Integer,
    Float,
    Double,
}

/// A branch of a union.
pub(super) enum Branch {
    Value(Node),
    /// Into one field of a struct that has `fields`; the others are null.
    Member {
        field: usize,
        node: Node,
    },
    /// It does not fit the column: why.
    Unfit(String),
}

/// How a value is passed over.
pub(super) enum Skip {
    Nothing,
    Number,
    Bytes(usize),
    Prefixed,
    Array(Box<Skip>),
    Map(Box<Skip>),
    Union(Vec<Skip>),
    Record(usize),
}

impl Plan {
    /// The plan for messages of `writer` in a table of `table`.
    ///
    /// The error says which field cannot be made of what.
    pub(crate) fn new(writer: &AvroSchema, table: &EventSchema) -> Result<Self, String> {
        let Type::Record(number) = writer.root else {
            let found = writer.branch_name(&writer.root);
            return Err(format!("the schema of the messages is {found:?}, and an event is a record"));
        };
        let skips = writer.records.iter();
        let skips = skips.map(|record| record.fields.iter().map(|field| skip(&field.kind)).collect()).collect();
        Ok(Self { root: fields(writer, number, &table.fields)?, skips })
    }
}

/// The recursion ends with the table's types, however the writer's records contain each other.
fn fields(writer: &AvroSchema, number: usize, columns: &[EventField]) -> Result<Fields, String> {
    let record = &writer.records[number];
    let mut steps = Vec::with_capacity(record.fields.len());
    for field in &record.fields {
        let Some(column) = columns.iter().position(|column| column.name == field.name) else {
            steps.push(Step::Skip(skip(&field.kind)));
            continue;
        };
        let wanted = &columns[column];
        let node = node(writer, &field.kind, &wanted.kind).map_err(|why| format!("field {:?}: {why}", field.name))?;
        let required = wanted.required && node.may_be_null();
        steps.push(Step::Read { name: field.name.clone(), column, node, required });
    }
    let is_missing = |column: &EventField| record.fields.iter().all(|field| field.name != column.name);
    let missing: Vec<usize> = (0..columns.len()).filter(|index| is_missing(&columns[*index])).collect();
    if let Some(index) = missing.iter().find(|index| columns[**index].required) {
        let EventField { name, kind, .. } = &columns[*index];
        let record = &record.name;
        return Err(format!("field {name:?} is required ({kind}!), and the messages' record {record:?} has none"));
    }
    Ok(Fields { steps, missing })
}

impl Node {
    fn may_be_null(&self) -> bool {
        match self {
            Self::Null | Self::Optional { .. } => true,
            Self::Union(branches) => {
                branches.iter().any(|branch| matches!(branch, Branch::Value(node) if node.may_be_null()))
            }
            _ => false,
        }
    }
}

fn node(writer: &AvroSchema, from: &Type, to: &EventType) -> Result<Node, String> {
    if let Type::Union(branches) = from {
        return union(writer, branches, to);
    }
    let unfit = || format!("{} cannot become {to}", describe(writer, from));
    Ok(match (from, to) {
        (Type::Null, _) => Node::Null,
        (Type::Boolean, EventType::Boolean) => Node::Boolean,
        (Type::Int(None | Some(Logical::TimeMillis)), EventType::Int) => Node::Int,
        (Type::Int(Some(Logical::Date)), EventType::Date | EventType::Int) => Node::Int,
        (Type::Int(_) | Type::Long(_), EventType::Long) => Node::Long(1),
        (Type::Int(None) | Type::Long(None), EventType::TimestampMillis) => Node::Long(1_000),
        (Type::Int(None) | Type::Long(None), EventType::TimestampMicros) => Node::Long(1),
        (Type::Long(Some(Logical::Timestamp(unit))), EventType::TimestampMillis | EventType::TimestampMicros)
        | (Type::Long(Some(Logical::LocalTimestamp(unit))), EventType::LocalTimestamp) => match unit {
            Unit::Millis => Node::Long(1_000),
            Unit::Micros => Node::Long(1),
            Unit::Nanos => Node::DividedLong(1_000),
        },
        (Type::Int(None) | Type::Long(None), EventType::Float) => Node::Float(Number::Integer),
        (Type::Float, EventType::Float) => Node::Float(Number::Float),
        (Type::Int(None) | Type::Long(None), EventType::Double) => Node::Double(Number::Integer),
        (Type::Float, EventType::Double) => Node::Double(Number::Float),
        (Type::Double, EventType::Double) => Node::Double(Number::Double),
        (Type::String(_) | Type::Bytes(None), EventType::String | EventType::Binary) => Node::Bytes,
        (Type::Fixed { logical: Some(Logical::Uuid), .. }, EventType::String) => Node::Uuid,
        (Type::Fixed { size, logical: None | Some(Logical::Uuid), .. }, EventType::Binary) => Node::Fixed(*size),
        (Type::Enum(number), EventType::String) => Node::Enum(writer.enums[*number].symbols.clone()),
        (Type::Bytes(Some(Logical::Decimal { scale, .. })), EventType::Decimal(precision, wanted)) => {
            Node::Decimal { size: None, scale_up: scale_up(*scale, *wanted).ok_or_else(unfit)?, precision: *precision }
        }
        (
            Type::Fixed { size, logical: Some(Logical::Decimal { scale, .. }), .. },
            EventType::Decimal(precision, wanted),
        ) => Node::Decimal {
            size: Some(*size),
            scale_up: scale_up(*scale, *wanted).ok_or_else(unfit)?,
            precision: *precision,
        },
        (Type::Array(item), EventType::List(wanted)) => Node::List(Box::new(node(writer, item, wanted)?)),
        (Type::Map(value), EventType::Map(wanted)) => Node::Map(Box::new(node(writer, value, wanted)?)),
        (Type::Record(number), EventType::Struct(columns)) => Node::Struct(fields(writer, *number, columns)?),
        _ => return Err(unfit()),
    })
}

/// A decimal may gain digits behind its point, and never lose any.
fn scale_up(from: i8, to: i8) -> Option<u32> {
    u32::try_from(i32::from(to) - i32::from(from)).ok()
}

fn union(writer: &AvroSchema, branches: &[Type], to: &EventType) -> Result<Node, String> {
    let is_null = |branch: &&Type| matches!(branch, Type::Null);
    if let [one, other] = branches
        && let Some(null) = branches.iter().position(|branch| is_null(&branch))
    {
        let value = if null == 0 { other } else { one };
        return Ok(Node::Optional { null, value: Box::new(node(writer, value, to)?) });
    }
    let member = |branch: &Type| match to {
        EventType::Struct(fields) => fields.iter().position(|field| field.name == writer.branch_name(branch)),
        _ => None,
    };
    let values = || branches.iter().filter(|branch| !is_null(branch));
    // A struct with one field for each branch, as a table's schema that is made of the registry's has it.
    let by_member = values().count() > 1 && values().all(|branch| member(branch).is_some());
    let one = |branch: &Type| {
        if let (true, EventType::Struct(fields), Some(field)) = (by_member, to, member(branch)) {
            return match node(writer, branch, &fields[field].kind) {
                Ok(node) => Branch::Member { field, node },
                Err(why) => Branch::Unfit(why),
            };
        }
        node(writer, branch, to).map_or_else(Branch::Unfit, Branch::Value)
    };
    let planned: Vec<Branch> = branches.iter().map(one).collect();
    let fits = |branch: &Branch| matches!(branch, Branch::Member { .. } | Branch::Value(_));
    if planned.iter().zip(branches).any(|(planned, branch)| fits(planned) && !is_null(&branch)) {
        return Ok(Node::Union(planned));
    }
    let why = planned.into_iter().filter_map(|branch| match branch {
        Branch::Unfit(why) => Some(why),
        _ => None,
    });
    Err(why.collect::<Vec<_>>().join("; "))
}

fn skip(kind: &Type) -> Skip {
    match kind {
        Type::Null => Skip::Nothing,
        Type::Boolean => Skip::Bytes(1),
        Type::Int(_) | Type::Long(_) | Type::Enum(_) => Skip::Number,
        Type::Float => Skip::Bytes(4),
        Type::Double => Skip::Bytes(8),
        Type::Bytes(_) | Type::String(_) => Skip::Prefixed,
        Type::Fixed { size, .. } => Skip::Bytes(*size),
        Type::Record(number) => Skip::Record(*number),
        Type::Array(item) => Skip::Array(Box::new(skip(item))),
        Type::Map(value) => Skip::Map(Box::new(skip(value))),
        Type::Union(branches) => Skip::Union(branches.iter().map(skip).collect()),
    }
}

/// A type for people.
fn describe(writer: &AvroSchema, kind: &Type) -> String {
    let logical = match kind {
        Type::Int(logical) | Type::Long(logical) | Type::Bytes(logical) | Type::String(logical) => logical,
        Type::Fixed { logical, .. } => logical,
        _ => &None,
    };
    let unit = |unit: &Unit| match unit {
        Unit::Millis => "millis",
        Unit::Micros => "micros",
        Unit::Nanos => "nanos",
    };
    let name = writer.branch_name(kind);
    let what = match kind {
        Type::Enum(_) => "enum ",
        Type::Record(_) => "record ",
        Type::Fixed { .. } => "fixed ",
        _ => "",
    };
    let logical = match logical {
        None => String::new(),
        Some(Logical::Decimal { precision, scale }) => format!(" (decimal {precision},{scale})"),
        Some(Logical::Date) => " (date)".into(),
        Some(Logical::TimeMillis) => " (time-millis)".into(),
        Some(Logical::TimeMicros) => " (time-micros)".into(),
        Some(Logical::Timestamp(of)) => format!(" (timestamp-{})", unit(of)),
        Some(Logical::LocalTimestamp(of)) => format!(" (local-timestamp-{})", unit(of)),
        Some(Logical::Uuid) => " (uuid)".into(),
    };
    format!("Avro's {what}{name}{logical}")
}

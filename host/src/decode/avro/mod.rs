//! Avro messages to columns.
//!
//! A writer's schema and the table's are compiled into a [`Plan`] once; the plan then reads each message in one pass, straight
//! into the columns. What the two schemas make of each other is decided there, so that a message costs only its bytes.
//!
//! The table's schema is the reader's: fields go by name, numbers are promoted as Avro's specification says, what the table
//! does not have is passed over, and what the writer does not have is null. Where a field of the table cannot be made of the
//! writer's, no message of that schema can be decoded, and the plan is refused with the reason.

mod columns;
mod cursor;
mod plan;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use self::plan::Plan;
pub(crate) use self::schema::AvroSchema;
pub(crate) use self::text::record;

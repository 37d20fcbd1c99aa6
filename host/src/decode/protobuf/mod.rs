//! Protobuf messages to columns.
//!
//! A file of the registry is parsed once ([`ProtobufFile`]), and each of its message types is compiled with the table's schema
//! into a [`Plan`] when it is seen first. The plan reads a message in two passes: the first notes where each field stands, the
//! second appends to the columns in their order. Protobuf allows a field to come anywhere and more than once (the last value
//! counts, messages are merged, of a oneof the last member stays), so nothing is known of a field before the message's end.
//!
//! The table's schema is the reader's: fields go by name, what the table does not have is passed over, and what the type does
//! not have is null. Where a field of the table cannot be made of the type's, the plan is refused with the reason.

mod columns;
mod file;
mod node;
mod plan;
mod read;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use self::columns::columns;
pub(crate) use self::file::ProtobufFile;
pub(crate) use self::plan::Plan;
pub(crate) use self::read::Scratch;

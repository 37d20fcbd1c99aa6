//! A schema registry with Confluent's API: which schema a message was written by.
//!
//! Decoders ask [`Schemas`] and never wait: what is not known yet is fetched beside them, again and again until the registry
//! has answered. What a registry says of an id never changes, so it is kept for as long as the process runs, and on disk for
//! the next one.

mod client;
mod disk;
mod schemas;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::client::Client;
pub use self::schemas::{LookUp, RegistryHealth, Schemas};

/// A schema as the registry has it, with all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// What language it is in.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to, each behind those that it refers to itself.
    pub referenced: Vec<Referenced>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referenced {
    /// What it is called there: an Avro name, a file to import.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The language of a schema, as the registry calls it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// Avro: what is meant where nothing is said.
    #[default]
    Avro,
    /// Protocol Buffers, as the text of a `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
            Self::Json => "JSON Schema",
        }
    }
}

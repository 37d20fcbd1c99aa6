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

pub use self::client::{Client, Listed, Reference};
use self::disk::Disk;
pub use self::schemas::{Gate, LookUp, RegistryHealth, Schemas};
use crate::config::SchemaRegistryConfig;
use crate::error::{ErrorKind, Result};

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

/// The first version of a subject that there is.
pub const FIRST: &str = "first";

/// A version of a subject, and a note of it in the cache; of a registry that does not answer, what was noted last.
///
/// # Errors
/// The registry does not answer, and nothing was noted; or it answers not as one.
pub async fn version_or_noted(
    config: &SchemaRegistryConfig,
    subject: &str,
    version: &str,
) -> Result<Option<Registered>> {
    let client = Client::new(config)?;
    let disk = config.cache.as_ref().map(|cache| Disk::new(cache, &config.url));
    let found = match version {
        FIRST => client.first(subject).await,
        version => client.version(subject, version).await,
    };
    match found {
        Ok(found) => {
            if let (Some(disk), Some(registered)) = (&disk, &found)
                && let Err(error) = disk.write_version(subject, version, registered)
            {
                tracing::warn!(%error, "a schema cannot be noted in the cache");
            }
            Ok(found)
        }
        Err(error) if error.kind() == ErrorKind::Transient => {
            let noted = disk.and_then(|disk| disk.read_version(subject, version));
            let noted = noted.ok_or(error)?;
            tracing::warn!(subject, version, "the schema registry does not answer; its schema is taken as it was last");
            Ok(Some(noted))
        }
        Err(error) => Err(error),
    }
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

//! The contract of a topic: the schema that is registered for its messages, and what a new version of it would break.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, SchemaRegistryConfig, SourceConfig, Version};
use crate::decode::registered::{avro_schema, event_schema, fits};
use crate::decode::schema::EventSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::preflight;
use crate::runtime::Runtime;
use crate::schema_registry::{Client, Kind, Registered};
use crate::transform::TransformEngine;

/// A `.proto` file or an Avro schema is written by people; a larger file is something else.
const FILE_BYTES: u64 = 4 << 20;

/// Who would not bear a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The registry: it is not compatible with the versions before.
    Registry,
    /// The table: its messages become no rows, or its columns would change.
    Table,
    /// The transforms: they do not fit its columns.
    Transforms,
}

/// What a new version would break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// For whom.
    pub party: Party,
    /// What, and why.
    pub why: String,
}

/// The contract of one pipeline's topic.
pub struct Contract<'c> {
    config: &'c Config,
    registry: &'c SchemaRegistryConfig,
    client: Client,
    /// Where it is registered.
    pub subject: String,
}

impl<'c> Contract<'c> {
    /// The contract under `subject`: by default that of the table's schema, or the first topic's.
    ///
    /// # Errors
    /// The pipeline has no registry, or no topic.
    pub fn new(config: &'c Config, subject: Option<String>) -> Result<Self> {
        let registry = config.schema_registry.as_ref().ok_or_else(|| {
            Error::config(format!("pipeline {} has no schema registry", config.name))
                .hint("write url under [schema_registry]")
        })?;
        let topic = || match &config.source {
            SourceConfig::Kafka(kafka) => kafka.topics.first().map(|topic| format!("{topic}-value")),
            _ => None,
        };
        let of_table = || registry.table.as_ref().map(|table| table.subject.clone());
        let subject = subject.or_else(of_table).or_else(topic);
        let subject = subject.ok_or_else(|| Error::config("the pipeline reads no topic").hint("name the --subject"))?;
        Ok(Self { config, registry, client: Client::new(registry)?, subject })
    }

    /// The table's columns as an Avro schema.
    pub fn avro(&self) -> Value {
        avro_schema(&self.config.name, &self.config.schema)
    }

    /// Registers the table's columns as an Avro schema; the schema's id.
    ///
    /// # Errors
    /// The registry refuses it or does not answer.
    pub async fn register(&self) -> Result<u32> {
        let text = self.avro().to_string();
        if let Some(why) = self.client.incompatible(&self.subject, Kind::Avro, &text).await? {
            let message =
                format!("the registry has versions of {:?} that this one does not go with: {why}", self.subject);
            return Err(Error::config(message).hint("its compatibility level is a setting of the registry"));
        }
        self.client.register(&self.subject, Kind::Avro, &text).await
    }

    /// The schema in a file (Avro, or Protobuf where it is called `.proto`), or the newest that is registered.
    ///
    /// # Errors
    /// There is none.
    pub async fn candidate(&self, file: Option<&Path>) -> Result<Registered> {
        let Some(path) = file else {
            let newest = self.client.version(&self.subject, "latest").await?;
            return newest.ok_or_else(|| {
                Error::config(format!("the registry has no subject {:?}", self.subject))
                    .hint("`wasmill schema register PIPELINE` registers the table's schema")
            });
        };
        let cannot = |error| Error::config(format!("cannot read {}", path.display())).because(error);
        if std::fs::metadata(path).map_err(cannot)?.len() > FILE_BYTES {
            return Err(Error::config(format!("{} has more than {FILE_BYTES} bytes: no schema", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(cannot)?;
        let is_proto = path.extension().is_some_and(|extension| extension == "proto");
        let kind = if is_proto { Kind::Protobuf } else { Kind::Avro };
        Ok(Registered { kind, text, referenced: Vec::new() })
    }

    /// What `candidate` would break as the next version. Nothing is registered.
    ///
    /// # Errors
    /// The registry or the storage does not answer.
    pub async fn check(
        &self,
        candidate: &Registered,
        engine: &TransformEngine,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let mut find = |party, why| findings.push(Finding { party, why });
        // Of a version that is registered the registry has said so before.
        if let Some(why) = self.client.incompatible(&self.subject, candidate.kind, &candidate.text).await? {
            find(Party::Registry, why);
        }
        if let Err(why) = fits(candidate, &self.config.schema) {
            find(Party::Table, format!("messages of it become no rows: {why}"));
        }
        // Columns that stand in the file, or are a fixed version's, stay what they are.
        let follows = self.registry.table.as_ref().is_some_and(|table| table.version == Version::Latest);
        let columns = match event_schema(candidate) {
            Ok(columns) if follows => columns,
            Err(why) if follows => {
                find(Party::Table, why);
                return Ok(findings);
            }
            _ => return Ok(findings),
        };
        changes(&self.config.schema, &columns).into_iter().for_each(|why| find(Party::Table, why));
        match preflight::link(engine, self.config, columns.arrow, runtime).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error),
            Err(error) => find(Party::Transforms, error.to_string()),
        }
        Ok(findings)
    }
}

/// What readers of the files that are there would not bear in new ones. More columns are fine: old files have none.
pub fn changes(old: &EventSchema, new: &EventSchema) -> Vec<String> {
    let change = |column: &crate::decode::schema::EventField| {
        let name = &column.name;
        match new.fields.iter().find(|other| other.name == *name) {
            None => Some(format!("column {name:?} would be gone")),
            Some(other) if other.kind != column.kind => {
                Some(format!("column {name:?} would be {} and is {}", other.kind, column.kind))
            }
            Some(_) => None,
        }
    };
    old.fields.iter().filter_map(change).collect()
}

//! The registered contract: transforms that do not go with the newest schema of the table are not deployed.

use std::sync::Arc;

use super::order::Place;
use super::{Deployed, load};
use crate::config::{self, SchemaRegistryConfig, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::hive::HivePartitioner;

/// Why hosts that start with the newest registered version could not run these transforms. `None`: they could, or the table
/// does not follow the registry, or that does not answer.
///
/// # Errors
/// The storage does not answer.
pub(super) async fn breaks(place: &Place<'_>, transforms: &[Deployed]) -> Result<Option<Error>> {
    let registry = place.config.schema_registry.clone();
    let Some((registry, table)) = registry.and_then(|registry| Some((registry.clone(), registry.table?))) else {
        return Ok(None);
    };
    if table.version != Version::Latest {
        return Ok(None);
    }
    let subject = table.subject.clone();
    // What was noted of a registry that is silent now is not its newest version.
    let registry = SchemaRegistryConfig { cache: None, ..registry };
    let columns = tokio::task::spawn_blocking(move || config::registered_columns(&registry, &table)).await;
    let columns = match columns.unwrap_or_else(|_| Err("making columns panicked".to_owned())) {
        Ok(columns) => columns,
        Err(why) => {
            tracing::warn!(why, "whether the transforms go with the newest registered schema was not looked at");
            return Ok(None);
        }
    };
    if columns == place.config.schema {
        return Ok(None);
    }
    let linked = load(place.engine, place.registry, transforms, Arc::clone(&columns.arrow)).await;
    let fits = linked.and_then(|chain| HivePartitioner::new(&place.config.table, &chain.output_schema()).map(drop));
    match fits {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Transient => Err(error),
        Err(error) => Ok(Some(
            Error::config(format!("the newest version of {subject:?} would break them: {error}"))
                .hint("hosts take the newest version at their next start: `wasmill schema check PIPELINE` says what it breaks"),
        )),
    }
}

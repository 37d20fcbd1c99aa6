//! From a deployment to a chain that runs.

use arrow::datatypes::SchemaRef;

use super::Deployed;
use crate::error::Result;
use crate::registry::Registry;
use crate::transform::{TransformChain, TransformEngine};

/// Fetches the modules, compiles what is not in the cache, and links them against the schema of the events. The compiling
/// takes its time on the calling thread.
///
/// # Errors
/// A module is missing, damaged or does not fit; a setting refers to what this host does not have; the storage does not
/// answer.
pub async fn load(
    engine: &TransformEngine,
    registry: &Registry,
    transforms: &[Deployed],
    input: SchemaRef,
) -> Result<TransformChain> {
    let mut loaded = Vec::with_capacity(transforms.len());
    for deployed in transforms {
        let Deployed { transform, version, sha256, .. } = deployed;
        loaded.push((deployed.resolve()?, registry.module_of(transform, version, sha256).await?));
    }
    TransformChain::link_modules(engine, &loaded, input)
}

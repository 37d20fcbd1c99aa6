//! Whether a module may be uploaded: everything about it that can be told without a deployment.
//!
//! A module of a stranger is parsed, compiled and asked to describe itself in a process of its own, which a module that
//! takes too much time or memory ends, and nothing else ([`limit_this_process`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::descriptor;
use super::engine::TransformEngine;
use super::guest_log::GuestLog;
use super::guest_metrics::GuestMetrics;
use super::instance::{Blueprint, FailureKind};
use super::module::ModuleInfo;
use crate::config::{GuestLimits, Settings};
use crate::error::{Error, Result};

/// CPU time for parsing, compiling and describing. A Python guest of 18 MB takes about 20 s.
pub const CPU: Duration = Duration::from_secs(120);

/// Memory for the same, in bytes.
pub const MEMORY: u64 = 3 << 30;

/// Looks at the module in a file, in a process of its own. Whoever starts a run brings it: the process is of the same program.
pub type Vetting = Arc<dyn Fn(&Path) -> Result<Vetted> + Send + Sync>;

/// What is known of a module that may be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vetted {
    /// What it is and says about itself.
    pub module: ModuleInfo,
    /// Why it does not describe itself without settings, or for these columns; it may do so in a deployment.
    pub remark: Option<String>,
}

/// Bounds the CPU time and memory of this process for good.
///
/// # Errors
/// The system refuses.
pub fn limit_this_process() -> Result<()> {
    let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    for (resource, limit) in [(Resource::Cpu, CPU.as_secs()), (Resource::Data, MEMORY), (Resource::Core, 0)] {
        setrlimit(resource, both(limit))
            .map_err(|error| Error::fatal("cannot limit the process that looks at the module").because(error))?;
    }
    Ok(())
}

/// Parses and compiles a module and lets it describe itself for `input`, without settings.
///
/// # Errors
/// Of kind `Config`: it is not one that may run here, and what to build instead.
pub fn vet(engine: &TransformEngine, bytes: &[u8], input: &SchemaRef) -> Result<Vetted> {
    let module = engine.load(bytes)?;
    let info = (*module.info).clone();
    let limits = GuestLimits::default();
    let log = GuestLog::new("push".into(), &limits);
    let metrics = Arc::new(GuestMetrics::new(limits.metrics));
    let (settings, gauge) = (Settings::default(), Arc::default());
    let blueprint = Blueprint { module, settings, limits, log, metrics, gauge };
    let fields = descriptor::input_fields(input);
    let fields: Vec<_> = fields.iter().map(|field| field.as_param()).collect();
    let described = blueprint.instantiate().and_then(|mut instance| instance.describe(&[], &fields));
    let remark = match described {
        Ok(described) => {
            descriptor::plan(described, input).err().map(|problems| format!("it {}", problems.join("; it ")))
        }
        Err(failure) if failure.kind == FailureKind::Failed => Some(failure.detail),
        Err(failure) => {
            return Err(Error::config(format!(
                "the module does not describe itself ({}): {}",
                failure.kind.reason(),
                failure.detail
            )));
        }
    };
    Ok(Vetted { module: info, remark })
}

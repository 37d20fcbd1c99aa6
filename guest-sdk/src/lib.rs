#![doc = include_str!("../README.md")]

// The derives name this crate `::wasmill_sdk`, here too.
extern crate self as wasmill_sdk;

#[macro_use]
pub mod module;
pub mod builders;
pub mod columns;
pub mod describe;
mod kind;
pub mod log;
mod mask;
mod memo;
pub mod metrics;
mod output;
pub mod prelude;
pub mod reads;
mod reasons;
pub mod rows;
mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod transform;
pub mod wit;
pub mod writes;

/// Vectorised search for bytes in bytes; [`Text::contains`](columns::Text::contains) takes its `Finder`.
pub use memchr::memmem;

pub use kind::{Kind, Timestamp};
pub use mask::Mask;
pub use memo::Memo;
pub use output::Outcome;
pub use reads::Reads;
pub use reasons::{ReasonText, Reasons};
pub use settings::{Prepare, Setting, SettingInfo, Settings};
pub use transform::{Columnar, Transform};
pub use wasmill_sdk_macros::{Reads, Reasons, Settings, Writes, enrich, filter, transform, validate};
pub use writes::{Label, Writes};

/// What generated code names. Not for authors.
#[doc(hidden)]
pub mod generated {
    pub use crate::settings::{check_known, take};
    pub use crate::transform::Vectorised;
}

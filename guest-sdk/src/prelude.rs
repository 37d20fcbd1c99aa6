//! `use wasmill_sdk::prelude::*;`: all that a transform usually names.

pub use std::convert::Infallible;

pub use crate::{
    Columnar, Label, Mask, Outcome, Prepare, Reads, Reasons, Setting, Settings, Timestamp, Transform, Writes, enrich,
    filter, log, metrics, transform, validate,
};

// Once more without a name: a struct that an author calls `Settings` hides the trait's name, not its methods.
pub use crate::{Reads as _, Reasons as _, Settings as _, Writes as _};

//! The contract itself: what `wit/transform.wit` says, as Rust.
//!
//! Guarantee: nothing here is written by hand, so it cannot differ from the contract. A transform seldom needs it: the
//! derives and the views of [`columns`](crate::columns) stand between. It is public for the transform that handles a
//! layout this SDK has no view of (decimals, nested columns).

#[allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit/transform.wit",
        world: "transformer",
        additional_derives: [Clone, PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_transformer",
        default_bindings_module: "wasmill_sdk::wit::generated",
        generate_unused_types: true,
    });
}

/// What the `export!` macro of the generated code looks for.
#[doc(hidden)]
pub mod generated {
    pub use super::bindings::*;
}

pub use bindings::wasmill::transform::types::{
    Batch, Bitmap, Column, Descriptor, Dictionary, Field, Output, Reason, Rejects, Selection, Values, VarBytes,
};
pub use bindings::wasmill::transform::{log, lookup, metrics};

/// The version of the contract that this SDK speaks. A module says it in its `wasmill` section.
pub const VERSION: &str = wit_version!();

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_the_contracts() {
        let contract = include_str!("../../wit/transform.wit");
        assert!(contract.contains(&format!("package wasmill:transform@{};", super::VERSION)));
    }
}

//! The contract as Rust types and calls, generated from `wit/transform.wit`.
//!
//! Parameters borrow, so that the slices of an Arrow buffer go to the guest without a copy on this side; results own
//! their lists, so that they become Arrow buffers without a copy.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "transformer",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use self::exports::wasmill::transform::transform::Guest;
pub(crate) use self::wasmill::transform::types;

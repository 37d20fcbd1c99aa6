//! User-supplied transforms: WebAssembly guests behind the contract in `wit/transform.wit`.

pub mod build;

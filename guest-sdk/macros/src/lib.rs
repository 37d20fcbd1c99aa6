//! The derives and attributes of `wasmill-sdk`.
//!
//! Guarantee: what they generate names only that crate's public items, calls the author's function once per row inside a
//! loop over columns, and leaves the function and the structs themselves as they were written. Wrong input is an error
//! at the place it is written. Use them through `wasmill_sdk::prelude`; the author's guide is that crate's front page.

mod attributes;
mod case;
mod function;
mod reads;
mod reasons;
mod settings;
#[cfg(test)]
mod tests;
mod writes;

use proc_macro::TokenStream;
use syn::{DeriveInput, Item, parse_macro_input};

/// Read rows: each field names a column. `&'a str`, `&'a [u8]`, numbers, `bool`, `Timestamp`, or an `Option` of these.
///
/// * `#[reads(rename_all = "camelCase")]` on the struct; also `snake_case`, `PascalCase`, `kebab-case`,
///   `SCREAMING_SNAKE_CASE`, `lowercase`.
/// * `#[reads(rename = "$offset")]` on a field. `$topic`, `$partition`, `$offset`, `$timestamp` and `$key` are what
///   Kafka says of a record.
/// * `#[reads(optional)]` on an `Option` field: the stream may lack the column; it is `None` then.
///
/// A null in a field that is not an `Option` rejects the row with the reason `null-input`.
#[proc_macro_derive(Reads, attributes(reads))]
pub fn derive_reads(input: TokenStream) -> TokenStream {
    finish(reads::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Write columns: each field is one, added to the stream or replaced in it.
///
/// Text, bytes, numbers, `bool`, `Timestamp`, or an `Option` of these. A field of type `&'static str` crosses as a
/// dictionary. `#[writes(rename_all = "camelCase")]` on the struct, `#[writes(rename = "..")]` on a field.
#[proc_macro_derive(Writes, attributes(writes))]
pub fn derive_writes(input: TokenStream) -> TokenStream {
    finish(writes::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Reasons to reject a row: each variant is one. Its name in kebab-case is the code, its doc comment the message.
///
/// What a variant holds (if it can be displayed) is written as detail. `#[reasons(code = "..")]` on a variant sets the
/// code.
#[proc_macro_derive(Reasons, attributes(reasons))]
pub fn derive_reasons(input: TokenStream) -> TokenStream {
    finish(reasons::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Settings: each field is one, under its own name. `bool`, numbers, `String`, or an `Option` of these.
///
/// `#[settings(default = 30.0)]` or `#[settings(rename = "..")]` on a field; `#[settings(rename_all = "..")]` on the
/// struct. A field without a default that is no `Option` must be set.
#[proc_macro_derive(Settings, attributes(settings))]
pub fn derive_settings(input: TokenStream) -> TokenStream {
    finish(settings::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Make a function the module's transform: the rows for which it says `true` are kept.
///
/// `fn(row: &R) -> bool`, or `-> Result<bool, P>` to reject with a reason. A second parameter, `&S` or `&mut S`, is made
/// from the settings.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(function::Kind::Filter, arguments, item)
}

/// Make a function the module's transform: the columns it returns are added to the row, or replaced in it.
///
/// `fn(row: &R) -> W`, or `-> Result<W, P>` to reject with a reason. A second parameter, `&S` or `&mut S`, is made from
/// the settings. `#[enrich(drops = ["userAgent"])]` removes columns.
#[proc_macro_attribute]
pub fn enrich(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(function::Kind::Enrich, arguments, item)
}

/// Make a function the module's transform: the rows for which it fails are rejected, with the reason.
///
/// `fn(row: &R) -> Result<(), P>`, where `P` derives `Reasons`. A second parameter, `&S` or `&mut S`, is made from the
/// settings.
#[proc_macro_attribute]
pub fn validate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(function::Kind::Validate, arguments, item)
}

/// Make a function (one row to many) or a struct that implements `Columnar` (vectorised) the module's transform.
///
/// `fn(row: &R) -> Vec<W>` (or `Option<W>`, an array, `impl Iterator<Item = W>`), or a `Result` of it.
/// `#[transform(drops = ["userAgent"])]` removes columns.
#[proc_macro_attribute]
pub fn transform(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(function::Kind::Transform, arguments, item)
}

fn attribute(kind: function::Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    finish(function::expand(kind, arguments.into(), parse_macro_input!(item as Item)))
}

fn finish(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.into_compile_error()).into()
}

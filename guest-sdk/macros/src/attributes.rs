//! What the derives have in common: named fields, their column names, lifetimes.

use proc_macro2::Span;
use syn::visit_mut::{self, VisitMut};
use syn::{Data, DeriveInput, Field, Fields, Ident, Lifetime, LitStr, Type};

use crate::case::Case;

/// The named fields of a struct.
pub(crate) fn named_fields<'a>(input: &'a DeriveInput, derive: &str) -> syn::Result<Vec<(&'a Ident, &'a Field)>> {
    if let Data::Struct(data) = &input.data
        && let Fields::Named(fields) = &data.fields
    {
        return Ok(fields.named.iter().filter_map(|field| field.ident.as_ref().map(|name| (name, field))).collect());
    }
    let message = format!("`{derive}` is derived for a struct with named fields: each field names a column");
    Err(syn::Error::new_spanned(&input.ident, message))
}

/// The struct's only lifetime, if it has one. Nothing else may be generic.
pub(crate) fn only_lifetime(input: &DeriveInput, derive: &str) -> syn::Result<Option<Lifetime>> {
    let generics = &input.generics;
    let mut lifetimes = generics.lifetimes();
    let lifetime = lifetimes.next().map(|param| param.lifetime.clone());
    let message = format!("a struct that derives `{derive}` may have one lifetime and no other parameters");
    match lifetimes.next() {
        Some(second) => Err(syn::Error::new_spanned(second, message)),
        None if generics.params.len() > usize::from(lifetime.is_some()) => {
            Err(syn::Error::new_spanned(&generics.params, message))
        }
        None => Ok(lifetime),
    }
}

/// `#[<attribute>(rename_all = "..")]` on a struct.
pub(crate) fn rename_all(input: &DeriveInput, attribute: &str) -> syn::Result<Option<Case>> {
    let mut case = None;
    for found in input.attrs.iter().filter(|found| found.path().is_ident(attribute)) {
        found.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename_all") {
                return Err(meta.error("known here: `rename_all = \"..\"`"));
            }
            let name: LitStr = meta.value()?.parse()?;
            let known = Case::from_name(&name.value());
            case =
                Some(known.ok_or_else(|| {
                    syn::Error::new_spanned(&name, format!("an unknown case; known: {}", Case::names()))
                })?);
            Ok(())
        })?;
    }
    Ok(case)
}

/// The name of a field's column: `rename`, or the field's own in the struct's case.
pub(crate) fn column_name(field: &Ident, rename: Option<&LitStr>, case: Option<Case>) -> syn::Result<String> {
    match rename {
        Some(name) if name.value().is_empty() => Err(syn::Error::new_spanned(name, "a name cannot be empty")),
        Some(name) => Ok(name.value()),
        None => {
            use syn::ext::IdentExt;
            let plain = field.unraw().to_string();
            Ok(case.map_or_else(|| plain.clone(), |case| case.apply(&plain)))
        }
    }
}

/// The type with each of its lifetimes (elided ones of references too) replaced.
pub(crate) fn with_lifetime(ty: &Type, lifetime: &str) -> Type {
    struct Replace(Lifetime);
    impl VisitMut for Replace {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            *lifetime = Lifetime { apostrophe: lifetime.apostrophe, ident: self.0.ident.clone() };
        }
        fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
            reference.lifetime.get_or_insert_with(|| self.0.clone());
            visit_mut::visit_type_reference_mut(self, reference);
        }
    }
    let mut ty = ty.clone();
    Replace(Lifetime::new(lifetime, Span::call_site())).visit_type_mut(&mut ty);
    ty
}

/// Is the type an `Option<T>`, as far as its spelling says? Then `T`.
pub(crate) fn option_of(ty: &Type) -> Option<&Type> {
    generic_arguments(ty, "Option").and_then(|arguments| arguments.first().copied())
}

/// The type arguments of a path that ends in `name`.
pub(crate) fn generic_arguments<'a>(ty: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    Some(
        arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                syn::GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
    )
}

//! `#[derive(Writes)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Field, Ident, LitStr, Type};

use crate::attributes::{column_name, named_fields, only_lifetime, option_of, rename_all, with_lifetime};
use crate::case::Case;

struct Column<'a> {
    field: &'a Ident,
    source: &'a Field,
    name: String,
    label: Label,
}

/// Is the field text of a fixed set, by its spelling?
enum Label {
    No,
    Plain,
    Optional,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let borrows = only_lifetime(input, "Writes")?.is_some();
    let case = rename_all(input, "writes")?;
    let columns = named_fields(input, "Writes")?
        .into_iter()
        .map(|(field, source)| column(field, source, case))
        .collect::<syn::Result<Vec<_>>>()?;
    let builders = builders(input, &columns);
    let implementation = implementation(input, &columns, borrows);
    Ok(quote! { #builders #implementation })
}

fn column<'a>(field: &'a Ident, source: &'a Field, case: Option<Case>) -> syn::Result<Column<'a>> {
    let mut rename: Option<LitStr> = None;
    for attribute in source.attrs.iter().filter(|attribute| attribute.path().is_ident("writes")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("known here: `rename = \"..\"`"));
            }
            rename = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    let label = match option_of(&source.ty) {
        _ if is_static_text(&source.ty) => Label::Plain,
        Some(inner) if is_static_text(inner) => Label::Optional,
        _ => Label::No,
    };
    Ok(Column { field, source, name: column_name(field, rename.as_ref(), case)?, label })
}

fn is_static_text(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let is_static = reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static");
    is_static && matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("str"))
}

impl Column<'_> {
    /// The type that implements `Value` in place of the field's.
    fn value(&self) -> TokenStream {
        let ty = with_lifetime(&self.source.ty, "'static");
        match self.label {
            Label::No => quote_spanned!(ty.span()=> #ty),
            Label::Plain => quote!(::wasmill_sdk::Label),
            Label::Optional => quote!(::core::option::Option<::wasmill_sdk::Label>),
        }
    }

    fn push(&self) -> TokenStream {
        let field = self.field;
        let value = match self.label {
            Label::No => quote!(row.#field),
            Label::Plain => quote!(::wasmill_sdk::Label(row.#field)),
            Label::Optional => quote!(row.#field.map(::wasmill_sdk::Label)),
        };
        quote_spanned!(self.source.ty.span()=> ::wasmill_sdk::writes::Value::append_to(#value, &mut builders.#field);)
    }
}

/// `struct PlaceBuilders`: a builder for each column.
fn builders(input: &DeriveInput, columns: &[Column<'_>]) -> TokenStream {
    let visibility = &input.vis;
    let builders = format_ident!("{}Builders", input.ident);
    let doc = format!("A builder for each column of [`{}`], for vectorised code.", input.ident);
    let fields = columns.iter().map(|column| {
        let (field, field_visibility, value) = (column.field, &column.source.vis, column.value());
        let doc = format!("Column `{}`.", column.name);
        quote! {
            #[doc = #doc]
            #field_visibility #field: <#value as ::wasmill_sdk::writes::Value>::Builder
        }
    });
    quote! {
        #[doc = #doc]
        #[derive(Debug)]
        #visibility struct #builders { #(#fields,)* }
    }
}

fn implementation(input: &DeriveInput, columns: &[Column<'_>], borrows: bool) -> TokenStream {
    let name = &input.ident;
    let builders = format_ident!("{}Builders", name);
    let (implementor, row, any_row) = match borrows {
        true => (quote!(#name<'_>), quote!(#name<'a>), quote!(#name<'_>)),
        false => (quote!(#name), quote!(#name), quote!(#name)),
    };
    let field: Vec<_> = columns.iter().map(|column| column.field).collect();
    let names = columns.iter().map(|column| &column.name);
    let values: Vec<_> = columns.iter().map(Column::value).collect();
    let pushes = columns.iter().map(Column::push);
    quote! {
        #[automatically_derived]
        impl ::wasmill_sdk::Writes for #implementor {
            type Row<'a> = #row;
            type Builders = #builders;
            const FIELDS: &'static [::wasmill_sdk::writes::WriteField] = &[#(
                ::wasmill_sdk::writes::WriteField {
                    name: #names,
                    kind: <#values as ::wasmill_sdk::writes::Value>::KIND,
                    nullable: <#values as ::wasmill_sdk::writes::Value>::NULLABLE,
                },
            )*];

            fn builders(rows: usize) -> #builders {
                #builders { #(#field: ::wasmill_sdk::builders::Builder::with_capacity(rows),)* }
            }

            #[inline]
            fn push(row: #any_row, builders: &mut #builders) {
                #(#pushes)*
            }

            fn push_gap(builders: &mut #builders) {
                #(::wasmill_sdk::builders::Builder::push_gap(&mut builders.#field);)*
            }

            fn finish(
                builders: #builders,
            ) -> ::core::result::Result<
                ::std::vec::Vec<(::wasmill_sdk::wit::Column, usize)>,
                ::std::string::String,
            > {
                ::core::result::Result::Ok(::std::vec![
                    #(::wasmill_sdk::builders::Builder::finish(builders.#field)?,)*
                ])
            }
        }
    }
}

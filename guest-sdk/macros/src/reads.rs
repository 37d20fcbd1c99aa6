//! `#[derive(Reads)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Field, Ident, Lifetime, LitStr};

use crate::attributes::{column_name, named_fields, only_lifetime, option_of, rename_all, with_lifetime};
use crate::case::Case;

struct Column<'a> {
    field: &'a Ident,
    source: &'a Field,
    name: String,
    optional: bool,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let lifetime = only_lifetime(input, "Reads")?;
    let case = rename_all(input, "reads")?;
    let columns = named_fields(input, "Reads")?
        .into_iter()
        .map(|(field, source)| column(field, source, case))
        .collect::<syn::Result<Vec<_>>>()?;
    let views = views(input, &columns, lifetime.as_ref());
    let implementation = implementation(input, &columns, lifetime.is_some());
    Ok(quote! { #views #implementation })
}

fn column<'a>(field: &'a Ident, source: &'a Field, case: Option<Case>) -> syn::Result<Column<'a>> {
    let mut rename: Option<LitStr> = None;
    let mut optional = false;
    for attribute in source.attrs.iter().filter(|attribute| attribute.path().is_ident("reads")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                rename = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("optional") {
                optional = true;
            } else {
                return Err(meta.error("known here: `rename = \"..\"`, `optional`"));
            }
            Ok(())
        })?;
    }
    if optional && option_of(&source.ty).is_none() {
        let message = "a column that the stream may lack is read by an `Option`";
        return Err(syn::Error::new_spanned(&source.ty, message));
    }
    Ok(Column { field, source, name: column_name(field, rename.as_ref(), case)?, optional })
}

/// `struct PlayColumns<'a>`: a view of each column.
fn views(input: &DeriveInput, columns: &[Column<'_>], lifetime: Option<&Lifetime>) -> TokenStream {
    let visibility = &input.vis;
    let views = format_ident!("{}Columns", input.ident);
    let doc = format!("The columns of [`{}`], for vectorised code.", input.ident);
    let lifetime = lifetime.map_or_else(|| quote!('batch), |lifetime| quote!(#lifetime));
    let fields = columns.iter().map(|column| {
        let (field, ty, field_visibility) = (column.field, &column.source.ty, &column.source.vis);
        let doc = format!("Column `{}`.", column.name);
        quote_spanned! {ty.span()=>
            #[doc = #doc]
            #field_visibility #field: <#ty as ::wasmill_sdk::columns::Cell<#lifetime>>::Column
        }
    });
    quote! {
        #[doc = #doc]
        #[derive(Clone, Copy)]
        #[allow(dead_code)]
        #visibility struct #views<#lifetime> {
            #(#fields,)*
            #[doc(hidden)]
            marker: ::core::marker::PhantomData<&#lifetime ()>,
        }
    }
}

fn implementation(input: &DeriveInput, columns: &[Column<'_>], borrows: bool) -> TokenStream {
    let name = &input.ident;
    let views = format_ident!("{}Columns", name);
    let (implementor, row) = match borrows {
        true => (quote!(#name<'_>), quote!(#name<'a>)),
        false => (quote!(#name), quote!(#name)),
    };
    let fields = columns.iter().map(|column| {
        let (name, optional) = (&column.name, column.optional);
        let ty = with_lifetime(&column.source.ty, "'static");
        quote_spanned! {column.source.ty.span()=>
            ::wasmill_sdk::reads::ReadField {
                name: #name,
                kind: <#ty as ::wasmill_sdk::columns::Cell<'static>>::KIND,
                nullable: <#ty as ::wasmill_sdk::columns::Cell<'static>>::NULLABLE,
                optional: #optional,
            }
        }
    });
    let opened = columns.iter().map(|column| {
        let field = column.field;
        let ty = with_lifetime(&column.source.ty, "'a");
        quote_spanned!(column.source.ty.span()=> #field: columns.column::<#ty>()?)
    });
    let values = columns.iter().map(|column| {
        let field = column.field;
        let ty = with_lifetime(&column.source.ty, "'a");
        quote_spanned! {column.source.ty.span()=>
            #field: <#ty as ::wasmill_sdk::columns::Cell<'a>>::get(&columns.#field, row)
        }
    });
    let names = columns.iter().map(|column| column.field);
    quote! {
        // Vectorised code reads the columns and not the rows: that is no reason for a warning about an unused field.
        const _: fn(&#implementor) = |row| {
            let _ = (#(&row.#names,)*);
        };

        #[automatically_derived]
        impl ::wasmill_sdk::Reads for #implementor {
            type Row<'a> = #row;
            type Columns<'a> = #views<'a>;
            const FIELDS: &'static [::wasmill_sdk::reads::ReadField] = &[#(#fields,)*];

            fn open<'a>(
                columns: &mut ::wasmill_sdk::reads::Opener<'a, '_>,
            ) -> ::core::result::Result<Self::Columns<'a>, ::std::string::String> {
                ::core::result::Result::Ok(#views { #(#opened,)* marker: ::core::marker::PhantomData })
            }

            #[inline]
            fn row<'a>(columns: &Self::Columns<'a>, row: usize) -> Self::Row<'a> {
                #name { #(#values,)* }
            }
        }
    }
}

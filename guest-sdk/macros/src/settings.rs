//! `#[derive(Settings)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Expr, ExprLit, Field, Ident, Lit, LitStr, Type};

use crate::attributes::{column_name, named_fields, option_of, rename_all};
use crate::case::Case;

struct Setting<'a> {
    field: &'a Ident,
    ty: &'a Type,
    name: String,
    default: Option<Expr>,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&input.generics, "settings own their values: no parameters"));
    }
    let case = rename_all(input, "settings")?;
    let settings = named_fields(input, "Settings")?
        .into_iter()
        .map(|(field, source)| setting(field, source, case))
        .collect::<syn::Result<Vec<_>>>()?;
    let name = &input.ident;
    let known = settings.iter().map(Setting::known);
    let takes = settings.iter().map(Setting::take);
    let fields: Vec<_> = settings.iter().map(|setting| setting.field).collect();
    Ok(quote! {
        #[automatically_derived]
        impl ::wasmill_sdk::Settings for #name {
            const KNOWN: &'static [::wasmill_sdk::SettingInfo] = &[#(#known,)*];

            fn parse(
                pairs: &[(::std::string::String, ::std::string::String)],
                problems: &mut ::wasmill_sdk::describe::Problems,
            ) -> ::core::option::Option<Self> {
                ::wasmill_sdk::generated::check_known(pairs, Self::KNOWN, problems);
                #(#takes)*
                ::core::option::Option::Some(#name { #(#fields: #fields?,)* })
            }
        }

        #[automatically_derived]
        impl ::wasmill_sdk::Prepare for #name {
            type Settings = #name;

            fn prepare(settings: #name) -> ::core::result::Result<#name, ::std::string::String> {
                ::core::result::Result::Ok(settings)
            }
        }
    })
}

fn setting<'a>(field: &'a Ident, source: &'a Field, case: Option<Case>) -> syn::Result<Setting<'a>> {
    let mut rename: Option<LitStr> = None;
    let mut default = None;
    for attribute in source.attrs.iter().filter(|attribute| attribute.path().is_ident("settings")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                rename = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("default") {
                default = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("known here: `default = ..`, `rename = \"..\"`"));
            }
            Ok(())
        })?;
    }
    Ok(Setting { field, ty: &source.ty, name: column_name(field, rename.as_ref(), case)?, default })
}

impl Setting<'_> {
    fn known(&self) -> TokenStream {
        let (name, ty) = (&self.name, self.ty);
        let default = match &self.default {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
                let shown = format!("{:?}", text.value());
                quote!(::core::option::Option::Some(#shown))
            }
            Some(expression) => {
                let shown = expression.to_token_stream().to_string().replace(' ', "");
                quote!(::core::option::Option::Some(#shown))
            }
            None if option_of(ty).is_some() => quote!(::core::option::Option::Some("")),
            None => quote!(::core::option::Option::None),
        };
        quote_spanned! {ty.span()=>
            ::wasmill_sdk::SettingInfo {
                name: #name,
                wanted: <#ty as ::wasmill_sdk::Setting>::WANTED,
                default: #default,
            }
        }
    }

    fn take(&self) -> TokenStream {
        let (field, ty, name) = (self.field, self.ty, &self.name);
        let default = match &self.default {
            // A text default is written as a literal, for a `String` as for anything that a `&str` becomes.
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
                quote!(::core::option::Option::Some(::core::convert::From::from(#text)))
            }
            Some(expression) => quote_spanned!(expression.span()=> ::core::option::Option::Some(#expression)),
            None => quote!(::core::option::Option::None),
        };
        quote_spanned! {ty.span()=>
            let #field = ::wasmill_sdk::generated::take::<#ty>(pairs, #name, #default, problems);
        }
    }
}

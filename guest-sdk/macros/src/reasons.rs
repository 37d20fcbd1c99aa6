//! `#[derive(Reasons)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Expr, Fields, Lit, LitStr, Meta, Variant};

use crate::case::Case;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        let message = "`Reasons` is derived for an enum: each variant is a reason";
        return Err(syn::Error::new_spanned(&input.ident, message));
    };
    let mut texts = Vec::new();
    let mut indices = Vec::new();
    let mut details = Vec::new();
    let mut codes: Vec<String> = Vec::new();
    for (at, variant) in data.variants.iter().enumerate() {
        let code = code(variant)?;
        if codes.contains(&code) {
            return Err(syn::Error::new_spanned(variant, format!("the code `{code}` stands for another variant too")));
        }
        let message = message(variant)?;
        texts.push(quote!(::wasmill_sdk::ReasonText { code: #code, message: #message }));
        let at = u16::try_from(at).map_err(|_| syn::Error::new_spanned(variant, "too many reasons"))?;
        let name = &variant.ident;
        indices.push(quote!(Self::#name { .. } => #at));
        details.push(detail(variant));
        codes.push(code);
    }
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::wasmill_sdk::Reasons for #name #arguments #bounds {
            const REASONS: &'static [::wasmill_sdk::ReasonText] = &[#(#texts,)*];

            fn index(&self) -> u16 {
                match *self { #(#indices,)* }
            }

            #[allow(unused_variables)]
            fn detail(&self, out: &mut ::std::string::String) {
                match self { #(#details,)* }
            }
        }
    })
}

fn code(variant: &Variant) -> syn::Result<String> {
    let mut code: Option<LitStr> = None;
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("reasons")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("code") {
                return Err(meta.error("known here: `code = \"..\"`"));
            }
            code = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    let Some(code) = code else { return Ok(Case::Kebab.apply(&variant.ident.to_string())) };
    let text = code.value();
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if text.is_empty() || !text.chars().all(plain) {
        let message = "a code is a metric label: small letters, digits and hyphens";
        return Err(syn::Error::new_spanned(code, message));
    }
    Ok(text)
}

/// The first paragraph of the doc comment, in one line.
fn message(variant: &Variant) -> syn::Result<String> {
    let lines: Vec<String> = variant.attrs.iter().filter_map(doc_line).collect();
    let lines = lines.iter().map(|line| line.trim());
    let paragraph: Vec<&str> = lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
    if paragraph.is_empty() {
        let message = "a reason needs a doc comment: it is the message that operators read";
        return Err(syn::Error::new_spanned(variant, message));
    }
    Ok(paragraph.join(" "))
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(literal) if pair.path.is_ident("doc") => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// What a variant holds: `12.5` or `12.5, 7` of a tuple, `seconds=12.5` of named fields.
fn detail(variant: &Variant) -> TokenStream {
    let name = &variant.ident;
    match &variant.fields {
        Fields::Unit => quote!(Self::#name => {}),
        Fields::Unnamed(fields) => {
            let bound: Vec<_> = (0..fields.unnamed.len()).map(|at| format_ident!("field{at}")).collect();
            let format = vec!["{}"; bound.len()].join(", ");
            quote!(Self::#name(#(#bound),*) => out.push_str(&::std::format!(#format, #(#bound),*)))
        }
        Fields::Named(fields) => {
            let bound: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
            let format = bound.iter().map(|field| format!("{field}={{}}")).collect::<Vec<_>>().join(", ");
            quote!(Self::#name { #(#bound),* } => out.push_str(&::std::format!(#format, #(#bound),*)))
        }
    }
}

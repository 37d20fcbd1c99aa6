//! `#[filter]`, `#[enrich]`, `#[validate]`, `#[transform]`.
//!
//! For `fn keep`, they add a braced struct `keep {}`: a struct with braces is only a type, so the function keeps its
//! name as a value, and `keep` the type is the transform. Row types stand in expressions only, where their lifetimes
//! are inferred, so authors write `&Play`, not `&Play<'_>`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{
    Expr, ExprArray, ExprLit, FnArg, GenericArgument, GenericParam, Item, ItemFn, ItemStruct, Lit, LitStr,
    PathArguments, ReturnType, Type, TypeParamBound,
};

use crate::attributes::{generic_arguments, with_lifetime};

/// Which attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Filter,
    Enrich,
    Validate,
    Transform,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Filter => "filter",
            Kind::Enrich => "enrich",
            Kind::Validate => "validate",
            Kind::Transform => "transform",
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Kind::Filter => "a filter is `fn(row: &Row) -> bool`, or `-> Result<bool, Problem>`",
            Kind::Enrich => "an enrichment is `fn(row: &Row) -> Columns`, or `-> Result<Columns, Problem>`",
            Kind::Validate => "a validation is `fn(row: &Row) -> Result<(), Problem>`",
            Kind::Transform => "a transform is `fn(row: &Row) -> Vec<Columns>`, or `-> Result<Vec<Columns>, Problem>`",
        }
    }
}

pub(crate) fn expand(kind: Kind, arguments: TokenStream, item: Item) -> syn::Result<TokenStream> {
    let drops = parse_drops.parse2(arguments)?;
    match item {
        Item::Fn(function) => expand_function(kind, &drops, &function),
        Item::Struct(item) if kind == Kind::Transform => Ok(expand_struct(&drops, &item)),
        other => Err(syn::Error::new_spanned(other, kind.wanted())),
    }
}

/// Nothing, or `drops = ["a", "b"]`.
fn parse_drops(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    if input.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = "known here: `drops = [\"column\", ..]`";
    let key: syn::Ident = input.parse()?;
    if key != "drops" {
        return Err(syn::Error::new_spanned(key, wanted));
    }
    input.parse::<syn::Token![=]>()?;
    let list = ExprArray::parse(input)?;
    let text = |element: &Expr| match element {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(syn::Error::new_spanned(other, wanted)),
    };
    list.elems.iter().map(text).collect()
}

/// What the author's signature says.
struct Signature {
    row: Type,
    /// The second parameter's type, behind its reference.
    context: Option<Type>,
    writes: Option<Type>,
    reasons: Option<Type>,
}

fn signature(kind: Kind, function: &ItemFn) -> syn::Result<Signature> {
    let signature = &function.sig;
    let wrong = |at: &dyn quote::ToTokens| syn::Error::new_spanned(at, kind.wanted());
    if let Some(generic) = signature.generics.params.iter().find(|param| !matches!(param, GenericParam::Lifetime(_))) {
        return Err(syn::Error::new_spanned(generic, "a transform is not generic: it is compiled as it stands"));
    }
    if let Some(asyncness) = &signature.asyncness {
        return Err(syn::Error::new_spanned(asyncness, "a transform does not wait for anything: drop `async`"));
    }
    let mut parameters = signature.inputs.iter();
    let row = parameters.next().ok_or_else(|| wrong(&signature.ident))?;
    let row = referenced(row).ok_or_else(|| wrong(row))?;
    let context = match parameters.next() {
        None => None,
        Some(context) => Some(referenced(context).ok_or_else(|| {
            syn::Error::new_spanned(
                context,
                "the second parameter is `&Settings`, or `&mut` what is prepared from them",
            )
        })?),
    };
    if let Some(third) = parameters.next() {
        return Err(syn::Error::new_spanned(third, "a transform has a row and, if it likes, settings: nothing more"));
    }
    let ReturnType::Type(_, returned) = &signature.output else { return Err(wrong(&signature.ident)) };
    let (value, reasons) = match generic_arguments(returned, "Result").as_deref() {
        Some([value, reasons]) => (*value, Some(with_lifetime(reasons, "'_"))),
        _ => (&**returned, None),
    };
    let writes = match kind {
        Kind::Filter if !is_path(value, "bool") => return Err(wrong(returned)),
        Kind::Validate if reasons.is_none() => return Err(wrong(returned)),
        Kind::Filter | Kind::Validate => None,
        Kind::Enrich => Some(with_lifetime(value, "'_")),
        Kind::Transform => Some(with_lifetime(item_type(value).ok_or_else(|| wrong(returned))?, "'_")),
    };
    Ok(Signature { row: with_lifetime(&row, "'_"), context, writes, reasons })
}

fn referenced(parameter: &FnArg) -> Option<Type> {
    match parameter {
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(reference) => Some((*reference.elem).clone()),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

fn is_path(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident(name))
}

/// `W` of `Vec<W>`, `Option<W>`, `[W; 3]`, `impl Iterator<Item = W>`.
fn item_type(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Array(array) => Some(&array.elem),
        Type::ImplTrait(iterator) => iterator.bounds.iter().find_map(|bound| {
            let TypeParamBound::Trait(bound) = bound else { return None };
            let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments else { return None };
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
                _ => None,
            })
        }),
        Type::Path(path) => match &path.path.segments.last()?.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    }
}

fn expand_function(kind: Kind, drops: &[LitStr], function: &ItemFn) -> syn::Result<TokenStream> {
    let Signature { row, context, writes, reasons } = signature(kind, function)?;
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let call = match &context {
        Some(_) => quote_spanned!(name.span()=> #name(row, context)),
        None => quote_spanned!(name.span()=> #name(row)),
    };
    let call = match &reasons {
        Some(_) => call,
        None => quote!(::core::result::Result::Ok(#call)),
    };
    let context = context.map_or_else(|| quote!(()), |context| quote!(#context));
    let reasons = reasons.map_or_else(|| quote!(::core::convert::Infallible), |reasons| quote!(#reasons));
    let run = syn::Ident::new(kind.name(), name.span());
    let arguments = match &writes {
        Some(writes) => quote!(#row, #writes, #reasons),
        None => quote!(#row, #reasons),
    };
    let writes = writes.map_or_else(|| quote!(()), |writes| quote_spanned!(writes.span()=> #writes));
    let closure = match kind {
        // A value that borrows from the row's columns cannot leave a closure over all lifetimes: it is written inside.
        Kind::Enrich => quote! {
            |row, builders| #call.map(|values| <#writes as ::wasmill_sdk::Writes>::push(values, builders))
        },
        Kind::Transform => quote! {
            |row, builders| #call.map(|rows| ::wasmill_sdk::rows::push_all::<#writes>(rows, builders))
        },
        Kind::Filter | Kind::Validate => quote!(|row| #call),
    };
    let doc = format!("The transform that calls the function [`{name}`]({name}()) for each row.");
    Ok(quote! {
        #function

        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #visibility struct #name {
            context: #context,
            binding: ::wasmill_sdk::reads::Binding,
        }

        #[automatically_derived]
        impl ::wasmill_sdk::Transform for #name {
            fn describe(
                settings: &[(::std::string::String, ::std::string::String)],
                input: &[::wasmill_sdk::wit::Field],
            ) -> ::core::result::Result<::wasmill_sdk::wit::Descriptor, ::std::string::String> {
                ::wasmill_sdk::describe::describe::<#row, #writes, #reasons, #context>(settings, input, &[#(#drops),*])
            }

            fn start(
                settings: &[(::std::string::String, ::std::string::String)],
                reads: &[::wasmill_sdk::wit::Field],
            ) -> ::core::result::Result<Self, ::std::string::String> {
                let (context, binding) = ::wasmill_sdk::rows::start::<#row, #reasons, #context>(settings, reads)?;
                ::core::result::Result::Ok(Self { context, binding })
            }

            fn process(
                &mut self,
                batch: &::wasmill_sdk::wit::Batch,
            ) -> ::core::result::Result<::wasmill_sdk::wit::Output, ::std::string::String> {
                #[allow(unused_variables)]
                let Self { context, binding } = self;
                ::wasmill_sdk::rows::#run::<#arguments>(binding, batch, #closure)
            }
        }

        ::wasmill_sdk::export!(#name);
    })
}

fn expand_struct(drops: &[LitStr], item: &ItemStruct) -> TokenStream {
    let (name, visibility) = (&item.ident, &item.vis);
    // A type of its own implements `Transform`: the author's struct knows nothing of settings as text or of places.
    let module = quote::format_ident!("{}Transform", name);
    let doc = format!("The transform that hands the columns of each batch to [`{name}`].");
    quote! {
        #item

        #[doc = #doc]
        #visibility struct #module(::wasmill_sdk::generated::Vectorised<#name>);

        #[automatically_derived]
        impl ::wasmill_sdk::Transform for #module {
            fn describe(
                settings: &[(::std::string::String, ::std::string::String)],
                input: &[::wasmill_sdk::wit::Field],
            ) -> ::core::result::Result<::wasmill_sdk::wit::Descriptor, ::std::string::String> {
                ::wasmill_sdk::generated::Vectorised::<#name>::describe(settings, input, &[#(#drops),*])
            }

            fn start(
                settings: &[(::std::string::String, ::std::string::String)],
                reads: &[::wasmill_sdk::wit::Field],
            ) -> ::core::result::Result<Self, ::std::string::String> {
                ::wasmill_sdk::generated::Vectorised::start(settings, reads).map(Self)
            }

            fn process(
                &mut self,
                batch: &::wasmill_sdk::wit::Batch,
            ) -> ::core::result::Result<::wasmill_sdk::wit::Output, ::std::string::String> {
                self.0.process(batch)
            }
        }

        ::wasmill_sdk::export!(#module);
    }
}

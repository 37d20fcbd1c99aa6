//! What authors are told when they write something wrong.

use proc_macro2::TokenStream;
use syn::{DeriveInput, Item, parse_quote};

use crate::function::{Kind, expand};

fn says(result: syn::Result<TokenStream>, expected: &str) {
    match result {
        Ok(code) => panic!("expected `{expected}`, but this was generated: {code}"),
        Err(error) => assert!(error.to_string().contains(expected), "expected `{expected}`, found `{error}`"),
    }
}

#[test]
fn functions_of_another_shape_are_refused() {
    let cases: [(Kind, Item, &str); 13] = [
        (
            Kind::Filter,
            parse_quote!(
                fn f(row: &Row) -> i32 {
                    1
                }
            ),
            "a filter is `fn(row: &Row) -> bool`",
        ),
        (
            Kind::Filter,
            parse_quote!(
                fn f(row: Row) -> bool {
                    true
                }
            ),
            "a filter is `fn(row: &Row) -> bool`",
        ),
        (
            Kind::Filter,
            parse_quote!(
                fn f() -> bool {
                    true
                }
            ),
            "a filter is `fn(row: &Row) -> bool`",
        ),
        (
            Kind::Filter,
            parse_quote!(
                fn f(row: &Row) {}
            ),
            "a filter is `fn(row: &Row) -> bool`",
        ),
        (
            Kind::Filter,
            parse_quote!(
                fn f(row: &Row, s: S) -> bool {
                    true
                }
            ),
            "the second parameter is `&Settings`",
        ),
        (
            Kind::Filter,
            parse_quote!(
                fn f(row: &Row, s: &S, t: &T) -> bool {
                    true
                }
            ),
            "nothing more",
        ),
        (
            Kind::Filter,
            parse_quote!(
                fn f<T>(row: &Row<T>) -> bool {
                    true
                }
            ),
            "is not generic",
        ),
        (
            Kind::Filter,
            parse_quote!(
                async fn f(row: &Row) -> bool {
                    true
                }
            ),
            "drop `async`",
        ),
        (
            Kind::Filter,
            parse_quote!(
                struct F;
            ),
            "a filter is",
        ),
        (
            Kind::Validate,
            parse_quote!(
                fn f(row: &Row) -> bool {
                    true
                }
            ),
            "a validation is",
        ),
        (
            Kind::Enrich,
            parse_quote!(
                fn f(row: &Row) {}
            ),
            "an enrichment is",
        ),
        (
            Kind::Transform,
            parse_quote!(
                fn f(row: &Row) -> Word {
                    word
                }
            ),
            "a transform is",
        ),
        (
            Kind::Transform,
            parse_quote!(
                enum E {}
            ),
            "a transform is",
        ),
    ];
    for (kind, item, expected) in cases {
        says(expand(kind, TokenStream::new(), item), expected);
    }
}

#[test]
fn arguments_are_checked() {
    let item: Item = parse_quote!(
        fn f(row: &Row) -> W {
            w
        }
    );
    for wrong in [quote::quote!(drop = ["a"]), quote::quote!(drops = [a]), quote::quote!(drops)] {
        assert!(expand(Kind::Enrich, wrong, item.clone()).is_err());
    }
    assert!(expand(Kind::Enrich, quote::quote!(drops = ["a", "b"]), item).is_ok());
}

#[test]
fn structs_of_another_shape_are_refused() {
    type Derive = fn(&DeriveInput) -> syn::Result<TokenStream>;
    let cases: [(Derive, DeriveInput, &str); 15] = [
        (
            crate::reads::derive,
            parse_quote!(
                struct R(i32);
            ),
            "named fields",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                enum R {}
            ),
            "named fields",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                struct R<'a, 'b> {
                    a: &'a str,
                    b: &'b str,
                }
            ),
            "one lifetime",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                struct R<T> {
                    a: T,
                }
            ),
            "one lifetime",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                #[reads(rename_all = "camel")]
                struct R {
                    a: i32,
                }
            ),
            "known: `camelCase`",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                struct R {
                    #[reads(name = "b")]
                    a: i32,
                }
            ),
            "known here: `rename",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                struct R {
                    #[reads(rename = "")]
                    a: i32,
                }
            ),
            "cannot be empty",
        ),
        (
            crate::reads::derive,
            parse_quote!(
                struct R {
                    #[reads(optional)]
                    a: i32,
                }
            ),
            "is read by an `Option`",
        ),
        (
            crate::writes::derive,
            parse_quote!(
                struct W {
                    #[writes(optional)]
                    a: i32,
                }
            ),
            "known here: `rename",
        ),
        (
            crate::settings::derive,
            parse_quote!(
                struct S<'a> {
                    a: &'a str,
                }
            ),
            "own their values",
        ),
        (
            crate::settings::derive,
            parse_quote!(
                struct S {
                    #[settings(max = 3)]
                    a: i32,
                }
            ),
            "known here: `default",
        ),
        (
            crate::reasons::derive,
            parse_quote!(
                struct P;
            ),
            "derived for an enum",
        ),
        (
            crate::reasons::derive,
            parse_quote!(
                enum P {
                    A,
                }
            ),
            "needs a doc comment",
        ),
        (
            crate::reasons::derive,
            parse_quote!(
                enum P {
                    /// A.
                    #[reasons(code = "No Good")]
                    A,
                }
            ),
            "small letters, digits and hyphens",
        ),
        (
            crate::reasons::derive,
            parse_quote!(
                enum P {
                    /// A.
                    A,
                    /// B.
                    #[reasons(code = "a")]
                    B,
                }
            ),
            "stands for another variant",
        ),
    ];
    for (derive, input, expected) in cases {
        says(derive(&input), expected);
    }
}

#[test]
fn a_message_is_the_first_paragraph_in_one_line() {
    let input: DeriveInput = parse_quote! {
        enum P {
            /// The first line,
            /// and the second.
            ///
            /// Not this.
            TooLong,
        }
    };
    let code = crate::reasons::derive(&input).map(|code| code.to_string()).unwrap_or_default();
    assert!(code.contains("\"too-long\"") && code.contains("\"The first line, and the second.\""), "{code}");
}

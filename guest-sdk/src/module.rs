//! A transform as a module: the exported functions, the instance behind them, and the `wasmill` section.
//!
//! Guarantee: a panic's text reaches the host's log before the module traps. Knows nothing of a particular transform.

use std::cell::RefCell;
use std::sync::Once;

use crate::transform::Transform;
use crate::wit::{Batch, Descriptor, Field, Output};

/// The one instance of a module.
pub type Instance<T> = RefCell<Option<T>>;

/// The exported `describe`.
///
/// # Errors
/// As [`Transform::describe`].
pub fn describe<T: Transform>(settings: &[(String, String)], input: &[Field]) -> Result<Descriptor, String> {
    report_panics();
    T::describe(settings, input)
}

/// The exported `start`.
///
/// # Errors
/// As [`Transform::start`].
pub fn start<T: Transform>(
    instance: &Instance<T>,
    settings: &[(String, String)],
    reads: &[Field],
) -> Result<(), String> {
    report_panics();
    *instance.borrow_mut() = Some(T::start(settings, reads)?);
    Ok(())
}

/// The exported `process`.
///
/// # Errors
/// As [`Transform::process`], or `start` was not called.
pub fn process<T: Transform>(instance: &Instance<T>, batch: &Batch) -> Result<Output, String> {
    match instance.borrow_mut().as_mut() {
        Some(transform) => transform.process(batch),
        None => Err("`process` was called before `start`".to_owned()),
    }
}

/// A panic ends in a trap without a text; so write the text to the log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| crate::log::write(crate::log::Level::Error, &panic.to_string())));
    });
}

/// The contract's version, as a literal.
#[doc(hidden)]
#[macro_export]
macro_rules! wit_version {
    () => {
        "0.1.0"
    };
}

/// Make a [`Transform`] the one that this module exports. The attributes do it; needed only for a hand-written one.
///
/// Native builds export nothing.
#[macro_export]
macro_rules! export {
    ($transform:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            const IDENTITY: &str = ::core::concat!(
                "{\"name\":\"",
                ::core::env!("CARGO_PKG_NAME"),
                "\",\"version\":\"",
                ::core::env!("CARGO_PKG_VERSION"),
                "\",\"wit\":\"",
                $crate::wit_version!(),
                "\"}",
            );

            #[unsafe(link_section = "wasmill")]
            #[used]
            static SECTION: [u8; IDENTITY.len()] = match IDENTITY.as_bytes().first_chunk() {
                ::core::option::Option::Some(bytes) => *bytes,
                ::core::option::Option::None => ::core::panic!(),
            };

            ::std::thread_local! {
                static INSTANCE: $crate::module::Instance<$transform> =
                    const { ::std::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Module;

            impl $crate::wit::generated::exports::wasmill::transform::transform::Guest for Module {
                fn describe(
                    settings: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    input: ::std::vec::Vec<$crate::wit::Field>,
                ) -> ::core::result::Result<$crate::wit::Descriptor, ::std::string::String> {
                    $crate::module::describe::<$transform>(&settings, &input)
                }

                fn start(
                    settings: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    reads: ::std::vec::Vec<$crate::wit::Field>,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    INSTANCE.with(|instance| $crate::module::start(instance, &settings, &reads))
                }

                fn process(
                    batch: $crate::wit::Batch,
                ) -> ::core::result::Result<$crate::wit::Output, ::std::string::String> {
                    INSTANCE.with(|instance| $crate::module::process(instance, &batch))
                }
            }

    $crate::wit::generated::export_transformer!(Module with_types_in $crate::wit::generated);
        };
    };
}

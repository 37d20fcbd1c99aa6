//! Log lines, written by the host with the transform's name. The host limits their rate and size.
//!
//! Natively they go to standard error, so `cargo test` shows them for a test that fails.
//!
//! ```
//! use wasmill_sdk::log;
//!
//! log::info!("{} rules loaded", 12);
//! ```

pub use crate::wit::log::Level;
#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// Will a line of this level be written? Ask before doing work only for a log line; the macros do.
pub fn enabled(level: Level) -> bool {
    #[cfg(target_arch = "wasm32")]
    return crate::wit::log::enabled(level);
    #[cfg(not(target_arch = "wasm32"))]
    matches!(level, Level::Info | Level::Warn | Level::Error)
}

/// Write one line. The macros are shorter.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::wit::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Format and write a line, unless its level is off.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($argument:tt)*) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write($crate::log::Level::$level, &::std::format!($($argument)*));
        }
    };
}

/// Write a line for following single steps. Takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace {
    ($($argument:tt)*) => {
        $crate::__log!(Trace, $($argument)*)
    };
}

/// Write a line for debugging. Takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($argument:tt)*) => {
        $crate::__log!(Debug, $($argument)*)
    };
}

/// Write a line for the operator. Takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($argument:tt)*) => {
        $crate::__log!(Info, $($argument)*)
    };
}

/// Write a warning: unexpected, but nothing is lost. Takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($argument:tt)*) => {
        $crate::__log!(Warn, $($argument)*)
    };
}

/// Write an error: an operator is needed. Takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($argument:tt)*) => {
        $crate::__log!(Error, $($argument)*)
    };
}

//! The one error type of the library.
//!
//! Errors are classed by what the caller can do about them ([`ErrorKind`]); the match on the class stands once, in
//! `pipeline.rs`. Bad *data* is never an error: it is a value, a dead letter.

use std::error::Error as StdError;
use std::fmt;

use crate::kerberos;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller of a failed operation can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user's file, flags or module are wrong. Exit code 2; nothing was started.
    Config,
    /// A guest failed: the deployment's policy says what follows.
    Guest,
    /// May pass by itself: tried again, a bounded number of times.
    Transient,
    /// An operator is needed. Exit code 1.
    Fatal,
}

/// An error: what failed, of which kind, what to do, and why.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what could not be done, in lower case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The user's input is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// A guest failed.
    pub fn guest(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Guest, message)
    }

    /// May pass by itself.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// An operator is needed.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fatal, message)
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, with what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user can do, if there is something better than reading the causes.
    pub fn what_to_do(&self) -> Option<&str> {
        // Why there is no ticket says more than what could not be done without it.
        kerberos::advice_on(self).map(|advice| advice.hint).or(self.hint.as_deref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

//! What a module exports: one transform, described once and then fed batches.
//!
//! Guarantee: the attribute macros make an implementation of [`Transform`] and nothing else, so a transform runs the
//! same way in a module, in a native program and under [`testing`](crate::testing).

use crate::describe::describe;
use crate::output::Outcome;
use crate::reads::{Binding, Opened, Reads};
use crate::reasons::Reasons;
use crate::rows;
use crate::settings::{Prepare, Settings};
use crate::wit::{Batch, Descriptor, Field, Output};
use crate::writes::Writes;

/// A transform, as the contract has it. The attributes implement it: `#[filter]` on `fn keep` makes a type of the same
/// name, `keep`, which is the transform.
///
/// Implement it by hand only for what they cannot say, such as column names that come from settings; then
/// [`export!`](crate::export) exports it.
pub trait Transform: Sized {
    /// Say what is read, written, dropped and rejected. Pure.
    ///
    /// # Errors
    /// Everything that does not fit, one problem to a line.
    fn describe(settings: &[(String, String)], input: &[Field]) -> Result<Descriptor, String>;

    /// Make an instance; `reads` are the fields behind `descriptor.reads`.
    ///
    /// # Errors
    /// The instance cannot be made.
    fn start(settings: &[(String, String)], reads: &[Field]) -> Result<Self, String>;

    /// One batch.
    ///
    /// # Errors
    /// The whole batch failed.
    fn process(&mut self, batch: &Batch) -> Result<Output, String>;
}

/// A vectorised transform: it sees whole columns, not rows. Put `#[transform]` on the struct and implement this.
///
/// ```
/// use wasmill_sdk::memmem::Finder;
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Reads)]
/// #[reads(rename_all = "camelCase")]
/// struct Agent<'a> {
///     user_agent: Option<&'a str>,
/// }
///
/// /// Drops the events of bots.
/// #[transform]
/// struct NoBots {
///     bot: Finder<'static>,
/// }
///
/// impl Columnar for NoBots {
///     type Settings = ();
///     type Reads = Agent<'static>;
///     type Writes = ();
///     type Reasons = Infallible;
///
///     fn start((): ()) -> Result<NoBots, String> {
///         Ok(NoBots { bot: Finder::new("bot") })
///     }
///
///     fn process(&mut self, agents: &AgentColumns<'_>, out: &mut Outcome<()>) -> Result<(), String> {
///         out.keep(!agents.user_agent.contains(&self.bot));
///         Ok(())
///     }
/// }
/// ```
pub trait Columnar: Sized {
    /// A struct that derives [`Settings`]; `()` for none.
    type Settings: Settings;
    /// A struct that derives [`Reads`]; its columns are what `process` gets.
    type Reads: Reads;
    /// A struct that derives [`Writes`]; `()` for none.
    type Writes: Writes;
    /// An enum that derives [`Reasons`]; `Infallible` for none.
    type Reasons: Reasons;

    /// Make an instance.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn start(settings: Self::Settings) -> Result<Self, String>;

    /// One batch: fill `out`. Rows with a null in a required column are rejected already; what they hold means nothing.
    ///
    /// # Errors
    /// The whole batch failed.
    fn process(
        &mut self,
        columns: &<Self::Reads as Reads>::Columns<'_>,
        out: &mut Outcome<Self::Writes>,
    ) -> Result<(), String>;
}

/// A [`Columnar`] transform with its columns' places. For the code that `#[transform]` generates.
#[doc(hidden)]
#[derive(Debug)]
pub struct Vectorised<T> {
    transform: T,
    binding: Binding,
}

/// Makes a columnar transform from its settings.
struct Prepared<T>(T);

impl<T: Columnar> Prepare for Prepared<T> {
    type Settings = T::Settings;

    fn prepare(settings: T::Settings) -> Result<Self, String> {
        T::start(settings).map(Prepared)
    }
}

impl<T: Columnar> Vectorised<T> {
    /// As [`Transform::describe`], with the columns to drop.
    pub fn describe(settings: &[(String, String)], input: &[Field], drops: &[&str]) -> Result<Descriptor, String> {
        describe::<T::Reads, T::Writes, T::Reasons, Prepared<T>>(settings, input, drops)
    }

    /// As [`Transform::start`].
    pub fn start(settings: &[(String, String)], reads: &[Field]) -> Result<Self, String> {
        let (Prepared(transform), binding) = rows::start::<T::Reads, T::Reasons, Prepared<T>>(settings, reads)?;
        Ok(Vectorised { transform, binding })
    }

    /// As [`Transform::process`].
    pub fn process(&mut self, batch: &Batch) -> Result<Output, String> {
        let input = Opened::<T::Reads>::new(batch, &self.binding)?;
        let mut outcome = Outcome::new(input.rows);
        for (row, column) in input.incomplete() {
            outcome.reject_null(row, column, &self.binding);
        }
        self.transform.process(&input.columns, &mut outcome)?;
        outcome.finish()
    }
}

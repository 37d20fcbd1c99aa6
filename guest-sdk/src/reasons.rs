//! Why a transform rejects a row.
//!
//! Guarantee: every reason has a stable code and a message. Does not know: what becomes of a rejected row (the host
//! writes it to the dead letters, with both).

use std::convert::Infallible;

/// One reason, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonText {
    /// Short and stable: a metric label and a dead-letter column, such as `duration-out-of-range`.
    pub code: &'static str,
    /// One sentence.
    pub message: &'static str,
}

/// The reasons of a transform. Derive it on an enum: `#[derive(Reasons)]`.
///
/// Each variant is a reason: its name in kebab-case is the code, its doc comment the message. What a variant holds is
/// written into the dead letter as detail.
///
/// ```
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Reasons)]
/// enum Problem {
///     /// The latitude is not between -90 and 90.
///     LatitudeOutOfRange(f64),
///     /// The event has no user.
///     NoUser,
/// }
///
/// assert_eq!(Problem::REASONS[0].code, "latitude-out-of-range");
/// assert_eq!(Problem::REASONS[1].message, "The event has no user.");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of reasons",
    note = "put `#[derive(Reasons)]` on an enum whose variants have doc comments"
)]
pub trait Reasons {
    /// All reasons, in the order of the variants.
    const REASONS: &'static [ReasonText];

    /// The place of this reason among them.
    fn index(&self) -> u16;

    /// Append what the variant holds, as text.
    fn detail(&self, out: &mut String);
}

/// A transform that rejects nothing.
impl Reasons for Infallible {
    const REASONS: &'static [ReasonText] = &[];

    fn index(&self) -> u16 {
        match *self {}
    }

    fn detail(&self, _: &mut String) {}
}

//! The types a typed row may hold, and how Arrow and people name them.
//!
//! Guarantee: one list of types, used by reading, writing and every message about them.

use std::fmt;

/// What a column holds, as a typed row sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Boolean,
    /// `i32`.
    Int,
    /// `i64`.
    Long,
    /// `f32`.
    Float,
    /// `f64`.
    Double,
    /// `&str`: UTF-8 text.
    Text,
    /// `&[u8]`: any bytes.
    Binary,
    /// [`Timestamp`]: microseconds since 1970, UTC.
    Timestamp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] =
        [Kind::Boolean, Kind::Int, Kind::Long, Kind::Float, Kind::Double, Kind::Text, Kind::Binary, Kind::Timestamp];

    /// Arrow's C data interface format string.
    pub const fn format(self) -> &'static str {
        match self {
            Kind::Boolean => "b",
            Kind::Int => "i",
            Kind::Long => "l",
            Kind::Float => "f",
            Kind::Double => "g",
            Kind::Text => "u",
            Kind::Binary => "z",
            Kind::Timestamp => "tsu:UTC",
        }
    }

    /// The name that a pipeline's schema uses.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Text => "string",
            Kind::Binary => "binary",
            Kind::Timestamp => "timestamp",
        }
    }

    /// The Rust type that reads it.
    pub const fn rust(self) -> &'static str {
        match self {
            Kind::Boolean => "bool",
            Kind::Int => "i32",
            Kind::Long => "i64",
            Kind::Float => "f32",
            Kind::Double => "f64",
            Kind::Text => "&str",
            Kind::Binary => "&[u8]",
            Kind::Timestamp => "Timestamp",
        }
    }

    /// The kind behind a format string, if a typed row can hold it.
    pub fn from_format(format: &str) -> Option<Kind> {
        if format.starts_with("tsu:") {
            return Some(Kind::Timestamp);
        }
        Kind::ALL.into_iter().find(|kind| kind.format() == format)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format string in words: `double`, or ``Arrow format `d:10,2` `` for what no typed row can hold.
pub(crate) fn describe_format(format: &str) -> String {
    match Kind::from_format(format) {
        Some(kind) => kind.name().to_owned(),
        None => format!("a type without a Rust counterpart here (Arrow format `{format}`)"),
    }
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use wasmill_sdk::Timestamp;
///
/// assert_eq!(Timestamp::from_millis(1_500), Some(Timestamp(1_500_000)));
/// assert_eq!(Timestamp(1_500_000).as_millis(), 1_500);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From milliseconds; `None` where microseconds do not fit into 64 bits.
    pub fn from_millis(millis: i64) -> Option<Timestamp> {
        millis.checked_mul(1_000).map(Timestamp)
    }

    /// Whole milliseconds, rounded towards the past.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

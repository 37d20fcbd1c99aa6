//! What an operator sets, as a struct.
//!
//! Guarantee: a wrong, missing or unknown setting is found when the transform is described, all at once, each with what
//! was wanted. Does not know: where settings come from (TOML, the command line).

use crate::describe::Problems;

/// One setting of a struct that derives [`Settings`], as messages name it.
#[derive(Debug, Clone, Copy)]
pub struct SettingInfo {
    /// Its key.
    pub name: &'static str,
    /// What it takes, in words.
    pub wanted: &'static str,
    /// What it is when absent; `None`: it must be set.
    pub default: Option<&'static str>,
}

/// The settings of a transform. Derive it: `#[derive(Settings)]`.
///
/// ```
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Settings)]
/// struct Settings {
///     #[settings(default = 30.0)]
///     min_seconds: f64,
///     label: Option<String>,
/// }
///
/// let settings = Settings::from_pairs(&[("min_seconds", "12")]).unwrap();
/// assert_eq!(settings.min_seconds, 12.0);
/// let wrong = Settings::from_pairs(&[("min_second", "12")]).err().unwrap();
/// assert_eq!(wrong, "unknown setting `min_second`; known: `min_seconds` (a number, default 30.0), `label` (text, optional)");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of settings",
    note = "put `#[derive(Settings)]` on the struct"
)]
pub trait Settings: Sized {
    /// The settings, in the order of the fields.
    const KNOWN: &'static [SettingInfo];

    /// From what the host hands over; every problem is noted. `None` if there was one.
    fn parse(pairs: &[(String, String)], problems: &mut Problems) -> Option<Self>;

    /// From pairs, for tests.
    ///
    /// # Errors
    /// Every problem, one to a line.
    fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, String> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut problems = Problems::default();
        match Self::parse(&pairs, &mut problems) {
            Some(settings) => problems.none_or(settings),
            None => Err(problems.to_string()),
        }
    }
}

/// A transform without settings: any setting is an error.
impl Settings for () {
    const KNOWN: &'static [SettingInfo] = &[];

    fn parse(pairs: &[(String, String)], problems: &mut Problems) -> Option<()> {
        check_known(pairs, Self::KNOWN, problems);
        pairs.is_empty().then_some(())
    }
}

/// What a function needs beside the row, made once from the settings: a parser, a key, a cache.
///
/// Every struct that derives [`Settings`] is one: itself. For more, implement it by hand:
///
/// ```
/// use wasmill_sdk::prelude::*;
///
/// #[derive(Settings)]
/// struct Settings {
///     words: String,
/// }
///
/// struct Words(Vec<String>);
///
/// impl Prepare for Words {
///     type Settings = Settings;
///     fn prepare(settings: Settings) -> Result<Words, String> {
///         let words: Vec<_> = settings.words.split_whitespace().map(str::to_lowercase).collect();
///         if words.is_empty() { Err("setting `words` is empty".to_owned()) } else { Ok(Words(words)) }
///     }
/// }
///
/// #[derive(Reads)]
/// struct Song<'a> {
///     song: &'a str,
/// }
///
/// #[filter]
/// fn keep(song: &Song, words: &Words) -> bool {
///     words.0.iter().any(|word| song.song.contains(word.as_str()))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from settings",
    note = "derive `Settings` for it, or implement `Prepare`"
)]
pub trait Prepare: Sized {
    /// The settings it is made from; `()` for none.
    type Settings: Settings;

    /// Make it. Called when the transform is described, and once per instance: it should take milliseconds at most.
    ///
    /// # Errors
    /// What is wrong with the settings.
    fn prepare(settings: Self::Settings) -> Result<Self, String>;
}

impl Prepare for () {
    type Settings = ();

    fn prepare((): ()) -> Result<(), String> {
        Ok(())
    }
}

/// A type that a setting may have: `bool`, integers, `f32`, `f64`, `String`, and `Option` of each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of setting",
    note = "a setting is a bool, an integer, f32, f64 or String, or an Option of one of these; implement `Setting` for your own"
)]
pub trait Setting: Sized {
    /// What it takes, in words that can follow "wanted".
    const WANTED: &'static str;
    /// What it is when absent and without a default; `None`: it must be set.
    fn absent() -> Option<Self> {
        None
    }
    /// From text; `None` if it is not what is wanted.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! setting {
    ($($type:ty => $wanted:literal, |$text:ident| $parse:expr;)*) => {$(
        impl Setting for $type {
            const WANTED: &'static str = $wanted;

            fn parse($text: &str) -> Option<Self> {
                $parse
            }
        }
    )*};
}

setting! {
    bool => "true or false", |text| text.parse().ok();
    i32 => "a whole number", |text| text.parse().ok();
    i64 => "a whole number", |text| text.parse().ok();
    u32 => "a whole number, not negative", |text| text.parse().ok();
    u64 => "a whole number, not negative", |text| text.parse().ok();
    usize => "a whole number, not negative", |text| text.parse().ok();
    f32 => "a number", |text| text.parse().ok().filter(|value: &f32| value.is_finite());
    f64 => "a number", |text| text.parse().ok().filter(|value: &f64| value.is_finite());
    String => "text", |text| Some(text.to_owned());
}

impl<T: Setting> Setting for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn parse(text: &str) -> Option<Self> {
        T::parse(text).map(Some)
    }
}

/// One setting out of the pairs. For derived code.
#[doc(hidden)]
pub fn take<T: Setting>(
    pairs: &[(String, String)],
    name: &str,
    default: Option<T>,
    problems: &mut Problems,
) -> Option<T> {
    let Some((_, text)) = pairs.iter().find(|(key, _)| key == name) else {
        let value = default.or_else(T::absent);
        if value.is_none() {
            problems.push(format!("setting `{name}` is missing: wanted {}", T::WANTED));
        }
        return value;
    };
    let value = T::parse(text);
    if value.is_none() {
        // The value is not shown: it may be a secret.
        problems.push(format!("setting `{name}`: wanted {}", T::WANTED));
    }
    value
}

/// Note every key that is not known. For derived code.
#[doc(hidden)]
pub fn check_known(pairs: &[(String, String)], known: &[SettingInfo], problems: &mut Problems) {
    for (name, _) in pairs {
        if known.iter().any(|setting| setting.name == name) {
            continue;
        }
        let all = known.iter().map(describe_setting).collect::<Vec<_>>().join(", ");
        problems.push(match all.as_str() {
            "" => format!("unknown setting `{name}`: this transform has none"),
            all => format!("unknown setting `{name}`; known: {all}"),
        });
    }
}

fn describe_setting(setting: &SettingInfo) -> String {
    let fallback = match setting.default {
        Some("") => ", optional".to_owned(),
        Some(default) => format!(", default {default}"),
        None => ", required".to_owned(),
    };
    format!("`{}` ({}{fallback})", setting.name, setting.wanted)
}

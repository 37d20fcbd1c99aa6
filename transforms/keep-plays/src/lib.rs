//! Keeps what a listener really listened to: logged in, and for at least `min_seconds` (30 by default).
//!
//! Reads `auth` and `duration` (seconds), writes nothing. An event without a duration is dropped; one without `auth` is
//! rejected as `null-input`, because something is wrong with it.

use wasmill_sdk::prelude::*;

/// What decides whether an event is kept.
#[derive(Reads)]
pub struct Play<'a> {
    auth: &'a str,
    duration: Option<f64>,
}

/// What an operator may set.
#[derive(Settings)]
pub struct Settings {
    /// The shortest play that counts, in seconds.
    #[settings(default = 30.0)]
    min_seconds: f64,
}

/// Was this song really played?
#[filter]
pub fn keep_plays(play: &Play, settings: &Settings) -> bool {
    play.auth == "Logged In" && play.duration.is_some_and(|seconds| seconds >= settings.min_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    fn is_kept(auth: &str, duration: Option<f64>) -> bool {
        keep_plays(&Play { auth, duration }, &Settings { min_seconds: 30.0 })
    }

    #[test]
    fn a_play_is_logged_in_and_long_enough() {
        assert!(is_kept("Logged In", Some(30.0)));
        assert!(!is_kept("Logged In", Some(29.999)));
        assert!(!is_kept("Logged In", None));
        assert!(!is_kept("Guest", Some(240.0)));
    }

    #[test]
    fn a_batch_keeps_drops_and_rejects() -> Result<(), String> {
        let events = Table::from_json(
            "auth string, duration double, song string",
            r#"
            {"auth": "Logged In", "duration": 240.5, "song": "one"}
            {"auth": "Logged In", "duration": 12.0, "song": "two"}
            {"auth": "Logged Out", "duration": 240.5, "song": "three"}
            {"duration": 240.5, "song": "four"}
            "#,
        )?;
        let outcome = run::<keep_plays>(&[("min_seconds", "10")], &events)?;
        assert_eq!(outcome.kept, [0, 1]);
        assert_eq!(outcome.rejected[0].to_string(), "row 3: null-input (auth)");
        assert_eq!(outcome.descriptor.reads, ["auth", "duration"]);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_said_at_once() -> Result<(), String> {
        let events = Table::from_json("auth long", "")?;
        let problems = run::<keep_plays>(&[("min_second", "10")], &events).unwrap_err();
        assert_eq!(
            problems,
            "3 problems:\n\
             - unknown setting `min_second`; known: `min_seconds` (a number, default 30.0)\n\
             - column `auth`: wanted string, found long; `i64` reads it\n\
             - column `duration` is missing: wanted double; the columns here are auth"
        );
        Ok(())
    }
}

//! Keeps what was really listened to: logged in, and for long enough.

use wasmill_sdk::prelude::*;

/// What is read of an event. Each field is a column; one that may be null is an `Option`.
#[derive(Reads)]
pub struct Play<'a> {
    auth: &'a str,
    duration: Option<f64>,
}

/// What an operator may set in the pipeline file.
#[derive(Settings)]
pub struct Settings {
    /// The shortest play that counts, in seconds.
    #[settings(default = 30.0)]
    min_seconds: f64,
}

/// Is this event kept?
#[filter]
pub fn keep(play: &Play, settings: &Settings) -> bool {
    let long_enough = |seconds| seconds >= settings.min_seconds;
    play.auth == "Logged In" && play.duration.is_some_and(long_enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    #[test]
    fn a_guest_is_not_counted() {
        let settings = Settings { min_seconds: 30.0 };
        let play = Play { auth: "Guest", duration: Some(200.0) };
        assert!(!keep(&play, &settings));
    }

    #[test]
    fn a_batch_is_filtered() -> Result<(), String> {
        let events = Table::from_json(
            "auth string, duration double",
            r#"
            {"auth": "Logged In", "duration": 200.0}
            {"auth": "Logged In", "duration": 12.5}
            {"duration": 200.0}
            "#,
        )?;
        let outcome = run::<keep>(&[("min_seconds", "10")], &events)?;
        assert_eq!(outcome.kept, [0, 1]);
        // `auth` is not an `Option`, so an event without it is rejected.
        assert_eq!(outcome.rejected[0].to_string(), "row 2: null-input (auth)");
        Ok(())
    }
}

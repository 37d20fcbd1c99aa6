//! Adds how long a play was, in words, and the hour of the day.

use wasmill_sdk::prelude::*;

/// What is read of an event. Each field is a column; one that may be null is an `Option`.
#[derive(Reads)]
pub struct Play {
    ts: i64,
    duration: Option<f64>,
}

/// What is added to it. Each field is a column.
#[derive(Debug, PartialEq, Writes)]
#[writes(rename_all = "camelCase")]
pub struct Described {
    /// Text of a fixed set: it crosses to the host as a dictionary.
    play_length: Option<&'static str>,
    utc_hour: i64,
}

/// What an operator may set in the pipeline file.
#[derive(Settings)]
pub struct Settings {
    /// A play shorter than this is a skip, in seconds.
    #[settings(default = 30.0)]
    skip_seconds: f64,
}

const HOUR_MS: i64 = 3_600_000;

/// The columns that are added.
#[enrich]
pub fn describe(play: &Play, settings: &Settings) -> Described {
    let play_length = play.duration.map(|seconds| match seconds {
        seconds if seconds < settings.skip_seconds => "skip",
        ..300.0 => "song",
        _ => "long",
    });
    Described { play_length, utc_hour: play.ts.div_euclid(HOUR_MS).rem_euclid(24) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    #[test]
    fn a_play_is_described() {
        let settings = Settings { skip_seconds: 30.0 };
        let play = Play { ts: 1_700_000_000_000, duration: Some(12.5) };
        let expected = Described { play_length: Some("skip"), utc_hour: 22 };
        assert_eq!(describe(&play, &settings), expected);
    }

    #[test]
    fn a_batch_is_enriched() -> Result<(), String> {
        let events = Table::from_json(
            "ts long, duration double, song string",
            r#"
            {"ts": 1700000000000, "duration": 200.0, "song": "one"}
            {"ts": 1700000000000, "song": "two"}
            "#,
        )?;
        let outcome = run::<describe>(&[], &events)?;
        let rows = outcome.json();
        assert_eq!(rows[0]["playLength"], "song");
        assert_eq!(rows[0]["song"], "one");
        assert!(rows[1]["playLength"].is_null());
        Ok(())
    }
}

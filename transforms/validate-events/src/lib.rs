//! Rejects listening events that cannot be true. A rejected event is not lost: the host writes it to the dead letters,
//! with the reason's code and message and the value that was found.
//!
//! Reads `ts` (milliseconds since 1970), `auth`, `userId`, `duration` (seconds), `lat` and `lon` (degrees); writes
//! nothing. A missing duration or position is no reason (an event may have none); half a position is one.

use wasmill_sdk::prelude::*;

/// What is checked of an event.
#[derive(Reads)]
#[reads(rename_all = "camelCase")]
pub struct Listen<'a> {
    ts: Option<i64>,
    auth: Option<&'a str>,
    user_id: Option<i32>,
    duration: Option<f64>,
    lat: Option<f64>,
    lon: Option<f64>,
}

/// What an operator may set.
#[derive(Settings)]
pub struct Settings {
    /// The earliest time that is believed, in milliseconds since 1970. By default the year 2000.
    #[settings(default = 946_684_800_000)]
    earliest_ms: i64,
    /// The first time that is no longer believed. By default the year 2100.
    #[settings(default = 4_102_444_800_000)]
    latest_ms: i64,
    /// The longest play that is believed, in seconds. By default four hours.
    #[settings(default = 14_400.0)]
    max_seconds: f64,
}

/// Why an event is rejected. The first that applies counts.
#[derive(Debug, PartialEq, Reasons)]
pub enum Problem {
    /// The event has no time.
    NoTime,
    /// The time is before the earliest or after the latest that is believed.
    TimeOutOfRange(i64),
    /// The listener is logged in, but the event has no user.
    NoUser,
    /// The duration is not positive, or longer than the longest play that is believed.
    DurationOutOfRange(f64),
    /// The latitude is not between -90 and 90.
    LatitudeOutOfRange(f64),
    /// The longitude is not between -180 and 180.
    LongitudeOutOfRange(f64),
    /// Of latitude and longitude, only one is there.
    HalfPosition,
}

/// Can this event be true?
#[validate]
pub fn validate_events(event: &Listen, settings: &Settings) -> Result<(), Problem> {
    let ts = event.ts.ok_or(Problem::NoTime)?;
    if !(settings.earliest_ms..settings.latest_ms).contains(&ts) {
        return Err(Problem::TimeOutOfRange(ts));
    }
    if event.auth == Some("Logged In") && event.user_id.is_none() {
        return Err(Problem::NoUser);
    }
    if let Some(seconds) = event.duration
        && !(seconds > 0.0 && seconds <= settings.max_seconds)
    {
        return Err(Problem::DurationOutOfRange(seconds));
    }
    check_position(event.lat, event.lon)
}

fn check_position(lat: Option<f64>, lon: Option<f64>) -> Result<(), Problem> {
    match (lat, lon) {
        (Some(lat), _) if !(-90.0..=90.0).contains(&lat) => Err(Problem::LatitudeOutOfRange(lat)),
        (_, Some(lon)) if !(-180.0..=180.0).contains(&lon) => Err(Problem::LongitudeOutOfRange(lon)),
        (Some(_), None) | (None, Some(_)) => Err(Problem::HalfPosition),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    const GOOD: Listen<'static> = Listen {
        ts: Some(1_700_000_000_000),
        auth: Some("Logged In"),
        user_id: Some(7),
        duration: Some(240.0),
        lat: Some(40.75),
        lon: Some(-73.99),
    };

    #[test]
    fn each_problem_is_found() -> Result<(), String> {
        let settings = Settings::from_pairs(&[])?;
        let cases = [
            (Listen { ts: None, ..GOOD }, Err(Problem::NoTime)),
            (Listen { ts: Some(0), ..GOOD }, Err(Problem::TimeOutOfRange(0))),
            (Listen { ts: Some(i64::MAX), ..GOOD }, Err(Problem::TimeOutOfRange(i64::MAX))),
            (Listen { user_id: None, ..GOOD }, Err(Problem::NoUser)),
            (Listen { user_id: None, auth: Some("Guest"), ..GOOD }, Ok(())),
            (Listen { duration: Some(0.0), ..GOOD }, Err(Problem::DurationOutOfRange(0.0))),
            (Listen { duration: Some(14_400.1), ..GOOD }, Err(Problem::DurationOutOfRange(14_400.1))),
            (Listen { duration: None, ..GOOD }, Ok(())),
            (Listen { lat: Some(90.1), ..GOOD }, Err(Problem::LatitudeOutOfRange(90.1))),
            (Listen { lon: Some(-181.0), ..GOOD }, Err(Problem::LongitudeOutOfRange(-181.0))),
            (Listen { lon: None, ..GOOD }, Err(Problem::HalfPosition)),
            (Listen { lat: None, lon: None, ..GOOD }, Ok(())),
            (GOOD, Ok(())),
        ];
        for (event, expected) in cases {
            assert_eq!(validate_events(&event, &settings), expected);
        }
        let nan = Listen { lat: Some(f64::NAN), ..GOOD };
        assert!(matches!(validate_events(&nan, &settings), Err(Problem::LatitudeOutOfRange(_))));
        Ok(())
    }

    #[test]
    fn a_batch_rejects_with_the_value_found() -> Result<(), String> {
        let events = Table::from_json(
            "ts long, auth string, userId int, duration double, lat double, lon double",
            r#"
            {"ts": 1700000000000, "auth": "Logged In", "userId": 7, "duration": 240.5, "lat": 40.7, "lon": -73.9}
            {"ts": 1700000000000, "auth": "Logged In", "userId": 7, "duration": 240.5, "lat": 400.7, "lon": -73.9}
            {"ts": 1700000000000, "auth": "Logged In", "duration": 240.5}
            {"ts": 1700000000000, "auth": "Logged In", "userId": 7, "duration": 99.0}
            "#,
        )?;
        let outcome = run::<validate_events>(&[("max_seconds", "98")], &events)?;
        let rejected: Vec<_> = outcome.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            rejected,
            [
                "row 0: duration-out-of-range (240.5)",
                "row 1: duration-out-of-range (240.5)",
                "row 2: no-user",
                "row 3: duration-out-of-range (99)"
            ]
        );
        let outcome = run::<validate_events>(&[], &events)?;
        assert_eq!(outcome.kept, [0, 3]);
        assert_eq!(outcome.rejected[0].to_string(), "row 1: latitude-out-of-range (400.7)");
        assert_eq!(outcome.descriptor.reasons.len(), 7);
        Ok(())
    }
}

//! Adds where in the United States an event comes from, and what the clock showed there.
//!
//! Reads `state` (the postal code, such as `CA`) and `ts` (milliseconds since 1970). Writes `region` (of the Census
//! Bureau), `timeZone` (IANA name) and `localHour` (0 to 23, daylight saving as the law of the time had it). All three
//! are null for a state that is none, `localHour` also without a time. A state that lies in two zones counts with the
//! one in which most of its people live.

pub mod states;
pub mod zones;

use wasmill_sdk::prelude::*;

use zones::Clocks;

/// Where and when.
#[derive(Reads)]
pub struct Listen<'a> {
    state: Option<&'a str>,
    ts: Option<i64>,
}

/// What is known of the place.
#[derive(Debug, PartialEq, Default, Writes)]
#[writes(rename_all = "camelCase")]
pub struct Place {
    region: Option<&'static str>,
    time_zone: Option<&'static str>,
    local_hour: Option<i32>,
}

/// Where was the listener, and what time was it there?
#[enrich]
pub fn enrich_geo(event: &Listen, clocks: &mut Clocks) -> Place {
    let Some((region, zone)) = event.state.and_then(states::find) else { return Place::default() };
    Place {
        region: Some(region.name()),
        time_zone: Some(zone.name()),
        local_hour: event.ts.and_then(|ts| clocks.hour(zone, ts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    #[test]
    fn events_get_a_place() -> Result<(), String> {
        let events = Table::from_json(
            "state string, ts long, song string",
            r#"
            {"state": "NY", "ts": 1700000000000, "song": "one"}
            {"state": "AZ", "ts": 1688212800000, "song": "two"}
            {"state": "ZZ", "ts": 1700000000000, "song": "three"}
            {"ts": 1700000000000, "song": "four"}
            {"state": "HI", "song": "five"}
            "#,
        )?;
        let outcome = run::<enrich_geo>(&[], &events)?;
        let places: Vec<_> = outcome
            .json()
            .iter()
            .map(|row| format!("{} {} {}", row["region"], row["timeZone"], row["localHour"]))
            .collect();
        assert_eq!(
            places,
            [
                r#""Northeast" "America/New_York" 17"#,
                r#""West" "America/Phoenix" 5"#,
                "null null null",
                "null null null",
                r#""West" "Pacific/Honolulu" null"#,
            ]
        );
        Ok(())
    }
}

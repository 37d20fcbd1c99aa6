//! Time zones: what hour a clock shows at a place.
//!
//! Only the zones named here are compiled in, out of the IANA database that jiff is built with.

use jiff::Timestamp;
use jiff::tz::{TimeZone, get};
use wasmill_sdk::Prepare;

/// The time zone that a state keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Zone {
    Eastern,
    Michigan,
    Indiana,
    Central,
    Mountain,
    Arizona,
    Pacific,
    Alaska,
    Hawaii,
    PuertoRico,
}

/// Name and rules of each zone, in the order of [`Zone`].
static ZONES: [(&str, TimeZone); 10] = [
    ("America/New_York", get!("America/New_York")),
    ("America/Detroit", get!("America/Detroit")),
    ("America/Indiana/Indianapolis", get!("America/Indiana/Indianapolis")),
    ("America/Chicago", get!("America/Chicago")),
    ("America/Denver", get!("America/Denver")),
    ("America/Phoenix", get!("America/Phoenix")),
    ("America/Los_Angeles", get!("America/Los_Angeles")),
    ("America/Anchorage", get!("America/Anchorage")),
    ("Pacific/Honolulu", get!("Pacific/Honolulu")),
    ("America/Puerto_Rico", get!("America/Puerto_Rico")),
];

impl Zone {
    /// The IANA name.
    pub fn name(self) -> &'static str {
        ZONES[self as usize].0
    }
}

/// No clock in these zones has been moved but at a full quarter of an hour of UTC since 1970, so one answer holds that
/// long.
const QUARTER_MS: i64 = 15 * 60 * 1000;
const HOUR_SECONDS: i64 = 3600;

/// A clock for each zone. It remembers the last offset of each: events come in about the order of time.
#[derive(Debug, Default)]
pub struct Clocks {
    /// The quarter of an hour, and the offset from UTC in seconds that held during it.
    last: [Option<(i64, i64)>; ZONES.len()],
}

impl Prepare for Clocks {
    type Settings = ();

    fn prepare((): ()) -> Result<Clocks, String> {
        Ok(Clocks::default())
    }
}

impl Clocks {
    /// The hour, 0 to 23, at `ts` milliseconds since 1970. `None` where the calendar ends (some 8,000 years away).
    pub fn hour(&mut self, zone: Zone, ts: i64) -> Option<i32> {
        let quarter = ts.div_euclid(QUARTER_MS);
        let offset = match self.last[zone as usize] {
            Some((known, offset)) if known == quarter => offset,
            _ => {
                let offset = offset_seconds(zone, ts)?;
                self.last[zone as usize] = Some((quarter, offset));
                offset
            }
        };
        let local_seconds = ts.div_euclid(1000) + offset;
        i32::try_from(local_seconds.div_euclid(HOUR_SECONDS).rem_euclid(24)).ok()
    }
}

fn offset_seconds(zone: Zone, ts: i64) -> Option<i64> {
    let instant = Timestamp::from_millisecond(ts).ok()?;
    Some(ZONES[zone as usize].1.to_offset(instant).seconds().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(zone: Zone, time: &str) -> Option<i32> {
        let instant: Timestamp = time.parse().expect("a time as the test writes it");
        Clocks::default().hour(zone, instant.as_millisecond())
    }

    #[test]
    fn daylight_saving_is_right() {
        let cases = [
            // 2024 in New York: 10 March, 2 o'clock becomes 3; 3 November, 2 becomes 1.
            (Zone::Eastern, "2024-03-10T06:59:59.999Z", 1),
            (Zone::Eastern, "2024-03-10T07:00:00Z", 3),
            (Zone::Eastern, "2024-11-03T05:59:59.999Z", 1),
            (Zone::Eastern, "2024-11-03T06:00:00Z", 1),
            (Zone::Eastern, "2024-11-03T07:00:00Z", 2),
            // Until 2006 it began in April.
            (Zone::Eastern, "2006-03-12T07:00:00Z", 2),
            (Zone::Pacific, "2024-07-01T07:00:00Z", 0),
            (Zone::Pacific, "2024-12-01T07:00:00Z", 23),
            (Zone::Arizona, "2024-07-01T07:00:00Z", 0),
            (Zone::Arizona, "2024-12-01T07:00:00Z", 0),
            (Zone::Hawaii, "2024-07-01T09:30:00Z", 23),
            (Zone::Alaska, "2024-07-01T08:00:00Z", 0),
            (Zone::PuertoRico, "2024-07-01T04:00:00Z", 0),
            // Indiana has moved its clocks only since 2006.
            (Zone::Indiana, "2005-07-01T12:00:00Z", 7),
            (Zone::Indiana, "2006-07-01T12:00:00Z", 8),
            // Before 1970, and long after the database's last entry.
            (Zone::Central, "1969-12-31T23:59:59.999Z", 17),
            (Zone::Mountain, "2150-07-01T12:00:00Z", 6),
        ];
        for (zone, time, expected) in cases {
            assert_eq!(hour(zone, time), Some(expected), "{zone:?} {time}");
        }
    }

    #[test]
    fn remembering_changes_nothing() {
        let mut clocks = Clocks::default();
        // Every 7 minutes of 2024, forwards and then back over it.
        let times: Vec<i64> = (0..75_000).map(|step| 1_704_067_200_000 + step * 7 * 60_000).collect();
        for ts in times.iter().chain(times.iter().rev()) {
            for zone in [Zone::Eastern, Zone::Alaska] {
                assert_eq!(clocks.hour(zone, *ts), Clocks::default().hour(zone, *ts), "{zone:?} {ts}");
            }
        }
    }

    #[test]
    fn the_end_of_the_calendar_is_no_panic() {
        for ts in [i64::MIN, i64::MAX] {
            assert_eq!(Clocks::default().hour(Zone::Eastern, ts), None);
        }
    }
}

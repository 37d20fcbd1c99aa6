//! Times as RFC 3339 writes them, to microseconds since 1970.
//!
//! Stricter than calendar libraries, which also take ISO 8601 and annotations: `YYYY-MM-DDTHH:MM:SS`, a fraction if any, and
//! `Z` or `+HH:MM`. Digits beyond microseconds are cut off (towards the past). A leap second (`:60`) is refused, as
//! microseconds since 1970 cannot name it.

/// Microseconds since 1970, or `None` where the text is not such a time.
pub(super) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = number(&bytes[0..4])?;
    let month = number(&bytes[5..7])?;
    let day = number(&bytes[8..10])?;
    let time = clock(&bytes[11..16])? * 60;
    if bytes[16] != b':' {
        return None;
    }
    let second = number(&bytes[17..19]).filter(|second| *second < 60)?;
    let (micros, zone) = fraction(&bytes[19..])?;
    let offset = match zone {
        b"Z" | b"z" => 0,
        [b'+', rest @ ..] => clock(rest)? * 60,
        [b'-', rest @ ..] => -clock(rest)? * 60,
        _ => return None,
    };
    let days = days_since_1970(year, month, day)?;
    Some((days * 86_400 + time + second - offset) * 1_000_000 + micros)
}

/// Microseconds since 1970 of a date and a time of day without a zone, as if it were UTC.
pub(super) fn parse_local(text: &str) -> Option<i64> {
    parse(&format!("{text}Z"))
}

/// Days since 1970 of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    i32::try_from(parse(&format!("{text}T00:00:00Z"))?.div_euclid(86_400_000_000)).ok()
}

/// Digits only, at most a handful.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// `HH:MM` as minutes.
fn clock(text: &[u8]) -> Option<i64> {
    if text.len() != 5 || text[2] != b':' {
        return None;
    }
    let hour = number(&text[0..2]).filter(|hour| *hour < 24)?;
    let minute = number(&text[3..5]).filter(|minute| *minute < 60)?;
    Some(hour * 60 + minute)
}

/// Microseconds of a fraction (0 without one), and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else {
        return Some((0, text));
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let micros = (0..6).fold(0, |value, at| value * 10 + if at < count { i64::from(rest[at] - b'0') } else { 0 });
    Some((micros, &rest[count..]))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for a day that is not in it.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years that begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_taken() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01 00:00:00.5z", 500_000),
            ("1970-01-01T01:00:00.000001+01:00", 1),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("2026-11-24T00:30:00-23:59", 1_795_480_200_000_000 + 86_340_000_000),
            ("0000-02-29T00:00:00Z", -62_162_121_600_000_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "2026-11-24",
            "2026-11-24T00:30Z",
            "2026-11-24T00:30:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z[UTC]",
            "2026-01-01T00:00:00é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_calendar_is_jiffs(seconds in -62_167_219_200_i64..253_402_300_800, micros in 0_i64..1_000_000) {
            let time = jiff::Timestamp::from_second(seconds).unwrap();
            let text = format!("{}.{micros:06}Z", time.strftime("%Y-%m-%dT%H:%M:%S"));
            prop_assert_eq!(parse(&text), Some(seconds * 1_000_000 + micros));
        }
    }
}

//! The states, the District of Columbia and Puerto Rico: region and time zone of each.

use crate::zones::Zone;

/// A region of the Census Bureau.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// New England and the Middle Atlantic.
    Northeast,
    /// East and West North Central.
    Midwest,
    /// South Atlantic, East and West South Central.
    South,
    /// Mountain and Pacific.
    West,
    /// Outside the four regions: Puerto Rico.
    Territory,
}

impl Region {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Region::Northeast => "Northeast",
            Region::Midwest => "Midwest",
            Region::South => "South",
            Region::West => "West",
            Region::Territory => "Territory",
        }
    }
}

use Region::{Midwest, Northeast, South, Territory, West};
use Zone::{Alaska, Arizona, Central, Eastern, Hawaii, Indiana, Michigan, Mountain, Pacific, PuertoRico};

/// Sorted by code.
const STATES: &[(&[u8; 2], Region, Zone)] = &[
    (b"AK", West, Alaska),
    (b"AL", South, Central),
    (b"AR", South, Central),
    (b"AZ", West, Arizona),
    (b"CA", West, Pacific),
    (b"CO", West, Mountain),
    (b"CT", Northeast, Eastern),
    (b"DC", South, Eastern),
    (b"DE", South, Eastern),
    (b"FL", South, Eastern),
    (b"GA", South, Eastern),
    (b"HI", West, Hawaii),
    (b"IA", Midwest, Central),
    (b"ID", West, Mountain),
    (b"IL", Midwest, Central),
    (b"IN", Midwest, Indiana),
    (b"KS", Midwest, Central),
    (b"KY", South, Eastern),
    (b"LA", South, Central),
    (b"MA", Northeast, Eastern),
    (b"MD", South, Eastern),
    (b"ME", Northeast, Eastern),
    (b"MI", Midwest, Michigan),
    (b"MN", Midwest, Central),
    (b"MO", Midwest, Central),
    (b"MS", South, Central),
    (b"MT", West, Mountain),
    (b"NC", South, Eastern),
    (b"ND", Midwest, Central),
    (b"NE", Midwest, Central),
    (b"NH", Northeast, Eastern),
    (b"NJ", Northeast, Eastern),
    (b"NM", West, Mountain),
    (b"NV", West, Pacific),
    (b"NY", Northeast, Eastern),
    (b"OH", Midwest, Eastern),
    (b"OK", South, Central),
    (b"OR", West, Pacific),
    (b"PA", Northeast, Eastern),
    (b"PR", Territory, PuertoRico),
    (b"RI", Northeast, Eastern),
    (b"SC", South, Eastern),
    (b"SD", Midwest, Central),
    (b"TN", South, Central),
    (b"TX", South, Central),
    (b"UT", West, Mountain),
    (b"VA", South, Eastern),
    (b"VT", Northeast, Eastern),
    (b"WA", West, Pacific),
    (b"WI", Midwest, Central),
    (b"WV", South, Eastern),
    (b"WY", West, Mountain),
];

/// Region and time zone of a state, by its postal code in capitals.
pub fn find(code: &str) -> Option<(Region, Zone)> {
    let code: &[u8; 2] = code.as_bytes().try_into().ok()?;
    let at = STATES.binary_search_by_key(&code, |(known, _, _)| known).ok()?;
    let (_, region, zone) = STATES[at];
    Some((region, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found() {
        assert!(STATES.is_sorted_by(|(a, _, _), (b, _, _)| a < b));
        for (code, region, zone) in STATES {
            let code = std::str::from_utf8(*code).expect("a code is ASCII");
            assert_eq!(find(code), Some((*region, *zone)));
        }
        let count = |wanted| STATES.iter().filter(|(_, region, _)| *region == wanted).count();
        // The Census Bureau's count; the District of Columbia belongs to the South.
        assert_eq!([Northeast, Midwest, South, West].map(count), [9, 12, 17, 13]);
    }

    #[test]
    fn what_is_no_state_is_not() {
        for code in ["", "C", "ca", "CAL", "California", "ZZ", "é"] {
            assert_eq!(find(code), None, "{code}");
        }
    }
}

//! What goes wrong on request: which events, and how.
//!
//! Every event has at most one fault. Which one is drawn from a stream of random numbers of its own, two numbers for
//! every event, so that the other events are the same as without faults. Faults of the payload are made on the finished
//! JSON text; late and duplicated events are the simulator's work.

use memchr::memmem;

use super::random::{Purpose, Random, unit};
use crate::error::{Error, Result};

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The payload is not one JSON object: cut off, with rubbish, two objects, bad UTF-8 and more.
    Malformed,
    /// `userId` is null or not there. Only events that show a user.
    MissingUser,
    /// Longitude or latitude is beyond what the earth has.
    BadCoordinates,
    /// A field has a value of another type.
    WrongType,
    /// The event comes up to 16,383 events later than its time.
    Late,
    /// The event comes a second time, up to 16,383 events later; the second one is marked.
    Duplicate,
    /// The payload is null.
    Tombstone,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::MissingUser,
        Self::BadCoordinates,
        Self::WrongType,
        Self::Late,
        Self::Duplicate,
        Self::Tombstone,
    ];

    /// A short name for flags and summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::MissingUser => "missing-user",
            Self::BadCoordinates => "bad-coordinates",
            Self::WrongType => "wrong-type",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Tombstone => "tombstone",
        }
    }
}

/// The share of events that have each fault, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FaultShares {
    /// [`Fault::Malformed`]
    pub malformed: f64,
    /// [`Fault::MissingUser`]
    pub missing_user: f64,
    /// [`Fault::BadCoordinates`]
    pub bad_coordinates: f64,
    /// [`Fault::WrongType`]
    pub wrong_type: f64,
    /// [`Fault::Late`]
    pub late: f64,
    /// [`Fault::Duplicate`]
    pub duplicate: f64,
    /// [`Fault::Tombstone`]
    pub tombstone: f64,
}

impl FaultShares {
    /// `total` (0 to 1) in equal parts over all kinds.
    pub fn spread(total: f64) -> Self {
        let each = total / Fault::ALL.len() as f64;
        Self {
            malformed: each,
            missing_user: each,
            bad_coordinates: each,
            wrong_type: each,
            late: each,
            duplicate: each,
            tombstone: each,
        }
    }

    /// Sets the share of one kind.
    pub fn set(&mut self, fault: Fault, share: f64) {
        *match fault {
            Fault::Malformed => &mut self.malformed,
            Fault::MissingUser => &mut self.missing_user,
            Fault::BadCoordinates => &mut self.bad_coordinates,
            Fault::WrongType => &mut self.wrong_type,
            Fault::Late => &mut self.late,
            Fault::Duplicate => &mut self.duplicate,
            Fault::Tombstone => &mut self.tombstone,
        } = share;
    }

    /// The share of one kind.
    pub fn share(&self, fault: Fault) -> f64 {
        match fault {
            Fault::Malformed => self.malformed,
            Fault::MissingUser => self.missing_user,
            Fault::BadCoordinates => self.bad_coordinates,
            Fault::WrongType => self.wrong_type,
            Fault::Late => self.late,
            Fault::Duplicate => self.duplicate,
            Fault::Tombstone => self.tombstone,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut sum = 0.0;
        for fault in Fault::ALL {
            let share = self.share(fault);
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::config(format!("the share of {} events must be between 0 and 1", fault.name())));
            }
            sum += share;
        }
        // Seven parts of 1 may sum up to a little more.
        if sum > 1.0 + 1e-9 {
            return Err(Error::config(format!("the shares of faults sum up to {sum}, but an event has at most one"))
                .hint("lower them until their sum is at most 1"));
        }
        Ok(())
    }
}

/// Draws faults.
#[derive(Debug)]
pub(super) struct Faults {
    random: Random,
    /// Upper bounds of each fault in 0 to 1, in the order of [`Fault::ALL`]. Empty: no faults at all.
    bounds: Vec<(f64, Fault)>,
}

impl Faults {
    pub(super) fn new(shares: &FaultShares, seed: u64, instance: u32, instances: u32) -> Self {
        let mut sum = 0.0;
        let mut bounds = Vec::new();
        for fault in Fault::ALL {
            let share = shares.share(fault);
            sum += share;
            if share > 0.0 {
                bounds.push((sum, fault));
            }
        }
        Self { random: Random::new(seed, Purpose::Faults, instance, instances), bounds }
    }

    /// The fault of the next event, if it has one, and a number that chooses among its variants.
    #[inline]
    pub(super) fn draw(&mut self) -> Option<(Fault, u64)> {
        if self.bounds.is_empty() {
            return None;
        }
        let (draw, variant) = (unit(self.random.bits()), self.random.bits());
        let found = self.bounds.iter().find(|(bound, _)| draw < *bound);
        found.map(|(_, fault)| (*fault, variant))
    }
}

/// How many events later a late or duplicated event comes: 1 to 16,383, each power of two as likely as the next.
pub(super) fn delay(variant: u64) -> u64 {
    let power = 1_u64 << (variant % 14);
    power + (variant >> 32) % power
}

/// Damages the event that starts at `start`. Returns whether there was something to damage.
pub(super) fn damage(fault: Fault, variant: u64, event: &mut Vec<u8>, start: usize) -> bool {
    let choice = variant % 8;
    let more = variant >> 8;
    match fault {
        Fault::Malformed => malform(choice, more, event, start),
        Fault::MissingUser if choice < 4 => return replace(event, start, b"\"userId\":", b"null"),
        Fault::MissingUser => return remove(event, start, b"\"userId\":"),
        Fault::BadCoordinates => {
            let (key, value): (&[u8], &[u8]) = match choice {
                0 => (b"\"lat\":", b"90.0001"),
                1 => (b"\"lat\":", b"-91.5"),
                2 => (b"\"lat\":", b"999"),
                3 => (b"\"lat\":", b"1e3"),
                4 => (b"\"lon\":", b"180.5"),
                5 => (b"\"lon\":", b"-200.25"),
                6 => (b"\"lon\":", b"-999.0"),
                _ => (b"\"lon\":", b"4000"),
            };
            return replace(event, start, key, value);
        }
        Fault::WrongType => {
            let (key, value): (&[u8], &[u8]) = match choice {
                0 => (b"\"ts\":", b"\"yesterday\""),
                1 => (b"\"ts\":", b"1735689600000.5"),
                2 => (b"\"itemInSession\":", b"1.5"),
                3 => (b"\"itemInSession\":", b"\"7\""),
                4 => (b"\"sessionId\":", b"true"),
                5 => (b"\"sessionId\":", b"99999999999999999999"),
                6 => (b"\"lat\":", b"\"north\""),
                _ => (b"\"lon\":", b"[]"),
            };
            return replace(event, start, key, value);
        }
        Fault::Tombstone => event.truncate(start),
        Fault::Late | Fault::Duplicate => {}
    }
    true
}

/// Makes the text anything but one JSON object. No variant holds a line feed: a file of lines keeps one event a line.
fn malform(choice: u64, more: u64, event: &mut Vec<u8>, start: usize) {
    let length = event.len() - start;
    // Anywhere but at the two ends.
    let middle = start + 1 + (more % (length as u64).saturating_sub(2).max(1)) as usize;
    match choice {
        0 => event.truncate(middle),
        1 => event.truncate(event.len() - 1),
        2 => event.insert(event.len() - 1, b','),
        3 => event.extend_from_within(start..),
        4 => {
            event.truncate(start);
            event.extend_from_slice(b"Exception in thread \"main\" java.lang.NullPointerException");
        }
        // After the first key's opening quote: a raw control character, or a byte that UTF-8 does not have.
        5 => event.insert(start + 2, 0x01),
        6 => event.insert(start + 2, 0xff),
        _ => event.truncate(start),
    }
}

/// Where the value of a key with a plain number lies.
fn value(event: &[u8], start: usize, key: &[u8]) -> Option<(usize, usize)> {
    let from = start + memmem::find(&event[start..], key)? + key.len();
    let length = event[from..].iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some((from, from + length))
}

/// A quote inside a string is escaped, so `"key":` is found at the key only.
fn replace(event: &mut Vec<u8>, start: usize, key: &[u8], with: &[u8]) -> bool {
    let Some((from, to)) = value(event, start, key) else { return false };
    event.splice(from..to, with.iter().copied());
    true
}

/// Removes a key that has others after it.
fn remove(event: &mut Vec<u8>, start: usize, key: &[u8]) -> bool {
    let Some((from, to)) = value(event, start, key) else { return false };
    event.drain(from - key.len()..to + 1);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const EVENT: &str = r#"{"artist":"\"lat\": x","ts":5,"sessionId":2,"itemInSession":3,"lon":-1.5,"lat":40.25,"userId":9,"registration":1}"#;

    fn damaged(fault: Fault, variant: u64) -> Vec<u8> {
        let mut event = format!("before{EVENT}").into_bytes();
        assert!(damage(fault, variant, &mut event, 6));
        assert_eq!(&event[..6], b"before");
        event.split_off(6)
    }

    #[test]
    fn malformed_is_never_one_object() {
        for variant in 0..4_096 {
            let event = damaged(Fault::Malformed, variant);
            assert!(serde_json::from_slice::<Value>(&event).is_err(), "{}", String::from_utf8_lossy(&event));
            assert!(!event.contains(&b'\n'));
        }
    }

    #[test]
    fn others_stay_objects_and_differ_in_one_field() {
        let good: Value = serde_json::from_str(EVENT).unwrap();
        for fault in [Fault::MissingUser, Fault::BadCoordinates, Fault::WrongType] {
            for variant in 0..8 {
                let event: Value = serde_json::from_slice(&damaged(fault, variant)).unwrap();
                let differ = good.as_object().unwrap().iter().filter(|(key, value)| event.get(key) != Some(value));
                assert_eq!(differ.count(), 1, "{event}");
                let place = |key: &str| event[key].as_f64();
                match fault {
                    Fault::MissingUser => assert!(event.get("userId").is_none_or(Value::is_null)),
                    Fault::BadCoordinates => {
                        assert!(place("lat").unwrap().abs() > 90.0 || place("lon").unwrap().abs() > 180.0);
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_event_without_a_user_cannot_lose_it() {
        let mut event = b"{\"ts\":1}".to_vec();
        assert!(!damage(Fault::MissingUser, 0, &mut event, 0));
        assert!(!damage(Fault::MissingUser, 7, &mut event, 0));
        assert_eq!(event, b"{\"ts\":1}");
    }

    #[test]
    fn delays_are_within_their_bounds() {
        let mut random = Random::new(1, Purpose::Faults, 0, 1);
        for _ in 0..10_000 {
            assert!((1..=16_383).contains(&delay(random.bits())));
        }
    }
}

//! Rejects events that cannot be true. They become dead letters, with the reason.

use wasmill_sdk::prelude::*;

/// What is read of an event. Each field is a column; one that may be null is an `Option`.
#[derive(Reads)]
#[reads(rename_all = "camelCase")]
pub struct Listen {
    user_id: Option<i32>,
    lat: Option<f64>,
}

/// Why an event is rejected. The variant is the code (`no-user`), its doc comment the message.
#[derive(Debug, PartialEq, Reasons)]
pub enum Problem {
    /// The event has no user.
    NoUser,
    /// The latitude is not between -90 and 90.
    LatitudeOutOfRange(f64),
}

/// Can this event be true?
#[validate]
pub fn check(listen: &Listen) -> Result<(), Problem> {
    if listen.user_id.is_none() {
        return Err(Problem::NoUser);
    }
    match listen.lat {
        Some(lat) if !(-90.0..=90.0).contains(&lat) => Err(Problem::LatitudeOutOfRange(lat)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Table, run};

    #[test]
    fn a_listener_is_on_earth() {
        let listen = Listen { user_id: Some(7), lat: Some(91.0) };
        assert_eq!(check(&listen), Err(Problem::LatitudeOutOfRange(91.0)));
    }

    #[test]
    fn a_batch_is_validated() -> Result<(), String> {
        let events = Table::from_json(
            "userId int, lat double",
            r#"
            {"userId": 7, "lat": 40.7}
            {"lat": 40.7}
            {"userId": 7, "lat": 400.7}
            "#,
        )?;
        let outcome = run::<check>(&[], &events)?;
        assert_eq!(outcome.kept, [0]);
        assert_eq!(outcome.rejected[0].to_string(), "row 1: no-user");
        assert_eq!(outcome.rejected[1].detail, "400.7");
        Ok(())
    }
}

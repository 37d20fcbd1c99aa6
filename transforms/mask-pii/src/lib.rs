//! Takes out of events what tells who someone is, and keeps what an analysis needs.
//!
//! * `firstName`, `lastName`: a keyed hash, 32 hexadecimal digits. Equal names stay equal, so they can be counted and
//!   joined; without the key nobody can try names until one fits.
//! * `userId`: a keyed hash too, as a positive `long` (63 bits), so it still joins with other masked tables.
//! * `lat`, `lon`: rounded to `decimals` places; 1 (the default) is about 11 km.
//!
//! The hash is HMAC-SHA256 of the column's name and the value, cut to its first bytes: the same text in two columns has
//! two hashes. The setting `key` must be set: at least 16 bytes, the same for all tables that are to be joined, and kept
//! secret (in a pipeline file: `key = { env = "MASK_KEY" }`).

pub mod mask;

use wasmill_sdk::prelude::*;

use mask::{Grid, KeyedHash, Numbers, Texts};

/// Who and where.
#[derive(Reads)]
#[reads(rename_all = "camelCase")]
pub struct Person<'a> {
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    user_id: Option<i32>,
    lat: Option<f64>,
    lon: Option<f64>,
}

/// The same columns, masked.
#[derive(Debug, PartialEq, Writes)]
#[writes(rename_all = "camelCase")]
pub struct Masked<'m> {
    first_name: Option<&'m str>,
    last_name: Option<&'m str>,
    user_id: Option<i64>,
    lat: Option<f64>,
    lon: Option<f64>,
}

/// What an operator sets.
#[derive(Settings)]
pub struct Settings {
    /// The secret.
    key: String,
    /// How many decimal places coordinates keep, 0 to 6.
    #[settings(default = 1)]
    decimals: u32,
}

/// What masks the columns: a hash for each, and the grid of the coordinates.
pub struct Masker {
    first_names: Texts,
    last_names: Texts,
    user_ids: Numbers,
    grid: Grid,
}

impl Prepare for Masker {
    type Settings = Settings;

    fn prepare(settings: Settings) -> Result<Masker, String> {
        Ok(Masker {
            first_names: Texts::new(KeyedHash::new(&settings.key, "firstName")?),
            last_names: Texts::new(KeyedHash::new(&settings.key, "lastName")?),
            user_ids: Numbers::new(KeyedHash::new(&settings.key, "userId")?),
            grid: Grid::new(settings.decimals)?,
        })
    }
}

/// The same event, without saying who it was.
#[enrich]
pub fn mask_pii<'m>(person: &Person, masker: &'m mut Masker) -> Masked<'m> {
    let Masker { first_names, last_names, user_ids, grid } = masker;
    Masked {
        first_name: person.first_name.map(|name| first_names.mask(name)),
        last_name: person.last_name.map(|name| last_names.mask(name)),
        user_id: person.user_id.map(|id| user_ids.mask(id)),
        lat: person.lat.map(|degrees| grid.round(degrees)),
        lon: person.lon.map(|degrees| grid.round(degrees)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Run, Table, run};

    const KEY: (&str, &str) = ("key", "a secret of the tests");

    fn mask(settings: &[(&str, &str)]) -> Result<Run, String> {
        let events = Table::from_json(
            "firstName string, lastName string, userId int, lat double, lon double, song string",
            r#"
            {"firstName": "Ada", "lastName": "Byron", "userId": 7, "lat": 51.5074, "lon": -0.1278, "song": "one"}
            {"firstName": "Byron", "lastName": "Ada", "userId": 7, "lat": -0.04, "lon": 179.96, "song": "two"}
            {"song": "three"}
            "#,
        )?;
        run::<mask_pii>(settings, &events)
    }

    #[test]
    fn who_is_hidden_and_where_is_blurred() -> Result<(), String> {
        let rows = mask(&[KEY])?.json();
        assert_eq!(rows[0]["song"], "one");
        assert_eq!(rows[0]["lat"], 51.5);
        assert_eq!(rows[1]["lat"], 0.0);
        assert_eq!(rows[1]["lon"], 180.0);
        assert_eq!(rows[0]["userId"], rows[1]["userId"]);
        assert!(rows[0]["userId"].as_i64().is_some_and(|id| id > i64::from(i32::MAX)));
        assert_eq!(rows[0]["firstName"].as_str().map(str::len), Some(32));
        assert_ne!(rows[0]["firstName"], rows[1]["lastName"], "columns do not share hashes");
        assert!(["firstName", "userId", "lat"].iter().all(|column| rows[2][column].is_null()));
        Ok(())
    }

    #[test]
    fn another_key_gives_other_hashes() -> Result<(), String> {
        let other = mask(&[("key", "another secret of the tests")])?.json();
        let rows = mask(&[KEY])?.json();
        assert_ne!(rows[0]["firstName"], other[0]["firstName"]);
        assert_ne!(rows[0]["userId"], other[0]["userId"]);
        assert_eq!(rows, mask(&[KEY])?.json());
        Ok(())
    }

    #[test]
    fn settings_are_checked_before_traffic() {
        assert_eq!(mask(&[]).unwrap_err(), "setting `key` is missing: wanted text");
        let short = mask(&[("key", "short")]).unwrap_err();
        assert!(short.contains("at least 16 bytes") && !short.contains("short"), "{short}");
        assert_eq!(mask(&[KEY, ("decimals", "7")]).unwrap_err(), "setting `decimals`: wanted 0 to 6");
    }
}

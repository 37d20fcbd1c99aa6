//! Keyed hashes, remembered for as long as their values keep coming; and a grid for coordinates.

use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmill_sdk::Memo;

/// A shorter key could be found by trying.
const MIN_KEY_BYTES: usize = 16;

/// How many values of a column are remembered at least: a hash costs as much as some twenty look-ups.
const REMEMBERED: usize = 4_096;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// HMAC-SHA256 with an operator's key, for the values of one column.
#[derive(Clone)]
pub struct KeyedHash(Hmac<Sha256>);

impl KeyedHash {
    /// With this key, for this column.
    ///
    /// # Errors
    /// The key is too short.
    pub fn new(key: &str, column: &str) -> Result<KeyedHash, String> {
        if key.len() < MIN_KEY_BYTES {
            return Err(format!("setting `key`: wanted a secret of at least {MIN_KEY_BYTES} bytes"));
        }
        let mut hash =
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|error| format!("setting `key`: {error}"))?;
        // No column's name holds a zero byte, so name and value cannot run into each other.
        hash.update(column.as_bytes());
        hash.update(&[0]);
        Ok(KeyedHash(hash))
    }

    /// The first 16 bytes of the value's hash.
    fn of(&self, value: &[u8]) -> u128 {
        let mut hash = self.0.clone();
        hash.update(value);
        let full: [u8; 32] = hash.finalize_fixed().into();
        full[..16].iter().fold(0, |number, &byte| number << 8 | u128::from(byte))
    }
}

/// Masks the texts of one column.
pub struct Texts {
    hash: KeyedHash,
    known: Memo<String, String>,
}

impl Texts {
    /// With nothing remembered.
    pub fn new(hash: KeyedHash) -> Texts {
        Texts { hash, known: Memo::new(REMEMBERED) }
    }

    /// 32 hexadecimal digits.
    pub fn mask(&mut self, text: &str) -> &str {
        self.known.get(text, |text| hexadecimal(self.hash.of(text.as_bytes())))
    }
}

fn hexadecimal(number: u128) -> String {
    (0..32).rev().map(|digit| char::from(HEX[(number >> (4 * digit) & 15) as usize])).collect()
}

/// Masks the numbers of one column.
pub struct Numbers {
    hash: KeyedHash,
    known: Memo<i32, i64>,
}

impl Numbers {
    /// With nothing remembered.
    pub fn new(hash: KeyedHash) -> Numbers {
        Numbers { hash, known: Memo::new(REMEMBERED) }
    }

    /// 63 bits, so never negative. Hashed as the decimal text: a table that has the id as text can be masked to match.
    pub fn mask(&mut self, number: i32) -> i64 {
        *self.known.get(&number, |number| (self.hash.of(number.to_string().as_bytes()) >> 65) as i64)
    }
}

/// Rounds to a number of decimal places.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    lines_per_degree: f64,
}

impl Grid {
    /// With this many decimal places.
    ///
    /// # Errors
    /// More than 6 places: a tenth of a metre hides nobody.
    pub fn new(decimals: u32) -> Result<Grid, String> {
        if decimals > 6 {
            return Err("setting `decimals`: wanted 0 to 6".to_owned());
        }
        Ok(Grid { lines_per_degree: f64::from(10_u32.pow(decimals)) })
    }

    /// The nearest line of the grid.
    pub fn round(self, degrees: f64) -> f64 {
        // Adding zero turns -0 into 0: what is left of the sign would tell the hemisphere.
        (degrees * self.lines_per_degree).round() / self.lines_per_degree + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha256() -> Result<(), String> {
        // Computed with Python: hmac.new(b"0123456789abcdef", b"userId\0" + b"42", "sha256").
        let hash = KeyedHash::new("0123456789abcdef", "userId")?;
        assert_eq!(hexadecimal(hash.of(b"42")), EXPECTED);
        assert_eq!(Texts::new(hash.clone()).mask("42"), EXPECTED);
        let number = u128::from_str_radix(EXPECTED, 16).map_err(|error| error.to_string())? >> 65;
        assert_eq!(i128::from(Numbers::new(hash).mask(42)), number as i128);
        Ok(())
    }

    const EXPECTED: &str = "72d81e62bfe40f38b59489067d0c2091";
}

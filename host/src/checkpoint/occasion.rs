//! Rows that come again: on which occasion, and of which dead letters.

use serde::{Deserialize, Serialize};

/// On which occasion the rows of a record came: a part of its files' names, because several records may start at the same
/// offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// They were read in this pass over the offsets: how often an operator had moved the position backwards before.
    Pass(u32),
    /// They were dead letters, replayed into the record of this number. No other record that counts has it.
    Replay(u64),
}

/// Dead letters of one file that were replayed. A file's rows never change their numbers, so a letter is known by its file
/// and its number in it for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayedLetters {
    /// The file, by the target that its own record names.
    pub file: String,
    /// Numbers of its rows, counted from 0, as ranges `[first, one after the last)` in order.
    pub rows: Vec<(u64, u64)>,
}

impl ReplayedLetters {
    /// The rows of these numbers, which rise.
    pub fn new(file: &str, numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut rows: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match rows.last_mut() {
                Some((_, end)) if *end == number => *end += 1,
                _ => rows.push((number, number + 1)),
            }
        }
        Self { file: file.to_owned(), rows }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.rows.iter().map(|(first, end)| end.saturating_sub(*first)).fold(0, u64::saturating_add)
    }

    /// Ranges that are not empty, in order, and apart from each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let rises = self.rows.iter().all(|(first, end)| first < end)
            && self.rows.iter().zip(self.rows.iter().skip(1)).all(|((_, end), (first, _))| end < first);
        if rises && !self.rows.is_empty() {
            return Ok(());
        }
        Err(format!("the rows that it replayed of {} are no ranges in order", self.file))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_out_of_order_is_refused() {
        let of = |rows: &[(u64, u64)]| ReplayedLetters { file: "f".into(), rows: rows.to_vec() }.check().is_ok();
        assert!(of(&[(0, 1), (2, 5)]));
        for wrong in [&[][..], &[(3, 3)], &[(4, 2)], &[(0, 2), (1, 3)], &[(0, 2), (2, 3)], &[(5, 6), (0, 1)]] {
            assert!(!of(wrong), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn ranges_hold_the_numbers_that_were_given(numbers in prop::collection::btree_set(0_u64..60, 1..40)) {
            let letters = ReplayedLetters::new("f", numbers.iter().copied());
            prop_assert!(letters.check().is_ok());
            prop_assert_eq!(letters.count(), numbers.len() as u64);
            let held: Vec<u64> = letters.rows.iter().flat_map(|(first, end)| *first..*end).collect();
            prop_assert_eq!(held, numbers.into_iter().collect::<Vec<_>>());
        }
    }
}

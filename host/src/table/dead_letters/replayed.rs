//! Which dead letters were replayed, as the checkpoints say.

use std::collections::HashMap;

/// Dead letters that were replayed: rows of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// By the absolute path of their file, as ranges in order.
    files: HashMap<String, Vec<(u64, u64)>>,
}

impl Replayed {
    /// Adds rows of a file; the ranges are in order and apart from each other.
    pub fn add(&mut self, file: &str, rows: &[(u64, u64)]) {
        if !rows.is_empty() {
            self.files.insert(file.to_owned(), rows.to_vec());
        }
    }

    /// Whether row `row` of a file was replayed.
    pub fn holds(&self, file: &str, row: u64) -> bool {
        self.files.get(file).is_some_and(|ranges| {
            let after = ranges.partition_point(|(first, _)| *first <= row);
            after.checked_sub(1).is_some_and(|at| row < ranges[at].1)
        })
    }
}

//! A memory of bounded size for answers that are costly to find and often wanted again.
//!
//! Guarantee: it changes only how long an answer takes, never the answer, as long as the answer depends on nothing but
//! the key. Does not know: time. Entries do not expire; they are pushed out by others.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Remembers at least the last `capacity` different keys, and at most twice as many.
///
/// ```
/// use wasmill_sdk::Memo;
///
/// let mut lengths: Memo<String, usize> = Memo::new(1_000);
/// assert_eq!(*lengths.get("agent", |text| text.len()), 5);
/// assert_eq!(*lengths.get("agent", |_| unreachable!("remembered")), 5);
/// ```
#[derive(Debug, Clone)]
pub struct Memo<K, V> {
    young: HashMap<K, V>,
    /// What was young until the last turn; a key that is asked for moves back to the young ones.
    old: HashMap<K, V>,
    capacity: usize,
}

impl<K: Hash + Eq, V> Memo<K, V> {
    /// Empty. A capacity of 0 counts as 1.
    pub fn new(capacity: usize) -> Memo<K, V> {
        Memo { young: HashMap::new(), old: HashMap::new(), capacity: capacity.max(1) }
    }

    /// The answer for `key`: remembered, or found by `find`.
    pub fn get<Q>(&mut self, key: &Q, find: impl FnOnce(&Q) -> V) -> &V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if !self.young.contains_key(key) {
            let (key, value) = match self.old.remove_entry(key) {
                Some(entry) => entry,
                None => (key.to_owned(), find(key)),
            };
            if self.young.len() >= self.capacity {
                self.old = std::mem::take(&mut self.young);
            }
            return self.young.entry(key).or_insert(value);
        }
        &self.young[key]
    }
}

#[cfg(test)]
mod tests {
    use super::Memo;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn answers_are_right_and_bounded(keys in prop::collection::vec(0u8..40, 0..400), capacity in 0usize..20) {
            let mut memo: Memo<String, Option<u8>> = Memo::new(capacity);
            for key in keys {
                prop_assert_eq!(*memo.get(key.to_string().as_str(), |text| text.parse().ok()), Some(key));
                prop_assert!(memo.young.len() + memo.old.len() <= 2 * capacity.max(1));
            }
        }
    }

    #[test]
    fn the_last_keys_are_remembered() {
        let mut memo: Memo<i32, ()> = Memo::new(3);
        for key in [1, 2, 3, 4] {
            memo.get(&key, |_| ());
        }
        for key in [2, 3, 4] {
            memo.get(&key, |key| panic!("{key} was forgotten"));
        }
    }
}

//! A map that forgets: bounded, and what was not written for longest goes first.
//!
//! It keeps two generations. What is written goes to the young one; when that is full it becomes the old one, and
//! what was left in the old one is forgotten at once. So every operation is O(1) and at most twice the bound is
//! kept. Whoever uses it can do without an entry.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A bounded map of two generations.
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    young_count_max: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A map that keeps at least the `young_count_max` entries written last, and at most twice as many.
    pub(crate) fn new(young_count_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_count_max: young_count_max.max(1) }
    }

    /// The value under a key.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts a value under a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.young_count_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_was_written_last_and_stays_within_twice_its_bound() {
        let mut map = Recent::new(10);
        for number in 0..1000_usize {
            map.insert(number, number);
            assert!(map.young.len() + map.old.len() <= 20);
            for recent in number.saturating_sub(9)..=number {
                assert_eq!(map.get(&recent), Some(&recent));
            }
        }
        assert_eq!(map.get(&0), None);
    }

    #[test]
    fn a_key_has_its_last_value_or_none() {
        let mut map = Recent::new(2);
        for number in 0..3 {
            map.insert(number, "first");
        }
        map.insert(0, "second");
        assert_eq!(map.get(&0), Some(&"second"));
        map.remove(&0);
        assert_eq!(map.get(&0), None);
    }
}

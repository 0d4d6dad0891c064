//! A map that forgets: bounded, and what was not touched for longest goes first.
//!
//! It keeps two generations. What is read or written moves to the young one; when that is full it becomes the
//! old one, and what was left in the old one is forgotten at once. So every operation is O(1), at most twice
//! the bound is kept, and an entry touched since then is never lost. A value in the old generation that has a
//! younger one is not seen.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A bounded map of two generations.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    young: HashMap<K, V, foldhash::fast::RandomState>,
    old: HashMap<K, V, foldhash::fast::RandomState>,
    young_count_max: usize,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// A map that keeps at least the `young_count_max` entries touched last, and at most twice as many.
    pub(crate) fn new(young_count_max: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), young_count_max: young_count_max.max(1) }
    }

    /// The value under a key.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts a value under a key; answers how many entries were forgotten for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> usize {
        self.young.insert(key, value);
        self.forget()
    }

    /// As [`Self::insert`], but forgets nothing: [`Self::forget`] is to be called later. The key is only made where
    /// it is not there.
    pub(crate) fn keep<Q: Eq + Hash + ?Sized>(&mut self, key: &Q, value: V)
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
    {
        match self.young.get_mut(key) {
            Some(kept) => *kept = value,
            None => {
                self.young.insert(key.into(), value);
            }
        }
    }

    /// Forgets the old generation where the young one is full; answers how many entries that were.
    pub(crate) fn forget(&mut self) -> usize {
        if self.young.len() <= self.young_count_max {
            return 0;
        }
        let forgotten = self.old.len();
        self.old = std::mem::take(&mut self.young);
        forgotten
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young = HashMap::default();
        self.old = HashMap::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_was_touched_last_and_stays_within_twice_its_bound() {
        let mut map = Generations::new(10);
        let mut forgotten = 0;
        for number in 0..1000_usize {
            forgotten += map.insert(number, number);
            assert!(map.young.len() + map.old.len() <= 21);
            for recent in number.saturating_sub(9)..=number {
                assert_eq!(map.get(&recent), Some(&recent));
            }
        }
        assert_eq!(map.get(&0), None);
        assert_eq!(forgotten + map.young.len() + map.old.len(), 1000);
    }

    #[test]
    fn what_is_kept_goes_only_when_it_is_told_to_forget() {
        let mut map: Generations<String, usize> = Generations::new(2);
        for number in 0..10 {
            map.keep(&*number.to_string(), number);
        }
        map.keep("3", 33);
        assert_eq!((map.get("0"), map.get("3"), map.get("9")), (Some(&0), Some(&33), Some(&9)));
        assert_eq!((map.forget(), map.forget()), (0, 0));
        map.keep("3", 34);
        assert_eq!((map.get("0"), map.get("3")), (Some(&0), Some(&34)));
    }

    #[test]
    fn a_key_written_again_has_only_its_last_value() {
        let mut map = Generations::new(2);
        for number in 0..3 {
            map.insert(number, "first");
        }
        map.insert(0, "second");
        assert_eq!(map.get(&0), Some(&"second"));
        map.clear();
        assert_eq!(map.get(&0), None);
    }
}

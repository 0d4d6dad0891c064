//! A map in parts, each behind its own lock, so that calls for different keys rarely wait for each other.
//!
//! No caller holds two parts at once, so parts cannot deadlock.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

/// One part of the map.
pub(crate) type Part<K, V> = HashMap<K, V, RandomState>;

/// A map in parts.
pub(crate) struct Sharded<K, V> {
    hasher: RandomState,
    parts: Box<[Mutex<Part<K, V>>]>,
}

impl<K: Eq + Hash, V> Sharded<K, V> {
    /// An empty map in `part_count` parts, at least one.
    pub(crate) fn new(part_count: usize) -> Self {
        let parts = (0..part_count.max(1)).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::default(), parts }
    }

    /// Locks the part in which the key lies.
    pub(crate) fn part<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Part<K, V>>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key) as usize;
        self.parts[hash % self.parts.len()].lock()
    }

    /// Locks one part after the other.
    pub(crate) fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Part<K, V>>> {
        self.parts.iter().map(Mutex::lock)
    }
}

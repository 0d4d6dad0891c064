//! Numbers that readers noted under keys, so that the next reader begins to look where the last one ended.
//!
//! A number that was read in one view may tell of rows that an earlier view does not have. So each is noted with when
//! it was read, and is given to views only that were opened after that.

use std::sync::atomic::{AtomicU64, Ordering};

use fjall::Slice;
use parking_lot::Mutex;

use crate::generations::Generations;

/// Numbers that are kept in memory: about 100 bytes each, twice that many at most.
const KEPT_COUNT_MAX: usize = 16 * 1024;

/// Numbers by keyspace and key.
pub(crate) struct Marks {
    /// Rises with every view.
    opened: AtomicU64,
    keyspaces: Vec<Mutex<Generations<Slice, Mark>>>,
}

struct Mark {
    number: u64,
    /// Views opened since then have all that the one had in which it was read.
    settled: u64,
}

/// When a view was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    /// Before the view saw anything.
    begun: u64,
    /// After it saw all that it sees.
    settled: u64,
}

impl Marks {
    pub(super) fn new(keyspaces: usize) -> Self {
        let keyspace = || Mutex::new(Generations::new(KEPT_COUNT_MAX));
        Self {
            opened: AtomicU64::new(0),
            keyspaces: std::iter::repeat_with(keyspace).take(keyspaces).collect(),
        }
    }

    /// Opens a view, and says when that was.
    pub(super) fn open<T>(&self, open: impl FnOnce() -> T) -> (T, Opened) {
        let begun = self.opened.fetch_add(1, Ordering::SeqCst);
        let view = open();
        (view, Opened { begun, settled: self.opened.load(Ordering::SeqCst) })
    }

    pub(super) fn get(&self, keyspace: usize, key: &[u8], opened: Opened) -> Option<u64> {
        let kept = self.keyspaces[keyspace].lock();
        kept.get(key).filter(|mark| mark.settled <= opened.begun).map(|mark| mark.number)
    }

    pub(super) fn note(&self, keyspace: usize, key: &[u8], number: u64, opened: Opened) {
        let mut kept = self.keyspaces[keyspace].lock();
        // What a later view has noted stays.
        if kept.get(key).is_none_or(|mark| mark.number < number) {
            kept.insert(Slice::from(key), Mark { number, settled: opened.settled });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_only_to_views_that_were_opened_after_it_was_read() {
        let marks = Marks::new(1);
        let ((), before) = marks.open(|| ());
        let ((), reader) = marks.open(|| ());
        let ((), meanwhile) = marks.open(|| ());
        marks.note(0, b"box", 7, reader);
        let ((), after) = marks.open(|| ());
        assert_eq!(marks.get(0, b"box", before), None);
        assert_eq!(marks.get(0, b"box", meanwhile), Some(7));
        assert_eq!(marks.get(0, b"box", after), Some(7));
        assert_eq!(marks.get(0, b"other", after), None);
    }

    #[test]
    fn views_that_are_opened_at_the_same_time_give_each_other_nothing() {
        let marks = Marks::new(1);
        let (slow, quick) = {
            let mut quick = None;
            let ((), slow) = marks.open(|| quick = Some(marks.open(|| ()).1));
            (slow, quick.unwrap())
        };
        marks.note(0, b"box", 7, slow);
        assert_eq!(marks.get(0, b"box", quick), None);
        marks.note(0, b"box", 8, quick);
        assert_eq!(marks.get(0, b"box", slow), None);
        assert_eq!(marks.get(0, b"box", marks.open(|| ()).1), Some(8));
    }

    #[test]
    fn a_lower_number_takes_no_higher_ones_place() {
        let marks = Marks::new(1);
        let ((), early) = marks.open(|| ());
        let ((), late) = marks.open(|| ());
        marks.note(0, b"box", 9, late);
        marks.note(0, b"box", 7, early);
        let ((), after) = marks.open(|| ());
        assert_eq!(marks.get(0, b"box", after), Some(9));
    }
}

//! The stored messages that were told lately, by conversation and seq.
//!
//! The inbox's own seqs drop almost every double. This one catches what a changed inbox may bring again,
//! such as a position that was taken back to an older top.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// How many are remembered; the oldest is forgotten first.
const SEEN_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Seen {
    keys: HashSet<Key>,
    order: VecDeque<Key>,
}

/// The message id is part of the key, so that a server whose store was emptied is not taken for a double.
type Key = (Arc<str>, u64, u64);

impl Seen {
    /// Remembers a message; false if it was there.
    pub(crate) fn insert(&mut self, conversation: &str, seq: u64, message_id: u64) -> bool {
        let key: Key = (conversation.into(), seq, message_id);
        if !self.keys.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_seen_and_the_oldest_is_forgotten() {
        let mut seen = Seen::default();
        assert!(seen.insert("c", 1, 9));
        assert!(!seen.insert("c", 1, 9));
        for seq in 0..SEEN_MAX as u64 {
            assert!(seen.insert("d", seq, 1));
        }
        assert!(seen.insert("c", 1, 9));
        assert_eq!(seen.keys.len(), SEEN_MAX);
    }
}

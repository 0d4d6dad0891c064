//! Who gets a row: looked up in the store, and remembered for the rows after it.
//!
//! Two rows of a conversation with the same last change of membership have the same receivers, so most rows need no
//! look. A row that is such a change itself has receivers of its own and is never remembered.

use std::collections::HashMap;
use std::sync::Arc;

use backends::Result;
use backends::store::{OutboxRow, Store};
use parking_lot::Mutex;
use protocol::{ConversationId, UserId};

/// Conversations whose receivers are remembered.
const CONVERSATIONS_MAX: usize = 256;
/// Receivers that are remembered in all; about 20 bytes each beside the ids.
const USERS_MAX: usize = 64 * 1024;

/// Tells who gets a row.
pub(crate) struct Receivers {
    store: Arc<dyn Store>,
    remembered: Mutex<Remembered>,
}

impl Receivers {
    /// Looks up in this store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, remembered: Mutex::default() }
    }

    /// The receivers of a row above the mark of its conversation.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn of(&self, row: &OutboxRow) -> Result<Arc<[UserId]>> {
        let changes_members = row.membership_seq == row.seq;
        if !changes_members
            && let Some(users) = self.remembered.lock().find(&row.conversation, row.membership_seq)
        {
            return Ok(users);
        }
        let users: Arc<[UserId]> = self.store.receivers(&row.conversation, row.seq).await?.into();
        if !changes_members {
            self.remembered.lock().keep(&row.conversation, row.membership_seq, users.clone());
        }
        Ok(users)
    }
}

/// The receivers of conversations.
#[derive(Default)]
struct Remembered {
    entries: HashMap<ConversationId, Entry>,
    user_count: usize,
    /// Counts the looks, so that the entry touched longest ago is known.
    looks: u64,
}

struct Entry {
    membership_seq: u64,
    users: Arc<[UserId]>,
    touched: u64,
}

impl Remembered {
    fn find(&mut self, conversation: &ConversationId, membership_seq: u64) -> Option<Arc<[UserId]>> {
        self.looks += 1;
        let entry = self.entries.get_mut(conversation)?;
        if entry.membership_seq != membership_seq {
            return None;
        }
        entry.touched = self.looks;
        Some(entry.users.clone())
    }

    /// Keeps receivers, in the place of the conversation's former ones and of those touched longest ago.
    fn keep(&mut self, conversation: &ConversationId, membership_seq: u64, users: Arc<[UserId]>) {
        self.forget(conversation);
        if users.len() > USERS_MAX {
            return;
        }
        while self.entries.len() >= CONVERSATIONS_MAX || self.user_count + users.len() > USERS_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.touched);
            let Some(oldest) = oldest.map(|(conversation, _)| conversation.clone()) else { break };
            self.forget(&oldest);
        }
        self.user_count += users.len();
        self.entries.insert(conversation.clone(), Entry { membership_seq, users, touched: self.looks });
    }

    fn forget(&mut self, conversation: &ConversationId) {
        if let Some(entry) = self.entries.remove(conversation) {
            self.user_count -= entry.users.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{GroupId, Identifier};

    use super::*;

    fn conversation(number: usize) -> ConversationId {
        ConversationId::group(&GroupId::new(&number.to_string()).unwrap())
    }

    fn users(count: usize) -> Arc<[UserId]> {
        vec![UserId::new("alice").unwrap(); count].into()
    }

    #[test]
    fn receivers_are_remembered_until_the_members_change() {
        let mut remembered = Remembered::default();
        remembered.keep(&conversation(1), 7, users(3));
        assert_eq!(remembered.find(&conversation(1), 7).map(|users| users.len()), Some(3));
        assert_eq!(
            (remembered.find(&conversation(1), 8), remembered.find(&conversation(2), 7)),
            (None, None)
        );
        remembered.keep(&conversation(1), 8, users(4));
        assert_eq!(remembered.find(&conversation(1), 7), None);
        assert_eq!(remembered.user_count, 4);
    }

    #[test]
    fn what_was_touched_longest_ago_is_forgotten_first() {
        let mut remembered = Remembered::default();
        for number in 0..CONVERSATIONS_MAX {
            remembered.keep(&conversation(number), 1, users(2));
            remembered.find(&conversation(number), 1);
        }
        remembered.find(&conversation(0), 1);
        remembered.keep(&conversation(CONVERSATIONS_MAX), 1, users(2));
        assert!(remembered.find(&conversation(0), 1).is_some());
        assert!(remembered.find(&conversation(1), 1).is_none());
        remembered.keep(&conversation(1), 1, users(USERS_MAX - 2));
        assert_eq!((remembered.entries.len(), remembered.user_count), (2, USERS_MAX));
        remembered.keep(&conversation(2), 1, users(USERS_MAX + 1));
        assert!(remembered.find(&conversation(2), 1).is_none());
    }
}

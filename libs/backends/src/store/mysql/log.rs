//! The log of what changed in a user's conversations that no inbox row tells.
//!
//! A change makes a version: the sum of the inbox's top and of how many changes there are. The head of the inbox is
//! held while it is made, so that no row comes between.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{ConversationId, UserId};

use super::heads::{self, Heads, InboxHead};
use super::sql::Sql;

/// Writes for each of some users, whose heads are locked, that a conversation has changed.
pub(super) fn put(
    sql: &mut Sql,
    stored: BTreeMap<UserId, InboxHead>,
    users: &BTreeSet<UserId>,
    conversation: &ConversationId,
) {
    if users.is_empty() {
        return;
    }
    let mut heads = Heads::new(stored);
    let mut logged = Vec::with_capacity(users.len());
    for user in users {
        let head = heads.get(user);
        let changes = head.changes + 1;
        heads.raise(user, InboxHead { changes, ..head });
        logged.push((user, head.top + changes, changes));
    }
    heads::put_inboxes(sql, &heads);
    sql.push("INSERT INTO changes (user, version, ordinal, conversation) VALUES ");
    sql.rows(logged, |sql, (user, version, ordinal)| {
        sql.user(user).push(", ").number(version).push(", ").number(ordinal).push(", ");
        sql.conversation(conversation);
    });
    sql.push("; ");
}

//! The head of each box: its highest seq, and what there is up to it. Whoever adds a row to a box holds its head.
//!
//! Heads are locked in ascending order: progress, then conversations, then inboxes, each by key. A head that is not
//! there yet cannot be locked: it is inserted, and who inserts it second is a duplicate and begins again.

use std::collections::BTreeMap;

use protocol::{ConversationId, UserId};

use super::sql::{Answer, Columns, Sql};
use crate::Result;
use crate::store::rows::Running;

/// The columns that [`running`] reads.
pub(super) const RUNNING: &str =
    "time_ms, message_count, last_message, mention_all, membership, sent_smaller, sent_larger";

/// The highest seq of a conversation, and what there is up to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OutboxHead {
    pub(super) top: u64,
    pub(super) running: Running,
}

/// The highest seq of an inbox, and how many changes no row of it tells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InboxHead {
    pub(super) top: u64,
    pub(super) changes: u64,
}

/// Heads of one kind in a transaction.
pub(super) struct Heads<K, H> {
    stored: BTreeMap<K, H>,
    raised: BTreeMap<K, H>,
}

impl<K: Ord + Clone, H: Copy + Default> Heads<K, H> {
    pub(super) fn new(stored: BTreeMap<K, H>) -> Self {
        Self { stored, raised: BTreeMap::new() }
    }

    /// The head of a box with what the transaction has added; that of an empty one where it is not there.
    pub(super) fn get(&self, name: &K) -> H {
        self.raised.get(name).or_else(|| self.stored.get(name)).copied().unwrap_or_default()
    }

    pub(super) fn raise(&mut self, name: &K, head: H) {
        match self.raised.get_mut(name) {
            Some(raised) => *raised = head,
            None => {
                self.raised.insert(name.clone(), head);
            }
        }
    }

    fn is_new(&self, name: &K) -> bool {
        !self.stored.contains_key(name)
    }
}

pub(super) fn lock_conversations<'a>(sql: &mut Sql, ids: impl IntoIterator<Item = &'a ConversationId>) {
    sql.push("SELECT id, top, ").push(RUNNING).push(" FROM conversations FORCE INDEX (PRIMARY) WHERE id IN ");
    sql.conversations(ids).push(" ORDER BY id FOR UPDATE; ");
}

pub(super) fn read_conversations<'a>(sql: &mut Sql, ids: impl IntoIterator<Item = &'a ConversationId>) {
    sql.push("SELECT id, top, ").push(RUNNING).push(" FROM conversations FORCE INDEX (PRIMARY) WHERE id IN ");
    sql.conversations(ids).push("; ");
}

pub(super) fn lock_inboxes<'a>(sql: &mut Sql, users: impl IntoIterator<Item = &'a UserId>) {
    sql.push("SELECT user, top, changes FROM inboxes FORCE INDEX (PRIMARY) WHERE user IN ");
    sql.users(users).push(" ORDER BY user FOR UPDATE; ");
}

pub(super) fn read_inboxes<'a>(sql: &mut Sql, users: impl IntoIterator<Item = &'a UserId>) {
    sql.push("SELECT user, top, changes FROM inboxes FORCE INDEX (PRIMARY) WHERE user IN ");
    sql.users(users).push("; ");
}

pub(super) fn conversations(answer: &Answer) -> Result<BTreeMap<ConversationId, OutboxHead>> {
    let head = |row| {
        let mut columns = Columns::of(row, "conversations");
        Ok((columns.conversation()?, OutboxHead { top: columns.number()?, running: running(&mut columns)? }))
    };
    answer.rows.iter().map(head).collect()
}

pub(super) fn inboxes(answer: &Answer) -> Result<BTreeMap<UserId, InboxHead>> {
    let head = |row| {
        let mut columns = Columns::of(row, "inboxes");
        Ok((columns.user()?, InboxHead { top: columns.number()?, changes: columns.number()? }))
    };
    answer.rows.iter().map(head).collect()
}

pub(super) fn running(columns: &mut Columns<'_>) -> Result<Running> {
    Ok(Running {
        time_ms: columns.number()?,
        count: columns.number()?,
        last_message: columns.number()?,
        mention_all: columns.number()?,
        membership: columns.number()?,
        sent: [columns.number()?, columns.number()?],
    })
}

/// Writes the columns of [`RUNNING`].
pub(super) fn write_running(sql: &mut Sql, running: &Running) {
    let Running { time_ms, count, last_message, mention_all, membership, sent: [smaller, larger] } = *running;
    sql.list([time_ms, count, last_message, mention_all, membership, smaller, larger], |sql, number| {
        sql.number(number);
    });
}

/// Writes the heads of conversations that were raised.
pub(super) fn put_conversations(sql: &mut Sql, heads: &Heads<ConversationId, OutboxHead>) {
    let (new, known): (Vec<_>, Vec<_>) = heads.raised.iter().partition(|(id, _)| heads.is_new(id));
    for (heads, end) in [
        (new, "; "),
        (
            known,
            " ON DUPLICATE KEY UPDATE top = VALUES(top), time_ms = VALUES(time_ms), \
              message_count = VALUES(message_count), last_message = VALUES(last_message), \
              mention_all = VALUES(mention_all), membership = VALUES(membership), \
              sent_smaller = VALUES(sent_smaller), sent_larger = VALUES(sent_larger); ",
        ),
    ] {
        if heads.is_empty() {
            continue;
        }
        sql.push("INSERT INTO conversations (id, top, ").push(RUNNING).push(") VALUES ");
        sql.rows(heads, |sql, (id, head)| {
            sql.conversation(id).push(", ").number(head.top).push(", ");
            write_running(sql, &head.running);
        });
        sql.push(end);
    }
}

/// Writes the heads of inboxes that were raised.
pub(super) fn put_inboxes(sql: &mut Sql, heads: &Heads<UserId, InboxHead>) {
    let (new, known): (Vec<_>, Vec<_>) = heads.raised.iter().partition(|(user, _)| heads.is_new(user));
    for (heads, end) in
        [(new, "; "), (known, " ON DUPLICATE KEY UPDATE top = VALUES(top), changes = VALUES(changes); ")]
    {
        if heads.is_empty() {
            continue;
        }
        sql.push("INSERT INTO inboxes (user, top, changes) VALUES ");
        sql.rows(heads, |sql, (user, head)| {
            sql.user(user).push(", ").number(head.top).push(", ").number(head.changes);
        });
        sql.push(end);
    }
}

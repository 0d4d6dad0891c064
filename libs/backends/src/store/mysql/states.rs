//! What a conversation is for one of its users: how far it is read, what the user has chosen for it, and what bounds
//! the user's view.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use protocol::{ConversationId, GroupId, Identifier as _, UserId};

use super::connect::Session;
use super::fan_out::{only_number, unanswered};
use super::groups;
use super::heads::{self, InboxHead, OutboxHead};
use super::lane::Change;
use super::log;
use super::readers::Readers;
use super::sql::{Answer, Columns, Sql, corrupt, limit};
use super::trouble::Trouble;
use crate::Result;
use crate::store::rows::StateRow;
use crate::store::{Group, HistoryRule, ReadMoved, Standing};

const COLUMNS: &str = "joined, left_at, read_to, last_sent, mentioned, pinned, muted";

/// A conversation as far as it is known before its rows are read.
pub(super) struct Part {
    pub(super) state: StateRow,
    /// Its group; `None` for a single chat.
    pub(super) group: Option<Group>,
    /// The other user of a single chat, and what the conversation is for that user.
    pub(super) peer: Option<(UserId, StateRow)>,
    pub(super) standing: Standing,
    pub(super) head: OutboxHead,
}

fn state(columns: &mut Columns<'_>) -> Result<StateRow> {
    Ok(StateRow {
        joined: columns.number()?,
        left: columns.number()?,
        read: columns.number()?,
        last_sent: columns.number()?,
        mentioned: columns.number()?,
        pinned: columns.flag()?,
        muted: columns.flag()?,
    })
}

/// How far a user has read a conversation.
pub(super) struct SetRead {
    pub(super) user: UserId,
    pub(super) conversation: ConversationId,
    pub(super) seq: u64,
}

#[async_trait]
impl Change for SetRead {
    type Answer = Option<ReadMoved>;

    async fn carry_out(
        &self,
        session: &mut Session,
        _again: bool,
    ) -> std::result::Result<Self::Answer, Trouble> {
        let (user, conversation) = (&self.user, &self.conversation);
        // The peer of a single chat is shown how far it is read: for the peer, too, it has changed.
        let concerned: BTreeSet<UserId> =
            conversation.peer_of(user).into_iter().chain([user.clone()]).collect();
        let mut sql = lock(&concerned, user, conversation);
        sql.push("SELECT top FROM conversations WHERE id = ").conversation(conversation);
        let answers = session.run(sql).await?;
        let [_, heads, state, top] = &answers[..] else { return Err(unanswered()) };
        let Some(state) = own_state(state, user, conversation)? else {
            session.roll_back().await?;
            return Ok(None);
        };
        let top = only_number(top, "conversations")?.unwrap_or(0);
        let high = if state.left == 0 { top } else { state.left - 1 };
        let moved = ReadMoved { from: state.read, to: state.read.max(self.seq.min(high)) };
        if moved.to == moved.from {
            session.roll_back().await?;
            return Ok(Some(moved));
        }
        let mut sql = Sql::new("INSERT INTO states (user, conversation, read_to) VALUES (");
        sql.user(user).push(", ").conversation(conversation).push(", ").number(moved.to);
        sql.push(") ON DUPLICATE KEY UPDATE read_to = VALUES(read_to); ");
        log::put(&mut sql, heads::inboxes(heads)?, &concerned, conversation);
        session.run(std::mem::take(sql.push("COMMIT"))).await?;
        Ok(Some(moved))
    }
}

/// What a user has chosen for a conversation.
pub(super) struct SetChoices {
    pub(super) user: UserId,
    pub(super) conversation: ConversationId,
    pub(super) pinned: Option<bool>,
    pub(super) muted: Option<bool>,
}

#[async_trait]
impl Change for SetChoices {
    type Answer = bool;

    async fn carry_out(&self, session: &mut Session, _again: bool) -> std::result::Result<bool, Trouble> {
        let (user, conversation) = (&self.user, &self.conversation);
        let concerned = BTreeSet::from([user.clone()]);
        let answers = session.run(lock(&concerned, user, conversation)).await?;
        let [_, heads, state] = &answers[..] else { return Err(unanswered()) };
        let state = own_state(state, user, conversation)?;
        let pinned = self.pinned.or(state.map(|state| state.pinned));
        let muted = self.muted.or(state.map(|state| state.muted));
        let (Some(state), Some(pinned), Some(muted)) = (state, pinned, muted) else {
            session.roll_back().await?;
            return Ok(false);
        };
        if (pinned, muted) == (state.pinned, state.muted) {
            session.roll_back().await?;
            return Ok(true);
        }
        let mut sql = Sql::new("INSERT INTO states (user, conversation, pinned, muted) VALUES (");
        sql.user(user).push(", ").conversation(conversation).push(", ").flag(pinned).push(", ").flag(muted);
        sql.push(") ON DUPLICATE KEY UPDATE pinned = VALUES(pinned), muted = VALUES(muted); ");
        log::put(&mut sql, heads::inboxes(heads)?, &concerned, conversation);
        session.run(std::mem::take(sql.push("COMMIT"))).await?;
        Ok(true)
    }
}

/// Begins a transaction that holds the heads of some inboxes and a user's state of a conversation.
fn lock(heads: &BTreeSet<UserId>, user: &UserId, conversation: &ConversationId) -> Sql {
    let mut sql = Sql::new("START TRANSACTION; ");
    heads::lock_inboxes(&mut sql, heads);
    sql.push("SELECT ").push(COLUMNS).push(" FROM states WHERE user = ").user(user);
    sql.push(" AND conversation = ").conversation(conversation).push(" FOR UPDATE; ");
    sql
}

/// What a conversation is for a user who has a part in it.
fn own_state(answer: &Answer, user: &UserId, conversation: &ConversationId) -> Result<Option<StateRow>> {
    match answer.rows.first() {
        Some(row) => state(&mut Columns::of(row, "states")).map(Some),
        None => Ok(conversation.peer_of(user).map(|_| StateRow::default())),
    }
}

/// Conversations as far as they are known before their rows are read, in the order asked; `None` where the user has
/// no part in it.
pub(super) async fn parts(
    readers: &Readers,
    user: &UserId,
    conversations: &[ConversationId],
) -> Result<Vec<Option<Part>>> {
    let concerned: Vec<&ConversationId> =
        conversations.iter().filter(|one| one.group_id().is_some() || one.peer_of(user).is_some()).collect();
    if concerned.is_empty() {
        return Ok(conversations.iter().map(|_| None).collect());
    }
    let ids: Vec<GroupId> = concerned.iter().filter_map(|one| one.group_id()).collect();
    let mut states_of: BTreeSet<(UserId, &ConversationId)> = BTreeSet::new();
    for one in &concerned {
        states_of.insert((user.clone(), one));
        states_of.extend(one.peer_of(user).map(|peer| (peer, *one)));
    }
    let ask = || {
        // A state before its head: it never tells of rows that the head does not know.
        let mut sql = Sql::new("SELECT user, conversation, ");
        sql.push(COLUMNS).push(" FROM states WHERE (user, conversation) IN (");
        sql.rows(&states_of, |sql, (user, conversation)| {
            sql.user(user).push(", ").conversation(conversation);
        });
        sql.push("); ");
        groups::ask(&mut sql, ids.iter().map(GroupId::as_str));
        heads::read_conversations(&mut sql, concerned.iter().copied());
        sql
    };
    let answers = readers.read(ask).await?;
    let [states, found, heads] = &answers[..] else { return Err(unanswered().into_error()) };
    let mut known: HashMap<(UserId, ConversationId), StateRow> = HashMap::new();
    for row in &states.rows {
        let mut columns = Columns::of(row, "states");
        let key = (columns.user()?, columns.conversation()?);
        known.insert(key, state(&mut columns)?);
    }
    let found = groups::read(found)?;
    let heads = heads::conversations(heads)?;
    conversations.iter().map(|one| part(user, one, &known, &found, &heads)).collect()
}

fn part(
    user: &UserId,
    conversation: &ConversationId,
    states: &HashMap<(UserId, ConversationId), StateRow>,
    groups: &HashMap<GroupId, Group>,
    heads: &BTreeMap<ConversationId, OutboxHead>,
) -> Result<Option<Part>> {
    let state_of = |user: UserId| states.get(&(user, conversation.clone())).copied();
    let peer = conversation.peer_of(user);
    let state = match state_of(user.clone()) {
        Some(state) => state,
        None if peer.is_some() => StateRow::default(),
        None => return Ok(None),
    };
    let group = match conversation.group_id() {
        Some(id) => match groups.get(&id) {
            Some(group) => Some(group.clone()),
            None => {
                return Err(corrupt(
                    "chat_groups",
                    &format!("group {id} of conversation {conversation} is not there"),
                ));
            }
        },
        None => None,
    };
    let head = heads.get(conversation).copied().unwrap_or_default();
    let standing = Standing {
        joined: state.joined,
        left: state.left,
        history: group.as_ref().map_or(HistoryRule::Joined, |group| group.settings.history),
        dismissed: group.as_ref().is_some_and(|group| group.dismissed),
        super_from: group.as_ref().map_or(0, |group| group.super_from),
        top: head.top,
        read: state.read,
    };
    let peer = peer.map(|peer| (peer.clone(), state_of(peer).unwrap_or_default()));
    Ok(Some(Part { state, group, peer, standing, head }))
}

pub(super) async fn super_groups(
    readers: &Readers,
    user: &UserId,
    after: Option<&ConversationId>,
    count: usize,
) -> Result<Vec<(ConversationId, Standing)>> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT conversation FROM super_groups WHERE user = ");
            sql.user(user);
            if let Some(after) = after {
                sql.push(" AND conversation > ").conversation(after);
            }
            sql.push(" ORDER BY conversation LIMIT ").number(limit(count));
            sql
        })
        .await?;
    let rows = answer.rows.iter().map(|row| Columns::of(row, "super_groups").conversation());
    let conversations = rows.collect::<Result<Vec<_>>>()?;
    let parts = parts(readers, user, &conversations).await?;
    let found = conversations.into_iter().zip(parts);
    // Who has left between the two reads has none any more.
    Ok(found.filter_map(|(conversation, part)| Some((conversation, part?.standing))).collect())
}

/// Up to where each user has read, or has sent.
pub(super) async fn reads(
    readers: &Readers,
    conversation: &ConversationId,
    users: &[UserId],
) -> Result<Vec<u64>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let answers = readers
        .read(|| {
            let mut sql =
                Sql::new("SELECT user, read_to, last_sent FROM states WHERE (user, conversation) IN (");
            sql.rows(users, |sql, user| {
                sql.user(user).push(", ").conversation(conversation);
            });
            sql.push("); ");
            heads::read_conversations(&mut sql, [conversation]);
            sql
        })
        .await?;
    let [states, heads] = &answers[..] else { return Err(unanswered().into_error()) };
    let mut known: HashMap<UserId, (u64, u64)> = HashMap::new();
    for row in &states.rows {
        let mut columns = Columns::of(row, "states");
        known.insert(columns.user()?, (columns.number()?, columns.number()?));
    }
    let head = heads::conversations(heads)?.remove(conversation).unwrap_or_default();
    let pair = conversation.users().map(|pair| (pair, head.running.sent));
    let read = |user: &UserId| {
        let (read, last_sent) = known.get(user).copied().unwrap_or_default();
        let sent = match &pair {
            Some(((smaller, _), sent)) if user == smaller => sent[0],
            Some(((_, larger), sent)) if user == larger => sent[1],
            _ => last_sent,
        };
        read.max(sent)
    };
    Ok(users.iter().map(read).collect())
}

/// The version of a user's conversations, and the head of the inbox.
pub(super) async fn inbox_heads(readers: &Readers, users: &[UserId]) -> Result<BTreeMap<UserId, InboxHead>> {
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::default();
            heads::read_inboxes(&mut sql, users);
            sql
        })
        .await?;
    heads::inboxes(&answer)
}

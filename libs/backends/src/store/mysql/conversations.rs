//! Conversations as they are for a user: computed from what is kept when they are read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use protocol::{ConversationId, UserId};

use super::fan_out::unanswered;
use super::outbox;
use super::pages::{running_of, runnings};
use super::positions;
use super::readers::Readers;
use super::sql::{Columns, Sql, limit};
use super::states::{self, Part};
use crate::Result;
use crate::store::rows::Running;
use crate::store::rules::{Asked, asked, listed_version};
use crate::store::{Conversation, ConversationPage, OutboxRow};

/// Events that are read at a time while what has changed is walked.
const EVENTS_PER_READ: u64 = 1_000;

/// Conversations as they are for a user, in the order asked; `None` where the user has no part in one, or a single
/// chat has no row.
pub(super) async fn conversations(
    readers: &Readers,
    user: &UserId,
    conversations: &[ConversationId],
) -> Result<Vec<Option<Conversation>>> {
    let parts = states::parts(readers, user, conversations).await?;
    let parts: Vec<Option<Part>> =
        parts.into_iter().map(|part| part.filter(|part| part.group.is_some() || part.head.top > 0)).collect();
    let known = conversations.iter().zip(&parts);
    let known: Vec<(&ConversationId, &Part)> =
        known.filter_map(|(conversation, part)| Some((conversation, part.as_ref()?))).collect();
    let mut points: Vec<(&ConversationId, u64)> = Vec::new();
    for (conversation, part) in &known {
        let seqs = [part.standing.high(), base(part, user)];
        points.extend(
            seqs.into_iter().filter(|seq| *seq > 0 && *seq != part.head.top).map(|seq| (*conversation, seq)),
        );
    }
    let runnings = runnings(readers, points).await?;
    let mut lasts: Vec<(&ConversationId, u64)> = Vec::new();
    for (conversation, part) in &known {
        let last = up_to(&runnings, conversation, part, part.standing.high())?.last_message;
        if last >= part.standing.low() && last > 0 {
            lasts.push((conversation, last));
        }
    }
    let mut last_rows = rows(readers, &lasts).await?;
    let peers: BTreeSet<UserId> =
        known.iter().filter_map(|(_, part)| part.peer.as_ref()).map(|(peer, _)| peer.clone()).collect();
    let highest = positions::highest(readers, &peers).await?;
    let mut found = Vec::with_capacity(parts.len());
    for (conversation, part) in conversations.iter().zip(parts) {
        let Some(part) = part else {
            found.push(None);
            continue;
        };
        let last = last_rows.remove(conversation);
        let mut one = assembled(user, conversation, part, &runnings, last)?;
        if let (Some(peer), top) = (conversation.peer_of(user), one.standing.top) {
            let position = highest.get(&peer).copied().unwrap_or(0);
            one.peer_delivered =
                positions::delivered(readers, conversation, &peer, one.peer_read, top, position).await?;
        }
        found.push(Some(one));
    }
    Ok(found)
}

/// Up to where nothing is unread: a message of the user's own tells that all before it was seen.
fn base(part: &Part, user: &UserId) -> u64 {
    let sent = match &part.peer {
        Some((peer, _)) => part.head.running.sent[usize::from(peer < user)],
        None => part.state.last_sent,
    };
    part.state.read.max(sent).max(part.state.joined)
}

/// What there is in a conversation up to a seq.
fn up_to(
    runnings: &BTreeMap<(ConversationId, u64), Running>,
    conversation: &ConversationId,
    part: &Part,
    seq: u64,
) -> Result<Running> {
    if seq == part.head.top { Ok(part.head.running) } else { running_of(runnings, conversation, seq) }
}

/// A conversation, without what the other user's devices have received.
fn assembled(
    user: &UserId,
    conversation: &ConversationId,
    part: Part,
    runnings: &BTreeMap<(ConversationId, u64), Running>,
    last: Option<OutboxRow>,
) -> Result<Conversation> {
    let high = part.standing.high();
    let running = up_to(runnings, conversation, &part, high)?;
    let base = base(&part, user);
    let unread = if base < high {
        running.count.saturating_sub(up_to(runnings, conversation, &part, base)?.count)
    } else {
        0
    };
    let peer_read =
        part.peer.as_ref().map_or(0, |(peer, state)| state.read.max(running.sent[usize::from(user < peer)]));
    Ok(Conversation {
        conversation: conversation.clone(),
        last,
        unread,
        mentioned: part.state.mentioned.max(running.mention_all) > base,
        pinned: part.state.pinned,
        muted: part.state.muted,
        peer_delivered: 0,
        peer_read,
        group: part.group,
        standing: part.standing,
    })
}

/// One row of each of some conversations.
async fn rows(
    readers: &Readers,
    points: &[(&ConversationId, u64)],
) -> Result<BTreeMap<ConversationId, OutboxRow>> {
    if points.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT ");
            sql.push(outbox::COLUMNS).push(" FROM outbox o WHERE (o.conversation, o.seq) IN ");
            outbox::points(&mut sql, points.iter().copied());
            sql
        })
        .await?;
    let row = |row| {
        let row = outbox::row(&mut Columns::of(row, "outbox"))?;
        Ok((row.conversation.clone(), row))
    };
    answer.rows.iter().map(row).collect()
}

/// The user's conversations that have changed since a version.
pub(super) async fn since(
    readers: &Readers,
    user: &UserId,
    version: u64,
    count: usize,
) -> Result<ConversationPage> {
    let heads = states::inbox_heads(readers, std::slice::from_ref(user)).await?;
    let head = heads.get(user).copied().unwrap_or_default();
    let current = head.top + head.changes;
    if let Asked::Listed { place, begun } = asked(version, current) {
        return listed(readers, user, place, begun, count).await;
    }
    let (changed, version) = changed(readers, user, version, current, count).await?;
    let conversations = conversations(readers, user, &changed).await?.into_iter().flatten().collect();
    Ok(ConversationPage { conversations, version, more: version < current })
}

/// A page of all conversations, from a place on.
async fn listed(
    readers: &Readers,
    user: &UserId,
    place: u64,
    begun: u64,
    count: usize,
) -> Result<ConversationPage> {
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT conversation FROM states WHERE user = ");
            sql.user(user).push(" ORDER BY conversation LIMIT ").number(limit(count).saturating_add(1));
            sql.push(" OFFSET ").number(place);
            sql
        })
        .await?;
    let rows = answer.rows.iter().take(count).map(|row| Columns::of(row, "states").conversation());
    let found = rows.collect::<Result<Vec<_>>>()?;
    let next = place + found.len() as u64;
    let (version, more) = listed_version(begun, next, answer.rows.len() > found.len());
    let conversations = conversations(readers, user, &found).await?.into_iter().flatten().collect();
    Ok(ConversationPage { conversations, version, more })
}

/// The conversations that the events above a version name, each once, at most `count`; and the version of the last
/// event that was looked at.
async fn changed(
    readers: &Readers,
    user: &UserId,
    version: u64,
    current: u64,
    count: usize,
) -> Result<(Vec<ConversationId>, u64)> {
    let mut known: HashSet<ConversationId> = HashSet::new();
    let mut found = Vec::new();
    let mut version = version;
    while version < current {
        let events = events(readers, user, version, current).await?;
        if events.is_empty() {
            break;
        }
        for conversation in events {
            if !known.contains(&conversation) {
                if found.len() >= count {
                    return Ok((found, version));
                }
                known.insert(conversation.clone());
                found.push(conversation);
            }
            version += 1;
        }
    }
    Ok((found, version))
}

/// What the next events above a version name: each makes the next version. A change makes the one that it stands
/// under, a row of the inbox one that no change stands under.
async fn events(readers: &Readers, user: &UserId, version: u64, current: u64) -> Result<Vec<ConversationId>> {
    let last = current.min(version + EVENTS_PER_READ);
    let answers = readers
        .read(|| {
            let mut sql = Sql::new("SELECT version, conversation FROM changes WHERE user = ");
            sql.user(user);
            sql.push(" AND version > ").number(version).push(" AND version <= ").number(last);
            sql.push(" ORDER BY version; ");
            // The rows of the inbox up to the version are those that its changes are not.
            sql.push("SELECT inbox_seq, conversation FROM inbox WHERE user = ").user(user);
            sql.push(" AND inbox_seq > ")
                .number(version)
                .push(" - COALESCE((SELECT ordinal FROM changes WHERE user = ");
            sql.user(user).push(" AND version <= ").number(version);
            sql.push(" ORDER BY version DESC LIMIT 1), 0) ORDER BY inbox_seq LIMIT ");
            sql.number(last - version);
            sql
        })
        .await?;
    let [changes, inbox] = &answers[..] else { return Err(unanswered().into_error()) };
    let named = |answer: &super::sql::Answer, table| {
        let row = |row| {
            let mut columns = Columns::of(row, table);
            Ok((columns.number()?, columns.conversation()?))
        };
        answer.rows.iter().map(row).collect::<Result<Vec<(u64, ConversationId)>>>()
    };
    let mut changes = named(changes, "changes")?.into_iter().peekable();
    let mut inbox = named(inbox, "inbox")?.into_iter();
    let mut events = Vec::new();
    for next in version + 1..=last {
        let change = changes.next_if(|(version, _)| *version == next);
        let Some((_, conversation)) = change.or_else(|| inbox.next()) else { break };
        events.push(conversation);
    }
    Ok(events)
}

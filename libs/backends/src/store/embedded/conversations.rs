//! Conversations as they are for a user: computed from what is kept when they are read.

use std::collections::HashSet;

use fjall::Slice;
use protocol::{ConversationId, UserId};

use super::heads::{self, ChangeHead};
use super::keys::{self, CHANGES, INBOX, STATES};
use super::states::{self, Part};
use super::{pages, positions};
use crate::Result;
use crate::database::{View, corrupt};
use crate::store::rows::{ChangeRow, Pointer, Running};
use crate::store::rules::{Asked, asked, listed_version};
use crate::store::{Conversation, ConversationPage};

/// A conversation as it is for a user; `None` where the user has no part in it, or a single chat has no row.
pub(super) fn conversation(
    view: &View<'_>,
    user: &UserId,
    conversation: &ConversationId,
) -> Result<Option<Conversation>> {
    let Some(part) = states::part(view, user, conversation)? else { return Ok(None) };
    let Part { state, group, peer, standing } = part;
    if group.is_none() && standing.top == 0 {
        return Ok(None);
    }
    let high = standing.high();
    let running = up_to(view, conversation, high)?;
    let sent = match &peer {
        Some(peer) => running.sent[usize::from(peer < user)],
        None => state.last_sent,
    };
    // A message of the user's own tells that all before it was seen.
    let base = state.read.max(sent).max(state.joined);
    let unread =
        if base < high { running.count.saturating_sub(up_to(view, conversation, base)?.count) } else { 0 };
    let last = running.last_message;
    let last = if last >= standing.low() && last > 0 {
        Some(pages::row(view, conversation.clone(), last)?.0)
    } else {
        None
    };
    let (peer_delivered, peer_read) = match &peer {
        Some(peer) => {
            let theirs = running.sent[usize::from(user < peer)];
            let read = states::stored_state(view, peer, conversation)?.unwrap_or_default().read.max(theirs);
            (positions::delivered(view, conversation, peer, read, standing.top)?, read)
        }
        None => (0, 0),
    };
    Ok(Some(Conversation {
        conversation: conversation.clone(),
        group,
        standing,
        last,
        unread,
        mentioned: state.mentioned.max(running.mention_all) > base,
        pinned: state.pinned,
        muted: state.muted,
        peer_delivered,
        peer_read,
    }))
}

/// What there is in a conversation up to a seq.
fn up_to(view: &View<'_>, conversation: &ConversationId, seq: u64) -> Result<Running> {
    match seq {
        0 => Ok(Running::default()),
        seq => pages::running(view, conversation, seq),
    }
}

/// The user's conversations that have changed since a version.
pub(super) fn since(view: &View<'_>, user: &UserId, version: u64, limit: usize) -> Result<ConversationPage> {
    let box_key = keys::of_user(CHANGES, user);
    let inbox_top = pages::inbox_top(view, user)?;
    let changes_count = heads::head::<ChangeHead>(view, &box_key)?.ordinal;
    let current = inbox_top + changes_count;
    if let Asked::Listed { place, begun } = asked(version, current) {
        return listed(view, user, place, begun, limit);
    }
    let (changed, version) = changed(view, user, version, current, limit)?;
    let conversations = read(view, user, &changed)?;
    Ok(ConversationPage { conversations, version, more: version < current })
}

/// A page of all conversations, from a place on.
fn listed(view: &View<'_>, user: &UserId, place: u64, begun: u64, limit: usize) -> Result<ConversationPage> {
    let beginning = keys::of_user(STATES, user);
    let skipped = usize::try_from(place).unwrap_or(usize::MAX);
    let mut rows = view.range(STATES, &beginning, &keys::end_of(&beginning)).skip(skipped);
    let mut found = Vec::new();
    for row in rows.by_ref().take(limit) {
        let (key, _) = row?;
        let conversation = keys::last_text(&beginning, &key).and_then(ConversationId::parse);
        found.push(conversation.ok_or_else(|| corrupt(STATES, &key))?);
    }
    let next = place + found.len() as u64;
    let (version, more) = listed_version(begun, next, rows.next().transpose()?.is_some());
    Ok(ConversationPage { conversations: read(view, user, &found)?, version, more })
}

fn read(view: &View<'_>, user: &UserId, conversations: &[ConversationId]) -> Result<Vec<Conversation>> {
    conversations.iter().filter_map(|id| conversation(view, user, id).transpose()).collect()
}

/// The conversations that the events above a version name, each once, at most `limit`; and the version of the last
/// event that was looked at.
fn changed(
    view: &View<'_>,
    user: &UserId,
    version: u64,
    current: u64,
    limit: usize,
) -> Result<(Vec<ConversationId>, u64)> {
    let box_key = keys::of_user(CHANGES, user);
    let before: ChangeHead = heads::head_up_to(view, &box_key, version)?;
    let first = version - before.ordinal + 1;
    let mut inbox = view.range(INBOX, &keys::inbox(user, first), &keys::inbox(user, u64::MAX));
    let mut changes = view.range(CHANGES, &keys::change(user, version + 1), &keys::change(user, u64::MAX));
    let mut next_change: Option<(Slice, Slice)> = changes.next().transpose()?;
    let mut known: HashSet<Slice> = HashSet::new();
    let mut found = Vec::new();
    let mut version = version;
    while version < current {
        // The change that makes the next version, else the next row of the inbox makes it.
        let is_change =
            next_change.as_ref().is_some_and(|(key, _)| keys::last_number(key) == Some(version + 1));
        let (table, key, row) = if is_change {
            let following = changes.next().transpose()?;
            let Some((key, row)) = std::mem::replace(&mut next_change, following) else { break };
            (CHANGES, key, row)
        } else {
            let Some((key, row)) = inbox.next().transpose()? else { break };
            (INBOX, key, row)
        };
        let name = if is_change {
            ChangeRow::decode(&row).map(|change| change.conversation)
        } else {
            Pointer::decode_parts(&row).map(|(_, _, conversation)| conversation)
        };
        let name = name.ok_or_else(|| corrupt(table, &key))?;
        if !known.contains(name.as_bytes()) {
            if found.len() >= limit {
                return Ok((found, version));
            }
            found.push(ConversationId::parse(name).ok_or_else(|| corrupt(table, &key))?);
            known.insert(Slice::from(name));
        }
        version += 1;
    }
    Ok((found, version))
}

//! What a conversation is for one of its users: how far it is read, what the user has chosen for it, and what bounds
//! the user's view.

use fjall::Slice;
use protocol::{ConversationId, UserId};

use super::changes::{Changes, decoded, state};
use super::heads::{self, OutboxHead};
use super::keys::{self, GROUPS, Key, OUTBOX, STATES, SUPERS};
use super::{groups, pages};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{View, corrupt};
use crate::store::rows::StateRow;
use crate::store::{Group, HistoryRule, ReadMoved, Standing};

/// A conversation as far as it is known before its rows are read.
pub(super) struct Part {
    pub(super) state: StateRow,
    /// Its group; `None` for a single chat.
    pub(super) group: Option<Group>,
    /// The other user of a single chat.
    pub(super) peer: Option<UserId>,
    pub(super) standing: Standing,
}

impl Changes {
    pub(super) fn set_read(
        &mut self,
        draft: &mut Draft,
        user: &UserId,
        conversation: &ConversationId,
        seq: u64,
    ) -> Result<Option<ReadMoved>> {
        let Some((key, state)) = own_state(draft, user, conversation)? else { return Ok(None) };
        let top = self.outbox_heads.get(draft, &keys::of_conversation(OUTBOX, conversation))?.top;
        let high = if state.left == 0 { top } else { state.left - 1 };
        let moved = ReadMoved { from: state.read, to: state.read.max(seq.min(high)) };
        if moved.to > moved.from {
            // The peer of a single chat is shown how far it is read: for the peer, too, it has changed.
            let peer = conversation.peer_of(user).filter(|peer| peer != user);
            let mut logged = vec![self.log(draft, user)?];
            if let Some(peer) = &peer {
                logged.push(self.log(draft, peer)?);
            }
            draft.put(STATES, key, StateRow { read: moved.to, ..state }.encode());
            for logged in logged {
                self.put_logged(draft, logged, conversation);
            }
        }
        Ok(Some(moved))
    }

    pub(super) fn set_choices(
        &mut self,
        draft: &mut Draft,
        user: &UserId,
        conversation: &ConversationId,
        pinned: Option<bool>,
        muted: Option<bool>,
    ) -> Result<bool> {
        let Some((key, state)) = own_state(draft, user, conversation)? else { return Ok(false) };
        let chosen =
            StateRow { pinned: pinned.unwrap_or(state.pinned), muted: muted.unwrap_or(state.muted), ..state };
        if chosen != state {
            let logged = self.log(draft, user)?;
            draft.put(STATES, key, chosen.encode());
            self.put_logged(draft, logged, conversation);
        }
        Ok(true)
    }
}

/// What a conversation is for a user who has a part in it.
fn own_state(draft: &Draft, user: &UserId, conversation: &ConversationId) -> Result<Option<(Key, StateRow)>> {
    let (key, state) = state(draft, user, conversation)?;
    let own = conversation.peer_of(user).is_some();
    Ok(state.or_else(|| own.then(StateRow::default)).map(|state| (key, state)))
}

/// A conversation as far as it is known before its rows are read; `None` where the user has no part in it.
pub(super) fn part(view: &View<'_>, user: &UserId, conversation: &ConversationId) -> Result<Option<Part>> {
    let peer = conversation.peer_of(user);
    let group_id = conversation.group_id();
    if peer.is_none() && group_id.is_none() {
        return Ok(None);
    }
    let state = match stored_state(view, user, conversation)? {
        Some(state) => state,
        None if peer.is_some() => StateRow::default(),
        None => return Ok(None),
    };
    let group = match group_id {
        Some(group_id) => {
            let group = groups::group(view, &group_id)?;
            Some(group.ok_or_else(|| corrupt(GROUPS, &keys::of_group(GROUPS, &group_id)))?)
        }
        None => None,
    };
    let top = pages::top(view, conversation)?;
    let standing = Standing {
        joined: state.joined,
        left: state.left,
        history: group.as_ref().map_or(HistoryRule::Joined, |group| group.settings.history),
        dismissed: group.as_ref().is_some_and(|group| group.dismissed),
        super_from: group.as_ref().map_or(0, |group| group.super_from),
        top,
        read: state.read,
    };
    Ok(Some(Part { state, group, peer, standing }))
}

/// What bounds a user's view of a conversation; `None` where the user has no part in it.
pub(super) fn standing(
    view: &View<'_>,
    user: &UserId,
    conversation: &ConversationId,
) -> Result<Option<Standing>> {
    Ok(part(view, user, conversation)?.map(|part| part.standing))
}

/// The super groups of a user, ascending.
pub(super) fn super_groups(
    view: &View<'_>,
    user: &UserId,
    after: Option<&ConversationId>,
    limit: usize,
) -> Result<Vec<ConversationId>> {
    let beginning = keys::of_user(SUPERS, user);
    let first =
        after.map_or_else(|| beginning.clone(), |after| keys::after(&keys::state(SUPERS, user, after)));
    let conversation = |row: Result<(Slice, Slice)>| {
        let (key, _) = row?;
        let conversation = keys::last_text(&beginning, &key).and_then(ConversationId::parse);
        conversation.ok_or_else(|| corrupt(SUPERS, &key))
    };
    view.range(SUPERS, &first, &keys::end_of(&beginning)).take(limit).map(conversation).collect()
}

/// What bounds a user's view of a super group that the user has.
pub(super) fn super_group(
    view: &View<'_>,
    user: &UserId,
    conversation: ConversationId,
) -> Result<(ConversationId, Standing)> {
    let standing = standing(view, user, &conversation)?;
    let standing = standing.ok_or_else(|| corrupt(STATES, &keys::state(STATES, user, &conversation)))?;
    Ok((conversation, standing))
}

/// Up to where each user has read, or has sent.
pub(super) fn reads(view: &View<'_>, conversation: &ConversationId, users: &[UserId]) -> Result<Vec<u64>> {
    let sent = match conversation.users() {
        Some(pair) => {
            let head: OutboxHead = heads::head(view, &keys::of_conversation(OUTBOX, conversation))?;
            Some((pair, head.running.sent))
        }
        None => None,
    };
    let read = |user| {
        let state = stored_state(view, user, conversation)?.unwrap_or_default();
        let sent = match &sent {
            Some(((smaller, _), sent)) if user == smaller => sent[0],
            Some(((_, larger), sent)) if user == larger => sent[1],
            _ => state.last_sent,
        };
        Ok(state.read.max(sent))
    };
    users.iter().map(read).collect()
}

/// What a conversation is for a user.
pub(super) fn stored_state(
    view: &View<'_>,
    user: &UserId,
    conversation: &ConversationId,
) -> Result<Option<StateRow>> {
    let key = keys::state(STATES, user, conversation);
    decoded(view.get(STATES, &key)?, STATES, &key, StateRow::decode)
}

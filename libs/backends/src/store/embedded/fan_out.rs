//! Fan-out: one row of a conversation into many inboxes, each once, whoever asks how often.
//!
//! What a call wrote stands in one row under the conversation and the seq, until the fan-out is done with that seq:
//! a call looks at the rows of those before it.

use std::collections::HashMap;

use fjall::Slice;
use protocol::{ConversationId, Identifier, UserId};

use super::changes::{Changes, number, stored_number};
use super::heads::InboxHead;
use super::keys::{self, FAN_OUTS, GROUPS, INBOX, MEMBERS, OUTBOX, PROGRESS};
use crate::database::draft::Draft;
use crate::database::{View, corrupt};
use crate::store::rows::{self, MemberRow, Pointer, Stored, Written};
use crate::store::rules::check_length;
use crate::{Error, Kind, Result};

impl Changes {
    pub(super) fn fan_out(
        &mut self,
        draft: &mut Draft,
        conversation: &ConversationId,
        seq: u64,
        users: &[UserId],
    ) -> Result<Vec<u64>> {
        let mut known = known(draft, conversation, seq, users)?;
        let distinct = users.is_sorted_by(|one, other| one < other);
        let mut inbox_seqs = Vec::with_capacity(users.len());
        let mut written = Vec::with_capacity(users.len());
        let mut boxes = Vec::with_capacity(users.len());
        for user in users {
            if let Some(inbox_seq) = known.get(user) {
                inbox_seqs.push(*inbox_seq);
                continue;
            }
            let box_key = keys::of_user(INBOX, user);
            let inbox_seq = self.inbox_heads.get(draft, &box_key)?.top + 1;
            inbox_seqs.push(inbox_seq);
            if !distinct {
                known.insert(user.clone(), inbox_seq);
            }
            written.push((user.clone(), inbox_seq));
            boxes.push((box_key, inbox_seq));
        }
        // From here on nothing fails.
        let pointer = Slice::from(Pointer::encode(conversation, seq, 0));
        for (box_key, inbox_seq) in boxes {
            draft.put_unread(INBOX, keys::in_box(&box_key, inbox_seq), pointer.clone());
            self.inbox_heads.raise(&box_key, InboxHead { top: inbox_seq });
        }
        written.sort_unstable();
        if let Some((first, _)) = written.first() {
            let key = keys::fan_out(conversation, seq, first);
            draft.put(FAN_OUTS, key, Written(written).encode());
        }
        Ok(inbox_seqs)
    }
}

/// Who of some users has a row already, and its seq in each inbox.
fn known(
    draft: &Draft,
    conversation: &ConversationId,
    seq: u64,
    users: &[UserId],
) -> Result<HashMap<UserId, u64, foldhash::fast::RandomState>> {
    let outbox_key = keys::outbox(conversation, seq);
    let Some(row) = draft.get(OUTBOX, &outbox_key)? else {
        let message = format!("conversation {conversation} has no row {seq}");
        return Err(Error::new(Kind::Missing, message));
    };
    let done = number(draft, PROGRESS, &keys::of_conversation(PROGRESS, conversation))?.unwrap_or(0);
    if seq <= done {
        let message = format!("row {seq} of conversation {conversation} is fanned out: all up to {done} are");
        return Err(Error::new(Kind::Conflict, message));
    }
    let stored = Stored::decode(&row).ok_or_else(|| corrupt(OUTBOX, &outbox_key))?;
    let mut known: HashMap<_, _, _> = stored.inboxes.into_iter().collect();
    let (Some(lowest), Some(highest)) = (users.iter().min(), users.iter().max()) else { return Ok(known) };
    let beginning = keys::fan_outs(conversation, seq);
    // A row begins with the first user that it has, so none beyond the highest asked for is of interest.
    let last = keys::fan_out(conversation, seq, highest);
    for (key, row) in draft.range(FAN_OUTS, &beginning, &last)? {
        let last = Written::decode_last(&row).ok_or_else(|| corrupt(FAN_OUTS, &key))?;
        if last >= lowest.as_str() {
            known.extend(Written::decode(&row).ok_or_else(|| corrupt(FAN_OUTS, &key))?.0);
        }
    }
    Ok(known)
}

pub(super) fn advance_fanned_out(
    draft: &mut Draft,
    conversation: &ConversationId,
    from: u64,
    to: u64,
) -> Result<bool> {
    check_length("conversation", conversation.as_str())?;
    let key = keys::of_conversation(PROGRESS, conversation);
    if number(draft, PROGRESS, &key)?.unwrap_or(0) != from {
        return Ok(false);
    }
    if to > from {
        let (first, last) =
            (keys::fan_outs(conversation, from + 1), keys::end_of(&keys::fan_outs(conversation, to)));
        for done in draft.range(FAN_OUTS, &first, &last)?.into_keys() {
            draft.remove(FAN_OUTS, done);
        }
    }
    draft.put(PROGRESS, key, rows::encode_number(to));
    Ok(true)
}

pub(super) fn fanned_out_to(view: &View<'_>, conversation: &ConversationId) -> Result<u64> {
    Ok(stored_number(view, PROGRESS, &keys::of_conversation(PROGRESS, conversation))?.unwrap_or(0))
}

pub(super) fn receivers(view: &View<'_>, conversation: &ConversationId, seq: u64) -> Result<Vec<UserId>> {
    if let Some((smaller, larger)) = conversation.users() {
        return Ok(if smaller == larger { vec![smaller] } else { vec![smaller, larger] });
    }
    let group = conversation.group_id();
    let known = match &group {
        Some(group) => view.get(GROUPS, &keys::of_group(GROUPS, group))?.and(Some(group)),
        None => None,
    };
    let Some(group) = known else {
        return Err(Error::new(Kind::Missing, format!("there is no group of conversation {conversation}")));
    };
    let beginning = keys::of_group(MEMBERS, group);
    let mut receivers = Vec::new();
    for row in view.range(MEMBERS, &beginning, &keys::end_of(&beginning)) {
        let (key, row) = row?;
        let member = MemberRow::decode(&row).ok_or_else(|| corrupt(MEMBERS, &key))?;
        if member.receives(seq) {
            let user = keys::last_text(&beginning, &key).and_then(|user| UserId::new(user).ok());
            receivers.push(user.ok_or_else(|| corrupt(MEMBERS, &key))?);
        }
    }
    Ok(receivers)
}

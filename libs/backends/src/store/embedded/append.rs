//! Appends: a row of a conversation, its inbox rows where they are named, its intent and its first answer.

use fjall::Slice;
use protocol::{ConversationId, GroupId, UserId};

use super::answers::Answers;
use super::blocks::Blocks;
use super::changes::{Changes, decoded, state};
use super::heads::InboxHead;
use super::keys::{self, GROUPS, INBOX, Key, MEMBERS, OUTBOX, STATES};
use crate::Result;
use crate::database::draft::Draft;
use crate::store::rows::{GroupFacts, MemberRow, Pointer, StateRow, Stored};
use crate::store::rules::{check_length, denied_by_group, fan_out_of, running_after};
use crate::store::{Append, Appended, Denied, Guard, Outcome, Replacement};

/// A user's inbox as a row leaves it.
struct Received {
    user: UserId,
    box_key: Key,
    inbox_seq: u64,
}

/// A row that is to be put under a key.
type Put = (Key, Vec<u8>);

impl Changes {
    pub(super) fn append(&mut self, draft: &mut Draft, append: Append) -> Result<Outcome> {
        check_length("conversation", append.conversation.as_str())?;
        check_length("client message id", &append.client_message_id)?;
        let answer = keys::answer(&append.sender, &append.client_message_id);
        if let Some(first) = Answers::first(draft, &answer)? {
            return Ok(Outcome::Written(first));
        }
        let group = append.conversation.group_id();
        let facts = match &group {
            Some(group) => facts(draft, group)?,
            None => None,
        };
        let outbox = keys::of_conversation(OUTBOX, &append.conversation);
        let head = self.outbox_heads.get(draft, &outbox)?;
        if let Some(denied) = denied(&mut self.blocks, draft, &append, group.as_ref(), facts, head.top)? {
            return Ok(Outcome::Denied(denied));
        }
        let replaced = match &append.replaces {
            Some(replacement) => match replaced(draft, &append.conversation, replacement)? {
                Some(replaced) => Some(replaced),
                None => return Ok(Outcome::Denied(Denied::NoTarget)),
            },
            None => None,
        };
        let seq = head.top + 1;
        let states = states(draft, &append, group.is_some(), seq)?;
        let (received, inbox_seqs) = self.received(draft, &append.inboxes)?;
        // From here on nothing fails.
        let running = running_after(&append, head.running, seq);
        let fan_out = fan_out_of(group.is_some(), facts.map_or(0, |facts| facts.super_from), seq);
        let Append { conversation, message_id, sender, client_message_id, counted, content, .. } = append;
        if let Some((key, row)) = replaced {
            draft.put(OUTBOX, key, row);
        }
        for (key, row) in states {
            draft.put(STATES, key, row);
        }
        let mut inboxes = Vec::with_capacity(received.len());
        let pointer = Slice::from(Pointer::encode(&conversation, seq, 0));
        for Received { user, box_key, inbox_seq } in received {
            draft.put_unread(INBOX, keys::in_box(&box_key, inbox_seq), pointer.clone());
            self.inbox_heads.raise(&box_key, InboxHead { top: inbox_seq });
            inboxes.push((user, inbox_seq));
        }
        let time_ms = running.time_ms;
        let pointer = Pointer::encode(&conversation, seq, message_id);
        self.answers.add(draft, answer, pointer, (time_ms, message_id));
        let stored =
            Stored { running, counted, fan_out, message_id, sender, client_message_id, inboxes, content };
        self.put_row(draft, &conversation, &outbox, seq, &stored);
        let duplicate = false;
        Ok(Outcome::Written(Appended {
            conversation,
            seq,
            message_id,
            time_ms,
            fan_out,
            inbox_seqs,
            duplicate,
        }))
    }

    /// The inboxes that get a row, and the seq in each that was named.
    fn received(&self, draft: &Draft, users: &[UserId]) -> Result<(Vec<Received>, Vec<u64>)> {
        let mut received: Vec<Received> = Vec::with_capacity(users.len());
        let mut inbox_seqs = Vec::with_capacity(users.len());
        for user in users {
            if let Some(known) = received.iter().find(|known| known.user == *user) {
                inbox_seqs.push(known.inbox_seq);
                continue;
            }
            let box_key = keys::of_user(INBOX, user);
            let inbox_seq = self.inbox_heads.get(draft, &box_key)?.top + 1;
            inbox_seqs.push(inbox_seq);
            received.push(Received { user: user.clone(), box_key, inbox_seq });
        }
        Ok((received, inbox_seqs))
    }
}

/// Why the guard does not hold.
fn denied(
    blocks: &mut Blocks,
    draft: &Draft,
    append: &Append,
    group: Option<&GroupId>,
    facts: Option<GroupFacts>,
    top: u64,
) -> Result<Option<Denied>> {
    let write = match &append.guard {
        Guard::None => return Ok(None),
        Guard::Single { receiver, existing } => {
            if blocks.have(draft, receiver, &append.sender)? {
                return Ok(Some(Denied::Blocked));
            }
            return Ok((*existing && top == 0).then_some(Denied::NoConversation));
        }
        Guard::Member => false,
        Guard::MayWrite => true,
    };
    let member = match (group, facts) {
        (Some(group), Some(_)) => {
            let key = keys::member(MEMBERS, group, &append.sender);
            decoded(draft.get(MEMBERS, &key)?, MEMBERS, &key, MemberRow::decode)?
        }
        _ => None,
    };
    Ok(denied_by_group(facts.as_ref(), member.as_ref(), write, append.time_ms))
}

fn facts(draft: &Draft, group: &GroupId) -> Result<Option<GroupFacts>> {
    let key = keys::of_group(GROUPS, group);
    decoded(draft.get(GROUPS, &key)?, GROUPS, &key, GroupFacts::decode)
}

/// The earlier row with its other content; `None` where it is not there.
fn replaced(draft: &Draft, conversation: &ConversationId, replacement: &Replacement) -> Result<Option<Put>> {
    let key = keys::outbox(conversation, replacement.seq);
    let stored = decoded(draft.get(OUTBOX, &key)?, OUTBOX, &key, Stored::decode)?;
    Ok(stored.map(|stored| {
        let stored = Stored { content: replacement.content.clone(), ..stored };
        (key, stored.encode())
    }))
}

/// What the row changes in what the conversation is for its users.
fn states(draft: &Draft, append: &Append, group: bool, seq: u64) -> Result<Vec<Put>> {
    let mut states: Vec<(&UserId, Key, StateRow)> = Vec::new();
    let mut of = |user, begins: bool, change: &dyn Fn(&mut StateRow)| -> Result<()> {
        if let Some((_, _, state)) = states.iter_mut().find(|(known, ..)| *known == user) {
            change(state);
            return Ok(());
        }
        let (key, state) = state(draft, user, &append.conversation)?;
        let state = if begins { Some(state.unwrap_or_default()) } else { state };
        // Who is not in the group has no part in the row.
        if let Some(mut state) = state.filter(|state| !group || state.is_in()) {
            change(&mut state);
            states.push((user, key, state));
        }
        Ok(())
    };
    let users = if seq == 1 { append.conversation.users() } else { None };
    if let Some((smaller, larger)) = &users {
        of(smaller, true, &|_| {})?;
        of(larger, true, &|_| {})?;
    }
    if group && append.counted {
        of(&append.sender, false, &|state| state.last_sent = seq)?;
    }
    for user in &append.mentions {
        of(user, false, &|state| state.mentioned = seq)?;
    }
    Ok(states.into_iter().map(|(_, key, state)| (key, state.encode())).collect())
}

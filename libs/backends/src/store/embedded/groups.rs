//! Groups, their members, and those who ask to be.
//!
//! A change of a group is one commit: its record, its members, what the conversation is for those whom it concerns,
//! and the row that tells it.

use std::collections::BTreeSet;

use protocol::{ConversationId, GroupId, Identifier, UserId};

use super::changes::{Changes, Logged, decoded, number, state};
use super::heads::OutboxHead;
use super::keys::{self, GROUPS, JOIN_REQUESTS, MEMBERS, OUTBOX, PROGRESS, STATES, SUPERS};
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{View, corrupt};
use crate::store::rows::{
    MemberRow, StateRow, Stored, decode_group, decode_request, encode_group, encode_request,
};
use crate::store::rules::{self, NextGroup};
use crate::store::{Group, GroupChange, GroupChanged, JoinRequest, Member, MemberChange, SuperChange};

/// What a change makes of one member.
struct NextMember {
    user: UserId,
    row: MemberRow,
    /// What the conversation is for the user, where the user comes or goes.
    state: Option<StateRow>,
}

impl Changes {
    pub(super) fn change_group(
        &mut self,
        draft: &mut Draft,
        change: GroupChange,
    ) -> Result<Option<GroupChanged>> {
        let conversation = ConversationId::group(&change.group);
        let outbox = keys::of_conversation(OUTBOX, &conversation);
        let head = self.outbox_heads.get(draft, &outbox)?;
        let Some(mut next) = next_group(draft, &change, &conversation, head)? else { return Ok(None) };
        let members = next_members(draft, &mut next, &conversation, &change.members)?;
        let mut concerned: BTreeSet<UserId> = members
            .iter()
            .filter(|member| member.state.is_some())
            .map(|member| member.user.clone())
            .collect();
        let moved = !concerned.is_empty();
        let converted = if change.super_change == SuperChange::AfterThisRow {
            let stay = converted(draft, &next.group.group, &members)?;
            concerned.extend(stay.iter().cloned());
            stay
        } else {
            Vec::new()
        };
        let logged = self.log_all(draft, &concerned)?;
        // From here on nothing fails.
        put_members(draft, &next.group, &conversation, members);
        for user in converted {
            draft.put(SUPERS, keys::state(SUPERS, &user, &conversation), []);
        }
        for logged in logged {
            self.put_logged(draft, logged, &conversation);
        }
        draft.put(GROUPS, keys::of_group(GROUPS, &next.group.group), encode_group(&next.group));
        let NextGroup { group, seq, time_ms, fan_out, .. } = next;
        let mut running = head.running;
        running.time_ms = time_ms;
        if moved {
            running.membership = seq;
        }
        let stored = Stored {
            running,
            counted: false,
            fan_out,
            message_id: change.message_id,
            sender: change.by,
            client_message_id: String::new(),
            inboxes: Vec::new(),
            content: change.content,
        };
        self.put_row(draft, &conversation, &outbox, seq, &stored);
        Ok(Some(GroupChanged { group, seq, time_ms, fan_out }))
    }

    fn log_all(&self, draft: &Draft, users: &BTreeSet<UserId>) -> Result<Vec<Logged>> {
        users.iter().map(|user| self.log(draft, user)).collect()
    }
}

/// What the change makes of the group; `None` where its version is not the expected one.
fn next_group(
    draft: &Draft,
    change: &GroupChange,
    conversation: &ConversationId,
    head: OutboxHead,
) -> Result<Option<NextGroup>> {
    let key = keys::of_group(GROUPS, &change.group);
    let known = decoded(draft.get(GROUPS, &key)?, GROUPS, &key, |row| decode_group(&change.group, row))?;
    let done = number(draft, PROGRESS, &keys::of_conversation(PROGRESS, conversation))?.unwrap_or(0);
    Ok(rules::next_group(change, known.as_ref(), head.top, head.running.time_ms, done))
}

/// The members whom the change names as it leaves them; counts them.
fn next_members(
    draft: &Draft,
    next: &mut NextGroup,
    conversation: &ConversationId,
    changes: &[MemberChange],
) -> Result<Vec<NextMember>> {
    let mut members = Vec::with_capacity(changes.len());
    for change in changes {
        let key = keys::member(MEMBERS, &next.group.group, &change.user);
        let known = decoded(draft.get(MEMBERS, &key)?, MEMBERS, &key, MemberRow::decode)?;
        let Some((row, moves)) = rules::next_member(next, change, known) else { continue };
        let state = if moves {
            let (_, state) = state(draft, &change.user, conversation)?;
            Some(StateRow { joined: row.joined, left: row.left, ..state.unwrap_or_default() })
        } else {
            None
        };
        members.push(NextMember { user: change.user.clone(), row, state });
    }
    Ok(members)
}

/// The members of a group that is converted who were in it before and stay.
fn converted(draft: &Draft, group: &GroupId, changed: &[NextMember]) -> Result<Vec<UserId>> {
    let left: BTreeSet<&UserId> =
        changed.iter().filter(|member| !member.row.is_in()).map(|member| &member.user).collect();
    let beginning = keys::of_group(MEMBERS, group);
    let mut stay = Vec::new();
    for (key, row) in draft.range(MEMBERS, &beginning, &keys::end_of(&beginning))? {
        let member = MemberRow::decode(&row).ok_or_else(|| corrupt(MEMBERS, &key))?;
        let user = user_of(&beginning, &key).ok_or_else(|| corrupt(MEMBERS, &key))?;
        if member.is_in() && !left.contains(&user) {
            stay.push(user);
        }
    }
    Ok(stay)
}

fn put_members(draft: &mut Draft, group: &Group, conversation: &ConversationId, members: Vec<NextMember>) {
    for NextMember { user, row, state } in members {
        draft.put(MEMBERS, keys::member(MEMBERS, &group.group, &user), row.encode());
        let Some(state) = state else { continue };
        if group.is_super() {
            let key = keys::state(SUPERS, &user, conversation);
            if row.is_in() {
                draft.put(SUPERS, key, []);
            } else {
                draft.remove(SUPERS, key);
            }
        }
        draft.put(STATES, keys::state(STATES, &user, conversation), state.encode());
    }
}

pub(super) fn put_join_request(
    draft: &mut Draft,
    group: &GroupId,
    request: &JoinRequest,
    limit: usize,
) -> Result<bool> {
    let key = keys::member(JOIN_REQUESTS, group, &request.user);
    let beginning = keys::of_group(JOIN_REQUESTS, group);
    let known = draft.range(JOIN_REQUESTS, &beginning, &keys::end_of(&beginning))?;
    let others_count = known.keys().filter(|other| ***other != *key).count();
    if others_count >= limit {
        return Ok(false);
    }
    draft.put(JOIN_REQUESTS, key, encode_request(request));
    Ok(true)
}

pub(super) fn remove_join_request(draft: &mut Draft, group: &GroupId, user: &UserId) -> Result<bool> {
    let key = keys::member(JOIN_REQUESTS, group, user);
    let known = draft.get(JOIN_REQUESTS, &key)?.is_some();
    if known {
        draft.remove(JOIN_REQUESTS, key);
    }
    Ok(known)
}

pub(super) fn join_requests(view: &View<'_>, group: &GroupId) -> Result<Vec<JoinRequest>> {
    let beginning = keys::of_group(JOIN_REQUESTS, group);
    view.range(JOIN_REQUESTS, &beginning, &keys::end_of(&beginning))
        .map(|row| {
            let (key, row) = row?;
            let request = user_of(&beginning, &key).and_then(|user| decode_request(user, &row));
            request.ok_or_else(|| corrupt(JOIN_REQUESTS, &key))
        })
        .collect()
}

pub(super) fn group(view: &View<'_>, group: &GroupId) -> Result<Option<Group>> {
    let key = keys::of_group(GROUPS, group);
    decoded(view.get(GROUPS, &key)?, GROUPS, &key, |row| decode_group(group, row))
}

pub(super) fn member(view: &View<'_>, group: &GroupId, user: &UserId) -> Result<Option<Member>> {
    let key = keys::member(MEMBERS, group, user);
    let row = decoded(view.get(MEMBERS, &key)?, MEMBERS, &key, MemberRow::decode)?;
    Ok(row.map(|row| row.into_member(user.clone())))
}

pub(super) fn members_page(
    view: &View<'_>,
    group: &GroupId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<Member>> {
    let beginning = keys::of_group(MEMBERS, group);
    let first =
        after.map_or_else(|| beginning.clone(), |user| keys::after(&keys::member(MEMBERS, group, user)));
    let mut members = Vec::new();
    for row in view.range(MEMBERS, &first, &keys::end_of(&beginning)) {
        if members.len() == limit {
            break;
        }
        let (key, row) = row?;
        let row = MemberRow::decode(&row).ok_or_else(|| corrupt(MEMBERS, &key))?;
        if row.is_in() {
            let user = user_of(&beginning, &key).ok_or_else(|| corrupt(MEMBERS, &key))?;
            members.push(row.into_member(user));
        }
    }
    Ok(members)
}

fn user_of(beginning: &[u8], key: &[u8]) -> Option<UserId> {
    UserId::new(keys::last_text(beginning, key)?).ok()
}

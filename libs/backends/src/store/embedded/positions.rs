//! How far devices have received, and when a user's last one went away.

use std::collections::HashMap;

use fjall::Slice;
use protocol::{ConversationId, DeviceId, UserId};

use super::changes::{number, stored_number};
use super::keys::{self, INBOX, Key, LAST_SEEN, POSITIONS};
use super::pages;
use crate::Result;
use crate::database::draft::Draft;
use crate::database::{Table, View, corrupt};
use crate::store::Position;
use crate::store::rows::{self, Pointer};

pub(super) fn set_positions(draft: &mut Draft, positions: &[Position]) -> Result<()> {
    let positions = positions
        .iter()
        .map(|position| (keys::position(&position.user, &position.device), position.inbox_seq));
    raise(draft, POSITIONS, positions)
}

pub(super) fn set_last_seen(draft: &mut Draft, seen: &[(UserId, u64)]) -> Result<()> {
    raise(draft, LAST_SEEN, seen.iter().map(|(user, time_ms)| (keys::of_user(LAST_SEEN, user), *time_ms)))
}

/// Puts numbers where there is none or a lower one.
fn raise(draft: &mut Draft, table: Table, numbers: impl Iterator<Item = (Key, u64)>) -> Result<()> {
    let mut raised: HashMap<Slice, u64> = HashMap::new();

    for (key, value) in numbers {
        let key = Slice::from(key);
        let known = match raised.get(&key) {
            Some(known) => Some(*known),
            None => number(draft, table, &key)?,
        };
        if known.is_none_or(|known| value > known) {
            raised.insert(key, value);
        }
    }
    for (key, value) in raised {
        draft.put(table, key, rows::encode_number(value));
    }
    Ok(())
}

/// The position of a device; `None` where none was ever recorded.
pub(super) fn position(view: &View<'_>, user: &UserId, device: &DeviceId) -> Result<Option<u64>> {
    stored_number(view, POSITIONS, &keys::position(user, device))
}

/// When a user's last device went away; 0: not known.
pub(super) fn last_seen(view: &View<'_>, user: &UserId) -> Result<u64> {
    Ok(stored_number(view, LAST_SEEN, &keys::of_user(LAST_SEEN, user))?.unwrap_or(0))
}

/// The highest seq of a single chat, at least `low`, that a device of a user has received.
pub(super) fn delivered(
    view: &View<'_>,
    conversation: &ConversationId,
    user: &UserId,
    low: u64,
    top: u64,
) -> Result<u64> {
    if low >= top {
        return Ok(low);
    }
    let position = highest_position(view, user)?;
    let is_received = |seq| -> Result<bool> {
        let inbox_seq = pages::stored(view, conversation, seq)?.inbox_seq_of(user);
        Ok(inbox_seq.is_some_and(|inbox_seq| inbox_seq <= position))
    };
    if position == 0 {
        return Ok(low);
    }
    if is_received(top)? {
        return Ok(top);
    }
    // The seqs in the inbox rise with those in the conversation.
    let (mut low, mut high) = (low, top - 1);
    while low < high {
        let middle = high - (high - low) / 2;
        if is_received(middle)? {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

/// Devices of a user that are looked at for what was delivered; a user with more is one who makes them up.
const DEVICES_MAX: usize = 256;

/// Up to where the device of a user that is furthest has received.
fn highest_position(view: &View<'_>, user: &UserId) -> Result<u64> {
    let beginning = keys::of_user(POSITIONS, user);
    let mut highest = 0;
    for row in view.range(POSITIONS, &beginning, &keys::end_of(&beginning)).take(DEVICES_MAX) {
        let (key, row) = row?;
        highest = highest.max(rows::decode_number(&row).ok_or_else(|| corrupt(POSITIONS, &key))?);
    }
    Ok(highest)
}

/// The highest seq that others sent to each single chat in a part of a user's inbox.
pub(super) fn received(
    view: &View<'_>,
    user: &UserId,
    from: u64,
    to: u64,
    limit: usize,
) -> Result<Vec<(ConversationId, u64)>> {
    let to = to.min(pages::inbox_top(view, user)?);
    if from >= to {
        return Ok(Vec::new());
    }
    let mut found: Vec<(ConversationId, u64)> = Vec::new();
    let mut known: HashMap<ConversationId, bool, foldhash::fast::RandomState> = HashMap::default();
    let rows = view.range(INBOX, &keys::inbox(user, from + 1), &keys::inbox(user, to));
    // Backwards: the first row of a chat that another sent is the highest.
    for row in rows.rev().take(limit) {
        let (key, row) = row?;
        let pointer = Pointer::decode(&row).ok_or_else(|| corrupt(INBOX, &key))?;
        let done = known
            .entry(pointer.conversation.clone())
            .or_insert_with(|| pointer.conversation.peer_of(user).is_none_or(|peer| peer == *user));
        if *done {
            continue;
        }
        if pages::stored(view, &pointer.conversation, pointer.seq)?.sender != *user {
            *done = true;
            found.push((pointer.conversation, pointer.seq));
        }
    }
    Ok(found)
}

//! Parts of boxes: of an inbox, of outboxes, and of a conversation's history.

use fjall::Slice;
use protocol::{ConversationId, UserId};

use super::heads;
use super::keys::{self, INBOX, OUTBOX};
use crate::Result;
use crate::database::{View, corrupt};
use crate::store::rows::{Pointer, Running, Stored};
use crate::store::rules::{bounds, span};
use crate::store::{HistoryFrom, HistoryPage, HistoryRange, InboxRow, OutboxRange, OutboxRow};

/// Rows that are sought one by one: for more a scan, which is costly to begin, costs less.
const SOUGHT_COUNT_MAX: u64 = 4;

/// Where the message of an inbox row stands.
pub(super) struct Place {
    inbox_seq: u64,
    conversation: ConversationId,
    seq: u64,
}

/// A page of an inbox before its messages are read, and the inbox's top.
pub(super) fn inbox_places(
    view: &View<'_>,
    user: &UserId,
    begin: u64,
    end: u64,
    limit: usize,
) -> Result<(Vec<Place>, u64)> {
    let top = inbox_top(view, user)?;
    let (first, last) = (begin.max(1), if end == 0 { top } else { end.min(top) });
    if first > last {
        return Ok((Vec::new(), top));
    }
    let place = |row: Result<(Slice, Slice)>| {
        let (key, row) = row?;
        let inbox_seq = keys::last_number(&key).ok_or_else(|| corrupt(INBOX, &key))?;
        let Pointer { conversation, seq, .. } = Pointer::decode(&row).ok_or_else(|| corrupt(INBOX, &key))?;
        Ok(Place { inbox_seq, conversation, seq })
    };
    let rows = view.range(INBOX, &keys::inbox(user, first), &keys::inbox(user, last));
    Ok((rows.take(limit).map(place).collect::<Result<_>>()?, top))
}

/// An inbox row with its message.
pub(super) fn inbox_row(view: &View<'_>, place: Place) -> Result<InboxRow> {
    let Place { inbox_seq, conversation, seq } = place;
    let (message, _) = row(view, conversation, seq)?;
    Ok(InboxRow { inbox_seq, message })
}

pub(super) fn outbox_pages(
    view: &View<'_>,
    ranges: &[OutboxRange],
    limit: usize,
) -> Result<Vec<Vec<OutboxRow>>> {
    let mut left = limit;
    ranges
        .iter()
        .map(|range| {
            let last = if range.end == 0 { u64::MAX } else { range.end };
            let rows = ascending(view, &range.conversation, range.begin.max(1), last, left)?;
            left -= rows.len();
            Ok(rows)
        })
        .collect()
}

pub(super) fn history(view: &View<'_>, range: &HistoryRange) -> Result<HistoryPage> {
    let conversation = &range.conversation;
    let top = top(view, conversation)?;
    let first_at = match range.from {
        HistoryFrom::Before(_) | HistoryFrom::After(_) => 0,
        HistoryFrom::BeforeTime(time_ms) | HistoryFrom::AfterTime(time_ms) => {
            first_at(view, conversation, top, time_ms)?
        }
    };
    match span(&bounds(range, top, first_at), range.limit) {
        Some((first, last, more)) => {
            Ok(HistoryPage { rows: ascending(view, conversation, first, last, range.limit)?, more })
        }
        None => Ok(HistoryPage::default()),
    }
}

/// A row of an outbox, and the inboxes written with it.
pub(super) fn row(
    view: &View<'_>,
    conversation: ConversationId,
    seq: u64,
) -> Result<(OutboxRow, Vec<(UserId, u64)>)> {
    let mut stored = stored(view, &conversation, seq)?;
    let inboxes = std::mem::take(&mut stored.inboxes);
    Ok((stored.into_row(conversation, seq), inboxes))
}

/// A row of an outbox that must be there.
pub(super) fn stored(view: &View<'_>, conversation: &ConversationId, seq: u64) -> Result<Stored> {
    let key = keys::outbox(conversation, seq);
    view.get(OUTBOX, &key)?.and_then(|row| Stored::decode(&row)).ok_or_else(|| corrupt(OUTBOX, &key))
}

/// What a row of an outbox, which must be there, says of those up to it.
pub(super) fn running(view: &View<'_>, conversation: &ConversationId, seq: u64) -> Result<Running> {
    let key = keys::outbox(conversation, seq);
    view.get(OUTBOX, &key)?.and_then(|row| Running::decode(&row)).ok_or_else(|| corrupt(OUTBOX, &key))
}

/// The highest seq of an inbox, 0 where it is empty.
pub(super) fn inbox_top(view: &View<'_>, user: &UserId) -> Result<u64> {
    heads::top(view, INBOX, &keys::of_user(INBOX, user))
}

/// The highest seq of a conversation, 0 where it is empty.
pub(super) fn top(view: &View<'_>, conversation: &ConversationId) -> Result<u64> {
    heads::top(view, OUTBOX, &keys::of_conversation(OUTBOX, conversation))
}

fn ascending(
    view: &View<'_>,
    conversation: &ConversationId,
    first: u64,
    last: u64,
    limit: usize,
) -> Result<Vec<OutboxRow>> {
    if first > last || limit == 0 {
        return Ok(Vec::new());
    }
    let row = |key: &[u8], row: &[u8]| {
        let seq = keys::last_number(key).ok_or_else(|| corrupt(OUTBOX, key))?;
        let stored = Stored::decode(row).ok_or_else(|| corrupt(OUTBOX, key))?;
        Ok(stored.into_row(conversation.clone(), seq))
    };
    if last - first < SOUGHT_COUNT_MAX {
        let mut rows = Vec::new();
        for seq in (first..=last).take(limit) {
            let key = keys::outbox(conversation, seq);
            // Nothing is above the top.
            let Some(stored) = view.get(OUTBOX, &key)? else { break };
            rows.push(row(&key, &stored)?);
        }
        return Ok(rows);
    }
    let rows = view.range(OUTBOX, &keys::outbox(conversation, first), &keys::outbox(conversation, last));
    rows.take(limit).map(|found| found.and_then(|(key, stored)| row(&key, &stored))).collect()
}

/// The first seq sent at or after a time; one above the top where there is none. Times never fall.
fn first_at(view: &View<'_>, conversation: &ConversationId, top: u64, time_ms: u64) -> Result<u64> {
    let (mut low, mut high) = (1, top + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if running(view, conversation, middle)?.time_ms < time_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

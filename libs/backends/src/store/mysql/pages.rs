//! Parts of boxes: of an inbox, of outboxes, and of a conversation's history.

use std::collections::BTreeMap;
use std::ops::Range;

use protocol::{ConversationId, UserId};

use super::fan_out::{only_number, unanswered};
use super::heads::{self, RUNNING};
use super::outbox;
use super::readers::Readers;
use super::sql::{Columns, Sql, corrupt, limit};
use crate::Result;
use crate::store::rows::Running;
use crate::store::rules::{bounds, span};
use crate::store::{HistoryFrom, HistoryPage, HistoryRange, InboxPage, InboxRow, OutboxRange, OutboxRow};

/// Places that one step of a search looks at: it finds one of a million in five steps.
const PROBES_COUNT: u64 = 16;

pub(super) async fn inbox_page(
    readers: &Readers,
    user: &UserId,
    begin: u64,
    end: u64,
    count: usize,
) -> Result<InboxPage> {
    let answers = readers
        .read(|| {
            let mut sql = Sql::new("SELECT top FROM inboxes WHERE user = ");
            sql.user(user).push("; SELECT i.inbox_seq, ").push(outbox::COLUMNS);
            sql.push(
                " FROM inbox i FORCE INDEX (PRIMARY) \
                 STRAIGHT_JOIN outbox o ON o.conversation = i.conversation AND o.seq = i.seq WHERE i.user = ",
            );
            sql.user(user).push(" AND i.inbox_seq >= ").number(begin);
            if end > 0 {
                sql.push(" AND i.inbox_seq <= ").number(end);
            }
            sql.push(" ORDER BY i.inbox_seq LIMIT ").number(limit(count));
            sql
        })
        .await?;
    let [top, rows] = &answers[..] else { return Err(unanswered().into_error()) };
    let top = only_number(top, "inboxes")?.unwrap_or(0);
    let mut page = InboxPage { rows: Vec::with_capacity(rows.rows.len()), top };
    for row in &rows.rows {
        let mut columns = Columns::of(row, "inbox");
        let inbox_seq = columns.number()?;
        // What has come since the top was read belongs to the next page.
        if inbox_seq > top {
            break;
        }
        page.rows.push(InboxRow { inbox_seq, message: outbox::row(&mut columns)? });
    }
    Ok(page)
}

pub(super) async fn outbox_pages(
    readers: &Readers,
    ranges: &[OutboxRange],
    count: usize,
) -> Result<Vec<Vec<OutboxRow>>> {
    let conversations: Vec<ConversationId> = ranges.iter().map(|range| range.conversation.clone()).collect();
    let tops = outbox_tops(readers, &conversations).await?;
    // Seqs are consecutive: how many rows each part has is known before they are read.
    let mut left = limit(count);
    let mut asked = Vec::new();
    for (place, (range, top)) in ranges.iter().zip(tops).enumerate() {
        let first = range.begin.max(1);
        let last = if range.end == 0 { top } else { range.end.min(top) };
        let last = last.min(first.saturating_add(left).saturating_sub(1));
        if left > 0 && first <= last {
            left -= last - first + 1;
            asked.push((place, first, last));
        }
    }
    let mut pages: Vec<Vec<OutboxRow>> = ranges.iter().map(|_| Vec::new()).collect();
    if asked.is_empty() {
        return Ok(pages);
    }
    let answers = readers
        .read(|| {
            let mut sql = Sql::default();
            for (place, first, last) in &asked {
                ask_rows(&mut sql, &ranges[*place].conversation, *first, *last);
            }
            sql
        })
        .await?;
    if answers.len() != asked.len() {
        return Err(unanswered().into_error());
    }
    for ((place, ..), answer) in asked.into_iter().zip(answers) {
        let rows = answer.rows.iter().map(|row| outbox::row(&mut Columns::of(row, "outbox")));
        pages[place] = rows.collect::<Result<_>>()?;
    }
    Ok(pages)
}

/// Asks for the rows of a part of an outbox, ascending.
fn ask_rows(sql: &mut Sql, conversation: &ConversationId, first: u64, last: u64) {
    sql.push("SELECT ").push(outbox::COLUMNS).push(" FROM outbox o WHERE o.conversation = ");
    sql.conversation(conversation).push(" AND o.seq BETWEEN ").number(first).push(" AND ").number(last);
    sql.push(" ORDER BY o.seq; ");
}

pub(super) async fn outbox_tops(readers: &Readers, conversations: &[ConversationId]) -> Result<Vec<u64>> {
    if conversations.is_empty() {
        return Ok(Vec::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::default();
            heads::read_conversations(&mut sql, conversations);
            sql
        })
        .await?;
    let heads = heads::conversations(&answer)?;
    Ok(conversations.iter().map(|id| heads.get(id).map_or(0, |head| head.top)).collect())
}

pub(super) async fn history(readers: &Readers, range: &HistoryRange) -> Result<HistoryPage> {
    let conversation = &range.conversation;
    let top = outbox_tops(readers, std::slice::from_ref(conversation)).await?.first().copied().unwrap_or(0);
    let first_at = match range.from {
        HistoryFrom::Before(_) | HistoryFrom::After(_) => 0,
        // Times never fall.
        HistoryFrom::BeforeTime(time_ms) | HistoryFrom::AfterTime(time_ms) => {
            let mut search = Search::of(1..top + 1);
            while let Some(seqs) = search.places() {
                let points = seqs.iter().map(|seq| (conversation, *seq)).collect();
                let known = runnings(readers, points).await?;
                let is_before = |seq: &u64| Ok(running_of(&known, conversation, *seq)?.time_ms < time_ms);
                search.learn(&seqs, &seqs.iter().map(is_before).collect::<Result<Vec<bool>>>()?);
            }
            search.found()
        }
    };
    let Some((first, last, more)) = span(&bounds(range, top, first_at), range.limit) else {
        return Ok(HistoryPage::default());
    };
    if first > last {
        return Ok(HistoryPage { rows: Vec::new(), more });
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::default();
            ask_rows(&mut sql, conversation, first, last);
            sql
        })
        .await?;
    let rows = answer.rows.iter().map(|row| outbox::row(&mut Columns::of(row, "outbox")));
    Ok(HistoryPage { rows: rows.collect::<Result<_>>()?, more })
}

/// Looks for the first place of a range for which something does not hold, its end where it holds for all; it holds
/// for none behind one for which it does not.
pub(super) struct Search {
    range: Range<u64>,
}

impl Search {
    pub(super) fn of(range: Range<u64>) -> Self {
        Self { range }
    }

    /// The places of which it is to be learned whether it holds; `None` when the place is found.
    pub(super) fn places(&self) -> Option<Vec<u64>> {
        let (low, high) = (self.range.start, self.range.end);
        let length = high.saturating_sub(low);
        let count = PROBES_COUNT.min(length);
        (length > 0).then(|| (0..count).map(|probe| low + length / count * probe).collect())
    }

    pub(super) fn learn(&mut self, places: &[u64], holds: &[bool]) {
        for (place, holds) in places.iter().zip(holds) {
            if *holds {
                self.range.start = self.range.start.max(place + 1);
            } else {
                self.range.end = self.range.end.min(*place);
            }
        }
    }

    pub(super) fn found(&self) -> u64 {
        self.range.start
    }
}

/// What rows of outboxes say of those up to them.
pub(super) async fn runnings(
    readers: &Readers,
    points: Vec<(&ConversationId, u64)>,
) -> Result<BTreeMap<(ConversationId, u64), Running>> {
    if points.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = readers
        .read_one(|| {
            let mut sql = Sql::new("SELECT conversation, seq, ");
            sql.push(RUNNING).push(" FROM outbox WHERE (conversation, seq) IN ");
            outbox::points(&mut sql, points.iter().copied());
            sql
        })
        .await?;
    let running = |row| {
        let mut columns = Columns::of(row, "outbox");
        Ok(((columns.conversation()?, columns.number()?), heads::running(&mut columns)?))
    };
    answer.rows.iter().map(running).collect()
}

/// What a row that must be there says; of none, nothing.
pub(super) fn running_of(
    known: &BTreeMap<(ConversationId, u64), Running>,
    conversation: &ConversationId,
    seq: u64,
) -> Result<Running> {
    if seq == 0 {
        return Ok(Running::default());
    }
    let running = known.get(&(conversation.clone(), seq)).copied();
    running.ok_or_else(|| corrupt("outbox", &format!("row {seq} of {conversation} is not there")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_first_place_for_which_it_does_not_hold() {
        for length in [0, 1, 2, 15, 16, 17, 31, 1000] {
            for first in 0..=length {
                let mut search = Search::of(5..5 + length);
                let mut steps = 0;
                while let Some(places) = search.places() {
                    assert!(places.iter().all(|place| (5..5 + length).contains(place)));
                    search.learn(&places, &places.iter().map(|place| *place < 5 + first).collect::<Vec<_>>());
                    steps += 1;
                }
                assert_eq!(search.found(), 5 + first);
                assert!(steps <= 6, "{steps} steps for {length}");
            }
        }
    }
}

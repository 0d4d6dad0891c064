//! What a client missed of its super groups: where they stand, and pages of many of them at once.
//!
//! A super group's rows are in no inbox. A client keeps up to which seq it holds each of them, and names those
//! positions; all pages of a request are one batch of reads, whatever the number of groups, and cost what they
//! answer. A page never leaves what the user may see: it begins above the join and ends below the leaving.

use std::sync::Arc;

use backends::store::{OutboxRange, OutboxRow, Standing, Store};
use contracts::im::Asker;
use contracts::{Error, Result};
use prost::Message as _;
use protocol::client::{
    GroupPage, GroupPosition, GroupTop, GroupTops, GroupTopsReply, SyncGroups, SyncGroupsReply,
};
use protocol::limits::{GROUP_TOPS_PAGE_DEFAULT, GROUP_TOPS_PAGE_MAX};
use protocol::{Code, ConversationId, UserId};

use crate::history::{self, PAGE_BYTES_MAX};
use crate::{conversation, failure};

/// Reads super groups.
#[derive(Clone)]
pub(crate) struct GroupSync {
    store: Arc<dyn Store>,
}

/// What is asked of one super group, within what the user may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    begin: u64,
    /// The last seq that the user may see.
    end: u64,
}

impl GroupSync {
    /// Reads this store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Answers a page of each super group that is named.
    pub(crate) async fn sync_groups(&self, asker: &Asker, request: SyncGroups) -> Result<SyncGroupsReply> {
        let count = request.positions.len();
        if count > GROUP_TOPS_PAGE_MAX as usize {
            let message = format!("{count} positions are asked for: give up to {GROUP_TOPS_PAGE_MAX}");
            return Err(Error::refused(Code::TooLarge, message));
        }
        let conversations =
            request.positions.iter().map(|position| conversation::parse(&position.conversation));
        let conversations = conversations.collect::<Result<Vec<ConversationId>>>()?;
        let standings = self.store.standings(&asker.user, &conversations).await;
        let standings = standings.map_err(failure::of_backend)?;
        let mut wanted = Vec::with_capacity(count);
        for (position, standing) in request.positions.iter().zip(standings) {
            wanted.push(wanted_of(position, standing)?);
        }
        // An end of 0 would be the top, and what is empty need not be read.
        let has_rows = |wanted: &Wanted| wanted.begin <= wanted.end;
        let ranges: Vec<OutboxRange> = conversations
            .iter()
            .zip(&wanted)
            .filter(|(_, wanted)| has_rows(wanted))
            .map(|(conversation, wanted)| OutboxRange {
                conversation: conversation.clone(),
                begin: wanted.begin,
                end: wanted.end,
            })
            .collect();
        let limit = history::page_limit(request.limit);
        let mut read = self.read(&ranges, limit).await?.into_iter();
        let mut budget = Budget { bytes_left: PAGE_BYTES_MAX, is_first: true };
        let page = |(conversation, wanted): (&ConversationId, &Wanted)| {
            let read = if has_rows(wanted) { read.next().unwrap_or_default() } else { Vec::new() };
            page_of(conversation, *wanted, &read, &mut budget)
        };
        Ok(SyncGroupsReply { groups: conversations.iter().zip(&wanted).map(page).collect() })
    }

    /// Answers where the user's super groups stand, a page of them.
    pub(crate) async fn group_tops(&self, asker: &Asker, request: GroupTops) -> Result<GroupTopsReply> {
        let after = match request.cursor.as_str() {
            "" => None,
            cursor => Some(conversation::parse(cursor)?),
        };
        let limit = match request.limit {
            0 => GROUP_TOPS_PAGE_DEFAULT,
            limit => limit.min(GROUP_TOPS_PAGE_MAX),
        };
        let (groups, next) = self.page(&asker.user, after.as_ref(), limit as usize).await?;
        Ok(GroupTopsReply { groups, next })
    }

    /// The first of a user's super groups, and the cursor with which they go on; empty where these are all.
    pub(crate) async fn first_page(&self, user: &UserId) -> Result<(Vec<GroupTop>, String)> {
        self.page(user, None, GROUP_TOPS_PAGE_DEFAULT as usize).await
    }

    async fn page(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<(Vec<GroupTop>, String)> {
        // One more tells whether there is more.
        let found = self.store.super_groups(user, after, limit + 1).await.map_err(failure::of_backend)?;
        let has_more = found.len() > limit;
        let groups: Vec<GroupTop> = found.into_iter().take(limit).map(top_of).collect();
        let last = groups.last().filter(|_| has_more);
        let next = last.map(|group| group.conversation.clone()).unwrap_or_default();
        Ok((groups, next))
    }

    async fn read(&self, ranges: &[OutboxRange], limit: usize) -> Result<Vec<Vec<OutboxRow>>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        self.store.outbox_pages(ranges, limit).await.map_err(failure::of_backend)
    }
}

fn top_of((conversation, standing): (ConversationId, Standing)) -> GroupTop {
    GroupTop {
        conversation: conversation.as_str().to_owned(),
        top: standing.high(),
        read_up_to: Some(standing.read),
        joined: Some(standing.joined),
    }
}

/// What of a position lies within what the user may see.
fn wanted_of(position: &GroupPosition, standing: Option<Standing>) -> Result<Wanted> {
    let standing = standing.filter(|standing| standing.super_from > 0);
    let standing = standing.ok_or_else(|| conversation::unknown(&position.conversation))?;
    Ok(Wanted { begin: position.begin.max(standing.low()), end: standing.high() })
}

/// What the messages of an answer may still weigh; the first one may weigh anything.
struct Budget {
    bytes_left: usize,
    is_first: bool,
}

impl Budget {
    fn takes(&mut self, bytes: usize) -> bool {
        let fits = self.is_first || bytes <= self.bytes_left;
        self.is_first = false;
        // What does not fit ends the answer, so that a page has no hole where a later message is smaller.
        self.bytes_left = if fits { self.bytes_left.saturating_sub(bytes) } else { 0 };
        fits
    }
}

/// The page of what was read, as far as the budget goes.
fn page_of(
    conversation: &ConversationId,
    wanted: Wanted,
    read: &[OutboxRow],
    budget: &mut Budget,
) -> GroupPage {
    let mut messages = Vec::with_capacity(read.len());
    let mut next = wanted.begin;
    for row in read {
        if let Some(message) = history::message_of(row) {
            if !budget.takes(message.encoded_len()) {
                break;
            }
            messages.push(message);
        }
        next = row.seq + 1;
    }
    let next = if next > wanted.end { 0 } else { next };
    GroupPage { conversation: conversation.as_str().to_owned(), messages, top: wanted.end, next }
}

#[cfg(test)]
mod tests {
    use backends::mailbox;
    use backends::store::{FanOut, OutboxRow};
    use protocol::client::{Message, message::Content};
    use protocol::{GroupId, Identifier};

    use super::*;

    fn read(conversation: &ConversationId, seqs: std::ops::RangeInclusive<u64>) -> Vec<OutboxRow> {
        let said = Message { content: Some(Content::Text("x".repeat(400))), ..Message::default() };
        let row = |seq| OutboxRow {
            conversation: conversation.clone(),
            seq,
            message_id: seq,
            sender: UserId::new("alice").unwrap(),
            client_message_id: seq.to_string(),
            time_ms: seq,
            content: mailbox::encode_content(&said),
            counted: true,
            fan_out: FanOut::OnRead,
            membership_seq: 1,
        };
        seqs.map(row).collect()
    }

    fn seqs(page: &GroupPage) -> Vec<u64> {
        page.messages.iter().map(|message| message.seq).collect()
    }

    #[test]
    fn an_answer_is_cut_to_its_bytes_and_each_page_goes_on_where_it_stopped() {
        let conversation = ConversationId::group(&GroupId::new("g").unwrap());
        let wanted = Wanted { begin: 5, end: 9 };
        let rows = read(&conversation, 5..=9);
        let mut budget = Budget { bytes_left: 1_100, is_first: true };
        let first = page_of(&conversation, wanted, &rows, &mut budget);
        assert_eq!((seqs(&first), first.next, first.top), (vec![5, 6], 7, 9));
        let second = page_of(&conversation, wanted, &rows, &mut budget);
        assert_eq!((seqs(&second), second.next), (vec![], 5), "nothing of it was covered");
        let mut small = Budget { bytes_left: 10, is_first: true };
        let page = page_of(&conversation, wanted, &rows, &mut small);
        assert_eq!((seqs(&page), page.next), (vec![5], 6), "one message is always given");
        let mut large = Budget { bytes_left: 100_000, is_first: true };
        assert_eq!(page_of(&conversation, wanted, &rows, &mut large).next, 0);
    }

    #[test]
    fn a_page_whose_rows_were_used_up_by_others_says_where_it_goes_on() {
        let conversation = ConversationId::group(&GroupId::new("g").unwrap());
        let mut budget = Budget { bytes_left: 10_000, is_first: true };
        let wanted = Wanted { begin: 3, end: 9 };
        let page = page_of(&conversation, wanted, &[], &mut budget);
        assert_eq!((seqs(&page), page.next), (vec![], 3));
        let nothing = Wanted { begin: 10, end: 9 };
        let page = page_of(&conversation, nothing, &[], &mut budget);
        assert_eq!((page.next, page.top), (0, 9));
    }
}

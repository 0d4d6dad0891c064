//! A conversation read backwards or forwards, by seq or by time, within what the user may see.
//!
//! A member of a group sees what lies between the join and the leaving, or from the first row on where the group
//! says so; the store is asked for nothing outside of that.

use std::sync::Arc;

use backends::mailbox;
use backends::store::{HistoryFrom, HistoryRange, OutboxRow, Store};
use contracts::im::Asker;
use contracts::{Error, Result};
use prost::Message as _;
use protocol::Code;
use protocol::client::{History, HistoryReply, Message};
use protocol::limits::{SYNC_MESSAGES_DEFAULT, SYNC_MESSAGES_MAX};

use crate::{conversation, failure};

/// Bytes of the messages of one page, as of a page of sync; at least one message is always given.
pub(crate) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Reads conversations.
pub(crate) struct Histories {
    store: Arc<dyn Store>,
}

impl Histories {
    /// Reads this store.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Answers a page of a conversation.
    pub(crate) async fn history(&self, asker: &Asker, request: History) -> Result<HistoryReply> {
        let from = from_of(&request)?;
        let conversation = conversation::parse(&request.conversation)?;
        let standings = self.store.standings(&asker.user, std::slice::from_ref(&conversation)).await;
        let standing = standings.map_err(failure::of_backend)?.into_iter().next().flatten();
        let standing = standing.ok_or_else(|| conversation::unknown(conversation.as_str()))?;
        let (low, high) = (standing.low(), standing.high());
        // A bound of 0 would be the top.
        if high < low {
            return Ok(HistoryReply::default());
        }
        let limit = page_limit(request.limit);
        let range = HistoryRange { conversation, low, high, from, limit };
        let page = self.store.history(range).await.map_err(failure::of_backend)?;
        let messages = page.rows.iter().filter_map(message_of).collect();
        let mut reply = HistoryReply { messages, more: page.more };
        let backwards = matches!(from, HistoryFrom::Before(_) | HistoryFrom::BeforeTime(_));
        cut(&mut reply, backwards, PAGE_BYTES_MAX);
        Ok(reply)
    }
}

/// How many messages a page has where a client asks for this many.
pub(crate) fn page_limit(asked: u32) -> usize {
    match asked {
        0 => SYNC_MESSAGES_DEFAULT as usize,
        limit => limit.min(SYNC_MESSAGES_MAX) as usize,
    }
}

/// The message of a row. One that cannot be read is left out rather than refused: all that comes after it would be
/// out of reach.
pub(crate) fn message_of(row: &OutboxRow) -> Option<Message> {
    match mailbox::message_of(row) {
        Ok(message) => Some(message),
        Err(error) => {
            let (conversation, seq) = (&row.conversation, row.seq);
            tracing::error!(target: "im", ?error, %conversation, seq, "a message is lost");
            metrics::counter!("anser_im_unreadable_total").increment(1);
            None
        }
    }
}

/// From where a client wants to read.
fn from_of(request: &History) -> Result<HistoryFrom> {
    let given = [
        request.before.map(HistoryFrom::Before),
        request.after.map(HistoryFrom::After),
        request.before_ms.map(HistoryFrom::BeforeTime),
        request.after_ms.map(HistoryFrom::AfterTime),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (None, _) => Ok(HistoryFrom::Before(u64::MAX)),
        (Some(from), None) => Ok(from),
        (Some(_), Some(_)) => Err(Error::refused(
            Code::InvalidArgument,
            "history goes from one place: give one of before, after, beforeMs and afterMs",
        )),
    }
}

/// Cuts a page to a bound in bytes at its far end.
fn cut(reply: &mut HistoryReply, backwards: bool, bytes_max: usize) {
    let mut bytes = 0;
    let fits = |message: &&Message| {
        bytes += message.encoded_len();
        bytes <= bytes_max
    };
    let count = reply.messages.len();
    let kept_count = match backwards {
        true => reply.messages.iter().rev().take_while(fits).count(),
        false => reply.messages.iter().take_while(fits).count(),
    };
    let kept_count = kept_count.max(1);
    if kept_count >= count {
        return;
    }
    if backwards {
        reply.messages.drain(..count - kept_count);
    } else {
        reply.messages.truncate(kept_count);
    }
    reply.more = true;
}

#[cfg(test)]
mod tests {
    use protocol::client::message::Content;

    use super::*;

    fn page() -> HistoryReply {
        let message =
            |seq| Message { seq, content: Some(Content::Text("x".repeat(400))), ..Message::default() };
        HistoryReply { messages: (5..=9).map(message).collect(), more: false }
    }

    #[test]
    fn a_page_of_long_messages_is_cut_at_its_far_end() {
        for (backwards, bytes_max, seqs, more) in [
            (true, 1_000, vec![8, 9], true),
            (false, 1_000, vec![5, 6], true),
            (true, 10, vec![9], true),
            (false, 10, vec![5], true),
            (true, 10_000, vec![5, 6, 7, 8, 9], false),
        ] {
            let mut reply = page();
            cut(&mut reply, backwards, bytes_max);
            let kept: Vec<u64> = reply.messages.iter().map(|message| message.seq).collect();
            assert_eq!((kept, reply.more), (seqs, more), "backwards: {backwards}, {bytes_max} bytes");
        }
    }
}

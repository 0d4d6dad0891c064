//! Sync: a page of the user's own inbox.

use protocol::client::{Sync, SyncReply};
use protocol::code::Code;
use protocol::codec::ReplyKind;
use protocol::limits;

use super::{ReplyTo, failure};
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// Bytes of the messages of one page; the next page goes on behind them. At least one message is always given.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Answers a page. What comes behind it waits, so that a client that never reads has one page on its way.
pub(super) fn sync(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, sync: Sync) {
    let im = shard.calls().im;
    let session = shard.connection(place).and_then(|connection| connection.session.as_ref());
    let Some(session) = session else { return };
    let Some(user) = session.user.clone() else {
        return shard.refuse(place, to, Code::NotAllowed, "an anonymous connection has no inbox");
    };
    let begin = if sync.begin == 0 { session.inbox.acked.saturating_add(1) } else { sync.begin };
    let limit = match sync.limit {
        0 => limits::SYNC_MESSAGES_DEFAULT,
        limit => limit.min(limits::SYNC_MESSAGES_MAX),
    };
    shard.raise_barrier(place);
    shard.later(async move { im.page(&user, begin, sync.end, limit).await }, move |shard, outcome| {
        let reply = match outcome {
            Ok(page) => {
                let mut reply = SyncReply { messages: page.messages, top: page.top, next: page.next };
                cut(&mut reply, PAGE_BYTES_MAX);
                if let (Some(inbox), Some(last)) = (shard.inbox_mut(place), last_seq(&reply)) {
                    inbox.tell(last);
                }
                ReplyKind::Sync(reply)
            }
            Err(error) => ReplyKind::Error(failure(&error)),
        };
        shard.reply(place, to, reply);
        shard.lift_barrier(place);
    });
}

fn last_seq(reply: &SyncReply) -> Option<u64> {
    reply.messages.last().and_then(|message| message.inbox_seq)
}

/// Cuts a page to a bound in bytes, and says where the next one begins.
fn cut(reply: &mut SyncReply, bytes_max: usize) {
    let mut bytes = 0;
    let kept_count = reply.messages.iter().take_while(|message| {
        bytes += prost::Message::encoded_len(*message);
        bytes <= bytes_max
    });
    let kept_count = kept_count.count().max(1);
    if kept_count < reply.messages.len() {
        reply.messages.truncate(kept_count);
        reply.next = last_seq(reply).map_or(0, |last| last + 1);
    }
}

#[cfg(test)]
mod tests {
    use protocol::client::{Message, message};

    use super::*;

    #[test]
    fn a_page_of_long_messages_is_cut_and_goes_on_where_it_stopped() {
        let message = |inbox_seq| Message {
            inbox_seq: Some(inbox_seq),
            content: Some(message::Content::Text("x".repeat(400))),
            ..Message::default()
        };
        let mut reply = SyncReply { messages: (5..=9).map(message).collect(), top: 9, next: 0 };
        cut(&mut reply, 1000);
        assert_eq!((reply.messages.len(), reply.next), (2, 7));
        cut(&mut reply, 10);
        assert_eq!((reply.messages.len(), reply.next), (1, 6));
        let mut whole = SyncReply { messages: (5..=9).map(message).collect(), top: 9, next: 0 };
        cut(&mut whole, 1_000_000);
        assert_eq!((whole.messages.len(), whole.next), (5, 0));
    }
}

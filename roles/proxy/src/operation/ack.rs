//! Ack: the device has received everything up to a seq.

use contracts::im::Position;
use protocol::client::{Ack, AckReply};
use protocol::code::Code;
use protocol::codec::ReplyKind;

use super::ReplyTo;
use crate::connection::ConnectionRef;
use crate::shard::Shard;

pub(super) fn ack(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, ack: Ack) {
    let im = shard.calls().im;
    let session = shard.connection_mut(place).and_then(|connection| connection.session.as_mut());
    let Some(session) = session else { return };
    let Some(user) = session.user.clone() else {
        return shard.refuse(place, to, Code::NotAllowed, "an anonymous connection has no inbox");
    };
    let inbox_seq = session.inbox.clamp_ack(ack.inbox_seq);
    let acked_up_to = session.inbox.acked.max(inbox_seq);
    if inbox_seq <= session.inbox.acked {
        return shard.reply(place, to, ReplyKind::Ack(AckReply { acked_up_to }));
    }
    let position = Position { user, device: session.device.clone(), inbox_seq };
    shard.answer_later(place, to, async move { im.ack(vec![position]).await }, move |shard, ()| {
        if let Some(inbox) = shard.inbox_mut(place) {
            inbox.acked = inbox.acked.max(inbox_seq);
        }
        ReplyKind::Ack(AckReply { acked_up_to })
    });
}

//! Heartbeats of both protocols.

use std::time::Instant;

use protocol::client::HeartbeatReply;
use protocol::codec::ReplyKind;
use protocol::frame::Header;
use protocol::operation;

use super::ReplyTo;
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// goim: the answer is the people online in the connection's room, 0 without one.
pub(super) fn goim(shard: &mut Shard, place: ConnectionRef, header: Header, now: Instant) {
    let idle_time_limit = shard.hub.config.idle_time_limit;
    let Some(connection) = shard.connection_mut(place) else { return };
    connection.heard_by = now + idle_time_limit;
    let session = connection.session.as_ref();
    let membership = session.and_then(|session| session.rooms.first()).copied();
    let room = membership.and_then(|membership| shard.rooms.get(membership.room));
    let count = room.map_or(0, |room| room.entry.count());
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    shard.reply_frame(place, header.reply(operation::HEARTBEAT_REPLY), &count.to_be_bytes());
    shard.look_for_missed(place);
}

/// Anser: the answer carries the inbox's top, so that a lost last message is found.
pub(super) fn anser(shard: &mut Shard, place: ConnectionRef, to: ReplyTo) {
    let im = shard.calls().im;
    let session = shard.connection(place).and_then(|connection| connection.session.as_ref());
    let Some(user) = session.and_then(|session| session.user.clone()) else {
        return shard.reply(place, to, ReplyKind::Heartbeat(HeartbeatReply { inbox_top: 0 }));
    };
    shard.answer_later(place, to, async move { im.inbox_tops(&[user]).await }, |_, tops| {
        let inbox_top = tops.first().copied().unwrap_or(0);
        ReplyKind::Heartbeat(HeartbeatReply { inbox_top })
    });
}

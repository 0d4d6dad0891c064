//! Heartbeats of both protocols.

use std::time::Instant;

use protocol::client::HeartbeatReply;
use protocol::codec::ReplyKind;
use protocol::frame::Header;
use protocol::operation;

use super::{ReplyTo, failure};
use crate::connection::ConnectionRef;
use crate::own_rooms::OwnRooms;
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

/// Anser: the answer carries the inbox's top and those of super groups that have risen, so that a lost last message
/// is found.
pub(super) fn anser(shard: &mut Shard, place: ConnectionRef, to: ReplyTo) {
    let im = shard.calls().im;
    let session = shard.connection(place).and_then(|connection| connection.session.as_ref());
    let Some(user) = session.and_then(|session| session.user.clone()) else {
        return shard.reply(place, to, ReplyKind::Heartbeat(HeartbeatReply::default()));
    };
    let groups = shard.own_rooms_mut(place).map_or_else(Vec::new, OwnRooms::ask);
    let work = async move {
        let users = [user];
        let outcome = if groups.is_empty() {
            im.inbox_tops(&users).await.map(|tops| (tops, Vec::new()))
        } else {
            tokio::try_join!(im.inbox_tops(&users), im.group_tops(&groups))
        };
        Ok((groups, outcome))
    };
    shard.answer_later(place, to, work, move |shard, (groups, outcome)| {
        let own_rooms = shard.own_rooms_mut(place).filter(|_| !groups.is_empty());
        match outcome {
            Ok((tops, group_tops)) => {
                let inbox_top = tops.first().copied().unwrap_or(0);
                let groups =
                    own_rooms.map_or_else(Vec::new, |own_rooms| own_rooms.risen(&groups, &group_tops));
                ReplyKind::Heartbeat(HeartbeatReply { inbox_top, groups })
            }
            Err(error) => {
                if let Some(own_rooms) = own_rooms {
                    own_rooms.ask_again();
                }
                ReplyKind::Error(failure(&error))
            }
        }
    });
}

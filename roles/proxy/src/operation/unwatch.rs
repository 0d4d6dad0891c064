//! Unwatch: to be told of users no more; one that is not watched is skipped.

use protocol::UserId;
use protocol::client::{Unwatch, UnwatchReply};
use protocol::codec::ReplyKind;

use super::ReplyTo;
use super::watch::user_ids;
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// Whoever names nobody means everybody.
pub(super) fn unwatch(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, unwatch: &Unwatch) {
    let users = match user_ids(&unwatch.users) {
        Ok(users) if users.is_empty() => all(shard, place),
        Ok(users) => users,
        Err(error) => return shard.reply(place, to, ReplyKind::Error(error)),
    };
    shard.unwatch_users(place, &users);
    shard.reply(place, to, ReplyKind::Unwatch(UnwatchReply {}));
}

fn all(shard: &mut Shard, place: ConnectionRef) -> Vec<UserId> {
    let own_rooms = shard.own_rooms_mut(place);
    own_rooms.map_or_else(Vec::new, |own_rooms| own_rooms.watched.iter().cloned().collect())
}

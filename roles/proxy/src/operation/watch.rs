//! Watch: to be told when users come and go.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::client::{Error, Watch};
use protocol::code::Code;
use protocol::codec::{ReplyKind, RequestKind};
use protocol::{Identifier, UserId, limits};

use super::ask::asker;
use super::{ReplyTo, failure};
use crate::announce;
use crate::connection::ConnectionRef;
use crate::shard::Shard;

/// Answers where the users are. That is asked for when whatever they do reaches the connection, so that nothing falls
/// between. Where it cannot be had, the connection watches whom it watched before.
pub(super) fn watch(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, watch: Watch) {
    let Some(asker) = asker(shard, place) else {
        return shard.refuse(place, to, Code::NotAllowed, "an anonymous connection may not watch anybody");
    };
    let added = match added(shard, place, &watch.users) {
        Ok(added) => added,
        Err(error) => return shard.reply(place, to, ReplyKind::Error(error)),
    };
    let entered = shard.watch_users(place, &added);
    let (calls, hub) = (shard.calls(), Arc::clone(&shard.hub));
    let work = async move {
        announce::announce(&hub, &*calls.logic, &entered).await?;
        calls.im.ask(asker, RequestKind::Watch(watch)).await
    };
    shard.raise_barrier(place);
    shard.later(work, move |shard, outcome| {
        let reply = outcome.unwrap_or_else(|error| {
            shard.unwatch_users(place, &added);
            ReplyKind::Error(failure(&error))
        });
        shard.reply(place, to, reply);
        shard.lift_barrier(place);
    });
}

/// The users that the connection does not watch yet, each once.
fn added(shard: &mut Shard, place: ConnectionRef, users: &[String]) -> Result<Vec<UserId>, Error> {
    let mut added = user_ids(users)?;
    let mut seen = HashSet::new();
    added.retain(|user| seen.insert(user.clone()));
    let mut user_count = added.len();
    if let Some(own_rooms) = shard.own_rooms_mut(place) {
        added.retain(|user| !own_rooms.watched.contains(user));
        user_count = own_rooms.watched.len() + added.len();
    }
    if user_count > limits::WATCHED_USERS_MAX {
        return Err(too_many(user_count));
    }
    Ok(added)
}

/// Checks the users that a client names.
pub(super) fn user_ids(users: &[String]) -> Result<Vec<UserId>, Error> {
    if users.len() > limits::WATCHED_USERS_MAX {
        return Err(too_many(users.len()));
    }
    let ids = users.iter().map(|user| UserId::new(user));
    ids.map(|user| user.map_err(|error| Code::InvalidArgument.with(error.to_string()))).collect()
}

fn too_many(user_count: usize) -> Error {
    let user_count_max = limits::WATCHED_USERS_MAX;
    Code::TooLarge.with(format!("{user_count} users: a connection may watch {user_count_max}"))
}

//! goim's subscribe and unsubscribe (operations 14 and 16): which operations a connection accepts.

use protocol::frame::Frame;
use protocol::limits::ACCEPTS_MAX;
use protocol::operation::{self, Operation};

use crate::connection::ConnectionRef;
use crate::shard::Shard;

pub(super) fn subscribe(shard: &mut Shard, place: ConnectionRef, frame: &Frame<'_>) {
    change(shard, place, frame.body, |accepts, named| {
        accepts.extend_from_slice(named);
        accepts.sort_unstable();
        accepts.dedup();
        accepts.truncate(ACCEPTS_MAX);
    });
    shard.reply_frame(place, frame.header.reply(operation::SUBSCRIBE_REPLY), frame.body);
}

pub(super) fn unsubscribe(shard: &mut Shard, place: ConnectionRef, frame: &Frame<'_>) {
    change(shard, place, frame.body, |accepts, named| accepts.retain(|operation| !named.contains(operation)));
    shard.reply_frame(place, frame.header.reply(operation::UNSUBSCRIBE_REPLY), frame.body);
}

/// A list that is not valid changes nothing; an Anser client that accepts everything goes on so.
fn change(
    shard: &mut Shard,
    place: ConnectionRef,
    body: &[u8],
    apply: impl FnOnce(&mut Vec<Operation>, &[Operation]),
) {
    let Some(named) = parse(body) else { return };
    let session = shard.connection_mut(place).and_then(|connection| connection.session.as_mut());
    if let Some(accepts) = session.and_then(|session| session.accepts.as_mut()) {
        let mut changed = std::mem::take(accepts).into_vec();
        apply(&mut changed, &named);
        *accepts = changed.into();
    }
}

fn parse(body: &[u8]) -> Option<Vec<Operation>> {
    std::str::from_utf8(body).ok()?.split(',').map(|number| number.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_joined_by_commas() {
        assert_eq!(parse(b"1000,1001"), Some(vec![1000, 1001]));
        assert_eq!(parse(b"1000,x"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[0xff]), None);
    }
}

//! Every request that is not the connection's own: im answers it, and the proxy says who asks.

use contracts::im::Asker;
use protocol::code::Code;
use protocol::codec::{ReplyKind, RequestKind};

use super::{ReplyTo, failure};
use crate::connection::ConnectionRef;
use crate::shard::Shard;

pub(super) fn ask(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, request: RequestKind) {
    let Some(asker) = asker(shard, place) else {
        return shard.refuse(place, to, Code::NotAllowed, "an anonymous connection may not ask this");
    };
    let im = shard.calls().im;
    let is_page = is_page(&request);
    let work = async move { im.ask(asker, request).await };
    if !is_page {
        return shard.answer_later(place, to, work, |_, reply| reply);
    }
    shard.raise_barrier(place);
    shard.later(work, move |shard, outcome| {
        let reply = outcome.unwrap_or_else(|error| ReplyKind::Error(failure(&error)));
        note_tops(shard, place, &reply);
        shard.reply(place, to, reply);
        shard.lift_barrier(place);
    });
}

/// Tells whether the reply may be large: what comes behind such a request waits, so that a client that never reads
/// has one page on its way.
fn is_page(request: &RequestKind) -> bool {
    matches!(
        request,
        RequestKind::SyncGroups(_)
            | RequestKind::History(_)
            | RequestKind::Conversations(_)
            | RequestKind::GroupMembers(_)
            | RequestKind::GroupRequests(_)
            | RequestKind::GroupTops(_)
            | RequestKind::Readers(_)
            | RequestKind::Presence(_)
            | RequestKind::Blocks(_)
    )
}

/// Who asks on a connection; `None` where it is anonymous.
pub(super) fn asker(shard: &Shard, place: ConnectionRef) -> Option<Asker> {
    let session = shard.connection(place)?.session.as_ref()?;
    let user = session.user.clone()?;
    Some(Asker { user, device: Some(session.device.clone()), connection: Some(session.connection) })
}

/// What a reply says of super groups need not be said by a heartbeat.
fn note_tops(shard: &mut Shard, place: ConnectionRef, reply: &ReplyKind) {
    let Some(own_rooms) = shard.own_rooms_mut(place) else { return };
    match reply {
        ReplyKind::GroupTops(reply) => {
            for group in &reply.groups {
                own_rooms.tell(&group.conversation, group.top);
            }
        }
        ReplyKind::SyncGroups(reply) => {
            for group in &reply.groups {
                own_rooms.tell(&group.conversation, group.top);
            }
        }
        _ => {}
    }
}

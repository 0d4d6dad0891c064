//! Send: a message to a user or a group is stored by im before it is answered; one to a room goes to who is in it.

use contracts::im::SendRequest;
use protocol::client::{Send, target};
use protocol::code::Code;
use protocol::codec::ReplyKind;
use protocol::{Identifier, RoomId};

use super::ReplyTo;
use crate::connection::ConnectionRef;
use crate::shard::Shard;

pub(super) fn send(shard: &mut Shard, place: ConnectionRef, to: ReplyTo, send: Send) {
    let request = match request(shard, place, send) {
        Ok(request) => request,
        Err((code, message)) => return shard.refuse(place, to, code, message),
    };
    let im = shard.calls().im;
    shard.answer_later(place, to, async move { im.send(request).await }, move |shard, reply| {
        // A group's message comes to the sender's own inbox later, as a push.
        if let (Some(inbox_seq), Some(inbox)) = (reply.inbox_seq, shard.inbox_mut(place)) {
            inbox.replied(inbox_seq);
        }
        ReplyKind::Send(reply)
    });
}

fn request(shard: &Shard, place: ConnectionRef, send: Send) -> Result<SendRequest, (Code, &'static str)> {
    let session = shard.connection(place).and_then(|connection| connection.session.as_ref());
    let session = session.ok_or((Code::AuthOrder, "the first request must be auth"))?;
    let sender = session.user.clone().ok_or((Code::NotAllowed, "an anonymous connection may not send"))?;
    if let Some(target::Target::Room(room)) = send.to.as_ref().and_then(|to| to.target.as_ref()) {
        let room = RoomId::new(room).map_err(|_| (Code::InvalidArgument, "the room's id is not valid"))?;
        if !shard.is_member(place, &room) {
            return Err((Code::NotAllowed, "only who is in the room may send to it: join it first"));
        }
    }
    Ok(SendRequest { sender, connection: session.connection, send })
}

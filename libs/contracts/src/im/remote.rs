//! im in other processes: each user has one of them, chosen by the user's hash, so that what one user sends keeps
//! its order.

use async_trait::async_trait;
use prost::Message as _;
use protocol::client::{self, SendReply};
use protocol::codec::{ReplyKind, RequestKind};
use protocol::{ConversationId, DeviceId, Identifier as _, UserId};
use tokio::sync::watch;

use crate::channel::{Callee, Lane, Settings};
use crate::convert::{decode, present};
use crate::im::convert::ask_request;
use crate::im::{Asker, Im, Page, Position, Resumed, SendRequest, SuperGroup};
use crate::peers::{Addresses, Peers, Route, hash};
use crate::{Result, wire};

/// The method of the stream.
pub(super) const SEND: u32 = 1;

const CALLEE: Callee = Callee { role: "im", stream: Some("/anser.contracts.v1.Im/Stream") };

/// The path of a call.
macro_rules! path {
    ($name:literal) => {
        concat!("/anser.contracts.v1.Im/", $name)
    };
}

/// Asks im in other processes.
pub struct Remote {
    peers: Peers,
}

impl Remote {
    /// Follows where im is.
    #[must_use]
    pub fn follow(settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        Self { peers: Peers::follow(CALLEE, settings, addresses) }
    }
}

fn key_of(user: &UserId) -> u64 {
    hash(user.as_str())
}

#[async_trait]
impl Im for Remote {
    async fn send(&self, request: SendRequest) -> Result<SendReply> {
        let key = key_of(&request.sender);
        let body = wire::SendRequest::from(request).encode_to_vec().into();
        decode("a reply to a message", self.peers.bulk_by_key(key, SEND, body).await?)
    }

    async fn ask(&self, asker: Asker, request: RequestKind) -> Result<ReplyKind> {
        let key = key_of(&asker.user);
        let message = ask_request(asker, request);
        let reply: client::Reply = self.peers.ask_by_key(key, path!("Ask"), &message).await?;
        present("a reply", reply.reply)
    }

    async fn super_groups(&self, user: &UserId) -> Result<Vec<SuperGroup>> {
        let message = wire::UserOnly { user: user.to_string() };
        let reply: wire::SuperGroupsReply =
            self.peers.ask_by_key(key_of(user), path!("SuperGroups"), &message).await?;
        reply.groups.into_iter().map(TryInto::try_into).collect()
    }

    async fn group_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        let ids = conversations.iter().map(ToString::to_string).collect();
        let reply: wire::Numbers = self.peers.ask_any(path!("GroupTops"), &wire::Ids { ids }).await?;
        Ok(reply.numbers)
    }

    async fn resume(&self, user: &UserId, device: &DeviceId, held_up_to: Option<u64>) -> Result<Resumed> {
        let message = wire::ResumeRequest { user: user.to_string(), device: device.to_string(), held_up_to };
        let reply: wire::Resumed = self.peers.ask_by_key(key_of(user), path!("Resume"), &message).await?;
        Ok(reply.into())
    }

    async fn page(&self, user: &UserId, begin: u64, end: u64, limit: u32) -> Result<Page> {
        let message = wire::PageRequest { user: user.to_string(), begin, end, limit };
        let reply: wire::PageReply = self.peers.ask_by_key(key_of(user), path!("Page"), &message).await?;
        Ok(reply.into())
    }

    async fn ack(&self, positions: Vec<Position>) -> Result<()> {
        let keys: Vec<u64> = positions.iter().map(|position| key_of(&position.user)).collect();
        let positions = &positions;
        let call = |route: Route, indexes: Vec<usize>| async move {
            let positions = indexes.into_iter().map(|index| (&positions[index]).into()).collect();
            let message = wire::Positions { positions }.encode_to_vec().into();
            let lane = Lane::Key(route.place as u64);
            route.peer.channel.ask::<wire::Empty>(lane, path!("Ack"), message).await
        };
        self.peers.scatter(&keys, call).await.into_iter().try_for_each(|(_, outcome)| outcome.map(drop))
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let keys: Vec<u64> = users.iter().map(key_of).collect();
        let call = |route: Route, indexes: Vec<usize>| async move {
            let ids = indexes.into_iter().map(|index| users[index].to_string()).collect();
            let message = wire::Ids { ids }.encode_to_vec().into();
            let lane = Lane::Key(route.place as u64);
            let tops = route.peer.channel.ask::<wire::Numbers>(lane, path!("InboxTops"), message);
            Ok(tops.await?.numbers)
        };
        self.peers.scatter_answers(&keys, None, call).await
    }
}

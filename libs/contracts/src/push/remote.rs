//! push in other processes: each receiver has one of them, chosen by the receiver's hash, so that what is stored
//! keeps its order for each user.

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use protocol::operation::Operation;
use protocol::{Identifier as _, UserId};
use tokio::sync::watch;

use crate::channel::{Callee, FRAME_BYTES_MAX, Failure, Lane, Settings};
use crate::convert::ids;
use crate::peers::{Addresses, Peers, Route, hash};
use crate::push::convert::{event_pushes, stored_pushes};
use crate::push::{EventPush, Membership, Outcome, Push, StoredPush, Whereabouts};
use crate::{Result, wire};

/// The methods of the stream.
pub(super) const STORED: u32 = 1;
pub(super) const EVENTS: u32 = 2;

const CALLEE: Callee = Callee { role: "push", stream: Some("/anser.contracts.v1.Push/Stream") };

/// The path of a call.
macro_rules! path {
    ($name:literal) => {
        concat!("/anser.contracts.v1.Push/", $name)
    };
}

/// Hands things to push in other processes.
pub struct Remote {
    peers: Peers,
}

impl Remote {
    /// Follows where push is.
    #[must_use]
    pub fn follow(settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        Self { peers: Peers::follow(CALLEE, settings, addresses) }
    }

    async fn push_to(
        &self,
        path: &'static str,
        targets: Vec<String>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let keys: Vec<u64> = targets.iter().map(|target| hash(target)).collect();
        let (targets, body) = (&targets, &body);
        let call = |route: Route, indexes: Vec<usize>| async move {
            let targets = indexes.into_iter().map(|index| targets[index].clone()).collect();
            let message = wire::OperationForMany { targets, operation, body: body.clone() };
            let outcomes: wire::Outcomes = ask(&route, path, &message).await?;
            Ok(outcomes.outcomes().map(Into::into).collect())
        };
        // Who is asked for at a process that failed may or may not have got it.
        self.peers.scatter_answers(&keys, Some(Outcome::Unknown), call).await
    }
}

/// Makes a call of its own to where a route leads.
async fn ask<A: prost::Message + Default + 'static>(
    route: &Route,
    path: &'static str,
    message: &impl prost::Message,
) -> std::result::Result<A, Failure> {
    route.peer.channel.ask(Lane::Key(route.place as u64), path, message.encode_to_vec().into()).await
}

/// All parts have to be done.
fn all(parts: Vec<(Vec<usize>, Result<()>)>) -> Result<()> {
    parts.into_iter().try_for_each(|(_, outcome)| outcome)
}

#[async_trait]
impl Push for Remote {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        let keys: Vec<u64> = pushes.iter().map(|push| hash(push.user.as_str())).collect();
        let pushes = &pushes;
        let call = |route: Route, indexes: Vec<usize>| async move {
            let part: Vec<&StoredPush> = indexes.into_iter().map(|index| &pushes[index]).collect();
            let channel = &route.peer.channel;
            let mut is_begun = false;
            // One after the other: frames overlap, and each user's pushes are in order.
            for frame in stored_pushes(&part, FRAME_BYTES_MAX) {
                let answer = match channel.enqueue(route.place, STORED, frame) {
                    Ok(pending) => channel.answer(pending).await,
                    Err(failure) => Err(failure),
                };
                answer.map_err(|failure| Failure { untouched: failure.untouched && !is_begun, ..failure })?;
                is_begun = true;
            }
            Ok(())
        };
        all(self.peers.scatter(&keys, call).await)
    }

    async fn push_events(&self, pushes: Vec<EventPush>) -> Result<()> {
        let told = pushes.iter().enumerate();
        let told: Vec<(usize, &UserId)> =
            told.flat_map(|(index, push)| push.users.iter().map(move |user| (index, user))).collect();
        let keys: Vec<u64> = told.iter().map(|(_, user)| hash(user.as_str())).collect();
        let (pushes, told) = (&pushes, &told);
        let call = |route: Route, indexes: Vec<usize>| async move {
            let mut parts: Vec<(usize, Vec<String>)> = Vec::new();
            for (push, user) in indexes.into_iter().map(|index| told[index]) {
                match parts.last_mut() {
                    Some((last, users)) if *last == push => users.push(user.to_string()),
                    _ => parts.push((push, vec![user.to_string()])),
                }
            }
            let body = event_pushes(parts.into_iter().map(|(push, users)| (&pushes[push], users)));
            let channel = &route.peer.channel;
            channel.answer(channel.enqueue(route.place, EVENTS, body)?).await.map(drop)
        };
        all(self.peers.scatter(&keys, call).await)
    }

    async fn set_memberships(&self, memberships: Vec<Membership>) -> Result<()> {
        let keys: Vec<u64> = memberships.iter().map(|membership| hash(membership.user.as_str())).collect();
        let memberships = &memberships;
        let call = |route: Route, indexes: Vec<usize>| async move {
            let memberships = indexes.into_iter().map(|index| (&memberships[index]).into()).collect();
            let message = wire::Memberships { memberships }.encode_to_vec().into();
            let told = route.peer.channel.ask::<wire::Empty>(Lane::Control, path!("SetMemberships"), message);
            told.await.map(drop)
        };
        all(self.peers.scatter(&keys, call).await)
    }

    async fn whereabouts(&self, users: &[UserId]) -> Result<Vec<Whereabouts>> {
        let reply: wire::WhereaboutsReply = self.peers.ask_any(path!("WhereAre"), &ids(users)).await?;
        reply.whereabouts.into_iter().map(TryInto::try_into).collect()
    }

    async fn push_to_users(
        &self,
        users: Vec<UserId>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let users = users.iter().map(ToString::to_string).collect();
        self.push_to(path!("PushToUsers"), users, operation, body).await
    }

    async fn push_to_keys(
        &self,
        keys: Vec<String>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        self.push_to(path!("PushToKeys"), keys, operation, body).await
    }
}

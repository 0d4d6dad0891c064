//! Proxies in other processes, each asked by its id.
//!
//! Deliveries go through the streams, those for one client's connection always through the same one; kicks and
//! memberships through the connection for commands. Rooms and broadcasts go by the partition they stood in, since a
//! proxy drops what is not above the last offset it took from a partition.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use protocol::ServerId;
use tokio::sync::watch;

use crate::channel::{Callee, Channel, FRAME_BYTES_MAX, Failure, Lane, Settings};
use crate::peers::{Addresses, Peer, Peers};
use crate::proxy::convert::delivery;
use crate::proxy::{
    BroadcastDelivery, Delivery, Kick, MembershipChange, Proxies, Proxy, Receiver, RoomDelivery,
};
use crate::{Result, wire};

/// The methods of the stream.
pub(super) const DELIVER: u32 = 1;
pub(super) const DELIVER_TO_ROOMS: u32 = 2;
pub(super) const BROADCAST: u32 = 3;

const CALLEE: Callee = Callee { role: "proxy", stream: Some("/anser.contracts.v1.Proxy/Stream") };

/// The proxies of other processes, and of this one where it has one.
pub struct Remotes {
    peers: Peers,
    local: Option<(ServerId, Arc<dyn Proxy>)>,
}

impl Remotes {
    /// Follows where proxies are.
    #[must_use]
    pub fn follow(settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        Self { peers: Peers::follow(CALLEE, settings, addresses), local: None }
    }

    /// Offers the proxy of this process beside them; it is not called over the network.
    #[must_use]
    pub fn with_local(mut self, server: ServerId, proxy: Arc<dyn Proxy>) -> Self {
        self.local = Some((server, proxy));
        self
    }

    fn local_of(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        let (local, proxy) = self.local.as_ref()?;
        (local == server).then(|| Arc::clone(proxy))
    }
}

impl Proxies for Remotes {
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        self.local_of(server).or_else(|| {
            let peers = self.peers.all();
            let place = peers.binary_search_by(|peer| peer.channel.server().cmp(server)).ok()?;
            Some(Arc::new(Remote { peer: Arc::clone(&peers[place]) }))
        })
    }

    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)> {
        let is_remote = |peer: &&Arc<Peer>| self.local_of(peer.channel.server()).is_none();
        let remote = |peer: &Arc<Peer>| {
            let proxy: Arc<dyn Proxy> = Arc::new(Remote { peer: Arc::clone(peer) });
            (peer.channel.server().clone(), proxy)
        };
        let peers = self.peers.all();
        let remotes = peers.iter().filter(is_remote).map(remote);
        self.local.iter().map(|(server, proxy)| (server.clone(), Arc::clone(proxy))).chain(remotes).collect()
    }
}

/// A proxy in another process.
struct Remote {
    peer: Arc<Peer>,
}

impl Remote {
    fn channel(&self) -> &Channel {
        &self.peer.channel
    }

    /// Puts all frames into their queues and waits for all answers; the first failure is told.
    async fn hand(&self, frames: Vec<(usize, u32, Bytes)>) -> Result<()> {
        let channel = self.channel();
        let mut pending = Vec::with_capacity(frames.len());
        let mut outcome = Ok(());
        for (place, method, body) in frames {
            match channel.enqueue(place, method, body) {
                Ok(one) => pending.push(one),
                Err(Failure { error, .. }) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        for one in pending {
            outcome = outcome.and(channel.answer(one).await.map(drop).map_err(Into::into));
        }
        outcome
    }

    async fn command<M: prost::Message>(&self, path: &'static str, message: M) -> Result<()> {
        let message = message.encode_to_vec().into();
        let done: wire::Empty = self.channel().ask(Lane::Control, path, message).await?;
        let wire::Empty {} = done;
        Ok(())
    }
}

/// Parts of a call, gathered by their connection and joined into frames.
struct Frames<T> {
    method: u32,
    /// For each connection: what is gathered, and how large it is.
    gathered: Vec<(usize, Vec<T>, usize)>,
    done: Vec<(usize, u32, Bytes)>,
    encode: fn(Vec<T>) -> Vec<u8>,
}

impl<T: prost::Message> Frames<T> {
    fn new(method: u32, encode: fn(Vec<T>) -> Vec<u8>) -> Self {
        Self { method, gathered: Vec::new(), done: Vec::new(), encode }
    }

    fn add(&mut self, place: usize, part: T) {
        let bytes = part.encoded_len();
        let index = self.gathered.iter().position(|(at, ..)| *at == place).unwrap_or_else(|| {
            self.gathered.push((place, Vec::new(), 0));
            self.gathered.len() - 1
        });
        let (_, parts, gathered_bytes) = &mut self.gathered[index];
        if !parts.is_empty() && *gathered_bytes + bytes > FRAME_BYTES_MAX {
            let full = std::mem::take(parts);
            *gathered_bytes = 0;
            self.done.push((place, self.method, (self.encode)(full).into()));
        }
        let (_, parts, gathered_bytes) = &mut self.gathered[index];
        parts.push(part);
        *gathered_bytes += bytes;
    }

    fn finish(self) -> Vec<(usize, u32, Bytes)> {
        let Self { method, gathered, mut done, encode } = self;
        let last = |(place, parts, _): (usize, Vec<T>, usize)| (place, method, encode(parts).into());
        done.extend(gathered.into_iter().map(last));
        done
    }
}

#[async_trait]
impl Proxy for Remote {
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()> {
        let channel = self.channel();
        let mut frames = Frames::new(DELIVER, |deliveries| wire::Deliveries { deliveries }.encode_to_vec());
        for Delivery { receivers, payload } in deliveries {
            let place_of = |receiver: &Receiver| channel.place(receiver.connection.0);
            let Some(first) = receivers.first().map(place_of) else { continue };
            if receivers.iter().all(|receiver| place_of(receiver) == first) {
                frames.add(first, delivery(&receivers, &payload));
                continue;
            }
            let mut by_place: Vec<(usize, Vec<Receiver>)> = Vec::new();
            for receiver in receivers {
                let place = place_of(&receiver);
                match by_place.iter_mut().find(|(at, _)| *at == place) {
                    Some((_, receivers)) => receivers.push(receiver),
                    None => by_place.push((place, vec![receiver])),
                }
            }
            for (place, receivers) in by_place {
                frames.add(place, delivery(&receivers, &payload));
            }
        }
        self.hand(frames.finish()).await
    }

    async fn deliver_to_rooms(&self, deliveries: Vec<RoomDelivery>) -> Result<()> {
        let encode = |deliveries| wire::RoomDeliveries { deliveries }.encode_to_vec();
        let mut frames = Frames::new(DELIVER_TO_ROOMS, encode);
        for delivery in deliveries {
            let place = self.channel().place(u64::from(delivery.position.0));
            frames.add(place, wire::RoomDelivery::from(delivery));
        }
        self.hand(frames.finish()).await
    }

    async fn broadcast(&self, delivery: BroadcastDelivery) -> Result<()> {
        let place = self.channel().place(u64::from(delivery.position.0));
        let body = wire::BroadcastDelivery::from(delivery).encode_to_vec().into();
        self.hand(vec![(place, BROADCAST, body)]).await
    }

    async fn set_memberships(&self, changes: Vec<MembershipChange>) -> Result<()> {
        let changes = changes.into_iter().map(Into::into).collect();
        self.command("/anser.contracts.v1.Proxy/SetMemberships", wire::MembershipChanges { changes }).await
    }

    async fn kick(&self, kicks: Vec<Kick>) -> Result<()> {
        let kicks = kicks.into_iter().map(Into::into).collect();
        self.command("/anser.contracts.v1.Proxy/Kick", wire::Kicks { kicks }).await
    }
}

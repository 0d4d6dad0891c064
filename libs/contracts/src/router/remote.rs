//! The router in another process.

use async_trait::async_trait;
use protocol::{RoomId, ServerId, UserId};
use tokio::sync::watch;

use crate::channel::{Callee, Settings};
use crate::convert::{ids, servers};
use crate::peers::{Addresses, Peers};
use crate::router::convert::{of_room_counts, report_of_server, rooms_of_server};
use crate::router::{Devices, Located, Registered, Registration, Report, Router, Totals, Unregistration};
use crate::{Result, wire};

const CALLEE: Callee = Callee { role: "router", stream: None };

/// The path of a call.
macro_rules! path {
    ($name:literal) => {
        concat!("/anser.contracts.v1.Router/", $name)
    };
}

/// Asks the router of one shard in another process.
pub struct Remote {
    peers: Peers,
}

impl Remote {
    /// Follows where the directory of one shard is held. The watch names who holds it, and nobody who stands by.
    #[must_use]
    pub fn follow(settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        Self { peers: Peers::follow(CALLEE, settings, addresses) }
    }

    async fn locate(&self, path: &'static str, ids: wire::Ids) -> Result<Vec<Located>> {
        let reply: wire::LocateReply = self.peers.ask_any(path, &ids).await?;
        Ok(reply.located.into_iter().map(Into::into).collect())
    }
}

#[async_trait]
impl Router for Remote {
    async fn register(&self, registrations: Vec<Registration>) -> Result<Vec<Registered>> {
        let registrations = registrations.into_iter().map(Into::into).collect();
        let message = wire::Registrations { registrations };
        let reply: wire::RegisterReply = self.peers.ask_any(path!("Register"), &message).await?;
        reply.registered.into_iter().map(TryInto::try_into).collect()
    }

    async fn unregister(&self, unregistrations: Vec<Unregistration>) -> Result<()> {
        let message = wire::Unregistrations::from(unregistrations);
        let _: wire::Empty = self.peers.ask_any(path!("Unregister"), &message).await?;
        Ok(())
    }

    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>> {
        self.locate(path!("LocateUsers"), ids(users)).await
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>> {
        let reply: wire::DevicesReply = self.peers.ask_any(path!("Devices"), &ids(users)).await?;
        reply.devices.into_iter().map(TryInto::try_into).collect()
    }

    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>> {
        self.locate(path!("LocateKeys"), wire::Ids { ids: keys.to_vec() }).await
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        let message = rooms_of_server(server, number, &rooms);
        let _: wire::Empty = self.peers.ask_any(path!("EnterRooms"), &message).await?;
        Ok(())
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        let message = rooms_of_server(server, number, &rooms);
        let _: wire::Empty = self.peers.ask_any(path!("LeaveRooms"), &message).await?;
        Ok(())
    }

    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>> {
        let reply: wire::RoomProxiesReply = self.peers.ask_any(path!("RoomProxies"), &ids(rooms)).await?;
        Ok(reply.proxies.into_iter().map(|proxies| servers(proxies.ids)).collect())
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        let message = report_of_server(server, report);
        let reply: wire::Numbers = self.peers.ask_any(path!("Report"), &message).await?;
        Ok(reply.numbers)
    }

    async fn room_counts(&self, rooms: &[RoomId]) -> Result<Vec<u64>> {
        let reply: wire::Numbers = self.peers.ask_any(path!("RoomCounts"), &ids(rooms)).await?;
        Ok(reply.numbers)
    }

    async fn rooms_top(&self, room_type: &str, limit: usize) -> Result<Vec<(RoomId, u64)>> {
        let message = wire::RoomsTopRequest { room_type: room_type.to_owned(), limit: limit as u64 };
        let reply: wire::RoomsTopReply = self.peers.ask_any(path!("RoomsTop"), &message).await?;
        of_room_counts(reply.rooms)
    }

    async fn totals(&self) -> Result<Totals> {
        let reply: wire::TotalsReply = self.peers.ask_any(path!("Totals"), &wire::Empty {}).await?;
        Ok(reply.into())
    }
}

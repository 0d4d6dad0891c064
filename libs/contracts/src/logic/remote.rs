//! logic in other processes: a client that comes goes to whichever has least to do, what a proxy says of itself to
//! the one of that proxy.

use async_trait::async_trait;
use protocol::{RoomId, ServerId};
use tokio::sync::watch;

use crate::channel::{Callee, Settings};
use crate::logic::{ConnectRequest, Connected, Logic};
use crate::peers::{Addresses, Peers, hash};
use crate::router::convert::{report_of_server, rooms_of_server};
use crate::router::{Report, Unregistration};
use crate::{Result, wire};

const CALLEE: Callee = Callee { role: "logic", stream: None };

/// The path of a call.
macro_rules! path {
    ($name:literal) => {
        concat!("/anser.contracts.v1.Logic/", $name)
    };
}

/// Asks logic in other processes.
pub struct Remote {
    peers: Peers,
}

impl Remote {
    /// Follows where logic is.
    #[must_use]
    pub fn follow(settings: Settings, addresses: watch::Receiver<Addresses>) -> Self {
        Self { peers: Peers::follow(CALLEE, settings, addresses) }
    }
}

#[async_trait]
impl Logic for Remote {
    async fn connect(&self, request: ConnectRequest) -> Result<Connected> {
        let message = wire::ConnectRequest::from(request);
        let reply: wire::Connected = self.peers.ask_any(path!("Connect"), &message).await?;
        reply.try_into()
    }

    async fn disconnect(&self, connections: Vec<Unregistration>) -> Result<()> {
        let key = connections.first().map_or(0, |first| hash(&first.server.0));
        let message = wire::Unregistrations::from(connections);
        let _: wire::Empty = self.peers.ask_by_key(key, path!("Disconnect"), &message).await?;
        Ok(())
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        let message = rooms_of_server(server, number, &rooms);
        let _: wire::Empty = self.peers.ask_by_key(hash(&server.0), path!("EnterRooms"), &message).await?;
        Ok(())
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        let message = rooms_of_server(server, number, &rooms);
        let _: wire::Empty = self.peers.ask_by_key(hash(&server.0), path!("LeaveRooms"), &message).await?;
        Ok(())
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        let message = report_of_server(server, report);
        let reply: wire::Numbers = self.peers.ask_by_key(hash(&server.0), path!("Report"), &message).await?;
        Ok(reply.numbers)
    }
}

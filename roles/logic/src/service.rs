//! Answers the contract: each call goes to the noun whose matter it is.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::Result;
use contracts::logic::{ConnectRequest, Connected, Logic};
use contracts::router::{Report, Router, Unregistration};
use protocol::{RoomId, ServerId};

use crate::online::Online;
use crate::presence::Presence;

pub(crate) struct Service {
    pub(crate) presence: Presence,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) online: Arc<Online>,
}

#[async_trait]
impl Logic for Service {
    async fn connect(&self, request: ConnectRequest) -> Result<Connected> {
        self.presence.connect(request).await
    }

    async fn disconnect(&self, connections: Vec<Unregistration>) -> Result<()> {
        self.presence.disconnect(connections).await
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.router.enter_rooms(server, number, rooms).await
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.router.leave_rooms(server, number, rooms).await
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        self.online.absorb(server, report.connection_count, report.address_count);
        self.router.report(server, report).await
    }
}

//! The router as seen from this process: its own one while that holds the directory, else the one that does.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use contracts::router::{
    Devices, Located, Registered, Registration, Remote, Report, Router, Totals, Unregistration,
};
use contracts::{Error, Kind, Result};
use protocol::{RoomId, ServerId, UserId};

/// Where this process's router takes its place when it is elected.
pub(super) type Place = Arc<OnceLock<Arc<dyn Router>>>;

/// Asks the router that holds the directory.
pub(super) struct Seat {
    place: Place,
    /// Who holds it where this process does not; `None` for who asks this process because it does.
    elsewhere: Option<Remote>,
}

impl Seat {
    /// What the roles of this process ask.
    pub(super) fn of_callers(place: Place, elsewhere: Remote) -> Self {
        Self { place, elsewhere: Some(elsewhere) }
    }

    /// What other processes ask of this one.
    pub(super) fn of_others(place: Place) -> Self {
        Self { place, elsewhere: None }
    }

    fn holder(&self) -> Result<&dyn Router> {
        match (self.place.get(), &self.elsewhere) {
            (Some(own), _) => Ok(&**own),
            (None, Some(elsewhere)) => Ok(elsewhere),
            (None, None) => {
                Err(Error::new(Kind::Unavailable, "this router stands by: another one holds the directory"))
            }
        }
    }
}

#[async_trait]
impl Router for Seat {
    async fn register(&self, registrations: Vec<Registration>) -> Result<Vec<Registered>> {
        self.holder()?.register(registrations).await
    }

    async fn unregister(&self, unregistrations: Vec<Unregistration>) -> Result<()> {
        self.holder()?.unregister(unregistrations).await
    }

    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>> {
        self.holder()?.locate_users(users).await
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>> {
        self.holder()?.devices(users).await
    }

    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>> {
        self.holder()?.locate_keys(keys).await
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.holder()?.enter_rooms(server, number, rooms).await
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.holder()?.leave_rooms(server, number, rooms).await
    }

    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>> {
        self.holder()?.room_proxies(rooms).await
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        self.holder()?.report(server, report).await
    }

    async fn room_counts(&self, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.holder()?.room_counts(rooms).await
    }

    async fn rooms_top(&self, room_type: &str, limit: usize) -> Result<Vec<(RoomId, u64)>> {
        self.holder()?.rooms_top(room_type, limit).await
    }

    async fn totals(&self) -> Result<Totals> {
        self.holder()?.totals().await
    }
}

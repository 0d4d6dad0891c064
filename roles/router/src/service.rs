//! Answers the router's contract from the two maps in memory.
//!
//! Nothing here waits. While another router holds the directory every call is answered with `Unavailable`.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use contracts::router::{Devices, Located, Registered, Registration, Report, Router, Totals, Unregistration};
use contracts::{Error, Kind, Result};
use protocol::{RoomId, ServerId, UserId};

use crate::directory::Directory;
use crate::room::Rooms;

/// The router in this process.
pub(crate) struct Service {
    directory: Directory,
    rooms: Rooms,
    lost: AtomicBool,
}

impl Service {
    /// Answers from these maps.
    pub(crate) fn new(directory: Directory, rooms: Rooms) -> Self {
        Self { directory, rooms, lost: AtomicBool::new(false) }
    }

    /// Another router holds the directory.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Takes out everything of a proxy; answers how many connections it had.
    pub(crate) async fn expire(&self, server: &ServerId) -> usize {
        self.rooms.expire(server);
        let (connection_count, gone) = self.directory.expire(server);
        self.directory.feed().hand(gone).await;
        connection_count
    }

    fn check_held(&self) -> Result<()> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Error::new(Kind::Unavailable, "this router does not hold the directory"));
        }
        Ok(())
    }
}

#[async_trait]
impl Router for Service {
    async fn register(&self, registrations: Vec<Registration>) -> Result<Vec<Registered>> {
        self.check_held()?;
        Ok(registrations.into_iter().map(|registration| self.directory.register(registration)).collect())
    }

    async fn unregister(&self, unregistrations: Vec<Unregistration>) -> Result<()> {
        self.check_held()?;
        for unregistration in &unregistrations {
            self.directory.unregister(unregistration);
        }
        Ok(())
    }

    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>> {
        self.check_held()?;
        Ok(users.iter().map(|user| self.directory.locate_user(user)).collect())
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>> {
        self.check_held()?;
        Ok(users.iter().map(|user| self.directory.devices(user)).collect())
    }

    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>> {
        self.check_held()?;
        Ok(keys.iter().map(|key| self.directory.locate_key(key)).collect())
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.check_held()?;
        for room in &rooms {
            self.rooms.enter(server, number, room);
        }
        Ok(())
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.check_held()?;
        for room in &rooms {
            self.rooms.leave(server, number, room);
        }
        Ok(())
    }

    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>> {
        self.check_held()?;
        Ok(rooms.iter().map(|room| self.rooms.proxies(room)).collect())
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        self.check_held()?;
        Ok(self.rooms.report(server, report))
    }

    async fn room_counts(&self, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.check_held()?;
        Ok(rooms.iter().map(|room| self.rooms.count(room)).collect())
    }

    async fn rooms_top(&self, room_type: &str, limit: usize) -> Result<Vec<(RoomId, u64)>> {
        self.check_held()?;
        Ok(self.rooms.top(room_type, limit))
    }

    async fn totals(&self) -> Result<Totals> {
        self.check_held()?;
        Ok(self.rooms.totals())
    }
}

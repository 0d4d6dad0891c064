//! Push against a router and proxies that only remember what they were asked.

mod calls;
mod groups;
mod topic;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::proxy::{BroadcastDelivery, Delivery, Kick, MembershipChange, Proxies, Proxy, RoomDelivery};
use contracts::router::{
    Devices, Handle, Located, Registered, Registration, Report, Route, Router, Totals, Unregistration,
};
use contracts::{Error, Kind, Result};
use parking_lot::Mutex;
use protocol::{ConnectionId, Identifier, RoomId, ServerId, UserId};

use crate::delivery::Deliverer;

/// A router with a fixed directory that remembers how often it was asked.
#[derive(Default)]
struct FixedRouter {
    users: HashMap<UserId, Located>,
    devices: HashMap<UserId, Devices>,
    keys: HashMap<String, Located>,
    rooms: HashMap<RoomId, Vec<ServerId>>,
    fails: bool,
    asked: Mutex<Vec<Vec<String>>>,
}

impl FixedRouter {
    fn answer<T: Identifier, A: Clone + Default>(&self, ids: &[T], of: impl Fn(&T) -> A) -> Result<Vec<A>> {
        self.asked.lock().push(ids.iter().map(|id| id.as_str().to_owned()).collect());
        if self.fails {
            return Err(Error::new(Kind::Unavailable, "router cannot be reached"));
        }
        Ok(ids.iter().map(of).collect())
    }
}

#[async_trait]
impl Router for FixedRouter {
    async fn register(&self, _: Vec<Registration>) -> Result<Vec<Registered>> {
        unreachable!("push registers nothing")
    }

    async fn unregister(&self, _: Vec<Unregistration>) -> Result<()> {
        unreachable!("push unregisters nothing")
    }

    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>> {
        self.answer(users, |user| self.users.get(user).cloned().unwrap_or_default())
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>> {
        self.answer(users, |user| self.devices.get(user).cloned().unwrap_or_default())
    }

    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>> {
        self.asked.lock().push(keys.to_vec());
        Ok(keys.iter().map(|key| self.keys.get(key).cloned().unwrap_or_default()).collect())
    }

    async fn enter_rooms(&self, _: &ServerId, _: u64, _: Vec<RoomId>) -> Result<()> {
        unreachable!("push enters no room")
    }

    async fn leave_rooms(&self, _: &ServerId, _: u64, _: Vec<RoomId>) -> Result<()> {
        unreachable!("push leaves no room")
    }

    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>> {
        self.answer(rooms, |room| self.rooms.get(room).cloned().unwrap_or_default())
    }

    async fn report(&self, _: &ServerId, _: Report) -> Result<Vec<u64>> {
        unreachable!("push reports nothing")
    }

    async fn room_counts(&self, _: &[RoomId]) -> Result<Vec<u64>> {
        unreachable!("push counts nobody")
    }

    async fn rooms_top(&self, _: &str, _: usize) -> Result<Vec<(RoomId, u64)>> {
        unreachable!("push counts nobody")
    }

    async fn totals(&self) -> Result<Totals> {
        unreachable!("push counts nobody")
    }
}

/// What a proxy does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Fails,
    Hangs,
}

/// A proxy that remembers what it was handed.
struct Remembering {
    mood: Mood,
    deliver_calls: Mutex<Vec<Vec<Delivery>>>,
    room_calls: Mutex<Vec<Vec<RoomDelivery>>>,
    broadcasts: Mutex<Vec<BroadcastDelivery>>,
    membership_calls: Mutex<Vec<Vec<MembershipChange>>>,
}

impl Remembering {
    async fn answer(&self) -> Result<()> {
        match self.mood {
            Mood::Takes => Ok(()),
            Mood::Fails => Err(Error::new(Kind::Unavailable, "proxy is gone")),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Proxy for Remembering {
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()> {
        self.deliver_calls.lock().push(deliveries);
        self.answer().await
    }

    async fn deliver_to_rooms(&self, deliveries: Vec<RoomDelivery>) -> Result<()> {
        self.room_calls.lock().push(deliveries);
        self.answer().await
    }

    async fn broadcast(&self, delivery: BroadcastDelivery) -> Result<()> {
        self.broadcasts.lock().push(delivery);
        self.answer().await
    }

    async fn set_memberships(&self, changes: Vec<MembershipChange>) -> Result<()> {
        self.membership_calls.lock().push(changes);
        self.answer().await
    }

    async fn kick(&self, _: Vec<Kick>) -> Result<()> {
        unreachable!("push kicks nobody")
    }
}

/// The proxies of a test, by name.
#[derive(Default)]
struct Named(BTreeMap<ServerId, Arc<Remembering>>);

impl Named {
    fn new(proxies: &[(&str, Mood)]) -> Arc<Self> {
        let proxy = |mood| Remembering {
            mood,
            deliver_calls: Mutex::default(),
            room_calls: Mutex::default(),
            broadcasts: Mutex::default(),
            membership_calls: Mutex::default(),
        };
        let named = proxies.iter().map(|(name, mood)| (server(name), Arc::new(proxy(*mood))));
        Arc::new(Self(named.collect()))
    }

    fn get(&self, name: &str) -> &Remembering {
        &self.0[&server(name)]
    }
}

impl Proxies for Named {
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        Some(self.0.get(server)?.clone())
    }

    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)> {
        self.0.iter().map(|(server, proxy)| (server.clone(), proxy.clone() as Arc<dyn Proxy>)).collect()
    }
}

fn server(name: &str) -> ServerId {
    ServerId(name.into())
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

/// Connections given as (proxy, connection); the handle is a hundred times the connection.
fn located(routes: &[(&str, u64)]) -> Located {
    let route = |(name, connection): &(&str, u64)| Route {
        server: server(name),
        connection: ConnectionId(*connection),
        handle: Handle(connection * 100),
    };
    Located { routes: routes.iter().map(route).collect(), unannounced: Vec::new() }
}

fn deliverer(proxies: &Arc<Named>) -> Deliverer {
    Deliverer::new(proxies.clone(), Duration::from_millis(50))
}

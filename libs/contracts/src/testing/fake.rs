//! A callee of every contract that remembers what it was asked, and answers, fails or waits as it is told.

use std::any::Any;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::client::{SendReply, SyncReply};
use protocol::codec::{ReplyKind, RequestKind};
use protocol::operation::Operation;
use protocol::{ConnectionId, ConversationId, DeviceId, Identifier as _, RoomId, ServerId, UserId};
use tokio::sync::watch;

use crate::auth::{Auth, Claims, Credentials};
use crate::im::{Asker, Im, Page, Position, Resumed, SendRequest, SuperGroup};
use crate::logic::{ConnectRequest, Connected, Logic};
use crate::proxy::{BroadcastDelivery, Delivery, Kick, MembershipChange, Proxies, Proxy, RoomDelivery};
use crate::push::{EventPush, Membership, Outcome, Push, StoredPush, Whereabouts};
use crate::router::{Devices, Located, Registered, Registration, Report, Router, Totals, Unregistration};
use crate::{Error, Kind, Result};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers what it was asked.
pub struct Fake {
    /// Every call in words, in the order they began.
    pub calls: watch::Sender<Vec<String>>,
    /// What push was handed.
    pub stored: watch::Sender<Vec<StoredPush>>,
    /// What a proxy was handed.
    pub delivered: watch::Sender<Vec<Delivery>>,
    /// What a proxy was handed for rooms.
    pub delivered_to_rooms: watch::Sender<Vec<RoomDelivery>>,
    /// Calls wait while it is false.
    pub open: watch::Sender<bool>,
    /// Calls fail while it is set.
    pub failure: Mutex<Option<Kind>>,
    /// Pushes that carry one of these users fail as internal.
    pub poisoned: Mutex<HashSet<UserId>>,
    /// Where users are who are not offline.
    pub whereabouts: Mutex<HashMap<UserId, Whereabouts>>,
    answers: Mutex<VecDeque<Box<dyn Any + Send>>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            calls: watch::Sender::default(),
            stored: watch::Sender::default(),
            delivered: watch::Sender::default(),
            delivered_to_rooms: watch::Sender::default(),
            open: watch::Sender::new(true),
            failure: Mutex::default(),
            poisoned: Mutex::default(),
            whereabouts: Mutex::default(),
            answers: Mutex::default(),
        }
    }
}

impl Fake {
    /// A callee that was asked nothing.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Has the next call that answers such a value answer this one.
    pub fn will_answer<T: Send + 'static>(&self, answer: Result<T>) {
        self.answers.lock().push_back(Box::new(answer));
    }

    /// What it was asked since this was last called.
    pub fn take_calls(&self) -> Vec<String> {
        self.calls.send_replace(Vec::new())
    }

    /// Waits until what is watched is as wanted.
    ///
    /// # Panics
    /// When it has not come in 20 seconds.
    pub async fn until<T>(watched: &watch::Sender<T>, wanted: impl FnMut(&T) -> bool) {
        let mut watched = watched.subscribe();
        let waited = tokio::time::timeout(PATIENCE, watched.wait_for(wanted)).await;
        assert!(waited.is_ok(), "what a test waits for never came");
    }

    async fn answer<T: Send + 'static>(&self, call: String, usual: impl FnOnce() -> T + Send) -> Result<T> {
        self.calls.send_modify(|calls| calls.push(call));
        if !*self.open.borrow() {
            // Whoever dropped the sender has dropped this callee.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
        if let Some(kind) = *self.failure.lock() {
            return Err(Error::new(kind, "it fails in this test"));
        }
        let mut answers = self.answers.lock();
        match answers.front().is_some_and(|answer| answer.is::<Result<T>>()) {
            true => answers.pop_front().and_then(|answer| answer.downcast().ok()).map_or_else(
                || Err(Error::new(Kind::Internal, "an answer is of another type")),
                |answer| *answer,
            ),
            false => Ok(usual()),
        }
    }
}

/// An outcome that follows from the name alone.
fn outcome(name: &str) -> Outcome {
    match name.len() % 3 {
        0 => Outcome::Queued,
        1 => Outcome::Offline,
        _ => Outcome::Unknown,
    }
}

#[async_trait]
impl Auth for Fake {
    async fn check(&self, credentials: Credentials) -> Result<Claims> {
        let Credentials { wire, token, claimed } = credentials;
        let call = format!("auth.check {wire:?} {token:?} {claimed:?}");
        self.answer(call, || Claims { user: claimed, expires_at_ms: None }).await
    }
}

#[async_trait]
impl Logic for Fake {
    async fn connect(&self, request: ConnectRequest) -> Result<Connected> {
        let ConnectRequest { credentials, server, number, handle, device, key, platform, address } = request;
        let Credentials { wire, token, claimed } = credentials;
        let call = format!(
            "logic.connect {wire:?} {token:?} {claimed:?} {server} {number} {handle:?} {device} {key:?} \
             {platform:?} {address}"
        );
        self.answer(call, || Connected { user: claimed, connection: ConnectionId(number), key }).await
    }

    async fn disconnect(&self, connections: Vec<Unregistration>) -> Result<()> {
        self.answer(format!("logic.disconnect {connections:?}"), || ()).await
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.answer(format!("logic.enter_rooms {server} {number} {rooms:?}"), || ()).await
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.answer(format!("logic.leave_rooms {server} {number} {rooms:?}"), || ()).await
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        let call = format!("logic.report {server} {report:?}");
        self.answer(call, || vec![0; report.wanted.len()]).await
    }
}

#[async_trait]
impl Router for Fake {
    async fn register(&self, registrations: Vec<Registration>) -> Result<Vec<Registered>> {
        let call = format!("router.register {registrations:?}");
        let registered = |registration: Registration| Registered {
            connection: registration.connection.unwrap_or(ConnectionId(registration.number)),
            key: registration.key,
            replaced: Vec::new(),
        };
        self.answer(call, || registrations.into_iter().map(registered).collect()).await
    }

    async fn unregister(&self, unregistrations: Vec<Unregistration>) -> Result<()> {
        self.answer(format!("router.unregister {unregistrations:?}"), || ()).await
    }

    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>> {
        self.answer(format!("router.locate_users {users:?}"), || vec![Located::default(); users.len()]).await
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>> {
        self.answer(format!("router.devices {users:?}"), || vec![Devices::default(); users.len()]).await
    }

    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>> {
        self.answer(format!("router.locate_keys {keys:?}"), || vec![Located::default(); keys.len()]).await
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.answer(format!("router.enter_rooms {server} {number} {rooms:?}"), || ()).await
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.answer(format!("router.leave_rooms {server} {number} {rooms:?}"), || ()).await
    }

    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>> {
        self.answer(format!("router.room_proxies {rooms:?}"), || vec![Vec::new(); rooms.len()]).await
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        let call = format!("router.report {server} {report:?}");
        self.answer(call, || vec![0; report.wanted.len()]).await
    }

    async fn room_counts(&self, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.answer(format!("router.room_counts {rooms:?}"), || vec![0; rooms.len()]).await
    }

    async fn rooms_top(&self, room_type: &str, limit: usize) -> Result<Vec<(RoomId, u64)>> {
        self.answer(format!("router.rooms_top {room_type:?} {limit}"), Vec::new).await
    }

    async fn totals(&self) -> Result<Totals> {
        self.answer("router.totals".to_owned(), Totals::default).await
    }
}

#[async_trait]
impl Push for Fake {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        self.answer(format!("push.push_stored {pushes:?}"), || ()).await?;
        if pushes.iter().any(|push| self.poisoned.lock().contains(&push.user)) {
            return Err(Error::new(Kind::Internal, "push cannot take this user in this test"));
        }
        self.stored.send_modify(|stored| stored.extend(pushes));
        Ok(())
    }

    async fn push_events(&self, pushes: Vec<EventPush>) -> Result<()> {
        self.answer(format!("push.push_events {pushes:?}"), || ()).await
    }

    async fn set_memberships(&self, memberships: Vec<Membership>) -> Result<()> {
        self.answer(format!("push.set_memberships {memberships:?}"), || ()).await
    }

    async fn whereabouts(&self, users: &[UserId]) -> Result<Vec<Whereabouts>> {
        let of = |user: &UserId| self.whereabouts.lock().get(user).cloned().unwrap_or(Whereabouts::Offline);
        self.answer(format!("push.whereabouts {users:?}"), || users.iter().map(of).collect()).await
    }

    async fn push_to_users(
        &self,
        users: Vec<UserId>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let call = format!("push.push_to_users {users:?} {operation} {body:?}");
        self.answer(call, || users.iter().map(|user| outcome(user.as_str())).collect()).await
    }

    async fn push_to_keys(
        &self,
        keys: Vec<String>,
        operation: Operation,
        body: Bytes,
    ) -> Result<Vec<Outcome>> {
        let call = format!("push.push_to_keys {keys:?} {operation} {body:?}");
        self.answer(call, || keys.iter().map(|key| outcome(key)).collect()).await
    }
}

#[async_trait]
impl Im for Fake {
    async fn send(&self, request: SendRequest) -> Result<SendReply> {
        self.answer(format!("im.send {request:?}"), SendReply::default).await
    }

    async fn ask(&self, asker: Asker, request: RequestKind) -> Result<ReplyKind> {
        let call = format!("im.ask {asker:?} {request:?}");
        self.answer(call, || ReplyKind::Sync(SyncReply::default())).await
    }

    async fn super_groups(&self, user: &UserId) -> Result<Vec<SuperGroup>> {
        self.answer(format!("im.super_groups {user}"), Vec::new).await
    }

    async fn group_tops(&self, conversations: &[ConversationId]) -> Result<Vec<u64>> {
        self.answer(format!("im.group_tops {conversations:?}"), || vec![0; conversations.len()]).await
    }

    async fn resume(&self, user: &UserId, device: &DeviceId, held_up_to: Option<u64>) -> Result<Resumed> {
        self.answer(format!("im.resume {user} {device} {held_up_to:?}"), Resumed::default).await
    }

    async fn page(&self, user: &UserId, begin: u64, end: u64, limit: u32) -> Result<Page> {
        self.answer(format!("im.page {user} {begin} {end} {limit}"), Page::default).await
    }

    async fn ack(&self, positions: Vec<Position>) -> Result<()> {
        self.answer(format!("im.ack {positions:?}"), || ()).await
    }

    async fn inbox_tops(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let tops = || users.iter().map(|user| user.as_str().len() as u64).collect();
        self.answer(format!("im.inbox_tops {users:?}"), tops).await
    }
}

#[async_trait]
impl Proxy for Fake {
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()> {
        self.answer(format!("proxy.deliver {deliveries:?}"), || ()).await?;
        self.delivered.send_modify(|delivered| delivered.extend(deliveries));
        Ok(())
    }

    async fn deliver_to_rooms(&self, deliveries: Vec<RoomDelivery>) -> Result<()> {
        self.answer(format!("proxy.deliver_to_rooms {deliveries:?}"), || ()).await?;
        self.delivered_to_rooms.send_modify(|delivered| delivered.extend(deliveries));
        Ok(())
    }

    async fn broadcast(&self, delivery: BroadcastDelivery) -> Result<()> {
        self.answer(format!("proxy.broadcast {delivery:?}"), || ()).await
    }

    async fn set_memberships(&self, changes: Vec<MembershipChange>) -> Result<()> {
        self.answer(format!("proxy.set_memberships {changes:?}"), || ()).await
    }

    async fn kick(&self, kicks: Vec<Kick>) -> Result<()> {
        self.answer(format!("proxy.kick {kicks:?}"), || ()).await
    }
}

/// The proxies of a test, by name.
impl Proxies for HashMap<ServerId, Arc<Fake>> {
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        Some(self.get(server)?.clone())
    }

    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)> {
        self.iter().map(|(server, proxy)| (server.clone(), Arc::clone(proxy) as Arc<dyn Proxy>)).collect()
    }
}

//! The roles and backends around logic, recording what they are asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use backends::broker::{Broker, Subscription, Topic};
use backends::discovery::{Agreed, Discovery, Instance, Leadership, Registration as Registered_};
use bytes::Bytes;
use contracts::auth::{Auth, Claims, Credentials};
use contracts::proxy::{BroadcastDelivery, Delivery, Kick, MembershipChange, Proxies, Proxy, RoomDelivery};
use contracts::push::{EventPush, Membership, Outcome, Push, Record, StoredPush, Whereabouts};
use contracts::router::{
    Devices, Located, Registered, Registration, Replaced, Report, Router, Totals, Unregistration,
};
use contracts::{Error, Kind, Result};
use prost::Message as _;
use protocol::{Code, ConnectionId, Identifier as _, RoomId, ServerId, UserId};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// What was asked of the others, and what they are to answer.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) kicked: Mutex<Vec<Kick>>,
    pub(crate) replaced: Mutex<Vec<Replaced>>,
    pub(crate) published: Mutex<Vec<Record>>,
    pub(crate) failure: Mutex<Option<Kind>>,
    pub(crate) broker_failure: Mutex<Option<backends::Kind>>,
    pub(crate) proxies: Mutex<Vec<Instance>>,
}

impl World {
    fn note(&self, line: String) -> Result<()> {
        self.log.lock().unwrap().push(line);
        match *self.failure.lock().unwrap() {
            Some(kind) => Err(Error::new(kind, "a secret detail")),
            None => Ok(()),
        }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    pub(crate) async fn start(self: &Arc<Self>) -> logic::Service {
        let fake = || Arc::new(Fake(Arc::clone(self)));
        let deps = logic::Deps {
            auth: fake(),
            router: fake(),
            push: fake(),
            proxies: fake(),
            broker: fake(),
            discovery: fake(),
        };
        logic::start(logic::Config::default(), deps).await.unwrap()
    }

    /// Calls the server API; answers status and JSON.
    pub(crate) async fn call(
        self: &Arc<Self>,
        method: &str,
        uri: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, serde_json::Value) {
        let request = Request::builder().method(method).uri(uri).body(body.into()).unwrap();
        let response = self.start().await.api.oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null))
    }
}

struct Fake(Arc<World>);

#[async_trait]
impl Auth for Fake {
    async fn check(&self, credentials: Credentials) -> Result<Claims> {
        match credentials.claimed {
            Some(user) => Ok(Claims { user: Some(user), expires_at_ms: None }),
            None => Err(Error::refused(Code::Unauthenticated, "nobody")),
        }
    }
}

#[async_trait]
impl Router for Fake {
    async fn register(&self, registrations: Vec<Registration>) -> Result<Vec<Registered>> {
        let platforms: Vec<&str> = registrations.iter().map(|one| one.platform.as_str()).collect();
        self.0.note(format!("register {}", platforms.join(" ")))?;
        let replaced = std::mem::take(&mut *self.0.replaced.lock().unwrap());
        Ok(vec![Registered { connection: ConnectionId(7), key: "key-7".to_owned(), replaced }])
    }

    async fn unregister(&self, unregistrations: Vec<Unregistration>) -> Result<()> {
        self.0.note(format!("unregister {}", unregistrations.len()))
    }

    async fn locate_users(&self, users: &[UserId]) -> Result<Vec<Located>> {
        Ok(vec![Located::default(); users.len()])
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Devices>> {
        Ok(vec![Devices::default(); users.len()])
    }

    async fn locate_keys(&self, keys: &[String]) -> Result<Vec<Located>> {
        Ok(vec![Located::default(); keys.len()])
    }

    async fn enter_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.0.note(format!("enter {server} {number} {rooms:?}"))
    }

    async fn leave_rooms(&self, server: &ServerId, number: u64, rooms: Vec<RoomId>) -> Result<()> {
        self.0.note(format!("leave {server} {number} {rooms:?}"))
    }

    async fn room_proxies(&self, rooms: &[RoomId]) -> Result<Vec<Vec<ServerId>>> {
        Ok(vec![Vec::new(); rooms.len()])
    }

    async fn report(&self, server: &ServerId, report: Report) -> Result<Vec<u64>> {
        self.0.note(format!("report {server}"))?;
        Ok(vec![3; report.wanted.len()])
    }

    async fn room_counts(&self, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.0.note(format!("counts {rooms:?}"))?;
        Ok(rooms.iter().map(|room| if room.as_str() == "live://1" { 4 } else { 0 }).collect())
    }

    async fn rooms_top(&self, room_type: &str, limit: usize) -> Result<Vec<(RoomId, u64)>> {
        self.0.note(format!("top {room_type} {limit}"))?;
        Ok(vec![(RoomId::new("live://1").unwrap(), 9), (RoomId::new("live://2").unwrap(), 5)])
    }

    async fn totals(&self) -> Result<Totals> {
        self.0.note("totals".to_owned())?;
        Ok(Totals { connection_count: 12, address_count: 3 })
    }
}

#[async_trait]
impl Push for Fake {
    async fn push_stored(&self, _pushes: Vec<StoredPush>) -> Result<()> {
        Ok(())
    }

    async fn push_events(&self, _pushes: Vec<EventPush>) -> Result<()> {
        Ok(())
    }

    async fn set_memberships(&self, _memberships: Vec<Membership>) -> Result<()> {
        Ok(())
    }

    async fn whereabouts(&self, users: &[UserId]) -> Result<Vec<Whereabouts>> {
        Ok(vec![Whereabouts::Unknown; users.len()])
    }

    async fn push_to_users(&self, users: Vec<UserId>, operation: i32, body: Bytes) -> Result<Vec<Outcome>> {
        self.0.note(format!("users {users:?} {operation} {body:?}"))?;
        Ok(users.iter().map(|user| outcome(user.as_str())).collect())
    }

    async fn push_to_keys(&self, keys: Vec<String>, operation: i32, body: Bytes) -> Result<Vec<Outcome>> {
        self.0.note(format!("keys {keys:?} {operation} {body:?}"))?;
        Ok(keys.iter().map(|key| outcome(key)).collect())
    }
}

fn outcome(name: &str) -> Outcome {
    match name {
        "gone" => Outcome::Offline,
        "lost" => Outcome::Unknown,
        _ => Outcome::Queued,
    }
}

impl Proxies for Fake {
    fn proxy(&self, server: &ServerId) -> Option<Arc<dyn Proxy>> {
        (&*server.0 == "here").then(|| Arc::new(Fake(Arc::clone(&self.0))) as Arc<dyn Proxy>)
    }

    fn all(&self) -> Vec<(ServerId, Arc<dyn Proxy>)> {
        Vec::new()
    }
}

#[async_trait]
impl Proxy for Fake {
    async fn deliver(&self, _deliveries: Vec<Delivery>) -> Result<()> {
        Ok(())
    }

    async fn deliver_to_rooms(&self, _deliveries: Vec<RoomDelivery>) -> Result<()> {
        Ok(())
    }

    async fn broadcast(&self, _delivery: BroadcastDelivery) -> Result<()> {
        Ok(())
    }

    async fn set_memberships(&self, _changes: Vec<MembershipChange>) -> Result<()> {
        Ok(())
    }

    async fn kick(&self, kicks: Vec<Kick>) -> Result<()> {
        self.0.note(format!("kick {}", kicks.len()))?;
        self.0.kicked.lock().unwrap().extend(kicks);
        Ok(())
    }
}

#[async_trait]
impl Broker for Fake {
    async fn publish(&self, topic: Topic, records: Vec<backends::broker::Record>) -> backends::Result<()> {
        assert_eq!(topic, Topic::Push);
        if let Some(kind) = *self.0.broker_failure.lock().unwrap() {
            return Err(backends::Error::new(kind, "a secret detail"));
        }
        for record in records {
            let value = Record::decode(record.value).unwrap();
            assert_eq!(record.key, value.room.as_bytes());
            self.0.published.lock().unwrap().push(value);
        }
        Ok(())
    }

    async fn subscribe(&self, _topic: Topic, _consumer: &str) -> backends::Result<Box<dyn Subscription>> {
        Err(backends::Error::new(backends::Kind::Transient, "logic reads no topic"))
    }
}

#[async_trait]
impl Discovery for Fake {
    async fn register(&self, _instance: Instance) -> backends::Result<Box<dyn Registered_>> {
        Err(backends::Error::new(backends::Kind::Transient, "logic registers nothing"))
    }

    async fn watch(&self, role: &str) -> backends::Result<watch::Receiver<Vec<Instance>>> {
        assert_eq!(role, "proxy");
        Ok(watch::channel(self.0.proxies.lock().unwrap().clone()).1)
    }

    async fn elect(&self, _name: &str, _candidate: &ServerId) -> backends::Result<Box<dyn Leadership>> {
        Err(backends::Error::new(backends::Kind::Transient, "logic stands for nothing"))
    }

    async fn watch_agreed(&self, _name: &str) -> backends::Result<watch::Receiver<Option<Agreed>>> {
        Err(backends::Error::new(backends::Kind::Transient, "logic follows no agreed value"))
    }

    async fn agree(&self, _name: &str, _version: u64, _value: Bytes) -> backends::Result<Option<u64>> {
        Err(backends::Error::new(backends::Kind::Transient, "logic agrees on nothing"))
    }
}

/// A proxy as it stands in discovery.
pub(crate) fn proxy_instance() -> Instance {
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    Instance {
        role: "proxy".to_owned(),
        server: ServerId("here".into()),
        addresses: texts(&[("tcp", "10.0.0.1:3101"), ("ws", "10.0.0.1:3102")]),
        metadata: texts(&[("hostname", "conn1"), ("region", "sh"), ("version", "1.2.3")]),
        since_ms: 5,
    }
}

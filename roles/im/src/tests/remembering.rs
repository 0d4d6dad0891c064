//! A push and a broker that remember what they were given, and fail or wait where they are told to.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use backends::broker::{Record, Subscription, Topic};
use contracts::push::{EventPush, Membership, Outcome, Push, StoredPush, Whereabouts};
use parking_lot::Mutex;
use prost::Message as _;
use protocol::codec::Event;
use protocol::operation::Operation;
use tokio::sync::watch;

use super::*;

/// What was done to the rooms of super groups, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Did {
    /// Connections were commanded: user, version, whether a member.
    Commanded(Vec<(String, u64, bool)>),
    /// A row was published to its room.
    Published(Box<Message>),
}

/// A push that remembers, and fails or waits where it is told to.
pub(super) struct Remembering {
    pub(super) taken: watch::Sender<Vec<StoredPush>>,
    pub(super) told: watch::Sender<Vec<EventPush>>,
    pub(super) did: watch::Sender<Vec<Did>>,
    /// Calls wait while it is false.
    pub(super) open: watch::Sender<bool>,
    /// Calls fail while it is set.
    pub(super) failure: Mutex<Option<Kind>>,
    /// Calls that carry one of these users fail as internal.
    pub(super) poisoned: HashSet<UserId>,
    /// Where users are who are not offline.
    pub(super) whereabouts: Mutex<HashMap<UserId, Whereabouts>>,
}

impl Remembering {
    pub(super) fn new() -> Self {
        Self {
            taken: watch::Sender::default(),
            told: watch::Sender::default(),
            did: watch::Sender::default(),
            open: watch::Sender::new(true),
            failure: Mutex::default(),
            poisoned: HashSet::new(),
            whereabouts: Mutex::default(),
        }
    }

    /// What was taken for a user: inbox seqs in the order they came.
    pub(super) fn seqs_of(&self, name: &str) -> Vec<u64> {
        let taken = self.taken.borrow();
        taken.iter().filter(|push| push.user.as_str() == name).map(|push| push.inbox_seq).collect()
    }

    /// Waits until what was taken is as wanted.
    pub(super) async fn until(&self, wanted: impl FnMut(&Vec<StoredPush>) -> bool) {
        until(&self.taken, wanted).await;
    }

    /// Waits until users were told an event that is wanted, and answers those users, sorted.
    pub(super) async fn until_told(&self, wanted: impl Fn(&Event) -> bool) -> Vec<String> {
        let users_of = |told: &Vec<EventPush>| {
            let pushes = told.iter().filter(|push| wanted(&push.event));
            let mut users: Vec<String> =
                pushes.flat_map(|push| push.users.iter().map(ToString::to_string)).collect();
            users.sort_unstable();
            users
        };
        until(&self.told, |told| !users_of(told).is_empty()).await;
        users_of(&self.told.borrow())
    }

    /// Waits until this row was published to its room, and answers what was done until then.
    pub(super) async fn until_published(&self, seq: u64) -> Vec<Did> {
        let is_wanted = |did: &Did| matches!(did, Did::Published(row) if row.seq == seq);
        until(&self.did, |did| did.iter().any(is_wanted)).await;
        self.did.borrow().clone()
    }

    async fn let_through(&self) -> Result<()> {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        match *self.failure.lock() {
            Some(kind) => Err(Error::new(kind, "push fails in this test")),
            None => Ok(()),
        }
    }
}

async fn until<T>(watched: &watch::Sender<T>, wanted: impl FnMut(&T) -> bool) {
    let mut watched = watched.subscribe();
    let waited = tokio::time::timeout(Duration::from_secs(20), watched.wait_for(wanted)).await;
    assert!(waited.is_ok(), "push never got what was wanted");
}

#[async_trait]
impl Push for Remembering {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        self.let_through().await?;
        if pushes.iter().any(|push| self.poisoned.contains(&push.user)) {
            return Err(Error::new(Kind::Internal, "push cannot take this user in this test"));
        }
        self.taken.send_modify(|taken| taken.extend(pushes));
        Ok(())
    }

    async fn push_events(&self, pushes: Vec<EventPush>) -> Result<()> {
        self.told.send_modify(|told| told.extend(pushes));
        Ok(())
    }

    async fn set_memberships(&self, memberships: Vec<Membership>) -> Result<()> {
        self.let_through().await?;
        let commands = memberships.iter().map(|one| (one.user.to_string(), one.version, one.member));
        self.did.send_modify(|did| did.push(Did::Commanded(commands.collect())));
        Ok(())
    }

    async fn whereabouts(&self, users: &[UserId]) -> Result<Vec<Whereabouts>> {
        let whereabouts = self.whereabouts.lock();
        let of = |user: &UserId| whereabouts.get(user).cloned().unwrap_or(Whereabouts::Offline);
        Ok(users.iter().map(of).collect())
    }

    async fn push_to_users(&self, _: Vec<UserId>, _: Operation, _: Bytes) -> Result<Vec<Outcome>> {
        unreachable!("im pushes no operations")
    }

    async fn push_to_keys(&self, _: Vec<String>, _: Operation, _: Bytes) -> Result<Vec<Outcome>> {
        unreachable!("im pushes no operations")
    }
}

/// A broker that tells the remembering push which rows were published to rooms.
pub(super) struct RememberingBroker {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) push: Arc<Remembering>,
}

#[async_trait]
impl Broker for RememberingBroker {
    async fn publish(&self, topic: Topic, records: Vec<Record>) -> backends::Result<()> {
        self.broker.publish(topic, records.clone()).await?;
        if topic == Topic::Push {
            let decoded = records.into_iter().map(|record| contracts::push::Record::decode(record.value));
            let rows =
                decoded.filter_map(|record| record.unwrap().row).map(|row| Did::Published(Box::new(row)));
            self.push.did.send_modify(|did| did.extend(rows));
        }
        Ok(())
    }

    async fn subscribe(&self, topic: Topic, consumer: &str) -> backends::Result<Box<dyn Subscription>> {
        self.broker.subscribe(topic, consumer).await
    }
}

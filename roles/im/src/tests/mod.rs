//! im on the embedded store, with a push that remembers what it was given.

mod api;
mod handing_on;
mod offline;
mod sends;
mod watched_store;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backends::broker::Broker;
use backends::cache::Cache;
use backends::store::{Append, Intent, Store};
use bytes::Bytes;
use contracts::im::{Im, SendRequest};
use contracts::push::{Outcome, Push, StoredPush};
use contracts::{Error, Kind, Result};
use parking_lot::Mutex;
use protocol::client::{SendReply, Target, target};
use protocol::message::Content;
use protocol::operation::Operation;
use protocol::{ConnectionId, ConversationId, Identifier, UserId};
use runtime::clock::now_ms;
use runtime::lifecycle::Stop;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{Config, Deps, Service, start};
use watched_store::WatchedStore;

/// A push that remembers, and fails or waits where it is told to.
struct Remembering {
    taken: watch::Sender<Vec<StoredPush>>,
    /// Calls wait while it is false.
    open: watch::Sender<bool>,
    /// Calls fail while it is set.
    failure: Mutex<Option<Kind>>,
    /// Calls that carry one of these users fail as internal.
    poisoned: HashSet<UserId>,
}

impl Remembering {
    fn new() -> Self {
        let (taken, open) = (watch::Sender::new(Vec::new()), watch::Sender::new(true));
        Self { taken, open, failure: Mutex::new(None), poisoned: HashSet::new() }
    }

    /// What was taken for a user: inbox seqs in the order they came.
    fn seqs_of(&self, name: &str) -> Vec<u64> {
        let taken = self.taken.borrow();
        taken.iter().filter(|push| push.user.as_str() == name).map(|push| push.inbox_seq).collect()
    }

    /// Waits until what was taken is as wanted.
    async fn until(&self, wanted: impl FnMut(&Vec<StoredPush>) -> bool) {
        let mut taken = self.taken.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), taken.wait_for(wanted)).await;
        assert!(waited.is_ok(), "push never got what was wanted");
    }
}

#[async_trait]
impl Push for Remembering {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        if let Some(kind) = *self.failure.lock() {
            return Err(Error::new(kind, "push fails in this test"));
        }
        if pushes.iter().any(|push| self.poisoned.contains(&push.user)) {
            return Err(Error::new(Kind::Internal, "push cannot take this user in this test"));
        }
        self.taken.send_modify(|taken| taken.extend(pushes));
        Ok(())
    }

    async fn push_to_users(&self, _: Vec<UserId>, _: Operation, _: Bytes) -> Result<Vec<Outcome>> {
        unreachable!("im pushes no operations")
    }

    async fn push_to_keys(&self, _: Vec<String>, _: Operation, _: Bytes) -> Result<Vec<Outcome>> {
        unreachable!("im pushes no operations")
    }
}

/// A folder with the embedded backends.
struct Backends {
    store: Arc<WatchedStore>,
    cache: Arc<dyn Cache>,
    broker: Arc<dyn Broker>,
    _folder: TempDir,
}

impl Backends {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("embedded:{}", folder.path().join(name).display());
        let store = backends::store::open(&url("store")).await.unwrap();
        let broker = backends::broker::open(&url("broker")).await.unwrap();
        let cache = backends::cache::open("embedded:").await.unwrap();
        Self { store: Arc::new(WatchedStore::new(store)), cache, broker, _folder: folder }
    }

    fn start(&self, config: Config, push: &Arc<Remembering>) -> Running {
        let stop = Stop::new();
        let deps = Deps {
            store: self.store.clone(),
            cache: self.cache.clone(),
            broker: self.broker.clone(),
            push: push.clone(),
            stop: stop.clone(),
        };
        Running { service: start(config, deps), stop }
    }

    /// Waits until no message waits to be handed on.
    async fn until_no_intents(&self) {
        let mut left = Vec::new();
        for _ in 0..2_000 {
            left = self.intents().await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} intents were never removed", left.len());
    }

    async fn intents(&self) -> Vec<Intent> {
        self.store.intents(now_ms() + 60_000, 10_000).await.unwrap()
    }

    /// Stores messages from alice to bob as a process that ended right after the commit.
    async fn store_unhanded(&self, contents: Vec<Bytes>, inboxes: &[UserId]) {
        let (alice, bob) = (user("alice"), user("bob"));
        let append = |(index, content): (usize, Bytes)| Append {
            conversation: ConversationId::single(&alice, &bob),
            message_id: 1_000 + index as u64,
            sender: alice.clone(),
            client_message_id: format!("lying-{index}"),
            time_ms: now_ms() - 5_000,
            content,
            inboxes: inboxes.to_vec(),
        };
        for appended in self.store.append(contents.into_iter().enumerate().map(append).collect()).await {
            appended.unwrap();
        }
    }
}

/// im, running.
struct Running {
    service: Service,
    stop: Stop,
}

impl Running {
    fn im(&self) -> &Arc<dyn Im> {
        &self.service.contract
    }

    async fn say(&self, from: &str, to: &str, id: &str) -> Result<SendReply> {
        self.im().send(request(from, to_user(to), id, "hi")).await
    }

    /// Stops, and waits until all tasks have ended.
    async fn stop(self) {
        self.stop.trigger();
        drop(self.service.contract);
        for task in self.service.tasks {
            tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
        }
    }
}

/// A configuration under which the sweep comes often and takes what is only just stored.
fn hurried() -> Config {
    Config {
        sweep_period: Duration::from_millis(20),
        sweep_age: Duration::ZERO,
        clear_window: Duration::from_millis(5),
        position_window: Duration::from_millis(5),
        ..Config::default()
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn to_user(name: &str) -> Target {
    Target { target: Some(target::Target::User(name.to_owned())) }
}

fn to_room(name: &str) -> Target {
    Target { target: Some(target::Target::Room(name.to_owned())) }
}

fn request(from: &str, to: Target, id: &str, text: &str) -> SendRequest {
    SendRequest {
        sender: user(from),
        connection: ConnectionId(77),
        to,
        client_message_id: id.to_owned(),
        content: Content::Text(text.to_owned()),
    }
}

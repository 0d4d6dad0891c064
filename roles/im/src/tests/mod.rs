//! im on the embedded store, with a push and a broker that remember what they were given.

/// Asks in a user's name and answers the reply of the request's name.
macro_rules! ask {
    ($running:expr, $who:expr, $kind:ident, $request:expr) => {
        match $running.ask($who, RequestKind::$kind($request)).await {
            Ok(ReplyKind::$kind(reply)) => Ok(reply),
            Ok(reply) => panic!("the reply is of another request: {reply:?}"),
            Err(error) => Err(error),
        }
    };
}

mod api;
mod blocks;
mod conversations;
mod group_sync;
mod groups;
mod handing_on;
mod histories;
mod offline;
mod presence;
mod recall;
mod receipts;
mod remembering;
mod sends;
mod super_groups;
mod typing;
mod watched_store;

use std::sync::Arc;
use std::time::Duration;

use backends::broker::Broker;
use backends::cache::Cache;
use backends::mailbox;
use backends::store::{Append, FanOut, Guard, Intent, IntentLane, OutboxRange, Outcome, Store};
use bytes::Bytes;
use contracts::im::{Asker, Im, SendRequest};
use contracts::{Error, Kind, Result};
use protocol::client::{self, GroupCreate, Message, SendReply, Target, target};
use protocol::codec::{ReplyKind, RequestKind};
use protocol::message::Content;
use protocol::{Code, ConnectionId, ConversationId, DeviceId, GroupId, Identifier, UserId};
use runtime::clock::now_ms;
use runtime::lifecycle::Stop;
use tempfile::TempDir;

use crate::{Config, Deps, Service, SingleChatRule, start};
use remembering::{Did, Remembering, RememberingBroker};
use watched_store::WatchedStore;

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
            broker: Arc::new(RememberingBroker { broker: self.broker.clone(), push: push.clone() }),
            push: push.clone(),
            stop: stop.clone(),
        };
        Running { service: start(config, deps), stop }
    }

    /// Waits until no row waits to be handed to push.
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
        self.store.intents(IntentLane::Push, now_ms() + 60_000, 10_000).await.unwrap()
    }

    /// The rows of a group that wait for consumer.
    async fn waiting_for_consumer(&self) -> Vec<u64> {
        let intents = self.store.intents(IntentLane::FanOut, now_ms() + 60_000, 10_000).await.unwrap();
        intents.into_iter().map(|intent| intent.message.seq).collect()
    }

    /// Does what consumer does: writes the rows of a group into inboxes, as far as they are fanned out.
    async fn fan_out(&self, group: &str) {
        let conversation = conversation(group);
        for row in self.rows_of(group).await {
            if row.1 != FanOut::OnWrite {
                break;
            }
            let users = self.store.receivers(&conversation, row.0.seq).await.unwrap();
            if self.store.fanned_out_to(&conversation).await.unwrap() < row.0.seq {
                self.store.fan_out(&conversation, row.0.seq, users).await.unwrap();
                let advanced = self.store.advance_fanned_out(&conversation, row.0.seq - 1, row.0.seq).await;
                assert!(advanced.unwrap());
            }
            self.store.clear_intents(IntentLane::FanOut, vec![row.0.message_id]).await.unwrap();
        }
    }

    /// The rows of a group's outbox.
    async fn rows_of(&self, group: &str) -> Vec<(Message, FanOut)> {
        let range = OutboxRange { conversation: conversation(group), begin: 1, end: 0 };
        let page = self.store.outbox_pages(&[range], 1_000).await.unwrap().remove(0);
        let rows = page.iter().map(|row| (mailbox::message_of(row).unwrap(), row.fan_out));
        rows.collect()
    }

    /// The kinds of the rows of a group's outbox; empty for a message.
    async fn kinds_of(&self, group: &str) -> Vec<String> {
        self.rows_of(group).await.into_iter().map(|(row, _)| row.kind.unwrap_or_default()).collect()
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
            counted: true,
            mentions: Vec::new(),
            mention_all: false,
            replaces: None,
            guard: Guard::None,
            inboxes: inboxes.to_vec(),
        };
        for outcome in self.store.append(contents.into_iter().enumerate().map(append).collect()).await {
            assert!(matches!(outcome, Ok(Outcome::Written(_))), "{outcome:?}");
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

    async fn say_in(&self, group: &str, from: &str, id: &str) -> Result<SendReply> {
        self.im().send(request(from, to_group(group), id, "hi")).await
    }

    async fn ask(&self, who: &str, request: RequestKind) -> Result<ReplyKind> {
        self.im().ask(asker(who), request).await
    }

    /// Makes a group; the first of the members is its owner.
    async fn group(&self, group: &str, members: &[&str], kind: &str) {
        let request = GroupCreate {
            group: group.to_owned(),
            members: members[1..].iter().map(|name| (*name).to_owned()).collect(),
            kind: kind.to_owned(),
            ..GroupCreate::default()
        };
        ask!(self, members[0], GroupCreate, request).unwrap();
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

/// A configuration under which nothing is swept but what lay there before.
fn unswept() -> Config {
    Config { sweep_period: Duration::from_secs(600), ..Config::default() }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn conversation(group: &str) -> ConversationId {
    ConversationId::group(&GroupId::new(group).unwrap())
}

fn asker(name: &str) -> Asker {
    let device = Some(DeviceId::new("phone").unwrap());
    Asker { user: user(name), device, connection: Some(ConnectionId(77)) }
}

fn to_user(name: &str) -> Target {
    Target { target: Some(target::Target::User(name.to_owned())) }
}

fn to_group(name: &str) -> Target {
    Target { target: Some(target::Target::Group(name.to_owned())) }
}

fn to_room(name: &str) -> Target {
    Target { target: Some(target::Target::Room(name.to_owned())) }
}

fn request(from: &str, to: Target, id: &str, text: &str) -> SendRequest {
    let send = client::Send {
        to: Some(to),
        client_message_id: id.to_owned(),
        content: Some(Content::Text(text.to_owned()).into()),
        ..client::Send::default()
    };
    SendRequest { sender: user(from), connection: ConnectionId(77), send }
}

/// The code with which something was refused.
fn code_of<T: std::fmt::Debug>(result: Result<T>) -> Code {
    match result {
        Ok(answer) => panic!("it was not refused: {answer:?}"),
        Err(error) => match error.kind() {
            Kind::Refused(code) => code,
            kind => panic!("it was not refused but failed, {kind:?}: {error}"),
        },
    }
}

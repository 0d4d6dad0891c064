//! A store and a broker in a folder, groups in them, and a push.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backends::broker::{Broker, Record, Topic};
use backends::cache::Cache;
use backends::mailbox;
use backends::store::{
    Append, FanOut, GroupChange, GroupSettings, Guard, IntentLane, MemberChange, MemberChangeKind,
    OutboxRange, Outcome, Replacement, Role, Store, SuperChange,
};
use bytes::Bytes;
use contracts::push::{self, EventPush, Membership, Push, StoredPush, Whereabouts};
use contracts::{Error, Kind, Result};
use parking_lot::Mutex;
use protocol::client::Message;
use protocol::message::{Content, kind};
use protocol::operation::Operation;
use protocol::{ConversationId, GroupId, Identifier, UserId};
use runtime::clock::now_ms;
use runtime::lifecycle::Stop;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::fanout::Fanout;
use crate::{Config, Deps, start};

const PATIENCE: Duration = Duration::from_secs(20);

/// A push that remembers, fails as often as it is told to, and hangs for one conversation.
#[derive(Default)]
pub(super) struct Remembering {
    pub(super) taken: watch::Sender<Vec<StoredPush>>,
    pub(super) failures_left: AtomicU32,
    pub(super) hangs_for: Mutex<Option<ConversationId>>,
}

impl Remembering {
    pub(super) fn failing(count: u32) -> Arc<Self> {
        Arc::new(Self { failures_left: AtomicU32::new(count), ..Self::default() })
    }

    /// (conversation seq, inbox seq) of what a user was pushed.
    pub(super) fn of(&self, name: &str) -> Vec<(u64, u64)> {
        let taken = self.taken.borrow();
        let of_user = taken.iter().filter(|push| push.user.as_str() == name);
        of_user.map(|push| (push.message.seq, push.inbox_seq)).collect()
    }
}

#[async_trait]
impl Push for Remembering {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        let hangs = self.hangs_for.lock().as_ref().map(ToString::to_string);
        if hangs.is_some_and(|hangs| pushes.iter().any(|push| push.message.conversation == hangs)) {
            std::future::pending::<()>().await;
        }
        let fail = |left: u32| left.checked_sub(1);
        if self.failures_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail).is_ok() {
            return Err(Error::new(Kind::Unavailable, "push fails in this test"));
        }
        self.taken.send_modify(|taken| taken.extend(pushes));
        Ok(())
    }

    async fn push_events(&self, _: Vec<EventPush>) -> Result<()> {
        unreachable!("consumer pushes no events")
    }

    async fn set_memberships(&self, _: Vec<Membership>) -> Result<()> {
        unreachable!("consumer commands no memberships")
    }

    async fn whereabouts(&self, _: &[UserId]) -> Result<Vec<Whereabouts>> {
        unreachable!("consumer asks for nobody")
    }

    async fn push_to_users(&self, _: Vec<UserId>, _: Operation, _: Bytes) -> Result<Vec<push::Outcome>> {
        unreachable!("consumer pushes no operations")
    }

    async fn push_to_keys(&self, _: Vec<String>, _: Operation, _: Bytes) -> Result<Vec<push::Outcome>> {
        unreachable!("consumer pushes no operations")
    }
}

/// A folder with the embedded backends.
pub(super) struct Backends {
    pub(super) store: Arc<dyn Store>,
    pub(super) cache: Arc<dyn Cache>,
    pub(super) broker: Arc<dyn Broker>,
    message_id: AtomicU64,
    _folder: TempDir,
}

impl Backends {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("embedded:{}", folder.path().join(name).display());
        let store = backends::store::open(&url("store")).await.unwrap();
        let broker = backends::broker::open(&url("broker")).await.unwrap();
        let cache = backends::cache::open("embedded:").await.unwrap();
        Self { store, cache, broker, message_id: AtomicU64::new(1), _folder: folder }
    }

    fn message_id(&self) -> u64 {
        self.message_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a group whose owner is the first of its members; its first row has seq 1.
    pub(super) async fn make(&self, name: &str, members: &[&str]) {
        self.change(name, members, MemberChangeKind::Join, SuperChange::Stay).await;
    }

    pub(super) async fn join(&self, name: &str, members: &[&str]) -> u64 {
        self.change(name, members, MemberChangeKind::Join, SuperChange::Stay).await
    }

    pub(super) async fn leave(&self, name: &str, members: &[&str]) -> u64 {
        self.change(name, members, MemberChangeKind::Leave, SuperChange::Stay).await
    }

    pub(super) async fn convert(&self, name: &str) -> u64 {
        self.change(name, &[], MemberChangeKind::Stay, SuperChange::AfterThisRow).await
    }

    /// Changes a group and answers the seq of the row that tells it.
    pub(super) async fn change(
        &self,
        name: &str,
        members: &[&str],
        kind: MemberChangeKind,
        super_change: SuperChange,
    ) -> u64 {
        let group = GroupId::new(name).unwrap();
        let known = self.store.groups(std::slice::from_ref(&group)).await.unwrap().remove(0);
        let member =
            |name: &&str| MemberChange { user: user(name), role: Role::Member, muted_until_ms: 0, kind };
        let owner = known.as_ref().map_or_else(|| user(members[0]), |known| known.owner.clone());
        let row = Message { kind: Some(kind::UPDATED.to_owned()), ..Message::default() };
        let change = GroupChange {
            group,
            expected_version: known.map_or(0, |known| known.version),
            settings: GroupSettings::default(),
            owner: owner.clone(),
            dismissed: false,
            super_change,
            members: members.iter().map(member).collect(),
            message_id: self.message_id(),
            by: owner,
            time_ms: now_ms(),
            content: mailbox::encode_content(&row),
        };
        self.store.change_group(change).await.unwrap().expect("nobody else changes it").seq
    }

    /// A member sends to a group as many messages; answers the seq of the last one.
    pub(super) async fn send(&self, name: &str, from: &str, count: u64) -> u64 {
        let hello = Message { content: Some(Content::Text("hello".to_owned()).into()), ..Message::default() };
        let appends = (0..count).map(|_| self.append(name, from, mailbox::encode_content(&hello)));
        self.write(appends.collect()).await
    }

    pub(super) async fn write(&self, appends: Vec<Append>) -> u64 {
        let mut seq = 0;
        for answer in self.store.append(appends).await {
            let Outcome::Written(appended) = answer.unwrap() else { panic!("a row was denied") };
            seq = appended.seq;
        }
        seq
    }

    pub(super) fn append(&self, name: &str, from: &str, content: Bytes) -> Append {
        let message_id = self.message_id();
        Append {
            conversation: conversation(name),
            message_id,
            sender: user(from),
            client_message_id: format!("c-{message_id}"),
            time_ms: now_ms(),
            content,
            counted: true,
            mentions: Vec::new(),
            mention_all: false,
            replaces: None,
            guard: Guard::None,
            inboxes: Vec::new(),
        }
    }

    /// A row is recalled; answers the seq of the row that tells it.
    pub(super) async fn recall(&self, name: &str, from: &str, seq: u64) -> u64 {
        let row = Message {
            kind: Some(kind::RECALLED.to_owned()),
            target: Some(seq),
            by: Some(from.to_owned()),
            ..Message::default()
        };
        let content = mailbox::recalled_content(&Message::default());
        let append = Append {
            counted: false,
            replaces: Some(Replacement { seq, content }),
            ..self.append(name, from, mailbox::encode_content(&row))
        };
        self.write(vec![append]).await
    }

    pub(super) async fn hint(&self, key: &str) {
        let record = Record { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::new() };
        self.broker.publish(Topic::Fanout, vec![record]).await.unwrap();
    }

    pub(super) async fn hint_of(&self, name: &str) {
        self.hint(conversation(name).as_str()).await;
    }

    /// Starts a consumer that finds nothing by itself.
    pub(super) async fn start(&self, push: &Arc<Remembering>) -> Running {
        self.start_with(config(), self.broker.clone(), push).await
    }

    /// Starts a consumer that sweeps.
    pub(super) async fn start_sweeping(&self, push: &Arc<Remembering>) -> Running {
        self.start_with(sweeping(), self.broker.clone(), push).await
    }

    pub(super) async fn start_with(
        &self,
        config: Config,
        broker: Arc<dyn Broker>,
        push: &Arc<Remembering>,
    ) -> Running {
        let stop = Stop::new();
        let deps = Deps {
            store: self.store.clone(),
            cache: self.cache.clone(),
            broker,
            push: push.clone(),
            stop: stop.clone(),
        };
        Running { task: start(config, deps).await.unwrap(), stop }
    }

    /// A fan-out that somebody else drives.
    pub(super) fn fanout(&self, push: &Arc<Remembering>) -> (Fanout, mpsc::Receiver<Vec<u64>>) {
        let (cleared, to_clear) = mpsc::channel(1_000);
        (Fanout::new(self.store.clone(), self.cache.clone(), push.clone(), cleared, 5), to_clear)
    }

    /// Seqs of a group's rows in a user's inbox, in its order.
    pub(super) async fn inbox(&self, name: &str, group: &str) -> Vec<u64> {
        let page = self.store.inbox_page(&user(name), 1, 0, 10_000).await.unwrap();
        assert!(page.rows.iter().enumerate().all(|(index, row)| row.inbox_seq == index as u64 + 1));
        let here = conversation(group);
        page.rows
            .into_iter()
            .filter(|row| row.message.conversation == here)
            .map(|row| row.message.seq)
            .collect()
    }

    pub(super) async fn fanned_out_to(&self, name: &str) -> u64 {
        self.store.fanned_out_to(&conversation(name)).await.unwrap()
    }

    pub(super) async fn until_fanned_out(&self, name: &str, seq: u64) {
        let fanned_out = async {
            while self.fanned_out_to(name).await != seq {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, fanned_out).await;
        assert!(waited.is_ok(), "the fan-out of {name} stands at {}", self.fanned_out_to(name).await);
    }

    /// Rows of groups that have their intent.
    pub(super) async fn intent_count(&self) -> usize {
        self.store.intents(IntentLane::FanOut, u64::MAX, 10_000).await.unwrap().len()
    }

    pub(super) async fn until_no_intent_is_left(&self) {
        let cleared = async {
            while self.intent_count().await > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, cleared).await;
        assert!(waited.is_ok(), "{} rows have their intent", self.intent_count().await);
    }

    /// Seqs of the rows that are to be fanned out on write.
    pub(super) async fn on_write(&self, name: &str) -> Vec<u64> {
        let range = OutboxRange { conversation: conversation(name), begin: 1, end: 0 };
        let page = self.store.outbox_pages(&[range], 10_000).await.unwrap().remove(0);
        page.iter().filter(|row| row.fan_out == FanOut::OnWrite).map(|row| row.seq).collect()
    }
}

/// A consumer.
pub(super) struct Running {
    pub(super) task: JoinHandle<()>,
    pub(super) stop: Stop,
}

impl Running {
    pub(super) async fn end(self) {
        self.stop.trigger();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it must end").unwrap();
    }
}

/// Rows are worked on when they are told of.
pub(super) fn config() -> Config {
    Config {
        back_off: Duration::from_millis(5),
        back_off_max: Duration::from_millis(50),
        clear_window: Duration::from_millis(5),
        sweep_age: Duration::from_secs(3_600),
        ..Config::default()
    }
}

/// Rows are found at once.
pub(super) fn sweeping() -> Config {
    let (sweep_age, sweep_period) = (Duration::ZERO, Duration::from_millis(10));
    Config { sweep_age, sweep_period, ..config() }
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(super) fn conversation(group: &str) -> ConversationId {
    ConversationId::group(&GroupId::new(group).unwrap())
}

//! consumer on the embedded store and broker, with a push that remembers what it was given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backends::broker::{Broker, Record, Topic};
use backends::mailbox;
use backends::store::{Append, Store};
use bytes::Bytes;
use contracts::push::{Outcome, Push, StoredPush};
use contracts::{Error, Kind, Result};
use protocol::client::{Target, target};
use protocol::message::Content;
use protocol::operation::Operation;
use protocol::{ConversationId, Identifier, UserId};
use runtime::lifecycle::Stop;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fanout::Fanout;
use crate::{Config, Deps, start};

/// A push that remembers, and fails as often as it is told to.
#[derive(Default)]
struct Remembering {
    taken: watch::Sender<Vec<StoredPush>>,
    failures_left: AtomicU32,
}

impl Remembering {
    fn failing(count: u32) -> Arc<Self> {
        Arc::new(Self { failures_left: AtomicU32::new(count), ..Self::default() })
    }

    async fn until_taken(&self, count: usize) {
        let mut taken = self.taken.subscribe();
        let waited = taken.wait_for(|taken| taken.len() >= count);
        let waited = tokio::time::timeout(Duration::from_secs(20), waited).await.map(|_| ());
        assert!(waited.is_ok(), "push never got {count} messages");
    }

    /// (conversation seq, inbox seq) of what a user was pushed.
    fn of(&self, name: &str) -> Vec<(u64, u64)> {
        let taken = self.taken.borrow();
        let of_user = taken.iter().filter(|push| push.user.as_str() == name);
        of_user.map(|push| (push.message.seq, push.inbox_seq)).collect()
    }
}

#[async_trait]
impl Push for Remembering {
    async fn push_stored(&self, pushes: Vec<StoredPush>) -> Result<()> {
        let fail = |left: u32| left.checked_sub(1);
        if self.failures_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail).is_ok() {
            return Err(Error::new(Kind::Unavailable, "push fails in this test"));
        }
        self.taken.send_modify(|taken| taken.extend(pushes));
        Ok(())
    }

    async fn push_to_users(&self, _: Vec<UserId>, _: Operation, _: Bytes) -> Result<Vec<Outcome>> {
        unreachable!("consumer pushes no operations")
    }

    async fn push_to_keys(&self, _: Vec<String>, _: Operation, _: Bytes) -> Result<Vec<Outcome>> {
        unreachable!("consumer pushes no operations")
    }
}

/// A folder with the embedded backends.
struct Backends {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    _folder: TempDir,
}

impl Backends {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("embedded:{}", folder.path().join(name).display());
        let store = backends::store::open(&url("store")).await.unwrap();
        let broker = backends::broker::open(&url("broker")).await.unwrap();
        Self { store, broker, _folder: folder }
    }

    /// Writes messages from alice to a user into the outbox alone.
    async fn store(&self, receiver: &str, ids: std::ops::RangeInclusive<u64>) {
        let content = |_| mailbox::encode_content(&to(receiver), &Content::Text("hi".to_owned()));
        self.store_contents(receiver, ids, content).await;
    }

    async fn store_contents(
        &self,
        receiver: &str,
        ids: std::ops::RangeInclusive<u64>,
        content: impl Fn(u64) -> Bytes,
    ) {
        let append = |id| Append {
            conversation: conversation(receiver),
            message_id: id,
            sender: user("alice"),
            client_message_id: format!("c-{id}"),
            time_ms: 1,
            content: content(id),
            inboxes: Vec::new(),
        };
        for appended in self.store.append(ids.map(append).collect()).await {
            appended.unwrap();
        }
    }

    async fn hint(&self, key: &str) {
        let record = Record { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::new() };
        self.broker.publish(Topic::Fanout, vec![record]).await.unwrap();
    }

    async fn start(&self, push: &Arc<Remembering>) -> (JoinHandle<()>, Stop) {
        let stop = Stop::new();
        let config = Config { back_off: Duration::from_millis(5), ..Config::default() };
        let deps = Deps {
            store: self.store.clone(),
            broker: self.broker.clone(),
            push: push.clone(),
            stop: stop.clone(),
        };
        (start(config, deps).await.unwrap(), stop)
    }

    /// Conversation seqs in a user's inbox, in its order.
    async fn inbox(&self, name: &str) -> Vec<u64> {
        let page = self.store.inbox_page(&user(name), 1, 0, 1_000).await.unwrap();
        assert!(page.rows.iter().enumerate().all(|(index, row)| row.inbox_seq == index as u64 + 1));
        page.rows.into_iter().map(|row| row.message.seq).collect()
    }

    async fn until_fanned_out(&self, receiver: &str, seq: u64) {
        for _ in 0..2_000 {
            if self.store.fanned_out_to(&conversation(receiver)).await.unwrap() == seq {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the fan-out to {receiver} never came to {seq}");
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn to(name: &str) -> Target {
    Target { target: Some(target::Target::User(name.to_owned())) }
}

fn conversation(receiver: &str) -> ConversationId {
    ConversationId::single(&user("alice"), &user(receiver))
}

#[tokio::test]
async fn one_hint_carries_a_whole_conversation_into_the_inboxes_in_its_order() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    let _running = backends.start(&push).await;
    backends.store("bob", 1..=150).await;
    backends.hint(conversation("bob").as_str()).await;
    backends.until_fanned_out("bob", 150).await;

    let all: Vec<u64> = (1..=150).collect();
    assert_eq!((backends.inbox("bob").await, backends.inbox("alice").await), (all.clone(), all.clone()));
    let pairs: Vec<(u64, u64)> = all.iter().map(|seq| (*seq, *seq)).collect();
    assert_eq!((push.of("bob"), push.of("alice")), (pairs.clone(), pairs));
    let taken = push.taken.borrow();
    assert!(Arc::ptr_eq(&taken[0].message, &taken[1].message), "the body was copied");
    assert_eq!(
        (taken[0].message.sender.as_str(), taken[0].message.client_message_id.as_str()),
        ("alice", "c-1")
    );
}

#[tokio::test]
async fn each_user_is_pushed_its_own_inbox_seq() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.store("bob", 1..=2).await;
    backends.store("carol", 3..=3).await;
    let _running = backends.start(&push).await;
    backends.hint(conversation("bob").as_str()).await;
    backends.until_fanned_out("bob", 2).await;
    backends.hint(conversation("carol").as_str()).await;
    push.until_taken(6).await;
    assert_eq!(push.of("alice"), [(1, 1), (2, 2), (1, 3)]);
    assert_eq!(push.of("carol"), [(1, 1)]);
}

#[tokio::test]
async fn hints_that_come_again_and_workers_that_race_change_nothing() {
    let backends = Backends::open().await;
    let push: Arc<Remembering> = Arc::default();
    backends.store("bob", 1..=40).await;
    let fanouts: Vec<Fanout> = (0..4).map(|_| Fanout::new(backends.store.clone(), push.clone(), 5)).collect();
    let bob = conversation("bob");
    let (one, two, three, four) = tokio::join!(
        fanouts[0].carry_on(&bob),
        fanouts[1].carry_on(&bob),
        fanouts[2].carry_on(&bob),
        fanouts[3].carry_on(&bob)
    );
    assert_eq!([one, two, three, four], [Ok(()), Ok(()), Ok(()), Ok(())]);
    fanouts[0].carry_on(&bob).await.unwrap();
    let all: Vec<u64> = (1..=40).collect();
    assert_eq!((backends.inbox("bob").await, backends.inbox("alice").await), (all.clone(), all));
    assert_eq!(backends.store.fanned_out_to(&bob).await.unwrap(), 40);
    assert!(push.of("bob").iter().all(|(seq, inbox_seq)| seq == inbox_seq), "a seq was given twice");
}

#[tokio::test]
async fn what_was_not_finished_is_carried_on_by_the_next_process() {
    let backends = Backends::open().await;
    backends.store("bob", 1..=3).await;
    backends.hint(conversation("bob").as_str()).await;
    let failing = Remembering::failing(u32::MAX);
    let (worker, stop) = backends.start(&failing).await;
    while failing.failures_left.load(Ordering::Relaxed) == u32::MAX {
        tokio::task::yield_now().await;
    }
    stop.trigger();
    worker.await.unwrap();

    let push = Arc::new(Remembering::default());
    let _running = backends.start(&push).await;
    backends.until_fanned_out("bob", 3).await;
    assert_eq!(backends.inbox("bob").await, [1, 2, 3]);
    assert_eq!(push.of("bob").last(), Some(&(3, 3)));
}

#[tokio::test]
async fn a_push_that_fails_for_a_moment_is_tried_again() {
    let backends = Backends::open().await;
    let push = Remembering::failing(3);
    let _running = backends.start(&push).await;
    backends.store("bob", 1..=2).await;
    backends.hint(conversation("bob").as_str()).await;
    push.until_taken(4).await;
    assert_eq!(push.of("bob"), [(1, 1), (2, 2)]);
    assert_eq!(backends.inbox("bob").await, [1, 2]);
}

#[tokio::test]
async fn a_push_that_never_succeeds_does_not_keep_messages_from_the_inboxes() {
    let backends = Backends::open().await;
    let push = Remembering::failing(u32::MAX);
    let _running = backends.start(&push).await;
    backends.store("bob", 1..=2).await;
    backends.hint(conversation("bob").as_str()).await;
    backends.until_fanned_out("bob", 2).await;
    assert_eq!(backends.inbox("bob").await, [1, 2]);
}

#[tokio::test]
async fn a_bad_hint_and_a_content_that_cannot_be_read_do_not_keep_others_back() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.store_contents("bob", 1..=1, |_| Bytes::from_static(&[0xff; 9])).await;
    backends.store("bob", 2..=2).await;
    for key in ["", "no conversation", conversation("bob").as_str(), conversation("nobody").as_str()] {
        backends.hint(key).await;
    }
    let _running = backends.start(&push).await;
    backends.until_fanned_out("bob", 2).await;
    assert_eq!(backends.inbox("bob").await, [1, 2]);
    assert_eq!(push.of("bob"), [(2, 2)]);
}

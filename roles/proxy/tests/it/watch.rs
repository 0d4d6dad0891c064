//! Who watches whom, what im is asked, and events that are not stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::proxy::{Delivery, Payload, RoomDelivery, RoomPayload};
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use protocol::client::{self, Auth, PresencePush, TypingPush};
use protocol::code::Code;
use protocol::codec::{Event, FromServer, ReplyKind, RequestKind};
use protocol::{DeviceId, Identifier, RoomId, UserId, limits};
use proxy::Config;

use crate::fakes::{Client, Running};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn watch(users: &[&str]) -> RequestKind {
    RequestKind::Watch(client::Watch { users: users.iter().map(|user| (*user).to_owned()).collect() })
}

fn unwatch(users: &[&str]) -> RequestKind {
    RequestKind::Unwatch(client::Unwatch { users: users.iter().map(|user| (*user).to_owned()).collect() })
}

fn error_code(reply: &ReplyKind) -> Option<&str> {
    match reply {
        ReplyKind::Error(error) => Some(&error.code),
        _ => None,
    }
}

impl Running {
    /// Tells those who watch a user that it has come.
    async fn tell_watchers(&self, name: &str, position: u64) {
        let presence = PresencePush { user: name.to_owned(), online: true, last_seen_ms: 0 };
        let delivery = RoomDelivery {
            room: RoomId::of_watchers(&user(name)),
            payload: RoomPayload::Event(Arc::new(Event::Presence(presence))),
            position: (0, position),
        };
        self.contract.deliver_to_rooms(vec![delivery]).await.unwrap();
    }

    async fn tell(&self, receiver: &UserId, event: Event) {
        let receivers = vec![self.logic.receiver(receiver, 0)];
        let payload = Payload::Event(Arc::new(event));
        self.contract.deliver(vec![Delivery { receivers, payload }]).await.unwrap();
    }
}

async fn next_presence(client: &mut Client) -> String {
    loop {
        match client.next_push().await {
            Event::Presence(presence) => return presence.user,
            Event::SyncDone(_) => {}
            other => panic!("{other:?} in place of presence"),
        }
    }
}

#[tokio::test]
async fn who_watches_is_told_until_it_watches_no_more() {
    let running = Running::start(Config { shards: 1, ..Config::default() }).await;
    let mut watcher = Client::login(&running, &user("watcher"), Some(0)).await;
    let mut witness = Client::login(&running, &user("witness"), Some(0)).await;
    let ReplyKind::Watch(reply) = watcher.ask(watch(&["alice", "bob", "carol"])).await else {
        panic!("no answer to watch")
    };
    assert_eq!(reply.users.len(), 3);
    assert_eq!(running.logic.entered.lock().len(), 1);
    witness.ask(watch(&["alice", "bob", "carol"])).await;
    running.tell_watchers("alice", 1).await;
    assert_eq!(next_presence(&mut watcher).await, "alice");
    assert_eq!(watcher.ask(unwatch(&["alice", "nobody"])).await, ReplyKind::Unwatch(client::UnwatchReply {}));
    running.tell_watchers("alice", 2).await;
    running.tell_watchers("bob", 3).await;
    assert_eq!(next_presence(&mut watcher).await, "bob");
    watcher.ask(unwatch(&[])).await;
    for (position, name) in [(4, "bob"), (5, "carol")] {
        running.tell_watchers(name, position).await;
    }
    for name in ["alice", "alice", "bob", "bob", "carol"] {
        assert_eq!(next_presence(&mut witness).await, name);
    }
    running.tell(&user("watcher"), Event::Typing(TypingPush::default())).await;
    assert!(matches!(watcher.next_push().await, Event::Typing(_)));
}

#[tokio::test]
async fn a_watch_that_is_refused_watches_nobody_new() {
    let running = Running::start(Config { shards: 1, ..Config::default() }).await;
    let mut client = Client::login(&running, &user("watcher"), Some(0)).await;
    client.ask(watch(&["alice"])).await;
    *running.im.refusal.lock() = Some(Code::Blocked);
    let reply = client.ask(watch(&["alice", "bob"])).await;
    assert_eq!(error_code(&reply), Some(Code::Blocked.name()));
    running.tell_watchers("bob", 1).await;
    running.tell_watchers("alice", 2).await;
    assert_eq!(next_presence(&mut client).await, "alice");
    assert_eq!(*running.logic.left.lock(), [[RoomId::of_watchers(&user("bob"))]]);
}

#[tokio::test]
async fn one_connection_watches_so_many_users_and_no_more() {
    let running = Running::start(Config::default()).await;
    let mut client = Client::login(&running, &user("watcher"), Some(0)).await;
    let names: Vec<String> = (0..=limits::WATCHED_USERS_MAX).map(|number| format!("user-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let too_large = Some(Code::TooLarge.name());
    assert_eq!(error_code(&client.ask(watch(&names)).await), too_large);
    assert_eq!(error_code(&client.ask(watch(&names[1..])).await), None);
    assert_eq!(error_code(&client.ask(watch(&names[..1])).await), too_large);
    assert_eq!(error_code(&client.ask(watch(&[names[5], names[6]])).await), None);
    client.ask(unwatch(&[names[1]])).await;
    assert_eq!(error_code(&client.ask(watch(&[names[0], names[0]])).await), None);
    let invalid = client.ask(watch(&["a\u{1}"])).await;
    assert_eq!(error_code(&invalid), Some(Code::InvalidArgument.name()));
}

#[tokio::test]
async fn a_request_is_handed_to_im_with_who_asks_and_its_answer_or_error_comes_back() {
    let running = Running::start(Config::default()).await;
    let mut client = Client::connect(&running).await;
    let auth = Auth { user: "alice".to_owned(), device: "phone".to_owned(), ..Auth::default() };
    client.request(1, RequestKind::Auth(auth)).await;
    client.let_in().await;
    let read = client::Read { conversation: "group:g".to_owned(), seq: 9 };
    let reply = client.ask(RequestKind::Read(read.clone())).await;
    assert_eq!(reply, ReplyKind::Read(client::ReadReply { read_up_to: 9 }));
    let (asker, request) = running.im.asked.lock().pop().unwrap();
    assert_eq!((asker.user, asker.device), (user("alice"), DeviceId::new("phone").ok()));
    assert_eq!(asker.connection, Some(running.logic.receiver(&user("alice"), 0).connection));
    assert_eq!(request, RequestKind::Read(read.clone()));
    *running.im.refusal.lock() = Some(Code::NotFound);
    let reply = client.ask(RequestKind::Read(read)).await;
    assert_eq!(error_code(&reply), Some(Code::NotFound.name()));
}

#[tokio::test]
async fn an_anonymous_connection_may_not_ask_im_nor_watch() {
    let running = Running::start(Config::default()).await;
    let mut client = Client::connect(&running).await;
    client.request(1, RequestKind::Auth(Auth::default())).await;
    client.let_in().await;
    for request in [RequestKind::Read(client::Read::default()), watch(&["alice"])] {
        assert_eq!(error_code(&client.ask(request).await), Some(Code::NotAllowed.name()));
    }
    let beat = client.ask(RequestKind::Heartbeat(client::Heartbeat {})).await;
    assert!(matches!(beat, ReplyKind::Heartbeat(_)));
    assert_eq!(running.im.groups_count.load(Ordering::Relaxed), 0);
    assert!(running.im.asked.lock().is_empty() && running.logic.entered.lock().is_empty());
}

#[tokio::test]
async fn an_answer_without_an_inbox_seq_leaves_the_inbox_as_it_is() {
    let running = Running::start(Config::default()).await;
    let alice = user("alice");
    let mut client = Client::login(&running, &alice, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    assert!(matches!(client.ask(RequestKind::Send(client::Send::default())).await, ReplyKind::Send(_)));
    running.send_to(&alice, "first").await;
    assert!(matches!(client.next().await, FromServer::Push(Event::Message(row)) if row.inbox_seq == Some(1)));
    assert_eq!(running.im.page_count.load(Ordering::Relaxed), 0);
}

#[derive(Default)]
struct Dropped(Arc<Count>);

#[derive(Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Recorder for Dropped {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let full = key.labels().any(|label| (label.key(), label.value()) == ("reason", "queue_full"));
        match key.name() == "anser_proxy_dropped_total" && full {
            true => Counter::from_arc(Arc::clone(&self.0)),
            false => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn events_for_a_full_queue_are_dropped_and_counted() {
    let recorder = Dropped::default();
    let running = {
        let _guard = metrics::set_default_local_recorder(&recorder);
        Running::start(Config::default()).await
    };
    let slow = user("slow");
    let mut client = Client::connect_with_little_room(&running).await;
    client.say_who(&slow, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    // More than the sockets hold, so that a part of it waits in the server.
    let payload = Payload::Operation { operation: 1000, body: vec![0; 12 * 1024 * 1024].into() };
    let receivers = vec![running.logic.receiver(&slow, 0)];
    running.contract.deliver(vec![Delivery { receivers, payload }]).await.unwrap();
    assert_eq!(client.stream.peek(&mut [0]).await.unwrap(), 1);
    for _ in 0..5 {
        running.tell(&slow, Event::Typing(TypingPush::default())).await;
    }
    let counted = async {
        while recorder.0.0.load(Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.unwrap();
    assert!(matches!(client.next_push().await, Event::Push(_)));
    running.tell(&slow, Event::Presence(PresencePush::default())).await;
    assert!(matches!(client.next_push().await, Event::Presence(_)));
}

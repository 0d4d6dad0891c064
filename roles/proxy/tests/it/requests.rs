//! Requests and their answers where answers are slow or large.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use contracts::proxy::{Delivery, Payload};
use protocol::client::{Send, Target, target};
use protocol::codec::{Event, FromServer, ReplyKind, RequestKind};
use protocol::frame::{self, Header};
use protocol::operation;
use protocol::{Identifier, UserId};
use proxy::Config;
use tokio::io::AsyncWriteExt;

use crate::fakes::{Client, Running};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

#[tokio::test]
async fn replies_that_come_while_a_large_frame_waits_do_not_end_the_connection() {
    let running = Running::start(Config::default()).await;
    let bob = user("bob");
    let mut client = Client::connect_with_little_room(&running).await;
    client.say_who(&bob, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    running.im.held.send_replace(true);
    for seq in 10..13 {
        let to = Some(Target { target: Some(target::Target::User("alice".to_owned())) });
        let content = Some(protocol::client::send::Content::Text("hi".to_owned()));
        client.request(seq, RequestKind::Send(Send { to, content, ..Send::default() })).await;
    }
    while running.im.send_count.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    // More than the sockets hold, so that a part of it waits in the server when the sends are answered.
    let payload = Payload::Operation { operation: 1000, body: vec![0; 12 * 1024 * 1024].into() };
    let receivers = vec![running.logic.receiver(&bob, 0)];
    running.contract.deliver(vec![Delivery { receivers, payload }]).await.unwrap();
    assert_eq!(client.stream.peek(&mut [0]).await.unwrap(), 1);
    running.im.held.send_replace(false);
    let mut answered = Vec::new();
    while answered.len() < 3 {
        if let FromServer::Reply(seq, ReplyKind::Send(_)) = client.next().await {
            answered.push(seq);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [10, 11, 12]);
}

#[tokio::test]
async fn heartbeats_that_pile_up_ask_once() {
    let running = Running::start(Config::default()).await;
    let mut client = Client::connect(&running).await;
    let auth = Header { version: 1, operation: operation::GOIM_AUTH, sequence: 1 };
    client.stream.write_all(&auth.frame(br#"{"mid":1}"#)).await.unwrap();
    let reply = client.next_frame().await;
    let reply = frame::decode_message(&reply, 64).unwrap();
    assert_eq!(reply.header.operation, operation::GOIM_AUTH_REPLY);
    running.im.held.send_replace(true);
    let heartbeat = Header { version: 1, operation: operation::HEARTBEAT, sequence: 2 };
    for _ in 0..500 {
        client.stream.write_all(&heartbeat.frame(&[])).await.unwrap();
    }
    for _ in 0..500 {
        client.next_frame().await;
    }
    assert_eq!(running.im.tops_count.load(Ordering::Relaxed), 1);
    running.im.held.send_replace(false);
}

#[tokio::test]
async fn an_inbox_that_is_behind_its_pushes_is_asked_again_after_a_while() {
    let running = Running::start(Config::default()).await;
    let bob = user("bob");
    let mut client = Client::login(&running, &bob, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    running.im.stale.store(true, Ordering::Relaxed);
    running.im.store("lost on the way");
    running.send_to(&bob, "arrives").await;
    while running.im.page_count.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.im.page_count.load(Ordering::Relaxed), 1);
    running.im.stale.store(false, Ordering::Relaxed);
    for expected in 1..=2 {
        let push = client.next_push().await;
        assert!(matches!(&push, Event::Message(message) if message.inbox_seq == Some(expected)), "{push:?}");
    }
}

#[tokio::test]
async fn sync_done_follows_the_last_page_at_once() {
    let config = Config { send_queue_bytes_max: 1_024, ..Config::default() };
    let running = Running::start(config).await;
    for _ in 0..20 {
        running.im.store(&"x".repeat(600));
    }
    let began = Instant::now();
    for number in 0..10 {
        let mut client = Client::login(&running, &user(&format!("bob-{number}")), Some(0)).await;
        while !matches!(client.next_push().await, Event::SyncDone(_)) {}
    }
    // A tick of a shard is a second: who had to wait for it would wait half of one on average.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

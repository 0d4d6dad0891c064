//! Stored messages: live, behind, and what a client that does not read may cost.

use std::time::Duration;

use protocol::client::message;
use protocol::codec::Event;
use protocol::{Identifier, UserId};
use proxy::Config;

use crate::fakes::{Client, Running};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn text_of(event: &Event) -> Option<(u64, &str)> {
    match event {
        Event::Message(message) => match &message.content {
            Some(message::Content::Text(text)) => Some((message.inbox_seq?, text)),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test]
async fn what_was_missed_comes_first_and_then_what_is_live() {
    let running = Running::start(Config::default()).await;
    for number in 1..=5 {
        running.im.store(&format!("missed {number}"));
    }
    let bob = user("bob");
    let mut client = Client::login(&running, &bob, Some(2)).await;
    for number in 3..=5 {
        assert_eq!(text_of(&client.next_push().await), Some((number, format!("missed {number}").as_str())));
    }
    assert!(matches!(client.next_push().await, Event::SyncDone(done) if done.inbox_seq == 5));
    running.send_to(&bob, "live").await;
    assert_eq!(text_of(&client.next_push().await), Some((6, "live")));
}

#[tokio::test]
async fn a_push_that_never_came_is_fetched_when_the_next_one_does() {
    let running = Running::start(Config::default()).await;
    let bob = user("bob");
    let mut client = Client::login(&running, &bob, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    running.im.store("lost on the way");
    running.send_to(&bob, "arrives").await;
    assert_eq!(text_of(&client.next_push().await), Some((1, "lost on the way")));
    assert_eq!(text_of(&client.next_push().await), Some((2, "arrives")));
}

#[tokio::test]
async fn a_push_that_overtook_others_waits_for_them_and_no_page_is_read() {
    let running = Running::start(Config::default()).await;
    let bob = user("bob");
    let mut client = Client::login(&running, &bob, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    let stored: Vec<_> = ["one", "two", "three"].map(|text| running.im.store(text)).into();
    for (inbox_seq, message) in stored.into_iter().rev() {
        running.push_stored(&bob, inbox_seq, message).await;
    }
    for (inbox_seq, text) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(text_of(&client.next_push().await), Some((inbox_seq, text)));
    }
    // A page would have ended with `syncDone`.
    running.send_to(&bob, "four").await;
    assert_eq!(text_of(&client.next_push().await), Some((4, "four")));
}

#[tokio::test]
async fn a_client_that_pauses_gets_all_in_order_and_delays_nobody() {
    let config = Config { slow_time_limit: Duration::from_secs(60), ..Config::default() };
    let running = Running::start(config).await;
    let (slow, quick) = (user("slow"), user("quick"));
    let mut slow_client = Client::login(&running, &slow, Some(0)).await;
    assert!(matches!(slow_client.next_push().await, Event::SyncDone(_)));
    let long = "x".repeat(60_000);
    // Far more than the socket and the queue hold.
    let count = 250;
    for _ in 0..count {
        running.send_to(&slow, &long).await;
    }
    let top = running.im.messages.lock().len() as u64;
    let mut quick_client = Client::login(&running, &quick, Some(top)).await;
    assert!(matches!(quick_client.next_push().await, Event::SyncDone(_)));
    for expected in 1..=count {
        let push = slow_client.next_push().await;
        match text_of(&push) {
            Some((inbox_seq, _)) => assert_eq!(inbox_seq, expected),
            None => panic!("{push:?} in place of {expected}"),
        }
    }
    assert!(matches!(slow_client.next_push().await, Event::SyncDone(done) if done.inbox_seq == count));
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed() {
    let config = Config { slow_time_limit: Duration::from_secs(1), ..Config::default() };
    let running = Running::start(config).await;
    let slow = user("slow");
    let mut client = Client::login(&running, &slow, Some(0)).await;
    assert!(matches!(client.next_push().await, Event::SyncDone(_)));
    let long = "x".repeat(60_000);
    for _ in 0..200 {
        running.send_to(&slow, &long).await;
    }
    tokio::time::timeout(Duration::from_secs(20), async {
        while running.logic.is_online(&slow) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it is taken out of the directory");
}

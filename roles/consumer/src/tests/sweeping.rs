//! What no hint tells is found by the sweep.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backends::broker::{Broker, Delivered, Record, Subscription, Topic};
use backends::{Error, Kind, Result};

use super::fixture::*;

/// A broker that cannot be reached.
struct Down;

#[async_trait]
impl Broker for Down {
    async fn publish(&self, _: Topic, _: Vec<Record>) -> Result<()> {
        Err(down())
    }

    async fn subscribe(&self, _: Topic, _: &str) -> Result<Box<dyn Subscription>> {
        Ok(Box::new(Down))
    }
}

#[async_trait]
impl Subscription for Down {
    async fn next(&mut self, _: usize) -> Result<Vec<Delivered>> {
        Err(down())
    }

    async fn commit(&mut self) -> Result<()> {
        Err(down())
    }
}

fn down() -> Error {
    Error::new(Kind::Transient, "the broker cannot be reached")
}

#[tokio::test]
async fn with_the_broker_down_groups_go_on() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    let _running = backends.start_with(sweeping(), Arc::new(Down), &push).await;
    for _ in 0..3 {
        let last = backends.send("g", "alice", 2).await;
        backends.until_fanned_out("g", last).await;
    }
    assert_eq!(backends.inbox("bob", "g").await, [2, 3, 4, 5, 6, 7]);
    assert_eq!(push.of("bob").len(), 6);
}

#[tokio::test]
async fn a_row_younger_than_the_age_is_left_to_its_hint() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    let config = crate::Config { sweep_age: Duration::from_secs(3_600), ..sweeping() };
    backends.make("g", &["alice", "bob"]).await;
    let last = backends.send("g", "alice", 1).await;
    let _running = backends.start_with(config, backends.broker.clone(), &push).await;
    // Many looks later it still stands.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(backends.fanned_out_to("g").await, 0);
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;
}

#[tokio::test]
async fn a_row_that_is_done_has_its_intent_for_a_moment_only() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    let _running = backends.start(&push).await;
    backends.make("g", &["alice", "bob"]).await;
    backends.send("g", "alice", 100).await;
    assert_eq!(backends.intent_count().await, 101);
    backends.hint_of("g").await;
    backends.until_no_intent_is_left().await;
    assert_eq!(backends.fanned_out_to("g").await, 101);
}

#[tokio::test]
async fn an_intent_of_a_row_that_is_done_is_removed_and_nothing_is_pushed() {
    let backends = Backends::open().await;
    backends.make("g", &["alice", "bob"]).await;
    let last = backends.send("g", "alice", 2).await;
    // A process that died before it removed the intents.
    for seq in 2..=last {
        let users = vec![user("alice"), user("bob")];
        backends.store.fan_out(&conversation("g"), seq, users).await.unwrap();
    }
    assert!(backends.store.advance_fanned_out(&conversation("g"), 0, last).await.unwrap());
    assert_eq!(backends.intent_count().await, 3);

    let push = Arc::new(Remembering::default());
    let _running = backends.start_sweeping(&push).await;
    backends.until_no_intent_is_left().await;
    assert_eq!(push.of("bob"), []);
    assert_eq!(backends.inbox("bob", "g").await, [2, 3]);
}

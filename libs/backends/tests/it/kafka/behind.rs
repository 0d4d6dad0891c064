//! Consumers that come back, and those that are too slow.

use std::time::Duration;

use backends::broker::{self, Topic};

use super::meter::Meter;
use super::*;
use crate::within;

#[tokio::test]
async fn a_name_that_comes_back_goes_on_where_it_was_in_a_topic_that_is_not_durable_too() {
    let broker = broker::open(&url()).await.unwrap();
    let mut subscription = broker.subscribe(Topic::Push, "push").await.unwrap();
    broker.publish(Topic::Push, vec![record("k", "one")]).await.unwrap();
    assert_eq!(text(&within(subscription.next(1)).await.unwrap()[0]), "one");
    subscription.commit().await.unwrap();
    drop(subscription);
    broker.publish(Topic::Push, vec![record("k", "while away")]).await.unwrap();
    let mut subscription = broker.subscribe(Topic::Push, "push").await.unwrap();
    assert_eq!(text(&within(subscription.next(1)).await.unwrap()[0]), "while away");
}

#[tokio::test]
async fn a_consumer_that_falls_behind_skips_to_near_the_end_and_what_it_skips_is_counted() {
    const COUNT: u64 = 100_000;
    let meter = Meter::default();
    let guard = meter.attach();
    let broker = broker::open(&url()).await.unwrap();
    let mut subscription = broker.subscribe(Topic::Push, "slow").await.unwrap();
    drop(guard);
    let dropped =
        || meter.sum(&["anser_broker_dropped_records_total", "topic=push", "consumer=slow", "reason=behind"]);
    broker.publish(Topic::Push, vec![record("k", "begun")]).await.unwrap();
    within(subscription.next(1)).await.unwrap();

    let value = "x".repeat(20);
    for _ in 0..COUNT / 1_000 {
        let records = (0..1_000).map(|_| record("k", &value)).collect();
        within(broker.publish(Topic::Push, records)).await.unwrap();
    }
    broker.publish(Topic::Push, vec![record("k", "last")]).await.unwrap();
    within(async {
        while dropped() < COUNT / 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut taken = 0;
    let mut last_offset = 0;
    loop {
        let records = within(subscription.next(usize::MAX)).await.unwrap();
        assert!(records.iter().is_sorted_by(|one, next| one.offset < next.offset));
        assert!(records[0].offset > last_offset);
        last_offset = records[records.len() - 1].offset;
        taken += records.len() as u64;
        if text(&records[records.len() - 1]) == "last" {
            break;
        }
    }
    assert_eq!(taken + dropped(), COUNT + 1, "each one was handed out or counted");
}

#[tokio::test]
async fn a_consumer_of_the_durable_topic_that_is_slow_gets_everything_in_order() {
    const COUNT: u64 = 20_000;
    let broker = broker::open(&url()).await.unwrap();
    let mut subscription = broker.subscribe(Topic::Fanout, "slow").await.unwrap();
    for begin in (0..COUNT).step_by(1_000) {
        let records = (begin..begin + 1_000).map(|number| record("k", &number.to_string())).collect();
        within(broker.publish(Topic::Fanout, records)).await.unwrap();
    }
    let (mut next, mut pauses) = (0_u64, 0);
    while next < COUNT {
        for record in within(subscription.next(700)).await.unwrap() {
            assert_eq!(text(&record), next.to_string());
            next += 1;
        }
        if next / 7_000 > pauses {
            pauses += 1;
            // As if the rows took their time: what was read ahead stands still meanwhile.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        within(subscription.commit()).await.unwrap();
    }
}

//! Topics that are there already, and records that do not fit.

use backends::Kind;
use backends::broker::{self, Topic};

use super::*;
use crate::within;

/// Opens a URL that must be refused.
async fn refusal(url: &str) -> backends::Error {
    match broker::open(url).await {
        Ok(_) => panic!("{url} must be refused"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_topic_with_other_partitions_than_the_url_asks_for_is_refused_by_name() {
    let url = url();
    drop(broker::open(&url).await.unwrap());
    let error = refusal(&url.replace("partitions=4", "partitions=5")).await;
    assert_eq!(error.kind(), Kind::Conflict);
    let message = error.to_string();
    assert!(message.contains(".push has 4 partitions") && message.contains("partitions=4"), "{message}");
    let any = url.replace("&partitions=4", "");
    assert!(broker::open(&any).await.is_ok(), "a url that asks for none takes those that are there");
}

#[tokio::test]
async fn more_replicas_than_brokers_are_refused_by_name() {
    let error = refusal(&format!("{}&replication=3", url())).await;
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("replication 3 on 1 brokers"), "{error}");
}

#[tokio::test]
async fn two_processes_that_start_at_once_share_the_topics() {
    let url = url();
    let (one, other) = tokio::join!(broker::open(&url), broker::open(&url));
    let (one, other) = (one.unwrap(), other.unwrap());
    let mut subscription = other.subscribe(Topic::Fanout, "reader").await.unwrap();
    one.publish(Topic::Fanout, vec![record("k", "here")]).await.unwrap();
    assert_eq!(text(&within(subscription.next(1)).await.unwrap()[0]), "here");
}

#[tokio::test]
async fn deployments_with_other_prefixes_do_not_hear_of_each_other() {
    let (one, other) = (broker::open(&url()).await.unwrap(), broker::open(&url()).await.unwrap());
    let mut subscription = other.subscribe(Topic::Fanout, "reader").await.unwrap();
    one.publish(Topic::Fanout, vec![record("k", "one's")]).await.unwrap();
    other.publish(Topic::Fanout, vec![record("k", "other's")]).await.unwrap();
    assert_eq!(text(&within(subscription.next(10)).await.unwrap()[0]), "other's");
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_and_the_next_one_is_not() {
    let broker = broker::open(&url()).await.unwrap();
    for topic in [Topic::Push, Topic::Fanout] {
        let long = "x".repeat(2_000_000);
        let error = within(broker.publish(topic, vec![record("k", &long)])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        assert!(error.to_string().contains("2000000 bytes"), "{error}");
        within(broker.publish(topic, vec![record("k", "short")])).await.unwrap();
    }
}

//! A process that starts while Kafka is away.

use std::time::{Duration, Instant};

use backends::Kind;
use backends::broker::{self, Topic};

use super::*;
use crate::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_while_kafka_is_away_works_as_soon_as_it_is_there() {
    let kafka = Product::start("kafka", 1);
    let url = url_on(&kafka);
    kafka.stop();
    let broker = within(broker::open(&url)).await.unwrap();
    let mut hints = within(broker.subscribe(Topic::Fanout, "consumer")).await.unwrap();
    let mut pushes = within(broker.subscribe(Topic::Push, "push")).await.unwrap();
    let reading = tokio::spawn(async move {
        (
            text(&hints.next(1).await.unwrap()[0]).to_owned(),
            text(&pushes.next(1).await.unwrap()[0]).to_owned(),
        )
    });
    for topic in [Topic::Push, Topic::Fanout] {
        let begun = Instant::now();
        let error = broker.publish(topic, vec![record("k", "lost")]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Transient);
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    tokio::task::block_in_place(|| kafka.start_again());
    let publishing = tokio::spawn(async move {
        loop {
            for topic in [Topic::Push, Topic::Fanout] {
                let _ = broker.publish(topic, vec![record("k", topic.name())]).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(within(reading).await.unwrap(), ("fanout".to_owned(), "push".to_owned()));
    publishing.abort();
}

//! What every broker promises.

use std::sync::Arc;

use async_trait::async_trait;
use backends::broker::{Broker, Delivered, Record, Subscription, Topic};
use bytes::Bytes;

/// Starts a broker with empty topics.
#[async_trait]
pub(crate) trait BrokerFixture: Sized + Send {
    async fn start() -> Self;
    fn broker(&self) -> Arc<dyn Broker>;
    /// Ends the broker and opens it again; nobody holds it or a subscription.
    async fn reopen(&mut self);
}

const ALL: [Topic; 3] = [Topic::Push, Topic::Fanout, Topic::Presence];
const NOT_DURABLE: [Topic; 2] = [Topic::Push, Topic::Presence];

/// A text or a number as the bytes of its text.
struct Value(Bytes);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(text.to_owned().into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self(number.to_string().into())
    }
}

fn record(key: &str, value: impl Into<Value>) -> Record {
    Record { key: Bytes::copy_from_slice(key.as_bytes()), value: value.into().0 }
}

fn values(records: &[Delivered]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect()
}

/// Reads until so many records are there.
async fn read(subscription: &mut Box<dyn Subscription>, count: usize) -> Vec<Delivered> {
    let mut records = Vec::new();
    while records.len() < count {
        let more = crate::within(subscription.next(count - records.len())).await.unwrap();
        assert!(!more.is_empty());
        records.extend(more);
    }
    records
}

pub(crate) mod cases {
    use std::collections::HashMap;

    use super::{ALL, Arc, BrokerFixture, NOT_DURABLE, Topic, read, record, values};
    use crate::{begun, still_waits, within};

    pub(crate) async fn records_of_a_key_keep_their_order(fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        for topic in ALL {
            let mut subscription = broker.subscribe(topic, "reader").await.unwrap();
            for number in 0..50 {
                let records = vec![record("a", 2 * number), record("b", number), record("a", 2 * number + 1)];
                broker.publish(topic, records).await.unwrap();
            }
            let mut of_key: HashMap<String, Vec<String>> = HashMap::new();
            let mut offsets: HashMap<u32, u64> = HashMap::new();
            for record in read(&mut subscription, 150).await {
                let last = offsets.insert(record.partition, record.offset);
                assert!(last.is_none_or(|last| record.offset > last), "offsets rise in a partition");
                let key = String::from_utf8(record.key.to_vec()).unwrap();
                of_key.entry(key).or_default().extend(values(&[record]));
            }
            let numbers = |count: u32| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
            assert_eq!(of_key["a"], numbers(100), "{topic:?}");
            assert_eq!(of_key["b"], numbers(50), "{topic:?}");
        }
    }

    pub(crate) async fn each_consumer_name_gets_every_record(fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        for topic in ALL {
            let mut one = broker.subscribe(topic, "one").await.unwrap();
            let mut other = broker.subscribe(topic, "other").await.unwrap();
            broker.publish(topic, (0..10).map(|number| record("k", number)).collect()).await.unwrap();
            assert_eq!(values(&read(&mut one, 10).await), values(&read(&mut other, 10).await));
        }
    }

    pub(crate) async fn a_record_goes_to_its_own_topic_alone(fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        let mut subscriptions = Vec::new();
        for topic in ALL {
            subscriptions.push(broker.subscribe(topic, "reader").await.unwrap());
        }
        for topic in ALL {
            broker.publish(topic, vec![record("k", topic.name())]).await.unwrap();
        }
        for (topic, mut subscription) in ALL.into_iter().zip(subscriptions) {
            assert_eq!(values(&read(&mut subscription, 1).await), [topic.name()]);
            still_waits(subscription.next(1)).await;
        }
    }

    pub(crate) async fn next_waits_for_a_record_and_never_answers_more_than_asked(
        fixture: impl BrokerFixture,
    ) {
        let broker = fixture.broker();
        for topic in ALL {
            let mut subscription = broker.subscribe(topic, "reader").await.unwrap();
            // Dropped while it waits: no record may be lost by it.
            still_waits(subscription.next(10)).await;
            let next = begun(subscription.next(2)).await;
            broker.publish(topic, (0..5).map(|number| record("k", number)).collect()).await.unwrap();
            assert_eq!(values(&within(next).await.unwrap()), ["0", "1"]);
            assert_eq!(values(&read(&mut subscription, 3).await), ["2", "3", "4"]);
        }
    }

    pub(crate) async fn those_who_share_a_name_share_the_records(fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        for topic in ALL {
            let _keeps_the_name = broker.subscribe(topic, "pair").await.unwrap();
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let broker = Arc::clone(&broker);
                    tokio::spawn(async move {
                        let mut subscription = broker.subscribe(topic, "pair").await.unwrap();
                        let mut taken = Vec::new();
                        while taken.len() < 10 {
                            let records = subscription.next(10 - taken.len()).await.unwrap();
                            subscription.commit().await.unwrap();
                            taken.extend(records.into_iter().map(|record| (record.partition, record.offset)));
                        }
                        taken
                    })
                })
                .collect();
            broker.publish(topic, (0..30).map(|number| record("k", number)).collect()).await.unwrap();
            let mut taken = Vec::new();
            for reader in readers {
                taken.extend(within(reader).await.unwrap());
            }
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), 30, "{topic:?}");
        }
    }

    pub(crate) async fn what_was_not_committed_goes_to_the_next_of_that_name(fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        let mut first = broker.subscribe(Topic::Fanout, "reader").await.unwrap();
        let mut second = broker.subscribe(Topic::Fanout, "reader").await.unwrap();
        broker.publish(Topic::Fanout, (0..6).map(|number| record("k", number)).collect()).await.unwrap();
        read(&mut first, 2).await;
        first.commit().await.unwrap();
        read(&mut first, 2).await;
        drop(first);
        assert_eq!(values(&read(&mut second, 4).await), ["2", "3", "4", "5"]);
    }

    pub(crate) async fn a_new_name_begins_with_the_first_record_of_a_durable_topic(
        fixture: impl BrokerFixture,
    ) {
        let broker = fixture.broker();
        broker.publish(Topic::Fanout, vec![record("k", "before")]).await.unwrap();
        let mut subscription = broker.subscribe(Topic::Fanout, "late").await.unwrap();
        assert_eq!(values(&read(&mut subscription, 1).await), ["before"]);
    }

    pub(crate) async fn a_new_name_begins_with_the_next_record_of_a_topic_that_is_not(
        fixture: impl BrokerFixture,
    ) {
        let broker = fixture.broker();
        for topic in NOT_DURABLE {
            broker.publish(topic, vec![record("k", "before")]).await.unwrap();
            let mut subscription = broker.subscribe(topic, "late").await.unwrap();
            broker.publish(topic, vec![record("k", "after")]).await.unwrap();
            assert_eq!(values(&read(&mut subscription, 1).await), ["after"], "{topic:?}");
        }
    }

    pub(crate) async fn a_durable_topic_goes_on_where_it_was_committed(mut fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        broker.publish(Topic::Fanout, (0..6).map(|number| record("k", number)).collect()).await.unwrap();
        let mut subscription = broker.subscribe(Topic::Fanout, "reader").await.unwrap();
        read(&mut subscription, 2).await;
        subscription.commit().await.unwrap();
        let not_committed = read(&mut subscription, 2).await;
        drop((subscription, broker));
        fixture.reopen().await;

        let broker = fixture.broker();
        let mut subscription = broker.subscribe(Topic::Fanout, "reader").await.unwrap();
        let again = read(&mut subscription, 4).await;
        assert_eq!(values(&again), ["2", "3", "4", "5"]);
        assert_eq!(again[..2], not_committed[..], "offsets stay");
        subscription.commit().await.unwrap();

        broker.publish(Topic::Fanout, vec![record("k", "new")]).await.unwrap();
        let next = read(&mut subscription, 1).await;
        assert_eq!(values(&next), ["new"]);
        assert!(next[0].offset > again[3].offset);
    }

    pub(crate) async fn many_publishers_lose_nothing(fixture: impl BrokerFixture) {
        let broker = fixture.broker();
        let mut subscription = broker.subscribe(Topic::Fanout, "reader").await.unwrap();
        let publishers: Vec<_> = (0..16)
            .map(|publisher| {
                let broker = Arc::clone(&broker);
                tokio::spawn(async move {
                    for number in 0..20 {
                        let records = vec![record(&publisher.to_string(), number)];
                        broker.publish(Topic::Fanout, records).await.unwrap();
                    }
                })
            })
            .collect();
        let records = read(&mut subscription, 320).await;
        for publisher in publishers {
            within(publisher).await.unwrap();
        }
        for publisher in 0..16 {
            let key = publisher.to_string();
            let of_key: Vec<_> =
                records.iter().filter(|record| *record.key == *key.as_bytes()).cloned().collect();
            assert_eq!(values(&of_key), (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
        }
    }
}

/// All cases over one fixture.
macro_rules! broker_suite {
    ($fixture:ty) => {
        crate::run_suite!(broker over $fixture:
            cases::records_of_a_key_keep_their_order,
            cases::each_consumer_name_gets_every_record,
            cases::a_record_goes_to_its_own_topic_alone,
            cases::next_waits_for_a_record_and_never_answers_more_than_asked,
            cases::those_who_share_a_name_share_the_records,
            cases::what_was_not_committed_goes_to_the_next_of_that_name,
            cases::a_new_name_begins_with_the_first_record_of_a_durable_topic,
            cases::a_new_name_begins_with_the_next_record_of_a_topic_that_is_not,
            cases::a_durable_topic_goes_on_where_it_was_committed,
            cases::many_publishers_lose_nothing,
        );
    };
}
pub(crate) use broker_suite;

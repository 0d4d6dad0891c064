//! The broker on real Kafka: the suite of its seam, and what only it promises.

mod away;
mod behind;
mod faults;
mod meter;
mod topics;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use backends::broker::{self, Broker, Delivered, Record};
use bytes::Bytes;

use crate::broker::{BrokerFixture, broker_suite};
use crate::product::Product;

/// One broker that those tests share which do it no harm.
static ONE: OnceLock<Product> = OnceLock::new();

/// The URL of a deployment of its own on a Kafka.
pub(super) fn url_on(kafka: &Product) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{}?prefix=test-{}-{number}&partitions=4", kafka.env("KAFKA_URL"), std::process::id())
}

/// The URL of a deployment of its own on the Kafka that is shared.
fn url() -> String {
    url_on(Product::shared(&ONE, "kafka", 1))
}

fn record(key: &str, value: &str) -> Record {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Record { key: bytes(key), value: bytes(value) }
}

fn text(record: &Delivered) -> &str {
    std::str::from_utf8(&record.value).unwrap()
}

struct KafkaBroker {
    url: String,
    broker: Option<Arc<dyn Broker>>,
}

#[async_trait]
impl BrokerFixture for KafkaBroker {
    async fn start() -> Self {
        let url = url();
        let broker = broker::open(&url).await.unwrap();
        Self { url, broker: Some(broker) }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(self.broker.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.broker = None;
        self.broker = Some(broker::open(&self.url).await.unwrap());
    }
}

mod suite {
    use super::*;

    broker_suite!(KafkaBroker);
}

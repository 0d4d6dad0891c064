//! Discovery on real ZooKeeper: the suite of its seam, and what it does when ZooKeeper or a process fails.

mod apart;
mod cut;
mod faults;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use backends::discovery::{self, Discovery};

use crate::discovery::{DiscoveryFixture, discovery_suite};
use crate::product::Product;

/// An ensemble of three.
static ZOOKEEPER: OnceLock<Product> = OnceLock::new();
/// Tests share it, each below a path of its own.
static PATHS: AtomicU64 = AtomicU64::new(0);

/// A path that no other test has.
fn own_url() -> String {
    let zookeeper = Product::shared(&ZOOKEEPER, "zookeeper", 3);
    let number = PATHS.fetch_add(1, Ordering::Relaxed);
    format!("zookeeper://{}/test/{number}", zookeeper.env("ZOOKEEPER_SERVERS"))
}

struct ZooKeeperDiscovery {
    url: String,
    discovery: Option<Arc<dyn Discovery>>,
}

#[async_trait]
impl DiscoveryFixture for ZooKeeperDiscovery {
    async fn start() -> Self {
        let url = own_url();
        let discovery = discovery::open(&url).await.unwrap();
        Self { url, discovery: Some(discovery) }
    }

    fn discovery(&self) -> Arc<dyn Discovery> {
        Arc::clone(self.discovery.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.discovery = None;
        self.discovery = Some(discovery::open(&self.url).await.unwrap());
    }
}

mod discovery_suite {
    use super::*;

    discovery_suite!(ZooKeeperDiscovery);
}

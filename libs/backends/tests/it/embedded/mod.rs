//! The embedded implementations: the suites of their seams, and what only they promise.

mod failing;
mod killed;
mod opening;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use backends::broker::{self, Broker};
use backends::cache::{self, Cache};
use backends::discovery::{self, Discovery};
use backends::store::{self, Store};
use tempfile::TempDir;

use crate::broker::{BrokerFixture, broker_suite};
use crate::cache::{CacheFixture, cache_suite};
use crate::discovery::{DiscoveryFixture, discovery_suite};
use crate::store::{StoreFixture, store_suite};

fn url(folder: &TempDir) -> String {
    format!("embedded:{}", folder.path().join("data").display())
}

pub(crate) struct EmbeddedStore {
    folder: TempDir,
    store: Option<Arc<dyn Store>>,
}

#[async_trait]
impl StoreFixture for EmbeddedStore {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&url(&folder)).await.unwrap();
        Self { folder, store: Some(store) }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(store::open(&url(&self.folder)).await.unwrap());
    }
}

struct EmbeddedBroker {
    folder: TempDir,
    broker: Option<Arc<dyn Broker>>,
}

#[async_trait]
impl BrokerFixture for EmbeddedBroker {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker::open(&url(&folder)).await.unwrap();
        Self { folder, broker: Some(broker) }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(self.broker.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.broker = None;
        self.broker = Some(broker::open(&url(&self.folder)).await.unwrap());
    }
}

struct EmbeddedCache(Arc<dyn Cache>);

#[async_trait]
impl CacheFixture for EmbeddedCache {
    async fn start() -> Self {
        Self(cache::open("embedded:").await.unwrap())
    }

    fn cache(&self) -> Arc<dyn Cache> {
        Arc::clone(&self.0)
    }
}

struct EmbeddedDiscovery {
    folder: TempDir,
    discovery: Option<Arc<dyn Discovery>>,
}

#[async_trait]
impl DiscoveryFixture for EmbeddedDiscovery {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let discovery = discovery::open(&url(&folder)).await.unwrap();
        Self { folder, discovery: Some(discovery) }
    }

    fn discovery(&self) -> Arc<dyn Discovery> {
        Arc::clone(self.discovery.as_ref().unwrap())
    }

    async fn reopen(&mut self) {
        self.discovery = None;
        self.discovery = Some(discovery::open(&url(&self.folder)).await.unwrap());
    }
}

mod store_suite {
    use super::*;

    store_suite!(EmbeddedStore);
}

mod broker_suite {
    use super::*;

    broker_suite!(EmbeddedBroker);
}

mod cache_suite {
    use super::*;

    cache_suite!(EmbeddedCache);
}

mod discovery_suite {
    use super::*;

    discovery_suite!(EmbeddedDiscovery);
}

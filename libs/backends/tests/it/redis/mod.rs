//! The cache on real Redis: the suite of its seam, and what it does when Redis fails.

mod faults;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use backends::cache::{self, Cache};

use crate::cache::{CacheFixture, cache_suite};
use crate::product::Product;

/// A master, its replica and three sentinels.
static REDIS: OnceLock<Product> = OnceLock::new();
/// Tests share it, each under a prefix of its own.
static PREFIXES: AtomicU64 = AtomicU64::new(0);

struct RedisCache(Arc<dyn Cache>);

#[async_trait]
impl CacheFixture for RedisCache {
    async fn start() -> Self {
        let redis = Product::shared(&REDIS, "redis", 2);
        let prefix = PREFIXES.fetch_add(1, Ordering::Relaxed);
        let url = format!("{}?prefix=test-{prefix}", redis.env("REDIS_URL"));
        Self(cache::open(&url).await.unwrap())
    }

    fn cache(&self) -> Arc<dyn Cache> {
        Arc::clone(&self.0)
    }
}

mod cache_suite {
    use super::*;

    cache_suite!(RedisCache);
}

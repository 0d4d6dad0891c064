//! What the tests stand on: the process under test, and clients whose every byte is chosen by the test.

pub(crate) mod chat;
pub(crate) mod goim_wire;
pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod websocket;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a condition may take to come true before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what must happen.
///
/// # Panics
/// When it has not happened in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// Asks again and again until the answer is the one waited for.
///
/// # Panics
/// When it has not come in time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    attempt: impl FnMut() -> F,
) -> T {
    eventually_by(PATIENCE, what, attempt).await
}

/// As [`eventually`], for what takes longer by its nature.
///
/// # Panics
/// When it has not come within the limit.
pub(crate) async fn eventually_by<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A name that no other test of this run uses.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", number())
}

/// A number that no other test of this run uses: a goim mid, an operation.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(10_001);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The seed of a test's randomness: from `ANSER_TEST_SEED`, or drawn; it is printed so that a run can be
/// repeated.
pub(crate) fn seed(test: &str) -> u64 {
    let seed = match std::env::var("ANSER_TEST_SEED") {
        Ok(text) => text.parse().expect("ANSER_TEST_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("{test}: ANSER_TEST_SEED={seed}");
    seed
}

//! One suite of behaviour for each seam, run over every implementation.
//!
//! A suite is written against the trait; an implementation brings a fixture that starts it empty and opens it
//! again, and one line that runs the suite. What only one implementation promises stands in its own folder.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of it is tests, which these lints know only in their functions"
)]

mod broker;
mod cache;
mod discovery;
mod embedded;
#[cfg(feature = "cluster")]
mod kafka;
mod mysql;
mod product;
mod redis;
mod store;
mod zookeeper;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use protocol::{Identifier, UserId};

/// Far beyond what any step takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs each case of a suite over a fixture, as a test of its own.
macro_rules! run_suite {
    ($suite:ident over $fixture:ty: $($module:ident :: $case:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                crate::within(crate::$suite::$module::$case(<$fixture>::start().await)).await;
            }
        )+
    };
}
pub(crate) use run_suite;

/// Waits for what must happen.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it must happen in time")
}

/// Lets a future begin: it is polled once and must still have something to wait for.
async fn begun<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
    let mut future = Box::pin(future);
    let ready = futures_util::future::poll_immediate(&mut future).await.is_some();
    assert!(!ready, "it must wait");
    future
}

/// Asserts that a future still waits after everything else had its turn.
async fn still_waits<F: Future>(future: F) {
    let future = pin!(future);
    let outcome = tokio::time::timeout(Duration::from_millis(20), future).await;
    assert!(outcome.is_err(), "it must wait");
}

fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

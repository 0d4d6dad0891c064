//! Push: hands frames to the proxies that hold the receivers.
//!
//! In the seed's picture this is pushService. Stored messages, events, unicasts and multicasts come as calls, and so
//! does who is in which super group from now on; messages for rooms and for everybody come as records in topic
//! `push`, those of super groups among them. It looks each receiver up once, groups what it has by proxy and hands
//! it over, sharing one body among all receivers. It promises order: for each user in what is stored, for each room
//! in what is not. It stores nothing and tries nothing twice: what a proxy does not take in time is dropped and
//! counted; that a proxy did not take a membership is told to the caller.

mod batch;
mod delivery;
mod service;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use backends::broker::{Broker, Topic};
use contracts::proxy::Proxies;
use contracts::push::Push;
use contracts::router::Router;
use runtime::lifecycle::Stop;
use tokio::task::JoinHandle;

use crate::delivery::Deliverer;
use crate::service::Service;
use crate::worker::Worker;

/// What can be set about push.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a proxy may take to accept what is handed to it; then it is dropped, so that one proxy that
    /// hangs does not hold up the others.
    pub proxy_deadline: Duration,
    /// Records of topic `push` that are worked on together.
    pub batch_records_max: usize,
    /// How long it waits before it reads the topic again after the broker failed.
    pub back_off: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proxy_deadline: Duration::from_secs(5),
            batch_records_max: 512,
            back_off: Duration::from_millis(200),
        }
    }
}

/// What push works with.
pub struct Deps {
    /// Tells who is where.
    pub router: Arc<dyn Router>,
    /// Takes the frames.
    pub proxies: Arc<dyn Proxies>,
    /// Carries topic `push`.
    pub broker: Arc<dyn Broker>,
    /// Ends the worker.
    pub stop: Stop,
}

/// Starts push: its contract, and the worker that reads topic `push`.
///
/// # Errors
/// What the broker failed with.
pub async fn start(config: Config, deps: Deps) -> backends::Result<(Arc<dyn Push>, JoinHandle<()>)> {
    let Deps { router, proxies, broker, stop } = deps;
    // Subscribed before the contract is given out: the topic is not durable and begins with the next record.
    let subscription = broker.subscribe(Topic::Push, "push").await?;
    let deliverer = Deliverer::new(proxies.clone(), config.proxy_deadline);
    let worker = Worker::new(config, router.clone(), proxies, deliverer.clone(), stop);
    let worker = tokio::spawn(worker.run(subscription));
    Ok((Arc::new(Service::new(router, deliverer)), worker))
}

#[cfg(test)]
mod tests;

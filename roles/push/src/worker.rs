//! Reads topic `push` and hands messages for rooms and for everybody to the proxies.
//!
//! One batch after the other, so that a room keeps its order; within a batch all proxies at once. A proxy that
//! hangs holds a batch up until its deadline and no longer. At most once: a batch is committed whatever became
//! of it.

use std::collections::HashMap;
use std::sync::Arc;

use backends::broker::{Delivered, Subscription};
use contracts::proxy::{BroadcastDelivery, Proxies, RoomDelivery};
use contracts::router::Router;
use foldhash::fast::RandomState;
use futures_util::future::join_all;
use metrics::Counter;
use protocol::{RoomId, ServerId};
use runtime::lifecycle::Stop;

use crate::Config;
use crate::batch::Batch;
use crate::delivery::Deliverer;

type ByProxy<T> = HashMap<ServerId, T, RandomState>;

/// What goes to one proxy of a batch.
#[derive(Default)]
struct Share {
    rooms: Vec<RoomDelivery>,
    broadcasts: Vec<BroadcastDelivery>,
}

/// Works on topic `push`.
pub(crate) struct Worker {
    config: Config,
    router: Arc<dyn Router>,
    proxies: Arc<dyn Proxies>,
    deliverer: Deliverer,
    stop: Stop,
    bad_records: Counter,
}

impl Worker {
    /// Asks this router and hands over to these proxies.
    pub(crate) fn new(
        config: Config,
        router: Arc<dyn Router>,
        proxies: Arc<dyn Proxies>,
        deliverer: Deliverer,
        stop: Stop,
    ) -> Self {
        let bad_records = metrics::counter!("anser_push_dropped_total", "reason" => "bad_record");
        Self { config, router, proxies, deliverer, stop, bad_records }
    }

    /// Works on a subscription until it is told to stop; a batch that was begun is finished.
    pub(crate) async fn run(self, mut subscription: Box<dyn Subscription>) {
        loop {
            let next = tokio::select! {
                () = self.stop.triggered() => return,
                next = subscription.next(self.config.batch_records_max) => next,
            };
            match next {
                Ok(records) => {
                    self.work(records).await;
                    if let Err(error) = subscription.commit().await {
                        tracing::warn!(target: "push", ?error, "a batch was not committed");
                    }
                }
                Err(error) => {
                    tracing::warn!(target: "push", ?error, "topic push cannot be read");
                    tokio::select! {
                        () = self.stop.triggered() => return,
                        () = tokio::time::sleep(self.config.back_off) => {}
                    }
                }
            }
        }
    }

    async fn work(&self, records: Vec<Delivered>) {
        let batch = Batch::read(records);
        self.bad_records.increment(batch.bad_count);
        let mut by_proxy = self.share_rooms(&batch).await;
        if !batch.broadcasts.is_empty() {
            self.share_broadcasts(&batch.broadcasts, &mut by_proxy);
        }
        join_all(by_proxy.into_iter().map(|(server, share)| self.hand(server, share))).await;
    }

    /// Divides what is for rooms among the proxies that have them, asking the router once.
    async fn share_rooms(&self, batch: &Batch) -> ByProxy<Share> {
        let mut by_proxy: ByProxy<Share> = ByProxy::default();
        if batch.rooms.is_empty() {
            return by_proxy;
        }
        let rooms = batch.distinct_rooms();
        let proxies_of: HashMap<&RoomId, Vec<ServerId>, RandomState> =
            match self.router.room_proxies(&rooms).await {
                Ok(proxies) => rooms.iter().zip(proxies).collect(),
                Err(error) => {
                    // Not known is not nobody: a proxy without the room drops what it gets.
                    tracing::warn!(target: "push", ?error, "the router failed: rooms go to all proxies");
                    let all: Vec<ServerId> =
                        self.proxies.all().into_iter().map(|(server, _)| server).collect();
                    rooms.iter().map(|room| (room, all.clone())).collect()
                }
            };
        for delivery in &batch.rooms {
            for server in proxies_of.get(&delivery.room).into_iter().flatten() {
                by_proxy.entry(server.clone()).or_default().rooms.push(delivery.clone());
            }
        }
        by_proxy
    }

    /// Gives every proxy every broadcast, with its part of the speed.
    fn share_broadcasts(&self, broadcasts: &[BroadcastDelivery], by_proxy: &mut ByProxy<Share>) {
        let proxies = self.proxies.all();
        let proxy_count = u32::try_from(proxies.len()).unwrap_or(u32::MAX).max(1);
        for (server, _) in proxies {
            let share = by_proxy.entry(server).or_default();
            share.broadcasts.extend(broadcasts.iter().map(|broadcast| {
                let speed = broadcast.speed.div_ceil(proxy_count);
                BroadcastDelivery { speed, ..broadcast.clone() }
            }));
        }
    }

    /// Hands a proxy its share under one deadline. What fails is counted and logged by the deliverer.
    async fn hand(&self, server: ServerId, share: Share) {
        let Share { rooms, broadcasts } = share;
        let count = rooms.len() + broadcasts.len();
        let call = |proxy: Arc<dyn contracts::proxy::Proxy>| async move {
            if !rooms.is_empty() {
                proxy.deliver_to_rooms(rooms).await?;
            }
            for broadcast in broadcasts {
                proxy.broadcast(broadcast).await?;
            }
            Ok(())
        };
        // Nothing is left to be done for a share that was dropped.
        let _ = self.deliverer.hand(&server, count, call).await;
    }
}

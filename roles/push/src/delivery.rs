//! What goes to one proxy: gathered, handed over under a deadline, and counted where it was dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::proxy::{Delivery, Payload, Proxies, Proxy, Receiver};
use contracts::push::StoredPush;
use contracts::router::Located;
use foldhash::fast::RandomState;
use futures_util::future::join_all;
use metrics::Counter;
use protocol::client::Message;
use protocol::{ServerId, UserId};

type Map<K, V> = HashMap<K, V, RandomState>;

/// Why something did not reach a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The proxy is not, or no longer, known.
    Unknown,
    /// It answered with an error.
    Refused,
    /// It did not answer in time.
    Late,
}

/// Hands things to proxies.
#[derive(Clone)]
pub(crate) struct Deliverer {
    proxies: Arc<dyn Proxies>,
    deadline: Duration,
    unknown: Counter,
    refused: Counter,
    late: Counter,
}

impl Deliverer {
    /// Hands things to these proxies, waiting for each no longer than the deadline.
    pub(crate) fn new(proxies: Arc<dyn Proxies>, deadline: Duration) -> Self {
        let dropped = |reason| metrics::counter!("anser_push_dropped_total", "reason" => reason);
        Self {
            proxies,
            deadline,
            unknown: dropped("proxy_unknown"),
            refused: dropped("proxy_failed"),
            late: dropped("proxy_deadline"),
        }
    }

    /// Hands each proxy its deliveries, all proxies at once; answers those that did not take them.
    pub(crate) async fn deliver(&self, by_proxy: Map<ServerId, Vec<Delivery>>) -> Map<ServerId, Failed> {
        let handed = by_proxy.into_iter().map(|(server, deliveries)| async move {
            let count = deliveries.iter().map(|delivery| delivery.receivers.len()).sum();
            let call = |proxy: Arc<dyn Proxy>| async move { proxy.deliver(deliveries).await };
            let result = self.hand(&server, count, call).await;
            result.err().map(|failed| (server, failed))
        });
        join_all(handed).await.into_iter().flatten().collect()
    }

    /// Makes one call of a proxy; `count` of what it carries is counted where it fails.
    pub(crate) async fn hand<F>(
        &self,
        server: &ServerId,
        count: usize,
        call: impl FnOnce(Arc<dyn Proxy>) -> F,
    ) -> Result<(), Failed>
    where
        F: Future<Output = contracts::Result<()>>,
    {
        let Some(proxy) = self.proxies.proxy(server) else {
            self.unknown.increment(count as u64);
            tracing::debug!(target: "push", %server, count, "dropped: the proxy is not known");
            return Err(Failed::Unknown);
        };
        match tokio::time::timeout(self.deadline, call(proxy)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                self.refused.increment(count as u64);
                tracing::warn!(target: "push", %server, count, ?error, "dropped: the proxy failed");
                Err(Failed::Refused)
            }
            Err(_) => {
                self.late.increment(count as u64);
                tracing::warn!(target: "push", %server, count, "dropped: the proxy did not answer in time");
                Err(Failed::Late)
            }
        }
    }
}

/// What goes to one proxy, while it is being gathered.
#[derive(Default)]
struct Gathered {
    deliveries: Vec<Delivery>,
    /// Where each message stands; the address is its identity, since the delivery keeps it alive.
    by_message: Map<*const Message, usize>,
    /// The last delivery of each user.
    last_of_user: Map<UserId, usize>,
}

impl Gathered {
    /// Adds the receivers of one push: to the delivery of the same message, unless that would put it before
    /// an earlier one of the same user.
    fn add(&mut self, push: &StoredPush, receiver: Receiver) {
        let message = Arc::as_ptr(&push.message);
        let last = self.last_of_user.get(&push.user).copied().unwrap_or(0);
        let index = match self.by_message.get(&message) {
            Some(index) if *index >= last => *index,
            _ => {
                let payload = Payload::Stored(push.message.clone());
                self.deliveries.push(Delivery { receivers: Vec::new(), payload });
                self.by_message.insert(message, self.deliveries.len() - 1);
                self.deliveries.len() - 1
            }
        };
        self.deliveries[index].receivers.push(receiver);
        self.last_of_user.insert(push.user.clone(), index);
    }
}

/// Groups stored messages by proxy. `located` tells where each user is.
pub(crate) fn group_stored(
    pushes: &[StoredPush],
    located: &Map<&UserId, Located>,
) -> Map<ServerId, Vec<Delivery>> {
    let mut by_proxy: Map<ServerId, Gathered> = Map::default();
    for push in pushes {
        let Some(located) = located.get(&push.user) else { continue };
        for route in located.routes.iter().filter(|route| Some(route.connection) != push.except) {
            let receiver =
                Receiver { handle: route.handle, connection: route.connection, inbox_seq: push.inbox_seq };
            if !by_proxy.contains_key(&route.server) {
                by_proxy.insert(route.server.clone(), Gathered::default());
            }
            if let Some(gathered) = by_proxy.get_mut(&route.server) {
                gathered.add(push, receiver);
            }
        }
    }
    by_proxy.into_iter().map(|(server, gathered)| (server, gathered.deliveries)).collect()
}

/// Groups one payload for many by proxy: one delivery each.
pub(crate) fn group_payload<'a>(
    located: impl IntoIterator<Item = &'a Located>,
    payload: &Payload,
) -> Map<ServerId, Vec<Delivery>> {
    let mut by_proxy: Map<ServerId, Vec<Receiver>> = Map::default();
    for route in located.into_iter().flat_map(|located| &located.routes) {
        let receiver = Receiver { handle: route.handle, connection: route.connection, inbox_seq: 0 };
        by_proxy.entry(route.server.clone()).or_default().push(receiver);
    }
    by_proxy
        .into_iter()
        .map(|(server, receivers)| (server, vec![Delivery { receivers, payload: payload.clone() }]))
        .collect()
}

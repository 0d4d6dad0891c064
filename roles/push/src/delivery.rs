//! What goes to one proxy: gathered, handed over under a deadline, and counted where it was dropped.
//!
//! What is pushed is dropped and counted where a proxy does not take it. Memberships are not: whoever commands them
//! is told, and says them again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::proxy::{Delivery, MembershipChange, Payload, Proxies, Proxy, Receiver};
use contracts::push::{EventPush, Membership, StoredPush};
use contracts::router::{Located, Route};
use foldhash::fast::RandomState;
use futures_util::future::join_all;
use metrics::Counter;
use protocol::client::Message;
use protocol::{ConnectionId, ServerId, UserId};

pub(crate) type Map<K, V> = HashMap<K, V, RandomState>;

/// Why something did not reach a proxy.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The proxy is not, or no longer, known.
    Unknown,
    /// It answered with an error.
    Refused(contracts::Error),
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
        let result = self.call(server, call).await;
        match &result {
            Ok(()) => {}
            Err(Failed::Unknown) => {
                self.unknown.increment(count as u64);
                tracing::debug!(target: "push", %server, count, "dropped: the proxy is not known");
            }
            Err(Failed::Refused(error)) => {
                self.refused.increment(count as u64);
                tracing::warn!(target: "push", %server, count, ?error, "dropped: the proxy failed");
            }
            Err(Failed::Late) => {
                self.late.increment(count as u64);
                tracing::warn!(target: "push", %server, count, "dropped: the proxy did not answer in time");
            }
        }
        result
    }

    /// Has each proxy carry its changes out, all proxies at once. One that is not known has no connections.
    ///
    /// # Errors
    /// The first proxy that did not, and why.
    pub(crate) async fn set_memberships(
        &self,
        by_proxy: Map<ServerId, Vec<MembershipChange>>,
    ) -> Result<(), (ServerId, Failed)> {
        let told = by_proxy.into_iter().map(|(server, changes)| async move {
            let call = |proxy: Arc<dyn Proxy>| async move { proxy.set_memberships(changes).await };
            match self.call(&server, call).await {
                Ok(()) | Err(Failed::Unknown) => Ok(()),
                Err(failed) => Err((server, failed)),
            }
        });
        // All of them are waited for: one that fails does not keep the others from being told.
        join_all(told).await.into_iter().collect()
    }

    /// Makes one call of a proxy under the deadline.
    async fn call<F>(&self, server: &ServerId, call: impl FnOnce(Arc<dyn Proxy>) -> F) -> Result<(), Failed>
    where
        F: Future<Output = contracts::Result<()>>,
    {
        let Some(proxy) = self.proxies.proxy(server) else { return Err(Failed::Unknown) };
        match tokio::time::timeout(self.deadline, call(proxy)).await {
            Ok(result) => result.map_err(Failed::Refused),
            Err(_) => Err(Failed::Late),
        }
    }
}

/// What goes to one proxy, while it is being gathered.
#[derive(Default)]
struct Gathered<'a> {
    deliveries: Vec<Delivery>,
    /// Where each message stands; the address is its identity, since the delivery keeps it alive.
    by_message: Map<*const Message, usize>,
    /// The last delivery of each user, where it is not the first: one message for many costs no entry.
    last_of_user: Map<&'a UserId, usize>,
}

impl<'a> Gathered<'a> {
    /// Adds the receivers of one push: to the delivery of the same message, unless that would put it before
    /// an earlier one of the same user.
    fn add(&mut self, push: &'a StoredPush, receiver: Receiver) {
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
        if index > 0 {
            self.last_of_user.insert(&push.user, index);
        }
    }
}

/// Groups stored messages by proxy. `located` tells where each user is.
pub(crate) fn group_stored(
    pushes: &[StoredPush],
    located: &Map<&UserId, Located>,
) -> Map<ServerId, Vec<Delivery>> {
    let mut by_proxy: Map<&ServerId, Gathered<'_>> = Map::default();
    for push in pushes {
        let Some(located) = located.get(&push.user) else { continue };
        for route in located.routes.iter().filter(|route| Some(route.connection) != push.except) {
            by_proxy.entry(&route.server).or_default().add(push, receiver(route, push.inbox_seq));
        }
    }
    by_proxy.into_iter().map(|(server, gathered)| (server.clone(), gathered.deliveries)).collect()
}

/// Groups events by proxy, in their order: one delivery each. `asked` tells for each event, one after the other,
/// where in `located` its users stand.
pub(crate) fn group_events(
    pushes: &[EventPush],
    located: &[Located],
    asked: &[usize],
) -> Map<ServerId, Vec<Delivery>> {
    let mut by_proxy: Map<ServerId, Vec<Delivery>> = Map::default();
    let mut asked = asked.iter().copied();
    for push in pushes {
        let mut indexes: Vec<usize> = asked.by_ref().take(push.users.len()).collect();
        // Who is named twice is told once.
        indexes.sort_unstable();
        indexes.dedup();
        let payload = Payload::Event(push.event.clone());
        let located = indexes.iter().filter_map(|index| located.get(*index));
        for (server, deliveries) in group_payload(located, &payload, push.except) {
            by_proxy.entry(server).or_default().extend(deliveries);
        }
    }
    by_proxy
}

/// Groups memberships by proxy, in their order. `located` tells where the user of each is.
pub(crate) fn group_memberships<'a>(
    memberships: impl IntoIterator<Item = (&'a Membership, &'a Located)>,
) -> Map<ServerId, Vec<MembershipChange>> {
    let mut by_proxy: Map<ServerId, Vec<MembershipChange>> = Map::default();
    for (membership, located) in memberships {
        for route in &located.routes {
            let change = MembershipChange {
                handle: route.handle,
                connection: route.connection,
                group: membership.group.clone(),
                version: membership.version,
                member: membership.member,
            };
            by_proxy.entry(route.server.clone()).or_default().push(change);
        }
    }
    by_proxy
}

/// Groups one payload for many by proxy: one delivery each.
pub(crate) fn group_payload<'a>(
    located: impl IntoIterator<Item = &'a Located>,
    payload: &Payload,
    except: Option<ConnectionId>,
) -> Map<ServerId, Vec<Delivery>> {
    let mut by_proxy: Map<&ServerId, Vec<Receiver>> = Map::default();
    let routes = located.into_iter().flat_map(|located| &located.routes);
    for route in routes.filter(|route| Some(route.connection) != except) {
        by_proxy.entry(&route.server).or_default().push(receiver(route, 0));
    }
    let delivery = |receivers| vec![Delivery { receivers, payload: payload.clone() }];
    by_proxy.into_iter().map(|(server, receivers)| (server.clone(), delivery(receivers))).collect()
}

fn receiver(route: &Route, inbox_seq: u64) -> Receiver {
    Receiver { handle: route.handle, connection: route.connection, inbox_seq }
}

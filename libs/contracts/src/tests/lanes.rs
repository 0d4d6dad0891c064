//! Order for each key over several connections, and the connection for commands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use protocol::client::Send;
use protocol::code::CloseCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::relay::relay;
use super::*;
use crate::im::{Im as _, SendRequest};
use crate::proxy::{BroadcastDelivery, Kick, MembershipChange, RoomDelivery, RoomPayload};
use crate::server::Server;
use crate::{Result, im};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_to_one_connection_keep_their_order_over_several_connections() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let proxy = proxy_at(&loopback.server, loopback.address, Settings { connections: 3, ..settings() });
    // All at once, none waited for: the first ones before there is a connection at all.
    let calls = (1..=3000u64).map(|seq| {
        let receivers = [seq % 40, (seq + 13) % 40];
        let mut one = delivery(receivers[0], seq, 20);
        one.receivers.extend(delivery(receivers[1], seq, 0).receivers);
        proxy.deliver(vec![one])
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let mut of: HashMap<u64, Vec<u64>> = HashMap::new();
    for receiver in loopback.fake.delivered.borrow().iter().flat_map(|one| &one.receivers) {
        of.entry(receiver.connection.0).or_default().push(receiver.inbox_seq);
    }
    assert_eq!(of.len(), 40);
    for (connection, seqs) in of {
        assert_eq!(seqs.len(), 150, "connection {connection}");
        assert!(seqs.is_sorted(), "connection {connection} got {seqs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_one_partition_keep_their_order() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    let proxy = proxy_at(&loopback.server, loopback.address, Settings { connections: 3, ..settings() });
    let calls = (1..=600u64).map(|offset| {
        let payload = RoomPayload::Operation { operation: 1, body: "x".into() };
        let room = protocol::RoomId::new(&format!("room-{}", offset % 17)).unwrap();
        let partition = u32::try_from(offset % 4).unwrap();
        proxy.deliver_to_rooms(vec![RoomDelivery { room, payload, position: (partition, offset) }])
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let delivered = loopback.fake.delivered_to_rooms.borrow();
    for partition in 0..4 {
        let of = delivered.iter().filter(|one| one.position.0 == partition);
        let offsets: Vec<u64> = of.map(|one| one.position.1).collect();
        assert_eq!(offsets.len(), 150);
        assert!(offsets.is_sorted(), "partition {partition} got {offsets:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_sender_begin_in_their_order_and_do_not_wait_for_each_other() {
    let loopback = Loopback::start("im-1", Admission::default()).await;
    let (_, addresses) = tokio::sync::watch::channel(Loopback::addresses(&[&loopback]));
    let im = Arc::new(im::Remote::follow(Settings { connections: 3, ..settings() }, addresses));
    loopback.fake.open.send_replace(false);
    let senders = ["alice", "bob", "carol", "dave", "eve"];
    let sending = tokio::spawn({
        let im = Arc::clone(&im);
        async move {
            let calls = (0..1000usize).map(|index| {
                let client_message_id = format!("{index:04}");
                let send = Send { client_message_id, ..Send::default() };
                im.send(SendRequest { sender: user(senders[index % 5]), connection: ConnectionId(1), send })
            });
            join_all(calls).await
        }
    });
    // All have begun while none is answered.
    Fake::until(&loopback.fake.calls, |calls| calls.len() == 1000).await;
    loopback.fake.open.send_replace(true);
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
    let calls = loopback.fake.take_calls();
    for sender in senders {
        let of = calls.iter().filter(|call| call.contains(&format!("sender: \"{sender}\"")));
        let id = |call: &String| {
            let (_, rest) = call.split_once("client_message_id: \"").unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let ids: Vec<String> = of.map(id).collect();
        assert_eq!(ids.len(), 200);
        assert!(ids.is_sorted(), "{sender} was taken in the order {ids:?}");
    }
}

/// A proxy that takes deliveries one permit at a time.
struct Slow {
    permits: Semaphore,
    delivered: AtomicU64,
}

#[async_trait]
impl Proxy for Slow {
    async fn deliver(&self, deliveries: Vec<Delivery>) -> Result<()> {
        for _ in deliveries {
            self.permits.acquire().await.unwrap().forget();
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn deliver_to_rooms(&self, _: Vec<RoomDelivery>) -> Result<()> {
        Ok(())
    }

    async fn broadcast(&self, _: BroadcastDelivery) -> Result<()> {
        Ok(())
    }

    async fn set_memberships(&self, _: Vec<MembershipChange>) -> Result<()> {
        Ok(())
    }

    async fn kick(&self, _: Vec<Kick>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_not_delayed_while_bulk_is_saturated() {
    let slow = Arc::new(Slow { permits: Semaphore::new(0), delivered: AtomicU64::new(0) });
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address();
    let name = server("proxy-1");
    Server::new(name.clone(), Admission::default())
        .proxy(slow.clone())
        .serve(listener, std::future::pending());
    let settings = Settings { connections: 1, time_limit: Duration::from_secs(60), ..settings() };
    let proxy = proxy_at(&name, address, settings);
    let kick = Kick { handle: Handle(1), connection: ConnectionId(1), code: CloseCode::Kicked };
    proxy.kick(vec![kick]).await.unwrap();
    // Nothing is taken: windows and queues fill until the bound refuses more.
    let bulk = (0..1500u64).map(|seq| {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move { proxy.deliver(vec![delivery(1, seq, 60_000)]).await })
    });
    let bulk: Vec<_> = bulk.collect();
    let full = async {
        while bulk.iter().filter(|call| call.is_finished()).count() < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, full).await.unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let begun = Instant::now();
        proxy.kick(vec![kick]).await.unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "a kick took {slowest:?}");
    assert_eq!(slow.delivered.load(Ordering::Relaxed), 0, "bulk was not saturated");
    slow.permits.add_permits(100_000);
    let outcomes: Vec<Result<()>> =
        join_all(bulk).await.into_iter().map(|outcome| outcome.unwrap()).collect();
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(refused.clone().all(|error| error.kind() == Kind::Overloaded));
    assert_eq!(slow.delivered.load(Ordering::Relaxed) + refused.count() as u64, 1500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_pass_bulk_on_a_slow_network() {
    let loopback = Loopback::start("proxy-1", Admission::default()).await;
    // About 1 MB/s on each connection.
    let address = relay(loopback.address, Arc::new(AtomicBool::new(false)), Duration::from_millis(4)).await;
    let settings = Settings { connections: 1, ping_time_limit: Duration::from_secs(60), ..settings() };
    let proxy = proxy_at(&loopback.server, address, settings);
    until_reached(&proxy).await;
    let bulk = (0..60u64).map(|seq| {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move { proxy.deliver(vec![delivery(1, seq, 100_000)]).await })
    });
    let bulk: Vec<_> = bulk.collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        proxy.kick(Vec::new()).await.unwrap();
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(bulk.iter().any(|call| !call.is_finished()), "bulk was over before the commands");
    assert!(slowest < Duration::from_secs(1), "a kick took {slowest:?}");
    bulk.iter().for_each(tokio::task::JoinHandle::abort);
}

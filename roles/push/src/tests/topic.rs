//! Messages for rooms and for everybody, read from topic `push`.

use backends::broker::{Delivered, Subscription};
use bytes::Bytes;
use contracts::proxy::RoomPayload;
use contracts::push::Record;
use prost::Message as _;
use protocol::GroupId;
use protocol::client::{self, RoomMessage, TypingPush};
use protocol::codec::Event;
use runtime::lifecycle::Stop;
use tokio::sync::mpsc;

use super::*;
use crate::Config;
use crate::worker::Worker;

/// A topic of given batches that tells of every commit.
struct Batches {
    batches: std::vec::IntoIter<backends::Result<Vec<Delivered>>>,
    commits: mpsc::Sender<()>,
}

#[async_trait]
impl Subscription for Batches {
    async fn next(&mut self, _limit: usize) -> backends::Result<Vec<Delivered>> {
        match self.batches.next() {
            Some(batch) => batch,
            None => std::future::pending().await,
        }
    }

    async fn commit(&mut self) -> backends::Result<()> {
        self.commits.send(()).await.unwrap();
        Ok(())
    }
}

fn record(offset: u64, value: Bytes) -> Delivered {
    Delivered { partition: 3, offset, key: Bytes::new(), value }
}

fn for_room(offset: u64, room: &str, body: &'static str) -> Delivered {
    let body = Bytes::from_static(body.as_bytes());
    let value = Record { room: room.to_owned(), operation: 1000, body, ..Record::default() };
    record(offset, value.encode_to_vec().into())
}

fn for_all(offset: u64, speed: u32) -> Delivered {
    let value = Record { operation: 1000, speed, ..Record::default() };
    record(offset, value.encode_to_vec().into())
}

/// Works on batches until the last one is committed.
async fn work(
    router: &Arc<FixedRouter>,
    proxies: &Arc<Named>,
    batches: Vec<backends::Result<Vec<Delivered>>>,
) {
    let batch_count = batches.iter().filter(|batch| batch.is_ok()).count();
    let (commits, mut committed) = mpsc::channel(1);
    let subscription = Box::new(Batches { batches: batches.into_iter(), commits });
    let config = Config { back_off: Duration::from_millis(1), ..Config::default() };
    let stop = Stop::new();
    let deliverer = deliverer(proxies);
    let worker = Worker::new(config, router.clone(), proxies.clone(), deliverer, stop.clone());
    let worker = tokio::spawn(worker.run(subscription));
    for _ in 0..batch_count {
        tokio::time::timeout(Duration::from_secs(10), committed.recv()).await.unwrap();
    }
    stop.trigger();
    worker.await.unwrap();
}

fn rooms_of(proxy: &Remembering) -> Vec<Vec<(String, (u32, u64))>> {
    let calls = proxy.room_calls.lock();
    let call = |call: &Vec<RoomDelivery>| {
        call.iter().map(|delivery| (delivery.room.to_string(), delivery.position)).collect()
    };
    calls.iter().map(call).collect()
}

#[tokio::test]
async fn a_batch_for_rooms_asks_the_router_once_and_reaches_each_proxy_in_order() {
    let router = Arc::new(FixedRouter {
        rooms: [(room("a"), vec![server("p1"), server("p2")]), (room("b"), vec![server("p1")])].into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Takes)]);
    let batch = vec![
        for_room(1, "b", "one"),
        for_room(2, "a", "two"),
        for_room(3, "empty", "three"),
        for_room(4, "b", "four"),
        for_room(5, "a", "five"),
    ];
    work(&router, &proxies, vec![Ok(batch), Ok(vec![for_room(6, "b", "six")])]).await;

    assert_eq!(*router.asked.lock(), [vec!["a", "b", "empty"], vec!["b"]]);
    let at = |room: &str, offset| (room.to_owned(), (3, offset));
    let first = vec![at("b", 1), at("a", 2), at("b", 4), at("a", 5)];
    assert_eq!(rooms_of(proxies.get("p1")), [first, vec![at("b", 6)]]);
    assert_eq!(rooms_of(proxies.get("p2")), [[at("a", 2), at("a", 5)]]);
    let calls = proxies.get("p2").room_calls.lock();
    let RoomPayload::Operation { operation, body } = &calls[0][0].payload else { panic!("not an operation") };
    assert_eq!((*operation, &body[..]), (1000, &b"two"[..]));
}

#[tokio::test]
async fn what_a_member_sent_reaches_the_room_as_a_message() {
    let router =
        Arc::new(FixedRouter { rooms: [(room("a"), vec![server("p1")])].into(), ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Takes)]);
    let message = RoomMessage { room: "a".to_owned(), sender: Some("bob".to_owned()), ..Default::default() };
    let value = Record { room: "a".to_owned(), message: Some(message.clone()), ..Record::default() };
    work(&router, &proxies, vec![Ok(vec![record(1, value.encode_to_vec().into())])]).await;
    let calls = proxies.get("p1").room_calls.lock();
    let RoomPayload::Message(received) = &calls[0][0].payload else { panic!("not a message") };
    assert_eq!(**received, message);
}

#[tokio::test]
async fn rows_and_events_reach_the_servers_own_rooms() {
    let own = RoomId::of_group(&GroupId::new("g").unwrap());
    let router =
        Arc::new(FixedRouter { rooms: [(own.clone(), vec![server("p1")])].into(), ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Takes)]);
    let row = client::Message { seq: 7, group: Some("g".to_owned()), ..client::Message::default() };
    let event = Event::Typing(TypingPush { user: "bob".to_owned(), ..TypingPush::default() });
    let push = client::Push { event: Some(event.clone()) };
    let records = [
        Record { room: own.to_string(), row: Some(row.clone()), ..Record::default() },
        Record { room: own.to_string(), event: Some(client::Push { event: None }), ..Record::default() },
        Record { room: own.to_string(), event: Some(push), ..Record::default() },
        Record { row: Some(row.clone()), ..Record::default() },
    ];
    let records = (1..).zip(records).map(|(offset, one)| record(offset, one.encode_to_vec().into()));
    work(&router, &proxies, vec![Ok(records.collect())]).await;
    assert_eq!(rooms_of(proxies.get("p1")), [[(own.to_string(), (3, 1)), (own.to_string(), (3, 3))]]);
    let calls = proxies.get("p1").room_calls.lock();
    let RoomPayload::Row(taken) = &calls[0][0].payload else { panic!("not a row") };
    assert_eq!(**taken, row);
    let RoomPayload::Event(taken) = &calls[0][1].payload else { panic!("not an event") };
    assert_eq!(**taken, event);
    assert!(proxies.get("p1").broadcasts.lock().is_empty(), "a row without a room went to everybody");
}

#[tokio::test]
async fn a_bad_record_is_skipped_and_the_next_one_goes_out() {
    let router =
        Arc::new(FixedRouter { rooms: [(room("a"), vec![server("p1")])].into(), ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Takes)]);
    let long = "x".repeat(65);
    let batch = vec![
        record(1, Bytes::from_static(&[0xff; 9])),
        for_room(2, &long, "no room has this name"),
        for_room(3, "a", "good"),
    ];
    let broken = backends::Error::new(backends::Kind::Transient, "the broker cannot be reached");
    work(&router, &proxies, vec![Err(broken), Ok(batch)]).await;
    assert_eq!(rooms_of(proxies.get("p1")), [[("a".to_owned(), (3, 3))]]);
}

#[tokio::test]
async fn a_broadcast_reaches_every_proxy_with_its_part_of_the_speed() {
    let router = Arc::new(FixedRouter::default());
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Fails), ("p3", Mood::Takes)]);
    work(&router, &proxies, vec![Ok(vec![for_all(1, 100), for_all(2, 0)])]).await;
    for name in ["p1", "p3"] {
        let broadcasts = proxies.get(name).broadcasts.lock();
        let seen: Vec<_> = broadcasts.iter().map(|one| (one.speed, one.position)).collect();
        assert_eq!(seen, [(34, (3, 1)), (0, (3, 2))]);
    }
    assert!(router.asked.lock().is_empty());
}

#[tokio::test]
async fn a_proxy_that_hangs_does_not_keep_the_next_batch_from_the_others() {
    let both = vec![server("p1"), server("p2")];
    let router = Arc::new(FixedRouter { rooms: [(room("a"), both)].into(), ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Hangs), ("p2", Mood::Takes)]);
    let batches = vec![Ok(vec![for_room(1, "a", "one")]), Ok(vec![for_room(2, "a", "two")])];
    work(&router, &proxies, batches).await;
    assert_eq!(rooms_of(proxies.get("p2")).len(), 2);
}

#[tokio::test]
async fn rooms_go_to_all_proxies_while_the_router_fails() {
    let router = Arc::new(FixedRouter { fails: true, ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Takes)]);
    work(&router, &proxies, vec![Ok(vec![for_room(1, "a", "one")])]).await;
    assert_eq!((rooms_of(proxies.get("p1")).len(), rooms_of(proxies.get("p2")).len()), (1, 1));
}

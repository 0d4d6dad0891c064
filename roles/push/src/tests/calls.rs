//! Stored messages, unicasts and multicasts.

use bytes::Bytes;
use contracts::proxy::Payload;
use contracts::push::{Outcome, Push, StoredPush};
use protocol::client::Message;

use super::*;
use crate::service::Service;

fn message(id: u64) -> Arc<Message> {
    Arc::new(Message { message_id: id, ..Message::default() })
}

fn stored(name: &str, inbox_seq: u64, message: &Arc<Message>) -> StoredPush {
    StoredPush { user: user(name), inbox_seq, message: message.clone(), except: None }
}

/// (message id, [(connection, inbox seq)]) of each delivery of a proxy's only call.
fn taken(proxy: &Remembering) -> Vec<(u64, Vec<(u64, u64)>)> {
    let calls = proxy.deliver_calls.lock();
    assert!(calls.len() <= 1, "a proxy was called {} times", calls.len());
    let deliveries = calls.iter().flatten();
    let seen = deliveries.map(|delivery| {
        let Payload::Stored(message) = &delivery.payload else { panic!("not a stored message") };
        let receivers = delivery.receivers.iter();
        (message.message_id, receivers.map(|receiver| (receiver.connection.0, receiver.inbox_seq)).collect())
    });
    seen.collect()
}

#[tokio::test]
async fn stored_messages_are_located_once_and_each_proxy_is_called_once() {
    let router = Arc::new(FixedRouter {
        users: [(user("alice"), located(&[("p1", 1), ("p2", 2)])), (user("bob"), located(&[("p1", 3)]))]
            .into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Takes)]);
    let service = Service::new(router.clone(), deliverer(&proxies));
    let (first, second) = (message(1), message(2));
    let pushes = vec![
        StoredPush { except: Some(ConnectionId(1)), ..stored("alice", 10, &first) },
        stored("bob", 20, &first),
        stored("bob", 21, &second),
        stored("alice", 11, &second),
        stored("carol", 5, &second),
    ];
    service.push_stored(pushes).await.unwrap();

    assert_eq!(*router.asked.lock(), [["alice", "bob", "carol"]]);
    assert_eq!(taken(proxies.get("p1")), [(1, vec![(3, 20)]), (2, vec![(3, 21), (1, 11)])]);
    assert_eq!(taken(proxies.get("p2")), [(1, vec![(2, 10)]), (2, vec![(2, 11)])]);
    let calls = proxies.get("p1").deliver_calls.lock();
    let Payload::Stored(body) = &calls[0][1].payload else { panic!("not a stored message") };
    assert!(Arc::ptr_eq(body, &second), "the body was copied");
    assert_eq!(calls[0][0].receivers[0].handle, Handle(300));
}

#[tokio::test]
async fn one_message_for_a_whole_group_is_one_delivery_for_each_proxy() {
    let names: Vec<String> = (1..=100).map(|number| format!("user-{number}")).collect();
    let place = |number: u64| (["p1", "p2"][(number % 2) as usize], number);
    let users = (1..=100).zip(&names).map(|(number, name)| (user(name), located(&[place(number)])));
    let router = Arc::new(FixedRouter { users: users.collect(), ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Takes)]);
    let message = message(1);
    let pushes = (1..=100).zip(&names).map(|(number, name)| stored(name, number * 10, &message)).collect();
    Service::new(router.clone(), deliverer(&proxies)).push_stored(pushes).await.unwrap();
    assert_eq!(router.asked.lock().len(), 1);
    for (name, first) in [("p1", 2), ("p2", 1)] {
        let receivers = (first..=100).step_by(2).map(|number| (number, number * 10)).collect();
        assert_eq!(taken(proxies.get(name)), [(1, receivers)]);
    }
}

#[tokio::test]
async fn one_body_for_many_never_overtakes_an_earlier_message_of_a_user() {
    let router = Arc::new(FixedRouter {
        users: [(user("alice"), located(&[("p1", 1)])), (user("bob"), located(&[("p1", 2)]))].into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes)]);
    let (first, second) = (message(1), message(2));
    let pushes = vec![stored("alice", 1, &first), stored("bob", 7, &second), stored("bob", 8, &first)];
    Service::new(router, deliverer(&proxies)).push_stored(pushes).await.unwrap();
    let for_bob: Vec<u64> = taken(proxies.get("p1"))
        .into_iter()
        .flat_map(|(_, receivers)| receivers)
        .filter_map(|(connection, inbox_seq)| (connection == 2).then_some(inbox_seq))
        .collect();
    assert_eq!(for_bob, [7, 8]);
}

#[tokio::test]
async fn a_proxy_that_hangs_does_not_keep_stored_messages_from_the_others() {
    let router = Arc::new(FixedRouter {
        users: [(user("alice"), located(&[("p1", 1), ("p2", 2), ("gone", 3)]))].into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Hangs), ("p2", Mood::Takes)]);
    let service = Service::new(router, deliverer(&proxies));
    service.push_stored(vec![stored("alice", 10, &message(1))]).await.unwrap();
    assert_eq!(taken(proxies.get("p2")), [(1, vec![(2, 10)])]);
}

#[tokio::test]
async fn a_router_that_fails_is_told_so_that_the_intent_stays() {
    let router = Arc::new(FixedRouter { fails: true, ..FixedRouter::default() });
    let service = Service::new(router, deliverer(&Named::new(&[])));
    let error = service.push_stored(vec![stored("alice", 10, &message(1))]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn each_user_gets_the_payload_once_and_its_outcome_as_often_as_asked() {
    let unannounced = Located { unannounced: vec![server("p9")], ..Located::default() };
    let router = Arc::new(FixedRouter {
        users: [
            (user("alice"), located(&[("p1", 1), ("p1", 2)])),
            (user("bob"), located(&[("p2", 3)])),
            (user("carol"), located(&[("p2", 4), ("p1", 5)])),
            (user("dave"), unannounced),
            (user("erin"), located(&[("gone", 6)])),
        ]
        .into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Fails)]);
    let service = Service::new(router.clone(), deliverer(&proxies));
    let users = ["bob", "alice", "nobody", "alice", "carol", "dave", "erin"].map(user).to_vec();
    let outcomes = service.push_to_users(users, 1000, Bytes::from_static(b"hi")).await.unwrap();

    use Outcome::{Offline, Queued, Unknown};
    assert_eq!(outcomes, [Unknown, Queued, Offline, Queued, Queued, Unknown, Unknown]);
    assert_eq!(router.asked.lock().len(), 1);
    let calls = proxies.get("p1").deliver_calls.lock();
    let connections: Vec<u64> = calls[0][0].receivers.iter().map(|receiver| receiver.connection.0).collect();
    assert_eq!((calls.len(), calls[0].len(), connections), (1, 1, vec![1, 2, 5]));
}

#[tokio::test]
async fn a_push_to_keys_tells_which_keys_are_there() {
    let router = Arc::new(FixedRouter {
        keys: [("k1".to_owned(), located(&[("p1", 1)])), ("k2".to_owned(), located(&[("p2", 2)]))].into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Hangs)]);
    let service = Service::new(router, deliverer(&proxies));
    let keys = ["k2", "k1", "k3", "k1"].map(str::to_owned).to_vec();
    let outcomes = service.push_to_keys(keys, 1000, Bytes::new()).await.unwrap();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Queued, Outcome::Offline, Outcome::Queued]);
}

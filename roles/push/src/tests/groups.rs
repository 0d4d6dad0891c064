//! Events, memberships of super groups, and where users are.

use contracts::proxy::Payload;
use contracts::push::{EventPush, Membership, Push, Whereabouts};
use contracts::router::Devices;
use protocol::client::TypingPush;
use protocol::codec::Event;
use protocol::{DeviceId, GroupId};

use super::*;
use crate::service::Service;

fn typing(name: &str) -> Arc<Event> {
    Arc::new(Event::Typing(TypingPush { user: name.to_owned(), ..TypingPush::default() }))
}

fn event(names: &[&str], event: &Arc<Event>) -> EventPush {
    EventPush { users: names.iter().copied().map(user).collect(), event: event.clone(), except: None }
}

fn membership(name: &str, group: &str, version: u64, member: bool) -> Membership {
    Membership { user: user(name), group: GroupId::new(group).unwrap(), version, member }
}

/// (connection, group, version, member) of a proxy's only call.
fn commanded(proxy: &Remembering) -> Vec<(u64, String, u64, bool)> {
    let calls = proxy.membership_calls.lock();
    assert_eq!(calls.len(), 1);
    let change = |change: &MembershipChange| {
        assert_eq!(change.handle.0, change.connection.0 * 100);
        (change.connection.0, change.group.to_string(), change.version, change.member)
    };
    calls[0].iter().map(change).collect()
}

#[tokio::test]
async fn events_reach_all_connections_but_the_one_that_knows() {
    let router = Arc::new(FixedRouter {
        users: [(user("alice"), located(&[("p1", 1), ("p2", 2)])), (user("bob"), located(&[("p1", 3)]))]
            .into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Hangs)]);
    let service = Service::new(router.clone(), deliverer(&proxies));
    let (first, second) = (typing("bob"), typing("carol"));
    let pushes = vec![
        EventPush { except: Some(ConnectionId(1)), ..event(&["alice", "bob", "nobody", "bob"], &first) },
        event(&["alice"], &second),
        event(&[], &second),
    ];
    service.push_events(pushes).await.unwrap();

    assert_eq!(*router.asked.lock(), [["alice", "bob", "nobody"]]);
    let seen = |name: &str| -> Vec<(Arc<Event>, Vec<u64>)> {
        let calls = proxies.get(name).deliver_calls.lock();
        assert_eq!(calls.len(), 1);
        let one = |delivery: &Delivery| {
            let Payload::Event(event) = &delivery.payload else { panic!("not an event") };
            assert!(delivery.receivers.iter().all(|receiver| receiver.inbox_seq == 0));
            (event.clone(), delivery.receivers.iter().map(|receiver| receiver.connection.0).collect())
        };
        calls[0].iter().map(one).collect()
    };
    assert_eq!(seen("p1"), [(first.clone(), vec![3]), (second.clone(), vec![1])]);
    assert_eq!(seen("p2"), [(first, vec![2]), (second, vec![2])]);
}

#[tokio::test]
async fn memberships_reach_every_connection_of_a_user_in_their_order() {
    let router = Arc::new(FixedRouter {
        users: [
            (user("alice"), located(&[("p1", 1), ("p2", 2)])),
            (user("bob"), located(&[("p1", 3), ("gone", 4)])),
        ]
        .into(),
        ..FixedRouter::default()
    });
    let proxies = Named::new(&[("p1", Mood::Takes), ("p2", Mood::Takes)]);
    let service = Service::new(router.clone(), deliverer(&proxies));
    let memberships = vec![
        membership("alice", "g", 5, true),
        membership("bob", "g", 5, true),
        membership("nobody", "g", 5, true),
        membership("alice", "g", 6, false),
    ];
    service.set_memberships(memberships).await.unwrap();
    assert_eq!(router.asked.lock().len(), 1);
    let of = |connection, version, member| (connection, "g".to_owned(), version, member);
    assert_eq!(commanded(proxies.get("p1")), [of(1, 5, true), of(3, 5, true), of(1, 6, false)]);
    assert_eq!(commanded(proxies.get("p2")), [of(2, 5, true), of(2, 6, false)]);
}

#[tokio::test]
async fn a_proxy_that_did_not_take_a_membership_is_told_and_the_others_have_it() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let router = Arc::new(FixedRouter {
            users: [(user("alice"), located(&[("p1", 1), ("p2", 2)]))].into(),
            ..FixedRouter::default()
        });
        let proxies = Named::new(&[("p1", mood), ("p2", Mood::Takes)]);
        let service = Service::new(router, deliverer(&proxies));
        let error = service.set_memberships(vec![membership("alice", "g", 5, true)]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(commanded(proxies.get("p2")).len(), 1);
    }
}

#[tokio::test]
async fn a_membership_is_to_be_said_again_while_a_proxy_may_hold_connections_nobody_knows_of() {
    let unannounced = Located { unannounced: vec![server("p9")], ..located(&[("p1", 1)]) };
    let router =
        Arc::new(FixedRouter { users: [(user("alice"), unannounced)].into(), ..FixedRouter::default() });
    let proxies = Named::new(&[("p1", Mood::Takes)]);
    let service = Service::new(router, deliverer(&proxies));
    let error = service.set_memberships(vec![membership("alice", "g", 5, true)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(commanded(proxies.get("p1")).len(), 1);
}

#[tokio::test]
async fn what_is_not_known_is_not_said_to_be_offline() {
    let devices = |names: &[&str], unannounced: &[&str]| Devices {
        devices: names.iter().map(|name| DeviceId::new(name).unwrap()).collect(),
        unannounced: unannounced.iter().copied().map(server).collect(),
    };
    let router = Arc::new(FixedRouter {
        devices: [
            (user("alice"), devices(&["phone", "web"], &[])),
            (user("bob"), devices(&["web"], &["p9"])),
            (user("carol"), devices(&[], &["p9"])),
        ]
        .into(),
        ..FixedRouter::default()
    });
    let service = Service::new(router, deliverer(&Named::new(&[])));
    let users = ["dave", "carol", "alice", "bob", "alice"].map(user);
    let whereabouts = service.whereabouts(&users).await.unwrap();
    let online =
        |names: &[&str]| Whereabouts::Online(names.iter().map(|name| DeviceId::new(name).unwrap()).collect());
    let alice = online(&["phone", "web"]);
    let expected = [Whereabouts::Offline, Whereabouts::Unknown, alice.clone(), online(&["web"]), alice];
    assert_eq!(whereabouts, expected);
}

#[tokio::test]
async fn a_router_that_fails_is_told_to_whoever_asked() {
    let router = Arc::new(FixedRouter { fails: true, ..FixedRouter::default() });
    let service = Service::new(router, deliverer(&Named::new(&[])));
    let outcomes = [
        service.push_events(vec![event(&["alice"], &typing("bob"))]).await.unwrap_err(),
        service.set_memberships(vec![membership("alice", "g", 1, true)]).await.unwrap_err(),
        service.whereabouts(&[user("alice")]).await.unwrap_err(),
    ];
    assert!(outcomes.iter().all(|error| error.kind() == Kind::Unavailable));
}

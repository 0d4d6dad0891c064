//! Who replaces whom, and who has come and gone.

use contracts::router::Handle;
use protocol::Identifier;
use tokio::sync::mpsc;

use super::*;

fn empty(rule: DeviceRule) -> (Directory, mpsc::Receiver<Change>) {
    let (feed, changes) = Feed::open();
    (Directory::new(4, 1, rule, feed), changes)
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn registration(server: &str, handle: u64, user_name: &str, device: &str, key: &str) -> Registration {
    Registration {
        server: ServerId(server.into()),
        number: handle,
        handle: Handle(handle),
        user: UserId::new(user_name).ok(),
        device: DeviceId::new(device).unwrap(),
        platform: String::new(),
        key: key.to_owned(),
        connection: None,
    }
}

fn unregistration(server: &str, registered: &Registered, user_name: &str) -> Unregistration {
    Unregistration {
        server: ServerId(server.into()),
        number: 9,
        connection: registered.connection,
        user: UserId::new(user_name).ok(),
        key: registered.key.clone(),
    }
}

fn handles(located: &Located) -> Vec<u64> {
    let mut handles: Vec<u64> = located.routes.iter().map(|route| route.handle.0).collect();
    handles.sort_unstable();
    handles
}

/// (handle, code) of what gave way.
fn replaced(registered: &Registered) -> Vec<(u64, CloseCode)> {
    let mut replaced: Vec<(u64, CloseCode)> =
        registered.replaced.iter().map(|one| (one.route.handle.0, one.code)).collect();
    replaced.sort_unstable_by_key(|(handle, _)| *handle);
    replaced
}

/// (user, online) of the changes told so far, whose numbers must rise.
fn told(changes: &mut mpsc::Receiver<Change>) -> Vec<(String, bool)> {
    let mut last = 0;
    let mut told = Vec::new();
    while let Ok(change) = changes.try_recv() {
        assert!(change.number > last, "number {} after {last}", change.number);
        last = change.number;
        told.push((change.user.to_string(), change.online));
    }
    told
}

#[test]
fn all_devices_of_a_user_are_found_and_an_unknown_user_is_not() {
    let (directory, _changes) = empty(DeviceRule::All);
    directory.register(registration("p1", 1, "alice", "phone", ""));
    directory.register(registration("p2", 2, "alice", "web", ""));
    assert_eq!(handles(&directory.locate_user(&user("alice"))), [1, 2]);
    assert_eq!(directory.locate_user(&user("bob")), Located::default());
}

#[test]
fn a_late_disconnect_does_not_remove_the_connection_that_replaced_it() {
    let (directory, _changes) = empty(DeviceRule::All);
    let older = directory.register(registration("p1", 1, "alice", "phone", "k"));
    let newer = directory.register(registration("p2", 2, "alice", "phone", "k"));
    let route = Route { server: ServerId("p1".into()), connection: older.connection, handle: Handle(1) };
    assert_eq!(newer.replaced, [Replaced { route, code: CloseCode::ReplacedByDevice }]);

    directory.unregister(&unregistration("p1", &older, "alice"));
    assert_eq!(handles(&directory.locate_user(&user("alice"))), [2]);
    assert_eq!(handles(&directory.locate_key("k")), [2]);

    directory.unregister(&unregistration("p1", &newer, "alice"));
    assert_eq!(handles(&directory.locate_key("k")), [2], "another proxy removed it");
    directory.unregister(&unregistration("p2", &newer, "alice"));
    assert_eq!(directory.locate_user(&user("alice")), Located::default());
    assert_eq!(directory.locate_key("k"), Located::default());
}

#[test]
fn the_key_of_a_replaced_device_finds_nobody() {
    let (directory, _changes) = empty(DeviceRule::All);
    let older = directory.register(registration("p1", 1, "alice", "phone", ""));
    let newer = directory.register(registration("p1", 2, "alice", "phone", ""));
    assert_eq!(newer.replaced[0].route.connection, older.connection);
    assert_eq!(older.key, older.connection.to_string());
    assert_eq!(directory.locate_key(&older.key), Located::default());
    assert_eq!(handles(&directory.locate_key(&newer.key)), [2]);
}

#[test]
fn a_key_belongs_to_the_newer_connection_whatever_its_user() {
    let (directory, _changes) = empty(DeviceRule::All);
    directory.register(registration("p1", 1, "alice", "phone", "k"));
    let newer = directory.register(registration("p1", 2, "", "phone", "k"));
    assert_eq!(newer.replaced[0].route.handle, Handle(1));
    assert_eq!(directory.locate_user(&user("alice")), Located::default());
    assert_eq!(handles(&directory.locate_key("k")), [2]);
}

#[test]
fn one_registration_may_replace_a_device_and_a_key() {
    let (directory, _changes) = empty(DeviceRule::All);
    directory.register(registration("p1", 1, "alice", "phone", "one"));
    directory.register(registration("p1", 2, "bob", "phone", "two"));
    let newer = directory.register(registration("p1", 3, "alice", "phone", "two"));
    assert_eq!(replaced(&newer), [(1, CloseCode::ReplacedByDevice), (2, CloseCode::ReplacedByDevice)]);
    assert_eq!(directory.locate_key("one"), Located::default());
    assert_eq!(directory.locate_user(&user("bob")), Located::default());
}

#[test]
fn an_allotted_key_cannot_be_taken_by_naming_it() {
    let (directory, _changes) = empty(DeviceRule::All);
    let alice = directory.register(registration("p1", 1, "alice", "phone", ""));
    let thief = directory.register(registration("p1", 2, "", "goim", &alice.key));
    assert_ne!(thief.key, alice.key);
    assert_eq!(thief.replaced, []);
    assert_eq!(handles(&directory.locate_key(&alice.key)), [1]);
}

#[test]
fn a_connection_that_is_announced_again_keeps_its_id() {
    let (directory, _changes) = empty(DeviceRule::All);
    let first = directory.register(registration("p1", 1, "alice", "phone", ""));
    let again = Registration {
        connection: Some(first.connection),
        key: first.key.clone(),
        ..registration("p1", 1, "alice", "phone", "")
    };
    let again = directory.register(again);
    assert_eq!((again.connection, again.key, again.replaced), (first.connection, first.key, vec![]));
    assert_eq!(handles(&directory.locate_user(&user("alice"))), [1]);
}

#[test]
fn ids_of_two_epochs_are_distinct() {
    let ids = [1, 2].map(|epoch| {
        let directory = Directory::new(4, epoch, DeviceRule::All, Feed::open().0);
        directory.register(registration("p1", 1, "alice", "phone", "")).connection
    });
    assert!(ids[0] < ids[1]);
}

#[test]
fn both_maps_agree_after_a_race_for_one_device_and_one_key() {
    let (directory, _changes) = empty(DeviceRule::All);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let directory = &directory;
            scope.spawn(move || {
                for round in 0..2_000 {
                    let name = ["alice", "bob"][(round % 2) as usize];
                    let key = ["k1", "k2", "k3"][(round % 3) as usize];
                    directory.register(registration("p1", thread * 10_000 + round, name, "phone", key));
                }
            });
        }
    });
    let mut by_user: Vec<u64> =
        ["alice", "bob"].iter().flat_map(|name| handles(&directory.locate_user(&user(name)))).collect();
    let mut by_key: Vec<u64> =
        ["k1", "k2", "k3"].iter().flat_map(|key| handles(&directory.locate_key(key))).collect();
    by_user.sort_unstable();
    by_key.sort_unstable();
    assert_eq!(by_user, by_key);
}

#[test]
fn a_user_has_one_device_of_each_platform_where_the_rule_says_so() {
    let (directory, _changes) = empty(DeviceRule::OnePerPlatform);
    let on = |handle, device: &str, platform: &str| {
        let registration = registration("p1", handle, "alice", device, "");
        directory.register(Registration { platform: platform.to_owned(), ..registration })
    };
    assert_eq!(replaced(&on(1, "phone", "ios")), []);
    assert_eq!(replaced(&on(2, "laptop", "web")), []);
    assert_eq!(replaced(&on(3, "tablet", "ios")), [(1, CloseCode::ReplacedByLogin)]);
    assert_eq!(replaced(&on(4, "laptop", "web")), [(2, CloseCode::ReplacedByDevice)]);
    assert_eq!(
        replaced(&on(5, "laptop", "ios")),
        [(3, CloseCode::ReplacedByLogin), (4, CloseCode::ReplacedByDevice)]
    );
    assert_eq!(handles(&directory.locate_user(&user("alice"))), [5]);
}

#[test]
fn a_user_has_one_device_where_the_rule_says_so_and_nobody_else_is_meant() {
    let (directory, _changes) = empty(DeviceRule::Single);
    let older = directory.register(registration("p1", 1, "alice", "phone", ""));
    directory.register(registration("p1", 2, "bob", "phone", ""));
    directory.register(registration("p1", 3, "", "phone", "a"));
    directory.register(registration("p1", 4, "", "web", "b"));
    let newer = directory.register(registration("p1", 5, "alice", "web", ""));
    assert_eq!(replaced(&newer), [(1, CloseCode::ReplacedByLogin)]);
    assert_eq!(directory.locate_key(&older.key), Located::default());
    let devices = directory.devices(&user("alice")).devices;
    assert_eq!(devices, [DeviceId::new("web").unwrap()]);
    for key in ["a", "b"] {
        assert_eq!(directory.locate_key(key).routes.len(), 1, "an anonymous connection has no rule");
    }
}

#[test]
fn devices_are_told_in_the_order_they_came() {
    let (directory, _changes) = empty(DeviceRule::All);
    for (handle, device) in [(1, "phone"), (2, "web"), (3, "tablet"), (4, "phone")] {
        directory.register(registration("p1", handle, "alice", device, ""));
    }
    let devices = directory.devices(&user("alice")).devices;
    assert_eq!(devices, ["web", "tablet", "phone"].map(|name| DeviceId::new(name).unwrap()));
    assert_eq!(directory.devices(&user("bob")), Devices::default());
}

#[test]
fn of_devices_that_race_exactly_one_stays_and_each_other_gives_way_once() {
    let (directory, mut changes) = empty(DeviceRule::Single);
    let gave_way: Vec<u64> = std::thread::scope(|scope| {
        let register = |thread: u64| {
            let directory = &directory;
            scope.spawn(move || {
                let devices = (0..500).map(|round| {
                    let handle = thread * 1_000 + round;
                    let key = if round % 2 == 0 { "" } else { "k" };
                    registration("p1", handle, "alice", &handle.to_string(), key)
                });
                devices.flat_map(|device| replaced(&directory.register(device))).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(register).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).map(|(handle, _)| handle).collect()
    });
    let staying = handles(&directory.locate_user(&user("alice")));
    assert_eq!((staying.len(), gave_way.len()), (1, 1_999));
    let mut all = [gave_way, staying].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2_000);
    assert_eq!(told(&mut changes), [("alice".to_owned(), true)]);
}

#[test]
fn one_that_is_announced_again_gives_way_to_a_newer_one_whatever_the_order() {
    let first = Directory::new(4, 1, DeviceRule::Single, Feed::open().0);
    let older = first.register(registration("p1", 1, "alice", "phone", "k"));
    let newer = first.register(registration("p2", 2, "alice", "web", "k"));
    let again = |handle, device, registered: &Registered| Registration {
        connection: Some(registered.connection),
        ..registration("p1", handle, "alice", device, &registered.key)
    };
    for rule in [DeviceRule::All, DeviceRule::Single] {
        let second = Directory::new(4, 2, rule, Feed::open().0);
        assert_eq!(second.register(again(2, "web", &newer)).replaced, []);
        let code =
            if rule == DeviceRule::All { CloseCode::ReplacedByDevice } else { CloseCode::ReplacedByLogin };
        assert_eq!(replaced(&second.register(again(1, "phone", &older))), [(1, code)]);
        assert_eq!(handles(&second.locate_user(&user("alice"))), [2]);
        assert_eq!(handles(&second.locate_key("k")), [2]);
        // The other order leaves the same one.
        let second = Directory::new(4, 2, rule, Feed::open().0);
        assert_eq!(second.register(again(1, "phone", &older)).replaced, []);
        assert_eq!(replaced(&second.register(again(2, "web", &newer))).len(), 1);
        assert_eq!(handles(&second.locate_user(&user("alice"))), [2]);
    }
}

#[test]
fn a_user_comes_with_the_first_connection_and_goes_with_the_last() {
    let (directory, mut changes) = empty(DeviceRule::All);
    let phone = directory.register(registration("p1", 1, "alice", "phone", ""));
    let web = directory.register(registration("p1", 2, "alice", "web", ""));
    directory.register(registration("p1", 3, "", "web", ""));
    directory.unregister(&unregistration("p1", &phone, "alice"));
    assert_eq!(told(&mut changes), [("alice".to_owned(), true)]);
    directory.unregister(&unregistration("p1", &web, "alice"));
    directory.unregister(&unregistration("p1", &web, "alice"));
    assert_eq!(told(&mut changes), [("alice".to_owned(), false)]);
}

#[test]
fn who_is_replaced_neither_goes_nor_comes() {
    for rule in [DeviceRule::All, DeviceRule::Single] {
        let (directory, mut changes) = empty(rule);
        let older = directory.register(registration("p1", 1, "alice", "phone", "k"));
        // The same device, then another one with the same key.
        directory.register(registration("p1", 2, "alice", "phone", "k"));
        directory.register(registration("p1", 3, "alice", "web", "k"));
        directory.unregister(&unregistration("p1", &older, "alice"));
        assert_eq!(told(&mut changes), [("alice".to_owned(), true)]);
        assert_eq!(handles(&directory.locate_user(&user("alice"))), [3]);
    }
}

#[test]
fn whose_key_another_user_takes_goes() {
    let (directory, mut changes) = empty(DeviceRule::All);
    directory.register(registration("p1", 1, "alice", "phone", "k"));
    directory.register(registration("p1", 2, "bob", "phone", "k"));
    let told = told(&mut changes);
    assert_eq!(told, [("alice".to_owned(), true), ("bob".to_owned(), true), ("alice".to_owned(), false)]);
}

#[test]
fn users_of_a_proxy_that_expires_go_unless_they_are_elsewhere_too() {
    let (directory, mut changes) = empty(DeviceRule::All);
    directory.register(registration("p1", 1, "alice", "phone", ""));
    directory.register(registration("p1", 2, "bob", "phone", ""));
    directory.register(registration("p2", 3, "bob", "web", ""));
    told(&mut changes);
    let (connection_count, gone) = directory.expire(&ServerId("p1".into()));
    assert_eq!(connection_count, 2);
    let gone: Vec<_> = gone.iter().map(|change| (change.user.as_str(), change.online)).collect();
    assert_eq!(gone, [("alice", false)]);
    assert_eq!(handles(&directory.locate_user(&user("bob"))), [3]);
}

#[test]
fn comings_and_goings_of_a_user_alternate_in_a_race() {
    let (directory, mut changes) = empty(DeviceRule::All);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let directory = &directory;
            scope.spawn(move || {
                for _ in 0..1_000 {
                    let device = thread.to_string();
                    let registered = directory.register(registration("p1", thread, "alice", &device, ""));
                    directory.unregister(&unregistration("p1", &registered, "alice"));
                }
            });
        }
    });
    let told = told(&mut changes);
    assert!(told.iter().enumerate().all(|(index, (_, online))| *online == (index % 2 == 0)));
    assert_eq!(told.last(), Some(&("alice".to_owned(), false)));
}

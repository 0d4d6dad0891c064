//! Where users are, and what those who watch are told.

use backends::broker::{Record, Subscription, Topic};
use contracts::push::Whereabouts;
use contracts::router::PresenceRecord;
use prost::Message as _;
use protocol::client::{Block, Presence, PresencePush, UserPresence, Watch};
use protocol::codec::Event;

use super::*;

async fn presence(running: &Running, name: &str, users: &[&str]) -> Result<Vec<UserPresence>> {
    ask!(running, name, Presence, Presence { users: names(users) }).map(|reply| reply.users)
}

fn status(name: &str, online: Option<bool>, devices: &[&str], last_seen_ms: u64) -> UserPresence {
    UserPresence { user: name.to_owned(), online, devices: names(devices), last_seen_ms }
}

fn with_bob_and_carol() -> Arc<Remembering> {
    let push = Arc::new(Remembering::new());
    let devices = ["phone", "web"].map(|name| DeviceId::new(name).unwrap());
    let mut whereabouts = push.whereabouts.lock();
    whereabouts.insert(user("bob"), Whereabouts::Online(devices.to_vec()));
    whereabouts.insert(user("carol"), Whereabouts::Unknown);
    drop(whereabouts);
    push
}

#[tokio::test]
async fn users_are_online_offline_or_not_known() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &with_bob_and_carol());
    backends.store.set_last_seen(vec![(user("dave"), 5_000), (user("carol"), 7_000)]).await.unwrap();
    let found = presence(&running, "alice", &["dave", "bob", "carol", "erin"]).await.unwrap();
    let expected = [
        status("dave", Some(false), &[], 5_000),
        status("bob", Some(true), &["phone", "web"], 0),
        status("carol", None, &[], 7_000),
        status("erin", Some(false), &[], 0),
    ];
    assert_eq!(found, expected);
    assert_eq!(presence(&running, "alice", &[]).await.unwrap(), []);
    assert_eq!(code_of(presence(&running, "alice", &["bob", ""]).await), Code::InvalidArgument);
    assert_eq!(code_of(presence(&running, "alice", &["bob"; 1_001]).await), Code::TooLarge);
}

#[tokio::test]
async fn who_is_blocked_sees_nobody_and_cannot_watch() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &with_bob_and_carol());
    backends.store.set_last_seen(vec![(user("bob"), 5_000)]).await.unwrap();
    ask!(running, "bob", Block, Block { user: "mallory".to_owned() }).unwrap();
    let found = presence(&running, "mallory", &["bob", "carol"]).await.unwrap();
    assert_eq!(found, [status("bob", Some(false), &[], 0), status("carol", None, &[], 0)]);
    let watch = |users| Watch { users: names(users) };
    let error = ask!(running, "mallory", Watch, watch(&["carol", "bob"])).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("bob")), (Code::NotAllowed, true), "{error}");
    let watched = ask!(running, "alice", Watch, watch(&["bob"])).unwrap().users;
    assert_eq!(watched, [status("bob", Some(true), &["phone", "web"], 5_000)]);
    assert_eq!(code_of(ask!(running, "alice", Watch, watch(&["bob"; 1_001]))), Code::TooLarge);
}

fn record(name: &str, online: bool, epoch: u64, number: u64, time_ms: u64) -> Record {
    let record = PresenceRecord { user: name.to_owned(), online, epoch, number, time_ms };
    Record { key: Bytes::copy_from_slice(name.as_bytes()), value: record.encode_to_vec().into() }
}

/// The next events that were published for those who watch, each with its room.
async fn published(topic: &mut Box<dyn Subscription>, count: usize) -> Vec<(String, PresencePush)> {
    let mut found = Vec::new();
    while found.len() < count {
        let delivered = tokio::time::timeout(Duration::from_secs(20), topic.next(100)).await;
        for one in delivered.expect("nothing was published").unwrap() {
            let record = contracts::push::Record::decode(one.value).unwrap();
            assert_eq!(one.key, record.room.as_bytes(), "a room's records must keep their order");
            let Some(Event::Presence(push)) = record.event.and_then(|push| push.event) else {
                panic!("not presence");
            };
            found.push((record.room, push));
        }
    }
    found
}

#[tokio::test]
async fn those_who_watch_are_told_who_comes_and_goes_and_nothing_late() {
    let backends = Backends::open().await;
    let mut topic = backends.broker.subscribe(Topic::Push, "push").await.unwrap();
    let _running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    // A topic that is not durable gives what comes after its reader, who is there once the first is told.
    let begun = async {
        loop {
            let first = vec![record("first", true, 1, 1, 1)];
            backends.broker.publish(Topic::Presence, first).await.unwrap();
            let told = tokio::time::timeout(Duration::from_millis(20), topic.next(100)).await;
            if told.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), begun).await.unwrap();
    let records = vec![
        record("bob", true, 1, 10, 1_000),
        record("bob", false, 1, 12, 2_000),
        record("bob", true, 1, 11, 1_500),
        record("bob", false, 1, 12, 9_000),
        Record { key: Bytes::new(), value: Bytes::from_static(&[0xff; 3]) },
        record("", true, 1, 13, 1),
        record("bob", true, 2, 1, 3_000),
        record("carol", false, 1, 14, 4_000),
    ];
    backends.broker.publish(Topic::Presence, records).await.unwrap();
    let push =
        |name: &str, online, last_seen_ms| PresencePush { user: name.to_owned(), online, last_seen_ms };
    let found = published(&mut topic, 4).await;
    let events: Vec<PresencePush> = found.iter().map(|(_, push)| push.clone()).collect();
    let (first, last) = (&events[0], &events[1..]);
    assert_eq!((first.user.as_str(), first.online), ("bob", true));
    assert_eq!(last, [push("bob", false, 2_000), push("bob", true, 2_000), push("carol", false, 4_000)]);
    assert_eq!(found[0].0, protocol::RoomId::of_watchers(&user("bob")).to_string());
    let seen = backends.store.last_seen(&[user("bob"), user("carol")]).await.unwrap();
    assert_eq!(seen, [2_000, 4_000]);
}

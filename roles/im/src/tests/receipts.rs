//! Receipts: who is told what was read and delivered, and who has read.

use contracts::im::Position;
use protocol::client::{GroupInvite, GroupLeave, Readers, ReadersReply, Receipt};
use protocol::codec::Event;

use super::conversations::{read, remove};
use super::*;

const CHAT: &str = "single:5:alice:bob";

/// The receipts that were pushed, each with those whom it was told.
fn receipts(push: &Remembering) -> Vec<(Vec<String>, Receipt)> {
    let told = push.told.borrow();
    let receipt = |push: &contracts::push::EventPush| match &*push.event {
        Event::Receipt(receipt) => {
            Some((push.users.iter().map(ToString::to_string).collect(), receipt.clone()))
        }
        _ => None,
    };
    told.iter().filter_map(receipt).collect()
}

/// Waits until a receipt of something that is told after all that was done before.
async fn until_all_told(running: &Running, push: &Remembering) {
    running.say("last", "witness", "last").await.unwrap();
    read(running, "witness", "single:4:last:witness", 1).await.unwrap();
    push.until_told(|event| matches!(event, Event::Receipt(told) if told.user == "witness")).await;
}

async fn readers(running: &Running, name: &str, conversation: &str, seq: u64) -> Result<ReadersReply> {
    let request = Readers { conversation: conversation.to_owned(), seq };
    ask!(running, name, Readers, request)
}

#[tokio::test]
async fn a_read_is_told_to_the_other_one_of_a_single_chat_once() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.say("alice", "bob", "c-1").await.unwrap();
    running.say("alice", "bob", "c-2").await.unwrap();
    assert_eq!(read(&running, "bob", CHAT, 2).await.unwrap(), 2);
    assert_eq!(read(&running, "bob", CHAT, 2).await.unwrap(), 2, "again");
    assert_eq!(read(&running, "bob", CHAT, 1).await.unwrap(), 2, "it is never lowered");
    assert_eq!(read(&running, "bob", CHAT, 99).await.unwrap(), 2, "at most what there is");
    until_all_told(&running, &push).await;
    let told = receipts(&push);
    let (users, receipt) = told.first().unwrap();
    assert_eq!((users, told.len()), (&vec!["alice".to_owned()], 2), "{told:?}");
    let expected = Receipt {
        conversation: CHAT.to_owned(),
        user: "bob".to_owned(),
        device: "phone".to_owned(),
        delivered: None,
        read: Some(2),
    };
    assert_eq!(*receipt, expected);
}

#[tokio::test]
async fn a_read_in_a_group_is_told_to_those_who_wrote_what_was_read() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("team", &["alice", "bob", "carol", "dave", "erin"], "").await;
    let team = "group:team";
    for name in ["alice", "bob", "carol", "alice", "erin"] {
        running.say_in("team", name, name).await.ok();
    }
    running.say_in("team", "dave", "later").await.unwrap();
    remove(&running, "team", "erin").await;
    // The row that made it is 1; alice wrote 2, bob 3, carol 4, alice's second is the first one again, erin 5.
    read(&running, "bob", team, 5).await.unwrap();
    until_all_told(&running, &push).await;
    let told = receipts(&push);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].0, ["alice", "carol"], "not bob himself, not dave above it, not erin who has gone");
    assert_eq!((told[0].1.conversation.as_str(), told[0].1.read), (team, Some(5)));
    read(&running, "bob", team, 6).await.unwrap();
    push.until_told(|event| matches!(event, Event::Receipt(told) if told.read == Some(6))).await;
    assert_eq!(receipts(&push).pop().unwrap().0, ["dave"]);
}

#[tokio::test]
async fn a_read_in_a_super_group_is_told_to_nobody_else() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("crowd", &["alice", "bob"], "super").await;
    let crowd = "group:crowd";
    running.say_in("crowd", "alice", "c-1").await.unwrap();
    assert_eq!(read(&running, "bob", crowd, 2).await.unwrap(), 2);
    until_all_told(&running, &push).await;
    assert_eq!(receipts(&push).len(), 1, "{:?}", receipts(&push));
    assert_eq!(code_of(readers(&running, "alice", crowd, 2).await), Code::Unsupported);
}

#[tokio::test]
async fn what_one_has_no_part_in_cannot_be_read() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    running.group("team", &["alice", "bob"], "").await;
    let team = "group:team";
    for conversation in [CHAT, team, "group:nowhere", "", "single:"] {
        assert_eq!(
            code_of(read(&running, "mallory", conversation, 1).await),
            Code::NotFound,
            "{conversation}"
        );
        assert_eq!(
            code_of(readers(&running, "mallory", conversation, 1).await),
            Code::NotFound,
            "{conversation}"
        );
    }
}

#[tokio::test]
async fn the_readers_of_a_message_are_those_who_could_see_it_without_its_sender() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("team", &["alice", "bob", "carol", "dave"], "").await;
    let team = "group:team";
    running.say_in("team", "alice", "c-1").await.unwrap();
    assert_eq!(readers(&running, "alice", team, 2).await.unwrap().count, 0, "alice wrote it");
    read(&running, "bob", team, 2).await.unwrap();
    running.say_in("team", "carol", "c-2").await.unwrap();
    let invite = GroupInvite { group: "team".to_owned(), users: names(&["erin"]) };
    ask!(running, "alice", GroupInvite, invite).unwrap();
    running.say_in("team", "alice", "c-3").await.unwrap();
    read(&running, "erin", team, 5).await.unwrap();

    let of_first = readers(&running, "dave", team, 2).await.unwrap();
    assert_eq!((of_first.count, of_first.users), (2, vec!["bob".to_owned(), "carol".to_owned()]));
    let of_second = readers(&running, "bob", team, 3).await.unwrap();
    assert_eq!(of_second.users, ["alice"], "who writes has read what is above");
    for (name, seq) in [("erin", 2), ("alice", 4), ("alice", 99), ("alice", 0)] {
        assert_eq!(code_of(readers(&running, name, team, seq).await), Code::NotFound, "{name}, {seq}");
    }
    ask!(running, "dave", GroupLeave, GroupLeave { group: "team".to_owned() }).unwrap();
    assert_eq!(code_of(readers(&running, "dave", team, 2).await), Code::NotAllowed, "dave has left");
    running.say("alice", "bob", "d-1").await.unwrap();
    assert_eq!(readers(&running, "alice", CHAT, 1).await.unwrap().count, 0);
    read(&running, "bob", CHAT, 1).await.unwrap();
    assert_eq!(readers(&running, "alice", CHAT, 1).await.unwrap().users, ["bob"]);
}

#[tokio::test]
async fn what_a_device_has_received_is_told_to_the_sender_once() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    for number in 0..3 {
        running.say("alice", "bob", &format!("a-{number}")).await.unwrap();
        running.say("carol", "bob", &format!("c-{number}")).await.unwrap();
    }
    running.say("bob", "alice", "own").await.unwrap();
    let device = DeviceId::new("phone").unwrap();
    let ack =
        |inbox_seq| vec![Position { user: user("bob"), device: DeviceId::new("phone").unwrap(), inbox_seq }];
    running.im().resume(&user("bob"), &device, None).await.unwrap();
    running.im().ack(ack(4)).await.unwrap();
    push.until_told(|event| matches!(event, Event::Receipt(_))).await;
    running.im().ack(ack(4)).await.unwrap();
    running.im().ack(ack(3)).await.unwrap();
    running.im().ack(ack(7)).await.unwrap();
    until_all_told(&running, &push).await;
    let told = receipts(&push);
    let delivered: Vec<(&str, Option<u64>)> = told
        .iter()
        .filter(|(_, told)| told.user == "bob")
        .map(|(to, told)| (to[0].as_str(), told.delivered))
        .collect();
    let expected = [("alice", Some(2)), ("carol", Some(2)), ("alice", Some(3)), ("carol", Some(3))];
    let mut sorted = delivered.clone();
    sorted.sort_unstable_by_key(|(name, seq)| (*seq, *name));
    assert_eq!(sorted, expected, "{delivered:?}");
    assert!(told.iter().filter(|(_, told)| told.user == "bob").all(|(_, told)| told.device == "phone"));

    // What the device holds when it comes back was told before.
    running.im().resume(&user("bob"), &device, None).await.unwrap();
    running.im().ack(ack(7)).await.unwrap();
    running.say("alice", "bob", "a-4").await.unwrap();
    running.im().ack(ack(8)).await.unwrap();
    push.until_told(|event| matches!(event, Event::Receipt(told) if told.delivered == Some(5))).await;
    let told = receipts(&push);
    assert_eq!(told.last().map(|(to, told)| (to[0].as_str(), told.delivered)), Some(("alice", Some(5))));
}

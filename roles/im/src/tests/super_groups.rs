//! Super groups: made as such or converted, and the way of their rows.

use contracts::im::SuperGroup;
use futures_util::future::join_all;
use protocol::client::{
    GroupDismiss, GroupInfo, GroupInvite, GroupJoin, GroupLeave, GroupRemove, GroupUpdate,
};

use super::*;

fn group_of(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

fn invite(users: &[&str]) -> GroupInvite {
    GroupInvite { group: "g".to_owned(), users: names(users) }
}

/// A small line, and a sweep that comes often.
fn small() -> Config {
    Config { group_members_max: 3, ..hurried() }
}

fn published(did: &[Did]) -> Vec<u64> {
    let seq = |did: &Did| match did {
        Did::Published(row) => Some(row.seq),
        Did::Commanded(_) => None,
    };
    did.iter().filter_map(seq).collect()
}

fn place_of(did: &[Did], wanted: impl Fn(&Did) -> bool) -> usize {
    did.iter().position(wanted).unwrap_or_else(|| panic!("it was not done: {did:?}"))
}

fn commands(name: &str, version: u64, member: bool) -> impl Fn(&Did) -> bool {
    let wanted = (name.to_owned(), version, member);
    move |did| matches!(did, Did::Commanded(commands) if commands.contains(&wanted))
}

fn publishes(seq: u64) -> impl Fn(&Did) -> bool {
    move |did| matches!(did, Did::Published(row) if row.seq == seq)
}

#[tokio::test]
async fn a_message_goes_to_the_room_and_into_no_inbox() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("g", &["alice", "bob", "carol"], "super").await;
    let reply = running.say_in("g", "bob", "c-1").await.unwrap();
    assert_eq!((reply.conversation.as_str(), reply.seq, reply.inbox_seq), ("group:g", 2, None));

    let did = push.until_published(2).await;
    let created = place_of(&did, commands("bob", 1, true));
    assert!(created < place_of(&did, publishes(1)), "a row came before its members were commanded: {did:?}");
    let Did::Published(row) = &did[place_of(&did, publishes(2))] else { unreachable!() };
    assert_eq!((row.message_id, row.group.as_deref(), row.inbox_seq), (reply.message_id, Some("g"), None));
    backends.until_no_intents().await;
    assert_eq!(backends.waiting_for_consumer().await, [0_u64; 0]);
    assert_eq!(running.im().inbox_tops(&[user("bob"), user("carol")]).await.unwrap(), [0, 0]);
    assert_eq!(running.im().group_tops(&[conversation("g"), conversation("h")]).await.unwrap(), [2, 0]);
    let super_groups = running.im().super_groups(&user("carol")).await.unwrap();
    assert_eq!(super_groups, [SuperGroup { group: group_of("g"), version: 1 }]);
    assert_eq!(running.im().super_groups(&user("dave")).await.unwrap(), []);
    ask!(running, "alice", GroupDismiss, GroupDismiss { group: "g".to_owned() }).unwrap();
    assert_eq!(running.im().super_groups(&user("carol")).await.unwrap(), [], "it has ended");
}

#[tokio::test]
async fn a_group_made_over_the_line_is_a_super_group() {
    let backends = Backends::open().await;
    let running = backends.start(small(), &Arc::new(Remembering::new()));
    running.group("g", &["alice", "bob", "carol"], "").await;
    running.group("h", &["alice", "bob", "carol", "dave"], "").await;
    let kind = async |group: &str| {
        ask!(running, "bob", GroupInfo, GroupInfo { group: group.to_owned() }).unwrap().kind
    };
    assert_eq!((kind("g").await, kind("h").await), ("group".to_owned(), "super".to_owned()));
}

#[tokio::test]
async fn two_invites_that_cross_the_line_convert_the_group_once() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(small(), &push);
    let other = backends.start(small(), &push);
    running.group("g", &["alice", "bob", "carol"], "").await;
    running.say_in("g", "bob", "before").await.unwrap();
    let race = join_all([
        running.ask("alice", RequestKind::GroupInvite(invite(&["dave"]))),
        other.ask("alice", RequestKind::GroupInvite(invite(&["erin"]))),
    ]);
    race.await.into_iter().for_each(|reply| assert!(reply.is_ok(), "{reply:?}"));
    running.say_in("g", "bob", "after").await.unwrap();
    assert_eq!(backends.kinds_of("g").await, ["created", "", "converted", "invited", "invited", ""]);
    let ways: Vec<FanOut> = backends.rows_of("g").await.into_iter().map(|(_, fan_out)| fan_out).collect();
    assert_eq!((&ways[..3], &ways[3..]), (&[FanOut::OnWrite; 3][..], &[FanOut::OnRead; 3][..]));
    assert_eq!(ask!(running, "bob", GroupInfo, GroupInfo { group: "g".to_owned() }).unwrap().member_count, 5);
}

#[tokio::test]
async fn nothing_above_a_conversion_comes_before_what_stands_below_it() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(small(), &push);
    running.group("g", &["alice", "bob", "carol"], "").await;
    running.say_in("g", "bob", "before").await.unwrap();
    ask!(running, "alice", GroupInvite, invite(&["dave"])).unwrap();
    running.say_in("g", "bob", "after").await.unwrap();
    // As long as consumer has not written them, the sweep tries in vain.
    running.group("h", &["alice", "bob"], "super").await;
    push.until_published(1).await;
    assert_eq!(published(&push.did.borrow()), [1], "only the other group's row may be there");
    let left = backends.intents().await;
    let left = left.iter().filter(|intent| intent.message.conversation == conversation("g"));
    assert_eq!(left.map(|intent| intent.message.seq).collect::<Vec<u64>>(), [4, 5]);

    backends.fan_out("g").await;
    let did = push.until_published(5).await;
    backends.until_no_intents().await;
    let first_row = place_of(&did, publishes(4));
    for member in [commands("alice", 1, true), commands("bob", 1, true), commands("carol", 1, true)] {
        assert!(place_of(&did, member) < first_row, "a member was not in the room in time: {did:?}");
    }
    assert!(place_of(&did, commands("dave", 4, true)) < first_row);
    let bob = running.im().page(&user("bob"), 1, 0, 10).await.unwrap();
    let seqs: Vec<u64> = bob.messages.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [2, 3], "the inbox ends with the conversion");
}

#[tokio::test]
async fn the_owner_makes_a_super_group_of_a_group_and_it_is_never_undone() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(hurried(), &push);
    running.group("g", &["alice", "bob"], "").await;
    let update = |kind: &str, name: Option<&str>| GroupUpdate {
        group: "g".to_owned(),
        kind: Some(kind.to_owned()),
        name: name.map(ToOwned::to_owned),
        ..GroupUpdate::default()
    };
    ask!(running, "alice", GroupUpdate, update("group", None)).unwrap();
    ask!(running, "alice", GroupUpdate, update("super", Some("large"))).unwrap();
    ask!(running, "alice", GroupUpdate, update("super", Some("large"))).unwrap();
    assert_eq!(backends.kinds_of("g").await, ["created", "updated", "converted"]);
    assert_eq!(code_of(ask!(running, "alice", GroupUpdate, update("group", None))), Code::InvalidArgument);
    backends.fan_out("g").await;
    running.say_in("g", "bob", "c-1").await.unwrap();
    let did = push.until_published(4).await;
    assert!(place_of(&did, commands("bob", 1, true)) < place_of(&did, publishes(4)));
}

#[tokio::test]
async fn who_is_removed_is_out_of_the_room_before_anything_that_follows() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.group("g", &["alice", "bob", "carol"], "super").await;
    push.until_published(1).await;
    let remove = GroupRemove { group: "g".to_owned(), users: names(&["bob"]) };
    ask!(running, "alice", GroupRemove, remove).unwrap();
    push.until_published(2).await;
    running.say_in("g", "carol", "c-1").await.unwrap();
    ask!(running, "carol", GroupLeave, GroupLeave { group: "g".to_owned() }).unwrap();
    push.until_published(4).await;
    ask!(running, "alice", GroupInvite, invite(&["bob"])).unwrap();
    let did = push.until_published(5).await;
    for (change, seq) in
        [(commands("bob", 2, false), 2), (commands("carol", 4, false), 4), (commands("bob", 5, true), 5)]
    {
        assert!(place_of(&did, change) < place_of(&did, publishes(seq)), "seq {seq}: {did:?}");
    }
    assert_eq!(published(&did), [1, 2, 3, 4, 5]);
    assert_eq!(code_of(running.say_in("g", "carol", "c-2").await), Code::NotAllowed);
    running.say_in("g", "bob", "c-2").await.unwrap();
}

#[tokio::test]
async fn a_row_that_overtakes_a_removal_brings_it_along() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(unswept(), &push);
    running.group("g", &["alice", "bob", "carol"], "super").await;
    push.until_published(1).await;
    // Another process removes bob and ends before it hands that on.
    let ended = backends.start(unswept(), &push);
    push.open.send_replace(false);
    let remove = GroupRemove { group: "g".to_owned(), users: names(&["bob"]) };
    ask!(ended, "alice", GroupRemove, remove).unwrap();
    ended.service.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    push.open.send_replace(true);
    running.say_in("g", "carol", "c-1").await.unwrap();
    let did = push.until_published(3).await;
    assert!(place_of(&did, commands("bob", 2, false)) < place_of(&did, publishes(3)), "{did:?}");
}

#[tokio::test]
async fn what_a_process_left_behind_is_commanded_and_published_by_the_next_one() {
    let backends = Backends::open().await;
    let deaf = Arc::new(Remembering::new());
    deaf.open.send_replace(false);
    let ended = backends.start(unswept(), &deaf);
    ended.group("g", &["alice", "bob"], "super").await;
    ended.say_in("g", "bob", "c-1").await.unwrap();
    ended.service.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(backends.intents().await.len(), 2);

    let push = Arc::new(Remembering::new());
    let running = backends.start(hurried(), &push);
    let did = push.until_published(2).await;
    assert!(place_of(&did, commands("bob", 1, true)) < place_of(&did, publishes(1)));
    backends.until_no_intents().await;
    drop(running);
    assert_eq!(deaf.did.borrow().len(), 0);
}

#[tokio::test]
async fn who_has_gone_meanwhile_is_not_brought_back_by_what_was_left_behind() {
    let backends = Backends::open().await;
    let deaf = Arc::new(Remembering::new());
    deaf.open.send_replace(false);
    let ended = backends.start(unswept(), &deaf);
    ended.group("g", &["alice", "bob", "carol"], "super").await;
    ask!(ended, "bob", GroupLeave, GroupLeave { group: "g".to_owned() }).unwrap();
    ended.service.tasks.iter().for_each(tokio::task::JoinHandle::abort);

    let push = Arc::new(Remembering::new());
    let _running = backends.start(hurried(), &push);
    let did = push.until_published(2).await;
    let brought_in = did.iter().any(commands("bob", 1, true));
    assert!(!brought_in, "a connection that bob made after leaving would be in the room: {did:?}");
    assert!(place_of(&did, commands("bob", 2, false)) < place_of(&did, publishes(2)));
    place_of(&did, commands("carol", 1, true));
}

#[tokio::test]
async fn rows_wait_until_members_can_be_commanded() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    *push.failure.lock() = Some(Kind::Unavailable);
    let running = backends.start(hurried(), &push);
    running.group("g", &["alice", "bob"], "super").await;
    running.say_in("g", "bob", "c-1").await.unwrap();
    assert_eq!(backends.intents().await.len(), 2);
    assert_eq!(published(&push.did.borrow()), [0_u64; 0]);
    *push.failure.lock() = None;
    push.until_published(2).await;
    backends.until_no_intents().await;
}

#[tokio::test]
async fn everybody_is_meant_in_a_super_group_by_those_with_a_role() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.group("g", &["alice", "bob"], "super").await;
    running.group("h", &["alice", "bob"], "").await;
    let to_all = |from: &str, group: &str| {
        let mut request = request(from, to_group(group), "c-1", "all of you");
        request.send.mention_all = true;
        request
    };
    assert_eq!(code_of(running.im().send(to_all("bob", "g")).await), Code::NotAllowed);
    assert_eq!(code_of(running.im().send(to_all("mallory", "g")).await), Code::NotFound);
    running.im().send(to_all("alice", "g")).await.unwrap();
    running.im().send(to_all("bob", "h")).await.unwrap();
    let (row, _) = backends.rows_of("h").await.pop().unwrap();
    assert_eq!(row.mention_all, Some(true));
}

#[tokio::test]
async fn a_large_group_is_commanded_in_parts() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    let members: Vec<String> = (0..1_001).map(|number| format!("u{number:04}")).collect();
    running.group("g", &members.iter().map(String::as_str).collect::<Vec<&str>>(), "").await;
    let did = push.until_published(1).await;
    let sizes: Vec<usize> = did
        .iter()
        .filter_map(|did| match did {
            Did::Commanded(commands) => Some(commands.len()),
            Did::Published(_) => None,
        })
        .collect();
    assert_eq!(sizes, [500, 500, 1]);
    let join = GroupJoin { group: "g".to_owned(), ..GroupJoin::default() };
    assert_eq!(code_of(ask!(running, "stranger", GroupJoin, join)), Code::NotFound);
}

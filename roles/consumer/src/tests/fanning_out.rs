//! Rows come into the inboxes of those who were members, in their order, and are pushed.

use std::sync::Arc;

use backends::store::{Append, MemberChangeKind, SuperChange};
use bytes::Bytes;
use protocol::ConversationId;

use super::fixture::*;

#[tokio::test]
async fn one_hint_carries_a_whole_group_into_the_inboxes_in_its_order() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    backends.send("g", "alice", 150).await;
    let _running = backends.start(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", 151).await;

    let all: Vec<u64> = (2..=151).collect();
    assert_eq!((backends.inbox("bob", "g").await, backends.inbox("alice", "g").await), (all.clone(), all));
    let pairs: Vec<(u64, u64)> = (2..=151).map(|seq| (seq, seq - 1)).collect();
    assert_eq!((push.of("bob"), push.of("alice")), (pairs.clone(), pairs));
    let taken = push.taken.borrow();
    assert!(Arc::ptr_eq(&taken[0].message, &taken[1].message), "the body was copied");
    assert_eq!(taken[0].message.group.as_deref(), Some("g"));
    assert_eq!((taken[0].message.sender.as_str(), taken[0].except), ("alice", None));
}

#[tokio::test]
async fn a_heartbeat_hears_of_a_row_as_soon_as_it_is_written() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    backends.cache.raise_inbox_tops(&[(user("bob"), 0)]).await.unwrap();
    let _running = backends.start(&push).await;
    let last = backends.send("g", "alice", 3).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;
    let tops = backends.cache.inbox_tops(&[user("bob")], std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(tops, [Some(3)]);
}

#[tokio::test]
async fn each_member_is_pushed_its_own_inbox_seq() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("one", &["alice", "bob"]).await;
    backends.make("two", &["alice", "carol"]).await;
    let _running = backends.start(&push).await;
    let last = backends.send("one", "alice", 2).await;
    backends.hint_of("one").await;
    backends.until_fanned_out("one", last).await;
    let last = backends.send("two", "carol", 1).await;
    backends.hint_of("two").await;
    backends.until_fanned_out("two", last).await;
    assert_eq!(push.of("alice"), [(2, 1), (3, 2), (2, 3)]);
    assert_eq!(push.of("carol"), [(2, 1)]);
}

#[tokio::test]
async fn who_was_a_member_at_a_row_gets_it_whenever_the_fan_out_runs() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    let before = backends.send("g", "alice", 2).await;
    let joined = backends.join("g", &["carol"]).await;
    let between = backends.send("g", "alice", 2).await;
    let left = backends.leave("g", &["bob"]).await;
    let after = backends.send("g", "alice", 2).await;
    let back = backends.join("g", &["bob"]).await;
    let last = backends.send("g", "alice", 2).await;
    let _running = backends.start(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;

    let all: Vec<u64> = (2..=last).collect();
    let bobs: Vec<u64> = (2..left).chain(back + 1..=last).collect();
    let carols: Vec<u64> = (joined + 1..=last).collect();
    assert_eq!(backends.inbox("alice", "g").await, all);
    assert_eq!(backends.inbox("bob", "g").await, bobs);
    assert_eq!(backends.inbox("carol", "g").await, carols);
    let pushed = |name: &str| push.of(name).into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
    assert_eq!((pushed("bob"), pushed("carol")), (bobs, carols));
    assert_eq!((before, between, after), (joined - 1, left - 1, back - 1));
}

#[tokio::test]
async fn whoever_joins_a_group_whose_receivers_are_remembered_gets_what_comes_after() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice"]).await;
    let _running = backends.start(&push).await;
    let mut last = 0;
    for round in 0..4 {
        backends.send("g", "alice", 3).await;
        backends.hint_of("g").await;
        let name = format!("guest-{round}");
        backends.join("g", &[&name]).await;
        last = backends.send("g", "alice", 3).await;
        backends.hint_of("g").await;
        backends.until_fanned_out("g", last).await;
    }
    for round in 0..4 {
        let joined = 2 + 7 * round + 3;
        let expected: Vec<u64> = (joined + 1..=last).collect();
        assert_eq!(backends.inbox(&format!("guest-{round}"), "g").await, expected);
    }
}

#[tokio::test]
async fn a_conversion_ends_the_fan_out_and_loses_nothing_before_it() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    backends.send("g", "alice", 3).await;
    let converted = backends.convert("g").await;
    backends.send("g", "alice", 3).await;
    backends.make("other", &["alice"]).await;
    let other = backends.send("other", "alice", 1).await;
    let _running = backends.start_sweeping(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", converted).await;
    backends.hint_of("g").await;
    backends.hint_of("other").await;
    backends.until_fanned_out("other", other).await;
    backends.until_no_intent_is_left().await;

    let all: Vec<u64> = (2..=converted).collect();
    assert_eq!(
        (backends.inbox("bob", "g").await, backends.on_write("g").await),
        (all, (1..=converted).collect())
    );
    assert_eq!(backends.fanned_out_to("g").await, converted);
    assert_eq!(push.of("bob").last().map(|(seq, _)| *seq), Some(converted));
}

#[tokio::test]
async fn hints_of_super_groups_and_single_chats_change_nothing() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.change("super", &["alice", "bob"], MemberChangeKind::Join, SuperChange::FromThisRow).await;
    backends.send("super", "alice", 2).await;
    let single = ConversationId::single(&user("alice"), &user("bob"));
    let chat = backends.append("unused", "alice", Bytes::new());
    let inboxes = vec![user("alice"), user("bob")];
    backends.write(vec![Append { conversation: single.clone(), inboxes, ..chat }]).await;
    backends.make("g", &["alice"]).await;
    let last = backends.send("g", "alice", 1).await;
    let _running = backends.start(&push).await;
    backends.hint_of("super").await;
    backends.hint(single.as_str()).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;
    assert_eq!(backends.inbox("bob", "super").await, Vec::<u64>::new());
    assert_eq!(backends.store.fanned_out_to(&single).await.unwrap(), 0);
    assert_eq!((push.of("bob"), push.of("alice")), (vec![], vec![(2, 2)]));
}

#[tokio::test]
async fn a_message_that_was_recalled_is_pushed_as_it_stands() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    let sent = backends.send("g", "alice", 1).await;
    let told = backends.recall("g", "alice", sent).await;
    let _running = backends.start(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", told).await;
    let taken = push.taken.borrow();
    let bobs: Vec<_> =
        taken.iter().filter(|push| push.user == user("bob")).map(|push| &push.message).collect();
    assert_eq!((bobs[0].recalled, bobs[0].content.as_ref()), (Some(true), None));
    assert_eq!((bobs[1].kind.as_deref(), bobs[1].target), (Some("recalled"), Some(sent)));
}

#[tokio::test]
async fn members_beyond_one_chunk_get_each_row_once() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    let names: Vec<String> = (0..250).map(|number| format!("member-{number:03}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    backends.make("g", &members).await;
    let last = backends.send("g", "member-000", 5).await;
    let _running = backends.start(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;
    for name in &names {
        assert_eq!(backends.inbox(name, "g").await, [2, 3, 4, 5, 6]);
        assert_eq!(push.of(name), [(2, 1), (3, 2), (4, 3), (5, 4), (6, 5)]);
    }
}

//! Conversations as they are for a user: what is unread, mentioned, read and delivered.

use backends::store::{Conversation, HistoryRule, Position, ReadMoved, SuperChange};
use protocol::DeviceId;

use super::club::{Club, join, leave};
use super::*;

async fn seen_by(store: &Arc<dyn Store>, name: &str, here: &ConversationId) -> Conversation {
    let mut found = store.conversations(&user(name), std::slice::from_ref(here)).await.unwrap();
    found.remove(0).expect("the user has a part in it")
}

async fn unread(store: &Arc<dyn Store>, name: &str, here: &ConversationId) -> u64 {
    seen_by(store, name, here).await.unread
}

async fn last(store: &Arc<dyn Store>, name: &str, here: &ConversationId) -> Option<u64> {
    seen_by(store, name, here).await.last.map(|row| row.seq)
}

async fn read(store: &Arc<dyn Store>, name: &str, here: &ConversationId, seq: u64) -> Option<(u64, u64)> {
    let moved = store.set_read(&user(name), here, seq).await.unwrap();
    moved.map(|ReadMoved { from, to }| (from, to))
}

fn control(append: Append) -> Append {
    Append { counted: false, ..append }
}

pub(crate) async fn unread_is_what_others_sent_since_one_read_or_wrote(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
    for number in 1..=3 {
        append(&store, chat("alice", "bob", number)).await;
    }
    assert_eq!((unread(&store, "alice", &here).await, unread(&store, "bob", &here).await), (0, 3));
    assert_eq!(read(&store, "bob", &here, 2).await, Some((0, 2)));
    assert_eq!(unread(&store, "bob", &here).await, 1);
    append(&store, control(chat("alice", "bob", 4))).await;
    assert_eq!(unread(&store, "bob", &here).await, 1, "control rows are not counted");
    append(&store, chat("bob", "alice", 5)).await;
    assert_eq!((unread(&store, "alice", &here).await, unread(&store, "bob", &here).await), (1, 0));
    append(&store, control(chat("bob", "alice", 6))).await;
    append(&store, chat("alice", "bob", 7)).await;
    assert_eq!((unread(&store, "alice", &here).await, unread(&store, "bob", &here).await), (0, 1));
    append(&store, control(chat("bob", "alice", 8))).await;
    assert_eq!(unread(&store, "bob", &here).await, 1, "a control row of one's own reads nothing");
    assert_eq!(last(&store, "bob", &here).await, Some(7));
}

pub(crate) async fn a_chat_with_oneself_has_nothing_unread(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("alice", "alice", 1)).await;
    append(&store, chat("alice", "alice", 2)).await;
    let notes = seen_by(&store, "alice", &conversation("alice", "alice")).await;
    assert_eq!((notes.unread, notes.peer_read, notes.last.map(|row| row.seq)), (0, 2, Some(2)));
}

pub(crate) async fn a_member_sees_from_the_join_to_the_leave(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    let here = club.conversation();
    club.send("alice", 1).await;
    club.members(vec![join("carol")]).await;
    assert_eq!((unread(&store, "bob", &here).await, unread(&store, "carol", &here).await), (1, 0));
    assert_eq!((last(&store, "bob", &here).await, last(&store, "carol", &here).await), (Some(2), None));
    club.send("alice", 2).await;
    club.send("bob", 3).await;
    let left = club.members(vec![leave("carol")]).await;
    club.send("alice", 4).await;
    drop((store, club));
    fixture.reopen().await;

    let store = fixture.store();
    let carol = seen_by(&store, "carol", &here).await;
    assert_eq!((carol.unread, carol.last.as_ref().map(|row| row.seq)), (2, Some(5)));
    assert_eq!((carol.standing.joined, carol.standing.left, carol.standing.top), (3, left, left + 1));
    assert_eq!((carol.standing.low(), carol.standing.high()), (4, left - 1));
    assert_eq!((unread(&store, "bob", &here).await, unread(&store, "alice", &here).await), (1, 0));
    assert_eq!(read(&store, "carol", &here, 99).await, Some((0, left - 1)), "not beyond what was seen");
    assert_eq!(unread(&store, "carol", &here).await, 0);
    assert_eq!(carol.group.map(|group| group.member_count), Some(2));
}

pub(crate) async fn who_comes_back_sees_from_the_second_join(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    let here = club.conversation();
    club.send("alice", 1).await;
    read(&store, "bob", &here, 2).await;
    club.members(vec![leave("bob")]).await;
    club.send("alice", 2).await;
    let joined = club.members(vec![join("bob")]).await;
    let sent = club.send("alice", 3).await;
    let bob = seen_by(&store, "bob", &here).await;
    assert_eq!((bob.standing.joined, bob.standing.left, bob.unread), (joined, 0, 1));
    assert_eq!(bob.last.map(|row| row.seq), Some(sent));
}

pub(crate) async fn where_all_history_is_open_the_last_message_is_seen(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club =
        Club::make_as(&store, "club", &["alice"], SuperChange::FromThisRow, HistoryRule::All).await;
    let here = club.conversation();
    club.send("alice", 1).await;
    club.members(vec![join("bob")]).await;
    let bob = seen_by(&store, "bob", &here).await;
    assert_eq!((bob.unread, bob.last.map(|row| row.seq), bob.standing.low()), (0, Some(2), 1));
    club.send("alice", 2).await;
    assert_eq!(unread(&store, "bob", &here).await, 1);
}

async fn mentioned(store: &Arc<dyn Store>, here: &ConversationId, names: &[&str]) -> Vec<bool> {
    let mut found = Vec::new();
    for name in names {
        found.push(seen_by(store, name, here).await.mentioned);
    }
    found
}

pub(crate) async fn a_mention_marks_a_conversation_until_it_is_read(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob", "carol"]).await;
    let here = club.conversation();
    let all = ["alice", "bob", "carol"];
    let named = Append { mentions: vec![user("bob"), user("stranger")], ..club.message("alice", 1) };
    append(&store, named).await;
    assert_eq!(mentioned(&store, &here, &all).await, [false, true, false]);
    let stranger = store.standings(&user("stranger"), std::slice::from_ref(&here)).await.unwrap();
    assert_eq!(stranger, [None], "who is named is no member by that");
    club.send("alice", 2).await;
    assert_eq!(mentioned(&store, &here, &all).await, [false, true, false]);
    club.members(vec![join("stranger")]).await;
    assert_eq!(mentioned(&store, &here, &["stranger"]).await, [false], "was not there then");
    read(&store, "bob", &here, 2).await;
    assert_eq!(mentioned(&store, &here, &all).await, [false, false, false]);

    append(&store, Append { mention_all: true, ..club.message("carol", 3) }).await;
    assert_eq!(mentioned(&store, &here, &all).await, [true, true, false], "not by one's own");
    club.send("bob", 4).await;
    assert_eq!(mentioned(&store, &here, &all).await, [true, false, false], "who answers has seen it");
    club.members(vec![leave("bob")]).await;
    append(&store, Append { mention_all: true, ..club.message("alice", 5) }).await;
    assert_eq!(mentioned(&store, &here, &all).await, [false, false, true]);
}

pub(crate) async fn one_is_mentioned_in_a_single_chat(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
    let mentions = vec![user("bob"), user("carol"), user("alice")];
    append(&store, Append { mentions, ..chat("alice", "bob", 1) }).await;
    assert_eq!(mentioned(&store, &here, &["alice", "bob"]).await, [false, true]);
    assert_eq!(store.conversations(&user("carol"), &[here]).await.unwrap(), [None]);
    assert!(store.conversations_since(&user("carol"), 0, 9).await.unwrap().conversations.is_empty());
}

async fn receive(store: &Arc<dyn Store>, name: &str, device: &str, inbox_seq: u64) {
    let device = DeviceId::new(device).unwrap();
    store.set_positions(vec![Position { user: user(name), device, inbox_seq }]).await.unwrap();
}

pub(crate) async fn the_other_user_has_received_and_read(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
    for number in 1..=10 {
        append(&store, chat("carol", "bob", 100 + number)).await;
        append(&store, chat("alice", "bob", number)).await;
    }
    let ticks = async || {
        let alice = seen_by(&store, "alice", &here).await;
        (alice.peer_delivered, alice.peer_read)
    };
    assert_eq!(ticks().await, (0, 0));
    for (inbox_seq, delivered) in [(1, 0), (2, 1), (3, 1), (12, 6), (13, 6), (19, 9), (20, 10)] {
        receive(&store, "bob", "phone", inbox_seq).await;
        assert_eq!(ticks().await, (delivered, 0), "received up to {inbox_seq}");
    }
    receive(&store, "bob", "web", 4).await;
    assert_eq!(ticks().await, (10, 0), "the device that is furthest counts");
    read(&store, "bob", &here, 4).await;
    assert_eq!(ticks().await, (10, 4));
    append(&store, chat("alice", "bob", 11)).await;
    append(&store, chat("bob", "alice", 12)).await;
    append(&store, chat("alice", "bob", 13)).await;
    assert_eq!(ticks().await, (12, 12), "who answers has read");
    assert_eq!(store.reads(&here, &[user("alice"), user("bob"), user("carol")]).await.unwrap(), [13, 12, 0]);
}

pub(crate) async fn what_members_have_read_or_sent_is_told(fixture: impl StoreFixture) {
    let store = fixture.store();
    let club = Club::make(&store, "club", &["alice", "bob", "carol"]).await;
    let here = club.conversation();
    club.send("alice", 1).await;
    club.send("bob", 2).await;
    club.send("alice", 3).await;
    append(&store, control(club.message("carol", 4))).await;
    read(&store, "bob", &here, 2).await;
    read(&store, "carol", &here, 4).await;
    let users = [user("carol"), user("bob"), user("nobody"), user("alice")];
    assert_eq!(store.reads(&here, &users).await.unwrap(), [4, 3, 0, 4]);
}

pub(crate) async fn a_read_is_only_raised_and_not_beyond_the_top(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
    assert_eq!(read(&store, "alice", &here, 5).await, Some((0, 0)), "there is nothing to read yet");
    append(&store, chat("alice", "bob", 1)).await;
    append(&store, chat("alice", "bob", 2)).await;
    assert_eq!(read(&store, "bob", &here, 99).await, Some((0, 2)));
    assert_eq!(read(&store, "bob", &here, 1).await, Some((2, 2)));
    assert_eq!(read(&store, "carol", &here, 1).await, None);
    assert_eq!(read(&store, "bob", &group_conversation("none"), 1).await, None);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(seen_by(&store, "bob", &here).await.standing.read, 2);
}

pub(crate) async fn a_user_has_no_part_in_what_others_say(fixture: impl StoreFixture) {
    let store = fixture.store();
    let club = Club::make(&store, "club", &["alice", "bob"]).await;
    append(&store, chat("alice", "bob", 1)).await;
    let asked = [
        conversation("alice", "bob"),
        club.conversation(),
        conversation("carol", "dave"),
        group_conversation("none"),
    ];
    let standings = store.standings(&user("carol"), &asked).await.unwrap();
    assert_eq!(standings.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, false]);
    let found = store.conversations(&user("carol"), &asked).await.unwrap();
    assert!(found.iter().all(Option::is_none), "a single chat without a row is none yet");
    let standings = store.standings(&user("alice"), &asked).await.unwrap();
    assert_eq!(standings.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(standings[0].as_ref().map(|standing| (standing.low(), standing.high())), Some((1, 1)));
}

pub(crate) async fn choices_are_kept_each_for_itself(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
    let choose = async |name: &str, pinned, muted| {
        fixture.store().set_choices(&user(name), &here, pinned, muted).await.unwrap()
    };
    assert!(choose("alice", Some(true), None).await);
    append(&store, chat("bob", "alice", 1)).await;
    assert!(choose("alice", None, Some(true)).await);
    assert!(choose("bob", None, Some(true)).await);
    assert!(choose("bob", None, Some(false)).await);
    assert!(!choose("carol", Some(true), None).await);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    let (alice, bob) = (seen_by(&store, "alice", &here).await, seen_by(&store, "bob", &here).await);
    assert_eq!((alice.pinned, alice.muted, bob.pinned, bob.muted), (true, true, false, false));
    assert_eq!(alice.unread, 1, "what was chosen before the first message changes nothing else");
}

pub(crate) async fn what_was_received_is_told_for_each_single_chat(fixture: impl StoreFixture) {
    let store = fixture.store();
    let club = Club::make(&store, "club", &["alice", "bob"]).await;
    let sent = club.send("alice", 1).await;
    store.fan_out(&club.conversation(), sent, vec![user("bob")]).await.unwrap();
    for number in 2..=4 {
        append(&store, chat("alice", "bob", number)).await;
        append(&store, chat("carol", "bob", 10 + number)).await;
    }
    append(&store, chat("bob", "alice", 20)).await;
    append(&store, chat("bob", "bob", 21)).await;
    let received = async |from, to, limit| {
        let found = store.received(&user("bob"), from, to, limit).await.unwrap();
        let peer = |here: &ConversationId| here.peer_of(&user("bob")).unwrap().to_string();
        let mut found: Vec<_> = found.into_iter().map(|(here, seq)| (peer(&here), seq)).collect();
        found.sort_unstable();
        found
    };
    let both = |alice, carol| vec![("alice".to_owned(), alice), ("carol".to_owned(), carol)];
    assert_eq!(received(0, 99, 100).await, both(3, 3));
    assert_eq!(received(1, 5, 100).await, both(2, 2));
    assert_eq!(received(4, 6, 100).await, [("alice".to_owned(), 3), ("carol".to_owned(), 2)]);
    assert_eq!(received(0, 7, 1).await, [("carol".to_owned(), 3)], "only the newest rows are looked at");
    assert_eq!(received(7, 99, 100).await, []);
    assert_eq!(received(5, 5, 100).await, []);
}

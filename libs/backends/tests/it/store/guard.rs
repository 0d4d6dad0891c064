//! What must hold for a row to be written, and recalls.

use backends::store::{Denied, Replacement, Role};

use super::club::{Club, join, leave, stay};
use super::*;

async fn denied(store: &Arc<dyn Store>, append: Append) -> Option<Denied> {
    let tops = async || store.outbox_tops(std::slice::from_ref(&append.conversation)).await.unwrap();
    let before = tops().await;
    match store.append(vec![append.clone()]).await.remove(0).unwrap() {
        Outcome::Written(_) => None,
        Outcome::Denied(denied) => {
            assert_eq!(tops().await, before, "nothing was changed");
            Some(denied)
        }
    }
}

fn guarded(number: u64, existing: bool) -> Append {
    Append { guard: Guard::Single { receiver: user("bob"), existing }, ..chat("alice", "bob", number) }
}

pub(crate) async fn who_is_blocked_cannot_write(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    assert_eq!(denied(&store, guarded(1, false)).await, None);
    assert!(store.set_blocked(&user("bob"), &user("alice"), true, 2).await.unwrap());
    assert_eq!(denied(&store, guarded(2, false)).await, Some(Denied::Blocked));
    let back = Append {
        guard: Guard::Single { receiver: user("alice"), existing: false },
        ..chat("bob", "alice", 3)
    };
    assert_eq!(denied(&store, back).await, None, "only one has blocked the other");

    assert!(store.set_blocked(&user("bob"), &user("carol"), true, 2).await.unwrap());
    assert!(!store.set_blocked(&user("bob"), &user("dave"), true, 2).await.unwrap());
    assert!(store.set_blocked(&user("bob"), &user("carol"), true, 2).await.unwrap(), "it is there already");
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(store.blocked(&user("bob")).await.unwrap(), [user("alice"), user("carol")]);
    assert!(store.blocked(&user("bo")).await.unwrap().is_empty());
    let have =
        store.have_blocked(&[user("carol"), user("bob"), user("alice")], &user("alice")).await.unwrap();
    assert_eq!(have, [false, true, false]);
    assert_eq!(denied(&store, guarded(4, false)).await, Some(Denied::Blocked));
    assert!(store.set_blocked(&user("bob"), &user("alice"), false, 2).await.unwrap());
    assert_eq!(denied(&store, guarded(4, false)).await, None, "what was denied can be sent again");
}

pub(crate) async fn a_conversation_that_must_be_there_is_not_begun(fixture: impl StoreFixture) {
    let store = fixture.store();
    assert_eq!(denied(&store, guarded(1, true)).await, Some(Denied::NoConversation));
    assert_eq!(denied(&store, guarded(2, false)).await, None);
    assert_eq!(denied(&store, guarded(3, true)).await, None);
}

pub(crate) async fn only_members_write_to_a_group(fixture: impl StoreFixture) {
    let store = fixture.store();
    let none = Append { guard: Guard::Member, ..group("alice", "none", 1) };
    assert_eq!(denied(&store, none).await, Some(Denied::NoGroup));

    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    for guard in [Guard::Member, Guard::MayWrite] {
        let message = |from, number| Append { guard: guard.clone(), ..club.message(from, number) };
        let number = if guard == Guard::Member { 10 } else { 20 };
        assert_eq!(denied(&store, message("carol", number)).await, Some(Denied::NotMember));
        assert_eq!(denied(&store, message("bob", number + 1)).await, None);
    }
    club.members(vec![leave("bob")]).await;
    let message = |from, number| Append { guard: Guard::MayWrite, ..club.message(from, number) };
    assert_eq!(denied(&store, message("bob", 30)).await, Some(Denied::NotMember));
    let message = message("alice", 31);
    club.change(|change| change.dismissed = true).await;
    assert_eq!(denied(&store, message).await, Some(Denied::Dismissed));
}

pub(crate) async fn who_is_muted_writes_nothing_until_it_ends(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob", "carol"]).await;
    let mut muted = stay("bob", Role::Member);
    muted.muted_until_ms = time_of(50);
    club.members(vec![muted, stay("carol", Role::Admin)]).await;
    let message = |from, number| Append {
        guard: Guard::MayWrite,
        conversation: group_conversation("club"),
        inboxes: Vec::new(),
        ..chat(from, from, number)
    };
    assert_eq!(denied(&store, message("bob", 49)).await, Some(Denied::Muted));
    let recall = Append { guard: Guard::Member, ..message("bob", 48) };
    assert_eq!(denied(&store, recall).await, None, "a recall is not writing");
    assert_eq!(denied(&store, message("bob", 50)).await, None);

    club.change(|change| change.settings.all_muted = true).await;
    assert_eq!(denied(&store, message("bob", 60)).await, Some(Denied::AllMuted));
    assert_eq!(denied(&store, message("carol", 61)).await, None);
    assert_eq!(denied(&store, message("alice", 62)).await, None);
}

pub(crate) async fn a_message_sent_again_is_answered_as_the_first_whatever_has_changed(
    fixture: impl StoreFixture,
) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    let message = Append { guard: Guard::MayWrite, ..club.message("bob", 1) };
    let first = append(&store, message.clone()).await;
    let single = append(&store, guarded(2, false)).await;
    club.members(vec![leave("bob")]).await;
    store.set_blocked(&user("bob"), &user("alice"), true, 9).await.unwrap();
    for (again, first) in [(message, first), (guarded(2, false), single)] {
        let again = append(&store, Append { message_id: again.message_id + 70, ..again }).await;
        assert!(again.duplicate);
        assert_eq!(Appended { duplicate: false, ..again }, first);
    }
    let mut later = club.message("bob", 3);
    later.guard = Guard::MayWrite;
    assert_eq!(denied(&store, later).await, Some(Denied::NotMember));
    club.members(vec![join("bob")]).await;
}

fn recall(seq: u64, number: u64) -> Append {
    let replaces = Some(Replacement { seq, content: Bytes::from_static(b"gone") });
    Append { counted: false, replaces, ..chat("alice", "bob", number) }
}

pub(crate) async fn a_recall_replaces_what_was_said_everywhere(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
    for number in 1..=3 {
        append(&store, chat("alice", "bob", number)).await;
    }
    assert_eq!(denied(&store, recall(9, 8)).await, Some(Denied::NoTarget));
    assert_eq!(denied(&store, recall(0, 9)).await, Some(Denied::NoTarget));
    let recalled = append(&store, recall(2, 4)).await;
    assert_eq!((recalled.seq, recalled.inbox_seqs), (4, vec![4, 4]));
    drop(store);
    fixture.reopen().await;

    let store = fixture.store();
    let expected = OutboxRow { content: Bytes::from_static(b"gone"), ..row_of(&chat("alice", "bob", 2), 2) };
    assert_eq!(whole_outbox(&store, &here).await[1], expected);
    assert_eq!(whole_inbox(&store, &user("bob")).await[1], (2, expected.clone()));
    let intents = store.intents(IntentLane::Push, u64::MAX, 10).await.unwrap();
    assert_eq!(intents[1].message, expected);
    let bob = store.conversations(&user("bob"), &[here]).await.unwrap().remove(0).unwrap();
    assert_eq!(bob.unread, 3, "it is counted as before, and the recall is not");
}

pub(crate) async fn a_recall_finds_a_message_of_the_same_call(fixture: impl StoreFixture) {
    let store = fixture.store();
    let outcomes = store.append(vec![chat("alice", "bob", 1), recall(1, 2), recall(3, 3)]).await;
    let [first, second, third] = <[_; 3]>::try_from(outcomes).unwrap();
    assert_eq!((written(first).seq, written(second).seq), (1, 2));
    assert_eq!(third.unwrap(), Outcome::Denied(Denied::NoTarget), "a row does not replace itself");
    let rows = whole_outbox(&store, &conversation("alice", "bob")).await;
    assert_eq!((rows.len(), &rows[0].content[..]), (2, &b"gone"[..]));
}

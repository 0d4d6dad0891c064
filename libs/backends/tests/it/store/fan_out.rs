//! Fan-out: each user gets a message once, whoever asks how often.

use backends::Kind;

use super::club::{Club, join, leave};
use super::*;
use crate::within;

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

pub(crate) async fn a_message_is_written_into_each_inbox_once(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = group_conversation("bob");
    append(&store, chat("bob", "carol", 1)).await;
    append(&store, group("alice", "bob", 2)).await;
    let members = users(&["alice", "bob", "carol"]);
    let first = store.fan_out(&here, 1, members.clone()).await.unwrap();
    assert_eq!(first, [1, 2, 2]);
    assert_eq!(store.fan_out(&here, 1, members.clone()).await.unwrap(), first);
    let more = users(&["dave", "carol", "dave"]);
    assert_eq!(store.fan_out(&here, 1, more).await.unwrap(), [1, 2, 1]);
    drop(store);
    fixture.reopen().await;

    let store = fixture.store();
    assert_eq!(store.fan_out(&here, 1, members).await.unwrap(), first);
    let bob = whole_inbox(&store, &user("bob")).await;
    assert_eq!(bob.iter().map(|(_, row)| row.message_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(whole_inbox(&store, &user("dave")).await.len(), 1);
}

pub(crate) async fn inboxes_written_with_the_message_are_not_written_again(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("carol", "bob", 1)).await;
    let appended = append(&store, chat("alice", "bob", 2)).await;
    let members = users(&["alice", "bob", "dave"]);
    let seqs = store.fan_out(&conversation("alice", "bob"), 1, members).await.unwrap();
    assert_eq!(seqs[..2], appended.inbox_seqs[..]);
    assert_eq!(seqs[2], 1);
    assert_eq!(whole_inbox(&store, &user("bob")).await.len(), 2);
}

pub(crate) async fn a_message_that_is_not_there_is_missing(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, group("alice", "bob", 1)).await;
    for (here, seq) in [(group_conversation("bob"), 2), (conversation("x", "y"), 1)] {
        let error = store.fan_out(&here, seq, users(&["alice"])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
    }
    assert_eq!(store.inbox_tops(&users(&["alice"])).await.unwrap(), [0]);
}

pub(crate) async fn many_who_fan_out_the_same_message_write_it_once(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = group_conversation("bob");
    let members: Vec<UserId> = (0..50).map(|number| user(&format!("member-{number}"))).collect();
    for number in 1..=5 {
        append(&store, group("alice", "bob", number)).await;
    }
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (store, here, members) = (Arc::clone(&store), here.clone(), members.clone());
            tokio::spawn(async move {
                for seq in 1..=5 {
                    store.fan_out(&here, seq, members.clone()).await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        within(worker).await.unwrap();
    }
    for member in &members {
        let inbox = whole_inbox(&store, member).await;
        assert!(inbox.iter().map(|(inbox_seq, row)| (*inbox_seq, row.seq)).eq((1..=5).map(|n| (n, n))));
    }
}

pub(crate) async fn progress_moves_only_from_where_it_is(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = group_conversation("bob");
    assert_eq!(store.fanned_out_to(&here).await.unwrap(), 0);
    assert!(!store.advance_fanned_out(&here, 1, 2).await.unwrap());
    assert!(store.advance_fanned_out(&here, 0, 3).await.unwrap());
    assert!(!store.advance_fanned_out(&here, 0, 3).await.unwrap());
    assert_eq!(store.fanned_out_to(&group_conversation("bobb")).await.unwrap(), 0);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(store.fanned_out_to(&here).await.unwrap(), 3);
    assert!(store.advance_fanned_out(&here, 3, 4).await.unwrap());
}

pub(crate) async fn of_many_who_advance_one_wins(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = group_conversation("bob");
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (store, here) = (Arc::clone(&store), here.clone());
            tokio::spawn(async move { store.advance_fanned_out(&here, 0, 1).await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for worker in workers {
        won += usize::from(within(worker).await.unwrap());
    }
    assert_eq!(won, 1);
}

pub(crate) async fn a_row_is_received_by_those_who_were_members_then(fixture: impl StoreFixture) {
    let store = fixture.store();
    let mut club = Club::make(&store, "club", &["alice", "bob"]).await;
    club.send("alice", 1).await;
    club.members(vec![join("carol")]).await;
    club.send("alice", 2).await;
    club.members(vec![leave("bob")]).await;
    club.send("alice", 3).await;
    club.members(vec![join("bob")]).await;
    club.send("alice", 4).await;
    club.members(vec![leave("bob"), join("dave")]).await;
    let expected: [&[&str]; 9] = [
        &[],
        &["alice", "bob"],
        &["alice", "bob"],
        &["alice", "bob", "carol"],
        &["alice", "carol"],
        &["alice", "carol"],
        &["alice", "carol"],
        &["alice", "bob", "carol"],
        &["alice", "carol"],
    ];
    for (expected, seq) in expected.into_iter().zip(1..) {
        assert_eq!(club.receivers(seq).await, expected, "row {seq}");
    }
    // What the fan-out has passed may be forgotten; the rest stays as it was, whoever comes and goes.
    assert!(store.advance_fanned_out(&club.conversation(), 0, 7).await.unwrap());
    club.members(vec![join("bob")]).await;
    club.members(vec![leave("bob"), leave("carol")]).await;
    for (expected, seq) in expected.into_iter().zip(1..).skip(7) {
        assert_eq!(club.receivers(seq).await, expected, "row {seq}");
    }
    assert_eq!(club.receivers(10).await, ["alice", "carol", "dave"]);
}

pub(crate) async fn a_single_chat_is_received_by_its_users(fixture: impl StoreFixture) {
    let store = fixture.store();
    let receivers = async |here: &ConversationId| store.receivers(here, 1).await;
    assert_eq!(receivers(&conversation("bob", "alice")).await.unwrap(), users(&["alice", "bob"]));
    assert_eq!(receivers(&conversation("bob", "bob")).await.unwrap(), users(&["bob"]));
    assert_eq!(receivers(&group_conversation("none")).await.unwrap_err().kind(), Kind::Missing);
}

pub(crate) async fn a_row_that_the_fan_out_has_passed_is_a_conflict(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = group_conversation("bob");
    for number in 1..=3 {
        append(&store, group("alice", "bob", number)).await;
    }
    for seq in 1..=2 {
        store.fan_out(&here, seq, users(&["alice"])).await.unwrap();
    }
    assert!(store.advance_fanned_out(&here, 0, 2).await.unwrap());
    for seq in 1..=2 {
        let error = store.fan_out(&here, seq, users(&["alice", "bob"])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
    }
    assert_eq!(store.fan_out(&here, 3, users(&["alice", "bob"])).await.unwrap(), [3, 1]);
    assert!(store.advance_fanned_out(&here, 2, 3).await.unwrap());
}

pub(crate) async fn two_who_share_a_row_out_differently_write_each_inbox_once(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = group_conversation("bob");
    let members: Vec<UserId> = (0..60).map(|number| user(&format!("member-{number:02}"))).collect();
    for number in 1..=4 {
        append(&store, group("alice", "bob", number)).await;
    }
    let workers: Vec<_> = [7, 10, 25, 60]
        .map(|size| {
            let (store, here, members) = (Arc::clone(&store), here.clone(), members.clone());
            tokio::spawn(async move {
                let mut found = Vec::new();
                for seq in 1..=4 {
                    for chunk in members.rchunks(size) {
                        let inbox_seqs = store.fan_out(&here, seq, chunk.to_vec()).await.unwrap();
                        found.extend(chunk.iter().cloned().zip(inbox_seqs).map(|written| (seq, written)));
                    }
                }
                found.sort_unstable();
                found
            })
        })
        .into();
    let mut answers = Vec::new();
    for worker in workers {
        answers.push(within(worker).await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "all were told the same");
    for member in &members {
        let inbox = whole_inbox(&store, member).await;
        assert!(inbox.iter().map(|(inbox_seq, row)| (*inbox_seq, row.seq)).eq((1..=4).map(|n| (n, n))));
    }
}

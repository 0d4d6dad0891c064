//! Fan-out: each user gets a message once, whoever asks how often.

use backends::Kind;

use super::*;
use crate::within;

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

pub(crate) async fn a_message_is_written_into_each_inbox_once(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
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
    for (here, seq) in [(conversation("alice", "bob"), 2), (conversation("x", "y"), 1)] {
        let error = store.fan_out(&here, seq, users(&["alice"])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
    }
    assert_eq!(store.inbox_tops(&users(&["alice"])).await.unwrap(), [0]);
}

pub(crate) async fn many_who_fan_out_the_same_message_write_it_once(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
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
    let here = conversation("alice", "bob");
    assert_eq!(store.fanned_out_to(&here).await.unwrap(), 0);
    assert!(!store.advance_fanned_out(&here, 1, 2).await.unwrap());
    assert!(store.advance_fanned_out(&here, 0, 3).await.unwrap());
    assert!(!store.advance_fanned_out(&here, 0, 3).await.unwrap());
    assert_eq!(store.fanned_out_to(&conversation("alice", "bobb")).await.unwrap(), 0);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(store.fanned_out_to(&here).await.unwrap(), 3);
    assert!(store.advance_fanned_out(&here, 3, 4).await.unwrap());
}

pub(crate) async fn of_many_who_advance_one_wins(fixture: impl StoreFixture) {
    let store = fixture.store();
    let here = conversation("alice", "bob");
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

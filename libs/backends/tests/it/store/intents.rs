//! Intents: each lane for itself, each row until it was handed on.

use futures_util::future::join_all;

use super::club::Club;
use super::*;

async fn ids(store: &Arc<dyn Store>, lane: IntentLane, limit: usize) -> Vec<u64> {
    let intents = store.intents(lane, u64::MAX, limit).await.unwrap();
    intents.iter().map(|intent| intent.message.message_id).collect()
}

pub(crate) async fn each_lane_is_cleared_for_itself(fixture: impl StoreFixture) {
    let store = fixture.store();
    let appends = vec![chat("alice", "bob", 1), group("alice", "club", 2), chat("bob", "alice", 3)];
    all_written(store.append(appends).await);
    store.clear_intents(IntentLane::FanOut, vec![1, 3]).await.unwrap();
    assert_eq!(ids(&store, IntentLane::Push, 10).await, [1, 3]);
    assert_eq!(ids(&store, IntentLane::FanOut, 10).await, [2]);
    store.clear_intents(IntentLane::Push, vec![1, 2]).await.unwrap();
    assert_eq!(ids(&store, IntentLane::Push, 10).await, [3]);
    store.clear_intents(IntentLane::FanOut, vec![2]).await.unwrap();
    assert!(ids(&store, IntentLane::FanOut, 10).await.is_empty());
}

pub(crate) async fn a_super_groups_rows_are_ims_work(fixture: impl StoreFixture) {
    let store = fixture.store();
    let club = Club::make_super(&store, "club", &["alice"]).await;
    club.send("alice", 1).await;
    assert_eq!(ids(&store, IntentLane::Push, 10).await.len(), 2);
    assert!(ids(&store, IntentLane::FanOut, 10).await.is_empty());
}

pub(crate) async fn of_many_stored_together_each_is_cleared_for_itself(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    // Two calls whose ids lie between one another.
    for parity in 0..2 {
        let numbers = (1..=1_000).filter(|number| number % 2 == parity);
        all_written(store.append(numbers.map(|number| chat("alice", "bob", number)).collect()).await);
    }
    assert_eq!(ids(&store, IntentLane::Push, 10).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(ids(&store, IntentLane::Push, 5_000).await, (1..=1_000).collect::<Vec<_>>());
    let cleared = (1..=1_000).filter(|number| number % 5 != 0).collect();
    store.clear_intents(IntentLane::Push, cleared).await.unwrap();
    let left: Vec<u64> = (1..=200).map(|number| number * 5).collect();
    assert_eq!(ids(&store, IntentLane::Push, 5_000).await, left);
    assert_eq!(ids(&store, IntentLane::Push, 7).await, left[..7]);
    drop(store);
    fixture.reopen().await;

    let store = fixture.store();
    assert_eq!(ids(&store, IntentLane::Push, 5_000).await, left, "what was cleared before stays so");
    store.clear_intents(IntentLane::Push, left[..150].to_vec()).await.unwrap();
    append(&store, chat("alice", "bob", 2_000)).await;
    assert_eq!(ids(&store, IntentLane::Push, 5_000).await, [&left[150..], &[2_000]].concat());
    store.clear_intents(IntentLane::Push, (1..=2_000).collect()).await.unwrap();
    assert!(ids(&store, IntentLane::Push, 5_000).await.is_empty());
}

pub(crate) async fn what_is_cleared_while_others_write_stays_cleared(fixture: impl StoreFixture) {
    let store = fixture.store();
    let clear = async |number: u64| {
        append(&store, chat("alice", "bob", number)).await;
        if !number.is_multiple_of(3) {
            store.clear_intents(IntentLane::Push, vec![number]).await.unwrap();
        }
        let seen = ids(&store, IntentLane::Push, 5_000).await;
        assert_eq!(seen.contains(&number), number.is_multiple_of(3));
    };
    join_all((1..=300).map(clear)).await;
    let expected: Vec<u64> = (1..=100).map(|number| number * 3).collect();
    assert_eq!(ids(&store, IntentLane::Push, 5_000).await, expected);
}

pub(crate) async fn only_rows_sent_before_are_answered(fixture: impl StoreFixture) {
    let store = fixture.store();
    all_written(store.append((1..=9).map(|number| chat("alice", "bob", number)).collect()).await);
    let before = store.intents(IntentLane::Push, time_of(4), 100).await.unwrap();
    assert_eq!(before.len(), 3);
    let row = whole_outbox(&store, &conversation("alice", "bob")).await.remove(2);
    assert_eq!(before[2].message, row);
    assert_eq!(before[2].inboxes, [(user("alice"), 3), (user("bob"), 3)]);
}

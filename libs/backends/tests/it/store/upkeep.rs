//! Intents, positions and the sweep of first answers.

use backends::store::Position;
use protocol::DeviceId;

use super::*;

async fn intent_ids(store: &Arc<dyn Store>, before_ms: u64, limit: usize) -> Vec<u64> {
    let intents = store.intents(IntentLane::Push, before_ms, limit).await.unwrap();
    intents.iter().map(|intent| intent.message.message_id).collect()
}

pub(crate) async fn intents_are_seen_oldest_first_until_they_are_cleared(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    for number in 1..=10 {
        append(&store, chat("alice", &format!("user-{}", number % 3), number)).await;
    }
    assert_eq!(intent_ids(&store, u64::MAX, 100).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(intent_ids(&store, u64::MAX, 3).await, [1, 2, 3]);
    assert_eq!(intent_ids(&store, time_of(4), 100).await, [1, 2, 3]);
    assert!(intent_ids(&store, 0, 100).await.is_empty());

    store.clear_intents(IntentLane::Push, vec![1, 2, 5, 999]).await.unwrap();
    assert_eq!(intent_ids(&store, u64::MAX, 3).await, [3, 4, 6]);
    store.clear_intents(IntentLane::Push, vec![1, 2]).await.unwrap();
    append(&store, chat("alice", "bob", 11)).await;
    drop(store);
    fixture.reopen().await;

    let store = fixture.store();
    assert_eq!(intent_ids(&store, u64::MAX, 100).await, [3, 4, 6, 7, 8, 9, 10, 11]);
    store.clear_intents(IntentLane::Push, (1..=11).collect()).await.unwrap();
    assert!(intent_ids(&store, u64::MAX, 100).await.is_empty());
    append(&store, chat("alice", "bob", 12)).await;
    assert_eq!(intent_ids(&store, u64::MAX, 100).await, [12]);
}

pub(crate) async fn an_intent_with_a_lower_id_than_those_before_is_seen(fixture: impl StoreFixture) {
    let store = fixture.store();
    append(&store, chat("alice", "bob", 50)).await;
    append(&store, chat("alice", "bob", 60)).await;
    store.clear_intents(IntentLane::Push, vec![50]).await.unwrap();
    assert_eq!(intent_ids(&store, u64::MAX, 100).await, [60]);
    append(&store, chat("alice", "bob", 40)).await;
    assert_eq!(intent_ids(&store, u64::MAX, 100).await, [40, 60]);
}

fn position(owner: &str, device: &str, inbox_seq: u64) -> Position {
    Position { user: user(owner), device: DeviceId::new(device).unwrap(), inbox_seq }
}

async fn recorded(store: &Arc<dyn Store>, owner: &str, device: &str) -> Option<u64> {
    store.position(&user(owner), &DeviceId::new(device).unwrap()).await.unwrap()
}

pub(crate) async fn positions_are_only_raised(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    assert_eq!(recorded(&store, "alice", "web").await, None);
    let positions = vec![
        position("alice", "web", 5),
        position("alice", "phone", 0),
        position("alice", "web", 3),
        position("bob", "web", 9),
    ];
    store.set_positions(positions).await.unwrap();
    assert_eq!(recorded(&store, "alice", "web").await, Some(5));
    assert_eq!(recorded(&store, "alice", "phone").await, Some(0));
    assert_eq!(recorded(&store, "alice", "Web").await, None);
    store.set_positions(vec![position("alice", "web", 4), position("bob", "web", 10)]).await.unwrap();
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(recorded(&store, "alice", "web").await, Some(5));
    assert_eq!(recorded(&store, "bob", "web").await, Some(10));
    store.set_positions(vec![]).await.unwrap();
}

pub(crate) async fn a_swept_answer_is_forgotten_and_a_younger_one_is_kept(fixture: impl StoreFixture) {
    let store = fixture.store();
    for number in 1..=10 {
        append(&store, chat("alice", "bob", number)).await;
    }
    assert_eq!(store.sweep_answers(time_of(1), 100).await.unwrap(), 0);
    assert_eq!(store.sweep_answers(time_of(8), 3).await.unwrap(), 3);
    assert_eq!(store.sweep_answers(time_of(8), 100).await.unwrap(), 4);
    assert_eq!(store.sweep_answers(time_of(8), 100).await.unwrap(), 0);

    let again = Append { message_id: 20, time_ms: time_of(20), ..chat("alice", "bob", 8) };
    assert!(append(&store, again).await.duplicate);
    let forgotten = Append { message_id: 21, time_ms: time_of(21), ..chat("alice", "bob", 7) };
    assert!(!append(&store, forgotten).await.duplicate);
    assert_eq!(whole_inbox(&store, &user("bob")).await.len(), 11, "messages stay when answers are forgotten");

    // The answer that took the place of a swept one has its own age.
    assert_eq!(store.sweep_answers(time_of(11), 100).await.unwrap(), 3);
    let again = Append { message_id: 22, time_ms: time_of(22), ..chat("alice", "bob", 7) };
    assert!(append(&store, again).await.duplicate);
}

pub(crate) async fn a_sweep_of_many_answers_forgets_them_all(fixture: impl StoreFixture) {
    let store = fixture.store();
    let appends = (1..=1_700).map(|number| chat("alice", "bob", number)).collect();
    all_written(store.append(appends).await);
    assert_eq!(store.sweep_answers(time_of(1_600), 1_501).await.unwrap(), 1_501);
    assert_eq!(store.sweep_answers(time_of(1_600), 10_000).await.unwrap(), 98);
    assert!(append(&store, Append { message_id: 5_000, ..chat("alice", "bob", 1_600) }).await.duplicate);
    assert!(!append(&store, Append { message_id: 5_001, ..chat("alice", "bob", 1_599) }).await.duplicate);
}

pub(crate) async fn when_devices_went_away_is_only_raised(mut fixture: impl StoreFixture) {
    let store = fixture.store();
    store.set_last_seen(vec![(user("alice"), 5), (user("bob"), 9), (user("alice"), 3)]).await.unwrap();
    store.set_last_seen(vec![(user("alice"), 4), (user("bob"), 10)]).await.unwrap();
    drop(store);
    fixture.reopen().await;
    let seen = fixture.store().last_seen(&[user("bob"), user("nobody"), user("alice")]).await.unwrap();
    assert_eq!(seen, [10, 0, 5]);
}

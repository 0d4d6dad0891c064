//! What is written for work that is to be done goes when it is done.

use backends::store::{Append, IntentLane};
use protocol::{ConversationId, GroupId, Identifier};

use super::*;
use crate::user;

/// How many rows of work there are on disk.
fn work_count(folder: &TempDir) -> usize {
    let engine = fjall::Database::builder(folder.path().join("data/database")).open().unwrap();
    let work = engine.keyspace("work", fjall::KeyspaceCreateOptions::default).unwrap();
    work.iter().count()
}

#[tokio::test]
async fn rows_of_intents_and_of_a_fan_out_that_is_done_are_gone() {
    let EmbeddedStore { folder, store } = EmbeddedStore::start().await;
    let store = store.unwrap();
    let here = ConversationId::group(&GroupId::new("club").unwrap());
    let message =
        |number| Append { conversation: here.clone(), inboxes: Vec::new(), ..killed::message(number) };
    for answer in store.append((1..=20).map(message).collect()).await {
        answer.unwrap();
    }
    for seq in 1..=20 {
        for number in 0..5 {
            let users = vec![user(&format!("a-{number}")), user(&format!("b-{number}"))];
            store.fan_out(&here, seq, users).await.unwrap();
        }
    }
    drop(store);
    assert!(work_count(&folder) > 100);

    let store = store::open(&url(&folder)).await.unwrap();
    store.clear_intents(IntentLane::FanOut, (1..=20).collect()).await.unwrap();
    assert!(store.advance_fanned_out(&here, 0, 19).await.unwrap());
    store.sweep_answers(u64::MAX, usize::MAX).await.unwrap();
    drop(store);
    assert_eq!(work_count(&folder), 5, "those of the last row are left");
    let store = store::open(&url(&folder)).await.unwrap();
    assert!(store.advance_fanned_out(&here, 19, 20).await.unwrap());
    drop(store);
    assert_eq!(work_count(&folder), 0);
}

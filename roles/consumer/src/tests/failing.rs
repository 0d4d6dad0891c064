//! Push, hints and rows that fail do not lose or reorder anything, and keep nobody else back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backends::store::Append;
use bytes::Bytes;

use super::fixture::*;
use crate::Config;

#[tokio::test]
async fn a_push_that_fails_for_a_moment_is_tried_again_in_order() {
    let backends = Backends::open().await;
    let push = Remembering::failing(3);
    backends.make("g", &["alice", "bob"]).await;
    let last = backends.send("g", "alice", 4).await;
    let _running = backends.start(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;
    assert_eq!(push.of("bob"), [(2, 1), (3, 2), (4, 3), (5, 4)]);
    assert_eq!(backends.inbox("bob", "g").await, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_push_that_never_succeeds_does_not_keep_rows_from_the_inboxes() {
    let backends = Backends::open().await;
    let push = Remembering::failing(u32::MAX);
    backends.make("g", &["alice", "bob"]).await;
    let last = backends.send("g", "alice", 2).await;
    let _running = backends.start(&push).await;
    backends.hint_of("g").await;
    backends.until_fanned_out("g", last).await;
    assert_eq!(backends.inbox("bob", "g").await, [2, 3]);
}

#[tokio::test]
async fn the_mark_does_not_pass_a_row_that_was_not_pushed() {
    let backends = Backends::open().await;
    let push = Remembering::failing(u32::MAX);
    backends.make("g", &["alice", "bob"]).await;
    backends.send("g", "alice", 5).await;
    let config = Config { push_attempts_max: u32::MAX, ..config() };
    let running = backends.start_with(config, backends.broker.clone(), &push).await;
    backends.hint_of("g").await;
    // Row 1 is for nobody, row 2 is not pushed, and row 3 is written meanwhile.
    backends.until_fanned_out("g", 1).await;
    let failures_left = push.failures_left.load(Ordering::Relaxed);
    while push.failures_left.load(Ordering::Relaxed) > failures_left - 3 {
        tokio::task::yield_now().await;
    }
    running.end().await;
    assert_eq!((backends.fanned_out_to("g").await, backends.inbox("bob", "g").await), (1, vec![2, 3]));
}

#[tokio::test]
async fn a_bad_hint_and_a_content_that_cannot_be_read_do_not_keep_others_back() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    backends.make("g", &["alice", "bob"]).await;
    let unreadable = backends.append("g", "alice", Bytes::from_static(&[0xff; 9]));
    backends.write(vec![unreadable]).await;
    let last = backends.send("g", "alice", 1).await;
    for key in ["", "no conversation", conversation("nobody").as_str(), conversation("g").as_str()] {
        backends.hint(key).await;
    }
    let _running = backends.start(&push).await;
    backends.until_fanned_out("g", last).await;
    assert_eq!(backends.inbox("bob", "g").await, [2, 3]);
    assert_eq!(push.of("bob"), [(3, 2)]);
}

#[tokio::test]
async fn a_group_that_hangs_does_not_keep_hints_of_others_from_being_read() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    *push.hangs_for.lock() = Some(conversation("slow"));
    for group in ["slow", "quick"] {
        backends.make(group, &["alice", "bob"]).await;
    }
    backends.send("slow", "alice", 1).await;
    let last = backends.send("quick", "alice", 1).await;
    let config = Config { batch_records_max: 1, batch_time_limit: Duration::from_millis(20), ..config() };
    let _running = backends.start_with(config, backends.broker.clone(), &push).await;
    backends.hint_of("slow").await;
    backends.hint_of("quick").await;
    backends.until_fanned_out("quick", last).await;
    assert_eq!(backends.fanned_out_to("slow").await, 1);
}

#[tokio::test]
async fn rows_of_a_group_that_is_not_there_rest_and_are_looked_past() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::default());
    let orphans: Vec<Append> = (0..20).map(|_| backends.append("missing", "alice", Bytes::new())).collect();
    backends.write(orphans).await;
    backends.make("g", &["alice", "bob"]).await;
    let last = backends.send("g", "alice", 1).await;
    let config = Config { sweep_intents_max: 4, ..sweeping() };
    let _running = backends.start_with(config, backends.broker.clone(), &push).await;
    backends.until_fanned_out("g", last).await;
    assert_eq!(push.of("bob"), [(2, 1)]);
    assert_eq!(backends.fanned_out_to("missing").await, 0);
}

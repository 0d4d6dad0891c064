//! Coming back: where a device stands, what it missed, what it has received.

use std::sync::atomic::Ordering;

use contracts::im::{Position, Resumed};
use futures_util::future::join_all;
use protocol::client::{GroupUpdate, Recall};

use super::*;

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn position(name: &str, device_name: &str, inbox_seq: u64) -> Position {
    Position { user: user(name), device: device(device_name), inbox_seq }
}

/// bob with this many messages in his inbox, all of them handed on.
async fn bob_with(backends: &Backends, count: u64) -> Running {
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    join_all(ids.iter().map(|id| running.say("alice", "bob", id))).await;
    push.until(|taken| taken.len() as u64 == 2 * count).await;
    running
}

async fn resume(running: &Running, device_name: &str, stated: Option<u64>) -> (u64, u64, u64) {
    let resumed = running.im().resume(&user("bob"), &device(device_name), stated).await.unwrap();
    let Resumed { inbox_top, acked_up_to, held_up_to, .. } = resumed;
    (inbox_top, acked_up_to, held_up_to)
}

#[tokio::test]
async fn a_device_stands_at_its_record_or_at_what_it_states() {
    let backends = Backends::open().await;
    let running = bob_with(&backends, 310).await;
    // (top, acked, held)
    assert_eq!(resume(&running, "new", None).await, (310, 0, 10), "a new device gets the last 300");
    assert_eq!(resume(&running, "phone", Some(300)).await, (310, 300, 300), "stated is received");
    assert_eq!(resume(&running, "phone", None).await, (310, 300, 300), "its record counts");
    assert_eq!(resume(&running, "phone", Some(0)).await, (310, 300, 0), "0 lowers no record");
    assert_eq!(resume(&running, "phone", Some(5)).await, (310, 300, 5));
    assert_eq!(resume(&running, "phone", Some(311)).await, (310, 300, 310), "past the top is no ack");
    assert_eq!(resume(&running, "phone", None).await, (310, 300, 300));
    assert_eq!(resume(&running, "tablet", Some(0)).await, (310, 0, 0));
    assert_eq!(resume(&running, "tablet", None).await, (310, 0, 10), "0 makes no record");
}

#[tokio::test]
async fn a_page_covers_what_lies_before_next() {
    let backends = Backends::open().await;
    let running = bob_with(&backends, 10).await;
    let rules = [
        // begin, end, limit → first and last seq, next
        (1, 0, 4, Some((1, 4)), 5),
        (5, 0, 4, Some((5, 8)), 9),
        (9, 0, 4, Some((9, 10)), 0),
        (7, 0, 4, Some((7, 10)), 0),
        (0, 0, 100, Some((1, 10)), 0),
        (2, 6, 100, Some((2, 6)), 7),
        (2, 6, 5, Some((2, 6)), 7),
        (2, 6, 4, Some((2, 5)), 6),
        (8, 10, 100, Some((8, 10)), 0),
        (8, 99, 100, Some((8, 10)), 0),
        (11, 0, 100, None, 0),
        (11, 12, 100, None, 0),
        (1, 1, 1, Some((1, 1)), 2),
    ];
    for (begin, end, limit, seqs, next) in rules {
        let page = running.im().page(&user("bob"), begin, end, limit).await.unwrap();
        let found: Vec<u64> = page.messages.iter().filter_map(|message| message.inbox_seq).collect();
        let expected: Vec<u64> = seqs.map_or_else(Vec::new, |(first, last)| (first..=last).collect());
        assert_eq!((found, page.next, page.top), (expected, next, 10), "{begin} to {end}, at most {limit}");
    }
    let error = running.im().page(&user("bob"), 5, 3, 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused(Code::InvalidArgument));
    let empty = running.im().page(&user("nobody"), 1, 0, 10).await.unwrap();
    assert_eq!((empty.messages.len(), empty.top, empty.next), (0, 0, 0));
}

#[tokio::test]
async fn acks_are_stored_when_answered_and_never_lowered() {
    let backends = Backends::open().await;
    let running = bob_with(&backends, 20).await;
    running.im().ack(vec![position("bob", "phone", 12), position("bob", "web", 3)]).await.unwrap();
    assert_eq!(backends.store.position(&user("bob"), &device("phone")).await.unwrap(), Some(12));
    running.im().ack(vec![position("bob", "phone", 7)]).await.unwrap();
    assert_eq!(backends.store.position(&user("bob"), &device("phone")).await.unwrap(), Some(12));
    assert_eq!(backends.store.position(&user("bob"), &device("web")).await.unwrap(), Some(3));
}

#[tokio::test]
async fn many_acks_are_one_write_and_the_highest_counts() {
    let backends = Backends::open().await;
    let running = bob_with(&backends, 1).await;
    let acks = (1..=200).rev().map(|seq| running.im().ack(vec![position("bob", "phone", seq)]));
    join_all(acks).await.into_iter().for_each(|answer| assert!(answer.is_ok()));
    assert_eq!(backends.store.position_writes.load(Ordering::Relaxed), 1);
    assert_eq!(backends.store.position(&user("bob"), &device("phone")).await.unwrap(), Some(200));
}

#[tokio::test]
async fn acks_beyond_the_bound_are_refused_as_overloaded() {
    let backends = Backends::open().await;
    let config = Config { position_calls_max: 4, ..Config::default() };
    let running = backends.start(config, &Arc::new(Remembering::new()));
    let acks = (1..=20).map(|seq| running.im().ack(vec![position("bob", "phone", seq)]));
    let answers = join_all(acks).await;
    let refused: Vec<Kind> = answers.into_iter().filter_map(Result::err).map(|error| error.kind()).collect();
    assert_eq!(refused, [Kind::Overloaded; 16]);
}

#[tokio::test]
async fn acks_that_were_taken_are_written_before_im_ends() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let im = running.im().clone();
    let ack = tokio::spawn(async move { im.ack(vec![position("bob", "phone", 3)]).await });
    tokio::task::yield_now().await;
    running.stop().await;
    ack.await.unwrap().unwrap();
    assert_eq!(backends.store.position(&user("bob"), &device("phone")).await.unwrap(), Some(3));
}

#[tokio::test]
async fn tops_are_read_from_the_store_only_where_the_cache_has_none() {
    let backends = Backends::open().await;
    let running = bob_with(&backends, 3).await;
    let users = [user("bob"), user("nobody"), user("alice")];
    assert_eq!(running.im().inbox_tops(&users).await.unwrap(), [3, 0, 3]);
    let reads = backends.store.top_reads.load(Ordering::Relaxed);
    assert_eq!(running.im().inbox_tops(&users).await.unwrap(), [3, 0, 3]);
    assert_eq!(backends.store.top_reads.load(Ordering::Relaxed), reads, "the cache was not asked");
}

#[tokio::test]
async fn a_top_rises_in_the_cache_with_what_is_stored() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    assert_eq!(running.im().inbox_tops(&[user("bob")]).await.unwrap(), [0]);
    running.say("alice", "bob", "c-1").await.unwrap();
    push.until(|taken| taken.len() == 2).await;
    assert_eq!(running.im().inbox_tops(&[user("bob")]).await.unwrap(), [1]);
}

#[tokio::test]
async fn rows_that_are_no_messages_stand_in_pages_with_their_kind() {
    let backends = Backends::open().await;
    let running = backends.start(unswept(), &Arc::new(Remembering::new()));
    running.group("team", &["alice", "bob"], "").await;
    running.say_in("team", "alice", "c-1").await.unwrap();
    let update =
        GroupUpdate { group: "team".to_owned(), name: Some("Crew".to_owned()), ..GroupUpdate::default() };
    ask!(running, "alice", GroupUpdate, update).unwrap();
    let recall = Recall { conversation: "group:team".to_owned(), seq: 2 };
    ask!(running, "alice", Recall, recall).unwrap();
    backends.fan_out("team").await;
    let page = running.im().page(&user("bob"), 1, 0, 10).await.unwrap();
    let row = |row: &Message| (row.inbox_seq, row.seq, row.kind.clone().unwrap_or_default(), row.target);
    let rows: Vec<_> = page.messages.iter().map(row).collect();
    let expected = [
        (Some(1), 2, String::new(), None),
        (Some(2), 3, "updated".to_owned(), None),
        (Some(3), 4, "recalled".to_owned(), Some(2)),
    ];
    assert_eq!(rows, expected);
    assert_eq!((page.messages[0].recalled, &page.messages[0].content), (Some(true), &None));
    assert!(page.messages.iter().all(|row| row.group.as_deref() == Some("team") && row.to.is_none()));
}

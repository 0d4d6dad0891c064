//! From the commit to push: in order, and nothing is lost on the way.

use futures_util::future::join_all;

use super::*;

fn text(words: &str) -> Bytes {
    let content = Some(Content::Text(words.to_owned()).into());
    mailbox::encode_content(&Message { to: Some(to_user("bob")), content, ..Message::default() })
}

#[tokio::test]
async fn both_users_are_pushed_to_and_the_intent_is_removed() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    running.say("carol", "bob", "earlier").await.unwrap();
    let reply = running.say("alice", "bob", "c-1").await.unwrap();
    push.until(|taken| taken.len() == 4).await;
    backends.until_no_intents().await;

    let taken = push.taken.borrow().clone();
    let of = |name: &str| taken.iter().rfind(|push| push.user == user(name)).unwrap();
    assert_eq!((of("alice").inbox_seq, of("bob").inbox_seq), (1, 2));
    assert_eq!(of("alice").except, Some(ConnectionId(77)), "its reply carried the seq");
    assert!(Arc::ptr_eq(&of("alice").message, &of("bob").message), "the body was copied");
    let page = running.im().page(&user("bob"), 2, 0, 1).await.unwrap();
    let stored = Message { inbox_seq: None, ..page.messages[0].clone() };
    assert_eq!((&*of("bob").message, stored.message_id), (&stored, reply.message_id));
}

#[tokio::test]
async fn what_waits_together_is_pushed_in_the_order_of_the_inbox() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    push.open.send_replace(false);
    let running = backends.start(Config::default(), &push);
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let senders = ["alice", "carol", "dave", "erin"];
    let sends = ids.iter().enumerate().map(|(index, id)| running.say(senders[index % 4], "bob", id));
    join_all(sends).await.into_iter().for_each(|reply| assert!(reply.is_ok()));
    push.open.send_replace(true);
    push.until(|taken| taken.len() == 200).await;
    assert_eq!(push.seqs_of("bob"), (1..=100).collect::<Vec<u64>>());
    assert_eq!(push.seqs_of("alice"), (1..=25).collect::<Vec<u64>>());
}

#[tokio::test]
async fn no_push_is_lost_when_lanes_are_full() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    push.open.send_replace(false);
    let config = Config { lane_count: 1, lane_jobs_max: 2, lane_batch_max: 2, ..hurried() };
    let running = backends.start(config, &push);
    for number in 0..50 {
        // Push does not take anything, and every send is answered all the same.
        running.say("alice", "bob", &number.to_string()).await.unwrap();
    }
    push.open.send_replace(true);
    backends.until_no_intents().await;
    for name in ["alice", "bob"] {
        let mut seqs = push.seqs_of(name);
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs, (1..=50).collect::<Vec<u64>>(), "{name} missed a push");
    }
}

#[tokio::test]
async fn what_a_process_left_behind_is_handed_on_by_the_next_one() {
    let backends = Backends::open().await;
    backends.store_unhanded(vec![text("one"), text("two")], &[user("alice"), user("bob")]).await;
    let push = Arc::new(Remembering::new());
    let _running = backends.start(Config::default(), &push);
    push.until(|taken| taken.len() == 4).await;
    assert_eq!((push.seqs_of("alice"), push.seqs_of("bob")), (vec![1, 2], vec![1, 2]));
    assert_eq!(push.taken.borrow()[0].message.client_message_id, "lying-0");
    backends.until_no_intents().await;
}

#[tokio::test]
async fn a_message_is_handed_on_once_push_is_back() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    *push.failure.lock() = Some(Kind::Unavailable);
    let running = backends.start(hurried(), &push);
    running.say("alice", "bob", "c-1").await.unwrap();
    assert_eq!(backends.intents().await.len(), 1);
    *push.failure.lock() = None;
    push.until(|taken| taken.iter().any(|push| push.user == user("bob"))).await;
    backends.until_no_intents().await;
}

#[tokio::test]
async fn a_message_that_push_never_takes_does_not_keep_others_back() {
    let backends = Backends::open().await;
    let mut push = Remembering::new();
    push.poisoned.insert(user("mallory"));
    push.open.send_replace(false);
    let push = Arc::new(push);
    let config = Config { lane_count: 1, sweep_intents_max: 1, ..hurried() };
    let running = backends.start(config, &push);
    running.say("mallory", "bob", "poison").await.unwrap();
    for number in 0..10 {
        running.say("alice", "bob", &number.to_string()).await.unwrap();
    }
    push.open.send_replace(true);
    push.until(|taken| (1..=11).all(|seq| taken.iter().any(|push| push.inbox_seq == seq))).await;
    backends.until_no_intents().await;
    assert!(push.seqs_of("mallory").is_empty());
}

#[tokio::test]
async fn a_message_that_cannot_be_read_does_not_keep_others_back() {
    let backends = Backends::open().await;
    let contents = vec![Bytes::from_static(&[0xff; 9]), text("readable")];
    backends.store_unhanded(contents, &[user("alice"), user("bob")]).await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config { sweep_intents_max: 1, ..hurried() }, &push);
    push.until(|taken| taken.len() >= 2).await;
    backends.until_no_intents().await;
    // A sweep that is behind may hand a message on twice.
    assert!(push.seqs_of("bob").iter().all(|inbox_seq| *inbox_seq == 2));
    let page = running.im().page(&user("bob"), 1, 0, 10).await.unwrap();
    assert_eq!((page.messages.len(), page.messages[0].inbox_seq, page.next), (1, Some(2), 0));
}

#[tokio::test]
async fn what_was_taken_is_handed_on_before_im_ends() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    push.open.send_replace(false);
    let running = backends.start(Config::default(), &push);
    for number in 0..20 {
        running.say("alice", "bob", &number.to_string()).await.unwrap();
    }
    running.stop.trigger();
    push.open.send_replace(true);
    running.stop().await;
    assert_eq!(push.seqs_of("bob"), (1..=20).collect::<Vec<u64>>());
    assert_eq!(backends.intents().await, []);
}

#[tokio::test]
async fn intents_are_removed_many_at_once() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let ids: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    join_all(ids.iter().map(|id| running.say("alice", "bob", id))).await;
    backends.until_no_intents().await;
    let clearings = backends.store.clearings.load(std::sync::atomic::Ordering::Relaxed);
    assert!(clearings < 20, "{clearings} calls for 200 messages");
}

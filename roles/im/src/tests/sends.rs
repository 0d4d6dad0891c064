//! Sending: what is stored, what is answered, what is refused.

use backends::broker::Topic;
use contracts::push::Record;
use futures_util::future::join_all;
use prost::Message as _;
use protocol::Code;
use protocol::client::Custom;

use super::*;

#[tokio::test]
async fn an_answered_message_lies_in_both_inboxes() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("carol", "alice", "earlier").await.unwrap();
    let before_ms = now_ms();
    let reply = running.say("alice", "bob", "c-1").await.unwrap();

    assert_eq!((reply.conversation.as_str(), reply.seq), ("single:5:alice:bob", 1));
    assert_eq!(reply.inbox_seq, Some(2), "the sender's own inbox had a message");
    assert!((before_ms..=now_ms()).contains(&reply.time_ms));
    for (name, inbox_seq) in [("alice", 2), ("bob", 1)] {
        let page = running.im().page(&user(name), inbox_seq, 0, 10).await.unwrap();
        let [message] = &page.messages[..] else { panic!("{name} has {} messages", page.messages.len()) };
        assert_eq!(message.inbox_seq, Some(inbox_seq));
        assert_eq!((message.message_id, message.seq), (reply.message_id, 1));
        assert_eq!((message.sender.as_str(), message.client_message_id.as_str()), ("alice", "c-1"));
        assert_eq!((message.to.clone(), message.time_ms), (Some(to_user("bob")), reply.time_ms));
        assert_eq!(message.content, Some(Content::Text("hi".to_owned()).into()));
    }
}

#[tokio::test]
async fn a_message_to_oneself_is_in_the_inbox_once() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let reply = running.say("alice", "alice", "note").await.unwrap();
    assert_eq!((reply.seq, reply.inbox_seq), (1, Some(1)));
    assert_eq!(running.im().page(&user("alice"), 1, 0, 10).await.unwrap().messages.len(), 1);
}

#[tokio::test]
async fn the_same_client_message_id_gets_the_first_answer_whatever_else_it_says() {
    let backends = Backends::open().await;
    let push = Arc::new(Remembering::new());
    let running = backends.start(Config::default(), &push);
    let first = running.say("alice", "bob", "c-1").await.unwrap();
    backends.until_no_intents().await;
    let again = running.say("alice", "bob", "c-1").await.unwrap();
    let other = running.im().send(request("alice", to_user("carol"), "c-1", "other words")).await.unwrap();
    assert_eq!((&again, &other), (&first, &first));
    assert_eq!(running.im().inbox_tops(&[user("bob"), user("carol")]).await.unwrap(), [1, 0]);
    let another_sender = running.say("carol", "bob", "c-1").await.unwrap();
    assert_ne!(another_sender.message_id, first.message_id);
    running.stop().await;
    assert_eq!(push.seqs_of("bob"), [1, 2], "a duplicate was pushed");
}

#[tokio::test]
async fn messages_sent_without_waiting_are_stored_in_their_order() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let ids: Vec<String> = (1..=200).map(|number| format!("c-{number}")).collect();
    let replies = join_all(ids.iter().map(|id| running.say("alice", "bob", id))).await;
    let seqs: Vec<u64> = replies.into_iter().map(|reply| reply.unwrap().seq).collect();
    assert_eq!(seqs, (1..=200).collect::<Vec<u64>>());
    let page = running.im().page(&user("bob"), 1, 0, 500).await.unwrap();
    let stored: Vec<&str> = page.messages.iter().map(|message| message.client_message_id.as_str()).collect();
    assert_eq!(stored, ids);
    assert!(page.messages.is_sorted_by(|one, next| one.message_id < next.message_id));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_and_not_stored() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let group = Target { target: Some(target::Target::Group("g".to_owned())) };
    let custom = Content::Custom(Custom { r#type: String::new(), body: Bytes::new() });
    let refused = [
        (request("alice", to_user("bob"), "", "hi"), Code::InvalidArgument),
        (request("alice", to_user("bob"), &"x".repeat(65), "hi"), Code::InvalidArgument),
        (request("alice", to_user("bob"), "c", ""), Code::InvalidArgument),
        (request("alice", to_user("bob"), "c", &"x".repeat(5_001)), Code::TooLarge),
        (SendRequest { content: custom, ..request("alice", to_user("bob"), "c", "") }, Code::InvalidArgument),
        (request("alice", to_user("0"), "c", "hi"), Code::InvalidArgument),
        (request("alice", to_user(""), "c", "hi"), Code::InvalidArgument),
        (request("alice", to_room("a\nb"), "c", "hi"), Code::InvalidArgument),
        (request("alice", Target { target: None }, "c", "hi"), Code::InvalidArgument),
        (request("alice", group, "c", "hi"), Code::Unsupported),
    ];
    for (request, code) in refused {
        let to = request.to.clone();
        let error = running.im().send(request).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused(code), "{to:?}: {error}");
    }
    assert_eq!(running.im().inbox_tops(&[user("alice"), user("bob")]).await.unwrap(), [0, 0]);
    let longest = "x".repeat(64);
    running.say("alice", "bob", &longest).await.unwrap();
}

#[tokio::test]
async fn a_message_to_a_room_goes_to_the_topic_and_is_not_stored() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    let mut subscription = backends.broker.subscribe(Topic::Push, "push").await.unwrap();
    let reply = running.im().send(request("alice", to_room("live://1"), "c-1", "hello")).await.unwrap();
    assert_eq!((reply.conversation.as_str(), reply.seq, reply.inbox_seq), ("", 0, None));

    let delivered = subscription.next(10).await.unwrap();
    assert_eq!((delivered.len(), &delivered[0].key[..]), (1, &b"live://1"[..]));
    let record = Record::decode(delivered[0].value.clone()).unwrap();
    let message = record.message.unwrap();
    assert_eq!((record.room.as_str(), message.room.as_str()), ("live://1", "live://1"));
    assert_eq!(
        (message.sender.as_deref(), message.client_message_id.as_deref()),
        (Some("alice"), Some("c-1"))
    );
    assert_eq!(message.time_ms, Some(reply.time_ms));
    assert_eq!(message.content, Some(Content::Text("hello".to_owned()).into()));
    let direct = running.say("alice", "bob", "c-2").await.unwrap();
    assert_eq!(direct.inbox_seq, Some(1));
    assert!(direct.message_id > reply.message_id);
}

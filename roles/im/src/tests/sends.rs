//! Sending: what is stored, what is answered, what is refused.

use backends::broker::Topic;
use contracts::push::Record;
use futures_util::future::join_all;
use prost::Message as _;
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
    let with = |change: fn(&mut client::Send)| {
        let mut request = request("alice", to_user("bob"), "c", "hi");
        change(&mut request.send);
        request
    };
    let custom = |send: &mut client::Send| {
        send.content = Some(Content::Custom(Custom { r#type: String::new(), body: Bytes::new() }).into());
    };
    let refused = [
        (request("alice", to_user("bob"), "", "hi"), Code::InvalidArgument),
        (request("alice", to_user("bob"), &"x".repeat(65), "hi"), Code::InvalidArgument),
        (request("alice", to_user("bob"), "\u{1}recall:1", "hi"), Code::InvalidArgument),
        (request("alice", to_user("bob"), "c", ""), Code::InvalidArgument),
        (request("alice", to_user("bob"), "c", &"x".repeat(5_001)), Code::TooLarge),
        (with(custom), Code::InvalidArgument),
        (with(|send| send.content = None), Code::InvalidArgument),
        (with(|send| send.to = None), Code::InvalidArgument),
        (with(|send| send.mentions = vec![String::new()]), Code::InvalidArgument),
        (with(|send| send.mentions = names(&["bob", "bob"])), Code::InvalidArgument),
        (with(|send| send.mentions = (0..101).map(|id| format!("u{id}")).collect()), Code::InvalidArgument),
        (request("alice", to_user("0"), "c", "hi"), Code::InvalidArgument),
        (request("alice", to_user(""), "c", "hi"), Code::InvalidArgument),
        (request("alice", to_room("a\nb"), "c", "hi"), Code::InvalidArgument),
        (request("alice", to_group(""), "c", "hi"), Code::InvalidArgument),
        (request("alice", Target { target: None }, "c", "hi"), Code::InvalidArgument),
        (request("alice", to_group("g"), "c", "hi"), Code::NotFound),
    ];
    for (request, code) in refused {
        let shown = format!("{:?}", request.send).chars().take(120).collect::<String>();
        let error = running.im().send(request).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused(code), "{shown}: {error}");
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

#[tokio::test]
async fn a_message_keeps_whom_it_means_and_what_it_answers() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    let mut answer = request("bob", to_user("alice"), "c-2", "yes");
    answer.send.mentions = names(&["alice"]);
    answer.send.reply_to = 1;
    running.im().send(answer).await.unwrap();
    let page = running.im().page(&user("alice"), 2, 0, 10).await.unwrap();
    let [message] = &page.messages[..] else { panic!("{page:?}") };
    assert_eq!(
        (&message.mentions, message.reply_to, message.mention_all),
        (&names(&["alice"]), Some(1), None)
    );
}

#[tokio::test]
async fn who_is_blocked_cannot_write_and_who_blocks_can() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    running.say("alice", "bob", "c-1").await.unwrap();
    ask!(running, "bob", Block, client::Block { user: "alice".to_owned() }).unwrap();
    assert_eq!(code_of(running.say("alice", "bob", "c-2").await), Code::Blocked);
    assert_eq!(running.say("alice", "bob", "c-1").await.unwrap().seq, 1, "the first answer stays");
    running.say("bob", "alice", "c-1").await.unwrap();
    assert_eq!(running.im().page(&user("bob"), 1, 0, 10).await.unwrap().top, 2);
    ask!(running, "bob", Unblock, client::Unblock { user: "alice".to_owned() }).unwrap();
    running.say("alice", "bob", "c-2").await.unwrap();
}

#[tokio::test]
async fn where_the_business_begins_conversations_a_client_only_goes_on() {
    let backends = Backends::open().await;
    let config = Config { single_chat: SingleChatRule::Existing, ..Config::default() };
    let running = backends.start(config, &Arc::new(Remembering::new()));
    assert_eq!(code_of(running.say("alice", "bob", "c-1").await), Code::NotAllowed);
    let begin = br#"{"from":"shop","to":{"user":"alice"},"text":"welcome"}"#;
    let (status, reply) = api::post(&running, std::str::from_utf8(begin).unwrap()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(running.say("alice", "shop", "c-2").await.unwrap().seq, 2);
}

#[tokio::test]
async fn a_request_about_a_connection_is_not_ims() {
    let backends = Backends::open().await;
    let running = backends.start(Config::default(), &Arc::new(Remembering::new()));
    for request in [
        RequestKind::Heartbeat(client::Heartbeat {}),
        RequestKind::Sync(client::Sync::default()),
        RequestKind::Unwatch(client::Unwatch::default()),
        RequestKind::Send(client::Send::default()),
    ] {
        assert_eq!(code_of(running.ask("alice", request).await), Code::UnknownRequest);
    }
}

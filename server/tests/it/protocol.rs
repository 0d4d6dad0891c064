//! Anser's own protocol: requests and their answers, in every encoding and as JSON texts.

use anser_client::{Error, ReplyKind, RequestKind};
use protocol::client::{self, send};
use serde_json::{Value, json};

use crate::support::chat::{
    CARRIERS, Carrier, JsonChat, ask, device, hello, live, message, open, push, refused, say, sync, text_of,
    to_user, words,
};
use crate::support::server::Shared;
use crate::support::websocket::{BINARY, TEXT};
use crate::support::{unique, within};

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn auth_is_answered_with_who_where_and_how_far() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let user = unique("user");
        let (connection, reply) = device(&server, carrier, hello(&user, "phone", None)).await;
        assert_eq!(reply.user, user);
        assert!(!reply.connection.is_empty() && !reply.server.is_empty(), "{reply:?}");
        assert_eq!((reply.inbox_top, reply.acked_up_to), (0, 0));
        assert!((1_000..=600_000).contains(&reply.heartbeat_ms), "{reply:?}");
        let (_other, other) = device(&server, carrier, hello(&user, "tablet", None)).await;
        assert_ne!(reply.connection, other.connection);
        assert_eq!(reply.server, other.server);
        drop(connection);
    }
}

#[tokio::test]
async fn json_has_every_documented_field_also_when_it_is_0() {
    let server = SERVER.get();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut chat = JsonChat::open(&server).await;
    let request = json!({"user": alice, "device": "web-1", "platform": "web", "inboxSeq": 0, "rooms": []});
    let reply = chat.request("auth", request).await;
    assert_fields(&reply, &["seq", "auth"]);
    assert_eq!(reply["seq"], 1);
    assert_fields(
        &reply["auth"],
        &["user", "connection", "server", "inboxTop", "ackedUpTo", "heartbeatMs", "groups", "groupsNext"],
    );
    assert_eq!((&reply["auth"]["inboxTop"], &reply["auth"]["ackedUpTo"]), (&json!(0), &json!(0)));
    assert_eq!(chat.push().await, json!({"syncDone": {"inboxSeq": 0}}));

    let send = json!({"to": {"user": bob}, "clientMessageId": "c-1", "text": "hi"});
    let reply = chat.request("send", send).await;
    let sent = &reply["send"];
    assert_fields(sent, &["messageId", "conversation", "seq", "inboxSeq", "timeMs"]);
    assert!(sent["messageId"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!((&sent["seq"], &sent["inboxSeq"]), (&json!(1), &json!(1)));
    assert!(sent["timeMs"].as_u64().unwrap() > 1_600_000_000_000, "{sent}");

    let page = chat.request("sync", json!({"begin": 1, "end": 0, "limit": 100})).await;
    let message = json!({
        "inboxSeq": 1, "conversation": sent["conversation"], "seq": 1, "messageId": sent["messageId"],
        "sender": alice, "to": {"user": bob}, "clientMessageId": "c-1", "timeMs": sent["timeMs"], "text": "hi"
    });
    assert_eq!(page, json!({"seq": 3, "sync": {"messages": [message], "top": 1, "next": 0}}));
    assert_eq!(
        chat.request("heartbeat", json!({})).await,
        json!({"seq": 4, "heartbeat": {"inboxTop": 1, "groups": []}})
    );
    assert_eq!(chat.request("join", json!({"rooms": ["live://1"]})).await, json!({"seq": 5, "join": {}}));
    assert_eq!(chat.request("leave", json!({"rooms": ["live://1"]})).await, json!({"seq": 6, "leave": {}}));
    let acked = chat.request("ack", json!({"inboxSeq": 1})).await;
    assert_eq!(acked, json!({"seq": 7, "ack": {"ackedUpTo": 1}}));
}

fn assert_fields(value: &Value, expected: &[&str]) {
    let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = expected.to_vec();
    fields.sort_unstable();
    expected.sort_unstable();
    assert_eq!(fields, expected, "{value}");
}

#[tokio::test]
async fn a_message_reaches_all_devices_of_both_but_the_sending_one() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut phone = live(&server, carrier, &alice, "phone").await;
        let mut others = Vec::new();
        for other in CARRIERS {
            others.push(live(&server, other, &alice, &format!("{other:?}")).await);
            others.push(live(&server, other, &bob, &format!("{other:?}")).await);
        }
        let sent = say(&mut phone, &bob, "hello").await;
        assert_eq!((sent.seq, sent.inbox_seq), (1, Some(1)));
        for other in &mut others {
            let message = message(other).await;
            assert_eq!((message.inbox_seq, message.seq, text_of(&message)), (Some(1), 1, "hello"));
            assert_eq!((&message.sender, message.message_id), (&alice, sent.message_id));
            assert_eq!((&message.conversation, message.time_ms), (&sent.conversation, sent.time_ms));
            assert_eq!(message.to, Some(to_user(&bob)));
        }
        // The sending device is told by its reply alone: what comes to it next is the answer from bob.
        let answer = say(&mut others[1], &alice, "hello back").await;
        assert_eq!((answer.seq, answer.inbox_seq), (2, Some(2)));
        assert_eq!(text_of(&message(&mut phone).await), "hello back");
    }
}

#[tokio::test]
async fn messages_of_one_sender_arrive_in_the_order_of_their_seqs() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut sender = live(&server, carrier, &alice, "d").await;
        let mut receiver = live(&server, carrier, &bob, "d").await;
        let mut seqs = Vec::new();
        for count in 0..100 {
            let request = words(to_user(&bob), &format!("c-{count}"), &count.to_string());
            seqs.push(within("sending", sender.send(request)).await.unwrap());
        }
        for (count, seq) in (1..).zip(seqs) {
            let reply = within("an answer", sender.reply(seq)).await.unwrap();
            let ReplyKind::Send(reply) = reply else { panic!("{reply:?}") };
            assert_eq!((reply.seq, reply.inbox_seq), (count, Some(count)));
        }
        for count in 0..100 {
            let message = message(&mut receiver).await;
            assert_eq!((message.inbox_seq, message.seq), (Some(count + 1), count + 1));
            assert_eq!(text_of(&message), count.to_string());
        }
    }
}

#[tokio::test]
async fn the_same_client_message_id_gets_the_first_answer_and_is_stored_once() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut sender = live(&server, carrier, &alice, "d").await;
        let mut other_device = live(&server, Carrier::Tcp, &alice, "other").await;
        let mut receiver = live(&server, carrier, &bob, "d").await;
        let first: client::SendReply = ask(&mut sender, words(to_user(&bob), "same", "once")).await;
        let again: client::SendReply = ask(&mut sender, words(to_user(&bob), "same", "once")).await;
        let elsewhere: client::SendReply = ask(&mut other_device, words(to_user(&bob), "same", "else")).await;
        for reply in [&again, &elsewhere] {
            assert_eq!(reply.message_id, first.message_id);
            assert_eq!((reply.seq, reply.time_ms), (first.seq, first.time_ms));
            assert_eq!(reply.conversation, first.conversation);
        }
        // The id belongs to its sender: bob's is another.
        let of_bob: client::SendReply = ask(&mut receiver, words(to_user(&alice), "same", "mine")).await;
        assert_ne!(of_bob.message_id, first.message_id);
        assert_eq!(text_of(&message(&mut receiver).await), "once");
        let page: client::SyncReply = ask(&mut receiver, sync(1, 0, 100)).await;
        assert_eq!(page.messages.iter().map(text_of).collect::<Vec<_>>(), ["once", "mine"]);
    }
}

#[tokio::test]
async fn a_chat_with_oneself_is_one_message() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let user = unique("solo");
        let mut phone = live(&server, carrier, &user, "phone").await;
        let mut tablet = live(&server, carrier, &user, "tablet").await;
        for count in 1..=3 {
            let sent = say(&mut phone, &user, &format!("note {count}")).await;
            assert_eq!((sent.seq, sent.inbox_seq), (count, Some(count)));
            let message = message(&mut tablet).await;
            assert_eq!((message.inbox_seq, message.seq), (Some(count), count));
        }
        let page: client::SyncReply = ask(&mut phone, sync(1, 0, 100)).await;
        assert_eq!((page.messages.len(), page.top), (3, 3));
    }
}

#[tokio::test]
async fn every_content_type_arrives_as_it_was_sent() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut sender = live(&server, carrier, &alice, "d").await;
        let mut receiver = live(&server, carrier, &bob, "d").await;
        let image = client::Image {
            name: "cat.png".to_owned(),
            hash: "abc".to_owned(),
            url: "https://example.com/cat.png".to_owned(),
            r#type: "image/png".to_owned(),
            width: 640,
            height: 480,
            size: 5_000_000_000,
        };
        let custom = client::Custom { r#type: "gift".to_owned(), body: vec![0, 0xff, 7].into() };
        let contents = [
            (
                send::Content::Text("雪 \"\\\n\u{0}".to_owned()),
                client::message::Content::Text("雪 \"\\\n\u{0}".to_owned()),
            ),
            (send::Content::Image(image.clone()), client::message::Content::Image(image)),
            (send::Content::Custom(custom.clone()), client::message::Content::Custom(custom)),
        ];
        for (sent, received) in contents {
            let request = client::Send {
                to: Some(to_user(&bob)),
                client_message_id: unique("c"),
                content: Some(sent),
                ..client::Send::default()
            };
            let _: client::SendReply = ask(&mut sender, RequestKind::Send(request)).await;
            assert_eq!(message(&mut receiver).await.content, Some(received));
        }
    }
}

#[tokio::test]
async fn what_is_too_large_or_wrong_is_refused_and_the_connection_stays() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut sender = live(&server, carrier, &alice, "d").await;
        let to = || to_user(&bob);
        let largest = "雪".repeat(5_000);
        let sent: client::SendReply = ask(&mut sender, words(to(), "c-largest", &largest)).await;
        assert_eq!(sent.seq, 1);
        assert_eq!(refused(&mut sender, words(to(), "c", &format!("{largest}x"))).await, 41301);
        for request in [
            words(to(), "c", ""),
            words(to(), "", "hi"),
            words(to(), &"c".repeat(65), "hi"),
            words(to_user(""), "c", "hi"),
            words(to_user("0"), "c", "hi"),
            words(to_user(&"u".repeat(65)), "c", "hi"),
            words(to_user("tab\there"), "c", "hi"),
            words(client::Target { target: None }, "c", "hi"),
            RequestKind::Send(client::Send {
                to: None,
                client_message_id: "c".to_owned(),
                content: Some(send::Content::Text("hi".to_owned())),
                ..client::Send::default()
            }),
            RequestKind::Send(client::Send {
                to: Some(to()),
                client_message_id: "c".to_owned(),
                ..client::Send::default()
            }),
        ] {
            let shown = format!("{request:?}");
            assert_eq!(refused(&mut sender, request).await / 100, 400, "{shown}");
        }
        let sent = say(&mut sender, &bob, "still here").await;
        assert_eq!(sent.seq, 2, "what was refused took no seq");
    }
}

#[tokio::test]
async fn a_group_that_does_not_exist_is_not_found() {
    let server = SERVER.get();
    let mut alice = JsonChat::live(&server, &unique("alice"), "d").await;
    let error =
        alice.refused("send", json!({"to": {"group": "g"}, "clientMessageId": "c", "text": "hi"})).await;
    let number = error["number"].as_u64().unwrap();
    assert!(number / 100 == 404 || number == 50101, "{error}");
    assert_eq!(error["retryable"], false);
}

#[tokio::test]
async fn a_request_before_auth_or_a_second_auth_is_refused() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let user = unique("user");
        let mut connection = open(&server, carrier).await;
        let seq = connection.send(RequestKind::Heartbeat(client::Heartbeat {})).await.unwrap();
        match within("an answer", connection.reply(seq)).await {
            Ok(ReplyKind::Error(error)) => assert_eq!(error.number, 40003),
            other => panic!("{carrier:?}: {other:?}"),
        }
        let mut connection = live(&server, carrier, &user, "d").await;
        let again = RequestKind::Auth(hello(&user, "d", None));
        assert_eq!(refused(&mut connection, again).await, 40003);
        assert_eq!(say(&mut connection, &user, "still here").await.seq, 1);
    }
}

#[tokio::test]
async fn an_unknown_request_gets_an_error_with_its_seq_and_the_connection_stays() {
    let server = SERVER.get();
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    chat.send_text(r#"{"seq":77,"dance":{"with":"bob"}}"#).await;
    let reply = chat.reply(77).await;
    assert_eq!(reply["error"]["number"], 40001);
    assert_eq!(reply["error"]["code"], "unknown_request");
    assert_eq!(reply["error"]["retryable"], false);
    assert!(reply["error"]["message"].as_str().unwrap().contains("dance"), "{reply}");
    chat.send_text(r#"{"seq":78}"#).await;
    assert_eq!(chat.reply(78).await["error"]["number"], 40001);
    chat.send_text(r#"{"seq":79,"ack":{"inboxSeq":"x"}}"#).await;
    assert_eq!(chat.reply(79).await["error"]["number"], 40000);
    chat.ask("heartbeat", json!({})).await;
}

#[tokio::test]
async fn json_that_cannot_be_read_is_answered_with_malformed() {
    let server = SERVER.get();
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    for text in ["", "{", "[]", "null", "7", "\"auth\"", "{\"seq\":-1,\"heartbeat\":{}}", "{\"seq\":\"x\"}"] {
        chat.send_text(text).await;
        let reply = chat.next().await.expect("an answer to what cannot be read");
        assert_eq!((&reply["seq"], &reply["error"]["number"]), (&json!(0), &json!(40002)), "{text}");
    }
    chat.ask("heartbeat", json!({})).await;
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let server = SERVER.get();
    let user = unique("user");
    let mut chat = JsonChat::open(&server).await;
    let auth = json!({"user": user, "device": "d", "inboxSeq": 0, "later": [1, {"x": null}]});
    chat.send_text(&json!({"seq": 1, "auth": auth, "trace": "abc"}).to_string()).await;
    assert_eq!(chat.reply(1).await["auth"]["user"], user.as_str());
    chat.sync_done().await;
    let send = json!({"to": {"user": user, "x": 1}, "clientMessageId": "c", "text": "hi", "mood": "good"});
    chat.send_text(&json!({"seq": 2, "send": send}).to_string()).await;
    assert_eq!(chat.reply(2).await["send"]["seq"], 1);
}

#[tokio::test]
async fn a_binary_message_to_json_and_a_text_to_protobuf_do_not_end_the_server() {
    let server = SERVER.get();
    let mut chat = JsonChat::live(&server, &unique("user"), "d").await;
    chat.socket.send(BINARY, &[0, 159, 146, 150]).await;
    // It is answered or closed; a message that can be read is as good as a text.
    let _ = chat.next().await;
    let mut socket = crate::support::websocket::WebSocket::connect(server.ws, Some("anser.v1.pb")).await;
    socket.send(TEXT, b"{\"seq\":1,\"auth\":{}}").await;
    let _ = socket.next().await;
    let mut other = JsonChat::live(&server, &unique("user"), "d").await;
    other.ask("heartbeat", json!({})).await;
}

#[tokio::test]
async fn a_message_in_fragments_is_read_as_one() {
    let server = SERVER.get();
    let user = unique("user");
    let mut chat = JsonChat::live(&server, &user, "d").await;
    let text = json!({"seq": 9, "send": {"to": {"user": user}, "clientMessageId": "c", "text": "雪雪雪"}});
    let bytes = text.to_string().into_bytes();
    // A character is cut in two: only the whole message has to be UTF-8.
    let cut = bytes.windows(3).position(|window| window == "雪".as_bytes()).unwrap() + 1;
    chat.socket.send_bytes(&crate::support::websocket::frame(TEXT, &bytes[..cut], true)).await;
    chat.socket.send_bytes(&crate::support::websocket::frame(0x80, &bytes[cut..], true)).await;
    assert_eq!(chat.reply(9).await["send"]["seq"], 1);
}

#[tokio::test]
async fn the_subprotocol_is_the_first_that_the_server_knows() {
    let server = SERVER.get();
    let connect = async |offered: &'static str| {
        let headers = [("Sec-WebSocket-Protocol", offered)];
        crate::support::websocket::WebSocket::handshake(server.ws, "/sub", &headers).await
    };
    assert_eq!(connect("anser.v1.pb").await.unwrap().subprotocol.as_deref(), Some("anser.v1.pb"));
    let first_known = connect("other, anser.v1.json, anser.v1.pb").await.unwrap();
    assert_eq!(first_known.subprotocol.as_deref(), Some("anser.v1.json"));
    // None is known: the server either says so by naming none, or refuses.
    match connect("mqtt").await {
        Ok(socket) => assert_eq!(socket.subprotocol, None),
        Err(response) => assert_eq!(response.status / 100, 4, "{response:?}"),
    }
}

#[tokio::test]
async fn a_closed_connection_is_told_apart_from_a_lost_one() {
    let server = SERVER.get();
    let user = unique("user");
    let mut first = live(&server, Carrier::Json, &user, "same").await;
    let _second = live(&server, Carrier::Json, &user, "same").await;
    let push = push(&mut first).await;
    assert!(matches!(&push, anser_client::Push::Kicked(kicked) if kicked.number == 4503), "{push:?}");
    match within("the end", first.next()).await {
        Err(Error::Closed(kicked)) => assert_eq!(kicked.number, 4503),
        other => panic!("{other:?}"),
    }
}

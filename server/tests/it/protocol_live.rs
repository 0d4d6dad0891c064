//! What comes while a device is connected: heartbeats, lost messages, replaced devices, pushes of the API.

use std::time::{Duration, Instant};

use anser_client::{Connection, Error, Push, RequestKind};
use protocol::client;
use serde_json::json;

use crate::support::chat::{
    CARRIERS, Carrier, JsonChat, ask, device, hello, inbox, live, message, push, replay, say, text_of,
};
use crate::support::http::{post, request};
use crate::support::server::Shared;
use crate::support::websocket::CLOSE;
use crate::support::{PATIENCE, unique, within};

static SERVER: Shared = Shared::new();

#[tokio::test]
async fn a_heartbeat_tells_the_top_of_the_inbox() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let (alice, bob) = (unique("alice"), unique("bob"));
        let mut sender = live(&server, carrier, &alice, "d").await;
        let mut receiver = live(&server, carrier, &bob, "d").await;
        for count in 1..=3 {
            say(&mut sender, &bob, "hi").await;
            top_becomes(&mut sender, count).await;
            top_becomes(&mut receiver, count).await;
        }
    }
}

/// The top that a heartbeat tells may be a little behind, and never for longer than between two heartbeats.
async fn top_becomes(connection: &mut Connection, wanted: u64) {
    let started = Instant::now();
    loop {
        let heartbeat = RequestKind::Heartbeat(client::Heartbeat {});
        let top = ask::<client::HeartbeatReply>(connection, heartbeat).await.inbox_top;
        if top == wanted {
            return;
        }
        assert!(top < wanted && started.elapsed() < PATIENCE, "the top is {top} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn goims_heartbeat_keeps_an_anser_client_too() {
    let server = SERVER.get();
    let mut connection =
        crate::support::goim_wire::Goim::open(&server, crate::support::goim_wire::Wire::Tcp).await;
    let auth =
        protocol::codec::encode_request_frame(1, &RequestKind::Auth(hello(&unique("user"), "d", Some(0))));
    connection.send_bytes(&auth).await;
    assert_eq!(connection.next().await.operation, 101);
    assert_eq!(connection.next().await.operation, 163);
    let reply = connection.ask(2, 5, b"").await;
    assert_eq!((reply.operation, reply.sequence), (3, 5));
}

#[tokio::test]
async fn the_same_device_again_replaces_the_older_which_is_told_not_to_come_back() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        for newer in CARRIERS {
            let user = unique("user");
            let mut old = live(&server, carrier, &user, "phone").await;
            let mut tablet = live(&server, carrier, &user, "tablet").await;
            let mut new = live(&server, newer, &user, "phone").await;
            match push(&mut old).await {
                Push::Kicked(kicked) => {
                    assert_eq!((kicked.number, kicked.code.as_str()), (4503, "replaced_by_device"));
                    assert!(!kicked.message.is_empty());
                }
                other => panic!("{carrier:?}: {other:?}"),
            }
            let end = within("the end", old.next()).await.unwrap_err();
            assert!(matches!(&end, Error::Closed(kicked) if kicked.number == 4503), "{end:?}");
            assert!(!end.is_retryable());
            say(&mut tablet, &user, "to the others").await;
            assert_eq!(text_of(&message(&mut new).await), "to the others");
        }
    }
}

#[tokio::test]
async fn the_close_code_of_a_replaced_device_is_4503() {
    let server = SERVER.get();
    let user = unique("user");
    let mut old = JsonChat::live(&server, &user, "phone").await;
    let _new = JsonChat::live(&server, &user, "phone").await;
    let kicked = old.push().await;
    assert_eq!(
        (&kicked["kicked"]["number"], &kicked["kicked"]["code"]),
        (&json!(4503), &json!("replaced_by_device"))
    );
    let close = old.socket.next().await.unwrap();
    assert_eq!(close.opcode, CLOSE);
    assert_eq!(close.payload[..2], 4503_u16.to_be_bytes());
    assert!(!close.payload[2..].is_empty(), "the close frame says why in words");
}

#[tokio::test]
async fn a_device_that_comes_back_again_and_again_misses_nothing() {
    let server = SERVER.get();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, Carrier::Tcp, &alice, "d").await;
    let mut texts = Vec::new();
    let mut held = 0;
    for round in 0..30 {
        let carrier = CARRIERS[round % 3];
        // Sent while the device is on its way: it comes by the replay or as a push, and once.
        let sending = async {
            for count in 0..5 {
                say(&mut sender, &bob, &format!("{round}-{count}")).await;
            }
        };
        let receiving = async {
            let (mut connection, _) = device(&server, carrier, hello(&bob, "d", Some(held))).await;
            let mut received = Vec::new();
            while received.len() < 5 {
                match push(&mut connection).await {
                    Push::Message(message) => received.push(message),
                    Push::SyncDone(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            received
        };
        let ((), received) = tokio::join!(sending, receiving);
        for message in received {
            assert_eq!(message.inbox_seq, Some(held + 1));
            held += 1;
            texts.push(text_of(&message).to_owned());
        }
    }
    let mut expected = (0..30).flat_map(|round| (0..5).map(move |count| format!("{round}-{count}")));
    assert!(texts.into_iter().eq(expected.by_ref()));
}

#[tokio::test]
async fn two_people_who_write_at_the_same_time_see_one_order() {
    let server = SERVER.get();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut first = live(&server, Carrier::Json, &alice, "d").await;
    let mut second = live(&server, Carrier::Tcp, &bob, "d").await;
    let writing = async |connection: &mut Connection, to: &str| {
        for count in 0..50 {
            say(connection, to, &format!("to {to} {count}")).await;
        }
    };
    tokio::join!(writing(&mut first, &bob), writing(&mut second, &alice));
    let order = |messages: &[client::Message]| -> Vec<(u64, u64)> {
        messages.iter().map(|message| (message.seq, message.message_id)).collect()
    };
    let (one, other) = (inbox(&mut first).await, inbox(&mut second).await);
    assert_eq!(order(&one), order(&other));
    assert!(one.iter().map(|message| message.seq).eq(1..=100));
    assert!(one.iter().map(|message| message.inbox_seq).eq((1..=100).map(Some)));
}

#[tokio::test]
async fn an_anser_client_that_named_no_operations_receives_every_one() {
    let server = SERVER.get();
    for carrier in CARRIERS {
        let user = unique("user");
        let (mut all, reply) = device(&server, carrier, hello(&user, "all", Some(0))).await;
        replay(&mut all).await;
        let auth = client::Auth { accepts: vec![1000], ..hello(&user, "some", Some(0)) };
        let (mut some, _) = device(&server, carrier, auth).await;
        replay(&mut some).await;
        let call = json!({"to": {"users": [user, "nobody-here"]}, "op": 4321, "text": "hello"});
        let response = post(server.api, "/v1/push", call.to_string().as_bytes()).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(
            response.json()["results"],
            json!([{"user": user, "status": "queued"}, {"user": "nobody-here", "status": "offline"}])
        );
        assert_eq!(push(&mut all).await, operation_push(4321, b"hello"));
        let call = json!({"to": {"connections": [reply.connection]}, "op": 1, "body": "AP8="});
        let response = post(server.api, "/v1/push", call.to_string().as_bytes()).await;
        assert_eq!(response.json()["results"][0]["status"], "queued", "{}", response.text());
        assert_eq!(push(&mut all).await, operation_push(1, &[0, 0xff]));
        post(
            server.api,
            "/v1/push",
            json!({"to": {"users": [user]}, "op": 1000, "text": "x"}).to_string().as_bytes(),
        )
        .await;
        assert_eq!(push(&mut all).await, operation_push(1000, b"x"));
        assert_eq!(push(&mut some).await, operation_push(1000, b"x"));
    }
}

fn operation_push(op: i32, body: &[u8]) -> Push {
    Push::Push(client::OperationPush { op, body: body.to_vec().into() })
}

#[tokio::test]
async fn a_call_of_the_server_api_that_is_wrong_is_refused_with_a_number() {
    let server = SERVER.get();
    let calls = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"to":{}}"#,
        r#"{"to":{"users":["a"]}}"#,
        r#"{"to":{"users":[""]},"op":1,"text":"x"}"#,
        r#"{"to":{"users":["a"],"room":"r"},"op":1,"text":"x"}"#,
        r#"{"to":{"users":["a"]},"op":"one","text":"x"}"#,
        r#"{"to":{"users":["a"]},"op":1,"body":"not base64!"}"#,
    ];
    for call in calls {
        let response = request(server.api, "POST", "/v1/push", &[], call.as_bytes()).await;
        assert_eq!(response.status / 100, 4, "{call}: {}", response.text());
        let error = response.json();
        assert_eq!(error["number"].as_u64().unwrap() / 100, u64::from(response.status), "{call}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{call}: {error}");
    }
}

#[tokio::test]
async fn a_sync_heals_what_a_heartbeat_shows_to_be_lost() {
    let server = SERVER.get();
    let (alice, bob) = (unique("alice"), unique("bob"));
    let mut sender = live(&server, Carrier::Json, &alice, "d").await;
    let mut receiver = live(&server, Carrier::Json, &bob, "d").await;
    say(&mut sender, &bob, "one").await;
    say(&mut sender, &bob, "the last").await;
    // A client that lost the last message sees no hole; it compares what it holds with the top.
    assert_eq!(message(&mut receiver).await.inbox_seq, Some(1));
    top_becomes(&mut receiver, 2).await;
    let page: client::SyncReply = ask(&mut receiver, crate::support::chat::sync(2, 2, 10)).await;
    assert_eq!((page.messages.len(), text_of(&page.messages[0])), (1, "the last"));
}
